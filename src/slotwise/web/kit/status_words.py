"""What the states of bookings and slots are called where people read them."""

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
