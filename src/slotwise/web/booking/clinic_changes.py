"""How a patient is told what the clinic did to their appointment."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from slotwise.domain.bookings import Booking, BookingStatus
from slotwise.services.booking.clinic_changes import ClinicChange
from slotwise.web.kit.times import ClinicTime

CANCELLED = "The clinic cancelled this appointment."
RELEASED = "The clinic released this hold before it was confirmed."
_STANDING = {BookingStatus.PENDING, BookingStatus.CONFIRMED}


class ChangeWords:
    """In sentences, for templates. They are made while a page is rendered, so that it notes which times it shows."""

    def __init__(self, changes: Mapping[int, ClinicChange], time_of: Callable[[int], ClinicTime]) -> None:
        """`time_of` gives the time at a clinic."""
        self._changes = changes
        self._time_of = time_of

    def cancelled(self, booking: Booking) -> bool:
        change = self._changes.get(booking.id)
        return change is not None and change.cancelled

    def moved(self, booking: Booking) -> str | None:
        """What was moved, to another time or doctor.

        None if the appointment is as it was booked or does not stand, or both times have passed.
        """
        change = self._changes.get(booking.id)
        if change is None or booking.status not in _STANDING:
            return None
        time = self._time_of(booking.clinic_id)
        if max(booking.end_time, change.booked_start or booking.start_time) <= time.now():
            return None
        moved = moved_words(change, booking.start_time, booking.end_time, time)
        return with_doctor_words(change, moved)

    def told(self, booking: Booking) -> str | None:
        """In one sentence or two, for a list."""
        return CANCELLED if self.cancelled(booking) else self.moved(booking)


def with_doctor_words(change: ClinicChange, moved: str | None) -> str | None:
    """What was moved, and who the doctor is now; None if neither was changed."""
    if change.booked_doctor is None:
        return moved
    doctor = f"The clinic changed your doctor: you will see {change.doctor_name} instead of {change.booked_doctor}."
    return f"{moved} {doctor}" if moved else f"{doctor} The time stays."


def moved_words(change: ClinicChange, start: datetime, end: datetime, time: ClinicTime) -> str | None:
    """`start` and `end` are the times now. None if the booking was made for them, perhaps moved away and back."""
    booked_start = change.booked_start or start
    minutes = round((end - start).total_seconds() / 60)
    booked_minutes = change.booked_minutes or minutes
    if booked_start != start:
        length = f" for {booked_minutes} minutes" if booked_minutes != minutes else ""
        booked = f"{time.day(booked_start)} at {time.clock(booked_start)}{length}"
        return f"The clinic moved this appointment. It was on {booked}."
    if booked_minutes != minutes:
        booked_end = start + timedelta(minutes=booked_minutes)
        return f"The clinic changed when this appointment ends. It was until {time.end_clock(booked_end, start)}."
    return None
