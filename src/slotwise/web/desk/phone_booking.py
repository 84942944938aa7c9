"""Booking for a patient who calls or stands at the desk."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Controller, Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from msgspec.structs import replace

from slotwise.domain.bookings import Booker, SeatRequest
from slotwise.domain.errors import OutcomeUnknown, SlotFull, SlotwiseError, TimeGone
from slotwise.domain.fields import clean_email, clean_name
from slotwise.domain.slots import MAX_SEATS, Slot
from slotwise.services.booking.batches import Held
from slotwise.services.booking.bookings import Bookings
from slotwise.services.booking.offered_times import OfferedTimes, OfferRequest, OpenTime
from slotwise.services.core.idempotency import IdempotencyKey
from slotwise.services.desk.history import BookingHistory
from slotwise.services.schedule.choosable_times import ChoosableTime
from slotwise.services.schedule.found_times import KindsToChoose, NextTimes, TimeQuery
from slotwise.services.schedule.free_times import MOST_DOCTORS, FreeTimes
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
        offered_times: NamedDependency[OfferedTimes],
        free_times: NamedDependency[FreeTimes],
    ) -> Response[Any]:
        """Shows the next free times to choose from. With a time in the URL, asks for whom it is."""
        query = find_query_in(request.query_params)
        chosen = await _chosen_time(query_form(request, "slot", "time"), slots, offered_times)
        if chosen is None:
            return await _show_times(request, renderer, query, free_times)
        filters = filters_in(request.query_params)
        seats = request.query_params.get("seats", "").strip()
        if is_excluded(renderer, filters, chosen, with_later_days=True) or not _has_room(chosen, query.times.seats):
            return see_other(request, url_with(filters, seats, NEW), notice=EXCLUDED)
        forgets = "forget" in request.query_params
        draft = Draft() if forgets else visitor_in(request).draft_by(account_in(request).id)
        typed = {"user_name": draft.user_name, "user_email": draft.user_email, "seats": str(query.times.seats)}
        wanted = "" if query.times.visit_type_id is None else str(query.times.visit_type_id)
        form = Form({**_field_of(chosen), "key": new_attempt(), "visit_type": wanted, **typed})
        cookies = [clear_cookie(request, "draft")] if forgets else []
        kept = kept_form_of(request, account_in(request))
        if kept is not None:
            # The time may be taken by now. Then the next one is for the same patient.
            cookies = _kept(request, Form(dict(kept.fields)))
        return await _show(request, renderer, chosen, form, cookies=cookies, recalled=draft != Draft())

    @post("/new", **page_for(DESK, form_on="/admin/bookings/new?{chosen_time}"))
    async def hold_seats(
        self,
        request: PageRequest,
        renderer: NamedDependency[Renderer],
        bookings: NamedDependency[Bookings],
        slots: NamedDependency[Slots],
        offered_times: NamedDependency[OfferedTimes],
    ) -> Response[Any]:
        form = await Form.of(request)
        try:
            held = await _book(visitor_in(request), form, bookings, offered_times)
        except SlotwiseError as error:
            status = refuse(form, error)
            if isinstance(error, OutcomeUnknown):
                form.problem = UNKNOWN
            else:
                form.values["key"] = new_attempt()  # a refusal is stored under its key
            chosen = await _chosen_time(form, slots, offered_times) or await slots.get_slot(0)
            taken = isinstance(error, SlotFull | TimeGone)
            return await _show(request, renderer, chosen, form, status, cookies=_kept(request, form), taken=taken)
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


async def _chosen_time(form: Form, slots: Slots, offered_times: OfferedTimes) -> Slot | OpenTime | None:
    """The slot or the open time that the form or the URL names; None if it names none."""
    if form.text("time"):
        return await offered_times.get_open_time(form.text("time"))
    slot_id = id_in(form, "slot")
    return None if slot_id is None else await slots.get_slot(slot_id)


def _field_of(chosen: Slot | OpenTime) -> dict[str, str]:
    """The field by which a form or a URL names the time."""
    return {"time": chosen.time_id} if isinstance(chosen, OpenTime) else {"slot": str(chosen.id)}


def _has_room(chosen: Slot | OpenTime, seats: int) -> bool:
    """Open time is for one person. Of a slot, the form says how much room it has."""
    return isinstance(chosen, Slot) or seats == 1


async def _book(visitor: Visitor, form: Form, bookings: Bookings, offered_times: OfferedTimes) -> Held:
    if not form.text("time"):
        wanted = seat_request_in(form)
        return await bookings.hold_seats(visitor.as_caller(), wanted, _key_of(visitor, form, wanted))
    booker = Booker(None, **read_all(_person_in(form)), confirm=True)
    key = _key_of(visitor, form, (form.text("time"), booker))
    return await offered_times.hold_offered(visitor.as_caller(), OfferRequest(form.text("time")), booker, key)


def seat_request_in(form: Form) -> SeatRequest:
    """Raises `InvalidInput` with all faults.

    The booking belongs to no account: it is not the receptionist's, and the e-mail does not prove whose it is.
    """
    values = read_all(
        {
            **_person_in(form),
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


def _person_in(form: Form) -> dict[str, Callable[[], str]]:
    return {
        "user_name": lambda: clean_name("user_name", form.text("user_name")),
        "user_email": lambda: clean_email("user_email", form.text("user_email")),
    }


def _key_of(visitor: Visitor, form: Form, wanted: object) -> IdempotencyKey:
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
    renderer: Renderer, query: FindQuery, found: NextTimes | KindsToChoose | None, within: frozenset[int] | None = None
) -> dict[str, Any]:
    """What the template shows."""
    listed = found if isinstance(found, NextTimes) else None
    times = [renderer.at_clinic(time) for time in listed.times] if listed else []
    later = replace(listed.query, after=listed.rest) if listed and listed.rest else None
    return {
        "found": found,
        "asks_what": isinstance(found, KindsToChoose),
        "kind": found and found.choices.kind_of(found.query),
        "looked_to": listed and listed.looked_to,
        "unread": query.unread,
        "clinics": clinics_to_choose(renderer.clinics, within),
        "days": _by_day(renderer, times),
        "first": url_of(replace(found.query, after=None), NEW) if found and found.query.after else None,
        "later": later and url_of(later, NEW),
        "url_with": lambda **change: url_of(replace(found.query, after=None, **change), NEW) if found else NEW,
        "most_doctors": MOST_DOCTORS,
        "most_seats": MOST_SEATS,
    }


def _by_day(renderer: Renderer, times: Sequence[ChoosableTime]) -> list[tuple[date, list[ChoosableTime]]]:
    """Each by the clock of its clinic. A day is there once, even if it begins at one clinic and ends at another."""
    days: defaultdict[date, list[ChoosableTime]] = defaultdict(list)
    for time in times:
        days[renderer.time.day_of(time.start_time)].append(time)
    return sorted(days.items())


def _kind_in(form: Form) -> int | None:
    return find_query_in({"visit": form.text("visit_type")}).times.visit_type_id


async def _show(
    request: PageRequest,
    renderer: Renderer,
    chosen: Slot | OpenTime,
    form: Form,
    status: int = 200,
    *,
    cookies: Sequence[Cookie] = (),
    recalled: bool = False,
    taken: bool = False,
) -> Response[Any]:
    """`recalled` if name and e-mail come from an earlier try; `taken` if that time was just refused."""
    require_clinic(request, chosen.clinic_id)
    time = renderer.time_of(chosen.clinic_id)
    seats = find_query_in({"seats": form.text("seats")}).times.seats
    types = await page_parts(request).services.visit_types.get_visit_types(chosen.visit_type_ids or [])
    others = TimeQuery(
        doctor_id=chosen.doctor_id,
        day=time.day_of(chosen.start_time),
        seats=seats,
        visit_type_id=chosen.visit_type_id if isinstance(chosen, OpenTime) else _kind_in(form),
    )
    return renderer.answer(
        request,
        "desk/phone_booking/new.html",
        status,
        clinic_id=chosen.clinic_id,
        cookies=cookies,
        time=chosen,
        slot=chosen if isinstance(chosen, Slot) else None,
        started=chosen.start_time <= time.now(),
        gone=isinstance(chosen, OpenTime) and (chosen.gone or taken),
        form=form,
        visit_types=[one for one in types if one.active],
        recalled=recalled,
        same_time=f"{NEW}?{urlencode(_field_of(chosen))}",
        seats=seats,
        others=url_of(others, NEW),
    )
