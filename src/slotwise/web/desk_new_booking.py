"""Booking for a patient who rings or stands at the desk."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency

from slotwise.domain.bookings import SeatRequest
from slotwise.domain.errors import OutcomeUnknown, SlotwiseError
from slotwise.domain.fields import clean_email, clean_name
from slotwise.domain.slots import MAX_SEATS
from slotwise.services.bookings import Bookings
from slotwise.services.idempotency import IdempotencyKey
from slotwise.services.slots import Slots
from slotwise.web.access import DESK, PageRequest, page, visitor_in
from slotwise.web.desk_bookings import refuse
from slotwise.web.forms import Form, read_all
from slotwise.web.pages import Pages, see_other
from slotwise.web.queries import id_in, query_of
from slotwise.web.visitors import Visitor, new_attempt

ROUTE = "POST /admin/bookings/new"


class NewBookingController(Controller):
    path = "/admin/bookings/new"

    @get("/", **page(DESK))
    async def ask_for_patient(
        self, request: PageRequest, pages: NamedDependency[Pages], slots: NamedDependency[Slots]
    ) -> Response[Any]:
        slot_id = id_in(query_of(request, "slot"), "slot")
        if slot_id is None:
            return pages.answer(request, "desk_bookings/no_slot.html")
        form = Form({"slot": str(slot_id), "key": new_attempt(), "user_name": "", "user_email": "", "seats": "1"})
        return await _show(request, pages, slots, form)

    @post("/", **page(DESK))
    async def hold_seats(
        self,
        request: PageRequest,
        pages: NamedDependency[Pages],
        bookings: NamedDependency[Bookings],
        slots: NamedDependency[Slots],
    ) -> Response[Any]:
        form = await Form.of(request)
        visitor = visitor_in(request)
        try:
            wanted = wanted_in(form)
            held = await bookings.hold_seats(visitor.as_caller(), wanted, _key_of(visitor, form, wanted))
        except SlotwiseError as error:
            status = refuse(form, error)
            if isinstance(error, OutcomeUnknown):
                form.problem = "The answer was lost on the way. Press the button again: nobody is booked twice."
            else:
                form.values["key"] = new_attempt()  # what was refused stays refused under its key
            return await _show(request, pages, slots, form, status)
        return see_other(request, f"/admin/bookings/{held.booking.id}", notice="Booked and confirmed.")


def wanted_in(form: Form) -> SeatRequest:
    """Raises `InvalidInput` with every fault there is.

    The booking is of no account: not of the receptionist's, and whose the address is nobody has shown.
    """
    values = read_all(
        {
            "user_name": lambda: clean_name("user_name", form.text("user_name")),
            "user_email": lambda: clean_email("user_email", form.text("user_email")),
            "seats": lambda: form.number("seats", 1, MAX_SEATS),
            "slot": lambda: form.number("slot", 1, 10**18 - 1),
        }
    )
    return SeatRequest(values["slot"], values["seats"], None, values["user_name"], values["user_email"], confirm=True)


def _key_of(visitor: Visitor, form: Form, wanted: SeatRequest) -> IdempotencyKey:
    """A form that is sent twice books once."""
    return IdempotencyKey.of(visitor.actor, ROUTE, form.text("key") or new_attempt(), msgspec.json.encode(wanted))


async def _show(request: PageRequest, pages: Pages, slots: Slots, form: Form, status: int = 200) -> Response[Any]:
    slot = await slots.get_slot(id_in(form, "slot") or 0)
    started = slot.start_time <= pages.time.now()
    return pages.answer(request, "desk_bookings/new.html", status, slot=slot, started=started, form=form)
