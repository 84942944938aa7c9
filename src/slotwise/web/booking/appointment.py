"""One appointment: see it, cancel it, put it in a calendar. With an account or by its link."""

import asyncio
from functools import partial
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode

from litestar import Controller, Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from msgspec.structs import replace

from slotwise.domain.bookings import Booking, BookingStatus
from slotwise.domain.errors import BookingFailed, BookingNotFound
from slotwise.domain.fields import MAX_ID
from slotwise.domain.visit_types import VisitMode
from slotwise.services.booking.bookings import Bookings
from slotwise.services.booking.calendars import CalendarEntry, Calendars
from slotwise.services.booking.clinic_changes import ClinicChange, ClinicChanges
from slotwise.services.core.callers import Caller
from slotwise.services.schedule.slots import Slots
from slotwise.web.booking.clinic_changes import CANCELLED, RELEASED, ChangeWords, moved_words, with_doctor_words
from slotwise.web.booking.visits import VisitWords, open_time_again, visit_of
from slotwise.web.kit.access import ANYBODY, PageRequest, ask_for_account, own_origin, page_for, visitor_in
from slotwise.web.kit.forms import Form
from slotwise.web.kit.rendering import HEADERS, Renderer, see_other
from slotwise.web.kit.time_filters import url_of_times
from slotwise.web.kit.visitors import attempt_cookie, clear_cookie, draft_cookie, draft_of

Token = Annotated[str | None, QueryParameter(name="token", max_length=200)]
MAX_TOKEN_CHARACTERS = 200
CALENDAR_TYPE = "text/calendar; method=PUBLISH"


class Appointment(NamedTuple):
    """A booking that the visitor may manage. `token` is None if they may do so only by their account."""

    caller: Caller
    token: str | None
    booking: Booking

    @property
    def url(self) -> str:
        return url_of_booking(self.booking.id, self.token)


def url_of_booking(booking_id: int, token: str | None) -> str:
    query = f"?{urlencode({'token': token})}" if token else ""
    return f"/bookings/{booking_id}{query}"


class AppointmentController(Controller):
    path = "/"

    @get("/bookings/{booking_id:int}", **page_for(ANYBODY))
    async def show_booking(
        self,
        request: PageRequest,
        booking_id: FromPath[int],
        renderer: NamedDependency[Renderer],
        bookings: NamedDependency[Bookings],
        slots: NamedDependency[Slots],
        clinic_changes: NamedDependency[ClinicChanges],
        token: Token = None,
    ) -> Response[Any]:
        managed = await managed_booking(request, bookings, booking_id, token)
        return await show_appointment(request, renderer, slots, bookings, clinic_changes, managed)

    @get("/bookings/{booking_id:int}/cancel", **page_for(ANYBODY))
    async def ask_before_cancelling(
        self,
        request: PageRequest,
        booking_id: FromPath[int],
        renderer: NamedDependency[Renderer],
        bookings: NamedDependency[Bookings],
        token: Token = None,
    ) -> Response[Any]:
        managed = await managed_booking(request, bookings, booking_id, token)
        if managed.booking.status is not BookingStatus.CONFIRMED:
            return see_other(request, managed.url)
        return renderer.answer(
            request,
            "booking/cancel.html",
            clinic_id=managed.booking.clinic_id,
            booking=managed.booking,
            token=managed.token,
            booking_url=managed.url,
            form=Form(),
        )

    @post("/bookings/{booking_id:int}/cancel", **page_for(ANYBODY))
    async def cancel_booking(
        self, request: PageRequest, booking_id: FromPath[int], bookings: NamedDependency[Bookings]
    ) -> Response[Any]:
        form = await Form.of(request)
        managed = await managed_booking(request, bookings, booking_id, form.text("token"))
        try:
            ended = await bookings.cancel_booking(managed.caller, booking_id)
        except BookingFailed:
            return see_other(request, managed.url)
        told = "We no longer hold that time for you." if ended.released else "Your appointment is cancelled."
        return see_other(request, managed.url, notice=told)

    @get("/bookings/{booking_id:int}/calendar.ics", **page_for(ANYBODY))
    async def get_calendar_entry(
        self,
        request: PageRequest,
        booking_id: FromPath[int],
        renderer: NamedDependency[Renderer],
        bookings: NamedDependency[Bookings],
        calendars: NamedDependency[Calendars],
        clinic_changes: NamedDependency[ClinicChanges],
        token: Token = None,
    ) -> Response[bytes]:
        managed = await managed_booking(request, bookings, booking_id, token)
        entry = await calendars.get_calendar_entry(managed.caller, booking_id)
        link = _link(request, managed) if managed.token else None
        changes = await clinic_changes.list_clinic_changes([managed.booking])
        told = _told_in_calendar(changes.get(booking_id), managed.booking, entry, renderer)
        visit = await visit_of(request, managed.booking)
        location = location_words(renderer, managed.booking, visit)
        file = await asyncio.to_thread(_calendar_file, entry, location, link, told, visit)
        headers = {**HEADERS, "Content-Disposition": 'attachment; filename="appointment.ics"'}
        return Response(file, media_type=CALENDAR_TYPE, headers=headers)


async def managed_booking(request: PageRequest, bookings: Bookings, booking_id: int, token: str | None) -> Appointment:
    """Raises `BookingNotFound` also for a visitor who may not manage it: strangers do not learn that it exists.

    A form without a log-in or a link may be of an account whose session has ended: it asks to log in first.
    """
    if request.method == "POST" and visitor_in(request).as_caller(booking_id, token or None).is_stranger:
        await ask_for_account(request)
    if not 0 < booking_id <= MAX_ID or len(token or "") > MAX_TOKEN_CHARACTERS:
        raise BookingNotFound
    caller = visitor_in(request).as_caller(booking_id, token or None)
    found = await bookings.get_managed_booking(caller, booking_id)
    proven = found.caller
    if proven.user and proven.manage_token and not await bookings.opens(proven.manage_token, booking_id):
        # The account gives access, and the token in the URL is wrong: leave it out of links.
        proven = replace(proven, manage_token=None)
    return Appointment(proven, proven.manage_token, found.booking)


async def show_appointment(
    request: PageRequest,
    renderer: Renderer,
    slots: Slots,
    bookings: Bookings,
    clinic_changes: ClinicChanges,
    managed: Appointment,
    form: Form | None = None,
    status: int = 200,
) -> Response[Any]:
    booking = managed.booking
    time = renderer.time_of(booking.clinic_id)
    slot = await slots.get_slot(booking.slot_id)
    ended = booking.status in {BookingStatus.FAILED, BookingStatus.CANCELLED}
    again = await open_time_again(request, booking, booking.visit_type_id) if ended else None
    return renderer.answer(
        request,
        "booking/appointment.html",
        status,
        clinic_id=booking.clinic_id,
        booking=booking,
        slot=slot,
        token=managed.token,
        form=form or _empty_form(request, booking),
        link=_link(request, managed),
        started=booking.start_time <= time.now(),
        # The URL of this page, also when it answers a form.
        headers={"HX-Push-Url": managed.url},
        chosen=await _chosen_instead(request, bookings, booking) if ended and booking.confirmed_at is None else None,
        offer=await slots.get_offer(slot.id, booking.seats_booked, booking.visit_type_id) if ended else None,
        again=again,
        others=partial(url_of_times, renderer, booking.clinic_id, visit=booking.visit_type_id),
        visit=await visit_of(request, booking),
        changes=ChangeWords(await clinic_changes.list_clinic_changes([booking]), renderer.time_of),
        now=time.now(),
        cookies=[
            *([clear_cookie(request, "hold")] if ended and _is_held_by(request, booking) else []),
            # A refusal is stored under its idempotency key, so the next try needs a new key.
            *([attempt_cookie(request)] if form else []),
            *(_draft_cookies(request, form) if form and ended else []),
        ],
    )


def _draft_cookies(request: PageRequest, form: Form) -> list[Cookie]:
    """What was typed for a hold that has ended, for the form of the next one."""
    draft = draft_of(form.text("user_name"), form.text("user_email"))
    return [draft_cookie(request, draft)] if draft else []


async def _chosen_instead(request: PageRequest, bookings: Bookings, released: Booking) -> Appointment | None:
    """The visitor's newer hold, for the page of the hold that they gave up for it, perhaps in another tab."""
    hold = visitor_in(request).hold
    if hold is None or hold.booking_id <= released.id:
        return None
    try:
        chosen = await bookings.get_managed_booking(Caller(None, hold.token), hold.booking_id)
    except BookingNotFound:
        return None
    stands = chosen.booking.status in {BookingStatus.PENDING, BookingStatus.CONFIRMED}
    return Appointment(chosen.caller, hold.token, chosen.booking) if stands else None


def _empty_form(request: PageRequest, booking: Booking) -> Form:
    """Filled in from the booking, from what was typed for an earlier hold, or from the account."""
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


def _link(request: PageRequest, managed: Appointment) -> str | None:
    """The link to this appointment. With a token it works without an account."""
    origin = own_origin(request)
    return f"{origin}{managed.url}" if origin else None


def _is_held_by(request: PageRequest, booking: Booking) -> bool:
    hold = visitor_in(request).hold
    return hold is not None and hold.booking_id == booking.id


def _told_in_calendar(
    change: ClinicChange | None, booking: Booking, entry: CalendarEntry, renderer: Renderer
) -> str | None:
    """The entry was read after the booking, so only what never changes is asked of the booking."""
    if change is None or entry.status is BookingStatus.FAILED:
        return None
    if entry.status is BookingStatus.CANCELLED:
        ended = RELEASED if booking.confirmed_at is None else CANCELLED
        return ended if change.cancelled else None
    time = renderer.time_of(booking.clinic_id)
    with time.noting_what_is_shown():
        words = moved_words(change, entry.start_time, entry.end_time, time)
        # Calendars show the appointment itself in the zone of their owner.
        moved = f"{words} That is in the clinic's time zone, {time.zone_words}." if words else None
        return with_doctor_words(change, moved)


def location_words(renderer: Renderer, booking: Booking, visit: VisitWords | None) -> str:
    """Where the appointment is, for calendars. Where there are several clinics, with the name of this one.

    A call is at no address: calendars tell their owners when to set out for one.
    """
    if visit is not None and visit.visit_type.mode is VisitMode.VIDEO:
        return visit.video_link or "Video call"
    if visit is not None and visit.visit_type.mode is VisitMode.TELEPHONE:
        return "Telephone call"
    clinic = renderer.clinics.get(booking.clinic_id)
    return f"{clinic.name}, {clinic.address}" if renderer.clinics.several and clinic.address else clinic.location


def _calendar_file(
    entry: CalendarEntry, location: str, link: str | None, told: str | None, visit: VisitWords | None
) -> bytes:
    """Runs in a thread: the first call imports the library, which takes 0.1 s and is left out of a worker's start."""
    from slotwise.web.booking.calendars import calendar_of  # noqa: PLC0415 - see above

    return calendar_of(entry, location, link, told, visit)
