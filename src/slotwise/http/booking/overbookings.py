"""The operation of overbooking: one more patient for a slot that is full."""

from typing import Annotated

from litestar import Controller, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct

from slotwise.domain.bookings import Overbooking
from slotwise.domain.errors import KeyReused, OutcomeUnknown, SlotClosed, SlotFull, SlotNotFound, SlotStarted
from slotwise.domain.fields import (
    MAX_REASON_CHARACTERS,
    MIN_REASON_CHARACTERS,
    clean_email,
    clean_name,
    clean_reason,
)
from slotwise.http.booking.idempotency import IdempotencyHeader, idempotency_key
from slotwise.http.booking.views import BookingView
from slotwise.http.kit.access import DESK, ApiRequest, account_of
from slotwise.http.kit.fields import Email, PersonName, Seats
from slotwise.http.kit.operations import operation
from slotwise.http.kit.parameters import Id
from slotwise.services.booking.overbookings import Overbookings

ROUTE = "POST /api/slots/{slot_id}/overbookings"

Reason = Annotated[
    str,
    Meta(
        description=f"For colleagues: {MIN_REASON_CHARACTERS} to {MAX_REASON_CHARACTERS} characters after trimming",
        examples=["Pain, cannot wait until tomorrow"],
        extra_json_schema={
            "minLength": MIN_REASON_CHARACTERS,
            "maxLength": MAX_REASON_CHARACTERS,
            "pattern": r"\S",
        },
    ),
]


class NewOverbooking(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    user_name: PersonName
    user_email: Email
    reason: Reason
    seats_booked: Seats = 1

    def wanted(self, slot_id: int) -> Overbooking:
        """Raises `InvalidInput`."""
        return Overbooking(
            slot_id,
            self.seats_booked,
            clean_name("user_name", self.user_name),
            clean_email("user_email", self.user_email),
            clean_reason("reason", self.reason),
        )


class OverbookingController(Controller):
    path = "/api/slots/{slot_id:int}/overbookings"

    @post(
        "/",
        **operation(
            "overbook_seats",
            DESK,
            "Book seats of a full slot",
            SlotNotFound,
            SlotFull,
            SlotClosed,
            SlotStarted,
            KeyReused,
            OutcomeUnknown,
            description="Adds the seats that are missing to the slot's `totalSeats` and books them at once, without a "
            "hold. The booking says in `addedSeats` how many. When it ends, they go away with it: patients never get "
            "them. Adds none if enough seats are free.",
            sends=("Location",),
        ),
    )
    async def overbook_seats(
        self,
        request: ApiRequest,
        slot_id: Id,
        data: JSONBody[NewOverbooking],
        overbookings: NamedDependency[Overbookings],
        idempotency: IdempotencyHeader = None,
    ) -> Response[BookingView]:
        account = account_of(request)
        wanted = data.wanted(slot_id)
        held = await overbookings.overbook_seats(account, wanted, idempotency_key(idempotency, account, ROUTE, wanted))
        view = BookingView.of(held.booking, held.manage.token)
        return Response(view, headers={"Location": f"/api/bookings/{held.booking.id}"})
