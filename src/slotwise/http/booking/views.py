"""The JSON of bookings: bodies of requests and answers."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from slotwise.domain.bookings import Booker, Booking, BookingStatus, SeatRequest
from slotwise.domain.errors import FieldError, InvalidInput
from slotwise.domain.fields import Instant, clean_email, clean_name
from slotwise.domain.users import User
from slotwise.domain.visit_types import BookedVisit, VisitMode
from slotwise.http.kit.fields import TIME_ID, Email, Id, PersonName, Seats
from slotwise.services.booking.offered_times import OfferRequest

VisitTypeId = Annotated[Id, Meta(description="One of the slot's `visitTypeIds`. Without it, no rule of a type applies")]


SlotId = Annotated[Id, Meta(description="Of a published slot. Either this or `timeId`")]
TimeId = Annotated[
    str,
    Meta(
        description="Of `GET /api/times`. Either this or `slotId`; has the visit type in it",
        examples=["lhHA1v8AAAAAbdPhENb_AAAAAG3T4yQB1v8AAAAAbdMRWMI." + 64 * "0"],
        extra_json_schema=TIME_ID,
    ),
]


class NewBooking(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Takes either `slotId` or `timeId`. With an access token, name and e-mail default to the account's.

    `confirm: true` books without a hold.
    """

    slot_id: SlotId | UnsetType = UNSET
    user_name: PersonName | None = None
    user_email: Email | None = None
    seats_booked: Seats = 1
    confirm: bool = False
    # Both are left out of the stored body of a request without them, so that the release before stores the same.
    visit_type_id: VisitTypeId | UnsetType | None = UNSET
    time_id: TimeId | UnsetType = UNSET


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


def seat_request(data: NewBooking, slot_id: int, booker: Booker) -> SeatRequest:
    return SeatRequest(
        slot_id,
        data.seats_booked,
        booker.user_id,
        booker.user_name,
        booker.user_email,
        booker.confirm,
        data.visit_type_id or None,
    )


def offer_request(data: NewBooking, time_id: str) -> OfferRequest:
    return OfferRequest(time_id, data.seats_booked, data.visit_type_id or None)


def booker_of(data: NewBooking, user: User | None) -> Booker:
    """Name and e-mail default to those of the account."""
    name, email = data.user_name, data.user_email
    if user is not None:
        name = user.name if name is None else name
        email = user.email if email is None else email
    missing = [field for field, value in (("user_name", name), ("user_email", email)) if value is None]
    if missing:
        raise InvalidInput(*(FieldError(field, "is required") for field in missing))
    user_name, user_email = clean_person(name, email)
    return Booker(user.id if user else None, user_name, user_email, data.confirm)


def either_of(data: NewBooking) -> int | str:
    """The slot's id or, as a text, the time's. Raises `InvalidInput` unless the body has one of them."""
    match data.slot_id, data.time_id:
        case int(slot_id), UnsetType():
            return slot_id
        case UnsetType(), str(time_id):
            return time_id
        case UnsetType(), UnsetType():
            raise InvalidInput(
                FieldError("slot_id", "is required, or `timeId`"), FieldError("time_id", "is required, or `slotId`")
            )
        case _:
            words = "must not be given together with"
            raise InvalidInput(FieldError("slot_id", f"{words} `timeId`"), FieldError("time_id", f"{words} `slotId`"))


def clean_person(name: str | None, email: str | None) -> tuple[str | None, str | None]:
    return (
        None if name is None else clean_name("user_name", name),
        None if email is None else clean_email("user_email", email),
    )
