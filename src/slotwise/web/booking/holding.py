"""From a free time to an appointment: hold it, change its seats, type a name and confirm it, or let it go."""

from functools import partial
from typing import Any

from litestar import Controller, Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import FromPath

from slotwise.domain.bookings import Booking, BookingStatus
from slotwise.domain.errors import (
    BookingCancelled,
    HoldExpired,
    InvalidInput,
    SlotClosed,
    SlotFull,
    SlotStarted,
    SlotwiseError,
)
from slotwise.domain.fields import MAX_ID, clean_email, clean_name
from slotwise.domain.slots import MAX_SEATS, Slot
from slotwise.services.booking.batches import Held
from slotwise.services.booking.bookings import Bookings
from slotwise.services.booking.page_holds import PageHolds, Wish
from slotwise.services.core.callers import Caller
from slotwise.services.core.rate_limits import BookingRate
from slotwise.services.schedule.slots import Slots
from slotwise.web.booking.appointment import Theirs, show_theirs, theirs_of, url_of_booking
from slotwise.web.kit.access import ANYBODY, PageRequest, client_ip_of, page, visitor_in
from slotwise.web.kit.errors import seats_left_words, words_of
from slotwise.web.kit.forms import Form, read_all
from slotwise.web.kit.pages import Pages, see_other
from slotwise.web.kit.visitors import HeldTime, attempt_cookie, clear_cookie, draft_cookie, draft_of, hold_cookie


class HoldController(Controller):
    path = "/"

    @post("/hold", **page(ANYBODY))
    async def hold_time(
        self,
        request: PageRequest,
        pages: NamedDependency[Pages],
        page_holds: NamedDependency[PageHolds],
        booking_rate: NamedDependency[BookingRate],
        slots: NamedDependency[Slots],
    ) -> Response[Any]:
        form = await Form.of(request)
        request.state.typed = form
        booking_rate.admit(client_ip_of(request))
        slot_id, seats = form.number("slot", 1, MAX_ID), form.number("seats", 1, MAX_SEATS)
        try:
            held = await _hold(request, page_holds, slot_id, seats)
        except (SlotFull, SlotClosed, SlotStarted) as refusal:
            return await _show_refusal(request, pages, refusal, await slots.get_slot(slot_id))
        return see_other(request, _address(held), cookies=_cookies_of(request, held, form))

    @post("/bookings/{booking_id:int}/confirm", **page(ANYBODY))
    async def confirm_booking(
        self,
        request: PageRequest,
        booking_id: FromPath[int],
        pages: NamedDependency[Pages],
        bookings: NamedDependency[Bookings],
        booking_rate: NamedDependency[BookingRate],
        page_holds: NamedDependency[PageHolds],
        slots: NamedDependency[Slots],
    ) -> Response[Any]:
        form = await Form.of(request)
        request.state.typed = form
        theirs = await theirs_of(request, bookings, booking_id, form.text("token"))
        try:
            name, email = _person(form)
            if _wants_other_seats(form, theirs.booking):
                theirs = await _with_other_seats(request, booking_rate, page_holds, theirs, form)
            await bookings.confirm_booking(theirs.caller, theirs.booking.id, name, email)
        except (InvalidInput, SlotFull, SlotClosed, SlotStarted, HoldExpired, BookingCancelled) as error:
            _explain(form, error, theirs.booking)
            theirs = await theirs_of(request, bookings, theirs.booking.id, theirs.token)
            return await show_theirs(request, pages, slots, theirs, form, words_of(error).status)
        cookies = [clear_cookie(request, "hold"), clear_cookie(request, "draft")]
        return see_other(request, theirs.address, notice="Your appointment is booked.", cookies=cookies)

    @post("/bookings/{booking_id:int}/seats", **page(ANYBODY))
    async def change_seats(
        self,
        request: PageRequest,
        booking_id: FromPath[int],
        pages: NamedDependency[Pages],
        bookings: NamedDependency[Bookings],
        booking_rate: NamedDependency[BookingRate],
        page_holds: NamedDependency[PageHolds],
        slots: NamedDependency[Slots],
    ) -> Response[Any]:
        form = await Form.of(request)
        request.state.typed = form
        theirs = await theirs_of(request, bookings, booking_id, form.text("token"))
        if theirs.booking.status is BookingStatus.CONFIRMED:
            return see_other(request, theirs.address)
        try:
            changed = await _with_other_seats(request, booking_rate, page_holds, theirs, form)
        except (InvalidInput, SlotFull, SlotClosed, SlotStarted) as error:
            _explain(form, error, theirs.booking)
            theirs = await theirs_of(request, bookings, booking_id, form.text("token"))
            return await show_theirs(request, pages, slots, theirs, form, words_of(error).status)
        hold = HeldTime(changed.booking.id, changed.token or "")
        seats = changed.booking.seats_booked
        people = "1 person" if seats == 1 else f"{seats} people"
        notice = f"We are now holding this time for {people}. Confirm the appointment before the hold ends."
        return see_other(request, changed.address, notice=notice, cookies=_cookies_of(request, hold, form))

    @post("/bookings/{booking_id:int}/release", **page(ANYBODY))
    async def release_hold(
        self,
        request: PageRequest,
        booking_id: FromPath[int],
        pages: NamedDependency[Pages],
        bookings: NamedDependency[Bookings],
    ) -> Response[Any]:
        form = await Form.of(request)
        theirs = await theirs_of(request, bookings, booking_id, form.text("token"))
        if await bookings.release_hold(theirs.caller, booking_id) is BookingStatus.CONFIRMED:
            stays = "This appointment is already confirmed, so it stays. To give it up, cancel it."
            return see_other(request, theirs.address, notice=stays)
        day = pages.time.day_of(theirs.booking.start_time)
        cookies = [clear_cookie(request, "hold"), clear_cookie(request, "draft"), attempt_cookie(request)]
        gone = "We no longer hold that time for you. Choose another one."
        return see_other(request, f"/?day={day}", notice=gone, cookies=cookies)

    @get(["/bookings/{booking_id:int}/confirm", "/bookings/{booking_id:int}/seats"], **page(ANYBODY))
    async def lead_back(self, request: PageRequest, booking_id: FromPath[int]) -> Response[Any]:
        """The address of a form that was answered with a page, opened again."""
        return see_other(request, f"/bookings/{booking_id}")


async def _hold(request: PageRequest, page_holds: PageHolds, slot_id: int, seats: int) -> Held | HeldTime:
    """Whoever chooses the time that they hold already goes on with it, with other seats if they want others."""
    visitor = visitor_in(request)
    own = await page_holds.find_hold(visitor.hold.booking_id, visitor.hold.token) if visitor.hold else None
    if own is None or visitor.hold is None or own.slot_id != slot_id:
        old = visitor.hold.booking_id if visitor.hold else None
        return await page_holds.hold_time(visitor.as_caller(old), Wish(slot_id, seats, visitor.attempt), old)
    if own.seats_booked == seats:
        return visitor.hold
    changed = await page_holds.change_seats(visitor.as_caller(own.id), own, Wish(slot_id, seats, visitor.attempt))
    return changed or visitor.hold


async def _with_other_seats(
    request: PageRequest, booking_rate: BookingRate, page_holds: PageHolds, theirs: Theirs, form: Form
) -> Theirs:
    """It counts as booking: who changes seats without end keeps them for ever."""
    seats = form.number("seats", 1, MAX_SEATS)
    booking_rate.admit(client_ip_of(request))
    wish = Wish(theirs.booking.slot_id, seats, visitor_in(request).attempt)
    held = await page_holds.change_seats(theirs.caller, theirs.booking, wish)
    if held is None:
        return theirs
    token = held.manage.token
    return Theirs(Caller(theirs.caller.user, token), token, held.booking)


async def _show_refusal(request: PageRequest, pages: Pages, refusal: SlotwiseError, slot: Slot) -> Response[Any]:
    """A refusal is kept for its key, so the next try must have another."""
    return pages.answer(
        request,
        "booking/taken.html",
        words_of(refusal).status,
        cookies=[attempt_cookie(request)],
        slot=slot,
        code=refusal.code,
        available=getattr(refusal, "available_seats", 0),
    )


def _explain(form: Form, error: SlotwiseError, booking: Booking) -> None:
    """At the field, or above the form. What ended the hold needs no words here: the page says it."""
    match error:
        case InvalidInput():
            form.refuse(error)
        case SlotFull():
            form.errors["seats"] = seats_left_words(error.available_seats)
        case SlotClosed() | SlotStarted() if booking.status is BookingStatus.PENDING:
            form.problem = "The number of people can no longer be changed. We still hold this time for you."


def _wants_other_seats(form: Form, booking: Booking) -> bool:
    """Also of a hold that is gone: the first of two clicks may have changed it."""
    if booking.status is BookingStatus.CONFIRMED or "seats" not in form:
        return False
    return form.number("seats", 1, MAX_SEATS) != booking.seats_booked


def _person(form: Form) -> tuple[str, str]:
    """Name and address; raises `InvalidInput` with what is wrong with both."""
    read = read_all(
        {
            "user_name": partial(clean_name, "user_name", form.text("user_name")),
            "user_email": partial(clean_email, "user_email", form.text("user_email")),
        }
    )
    return read["user_name"], read["user_email"]


def _address(held: Held | HeldTime) -> str:
    hold = _as_held_time(held)
    return url_of_booking(hold.booking_id, hold.token)


def _cookies_of(request: PageRequest, held: Held | HeldTime, form: Form) -> list[Cookie]:
    """What was typed already goes along to the next hold."""
    draft = draft_of(form.text("user_name"), form.text("user_email"))
    drafted = [draft_cookie(request, draft)] if draft else []
    return [hold_cookie(request, _as_held_time(held)), attempt_cookie(request), *drafted]


def _as_held_time(held: Held | HeldTime) -> HeldTime:
    return held if isinstance(held, HeldTime) else HeldTime(held.booking.id, held.manage.token)
