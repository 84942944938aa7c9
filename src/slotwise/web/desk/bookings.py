"""Bookings for the desk: find, export, read, confirm and cancel."""

import re
from datetime import datetime
from typing import Any

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.response import Stream

from slotwise.domain.bookings import BookingStatus
from slotwise.domain.errors import InvalidInput, SlotwiseError
from slotwise.domain.fields import clean_email, clean_name
from slotwise.services.booking.bookings import Bookings
from slotwise.services.booking.search import BookingQuery
from slotwise.services.core.audit import AuditLog
from slotwise.services.desk.export import BookingExport
from slotwise.services.desk.history import BookingHistory, History
from slotwise.services.schedule.doctors import Doctors
from slotwise.web.desk.audit_words import move_words
from slotwise.web.desk.export import rows_of
from slotwise.web.kit.access import DESK, PageRequest, account_in, page_for, require_clinic, visitor_in
from slotwise.web.kit.downloads import download
from slotwise.web.kit.errors import refuse
from slotwise.web.kit.forms import Form
from slotwise.web.kit.queries import Id, before_in, choice_in, id_in, link, period_in, query_form, text_in
from slotwise.web.kit.rendering import Renderer, see_other
from slotwise.web.kit.status_words import status_words
from slotwise.web.kit.times import ClinicTime

PAGE_SIZE = 50
MOST_DOCTORS = 500
QUERY_FIELDS = ("who", "status", "doctor", "from", "to", "slot")
RELEASED = "RELEASED"
STATUSES = [(status, status_words(status)) for status in (*BookingStatus, RELEASED)]
LIST = "/admin/bookings"
# What became of a hold that the desk released, by its status then.
HOLD_ENDED = {
    BookingStatus.CANCELLED: "The hold is released.",
    BookingStatus.CONFIRMED: "The booking was confirmed meanwhile, so it stays. To end it, cancel it.",
    BookingStatus.FAILED: "The hold had expired before.",
}
_NUMBER = re.compile(r"#?([0-9]{1,18})", re.ASCII)


class BookingController(Controller):
    path = "/admin"

    @get("/bookings", **page_for(DESK))
    async def list_bookings(
        self,
        request: PageRequest,
        renderer: NamedDependency[Renderer],
        bookings: NamedDependency[Bookings],
        doctors: NamedDependency[Doctors],
    ) -> Response[Any]:
        form = query_form(request, *QUERY_FIELDS)
        context = {"form": form, "statuses": STATUSES, **await doctors_to_choose(doctors, form)}
        try:
            query = booking_query_in(form, renderer.time)
        except InvalidInput as error:
            form.refuse(error)
            return renderer.answer(request, "desk/bookings/list.html", 400, found=None, **context)
        before = before_in(request)
        found = await bookings.list_bookings(account_in(request), query, before, PAGE_SIZE + 1)
        next_id = found.bookings[PAGE_SIZE - 1].id if len(found.bookings) > PAGE_SIZE else found.walked_to
        return renderer.answer(
            request,
            "desk/bookings/list.html",
            found=[renderer.at_clinic(booking) for booking in found.first(PAGE_SIZE)],
            numbered=found.numbered,
            filtered=query != BookingQuery(),
            newest="before" in request.query_params and link(LIST, form),
            older=next_id and link(LIST, form, [("before", next_id)]),
            looked_in_part=found.walked_to is not None,
            export=link(f"{LIST}.csv", form),
            **context,
        )

    @get("/bookings.csv", **page_for(DESK))
    async def export_bookings(
        self, request: PageRequest, renderer: NamedDependency[Renderer], booking_export: NamedDependency[BookingExport]
    ) -> Stream:
        query = booking_query_in(query_form(request, *QUERY_FIELDS), renderer.time)
        pieces = rows_of(booking_export.export_bookings(account_in(request), query), renderer)
        # Await the heading and the first page of bookings.
        return await download(f"bookings-{renderer.time.today()}.csv", "text/csv", pieces, awaited=2)

    @get("/bookings/{booking_id:int}", **page_for(DESK))
    async def get_history(
        self,
        request: PageRequest,
        booking_id: Id,
        renderer: NamedDependency[Renderer],
        booking_history: NamedDependency[BookingHistory],
        audit_log: NamedDependency[AuditLog],
    ) -> Response[Any]:
        return await show_booking(request, renderer, booking_history, audit_log, booking_id)

    @post("/bookings/{booking_id:int}/confirm", **page_for(DESK, form_on="/admin/bookings/{booking_id}"))
    async def confirm_booking(
        self,
        request: PageRequest,
        booking_id: Id,
        renderer: NamedDependency[Renderer],
        bookings: NamedDependency[Bookings],
        booking_history: NamedDependency[BookingHistory],
        audit_log: NamedDependency[AuditLog],
    ) -> Response[Any]:
        form = await Form.of(request)
        try:
            name, email = person_in(form)
            await bookings.confirm_booking(visitor_in(request).as_caller(), booking_id, name, email)
        except SlotwiseError as error:
            status = refuse(form, error)
            return await show_booking(request, renderer, booking_history, audit_log, booking_id, form, status)
        return see_other(request, f"{LIST}/{booking_id}", notice="The booking is confirmed.")

    @get("/bookings/{booking_id:int}/cancel", **page_for(DESK))
    async def ask_before_cancelling(
        self,
        request: PageRequest,
        booking_id: Id,
        renderer: NamedDependency[Renderer],
        bookings: NamedDependency[Bookings],
    ) -> Response[Any]:
        booking = (await bookings.get_booking(visitor_in(request).as_caller(), booking_id)).booking
        require_clinic(request, booking.clinic_id)
        if booking.status not in {BookingStatus.PENDING, BookingStatus.CONFIRMED}:
            return see_other(request, f"{LIST}/{booking_id}")
        form = Form({"reason": "", "patient_asked": ""})
        return renderer.answer(
            request, "desk/bookings/cancel.html", clinic_id=booking.clinic_id, booking=booking, form=form
        )

    @post("/bookings/{booking_id:int}/cancel", **page_for(DESK))
    async def cancel_booking(
        self,
        request: PageRequest,
        booking_id: Id,
        renderer: NamedDependency[Renderer],
        bookings: NamedDependency[Bookings],
    ) -> Response[Any]:
        form = await Form.of(request)
        caller = visitor_in(request).as_caller()
        try:
            reason = clean_name("reason", form.text("reason")) if form.text("reason") else None
            asked = form.text("patient_asked") == "yes"
            if form.text("hold") == "yes":
                told = HOLD_ENDED[await bookings.release_hold(caller, booking_id, reason, patient_asked=asked)]
            else:
                ended = await bookings.cancel_booking(caller, booking_id, reason, patient_asked=asked)
                told = HOLD_ENDED[ended.status] if ended.released else "The booking is cancelled."
        except SlotwiseError as error:
            status = refuse(form, error)
            booking = (await bookings.get_booking(caller, booking_id)).booking
            require_clinic(request, booking.clinic_id)
            return renderer.answer(
                request, "desk/bookings/cancel.html", status, clinic_id=booking.clinic_id, booking=booking, form=form
            )
        return see_other(request, f"{LIST}/{booking_id}", notice=told)


async def doctors_to_choose(doctors: Doctors, form: Form) -> dict[str, Any]:
    try:
        chosen = id_in(form, "doctor")
    except InvalidInput:
        chosen = None
    listed = await doctors.list_doctors_with(chosen, MOST_DOCTORS)
    return {"doctors": listed, "cut_short": len(listed) >= MOST_DOCTORS}


def booking_query_in(form: Form, time: ClinicTime) -> BookingQuery:
    """Raises `InvalidInput`."""
    number = _NUMBER.fullmatch(form.text("who"))
    only_released = form.text("status") == RELEASED
    status = BookingStatus.CANCELLED if only_released else choice_in(form, "status", BookingStatus)
    query = BookingQuery(
        status,
        id_in(form, "doctor"),
        id_in(form, "slot"),
        text=text_in(form, "who"),
        number=int(number[1]) if number else None,
        released=only_released if status is BookingStatus.CANCELLED else None,
    )
    return query.during(*period_in(form, time))


def person_in(form: Form) -> tuple[str | None, str | None]:
    """Name and e-mail, if the form asks for them: only for a hold that has none yet."""
    if "user_name" not in form:
        return None, None
    return clean_name("user_name", form.text("user_name")), clean_email("user_email", form.text("user_email"))


async def show_booking(
    request: PageRequest,
    renderer: Renderer,
    booking_history: BookingHistory,
    audit_log: AuditLog,
    booking_id: int,
    form: Form | None = None,
    status: int = 200,
) -> Response[Any]:
    history = await booking_history.get_history(account_in(request), booking_id)
    time = renderer.time_of(history.booking.clinic_id)
    form = form or Form({"user_name": "", "user_email": ""})
    return renderer.answer(
        request,
        "desk/bookings/booking.html",
        status,
        clinic_id=history.booking.clinic_id,
        history=history,
        booking=history.booking,
        moves=await _moves_of(history, audit_log, time),
        started=history.booking.start_time <= time.now(),
        form=form,
    )


async def _moves_of(history: History, audit_log: AuditLog, time: ClinicTime) -> dict[datetime, str]:
    """Each move in words, by when it was made. Leaves out moves whose old and new times were not recorded."""
    moved_at = [event.created_at for event in history.events if event.kind == "MOVED"]
    moves = await audit_log.list_moves(history.booking.slot_id, moved_at)
    told = {move.moved_at: move_words(move.details, time) for move in moves}
    return {moved_at: words for moved_at, words in told.items() if words}
