"""The rules of `slotwise check-invariants`: no history made by the services breaks one, and each violation is found."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeAlias

import asyncpg
import pytest
import pytest_asyncio

from slotwise.db.pool import Database
from slotwise.domain.bookings import SeatRequest
from slotwise.domain.errors import SlotwiseError
from slotwise.domain.slots import SlotChange, SlotStatus
from slotwise.domain.users import Role, User
from slotwise.services.booking.bookings import Bookings
from slotwise.services.core import invariants
from slotwise.services.core.callers import Caller
from slotwise.services.core.expiry import sweep_holds
from slotwise.services.core.invariants import FIRST_SLOT, LAST_SLOT, RULES, Finding, find_violations, get_slot_history
from slotwise.services.schedule.doctors import Doctors
from slotwise.services.schedule.slots import Slots
from tests.clinic import PATIENCE_SECONDS
from tests.conftest import fresh_database
from tests.workers import booking_path

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

NOW = datetime.now(UTC)
ADMIN = User(0, "admin@example.org", "Admin", Role.ADMIN, True, 1, NOW, NOW)
DESK = Caller(ADMIN)

EVENTS = {"CREATED", "RESIZED", "CLOSED", "REOPENED", "MOVED", "HELD", "BOOKED", "CONFIRMED", "EXPIRED", "CANCELLED"}


class Practice:
    """The use cases over one database, with short names."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.doctors = Doctors(database)
        self.slots = Slots(database)
        self.bookings = self.bookings_held_for(60)

    def bookings_held_for(self, seconds: int) -> Bookings:
        return booking_path(self.database, seconds)[1]

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
    """The ids of the broken rules."""
    return {violation.rule for violation in await find_violations(database)}


async def findings_of(connection: Connection) -> list[tuple[str, str, Finding]]:
    """What the checks find in the transaction of a connection: rule, name of the statement and finding."""
    return [
        (rule.id, check.statement.name, finding)
        for rule in RULES
        for check in rule.checks
        for finding in await check.statement.all(connection, first_slot=FIRST_SLOT, last_slot=LAST_SLOT, limit=20)
    ]


async def tolerating(*attempts: Awaitable[object]) -> Sequence[object]:
    """The result of each attempt. A refusal is a result too."""
    answers = await asyncio.gather(*attempts, return_exceptions=True)
    defects = [one for one in answers if isinstance(one, BaseException) and not isinstance(one, SlotwiseError)]
    assert not defects
    return answers


async def live_a_day(practice: Practice) -> None:
    """Everything that can happen to bookings and slots, much of it at the same time."""
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
    return [sweep_holds(practice.database) for _ in range(count)]


async def test_a_busy_history_breaks_no_rule(practice: Practice, connection: Connection) -> None:
    await live_a_day(practice)
    kinds = {row["kind"] for row in await connection.fetch("SELECT DISTINCT kind FROM booking_events")}
    assert kinds == EVENTS
    assert await find_violations(practice.database) == []


async def test_no_use_case_needs_two_connections_at_once(database_url: str) -> None:
    """In a pool of one connection, a use case that asks for a second while it holds the first would wait for itself."""
    async with practice_on(database_url, 1) as practice:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await live_a_day(practice)
        assert await find_violations(practice.database) == []


@pytest.mark.parametrize(
    "change",
    [
        SlotChange(start_time=NOW + timedelta(days=31), total_seats=9),
        SlotChange(duration_minutes=45, total_seats=2, status=SlotStatus.CLOSED),
        SlotChange(total_seats=2, status=SlotStatus.CLOSED),
    ],
    ids=["moved and resized", "all at once", "resized and closed"],
)
async def test_changing_a_slot_in_several_ways_at_once_breaks_no_rule(practice: Practice, change: SlotChange) -> None:
    slot_id = await practice.slot(5)
    await practice.book(slot_id, 2)
    await practice.change(slot_id, change)
    assert await find_violations(practice.database) == []


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
    """A violation, the check that must find it, and what it must find: rule, ledger row and the difference."""

    check: str
    what: str
    commands: tuple[str, ...]
    rule: str
    sequence: int | None
    difference: str


_EVENT = (
    "INSERT INTO booking_events (slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor,"
    " created_at) VALUES (1, {sequence}, '{kind}', {booking}, {seats}, {after}, 5, 'test', clock_timestamp());"
    " UPDATE appointment_slots SET last_event = {sequence}"
)


def event(sequence: int, kind: str, booking: int, after: int, seats: int = 1) -> str:
    return _EVENT.format(sequence=sequence, kind=kind, booking=booking, after=after, seats=seats)


def rewritten(sequence: int, change: str) -> str:
    return f"UPDATE booking_events SET {change} WHERE sequence = {sequence}"


def unguarded(command: str) -> tuple[str, ...]:
    """A command without the table's own check of its seats."""
    return "ALTER TABLE appointment_slots DROP CONSTRAINT slot_seats_in_range", command


STEPS, COUNTERS, LIVE = "find_broken_steps", "find_slots_beside_their_ledger", "find_unbalanced_slots"
OVERSOLD, TRANSITIONS, STATUSES = "find_oversold_instants", "find_illegal_transitions", "find_status_mismatches"
LATE, EARLY, RELEASES = "find_late_confirmations", "find_early_expiries", "find_wrong_releases"
GAPS, ENDS, BEGINNINGS = "find_ledger_gaps", "find_wrong_ends", "find_wrong_beginnings"
TIMES, STRAY, ADDED = "find_backward_times", "find_stray_events", "find_wrong_added_seats"
OPENED, HIDDEN = "find_open_slots_in_closures", "find_hidden_bookings"
OUTSIDE = "find_visits_outside_windows"
DOUBLE, SHORT = "find_double_visits", "find_short_buffers"

# Foreign keys are off. The slot begins in 30 days. Both were changed ten minutes ago.
CLOSED_WEEKS = """
    INSERT INTO closures (id, doctor_id, clinic_id, start_time, end_time, kind, updated_at)
    SELECT 1, {doctor}, {clinic}, '2000-01-01Z', s.start_time + interval '1 minute', 'HOLIDAY',
        now() - interval '10 minutes'
    FROM appointment_slots AS s WHERE s.id = 1;
    UPDATE appointment_slots SET updated_at = now() - interval '10 minutes' WHERE id = 1
"""
CLOSED_FOR_ALL = CLOSED_WEEKS.format(doctor="NULL", clinic="NULL")
# Carved out of a window, of its doctor and clinic, that is open for so many minutes from the start of the slot.
CARVED = """
    INSERT INTO windows (id, doctor_id, clinic_id, rule_id, start_time, end_time, local_start)
    SELECT 1, s.doctor_id, s.clinic_id, 1, s.start_time, s.start_time + interval '{minutes} min', '2031-01-06'
    FROM appointment_slots AS s WHERE s.id = 1;
    UPDATE appointment_slots SET window_id = 1 WHERE id = 1
"""
IN_A_WINDOW = CARVED.format(minutes=30)
OF_A_RULE = "UPDATE appointment_slots SET rule_id = 1, status = 'CLOSED' WHERE id = 1"
REMOVED = "UPDATE closures SET removed_at = now()"

# Another slot of the doctor, so many minutes after the first one's start, with a booking. The first lasts 30 minutes.
OTHER_VISIT = """
    INSERT INTO appointment_slots (id, doctor_id, start_time, end_time, total_seats, available_seats, status)
    SELECT
        2, s.doctor_id, s.start_time + interval '{minutes} min', s.end_time + interval '{minutes} min', 1, 0, 'CLOSED'
    FROM appointment_slots AS s WHERE s.id = 1;
    INSERT INTO bookings (id, slot_id, user_name, user_email, seats_booked, status, confirmed_at, manage_token_hash)
    VALUES (9, 2, 'Ada', 'ada@example.org', 1, 'CONFIRMED', now(), '\\x00');
    INSERT INTO booking_events (
        slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
    ) VALUES (2, 1, 'CREATED', NULL, 1, 1, 1, 'test', now()), (2, 2, 'BOOKED', 9, 1, 0, 1, 'test', now());
    UPDATE appointment_slots SET last_event = 2 WHERE id = 2
"""
# Of booking 3, which is confirmed.
BUFFERED = """
    INSERT INTO visit_types (id, name, minutes, buffer_minutes) VALUES (1, 'Operation', 30, 20);
    UPDATE bookings SET visit_type_id = 1 WHERE id = {booking}
"""
KEPT_FREE = "UPDATE appointment_slots SET busy_until = end_time + interval '20 min' WHERE id = 1"

# The constraint is removed here, so that a row can have any values.
UNCHECKED = "ALTER TABLE booking_events DROP CONSTRAINT event_seats_in_range"

PLANTED = (
    Planted(
        STEPS, "a count that does not follow", (rewritten(4, "available_after = 5"),),
        "S1", 4, "HELD leaves 5 of 5 seats free; expected 3 of 5 after a row with 4 of 5",
    ),
    Planted(
        STEPS, "a hold that took no seats", (rewritten(7, "available_after = 3"),),
        "S1", 7, "HELD leaves 3 of 5 seats free; expected 2 of 5 after a row with 3 of 5",
    ),
    Planted(
        STEPS, "fewer seats than none, though it follows",
        (UNCHECKED, rewritten(7, "seats = 6, available_after = -3")),
        "S1", 7, "HELD leaves -3 of 5 seats free; expected -3 of 5 after a row with 3 of 5",
    ),
    Planted(
        STEPS, "more free seats than there are, though it follows", (UNCHECKED, event(8, "CANCELLED", 4, 6, seats=4)),
        "S1", 8, "CANCELLED leaves 6 of 5 seats free; expected 6 of 5 after a row with 2 of 5",
    ),
    Planted(
        STEPS, "a total that grew without being resized", (rewritten(7, "total_after = 6"),),
        "S1", 7, "HELD leaves 2 of 6 seats free; expected 2 of 5 after a row with 3 of 5",
    ),
    Planted(
        STEPS, "resized, and the seats not freed",
        (event(8, "RESIZED", 4, 2, seats=7), rewritten(8, "booking_id = NULL, total_after = 7")),
        "S1", 8, "RESIZED leaves 2 of 7 seats free; expected 4 of 7 after a row with 2 of 5",
    ),
    Planted(
        STEPS, "resized to another total than it says",
        (event(8, "RESIZED", 4, 4, seats=7), rewritten(8, "booking_id = NULL, total_after = 8")),
        "S1", 8, "RESIZED leaves 4 of 8 seats free; expected 4 of 7 after a row with 2 of 5",
    ),
    Planted(
        COUNTERS, "a free seat too many", ("UPDATE appointment_slots SET available_seats = 3",),
        "S1", 7, "the slot has 3 of 5 seats free; expected 2 of 5, as its newest ledger row says",
    ),
    # The ledger itself is consistent: only a comparison of the slot with its newest row finds this.
    Planted(
        COUNTERS, "a total beside the slot's",
        ("UPDATE booking_events SET total_after = 9, seats = CASE kind WHEN 'CREATED' THEN 9 ELSE seats END",),
        "S1", 7, "the slot has 2 of 5 seats free; expected 2 of 9, as its newest ledger row says",
    ),
    Planted(
        LIVE, "a seat lost", ("UPDATE appointment_slots SET available_seats = 1",),
        "S1", 7, "the slot has 1 of 5 seats free; expected 2, as its live bookings have 3",
    ),
    Planted(
        LIVE, "oversold, and the sum still holds",
        unguarded(
            "UPDATE bookings SET seats_booked = 9 WHERE id = 1; UPDATE appointment_slots SET available_seats = -6"
        ),
        "S1", 7, "the slot has -6 of 5 seats free; expected -6, as its live bookings have 11",
    ),
    Planted(
        LIVE, "more free seats than there are, without any booking",
        unguarded("DELETE FROM bookings; UPDATE appointment_slots SET available_seats = 6"),
        "S1", 7, "the slot has 6 of 5 seats free; expected 5, as its live bookings have 0",
    ),
    Planted(
        LIVE, "a booking deleted", ("DELETE FROM bookings WHERE id = 1",),
        "S1", 7, "the slot has 2 of 5 seats free; expected 3, as its live bookings have 2",
    ),
    # The counter columns are right in each of these.
    Planted(
        OVERSOLD, "more granted than there is", (rewritten(7, "seats = 4"),),
        "S2", 7, "6 seats are granted; expected at most 5, the total then",
    ),
    Planted(
        OVERSOLD, "oversold for as long as it takes to cancel", (rewritten(4, "seats = 5"),),
        "S2", 4, "6 seats are granted; expected at most 5, the total then",
    ),
    Planted(
        OVERSOLD, "made smaller than what is taken",
        (event(8, "RESIZED", 4, 0, seats=2), rewritten(8, "booking_id = NULL")),
        "S2", 8, "3 seats are granted; expected at most 2, the total then",
    ),
    Planted(
        OVERSOLD, "a seat that came back twice, sold twice",
        (event(8, "CANCELLED", 2, 3), event(9, "HELD", 99, 0, seats=3)),
        "S2", 9, "6 seats are granted; expected at most 5, the total then",
    ),
    Planted(
        TRANSITIONS, "released twice", (event(8, "CANCELLED", 2, 3),),
        "S7", 8, "CANCELLED; expected nothing after CANCELLED",
    ),
    Planted(
        TRANSITIONS, "expired after it was confirmed", (event(8, "EXPIRED", 1, 3),),
        "S7", 8, "EXPIRED; expected CANCELLED after CONFIRMED",
    ),
    Planted(
        TRANSITIONS, "confirmed after it was cancelled", (event(8, "CONFIRMED", 2, 2),),
        "S7", 8, "CONFIRMED; expected nothing after CANCELLED",
    ),
    Planted(
        TRANSITIONS, "confirmed twice", (event(8, "CONFIRMED", 1, 2),),
        "S7", 8, "CONFIRMED; expected CANCELLED after CONFIRMED",
    ),
    Planted(
        TRANSITIONS, "held twice", (event(8, "HELD", 4, 1),),
        "S7", 8, "HELD; expected CONFIRMED, EXPIRED or CANCELLED after HELD",
    ),
    Planted(
        TRANSITIONS, "released and never held", (event(8, "CANCELLED", 99, 3),),
        "S7", 8, "CANCELLED; expected HELD or BOOKED first",
    ),
    Planted(
        TRANSITIONS, "revived", (event(8, "HELD", 2, 1),),
        "S7", 8, "HELD; expected nothing after CANCELLED",
    ),
    Planted(
        STATUSES, "failed without a word", ("UPDATE bookings SET status = 'FAILED' WHERE id = 4",),
        "S7", 7, "the booking is FAILED; expected PENDING, as it was HELD",
    ),
    Planted(
        STATUSES, "live again after it was cancelled",
        ("UPDATE bookings SET status = 'PENDING', expires_at = now(), cancelled_at = NULL WHERE id = 2",),
        "S7", 5, "the booking is PENDING; expected CANCELLED, as the ledger says",
    ),
    Planted(
        STATUSES, "unknown to the ledger", ("UPDATE booking_events SET booking_id = NULL WHERE booking_id = 3",),
        "S7", None, "the booking is CONFIRMED; expected a ledger row that made it",
    ),
    Planted(
        LATE, "confirmed at the deadline",
        (rewritten(3, "created_at = '2040-01-01Z'"), "UPDATE bookings SET expires_at = '2040-01-01Z' WHERE id = 1"),
        "S8", 3, "confirmed at 2040-01-01 00:00:00+00; expected before its deadline, 2040-01-01 00:00:00+00",
    ),
    Planted(
        EARLY, "expired a microsecond before the deadline",
        (
            event(8, "EXPIRED", 4, 3),
            rewritten(8, "created_at = '2040-01-01Z'"),
            "UPDATE bookings SET status = 'FAILED', expires_at = '2040-01-01 00:00:00.000001Z' WHERE id = 4",
        ),
        "S9", 8,
        "expired at 2040-01-01 00:00:00+00; expected not before its deadline, 2040-01-01 00:00:00.000001+00",
    ),
    Planted(
        EARLY, "expired without a deadline", (event(8, "EXPIRED", 3, 3),),
        "S9", 8, "expired at",
    ),
    Planted(
        RELEASES, "given back twice", (event(8, "EXPIRED", 2, 3),),
        "S10", 8, "2 seats came back in 2 releases; expected 1 seats, once",
    ),
    Planted(
        RELEASES, "more given back than was taken", (event(8, "CANCELLED", 4, 4, seats=2),),
        "S10", 8, "2 seats came back in 1 releases; expected 1 seats, once",
    ),
    Planted(
        RELEASES, "given back and never taken", (event(8, "CANCELLED", 99, 3),),
        "S10", 8, "1 seats came back in 1 releases; expected 0 seats, once",
    ),
    Planted(
        GAPS, "a row missing in the middle", ("DELETE FROM booking_events WHERE sequence = 4",),
        "W1", 5, "row 5 comes after row 3; expected row 4",
    ),
    Planted(
        GAPS, "the numbers shifted by one",
        ("UPDATE booking_events SET sequence = -sequence - 1; UPDATE booking_events SET sequence = -sequence",),
        "W1", 2, "row 2 comes after row 0; expected row 1",
    ),
    Planted(
        ENDS, "the newest row missing", ("DELETE FROM booking_events WHERE sequence = 7",),
        "W1", 6, "the ledger ends with row 6; expected row 7, as the slot says",
    ),
    Planted(
        ENDS, "no row at all", ("DELETE FROM booking_events",),
        "W1", None, "the ledger ends with row 0; expected row 7, as the slot says",
    ),
    Planted(
        ENDS, "a row more than the slot knows", ("UPDATE appointment_slots SET last_event = 6",),
        "W1", 7, "the ledger ends with row 7; expected row 6, as the slot says",
    ),
    Planted(
        ENDS, "a ledger of no slot", ("DELETE FROM appointment_slots",),
        "W1", 7, "the ledger ends with row 7; expected no row, as there is no such slot",
    ),
    Planted(
        BEGINNINGS, "created with seats taken", (rewritten(1, "available_after = 4"),),
        "W2", 1, "row 1 is CREATED, with 4 of 5 seats free; expected CREATED as row 1 and no other",
    ),
    Planted(
        BEGINNINGS, "never created", (rewritten(1, "kind = 'REOPENED'"),),
        "W2", 1, "row 1 is REOPENED, with 5 of 5 seats free; expected CREATED as row 1 and no other",
    ),
    Planted(
        BEGINNINGS, "created again", (event(8, "CREATED", 4, 5, seats=5), rewritten(8, "booking_id = NULL")),
        "W2", 8, "row 8 is CREATED, with 5 of 5 seats free; expected CREATED as row 1 and no other",
    ),
    Planted(
        TIMES, "a microsecond backwards",
        (
            "UPDATE booking_events SET created_at = '2031-01-01Z'::timestamptz + sequence * interval '1 s'",
            rewritten(4, "created_at = '2031-01-01 00:00:02.999999Z'"),
        ),
        "W3", 4,
        "HELD at 2031-01-01 00:00:02.999999+00; expected not before the row before, at 2031-01-01 00:00:03+00",
    ),
    Planted(
        STRAY, "about a booking that is not there", ("DELETE FROM bookings WHERE id = 2",),
        "W4", 4, "HELD 1 seats of booking 2; expected a booking that exists",
    ),
    Planted(
        STRAY, "about a booking of another slot", ("UPDATE bookings SET slot_id = 2 WHERE id = 3",),
        "W4", 6, "BOOKED 1 seats of booking 3; expected the booking has 1 seats of slot 2",
    ),
    Planted(
        STRAY, "with other seats than the booking's", (rewritten(7, "seats = 2"),),
        "W4", 7, "HELD 2 seats of booking 4; expected the booking has 1 seats of slot 1",
    ),
    Planted(
        STRAY, "about no booking", (rewritten(6, "booking_id = NULL"),),
        "W4", 6, "BOOKED names no booking; expected the one it is about",
    ),
    Planted(
        STRAY, "about the slot, and naming a booking", (rewritten(1, "booking_id = 1"),),
        "W4", 1, "CREATED names a booking; expected none, as it is about the slot",
    ),
    Planted(
        DOUBLE, "two visits that overlap", (OTHER_VISIT.format(minutes=29),),
        "S22", 7, "doctor 1 has a visit until",
    ),
    Planted(
        DOUBLE, "two visits at the same time", (OTHER_VISIT.format(minutes=0),),
        "S22", 7, "doctor 1 has a visit until",
    ),
    Planted(
        DOUBLE, "a visit in the buffer of another",
        (OTHER_VISIT.format(minutes=49), BUFFERED.format(booking=3), KEPT_FREE),
        "S22", 7, "doctor 1 has a visit until",
    ),
    Planted(
        SHORT, "a booked visit without its buffer", (BUFFERED.format(booking=3),),
        "S22", 7, "the slot takes the doctor until",
    ),
    Planted(
        SHORT, "a held visit without its buffer", (BUFFERED.format(booking=4),),
        "S22", 7, "the slot takes the doctor until",
    ),
    Planted(
        OPENED, "open while all is closed", (CLOSED_FOR_ALL,), "S24", 7, "open from",
    ),
    Planted(
        OPENED, "open while its doctor is away", (CLOSED_WEEKS.format(doctor="1", clinic="NULL"),),
        "S24", 7, "open from",
    ),
    Planted(
        OPENED, "open while its clinic is closed", (CLOSED_WEEKS.format(doctor="NULL", clinic="1"),),
        "S24", 7, "open from",
    ),
    Planted(
        HIDDEN, "closed without a reason that lists its bookings", (OF_A_RULE,),
        "S24", 7, "confirmed in a closed slot that is not listed; expected drifted, or closed by a closure in force",
    ),
    Planted(
        HIDDEN, "closed by a closure that is gone",
        (CLOSED_FOR_ALL, OF_A_RULE, "UPDATE appointment_slots SET closure_id = 1", REMOVED),
        "S24", 7, "confirmed in a closed slot that is not listed",
    ),
    Planted(
        HIDDEN, "a carved one that is closed without being listed",
        (IN_A_WINDOW, "UPDATE appointment_slots SET status = 'CLOSED' WHERE id = 1"),
        "S24", 7, "confirmed in a closed slot that is not listed",
    ),
    Planted(
        OUTSIDE, "longer than its window", (CARVED.format(minutes=29),), "S24", 7, "confirmed from",
    ),
    Planted(
        OUTSIDE, "in a window that is closed", (IN_A_WINDOW, "UPDATE windows SET status = 'CLOSED'"),
        "S24", 7, "confirmed from",
    ),
    Planted(
        OUTSIDE, "in a window at another clinic", (IN_A_WINDOW, "UPDATE windows SET clinic_id = 2"),
        "S24", 7, "confirmed from",
    ),
    Planted(
        ADDED, "added seats that stay", ("UPDATE appointment_slots SET added_seats = 1 WHERE id = 1",),
        "W5", 7, "1 of the seats count as added by overbooking; expected 0, as its confirmed bookings say",
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def lived_url(postgres_url: str, migrated_template: str) -> Iterator[str]:
    """A database with the short history. Each test leaves it unchanged."""

    async def live(url: str) -> None:
        async with practice_on(url, 1) as practice:
            await short_history(practice)

    with fresh_database(postgres_url, migrated_template) as url:
        asyncio.run(live(url))
        yield url


@pytest_asyncio.fixture
async def lived(lived_url: str) -> AsyncIterator[Connection]:
    """A connection inside a transaction that never commits, with triggers and foreign keys off."""
    connection = await asyncpg.connect(lived_url, server_settings={"timezone": "UTC"})
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("SET LOCAL session_replication_role = replica")
    yield connection
    await transaction.rollback()
    await connection.close()


@pytest.mark.parametrize("planted", PLANTED, ids=[f"{planted.check}: {planted.what}" for planted in PLANTED])
async def test_a_planted_violation_is_found_by_its_rule(lived: Connection, planted: Planted) -> None:
    assert await findings_of(lived) == []
    for command in planted.commands:
        await lived.execute(command)
    reported = [
        f"{finding.found}; expected {finding.expected}"
        for rule, check, finding in await findings_of(lived)
        if (rule, check) == (planted.rule, f"core/invariants.{planted.check}")
        and (finding.slot_id, finding.sequence) == (1, planted.sequence)
    ]
    assert [one for one in reported if one.startswith(planted.difference)], reported


@pytest.mark.parametrize(
    "commands",
    [
        (CLOSED_FOR_ALL, REMOVED),
        (CLOSED_FOR_ALL, "UPDATE closures SET end_time = end_time - interval '1 minute'"),
        (CLOSED_FOR_ALL, "UPDATE appointment_slots SET updated_at = now()"),
        (CLOSED_FOR_ALL, "UPDATE closures SET updated_at = now()"),
        (CLOSED_FOR_ALL, "UPDATE appointment_slots SET status = 'CLOSED'"),
        (CLOSED_WEEKS.format(doctor="2", clinic="NULL"),),
        (CLOSED_WEEKS.format(doctor="NULL", clinic="2"),),
        (CLOSED_FOR_ALL, OF_A_RULE, "UPDATE appointment_slots SET closure_id = 1"),
        (OF_A_RULE, "UPDATE appointment_slots SET drifted = TRUE"),
        (OF_A_RULE, "UPDATE appointment_slots SET pinned = TRUE"),
        (OF_A_RULE, "UPDATE appointment_slots SET rule_id = NULL"),
        (OF_A_RULE, "UPDATE appointment_slots SET start_time = now() - interval '1 minute'"),
    ],
)
async def test_what_closures_and_rules_may_leave_breaks_no_rule(lived: Connection, commands: tuple[str, ...]) -> None:
    """What is open beside a closure or was opened just now, and bookings in closed times that are listed."""
    for command in commands:
        await lived.execute(command)
    assert await findings_of(lived) == []


@pytest.mark.parametrize(
    "commands",
    [
        (OTHER_VISIT.format(minutes=30),),
        (OTHER_VISIT.format(minutes=50), BUFFERED.format(booking=3), KEPT_FREE),
        (OTHER_VISIT.format(minutes=29), "UPDATE appointment_slots SET doctor_id = 2 WHERE id = 2"),
        (OTHER_VISIT.format(minutes=29), "UPDATE appointment_slots SET start_time = start_time - interval '40 days'"),
        (BUFFERED.format(booking=2),),
        (BUFFERED.format(booking=3), "UPDATE appointment_slots SET drifted = TRUE"),
        (
            OTHER_VISIT.format(minutes=30), BUFFERED.format(booking=3),
            "UPDATE appointment_slots SET drifted = TRUE WHERE id = 1",
        ),
    ],
    ids=["next to it", "after its buffer", "another doctor", "begun", "cancelled", "drifted", "drifted, and the next"],
)  # fmt: skip
async def test_what_visits_may_do_breaks_no_rule(lived: Connection, commands: tuple[str, ...]) -> None:
    """A slot that drifted is listed for a person, so its type may have become longer."""
    for command in commands:
        await lived.execute(command)
    assert await findings_of(lived) == []


def test_every_check_has_a_planted_violation_under_the_id_of_its_rule() -> None:
    checks = {(check.statement.name, rule.id) for rule in RULES for check in rule.checks}
    assert {(f"core/invariants.{planted.check}", planted.rule) for planted in PLANTED} == checks
    assert len({rule.id for rule in RULES}) == len({rule.sentence for rule in RULES}) == len(RULES)


async def test_one_slot_is_checked_alone_and_its_ledger_shows_the_violation(
    practice: Practice, connection: Connection
) -> None:
    await short_history(practice)
    await short_history(practice)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(rewritten(3, "created_at = '2020-01-01Z'"))
    assert {one.slot_id for one in await find_violations(practice.database)} == {1, 2}
    [violation] = await find_violations(practice.database, slot_id=2)
    assert (violation.rule, violation.slot_id, violation.sequence) == ("W3", 2, 3)
    history = await get_slot_history(practice.database, 2, [violation])
    assert history is not None
    assert [row.sequence for row in history.rows] == [1, 2, 3, 4, 5]
    assert await find_violations(practice.database, slot_id=3) == []
    assert await get_slot_history(practice.database, 3, []) is None


async def test_stretches_cover_every_slot(
    practice: Practice, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of ids below, between and after the slots that exist: ledger rows without a slot must be found."""
    monkeypatch.setattr(invariants, "EVENTS_PER_STRETCH", 1)
    monkeypatch.setattr(invariants, "SHOWN_PER_RULE", 100)
    for _ in range(7):
        await practice.slot(5)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute("DELETE FROM appointment_slots WHERE id IN (1, 4, 7)")
    await connection.execute("UPDATE booking_events SET available_after = 4, slot_id = slot_id - 3")
    calls: list[tuple[int, int]] = []
    found = await find_violations(practice.database, progress=lambda done, of: calls.append((done, of)))
    assert [one.slot_id for one in found if one.rule == "W2"] == [-2, -1, 0, 1, 2, 3, 4]
    assert calls == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


async def test_a_report_has_a_limited_length(practice: Practice, connection: Connection) -> None:
    doctor = (await practice.doctors.create_doctor(ADMIN, "Dr. Who", None)).id
    for day in range(25):
        await practice.slots.create_slot(ADMIN, doctor, NOW + timedelta(days=30 + day), 5, 30)
    await connection.execute("UPDATE appointment_slots SET available_seats = 4")
    found = await find_violations(practice.database)
    assert len(found) == invariants.SHOWN_PER_RULE == 20
    assert {one.rule for one in found} == {"S1"}


async def test_the_checker_waits_for_no_lock_and_delays_no_booking(practice: Practice, connection: Connection) -> None:
    """It ends while a slot's lock is held, and a booking's lock is taken while a check's snapshot is open."""
    slot_id = await practice.slot(5)
    async with connection.transaction():
        await connection.execute("SELECT 1 FROM appointment_slots FOR UPDATE")
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await find_violations(practice.database) == []
    async with connection.transaction():
        assert await findings_of(connection) == []
        modes = await connection.fetch(
            "SELECT DISTINCT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation > 16384"
        )
        # SIReadLock belongs to serializable transactions and blocks no other lock.
        assert {row["mode"] for row in modes} - {"SIReadLock"} == {"AccessShareLock"}
        await practice.book(slot_id)
