// The pool, with the numbers of the example in node-postgres' documentation. One of them is left out: the limit of the
// wait for a connection, because under load a request must wait for its turn and not fail.
const { Pool } = require('pg')

const pool = new Pool({ connectionString: process.env.DATABASE_URL, max: 20, idleTimeoutMillis: 30000 })

// A connection that breaks while it is idle ends the process, as in that documentation.
pool.on('error', (err) => {
  console.error('Unexpected error on idle client', err)
  process.exit(-1)
})

module.exports = { getClient: () => pool.connect() }
