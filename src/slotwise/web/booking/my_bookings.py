"""A person's own appointments: upcoming, and past or cancelled."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from litestar import Controller, Response, get
from litestar.di import NamedDependency

from slotwise.domain.bookings import Booking
from slotwise.domain.errors import InvalidInput
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME, MAX_ID
from slotwise.services.booking.clinic_changes import ClinicChanges
from slotwise.services.booking.my_bookings import FIRST, LAST, LOOKED_AT, MyBookings, Position
from slotwise.web.booking.clinic_changes import ChangeWords
from slotwise.web.kit.access import ACCOUNT, PageRequest, account_in, page_for
from slotwise.web.kit.rendering import Renderer
from slotwise.web.kit.times import iso

PAGE_SIZE = 20


class Part(NamedTuple):
    """A page of appointments. `more` is the position where the next page begins."""

    bookings: Sequence[Booking]
    more: str | None


class MyBookingController(Controller):
    path = "/account"

    @get("/", **page_for(ACCOUNT))
    async def show_my_bookings(
        self,
        request: PageRequest,
        renderer: NamedDependency[Renderer],
        my_bookings: NamedDependency[MyBookings],
        clinic_changes: NamedDependency[ClinicChanges],
    ) -> Response[Any]:
        """Upcoming and past ones. With a position in the URL, only the rest of the one or the other."""
        user = account_in(request)
        after, before = _position(request, "after"), _position(request, "before")
        coming = past = None
        if before is None:
            coming = _part(renderer, await my_bookings.list_coming_bookings(user, PAGE_SIZE + 1, after or FIRST))
        if after is None:
            past = _part(renderer, await my_bookings.list_past_bookings(user, PAGE_SIZE + 1, before or LAST))
        shown = [booking for part in (coming, past) if part for booking in part.bookings]
        return renderer.answer(
            request,
            "booking/my_bookings.html",
            changes=ChangeWords(await clinic_changes.list_clinic_changes(shown), renderer.time_of),
            coming=coming,
            past=past,
            user=user,
            now=renderer.time.now(),
            looked_at=LOOKED_AT,
        )


def _part(renderer: Renderer, found: Sequence[Booking]) -> Part:
    shown = found[:PAGE_SIZE]
    last = Position.of(shown[-1]) if len(found) > PAGE_SIZE else None
    at_clinics = [renderer.at_clinic(booking) for booking in shown]
    return Part(at_clinics, f"{iso(last.start_time)}.{last.booking_id}" if last else None)


def _position(request: PageRequest, name: str) -> Position | None:
    """Reads what `_part` wrote. Raises `InvalidInput` for anything else."""
    text = request.query_params.get(name)
    if text is None:
        return None
    moment, _, number = text.rpartition(".")
    try:
        start_time, booking_id = datetime.fromisoformat(moment), int(number)
        known = FIRST_TIME <= start_time < LAST_READABLE_TIME and 0 < booking_id <= MAX_ID
    except (ValueError, TypeError):
        known = False
    if not known:
        raise InvalidInput.of(name, "is not a position in this list")
    return Position(start_time, booking_id)
