"""Hold, confirm, cancel and read bookings."""
