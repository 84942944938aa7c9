"""Group commit and shared reads: general mechanisms that do not depend on bookings."""
