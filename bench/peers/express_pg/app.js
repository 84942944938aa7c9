// The app. Express answers 500 to what a handler throws.
const express = require('express')
const bookings = require('./routes/bookings')

const app = express()
app.use(express.json())
app.use('/api/bookings', bookings)

module.exports = app
