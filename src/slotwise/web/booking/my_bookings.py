"""A person's own appointments: those to come, and those past or cancelled."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from litestar import Controller, Response, get
from litestar.di import NamedDependency

from slotwise.domain.bookings import Booking
from slotwise.domain.errors import InvalidInput
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME, MAX_ID
from slotwise.services.booking.my_bookings import FIRST, LAST, LOOKED_AT, MyBookings, Position
from slotwise.web.kit.access import ACCOUNT, PageRequest, account_in, page
from slotwise.web.kit.pages import Pages
from slotwise.web.kit.times import iso

PAGE = 20


class Part(NamedTuple):
    """Some of the appointments. `more` is the position from which a further part begins."""

    bookings: Sequence[Booking]
    more: str | None


class MyBookingController(Controller):
    path = "/account"

    @get("/", **page(ACCOUNT))
    async def show_my_bookings(
        self, request: PageRequest, pages: NamedDependency[Pages], my_bookings: NamedDependency[MyBookings]
    ) -> Response[Any]:
        """All that is coming and the past, or with a position in the address the rest of the one or the other."""
        user = account_in(request)
        after, before = _position(request, "after"), _position(request, "before")
        coming = past = None
        if before is None:
            coming = _part(await my_bookings.list_coming_bookings(user, PAGE + 1, after or FIRST))
        if after is None:
            past = _part(await my_bookings.list_past_bookings(user, PAGE + 1, before or LAST))
        return pages.answer(
            request,
            "booking/my_bookings.html",
            coming=coming,
            past=past,
            user=user,
            now=pages.time.now(),
            looked_at=LOOKED_AT,
        )


def _part(found: Sequence[Booking]) -> Part:
    shown = found[:PAGE]
    last = Position.of(shown[-1]) if len(found) > PAGE else None
    return Part(shown, f"{iso(last.start_time)}.{last.booking_id}" if last else None)


def _position(request: PageRequest, name: str) -> Position | None:
    """As `_part` wrote it. Raises `InvalidInput` for anything else."""
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
