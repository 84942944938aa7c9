// Bookings: the body is checked by express-validator, and a transaction runs on one client of the pool.
const { Router } = require('express')
const { body, matchedData, validationResult } = require('express-validator')
const db = require('../db')

const router = new Router()

const checks = [
  body('slotId').isInt({ min: 1 }).toInt(),
  body('userName').isString().isLength({ min: 1, max: 200 }),
  body('userEmail').isEmail(),
  body('seatsBooked').default(1).isInt({ min: 1 }).toInt(),
]

router.post('/', checks, async (req, res) => {
  const errors = validationResult(req)
  if (!errors.isEmpty()) {
    return res.status(400).json({ errors: errors.array() })
  }
  const { slotId, userName, userEmail, seatsBooked } = matchedData(req)

  const client = await db.getClient()
  try {
    await client.query('BEGIN')
    const slot = await client.query('SELECT available_seats FROM bench.slot WHERE id = $1 FOR UPDATE', [slotId])
    if (slot.rowCount === 0 || slot.rows[0].available_seats < seatsBooked) {
      await client.query('ROLLBACK')
      const [status, error] = slot.rowCount === 0 ? [404, 'Slot not found'] : [409, 'Not enough seats are free']
      return res.status(status).json({ error })
    }
    const updateText = 'UPDATE bench.slot SET available_seats = available_seats - $2, updated_at = now() WHERE id = $1'
    await client.query(updateText, [slotId, seatsBooked])
    const insertText = `
      INSERT INTO bench.booking (slot_id, user_name, user_email, seats_booked, status, expires_at)
      VALUES ($1, $2, $3, $4, 'PENDING', now() + interval '2 minutes')
      RETURNING *`
    const made = await client.query(insertText, [slotId, userName, userEmail, seatsBooked])
    await client.query('COMMIT')
    res.status(201).json(shown(made.rows[0]))
  } catch (e) {
    await client.query('ROLLBACK')
    throw e
  } finally {
    client.release()
  }
})

function shown(row) {
  return {
    id: Number(row.id),
    slotId: Number(row.slot_id),
    userName: row.user_name,
    userEmail: row.user_email,
    seatsBooked: row.seats_booked,
    status: row.status,
    expiresAt: row.expires_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}

module.exports = router
