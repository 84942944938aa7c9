"""Personal data: export all that is kept about a person as one document, or erase it."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Literal, assert_never

import msgspec
from msgspec import Meta, Struct

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import Statement
from slotwise.domain.bookings import BookingStatus
from slotwise.domain.errors import DatabaseBusy, InvalidCredentials, LastAdmin
from slotwise.domain.fields import Instant, clean_email
from slotwise.domain.users import Role
from slotwise.observability import metrics
from slotwise.services.accounts.users import UserId, password_attempts_of
from slotwise.services.core.audit import record_action, request_id
from slotwise.services.core.seat_events import EVERY_SLOT, SeatsChanged, ignore_changes

# How many bookings are read, and so are in memory, at a time.
PAGE = 100
# How often an erasure looks for new bookings. A person who books without pause must not keep a worker busy.
ROUNDS = 5
# What the ledger says about a booking. Its other kinds are about a slot.
KINDS_OF_BOOKINGS = ["BOOKED", "CANCELLED", "CONFIRMED", "EXPIRED", "HELD"]


class Person(Struct, frozen=True):
    """Whose data: the account's and, if `email` is given, that of all bookings with it, no matter who made them."""

    user_id: int | None
    email: str | None = None

    @property
    def subject(self) -> str:
        return "guest" if self.user_id is None else f"user:{self.user_id}"


class Account(Struct, frozen=True, rename="camel"):
    id: int
    email: str
    name: str
    role: Role
    active: bool
    was_desk: bool
    created_at: Instant
    updated_at: Instant


class KeptBooking(Struct, frozen=True, rename="camel"):
    id: int
    slot_id: int
    user_id: int | None
    user_name: str | None
    user_email: str | None
    seats_booked: int
    status: BookingStatus
    expires_at: Instant | None
    confirmed_at: Instant | None
    cancelled_at: Instant | None
    cancel_reason: str | None
    added_seats: int | None
    overbooking_reason: str | None
    created_at: Instant
    updated_at: Instant
    doctor_id: int
    doctor_name: str
    specialization: str | None
    start_time: Instant
    end_time: Instant


class Event(Struct, frozen=True, rename="camel"):
    """A row of the ledger. `seats` is how many it moved."""

    booking_id: int
    sequence: int
    kind: Annotated[str, Meta(extra_json_schema={"enum": KINDS_OF_BOOKINGS})]
    seats: int
    actor: Annotated[str, Meta(description="`user:<id>`, `guest`, or the part of the server that did it")]
    created_at: Instant


class AuditRow(Struct, frozen=True):
    """`details` is JSON."""

    subject: str
    action: str
    actor: str
    details: str
    created_at: Instant


class Note(Struct, frozen=True, rename="camel"):
    """A row of the audit log."""

    action: str
    actor: str
    details: dict[str, Any]
    created_at: Instant


class BookingRecord(KeptBooking, frozen=True, rename="camel"):
    events: list[Event]
    audit_log: list[Note]


class PersonalDataDocument(Struct, frozen=True, rename="camel"):
    """All that is kept about a person. A guest has no account."""

    account: Account | None
    audit_log: list[Note]
    bookings: list[BookingRecord]


class BookingId(Struct, frozen=True):
    id: int


class ErasureRow(Struct, frozen=True):
    outcome: Literal["erased", "again", "password_changed", "last_admin"]
    cancelled: int


class Erased(Struct, frozen=True):
    """How many bookings no longer have the person's data, and how many of these were cancelled."""

    bookings: int
    cancelled: int


FIND_ACCOUNT = Statement("privacy/personal_data.find_account", UserId)
GET_ACCOUNT = Statement("privacy/personal_data.get_account", Account)
LIST_BOOKINGS_OF_ACCOUNT = Statement("privacy/personal_data.list_bookings_of_account", BookingId)
LIST_BOOKINGS_OF_EMAIL = Statement("privacy/personal_data.list_bookings_of_email", BookingId)
READ_KEPT_BOOKINGS = Statement("privacy/personal_data.read_kept_bookings", KeptBooking)
LIST_EVENTS = Statement("privacy/personal_data.list_events", Event)
LIST_AUDIT_OF = Statement("privacy/personal_data.list_audit_of", AuditRow)
ERASE_PERSONAL_DATA = Statement("privacy/personal_data.erase_personal_data", ErasureRow)


class PersonalData:
    def __init__(self, database: Database, seats_changed: SeatsChanged = ignore_changes) -> None:
        self._database = database
        self._seats_changed = seats_changed

    async def find_person(self, email: str) -> Person | None:
        """The person with this e-mail address; None if no account and no booking has it."""
        email = clean_email("email", email)
        async with self._database.connection() as connection:
            account = await FIND_ACCOUNT.first(connection, email=email)
            person = Person(account.id if account else None, email)
            known = account is not None or await _list_bookings(connection, person)
        return person if known else None

    async def count_bookings(self, person: Person) -> int:
        async with self._database.connection() as connection:
            return len(await _list_bookings(connection, person))

    async def export_personal_data(self, person: Person, actor: str) -> AsyncIterator[bytes]:
        """The `PersonalDataDocument` in pieces. In memory at a time: the data of 100 bookings, and the ids of all."""
        async with self._database.connection() as connection:
            account = await GET_ACCOUNT.first(connection, user_id=person.user_id)
            booking_ids = await _list_bookings(connection, person)
            details = {"bookings": len(booking_ids)}
            await record_action(connection, actor, "export_personal_data", person.subject, details)
            notes = await _read_notes(connection, [person.subject] if account else [])
        yield b'{"account":%b,"auditLog":%b,"bookings":[' % (_encode(account), _encode(notes[person.subject]))
        for first in range(0, len(booking_ids), PAGE):
            records = await self._read_records(booking_ids[first : first + PAGE])
            yield (b"," if first else b"") + b",".join(map(_encode, records))
        yield b"]}"

    async def erase_personal_data(self, person: Person, actor: str, password_hash: str | None = None) -> Erased:
        """Cancel the person's upcoming bookings, and erase name and e-mail address in all bookings and the account.

        `password_hash` is what their password was checked against. Raises `InvalidCredentials` if it was changed since,
        `LastAdmin`, and `DatabaseBusy` if the account is locked by others or keeps getting new bookings.
        """
        for _ in range(ROUNDS):
            async with self._database.connection() as connection:
                booking_ids = await _list_bookings(connection, person)
            row = await self._erase(person, booking_ids, actor, password_hash)
            match row.outcome:
                case "erased":
                    metrics.CANCELLATIONS.labels("cancelled").inc(row.cancelled)
                    self._seats_changed([EVERY_SLOT] if row.cancelled else [])
                    return Erased(len(booking_ids), row.cancelled)
                case "again":
                    continue
                case "password_changed":
                    raise InvalidCredentials
                case "last_admin":
                    raise LastAdmin
                case _:
                    assert_never(row.outcome)
        raise DatabaseBusy

    async def _erase(
        self, person: Person, booking_ids: Sequence[int], actor: str, password_hash: str | None
    ) -> ErasureRow:
        async with self._database.effect() as connection:
            return await ERASE_PERSONAL_DATA.one(
                connection,
                user_id=person.user_id,
                booking_ids=booking_ids,
                old_password_hash=password_hash,
                attempts_hash=None if person.user_id is None else password_attempts_of(person.user_id),
                actor=actor,
                request_id=request_id(),
            )

    async def _read_records(self, booking_ids: Sequence[int]) -> list[BookingRecord]:
        async with self._database.connection() as connection:
            kept = await READ_KEPT_BOOKINGS.all(connection, booking_ids=booking_ids)
            events = defaultdict(list)
            for event in await LIST_EVENTS.all(connection, booking_ids=booking_ids):
                events[event.booking_id].append(event)
            notes = await _read_notes(connection, [f"booking:{booking_id}" for booking_id in booking_ids])
        return [
            BookingRecord(
                **msgspec.structs.asdict(booking), events=events[booking.id], audit_log=notes[f"booking:{booking.id}"]
            )
            for booking in kept
        ]


async def _list_bookings(connection: Connection, person: Person) -> list[int]:
    found: list[BookingId] = []
    if person.user_id is not None:
        found += await LIST_BOOKINGS_OF_ACCOUNT.all(connection, user_id=person.user_id)
    if person.email is not None:
        found += await LIST_BOOKINGS_OF_EMAIL.all(connection, email=person.email)
    return sorted({booking.id for booking in found})


async def _read_notes(connection: Connection, subjects: Sequence[str]) -> defaultdict[str, list[Note]]:
    notes = defaultdict(list)
    for row in await LIST_AUDIT_OF.all(connection, subjects=subjects):
        notes[row.subject].append(Note(row.action, row.actor, msgspec.json.decode(row.details), row.created_at))
    return notes


_encode = msgspec.json.Encoder().encode
