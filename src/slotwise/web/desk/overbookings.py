"""Overbooking: one more patient for a time that is full."""

from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency

from slotwise.domain.bookings import Overbooking
from slotwise.domain.errors import OutcomeUnknown, SlotwiseError
from slotwise.domain.fields import clean_email, clean_name, clean_reason
from slotwise.domain.slots import MAX_SEATS
from slotwise.services.booking.overbookings import Overbookings
from slotwise.services.core.idempotency import IdempotencyKey
from slotwise.services.schedule.slots import Slots
from slotwise.web.desk.bookings import LIST
from slotwise.web.desk.phone_booking import UNKNOWN
from slotwise.web.kit.access import DESK, PageRequest, account_in, page_for, require_clinic, visitor_in
from slotwise.web.kit.errors import refuse
from slotwise.web.kit.forms import Form, read_all
from slotwise.web.kit.queries import Id
from slotwise.web.kit.rendering import Renderer, see_other
from slotwise.web.kit.visitors import BookingToken, new_attempt, slip_cookie

ROUTE = "POST /admin/slots/{slot_id}/overbook"


class OverbookingController(Controller):
    path = "/admin/slots/{slot_id:int}/overbook"

    @get("/", **page_for(DESK))
    async def ask_for_patient(
        self,
        request: PageRequest,
        slot_id: Id,
        renderer: NamedDependency[Renderer],
        slots: NamedDependency[Slots],
    ) -> Response[Any]:
        form = Form({"key": new_attempt(), "seats": "1"})
        return await _show(request, renderer, slots, slot_id, form)

    @post("/", **page_for(DESK))
    async def overbook_seats(
        self,
        request: PageRequest,
        slot_id: Id,
        renderer: NamedDependency[Renderer],
        slots: NamedDependency[Slots],
        overbookings: NamedDependency[Overbookings],
    ) -> Response[Any]:
        form = await Form.of(request)
        try:
            wanted = overbooking_in(form, slot_id)
            # The form carries the key, so a form that is sent twice books once.
            key = IdempotencyKey.of(
                visitor_in(request).actor, ROUTE, form.text("key") or new_attempt(), msgspec.json.encode(wanted)
            )
            held = await overbookings.overbook_seats(account_in(request), wanted, key)
        except SlotwiseError as error:
            status = refuse(form, error)
            if isinstance(error, OutcomeUnknown):
                form.problem = UNKNOWN
            else:
                form.values["key"] = new_attempt()
            return await _show(request, renderer, slots, slot_id, form, status)
        slip = BookingToken(held.booking.id, held.manage.token)
        return see_other(request, f"{LIST}/{slip.booking_id}/slip", cookies=[slip_cookie(request, slip)])


def overbooking_in(form: Form, slot_id: int) -> Overbooking:
    """Raises `InvalidInput` with all faults."""
    values = read_all(
        {
            "user_name": lambda: clean_name("user_name", form.text("user_name")),
            "user_email": lambda: clean_email("user_email", form.text("user_email")),
            "seats": lambda: form.number("seats", 1, MAX_SEATS),
            "reason": lambda: clean_reason("reason", form.text("reason")),
        }
    )
    return Overbooking(slot_id, values["seats"], values["user_name"], values["user_email"], values["reason"])


async def _show(
    request: PageRequest, renderer: Renderer, slots: Slots, slot_id: int, form: Form, status: int = 200
) -> Response[Any]:
    slot = await slots.get_slot(slot_id)
    require_clinic(request, slot.clinic_id)
    return renderer.answer(
        request,
        "desk/overbookings/new.html",
        status,
        clinic_id=slot.clinic_id,
        slot=slot,
        started=slot.start_time <= renderer.time_of(slot.clinic_id).now(),
        form=form,
    )
