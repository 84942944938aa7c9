"""Bookings over the API."""
