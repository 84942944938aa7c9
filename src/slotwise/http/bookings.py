"""Bookings over HTTP."""

from datetime import datetime
from typing import Annotated

from litestar import Controller, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter
from msgspec import UNSET, Meta, Struct, UnsetType

from slotwise.domain.bookings import Booking, BookingStatus, SeatRequest
from slotwise.domain.errors import (
    BookingCancelled,
    BookingFailed,
    BookingNotFound,
    FieldError,
    HoldExpired,
    InvalidInput,
    KeyReused,
    OutcomeUnknown,
    Overloaded,
    SlotClosed,
    SlotFull,
    SlotNotFound,
    SlotStarted,
    TooManyRequests,
)
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME, MAX_ID, clean_email, clean_name
from slotwise.domain.slots import MAX_SEATS
from slotwise.domain.users import User
from slotwise.http.access import (
    ACCOUNT,
    ANYONE,
    DESK,
    HOLDER,
    REDACTED,
    ApiRequest,
    account_of,
    caller_of,
)
from slotwise.http.idempotency import IdempotencyHeader, idempotency_key
from slotwise.http.operations import BodyOptional, operation
from slotwise.http.paging import DEFAULT_LIMIT, Cursor, IdPosition, Limit, Page, decode_cursor, page_of
from slotwise.http.parameters import DoctorId, FromTime, Id, SlotId, Text, ToTime, clean_text, parse_time
from slotwise.http.rate_limits import limit_bookings
from slotwise.services.bookings import BookingFilter, Bookings
from slotwise.services.slots import Slots

UserName = Annotated[str, Meta(description="1 to 200 characters after trimming", examples=["Ada Lovelace"])]
UserEmail = Annotated[str, Meta(examples=["ada@example.org"])]
StatusFilter = Annotated[BookingStatus | None, QueryParameter(name="status")]

NEWEST = IdPosition(MAX_ID)


class NewBooking(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """With an access token, name and address default to the account's. `confirm: true` books without a hold."""

    slot_id: Annotated[int, Meta(ge=1, le=MAX_ID)]
    user_name: UserName | None = None
    user_email: UserEmail | None = None
    seats_booked: Annotated[int, Meta(ge=1, le=MAX_SEATS)] = 1
    confirm: bool = False


class Confirmation(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """For a hold that was made without a name; a hold that has one keeps it."""

    user_name: UserName | None = None
    user_email: UserEmail | None = None


class BookedSlotView(Struct, frozen=True, rename="camel"):
    start_time: datetime
    end_time: datetime
    doctor_id: int
    doctor_name: str
    specialization: str | None


class BookingView(Struct, frozen=True, rename="camel"):
    """Name and address are null for strangers. A PENDING booking is a hold until `expiresAt`."""

    id: int
    slot_id: int
    user_name: str | None
    user_email: str | None
    seats_booked: int
    status: BookingStatus
    expires_at: datetime | None
    confirmed_at: datetime | None
    cancelled_at: datetime | None
    created_at: datetime
    updated_at: datetime
    slot: BookedSlotView
    manage_token: Annotated[
        str | UnsetType,
        Meta(description="In the answer to a new booking only: whoever has it may read, confirm and cancel it"),
    ] = UNSET

    @classmethod
    def of(cls, booking: Booking, manage_token: str | UnsetType = UNSET) -> "BookingView":
        return cls(
            id=booking.id,
            slot_id=booking.slot_id,
            user_name=booking.user_name,
            user_email=booking.user_email,
            seats_booked=booking.seats_booked,
            status=booking.status,
            expires_at=booking.expires_at,
            confirmed_at=booking.confirmed_at,
            cancelled_at=booking.cancelled_at,
            created_at=booking.created_at,
            updated_at=booking.updated_at,
            slot=BookedSlotView(
                start_time=booking.start_time,
                end_time=booking.end_time,
                doctor_id=booking.doctor_id,
                doctor_name=booking.doctor_name,
                specialization=booking.specialization,
            ),
            manage_token=manage_token,
        )


class BookingController(Controller):
    path = "/api/bookings"
    tags = ("Bookings",)

    @post(
        "/",
        **operation(
            "hold_seats",
            ANYONE,
            "Hold seats, or book them at once",
            SlotNotFound,
            SlotFull,
            SlotClosed,
            SlotStarted,
            KeyReused,
            TooManyRequests,
            Overloaded,
            OutcomeUnknown,
            description="A hold is PENDING until `expiresAt`; confirm it before then. `confirm: true` books directly.",
        ),
    )
    async def hold_seats(
        self,
        request: ApiRequest,
        data: JSONBody[NewBooking],
        bookings: NamedDependency[Bookings],
        idempotency: IdempotencyHeader = None,
    ) -> Response[BookingView]:
        limit_bookings(request)
        key = idempotency_key(idempotency, request.user, "POST /api/bookings", data)
        held = await bookings.hold_seats(caller_of(request), seat_request(data, request.user), key)
        return Response(
            BookingView.of(held.booking, held.manage.token), headers={"Location": f"/api/bookings/{held.booking.id}"}
        )

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
            ANYONE,
            "List the bookings of a slot, oldest first",
            SlotNotFound,
            description="Without names and e-mail addresses, except for staff and admins.",
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
            description="`from` and `to` bound the appointment's start; `q` looks inside name and e-mail address.",
        ),
    )
    async def list_bookings(
        self,
        bookings: NamedDependency[Bookings],
        status: StatusFilter = None,
        doctor_id: DoctorId = None,
        slot_id: SlotId = None,
        from_time: FromTime = None,
        to_time: ToTime = None,
        q: Text = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[BookingView]:
        sought = BookingFilter(
            status,
            doctor_id,
            slot_id,
            parse_time("from", from_time, FIRST_TIME),
            parse_time("to", to_time, LAST_READABLE_TIME),
            clean_text("q", q),
        )
        found = await bookings.list_bookings(sought, decode_cursor(cursor, NEWEST).id, limit + 1)
        return page_of(found, limit, BookingView.of, _position)

    @get("/{booking_id:int}", **operation("get_booking", REDACTED, "Read a booking", BookingNotFound))
    async def get_booking(
        self, request: ApiRequest, booking_id: Id, bookings: NamedDependency[Bookings]
    ) -> BookingView:
        return BookingView.of(await bookings.get_booking(caller_of(request), booking_id))

    @post(
        "/{booking_id:int}/confirm",
        status_code=200,
        operation_class=BodyOptional,
        **operation(
            "confirm_booking",
            HOLDER,
            "Confirm a hold",
            BookingNotFound,
            BookingCancelled,
            HoldExpired,
            Overloaded,
            OutcomeUnknown,
            description="Confirming again changes nothing and gives the same answer.",
        ),
    )
    async def confirm_booking(
        self,
        request: ApiRequest,
        booking_id: Id,
        bookings: NamedDependency[Bookings],
        data: JSONBody[Confirmation | None] = None,
    ) -> BookingView:
        person = data or Confirmation()
        user_name, user_email = clean_person(person.user_name, person.user_email)
        booking = await bookings.confirm_booking(caller_of(request), booking_id, user_name, user_email)
        return BookingView.of(booking)

    @delete(
        "/{booking_id:int}",
        status_code=200,
        **operation(
            "cancel_booking",
            HOLDER,
            "Cancel a booking or let a hold go",
            BookingNotFound,
            BookingFailed,
            SlotStarted,
            Overloaded,
            OutcomeUnknown,
            description="Its seats are free at once. Cancelling again changes nothing and gives the same answer.",
        ),
    )
    async def cancel_booking(
        self, request: ApiRequest, booking_id: Id, bookings: NamedDependency[Bookings]
    ) -> BookingView:
        return BookingView.of(await bookings.cancel_booking(caller_of(request), booking_id))


def seat_request(data: NewBooking, user: User | None) -> SeatRequest:
    """Who wants what; with an account, its name and address stand in for those not given."""
    name, email = data.user_name, data.user_email
    if user is not None:
        name = user.name if name is None else name
        email = user.email if email is None else email
    missing = [field for field, value in (("user_name", name), ("user_email", email)) if value is None]
    if missing:
        raise InvalidInput(*(FieldError(field, "is required") for field in missing))
    user_name, user_email = clean_person(name, email)
    return SeatRequest(data.slot_id, data.seats_booked, user.id if user else None, user_name, user_email, data.confirm)


def clean_person(name: str | None, email: str | None) -> tuple[str | None, str | None]:
    return (
        None if name is None else clean_name("user_name", name),
        None if email is None else clean_email("user_email", email),
    )


def _position(booking: Booking) -> IdPosition:
    return IdPosition(booking.id)
