"""The JSON of bookings: bodies of requests and answers."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from slotwise.domain.bookings import Booking, BookingStatus, SeatRequest
from slotwise.domain.errors import FieldError, InvalidInput
from slotwise.domain.fields import Instant, clean_email, clean_name
from slotwise.domain.users import User
from slotwise.domain.visit_types import BookedVisit, VisitMode
from slotwise.http.kit.fields import Email, Id, PersonName, Seats

VisitTypeId = Annotated[Id, Meta(description="One of the slot's `visitTypeIds`. Without it, no rule of a type applies")]


class NewBooking(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """With an access token, name and e-mail default to the account's. `confirm: true` books without a hold."""

    slot_id: Id
    user_name: PersonName | None = None
    user_email: Email | None = None
    seats_booked: Seats = 1
    confirm: bool = False
    # Left out of the stored body of a request without one, so that the release before stores the same.
    visit_type_id: VisitTypeId | UnsetType | None = UNSET


class Confirmation(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Name and e-mail for a hold that has none. A hold that has them keeps its own."""

    user_name: PersonName | None = None
    user_email: Email | None = None


class BookedSlotView(Struct, frozen=True, rename="camel"):
    """The booking's slot, as far as a patient needs it."""

    start_time: Instant
    end_time: Instant
    doctor_id: int
    doctor_name: str
    specialization: str | None
    clinic_id: int


class BookedVisitView(Struct, frozen=True, rename="camel"):
    """What the booking's visit type says to those who have booked it. `videoLink` is null until it is CONFIRMED."""

    name: str
    mode: VisitMode
    instructions: str | None
    video_link: str | None


class BookingView(Struct, frozen=True, rename="camel"):
    """Name and e-mail are null unless the caller is the booking's account, has its manage token, or is at the desk.

    A PENDING booking is a hold until `expiresAt`.
    """

    id: int
    slot_id: int
    user_name: str | None
    user_email: str | None
    seats_booked: int
    status: BookingStatus
    expires_at: Instant | None
    confirmed_at: Instant | None
    cancelled_at: Instant | None
    created_at: Instant
    updated_at: Instant
    visit_type_id: int | None
    slot: BookedSlotView
    manage_token: Annotated[
        str | UnsetType,
        Meta(
            description="Only in the answer to a new booking. Gives the right to read, confirm and cancel it",
            extra_json_schema={"pattern": "^[A-Za-z0-9_-]{32}$"},
        ),
    ] = UNSET
    added_seats: Annotated[
        int | UnsetType,
        Meta(description="Only of an overbooked booking: how many seats were added for it. Not shown to strangers"),
    ] = UNSET
    visit_type: Annotated[
        BookedVisitView | UnsetType,
        Meta(
            description="Only in the answers of `get_booking` and `confirm_booking`, of a booking with a visit type. "
            "Not shown to strangers"
        ),
    ] = UNSET

    @classmethod
    def of(
        cls, booking: Booking, manage_token: str | UnsetType = UNSET, visit: BookedVisit | None = None
    ) -> "BookingView":
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
            visit_type_id=booking.visit_type_id,
            slot=BookedSlotView(
                start_time=booking.start_time,
                end_time=booking.end_time,
                doctor_id=booking.doctor_id,
                doctor_name=booking.doctor_name,
                specialization=booking.specialization,
                clinic_id=booking.clinic_id,
            ),
            manage_token=manage_token,
            added_seats=UNSET if booking.added_seats is None else booking.added_seats,
            visit_type=UNSET if visit is None else _view_of(visit),
        )


def _view_of(visit: BookedVisit) -> BookedVisitView:
    return BookedVisitView(visit.name, visit.mode, visit.instructions, visit.video_link)


def seat_request(data: NewBooking, user: User | None) -> SeatRequest:
    """The request for seats. Name and e-mail default to those of the account."""
    name, email = data.user_name, data.user_email
    if user is not None:
        name = user.name if name is None else name
        email = user.email if email is None else email
    missing = [field for field, value in (("user_name", name), ("user_email", email)) if value is None]
    if missing:
        raise InvalidInput(*(FieldError(field, "is required") for field in missing))
    user_name, user_email = clean_person(name, email)
    return SeatRequest(
        data.slot_id,
        data.seats_booked,
        user.id if user else None,
        user_name,
        user_email,
        data.confirm,
        data.visit_type_id or None,
    )


def clean_person(name: str | None, email: str | None) -> tuple[str | None, str | None]:
    return (
        None if name is None else clean_name("user_name", name),
        None if email is None else clean_email("user_email", email),
    )
