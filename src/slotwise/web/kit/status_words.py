"""The statuses of bookings and slots in words."""

from slotwise.domain.bookings import Booking

_WORDS = {
    "PENDING": "On hold",
    "CONFIRMED": "Confirmed",
    "CANCELLED": "Cancelled",
    "RELEASED": "Released",
    "FAILED": "Expired",
    "OPEN": "Open",
    "CLOSED": "Closed",
}


def booking_words(booking: Booking) -> str:
    """The status of a booking; a released hold was never an appointment, so it is not called cancelled."""
    return status_words("RELEASED" if booking.released else booking.status)


def status_words(status: str) -> str:
    return _WORDS[status]
