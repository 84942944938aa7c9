"""Booking for a patient who calls or stands at the desk."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from msgspec.structs import replace

from slotwise.domain.bookings import SeatRequest
from slotwise.domain.errors import OutcomeUnknown, SlotwiseError
from slotwise.domain.fields import clean_email, clean_name
from slotwise.domain.slots import MAX_SEATS, Slot
from slotwise.services.booking.bookings import Bookings
from slotwise.services.core.idempotency import IdempotencyKey
from slotwise.services.desk.history import BookingHistory
from slotwise.services.schedule.free_times import MOST_DOCTORS, FreeTimes, NextTimes, TimeQuery
from slotwise.services.schedule.slots import Slots
from slotwise.web.booking.appointment import url_of_booking
from slotwise.web.desk.bookings import LIST
from slotwise.web.kit.access import DESK, PageRequest, account_in, own_origin, page_for, require_clinic, visitor_in
from slotwise.web.kit.clinics import clinics_to_choose
from slotwise.web.kit.errors import refuse
from slotwise.web.kit.forms import Form, read_all
from slotwise.web.kit.kept_forms import kept_form_of
from slotwise.web.kit.parts import page_parts
from slotwise.web.kit.queries import Id, id_in, query_form
from slotwise.web.kit.rendering import Renderer, see_other
from slotwise.web.kit.time_filters import EXCLUDED, filters_in, is_excluded, url_with
from slotwise.web.kit.visitors import (
    BookingToken,
    Draft,
    Visitor,
    clear_cookie,
    draft_cookie,
    draft_of,
    new_attempt,
    read_slip,
    slip_cookie,
)
from slotwise.web.schedule.free_times_query import MOST_SEATS, FindQuery, find_query_in, url_of

NEW = f"{LIST}/new"
ROUTE = f"POST {NEW}"
TIMES_TEMPLATE = "desk/phone_booking/find_time.html"
UNKNOWN = "We do not know whether that worked. Press the button again: the patient is not booked twice."
SHOWN_ONCE = "The link for the patient was shown once, after booking, and cannot be shown again."


class PhoneBookingController(Controller):
    path = LIST

    @get("/new", **page_for(DESK))
    async def ask_for_patient(
        self,
        request: PageRequest,
        renderer: NamedDependency[Renderer],
        slots: NamedDependency[Slots],
        free_times: NamedDependency[FreeTimes],
    ) -> Response[Any]:
        """Shows the next free times to choose from. With a time in the URL, asks for whom it is."""
        slot_id, query = id_in(query_form(request, "slot"), "slot"), find_query_in(request.query_params)
        if slot_id is None:
            return await _show_times(request, renderer, query, free_times)
        filters = filters_in(request.query_params)
        if filters and is_excluded(renderer, filters, await slots.get_slot(slot_id), with_later_days=True):
            seats = request.query_params.get("seats", "").strip()
            return see_other(request, url_with(filters, seats, NEW), notice=EXCLUDED)
        forgets = "forget" in request.query_params
        draft = Draft() if forgets else visitor_in(request).draft_by(account_in(request).id)
        typed = {"user_name": draft.user_name, "user_email": draft.user_email, "seats": str(query.times.seats)}
        wanted = "" if query.times.visit_type_id is None else str(query.times.visit_type_id)
        form = Form({"slot": str(slot_id), "key": new_attempt(), "visit_type": wanted, **typed})
        cookies = [clear_cookie(request, "draft")] if forgets else []
        kept = kept_form_of(request, account_in(request))
        if kept is not None:
            # The time may be taken by now. Then the next one is for the same patient.
            cookies = _kept(request, Form(dict(kept.fields)))
        return await _show(request, renderer, slots, form, cookies=cookies, recalled=draft != Draft())

    @post("/new", **page_for(DESK, form_on="/admin/bookings/new?slot={slot}"))
    async def hold_seats(
        self,
        request: PageRequest,
        renderer: NamedDependency[Renderer],
        bookings: NamedDependency[Bookings],
        slots: NamedDependency[Slots],
    ) -> Response[Any]:
        form = await Form.of(request)
        visitor = visitor_in(request)
        try:
            wanted = seat_request_in(form)
            held = await bookings.hold_seats(visitor.as_caller(), wanted, _key_of(visitor, form, wanted))
        except SlotwiseError as error:
            status = refuse(form, error)
            if isinstance(error, OutcomeUnknown):
                form.problem = UNKNOWN
            else:
                form.values["key"] = new_attempt()  # a refusal is stored under its key
            return await _show(request, renderer, slots, form, status, cookies=_kept(request, form))
        slip = BookingToken(held.booking.id, held.manage.token)
        cookies = [slip_cookie(request, slip), clear_cookie(request, "draft")]
        return see_other(request, f"{LIST}/{slip.booking_id}/slip", cookies=cookies)

    @get("/{booking_id:int}/slip", **page_for(DESK))
    async def show_slip(
        self,
        request: PageRequest,
        booking_id: Id,
        renderer: NamedDependency[Renderer],
        booking_history: NamedDependency[BookingHistory],
    ) -> Response[Any]:
        """Shows the patient's link once. The database does not store its token, so it cannot be shown again."""
        slip = read_slip(request, booking_id)
        if slip is None:
            return see_other(request, f"{LIST}/{booking_id}", notice=SHOWN_ONCE)
        booking = await booking_history.get_slip(account_in(request), booking_id)
        link = f"{own_origin(request) or ''}{url_of_booking(booking_id, slip.token)}"
        return renderer.answer(
            request,
            "desk/bookings/slip.html",
            clinic_id=booking.clinic_id,
            cookies=[clear_cookie(request, "slip")],
            booking=booking,
            link=link,
            opens_everywhere=renderer.origin is not None,
        )


def seat_request_in(form: Form) -> SeatRequest:
    """Raises `InvalidInput` with all faults.

    The booking belongs to no account: it is not the receptionist's, and the e-mail does not prove whose it is.
    """
    values = read_all(
        {
            "user_name": lambda: clean_name("user_name", form.text("user_name")),
            "user_email": lambda: clean_email("user_email", form.text("user_email")),
            "seats": lambda: form.number("seats", 1, MAX_SEATS),
            "slot": lambda: form.number("slot", 1, 10**18 - 1),
        }
    )
    return SeatRequest(
        values["slot"],
        values["seats"],
        None,
        values["user_name"],
        values["user_email"],
        confirm=True,
        visit_type_id=id_in(form, "visit_type"),
    )


def _key_of(visitor: Visitor, form: Form, wanted: SeatRequest) -> IdempotencyKey:
    """The form carries the key, so a form that is sent twice books once."""
    return IdempotencyKey.of(visitor.actor, ROUTE, form.text("key") or new_attempt(), msgspec.json.encode(wanted))


def _kept(request: PageRequest, form: Form) -> list[Cookie]:
    """Keeps what was typed: after a refusal, the next time is for the same patient."""
    draft = draft_of(form.text("user_name"), form.text("user_email"), account_in(request).id)
    return [draft_cookie(request, draft)] if draft else []


async def _show_times(
    request: PageRequest, renderer: Renderer, query: FindQuery, free_times: FreeTimes
) -> Response[Any]:
    """Only times that the account may book: at the clinics that it works for."""
    within = account_in(request).books_at
    found = await free_times.list_next_times(replace(query.times, within=within))
    return renderer.answer(request, TIMES_TEMPLATE, **context_of(renderer, query, found, within))


def context_of(
    renderer: Renderer, query: FindQuery, found: NextTimes | None, within: frozenset[int] | None = None
) -> dict[str, Any]:
    """What the template shows."""
    times = [renderer.at_clinic(slot) for slot in found.times] if found else []
    later = replace(found.query, after=found.rest) if found and found.rest else None
    return {
        "found": found,
        "unread": query.unread,
        "clinics": clinics_to_choose(renderer.clinics, within),
        "days": _by_day(renderer, times),
        "first": url_of(replace(found.query, after=None), NEW) if found and found.query.after else None,
        "later": later and url_of(later, NEW),
        "most_doctors": MOST_DOCTORS,
        "most_seats": MOST_SEATS,
    }


def _by_day(renderer: Renderer, times: Sequence[Slot]) -> list[tuple[date, list[Slot]]]:
    """Each by the clock of its clinic. A day is there once, even if it begins at one clinic and ends at another."""
    days: defaultdict[date, list[Slot]] = defaultdict(list)
    for slot in times:
        days[renderer.time.day_of(slot.start_time)].append(slot)
    return sorted(days.items())


async def _show(
    request: PageRequest,
    renderer: Renderer,
    slots: Slots,
    form: Form,
    status: int = 200,
    *,
    cookies: Sequence[Cookie] = (),
    recalled: bool = False,
) -> Response[Any]:
    """`recalled` if name and e-mail come from an earlier try."""
    slot = await slots.get_slot(id_in(form, "slot") or 0)
    require_clinic(request, slot.clinic_id)
    time = renderer.time_of(slot.clinic_id)
    seats = find_query_in({"seats": form.text("seats")}).times.seats
    types = await page_parts(request).services.visit_types.get_visit_types(slot.visit_type_ids or [])
    return renderer.answer(
        request,
        "desk/phone_booking/new.html",
        status,
        clinic_id=slot.clinic_id,
        cookies=cookies,
        slot=slot,
        started=slot.start_time <= time.now(),
        form=form,
        visit_types=[one for one in types if one.active],
        recalled=recalled,
        seats=seats,
        others=url_of(TimeQuery(doctor_id=slot.doctor_id, day=time.day_of(slot.start_time), seats=seats), NEW),
    )
