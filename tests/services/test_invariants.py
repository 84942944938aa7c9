"""The rules of `slotwise check-invariants`: green on any history that the services make, red on each violation."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeAlias

import asyncpg
import pytest
import pytest_asyncio

from slotwise.db.pool import Database
from slotwise.domain.bookings import SeatRequest
from slotwise.domain.errors import SlotwiseError
from slotwise.domain.slots import SlotStatus
from slotwise.domain.users import Role, User
from slotwise.services.booking_batches import BookingBatches
from slotwise.services.bookings import Bookings, Caller
from slotwise.services.doctors import Doctors
from slotwise.services.expiry import sweep
from slotwise.services.invariants import RULES, Violation, find_violations
from slotwise.services.manage_tokens import ManageTokens
from slotwise.services.slots import SlotChange, Slots

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

NOW = datetime.now(UTC)
ADMIN = User(0, "admin@example.org", "Admin", Role.ADMIN, True, 1, NOW, NOW)
DESK = Caller(ADMIN)

EVENTS = {"CREATED", "RESIZED", "CLOSED", "REOPENED", "MOVED", "HELD", "BOOKED", "CONFIRMED", "EXPIRED", "CANCELLED"}


class Practice:
    """The use cases over one database, with short words for them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.doctors = Doctors(database)
        self.slots = Slots(database)
        self.bookings = self.bookings_held_for(60)

    def bookings_held_for(self, seconds: int) -> Bookings:
        return Bookings(self.database, BookingBatches(self.database, ManageTokens("a secret for tests"), seconds))

    async def slot(self, seats: int) -> int:
        doctor = await self.doctors.create_doctor(ADMIN, "Dr. Who", None)
        start = NOW + timedelta(days=30)
        return (await self.slots.create_slot(ADMIN, doctor.id, start, seats, 30)).id

    async def hold(self, slot_id: int, seats: int = 1, bookings: Bookings | None = None) -> int:
        wanted = SeatRequest(slot_id, seats, None, "Ada Lovelace", "ada@example.org")
        return (await (bookings or self.bookings).hold_seats(DESK, wanted)).booking.id

    async def book(self, slot_id: int, seats: int = 1) -> int:
        wanted = SeatRequest(slot_id, seats, None, "Ada Lovelace", "ada@example.org", confirm=True)
        return (await self.bookings.hold_seats(DESK, wanted)).booking.id

    async def confirm(self, booking_id: int) -> None:
        await self.bookings.confirm_booking(DESK, booking_id)

    async def cancel(self, booking_id: int) -> None:
        await self.bookings.cancel_booking(DESK, booking_id)

    async def change(self, slot_id: int, change: SlotChange) -> None:
        await self.slots.update_slot(ADMIN, slot_id, change)


@asynccontextmanager
async def practice_on(database_url: str, connections: int) -> AsyncIterator[Practice]:
    database = await Database.connect(database_url, connections)
    yield Practice(database)
    await database.close()


@pytest_asyncio.fixture
async def practice(database_url: str) -> AsyncIterator[Practice]:
    async with practice_on(database_url, 4) as practice:
        yield practice


async def broken_rules(database: Database) -> set[str]:
    """The names of the statements that found something."""
    return {rule.statement.name async for rule, violations in find_violations(database) if violations}


async def violations_of(database: Database) -> list[Violation]:
    return [violation async for _, violations in find_violations(database) for violation in violations]


async def tolerating(*attempts: Awaitable[object]) -> Sequence[object]:
    """What each attempt gave; a refusal is an answer like any other."""
    answers = await asyncio.gather(*attempts, return_exceptions=True)
    defects = [one for one in answers if isinstance(one, BaseException) and not isinstance(one, SlotwiseError)]
    assert not defects
    return answers


async def live_a_day(practice: Practice) -> None:
    """Everything that can become of bookings and slots, much of it at once."""
    popular, quiet = await practice.slot(20), await practice.slot(5)
    held = await tolerating(*(practice.hold(popular, 1 + n % 3) for n in range(30)))
    ids = [answer for answer in held if isinstance(answer, int)]
    assert 0 < len(ids) < 30
    await tolerating(*(practice.confirm(id_) for id_ in ids[::2]), *(practice.cancel(id_) for id_ in ids[::3]))
    await tolerating(*(practice.book(popular) for _ in range(10)), *(practice.cancel(id_) for id_ in ids[1::2]))
    await practice.book(quiet, 2)

    fleeting = practice.bookings_held_for(1)
    lapsed = [await practice.hold(slot_id, 1, fleeting) for slot_id in (popular, quiet, quiet)]
    kept = await practice.hold(quiet, 1, fleeting)
    await practice.confirm(kept)
    await asyncio.sleep(1.05)
    await tolerating(*(practice.confirm(id_) for id_ in lapsed), practice.hold(popular), *_sweeps(practice, 3))
    await tolerating(*(practice.cancel(id_) for id_ in [*lapsed, kept]))

    await practice.change(quiet, SlotChange(total_seats=9))
    await practice.change(quiet, SlotChange(status=SlotStatus.CLOSED))
    await tolerating(practice.hold(quiet), practice.change(quiet, SlotChange(total_seats=1)))
    await practice.change(quiet, SlotChange(status=SlotStatus.OPEN, total_seats=3))
    await practice.change(quiet, SlotChange(start_time=NOW + timedelta(days=31)))
    await practice.hold(quiet)


def _sweeps(practice: Practice, count: int) -> list[Awaitable[int]]:
    return [sweep(practice.database) for _ in range(count)]


async def test_no_rule_is_broken_by_a_lively_history(practice: Practice, connection: Connection) -> None:
    await live_a_day(practice)
    kinds = {row["kind"] for row in await connection.fetch("SELECT DISTINCT kind FROM booking_events")}
    assert kinds == EVENTS
    assert await violations_of(practice.database) == []


async def test_no_use_case_needs_two_connections_at_once(database_url: str) -> None:
    """On a pool of one, whoever asks for a second while holding the first would wait for itself."""
    async with practice_on(database_url, 1) as practice:
        async with asyncio.timeout(10):
            await live_a_day(practice)
        assert await violations_of(practice.database) == []


@pytest.mark.parametrize(
    "change",
    [
        SlotChange(start_time=NOW + timedelta(days=31), total_seats=9),
        SlotChange(duration_minutes=45, total_seats=2, status=SlotStatus.CLOSED),
        SlotChange(total_seats=2, status=SlotStatus.CLOSED),
    ],
    ids=["moved and resized", "all at once", "resized and closed"],
)
async def test_no_rule_is_broken_by_changing_a_slot_in_several_ways_at_once(
    practice: Practice, change: SlotChange
) -> None:
    slot_id = await practice.slot(5)
    await practice.book(slot_id, 2)
    await practice.change(slot_id, change)
    assert await violations_of(practice.database) == []


# Each rule is broken by hand. Slot 1 has five seats; its ledger has these rows:
#     1 CREATED   2 HELD (booking 1)   3 CONFIRMED (booking 1)   4 HELD (booking 2)   5 CANCELLED (booking 2)
#     6 BOOKED (booking 3)   7 HELD (booking 4)


async def short_history(practice: Practice) -> None:
    slot_id = await practice.slot(5)
    await practice.confirm(await practice.hold(slot_id))
    await practice.cancel(await practice.hold(slot_id))
    await practice.book(slot_id)
    await practice.hold(slot_id)


class Planted(NamedTuple):
    rule: str
    what: str
    commands: tuple[str, ...]


_EVENT = (
    "INSERT INTO booking_events (slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor,"
    " created_at) VALUES (1, {sequence}, '{kind}', {booking}, 1, {after}, 5, 'test', now());"
    " UPDATE appointment_slots SET last_event = {sequence}"
)


def event(sequence: int, kind: str, booking: int, after: int) -> str:
    return _EVENT.format(sequence=sequence, kind=kind, booking=booking, after=after)


def unguarded(command: str) -> tuple[str, ...]:
    """A command behind the back of the table's own check of its seats."""
    return "ALTER TABLE appointment_slots DROP CONSTRAINT slot_seats_in_range", command


PLANTED = (
    Planted("find_unbalanced_slots", "a seat too many", ("UPDATE appointment_slots SET available_seats = 3",)),
    Planted("find_unbalanced_slots", "a seat lost", ("UPDATE appointment_slots SET available_seats = 1",)),
    Planted(
        "find_unbalanced_slots",
        "oversold, and the sum still holds",
        unguarded(
            "UPDATE bookings SET seats_booked = 9 WHERE id = 1; UPDATE appointment_slots SET available_seats = -6"
        ),
    ),
    Planted(
        "find_unbalanced_slots",
        "more free seats than there are, without any booking",
        unguarded("DELETE FROM bookings; UPDATE appointment_slots SET available_seats = 6"),
    ),
    Planted("find_unbalanced_slots", "a booking deleted", ("DELETE FROM bookings WHERE id = 1",)),
    Planted("find_ledger_gaps", "a row missing in the middle", ("DELETE FROM booking_events WHERE sequence = 4",)),
    Planted("find_ledger_gaps", "the newest row missing", ("DELETE FROM booking_events WHERE sequence = 7",)),
    Planted("find_ledger_gaps", "no row at all", ("DELETE FROM booking_events",)),
    Planted("find_ledger_gaps", "a row more than the slot knows", ("UPDATE appointment_slots SET last_event = 6",)),
    Planted(
        "find_ledger_gaps",
        "the numbers shifted by one",
        ("UPDATE booking_events SET sequence = -sequence - 1; UPDATE booking_events SET sequence = -sequence",),
    ),
    Planted("find_illegal_transitions", "released twice", (event(8, "CANCELLED", 2, 3),)),
    Planted("find_illegal_transitions", "expired after it was confirmed", (event(8, "EXPIRED", 1, 3),)),
    Planted("find_illegal_transitions", "confirmed after it was cancelled", (event(8, "CONFIRMED", 2, 2),)),
    Planted("find_illegal_transitions", "confirmed twice", (event(8, "CONFIRMED", 1, 2),)),
    Planted("find_illegal_transitions", "held twice", (event(8, "HELD", 4, 1),)),
    Planted("find_illegal_transitions", "released and never held", (event(8, "CANCELLED", 99, 3),)),
    Planted("find_illegal_transitions", "revived", (event(8, "HELD", 2, 1),)),
    Planted(
        "find_unbalanced_events",
        "a count that does not follow",
        ("UPDATE booking_events SET available_after = 5 WHERE sequence = 4",),
    ),
    Planted(
        "find_unbalanced_events",
        "a hold that took no seats",
        ("UPDATE booking_events SET available_after = 3 WHERE sequence = 7",),
    ),
    Planted(
        "find_unbalanced_events",
        "a total that grew without seats",
        (event(8, "RESIZED", 4, 2).replace(", 5, 'test'", ", 7, 'test'"),),
    ),
    Planted(
        "find_untimely_events",
        "confirmed at the deadline",
        ("UPDATE booking_events SET created_at = (SELECT expires_at FROM bookings WHERE id = 1) WHERE sequence = 3",),
    ),
    Planted("find_untimely_events", "expired before the deadline", (event(8, "EXPIRED", 4, 3),)),
    Planted("find_status_mismatches", "failed without a word", ("UPDATE bookings SET status = 'FAILED' WHERE id = 4",)),
    Planted(
        "find_status_mismatches",
        "live again after it was cancelled",
        ("UPDATE bookings SET status = 'PENDING', expires_at = now(), cancelled_at = NULL WHERE id = 2",),
    ),
    Planted(
        "find_status_mismatches",
        "unknown to the ledger",
        ("UPDATE booking_events SET booking_id = NULL WHERE booking_id = 3",),
    ),
    # Consistent in themselves: only a comparison of the slot with its newest row can tell.
    Planted(
        "find_ledger_drift",
        "other seats than the booking's",
        ("UPDATE booking_events SET seats = 2, available_after = available_after - 1 WHERE sequence = 7",),
    ),
    Planted(
        "find_ledger_drift",
        "a counter beside the slot's",
        ("UPDATE booking_events SET available_after = available_after - 1",),
    ),
    Planted("find_ledger_drift", "a total beside the slot's", ("UPDATE booking_events SET total_after = 9",)),
)


@pytest.mark.parametrize("planted", PLANTED, ids=[f"{planted.rule}: {planted.what}" for planted in PLANTED])
async def test_a_planted_violation_turns_its_rule_red(
    practice: Practice, connection: Connection, planted: Planted
) -> None:
    await short_history(practice)
    assert await broken_rules(practice.database) == set()
    await connection.execute("SET session_replication_role = replica")
    for command in planted.commands:
        await connection.execute(command)
    assert f"invariants.{planted.rule}" in await broken_rules(practice.database)


def test_every_rule_has_a_planted_violation() -> None:
    assert {f"invariants.{planted.rule}" for planted in PLANTED} == {rule.statement.name for rule in RULES}
    assert len({rule.sentence for rule in RULES}) == len(RULES)


async def test_a_violation_names_its_rule_and_its_facts(practice: Practice, connection: Connection) -> None:
    await short_history(practice)
    await connection.execute("UPDATE appointment_slots SET available_seats = 4")
    [violation] = [found for found in await violations_of(practice.database) if found.rule == RULES[0].sentence]
    assert violation.facts == {"slot_id": 1, "total_seats": 5, "available_seats": 4, "live_seats": 3}
