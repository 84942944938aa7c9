"""The desk's pages: the day, bookings, telephone bookings and the audit log."""
