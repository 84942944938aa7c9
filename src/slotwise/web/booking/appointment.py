"""One appointment: looked at, cancelled, put in a calendar. With an account or by its link."""

import asyncio
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from slotwise.domain.bookings import Booking, BookingStatus
from slotwise.domain.errors import (
    BookingFailed,
    BookingNotFound,
)
from slotwise.domain.fields import MAX_ID
from slotwise.domain.slots import Slot
from slotwise.services.booking.bookings import Bookings
from slotwise.services.booking.calendars import CalendarEntry, Calendars
from slotwise.services.core.callers import Caller
from slotwise.services.schedule.slots import Slots
from slotwise.web.kit.access import ANYBODY, PageRequest, own_origin, page, visitor_in
from slotwise.web.kit.forms import Form
from slotwise.web.kit.pages import HEADERS, Pages, see_other
from slotwise.web.kit.visitors import attempt_cookie, clear_cookie

Token = Annotated[str | None, QueryParameter(name="token", max_length=200)]
MAX_TOKEN_CHARACTERS = 200
CALENDAR_TYPE = "text/calendar; method=PUBLISH"


class Theirs(NamedTuple):
    """A booking that the visitor may manage, and by what: `token` is None where only their account opens it."""

    caller: Caller
    token: str | None
    booking: Booking

    @property
    def address(self) -> str:
        return url_of_booking(self.booking.id, self.token)


def url_of_booking(booking_id: int, token: str | None) -> str:
    query = f"?{urlencode({'token': token})}" if token else ""
    return f"/bookings/{booking_id}{query}"


class BookingPages(Controller):
    path = "/"

    @get("/bookings/{booking_id:int}", **page(ANYBODY))
    async def show_booking(
        self,
        request: PageRequest,
        booking_id: FromPath[int],
        pages: NamedDependency[Pages],
        bookings: NamedDependency[Bookings],
        slots: NamedDependency[Slots],
        token: Token = None,
    ) -> Response[Any]:
        theirs = await theirs_of(request, bookings, booking_id, token)
        return await show_theirs(request, pages, slots, theirs)

    @get("/bookings/{booking_id:int}/cancel", **page(ANYBODY))
    async def ask_before_cancelling(
        self,
        request: PageRequest,
        booking_id: FromPath[int],
        pages: NamedDependency[Pages],
        bookings: NamedDependency[Bookings],
        token: Token = None,
    ) -> Response[Any]:
        theirs = await theirs_of(request, bookings, booking_id, token)
        if theirs.booking.status is not BookingStatus.CONFIRMED:
            return see_other(request, theirs.address)
        return pages.answer(
            request, "booking/cancel.html", booking=theirs.booking, token=theirs.token, address=theirs.address
        )

    @post("/bookings/{booking_id:int}/cancel", **page(ANYBODY))
    async def cancel_booking(
        self, request: PageRequest, booking_id: FromPath[int], bookings: NamedDependency[Bookings]
    ) -> Response[Any]:
        form = await Form.of(request)
        theirs = await theirs_of(request, bookings, booking_id, form.text("token"))
        try:
            await bookings.cancel_booking(theirs.caller, booking_id)
        except BookingFailed:
            return see_other(request, theirs.address)
        return see_other(request, theirs.address, notice="Your appointment is cancelled.")

    @get("/bookings/{booking_id:int}/calendar.ics", **page(ANYBODY))
    async def get_calendar_entry(
        self,
        request: PageRequest,
        booking_id: FromPath[int],
        pages: NamedDependency[Pages],
        bookings: NamedDependency[Bookings],
        calendars: NamedDependency[Calendars],
        token: Token = None,
    ) -> Response[bytes]:
        theirs = await theirs_of(request, bookings, booking_id, token)
        entry = await calendars.get_calendar_entry(theirs.caller, booking_id)
        link = _link(request, theirs) if theirs.token else None
        file = await asyncio.to_thread(_calendar_file, entry, pages.time.zone, pages.clinic_name, link)
        headers = {**HEADERS, "Content-Disposition": 'attachment; filename="appointment.ics"'}
        return Response(file, media_type=CALENDAR_TYPE, headers=headers)


async def theirs_of(request: PageRequest, bookings: Bookings, booking_id: int, token: str | None) -> Theirs:
    """Raises `BookingNotFound` for whoever may not manage it: a stranger is not told that it exists."""
    if not 0 < booking_id <= MAX_ID or len(token or "") > MAX_TOKEN_CHARACTERS:
        raise BookingNotFound
    caller = visitor_in(request).as_caller(booking_id, token or None)
    booking = await bookings.get_managed_booking(caller, booking_id)
    if caller.user and caller.manage_token and not await bookings.opens(caller.manage_token, booking_id):
        # Their account let them in, and what stood in the address opens nothing for anybody.
        caller = Caller(caller.user)
    return Theirs(caller, caller.manage_token, booking)


async def show_theirs(
    request: PageRequest, pages: Pages, slots: Slots, theirs: Theirs, form: Form | None = None, status: int = 200
) -> Response[Any]:
    booking = theirs.booking
    slot = await slots.get_slot(booking.slot_id)
    ended = booking.status in {BookingStatus.FAILED, BookingStatus.CANCELLED}
    return pages.answer(
        request,
        "booking/appointment.html",
        status,
        booking=booking,
        slot=slot,
        token=theirs.token,
        form=form or _empty_form(request, booking),
        link=_link(request, theirs),
        started=booking.start_time <= pages.time.now(),
        # Of the page that this is, whatever form it answers.
        headers={"HX-Push-Url": theirs.address},
        can_book_again=ended and _is_on_offer(slot, booking.seats_booked, pages),
        now=pages.time.now(),
        cookies=[
            *([clear_cookie(request, "hold")] if ended and _is_held_by(request, booking) else []),
            # A refusal is kept for its key, so the next try must have another.
            *([attempt_cookie(request)] if form else []),
        ],
    )


def _empty_form(request: PageRequest, booking: Booking) -> Form:
    """With what is known: what was typed for a hold before, else the account's."""
    visitor = visitor_in(request)
    user, draft = visitor.user, visitor.draft_by()
    own = user is not None and not user.at_desk
    return Form(
        {
            "user_name": booking.user_name or draft.user_name or (user.name if user and own else ""),
            "user_email": booking.user_email or draft.user_email or (user.email if user and own else ""),
            "seats": str(booking.seats_booked),
        }
    )


def _link(request: PageRequest, theirs: Theirs) -> str | None:
    """By which they come back: without an account, where they have the token."""
    origin = own_origin(request)
    return f"{origin}{theirs.address}" if origin else None


def _is_on_offer(slot: Slot, seats: int, pages: Pages) -> bool:
    return slot.status == "OPEN" and slot.start_time > pages.time.now() and slot.available_seats >= seats


def _is_held_by(request: PageRequest, booking: Booking) -> bool:
    hold = visitor_in(request).hold
    return hold is not None and hold.booking_id == booking.id


def _calendar_file(entry: CalendarEntry, zone: ZoneInfo, clinic: str, link: str | None) -> bytes:
    """Takes a tenth of a second the first time, in a thread: its library is left out of a worker's start."""
    from slotwise.web.booking.calendars import calendar_of  # noqa: PLC0415 - see above

    return calendar_of(entry, zone, clinic, link)
