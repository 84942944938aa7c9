"""One appointment: hold a time, type a name, confirm; look at it later, cancel it. With an account or by its link."""

from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode

from litestar import Controller, Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from slotwise.domain.bookings import Booking, BookingStatus
from slotwise.domain.errors import (
    BookingCancelled,
    BookingFailed,
    BookingNotFound,
    FieldError,
    HoldExpired,
    InvalidInput,
    SlotClosed,
    SlotFull,
    SlotStarted,
    SlotwiseError,
)
from slotwise.domain.fields import MAX_ID, clean_email, clean_name
from slotwise.domain.slots import MAX_SEATS, Slot
from slotwise.services.bookings import Bookings, Caller
from slotwise.services.calendars import Calendars
from slotwise.services.held_times import HeldTimes, Wish
from slotwise.services.rate_limits import BookingRate
from slotwise.services.slots import Slots
from slotwise.web.access import ANYBODY, PageRequest, address_of, own_origin, page, visitor_in
from slotwise.web.calendars import MEDIA_TYPE, calendar_of
from slotwise.web.errors import words_of
from slotwise.web.forms import Form
from slotwise.web.pages import HEADERS, Pages, see_other
from slotwise.web.visitors import Draft, HeldTime, attempt_cookie, clear_cookie, draft_cookie, hold_cookie

Token = Annotated[str | None, QueryParameter(name="token", max_length=200)]
MAX_TOKEN_CHARACTERS = 200


class Theirs(NamedTuple):
    """A booking that the visitor may manage, and by what."""

    caller: Caller
    token: str | None
    booking: Booking

    @property
    def address(self) -> str:
        return address_of_booking(self.booking.id, self.token)


def address_of_booking(booking_id: int, token: str | None, action: str = "") -> str:
    query = f"?{urlencode({'token': token})}" if token else ""
    return f"/bookings/{booking_id}{action}{query}"


class BookingPages(Controller):
    path = "/"

    @post("/hold", **page(ANYBODY))
    async def hold_time(
        self,
        request: PageRequest,
        pages: NamedDependency[Pages],
        held_times: NamedDependency[HeldTimes],
        booking_rate: NamedDependency[BookingRate],
        slots: NamedDependency[Slots],
    ) -> Response[Any]:
        form = await Form.of(request)
        booking_rate.admit(address_of(request))
        slot_id, seats = form.number("slot", 1, MAX_ID), form.number("seats", 1, MAX_SEATS)
        visitor = visitor_in(request)
        old = visitor.hold.booking_id if visitor.hold else None
        try:
            held = await held_times.hold_time(
                visitor.as_caller(old),
                Wish(slot_id, seats, visitor.attempt),
                instead_of=old,
            )
        except (SlotFull, SlotClosed, SlotStarted) as refusal:
            return await _show_refusal(request, pages, refusal, await slots.get_slot(slot_id))
        hold = HeldTime(held.booking.id, held.manage.token)
        return see_other(
            request,
            address_of_booking(hold.booking_id, hold.token),
            cookies=[hold_cookie(request, hold), attempt_cookie(request), *_drafted(request, form)],
        )

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
        theirs = await _theirs(request, bookings, booking_id, token)
        return await _show(request, pages, slots, theirs)

    @post("/bookings/{booking_id:int}/confirm", **page(ANYBODY))
    async def confirm_booking(
        self,
        request: PageRequest,
        booking_id: FromPath[int],
        pages: NamedDependency[Pages],
        bookings: NamedDependency[Bookings],
        booking_rate: NamedDependency[BookingRate],
        held_times: NamedDependency[HeldTimes],
        slots: NamedDependency[Slots],
    ) -> Response[Any]:
        form = await Form.of(request)
        theirs = await _theirs(request, bookings, booking_id, form.text("token"))
        try:
            if _wants_other_seats(form, theirs.booking):
                return await _change_seats(request, booking_rate, held_times, theirs, form)
            name, email = _person(form)
            await bookings.confirm_booking(theirs.caller, booking_id, name, email)
        except InvalidInput as error:
            form.refuse(error)
            return await _show(request, pages, slots, theirs, form, 400)
        except SlotFull as full:
            form.problem = f"Not so many seats are free: you can have {full.available_seats} at most."
            return await _show(request, pages, slots, theirs, form, 409)
        except (HoldExpired, BookingCancelled) as error:
            theirs = await _theirs(request, bookings, booking_id, form.text("token"))
            return await _show(request, pages, slots, theirs, form, words_of(error).status)
        return see_other(
            request,
            theirs.address,
            notice="Your appointment is booked.",
            cookies=[clear_cookie(request, "hold"), clear_cookie(request, "draft")],
        )

    @post("/bookings/{booking_id:int}/seats", **page(ANYBODY))
    async def change_seats(
        self,
        request: PageRequest,
        booking_id: FromPath[int],
        pages: NamedDependency[Pages],
        bookings: NamedDependency[Bookings],
        booking_rate: NamedDependency[BookingRate],
        held_times: NamedDependency[HeldTimes],
        slots: NamedDependency[Slots],
    ) -> Response[Any]:
        form = await Form.of(request)
        theirs = await _theirs(request, bookings, booking_id, form.text("token"))
        if theirs.booking.status is not BookingStatus.PENDING:
            return see_other(request, theirs.address)
        try:
            return await _change_seats(request, booking_rate, held_times, theirs, form)
        except InvalidInput as error:
            form.refuse(error)
            return await _show(request, pages, slots, theirs, form, 400)
        except SlotFull as full:
            form.errors["seats"] = f"Not so many are free: you can have {full.available_seats} at most."
            return await _show(request, pages, slots, theirs, form, 409)

    @post("/bookings/{booking_id:int}/release", **page(ANYBODY))
    async def release_hold(
        self, request: PageRequest, booking_id: FromPath[int], bookings: NamedDependency[Bookings]
    ) -> Response[Any]:
        form = await Form.of(request)
        token = form.text("token") or None
        caller = visitor_in(request).as_caller(booking_id, token)
        status = await bookings.release_hold(caller, booking_id)
        if status is BookingStatus.CONFIRMED:
            return see_other(
                request,
                address_of_booking(booking_id, token),
                notice="This appointment was confirmed already, so it stays.",
            )
        cookies = [clear_cookie(request, "hold"), attempt_cookie(request)]
        return see_other(request, "/", notice="We have let that time go. Choose another one.", cookies=cookies)

    @get(["/bookings/{booking_id:int}/confirm", "/bookings/{booking_id:int}/seats"], **page(ANYBODY))
    async def lead_back(self, request: PageRequest, booking_id: FromPath[int]) -> Response[Any]:
        """The address of a form that was answered with a page, opened again."""
        return see_other(request, f"/bookings/{booking_id}")

    @get("/bookings/{booking_id:int}/cancel", **page(ANYBODY))
    async def ask_before_cancelling(
        self,
        request: PageRequest,
        booking_id: FromPath[int],
        pages: NamedDependency[Pages],
        bookings: NamedDependency[Bookings],
        token: Token = None,
    ) -> Response[Any]:
        theirs = await _theirs(request, bookings, booking_id, token)
        if theirs.booking.status is not BookingStatus.CONFIRMED:
            return see_other(request, theirs.address)
        return pages.answer(request, "cancel.html", booking=theirs.booking, token=theirs.token, address=theirs.address)

    @post("/bookings/{booking_id:int}/cancel", **page(ANYBODY))
    async def cancel_booking(
        self, request: PageRequest, booking_id: FromPath[int], bookings: NamedDependency[Bookings]
    ) -> Response[Any]:
        form = await Form.of(request)
        theirs = await _theirs(request, bookings, booking_id, form.text("token"))
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
        theirs = await _theirs(request, bookings, booking_id, token)
        entry = await calendars.get_calendar_entry(theirs.caller, booking_id)
        file = calendar_of(entry, pages.time.zone, pages.clinic_name, _link(request, theirs))
        headers = {**HEADERS, "Content-Disposition": 'attachment; filename="appointment.ics"'}
        return Response(file, media_type=MEDIA_TYPE, headers=headers)


async def _theirs(request: PageRequest, bookings: Bookings, booking_id: int, token: str | None) -> Theirs:
    """Raises `BookingNotFound` for whoever may not manage it: a stranger is not told that it exists."""
    if not 0 < booking_id <= MAX_ID or len(token or "") > MAX_TOKEN_CHARACTERS:
        raise BookingNotFound
    caller = visitor_in(request).as_caller(booking_id, token or None)
    return Theirs(caller, caller.manage_token, await bookings.get_managed_booking(caller, booking_id))


async def _show(
    request: PageRequest, pages: Pages, slots: Slots, theirs: Theirs, form: Form | None = None, status: int = 200
) -> Response[Any]:
    booking = theirs.booking
    slot = await slots.get_slot(booking.slot_id)
    ended = booking.status in {BookingStatus.FAILED, BookingStatus.CANCELLED}
    return pages.answer(
        request,
        "booking.html",
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
        cookies=[clear_cookie(request, "hold")] if ended and _is_held_by(request, booking) else [],
    )


async def _show_refusal(request: PageRequest, pages: Pages, refusal: SlotwiseError, slot: Slot) -> Response[Any]:
    """A refusal is kept for its key, so the next try must have another."""
    words = words_of(refusal)
    return pages.answer(
        request,
        "taken.html",
        words.status,
        cookies=[attempt_cookie(request)],
        slot=slot,
        code=refusal.code,
        available=getattr(refusal, "available_seats", 0),
    )


async def _change_seats(
    request: PageRequest, booking_rate: BookingRate, held_times: HeldTimes, theirs: Theirs, form: Form
) -> Response[Any]:
    """It counts as booking: of many at once, each takes seats before the hold that they all replace is let go."""
    seats = form.number("seats", 1, MAX_SEATS)
    booking_rate.admit(address_of(request))
    wish = Wish(theirs.booking.slot_id, seats, visitor_in(request).attempt)
    held = await held_times.change_seats(theirs.caller, theirs.booking, wish)
    hold = HeldTime(held.booking.id, held.manage.token)
    got = held.booking.seats_booked
    plural = "seat" if got == 1 else "seats"
    only = "" if got == seats else "Somebody was quicker: "
    return see_other(
        request,
        address_of_booking(hold.booking_id, hold.token),
        notice=f"{only}We are holding {got} {plural} for you now. Confirm when you are ready.",
        cookies=[hold_cookie(request, hold), attempt_cookie(request), *_drafted(request, form)],
    )


def _wants_other_seats(form: Form, booking: Booking) -> bool:
    if booking.status is not BookingStatus.PENDING or "seats" not in form:
        return False
    return form.number("seats", 1, MAX_SEATS) != booking.seats_booked


def _person(form: Form) -> tuple[str, str]:
    """Name and address; raises `InvalidInput` with what is wrong with both."""
    faults: list[FieldError] = []
    cleaned: list[str] = []
    for clean, field in ((clean_name, "user_name"), (clean_email, "user_email")):
        try:
            cleaned.append(clean(field, form.text(field)))
        except InvalidInput as error:
            faults += error.errors
    if faults:
        raise InvalidInput(*faults)
    return cleaned[0], cleaned[1]


def _empty_form(request: PageRequest, booking: Booking) -> Form:
    """With what is known: what was typed for a hold before, else the account's."""
    visitor = visitor_in(request)
    user, draft = visitor.user, visitor.draft
    own = user is not None and not user.at_desk
    return Form(
        {
            "user_name": booking.user_name or draft.user_name or (user.name if user and own else ""),
            "user_email": booking.user_email or draft.user_email or (user.email if user and own else ""),
            "seats": str(booking.seats_booked),
        }
    )


def _drafted(request: PageRequest, form: Form) -> list[Cookie]:
    """What was typed already goes along to the next hold."""
    draft = Draft(form.text("user_name")[:200], form.text("user_email")[:254])
    return [draft_cookie(request, draft)] if draft != Draft() else []


def _link(request: PageRequest, theirs: Theirs) -> str | None:
    """By which they come back without an account."""
    origin = own_origin(request)
    return f"{origin}{theirs.address}" if theirs.token and origin else None


def _is_on_offer(slot: Slot, seats: int, pages: Pages) -> bool:
    return slot.status == "OPEN" and slot.start_time > pages.time.now() and slot.available_seats >= seats


def _is_held_by(request: PageRequest, booking: Booking) -> bool:
    hold = visitor_in(request).hold
    return hold is not None and hold.booking_id == booking.id
