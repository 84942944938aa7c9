"""From a free time to an appointment: hold it, change its seats, confirm it with a name, or release it."""

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
    TimeGone,
)
from slotwise.domain.fields import MAX_ID, clean_email, clean_name
from slotwise.domain.slots import MAX_SEATS, Slot
from slotwise.services.booking.batches import Held
from slotwise.services.booking.bookings import Bookings
from slotwise.services.booking.clinic_changes import ClinicChanges
from slotwise.services.booking.offered_times import OpenTime
from slotwise.services.booking.page_holds import OpenTimeChoice, PageHolds, TimeChoice
from slotwise.services.core.callers import Caller
from slotwise.services.core.rate_limits import BookingRate
from slotwise.services.schedule.slots import Slots
from slotwise.web.booking.appointment import Appointment, managed_booking, show_appointment, url_of_booking
from slotwise.web.booking.visits import VISIT_REFUSALS, choose_visit, open_time_again
from slotwise.web.kit.access import ANYBODY, PageRequest, client_ip_of, page_for, visitor_in
from slotwise.web.kit.errors import seats_left_words, words_of
from slotwise.web.kit.forms import Form, read_all
from slotwise.web.kit.parts import page_parts
from slotwise.web.kit.rendering import Renderer, see_other
from slotwise.web.kit.time_filters import EXCLUDED, filters_in, is_excluded, url_of_times, url_with
from slotwise.web.kit.visitors import BookingToken, attempt_cookie, clear_cookie, draft_cookie, draft_of, hold_cookie

PAGE = "/bookings/{booking_id}"


class HoldController(Controller):
    path = "/"

    @post("/hold", **page_for(ANYBODY))
    async def hold_time(
        self,
        request: PageRequest,
        renderer: NamedDependency[Renderer],
        page_holds: NamedDependency[PageHolds],
        booking_rate: NamedDependency[BookingRate],
        slots: NamedDependency[Slots],
    ) -> Response[Any]:
        form = await Form.of(request)
        request.state.typed = form
        booking_rate.admit(client_ip_of(request))
        if form.text("time"):
            return await _hold_open_time(request, renderer, page_holds, form, form.text("time"))
        slot_id, seats = form.number("slot", 1, MAX_ID), _seats_in(form)
        slot = await slots.get_slot(slot_id)
        filters = filters_in(form.values)
        if filters and is_excluded(renderer, filters, slot):
            return see_other(request, url_with(filters, form.text("seats")), notice=EXCLUDED)
        visit = await choose_visit(request, slot, form)
        if visit.choices:
            return renderer.answer(
                request, "booking/choose_visit.html", slot=slot, seats=seats, choices=visit.choices, form=form
            )
        try:
            held = await _hold(request, page_holds, slot_id, seats, visit.visit_type_id)
        except (SlotFull, SlotClosed, SlotStarted, *VISIT_REFUSALS) as refusal:
            again = await open_time_again(request, slot, visit.visit_type_id) if _is_closed(refusal) else None
            if again is not None:
                return await _hold_open_time(request, renderer, page_holds, form, again)
            return await _show_refusal(request, renderer, refusal, await slots.get_slot(slot_id), visit.visit_type_id)
        return see_other(request, _url_of_hold(held), cookies=_cookies_of(request, held, form))

    @post("/bookings/{booking_id:int}/confirm", **page_for(ANYBODY, form_on=PAGE))
    async def confirm_booking(
        self,
        request: PageRequest,
        booking_id: FromPath[int],
        renderer: NamedDependency[Renderer],
        bookings: NamedDependency[Bookings],
        booking_rate: NamedDependency[BookingRate],
        page_holds: NamedDependency[PageHolds],
        slots: NamedDependency[Slots],
        clinic_changes: NamedDependency[ClinicChanges],
    ) -> Response[Any]:
        form = await Form.of(request)
        request.state.typed = form
        managed = await managed_booking(request, bookings, booking_id, form.text("token"))
        try:
            name, email = _person(form)
            if _wants_other_seats(form, managed.booking):
                managed = await _with_other_seats(request, booking_rate, page_holds, managed, form)
            await bookings.confirm_booking(managed.caller, managed.booking.id, name, email)
        except (
            InvalidInput,
            SlotFull,
            SlotClosed,
            SlotStarted,
            HoldExpired,
            BookingCancelled,
            *VISIT_REFUSALS,
        ) as error:
            _explain(form, error, managed.booking)
            managed = await managed_booking(request, bookings, managed.booking.id, managed.token)
            return await show_appointment(
                request, renderer, slots, bookings, clinic_changes, managed, form, words_of(error).status
            )
        cookies = [clear_cookie(request, "hold"), clear_cookie(request, "draft")]
        return see_other(request, managed.url, notice="Your appointment is booked.", cookies=cookies)

    @post("/bookings/{booking_id:int}/seats", **page_for(ANYBODY, form_on=PAGE))
    async def change_seats(
        self,
        request: PageRequest,
        booking_id: FromPath[int],
        renderer: NamedDependency[Renderer],
        bookings: NamedDependency[Bookings],
        booking_rate: NamedDependency[BookingRate],
        page_holds: NamedDependency[PageHolds],
        slots: NamedDependency[Slots],
        clinic_changes: NamedDependency[ClinicChanges],
    ) -> Response[Any]:
        form = await Form.of(request)
        request.state.typed = form
        managed = await managed_booking(request, bookings, booking_id, form.text("token"))
        if managed.booking.status is BookingStatus.CONFIRMED:
            return see_other(request, managed.url)
        try:
            changed = await _with_other_seats(request, booking_rate, page_holds, managed, form)
        except (InvalidInput, SlotFull, SlotClosed, SlotStarted, *VISIT_REFUSALS) as error:
            _explain(form, error, managed.booking)
            managed = await managed_booking(request, bookings, booking_id, form.text("token"))
            return await show_appointment(
                request, renderer, slots, bookings, clinic_changes, managed, form, words_of(error).status
            )
        hold = BookingToken(changed.booking.id, changed.token or "")
        seats = changed.booking.seats_booked
        people = "1 person" if seats == 1 else f"{seats} people"
        notice = f"We are now holding this time for {people}. Confirm the appointment before the hold ends."
        return see_other(request, changed.url, notice=notice, cookies=_cookies_of(request, hold, form))

    @post("/bookings/{booking_id:int}/release", **page_for(ANYBODY, form_on=PAGE))
    async def release_hold(
        self,
        request: PageRequest,
        booking_id: FromPath[int],
        renderer: NamedDependency[Renderer],
        bookings: NamedDependency[Bookings],
    ) -> Response[Any]:
        form = await Form.of(request)
        managed = await managed_booking(request, bookings, booking_id, form.text("token"))
        if await bookings.release_hold(managed.caller, booking_id) is BookingStatus.CONFIRMED:
            stays = "This appointment is already confirmed, so it stays. To give it up, cancel it."
            return see_other(request, managed.url, notice=stays)
        booking = managed.booking
        day = renderer.time_of(booking.clinic_id).day_of(booking.start_time)
        cookies = [clear_cookie(request, "hold"), clear_cookie(request, "draft"), attempt_cookie(request)]
        gone = "We no longer hold that time for you. Choose another one."
        others = url_of_times(renderer, booking.clinic_id, visit=booking.visit_type_id, day=day)
        return see_other(request, others, notice=gone, cookies=cookies)

    @get(["/bookings/{booking_id:int}/confirm", "/bookings/{booking_id:int}/seats"], **page_for(ANYBODY))
    async def lead_back(self, request: PageRequest, booking_id: FromPath[int]) -> Response[Any]:
        """The URL of a form that was answered with a page, opened again: show the booking."""
        return see_other(request, f"/bookings/{booking_id}")


def _seats_in(form: Form) -> int:
    """None or an empty number asks for one person, as in the URL of the page with the times."""
    return form.number("seats", 1, MAX_SEATS) if form.text("seats") else 1


async def _hold(
    request: PageRequest, page_holds: PageHolds, slot_id: int, seats: int, visit_type_id: int | None
) -> Held | BookingToken:
    """A visitor who chooses the time that they already hold keeps that hold, with another number of seats if wanted."""
    visitor = visitor_in(request)
    hold, choice = visitor.hold, TimeChoice(slot_id, seats, visitor.attempt, visit_type_id)
    own = await page_holds.find_hold(visitor.as_caller(hold.booking_id), hold.booking_id) if hold else None
    if own is None or hold is None:
        # A hold that has ended needs no release.
        return await page_holds.hold_time(visitor.as_caller(), choice)
    if (own.booking.slot_id, own.booking.visit_type_id) != (slot_id, visit_type_id):
        return await page_holds.hold_time(own.caller, choice, own.booking.id)
    if own.booking.seats_booked == seats:
        return hold
    return await page_holds.change_seats(own.caller, own.booking, choice) or hold


async def _hold_open_time(
    request: PageRequest, renderer: Renderer, page_holds: PageHolds, form: Form, time_id: str
) -> Response[Any]:
    time = await page_parts(request).services.offered_times.get_open_time(time_id)
    filters = filters_in(form.values)
    if is_excluded(renderer, filters, time) or _seats_in(form) > 1:
        return see_other(request, url_with(filters, form.text("seats")), notice=EXCLUDED)
    try:
        held = await _hold_or_keep(request, page_holds, time)
    except (SlotFull, SlotStarted, TimeGone, *VISIT_REFUSALS) as refusal:
        return await _show_refusal(request, renderer, refusal, time, time.visit_type_id)
    return see_other(request, _url_of_hold(held), cookies=_cookies_of(request, held, form))


async def _hold_or_keep(request: PageRequest, page_holds: PageHolds, time: OpenTime) -> Held | BookingToken:
    """A visitor who chooses the time that they already hold keeps that hold."""
    visitor = visitor_in(request)
    hold, choice = visitor.hold, OpenTimeChoice(time, visitor.attempt)
    own = await page_holds.find_hold(visitor.as_caller(hold.booking_id), hold.booking_id) if hold else None
    if own is None or hold is None:
        return await page_holds.hold_open_time(visitor.as_caller(), choice)
    booking = own.booking
    held = (booking.doctor_id, booking.start_time, booking.visit_type_id)
    if held == (time.doctor_id, time.start_time, time.visit_type_id):
        return hold
    return await page_holds.hold_open_time(own.caller, choice, booking.id)


async def _with_other_seats(
    request: PageRequest, booking_rate: BookingRate, page_holds: PageHolds, managed: Appointment, form: Form
) -> Appointment:
    """Counts against the booking rate limit; otherwise a client could keep seats by changing them endlessly."""
    seats = form.number("seats", 1, MAX_SEATS)
    booking_rate.admit(client_ip_of(request))
    choice = TimeChoice(managed.booking.slot_id, seats, visitor_in(request).attempt)
    held = await page_holds.change_seats(managed.caller, managed.booking, choice)
    if held is None:
        return managed
    token = held.manage.token
    return Appointment(Caller(managed.caller.user, token), token, held.booking)


def _is_closed(refusal: SlotwiseError) -> bool:
    """A slot that was made for a visit in open time is closed to those who name it. Its time may be free again."""
    return isinstance(refusal, SlotClosed)


async def _show_refusal(
    request: PageRequest,
    renderer: Renderer,
    refusal: SlotwiseError,
    time: Slot | OpenTime,
    visit_type_id: int | None = None,
) -> Response[Any]:
    """Sets a new attempt: a refusal is stored under its idempotency key, so the next try needs a new key."""
    return renderer.answer(
        request,
        "booking/taken.html",
        words_of(refusal).status,
        clinic_id=time.clinic_id,
        cookies=[attempt_cookie(request)],
        time=time,
        code=refusal.code,
        available=getattr(refusal, "available_seats", 0),
        others=url_of_times(
            renderer,
            time.clinic_id,
            visit=visit_type_id,
            doctor=time.doctor_id,
            day=renderer.time_of(time.clinic_id).day_of(time.start_time),
        ),
        of_specialty=url_of_times(renderer, time.clinic_id, visit=visit_type_id, speciality=time.specialization),
    )


def _explain(form: Form, error: SlotwiseError, booking: Booking) -> None:
    """Say what is wrong at the field or above the form. Where the hold has ended, the page itself says so."""
    match error:
        case InvalidInput():
            form.refuse(error)
        case SlotFull():
            form.errors["seats"] = seats_left_words(error.available_seats)
        case SlotClosed() | SlotStarted() if booking.status is BookingStatus.PENDING:
            form.problem = "The number of people can no longer be changed. We still hold this time for you."
        case _ if isinstance(error, VISIT_REFUSALS):
            form.problem = f"{words_of(error).heading}. {words_of(error).advice}"


def _wants_other_seats(form: Form, booking: Booking) -> bool:
    """True also for a hold that has ended: the first of two clicks may have replaced it."""
    if booking.status is BookingStatus.CONFIRMED or "seats" not in form:
        return False
    return form.number("seats", 1, MAX_SEATS) != booking.seats_booked


def _person(form: Form) -> tuple[str, str]:
    """Name and e-mail. Raises `InvalidInput` with the faults of both."""
    read = read_all(
        {
            "user_name": partial(clean_name, "user_name", form.text("user_name")),
            "user_email": partial(clean_email, "user_email", form.text("user_email")),
        }
    )
    return read["user_name"], read["user_email"]


def _url_of_hold(held: Held | BookingToken) -> str:
    hold = _token_of(held)
    return url_of_booking(hold.booking_id, hold.token)


def _cookies_of(request: PageRequest, held: Held | BookingToken, form: Form) -> list[Cookie]:
    """Also keeps what was typed, for the form of the next hold."""
    draft = draft_of(form.text("user_name"), form.text("user_email"))
    drafted = [draft_cookie(request, draft)] if draft else []
    return [hold_cookie(request, _token_of(held)), attempt_cookie(request), *drafted]


def _token_of(held: Held | BookingToken) -> BookingToken:
    return held if isinstance(held, BookingToken) else BookingToken(held.booking.id, held.manage.token)
