"""The statuses of bookings and slots in words."""

_WORDS = {
    "PENDING": "On hold",
    "CONFIRMED": "Confirmed",
    "CANCELLED": "Cancelled",
    "FAILED": "Expired",
    "OPEN": "Open",
    "CLOSED": "Closed",
}


def status_words(status: str) -> str:
    return _WORDS[status]
