"""Group commit and shared reads: mechanisms that know nothing of bookings."""
