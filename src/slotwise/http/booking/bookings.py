"""The operations on bookings: hold, confirm, cancel, read, list."""

from typing import Annotated, Any

from litestar import Controller, Response, delete, get, post
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import JSONBody, QueryParameter

from slotwise.domain.bookings import Booking, BookingStatus
from slotwise.domain.errors import (
    BookingCancelled,
    BookingFailed,
    BookingLimitReached,
    BookingNotFound,
    ForNewPatientsOnly,
    ForReturningPatientsOnly,
    HoldExpired,
    KeyReused,
    OutcomeUnknown,
    SlotClosed,
    SlotFull,
    SlotNotFound,
    SlotStarted,
    TimeGone,
    TooEarlyToBook,
    TooLateToBook,
    TooLateToChange,
    TooManyRequests,
    VisitTypeNotOffered,
)
from slotwise.domain.fields import MAX_ID
from slotwise.http.booking import calls
from slotwise.http.booking.idempotency import IdempotencyHeader
from slotwise.http.booking.views import BookingView, Confirmation, NewBooking
from slotwise.http.kit.access import (
    ACCOUNT,
    DESK,
    HOLDER,
    RECOGNIZED,
    REDACTED,
    ApiRequest,
    account_of,
    caller_of,
)
from slotwise.http.kit.direct import BY_HOLDER, answered, direct, read_json
from slotwise.http.kit.operations import BodyOptional, operation
from slotwise.http.kit.paging import DEFAULT_LIMIT, Cursor, IdPosition, Limit, Page, decode_cursor, page_of
from slotwise.http.kit.parameters import (
    ClinicId,
    DoctorId,
    FromTime,
    Id,
    SlotId,
    Text,
    ToTime,
    clean_text,
    parse_period,
)
from slotwise.http.kit.parts import api_parts
from slotwise.services.booking.bookings import Bookings
from slotwise.services.booking.search import BookingQuery
from slotwise.services.schedule.slots import Slots

StatusFilter = Annotated[BookingStatus | None, QueryParameter(name="status")]

NEWEST = IdPosition(MAX_ID)


async def _require_room(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Before the body is read: a full queue must cost as little as possible."""
    await api_parts(connection.scope).services.bookings.require_room()


class BookingController(Controller):
    path = "/api/bookings"

    @post(
        "/",
        **direct(calls.hold_seats, read_json(NewBooking), calls.may_hold_seats),
        **operation(
            "hold_seats",
            RECOGNIZED,
            "Hold seats, or book them at once",
            SlotNotFound,
            SlotFull,
            SlotClosed,
            SlotStarted,
            TimeGone,
            VisitTypeNotOffered,
            TooLateToBook,
            TooEarlyToBook,
            BookingLimitReached,
            ForNewPatientsOnly,
            ForReturningPatientsOnly,
            KeyReused,
            TooManyRequests,
            OutcomeUnknown,
            description="A hold is PENDING until `expiresAt`; confirm it before then. `confirm: true` books without a "
            "hold. Takes either the `slotId` of a slot or the `timeId` of a time, which is good for 24 hours.",
            sends=("Location",),
            first=_require_room,
        ),
    )
    async def hold_seats(
        self,
        request: ApiRequest,
        data: JSONBody[NewBooking],
        idempotency: IdempotencyHeader = None,  # noqa: ARG002 - for the API document; `calls.hold_seats` reads it
    ) -> Response[BookingView]:
        return await answered(request, data=data)

    @get("/my-bookings", **operation("list_bookings_of_user", ACCOUNT, "List your own bookings, newest first"))
    async def list_bookings_of_user(
        self,
        request: ApiRequest,
        bookings: NamedDependency[Bookings],
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[BookingView]:
        before = decode_cursor(cursor, NEWEST)
        found = await bookings.list_bookings_of_user(account_of(request), before.id, limit + 1)
        return page_of(found, limit, BookingView.of, _position)

    @get(
        "/slot/{slot_id:int}",
        **operation(
            "list_bookings_of_slot",
            RECOGNIZED,
            "List the bookings of a slot, oldest first",
            SlotNotFound,
            description="Only staff and admins get names and e-mail addresses.",
        ),
    )
    async def list_bookings_of_slot(
        self,
        request: ApiRequest,
        slot_id: Id,
        bookings: NamedDependency[Bookings],
        slots: NamedDependency[Slots],
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[BookingView]:
        after = decode_cursor(cursor, IdPosition(0))
        await slots.get_slot(slot_id)
        found = await bookings.list_bookings_of_slot(caller_of(request), slot_id, after.id, limit + 1)
        return page_of(found, limit, BookingView.of, _position)

    @get(
        "/",
        **operation(
            "list_bookings",
            DESK,
            "Find bookings, newest first",
            description="`from` and `to` limit the appointment's start. `q` searches in name and e-mail address for "
            "every word, in any order, whatever the case, accents and punctuation. One request looks at up to 100,000 "
            "bookings, so a page may have few items or none: follow `nextCursor` until it is null.",
        ),
    )
    async def list_bookings(
        self,
        request: ApiRequest,
        bookings: NamedDependency[Bookings],
        status: StatusFilter = None,
        doctor_id: DoctorId = None,
        slot_id: SlotId = None,
        clinic_id: ClinicId = None,
        from_time: FromTime = None,
        to_time: ToTime = None,
        q: Text = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[BookingView]:
        query = BookingQuery(
            status,
            doctor_id,
            slot_id,
            *parse_period(from_time, to_time),
            clean_text("q", q),
            clinic_ids=None if clinic_id is None else frozenset({clinic_id}),
        )
        before = decode_cursor(cursor, NEWEST)
        found = await bookings.list_bookings(account_of(request), query, before.id, limit + 1)
        walked_to = None if found.walked_to is None else IdPosition(found.walked_to)
        return page_of(found.bookings, limit, BookingView.of, _position, walked_to)

    @get(
        "/{booking_id:int}",
        **direct(calls.get_booking, callers=BY_HOLDER),
        **operation("get_booking", REDACTED, "Read a booking", BookingNotFound),
    )
    async def get_booking(self, request: ApiRequest, booking_id: Id) -> Response[BookingView]:
        return await answered(request, booking_id)

    @post(
        "/{booking_id:int}/confirm",
        status_code=200,
        operation_class=BodyOptional,
        **direct(calls.confirm_booking, read_json(Confirmation, Confirmation()), callers=BY_HOLDER),
        **operation(
            "confirm_booking",
            HOLDER,
            "Confirm a hold",
            BookingNotFound,
            BookingCancelled,
            HoldExpired,
            BookingLimitReached,
            ForNewPatientsOnly,
            ForReturningPatientsOnly,
            OutcomeUnknown,
            description="Confirming a booking again changes nothing and gives the same answer.",
        ),
    )
    async def confirm_booking(
        self, request: ApiRequest, booking_id: Id, data: JSONBody[Confirmation | None] = None
    ) -> Response[BookingView]:
        return await answered(request, booking_id, data=data or Confirmation())

    @delete(
        "/{booking_id:int}",
        status_code=200,
        **direct(calls.cancel_booking, callers=BY_HOLDER),
        **operation(
            "cancel_booking",
            HOLDER,
            "Cancel a booking or release a hold",
            BookingNotFound,
            BookingFailed,
            SlotStarted,
            TooLateToChange,
            OutcomeUnknown,
            description="The seats become free at once. Cancelling a booking again changes nothing and gives the same "
            "answer.",
        ),
    )
    async def cancel_booking(self, request: ApiRequest, booking_id: Id) -> Response[BookingView]:
        return await answered(request, booking_id)


def _position(booking: Booking) -> IdPosition:
    return IdPosition(booking.id)
