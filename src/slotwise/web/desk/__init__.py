"""The desk's pages: the dashboard, bookings, phone bookings, day sheets and the audit log."""
