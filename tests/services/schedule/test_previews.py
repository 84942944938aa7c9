"""What a preview says is what applying does: any sequence of changes, with bookings that arrive in between.

The tables after a change are compared with the tables before it and the preview, by a pure `applied` of a dozen lines.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Any, TypeAlias

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from msgspec.structs import asdict, replace

from slotwise.db.pool import Database
from slotwise.domain.clinics import Clinic
from slotwise.domain.errors import ScheduleChanged, SlotOverlaps
from slotwise.domain.schedule_changes import Decision, Decisions, LengthChange, ScheduleChange, ZoneChange
from slotwise.domain.schedule_diff import Difference, ExistingSlot
from slotwise.domain.schedule_previews import FIRST_NEW_ID, Preview, outline
from slotwise.domain.schedules import Closure, ClosureKind, Rule, RuleKind
from slotwise.domain.slots import SlotChange, SlotStatus
from slotwise.domain.users import Role, User
from slotwise.services.core.invariants import find_violations
from slotwise.services.schedule.clinics import fill_first_clinic
from slotwise.services.schedule.publishing import Publisher
from slotwise.services.schedule.schedule_state import read_schedule
from slotwise.services.schedule.schedules import Applied, Outlined, Schedules
from slotwise.services.schedule.slots import Slots
from tests.domain.schedule_worlds import applied, open_ids, overlapping

Rows: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

ADMIN = User(
    1,
    "admin@example.org",
    "Ann Admin",
    Role.ADMIN,
    True,
    1,
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 1, tzinfo=UTC),
)
# All rules end before the horizon, so that nothing depends on the hour at which the test runs.
PUBLISH_DAYS = 40
FIRST_DAY = datetime.now(UTC).date() + timedelta(days=3)
LAST_DAY = FIRST_DAY + timedelta(days=20)
ZONES = ("UTC", "Europe/Berlin", "America/New_York")
NUMBERS = st.integers(0, 5)
SLOTS = """
    SELECT
        s.id, s.doctor_id, s.clinic_id, s.start_time, s.end_time, s.status, s.total_seats, s.added_seats,
        s.visit_type_ids, s.busy_until, s.rule_id, s.rule_version, s.local_start, s.closure_id, s.drifted, s.pinned,
        s.window_id,
        (SELECT coalesce(sum(b.seats_booked), 0) FROM bookings AS b WHERE b.slot_id = s.id AND b.status = 'CONFIRMED')
            AS confirmed,
        (SELECT coalesce(sum(b.seats_booked), 0) FROM bookings AS b WHERE b.slot_id = s.id AND b.status = 'PENDING')
            AS holds
    FROM appointment_slots AS s
    WHERE s.doctor_id = $1 AND (s.window_id IS NULL OR s.available_seats < s.total_seats) ORDER BY s.id
"""
WINDOWS = """
    SELECT v.id, v.rule_id, v.clinic_id, v.start_time, v.end_time, v.local_start FROM windows AS v
    WHERE v.doctor_id = $1 AND v.status = 'OPEN' ORDER BY v.id
"""
TYPES_OF_RULE = "SELECT visit_type_ids FROM schedule_rules WHERE id = $1"
HOLD_TIME = """
    SELECT h.outcome FROM hold_times(
        ARRAY[$1::bigint], ARRAY[$2::timestamptz], ARRAY[$3::timestamptz], ARRAY[$4::bigint], ARRAY[NULL::bigint],
        ARRAY['Ada Lovelace'], ARRAY['ada@example.org'], ARRAY[$5::boolean], ARRAY['\\x00'::bytea], ARRAY['guest'],
        '{}', '{}', '{}', '{}', '{}', NULL, 86000, 86400, FALSE
    ) AS h
"""
BOOKINGS = """
    SELECT b.id, b.slot_id, b.status, b.cancel_reason, b.seats_booked FROM bookings AS b
    INNER JOIN appointment_slots AS s ON b.slot_id = s.id WHERE s.doctor_id = $1 ORDER BY b.id
"""
MINUTES = (30, 45, 60)
OTHER_MINUTES = (25, 40, 55)
ADD_TYPE = "INSERT INTO visit_types (name, minutes, buffer_minutes) VALUES ('Visit', $1, 10) RETURNING id"
RULES = "SELECT id, version, removed_at IS NULL AS applies FROM schedule_rules WHERE doctor_id = $1 ORDER BY id"
CLOSURES = """
    SELECT id, version, start_time, end_time, removed_at IS NULL AS applies FROM closures
    WHERE doctor_id = $1 OR clinic_id = any($2::bigint[]) ORDER BY id
"""
HOLD = """
    SELECT (h.booking).id FROM hold_seats(
        ARRAY[$1::bigint], ARRAY[$2::integer], ARRAY[NULL::bigint], ARRAY['Ada Lovelace'], ARRAY['ada@example.org'],
        ARRAY[$3::boolean], ARRAY['\\x00'::bytea], ARRAY['guest'], '{}', '{}', '{}', '{}', '{}', NULL, 86000, 86400
    ) AS h
"""


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def test_a_change_does_what_its_preview_says(database_url: str, runner: asyncio.Runner) -> None:
    run_changes(database_url, runner, examples=3, steps=20)


# Each step takes some hundredths of a second; many are needed until rules, closures and bookings meet in rare ways.
@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_many_changes_do_what_their_previews_say(database_url: str, runner: asyncio.Runner) -> None:
    run_changes(database_url, runner, examples=40, steps=40)


def run_changes(database_url: str, runner: asyncio.Runner, examples: int, steps: int) -> None:
    database = runner.run(Database.connect(database_url, 4))
    rows = runner.run(asyncpg.connect(database_url))
    runner.run(fill_first_clinic(database, Clinic(1, "Clinic", "UTC")))
    try:
        run_state_machine_as_test(
            # Called without arguments for each history; its annotation asks for the class itself.
            partial(Changes, database, rows, runner),  # type: ignore[arg-type]
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        runner.run(rows.close())
        runner.run(database.close())


class Tables:
    """What the tables have of one doctor."""

    def __init__(
        self,
        slots: Sequence[ExistingSlot],
        bookings: Sequence[Any],
        rules: Sequence[Any],
        closures: Sequence[Any],
        windows: Sequence[Any],
    ) -> None:
        self.windows = [tuple(row) for row in windows]
        self.slots, self.bookings = list(slots), [tuple(row) for row in bookings]
        self.weekly, self.closures = [tuple(row) for row in rules], [tuple(row) for row in closures]

    @classmethod
    async def read(cls, rows: Rows, doctor_id: int, clinic_ids: Sequence[int]) -> "Tables":
        slots = [
            ExistingSlot(**row | {"status": SlotStatus(row["status"]), "visit_type_ids": _types(row["visit_type_ids"])})
            for row in map(dict, await rows.fetch(SLOTS, doctor_id))
        ]
        closures = await rows.fetch(CLOSURES, doctor_id, list(clinic_ids))
        bookings, rules = await rows.fetch(BOOKINGS, doctor_id), await rows.fetch(RULES, doctor_id)
        return cls(slots, bookings, rules, closures, await rows.fetch(WINDOWS, doctor_id))


class Changes(RuleBasedStateMachine):
    """A doctor at two clinics. `weekly` are the rules, `closures` the closures that apply."""

    def __init__(self, database: Database, rows: Rows, runner: asyncio.Runner) -> None:
        super().__init__()
        self.database, self.rows, self.runner = database, rows, runner
        self.schedules = Schedules(database, PUBLISH_DAYS)
        self.slots = Slots(database)
        self.weekly: dict[int, Rule] = {}
        self.closures: dict[int, Closure] = {}
        self.clinics = [
            self._insert("INSERT INTO clinics (name, time_zone) VALUES ('Clinic', $1) RETURNING id", zone)
            for zone in ZONES[:2]
        ]
        # Two of each length of a slot, and how long they take by now.
        self.types = {self._type(minutes): minutes for minutes in MINUTES * 2}
        self.doctor = self._insert("INSERT INTO doctors (name) VALUES ($1) RETURNING id", "Dr. Who")

    def _insert(self, statement: str, value: str) -> int:
        return int(self.runner.run(self.rows.fetchval(statement, value)))

    def _type(self, minutes: int) -> int:
        return int(self.runner.run(self.rows.fetchval(ADD_TYPE, minutes)))

    @rule(numbers=st.lists(NUMBERS, min_size=7, max_size=7))
    def add_rule(self, numbers: list[int]) -> None:
        self.change(numbers, add_rules=(self._rule(numbers),))

    @rule(numbers=st.lists(NUMBERS, min_size=7, max_size=7))
    def add_open_time(self, numbers: list[int]) -> None:
        self.change(numbers, add_rules=(self._open_time(numbers),))

    @precondition(lambda self: self.weekly)
    @rule(numbers=st.lists(NUMBERS, min_size=7, max_size=7), place=NUMBERS)
    def change_to_open_time(self, numbers: list[int], place: int) -> None:
        before = self._one(self.weekly, place)
        after = replace(self._open_time(numbers), id=before.id, version=before.version)
        self.change(numbers, change_rules=(after,))

    @precondition(lambda self: self.weekly)
    @rule(numbers=st.lists(NUMBERS, min_size=7, max_size=7), place=NUMBERS)
    def change_rule(self, numbers: list[int], place: int) -> None:
        before = self._one(self.weekly, place)
        after = self._rule(numbers) if numbers[0] % 2 else replace(before, last_day=FIRST_DAY + timedelta(days=7))
        self.change(numbers, change_rules=(replace(after, id=before.id, version=before.version),))

    @precondition(lambda self: self.weekly)
    @rule(numbers=st.lists(NUMBERS, min_size=7, max_size=7), place=NUMBERS)
    def change_seats_and_types(self, numbers: list[int], place: int) -> None:
        before = self._one(self.weekly, place)
        if before.is_window:
            self.change(numbers, change_rules=(replace(before, visit_type_ids=self._some_types(numbers)),))
            return
        types = [each for each, minutes in self.types.items() if minutes == before.slot_minutes][: numbers[4] % 3]
        after = replace(before, total_seats=1 + numbers[6] % 3, visit_type_ids=_types(types))
        self.change(numbers, change_rules=(after,))

    @precondition(lambda self: self.weekly)
    @rule(numbers=st.lists(NUMBERS, min_size=7, max_size=7), place=NUMBERS)
    def remove_rule(self, numbers: list[int], place: int) -> None:
        self.change(numbers, remove_rules=(self._one(self.weekly, place).id,))

    @rule(numbers=st.lists(NUMBERS, min_size=7, max_size=7))
    def add_closure(self, numbers: list[int]) -> None:
        self.change(numbers, add_closures=(self._closure(numbers),))

    @precondition(lambda self: self.closures)
    @rule(numbers=st.lists(NUMBERS, min_size=7, max_size=7), place=NUMBERS)
    def change_closure(self, numbers: list[int], place: int) -> None:
        before, other = self._one(self.closures, place), self._closure(numbers)
        after = replace(before, start_time=other.start_time, end_time=other.end_time, message=other.message)
        self.change(numbers, change_closures=(after,))

    @precondition(lambda self: self.closures)
    @rule(numbers=st.lists(NUMBERS, min_size=7, max_size=7), place=NUMBERS)
    def remove_closure(self, numbers: list[int], place: int) -> None:
        self.change(numbers, remove_closures=(self._one(self.closures, place).id,))

    @rule(numbers=st.lists(NUMBERS, min_size=7, max_size=7))
    def change_zone(self, numbers: list[int]) -> None:
        self.change(numbers, change_zones=(ZoneChange(self.clinics[numbers[3] % 2], ZONES[numbers[4] % 3]),))

    @rule(numbers=st.lists(NUMBERS, min_size=7, max_size=7))
    def change_length(self, numbers: list[int]) -> None:
        """Of both types of one length, so that all types of a rule have the same."""
        minutes = list(self.types.values())[numbers[3] % 3]
        other = next(each for each in (*MINUTES, *OTHER_MINUTES) if each not in self.types.values())
        lengths = [LengthChange(each, other, 10 * numbers[4]) for each, now in self.types.items() if now == minutes]
        if self.change(numbers, change_lengths=tuple(lengths)):
            self.types |= {length.visit_type_id: other for length in lengths}
        known = self.runner.run(self.rows.fetch("SELECT id, minutes FROM visit_types"))
        assert self.types.items() <= {row[0]: row[1] for row in known}.items()

    def _one(self, known: dict[int, Any], place: int) -> Any:
        return list(known.values())[place % len(known)]

    def _rule(self, numbers: Sequence[int]) -> Rule:
        opens = 60 * (8 + numbers[3])
        return Rule(
            id=0,
            doctor_id=self.doctor,
            clinic_id=self.clinics[numbers[5] % 2],
            first_day=FIRST_DAY,
            last_day=LAST_DAY,
            every_weeks=1 + numbers[0] // 4,
            weekday=(FIRST_DAY + timedelta(days=numbers[5] % 3)).isoweekday(),
            opens=opens,
            closes=opens + 180,
            slot_minutes=MINUTES[numbers[4] % 3],
            break_minutes=15 * (numbers[6] % 2),
            total_seats=1 + numbers[6] // 3,
        )

    def _open_time(self, numbers: Sequence[int]) -> Rule:
        fixed = self._rule(numbers)
        types, length = self._some_types(numbers), 60 * (2 + numbers[6] % 3)
        return replace(
            fixed, closes=fixed.opens + length, slot_minutes=length, break_minutes=0, total_seats=1,
            visit_type_ids=types, kind=RuleKind.WINDOW, step_minutes=5 + 10 * numbers[4],
        )  # fmt: skip

    def _some_types(self, numbers: Sequence[int]) -> tuple[int, ...]:
        return tuple(self.types)[numbers[4] % 3 : 4 + numbers[6] % 3]

    def _closure(self, numbers: Sequence[int]) -> Closure:
        start = _moment(numbers[3] % 3 + 7 * (numbers[4] % 2), 7 + 2 * numbers[6])
        return Closure(
            id=0,
            doctor_id=self.doctor if numbers[5] % 3 else None,
            clinic_id=None if numbers[5] % 3 else self.clinics[0],
            start_time=start,
            end_time=start + timedelta(hours=1 + 5 * numbers[4]),
            kind=ClosureKind.ABSENCE,
            message="Sorry." if numbers[6] % 2 else None,
        )

    def change(self, numbers: Sequence[int], **fields: Any) -> bool:
        """Previews the change, lets something happen, applies it, and compares. Whether it was done."""
        try:
            seen = self.runner.run(self.schedules.preview_schedule(ADMIN, ScheduleChange(**fields)))
        except SlotOverlaps:
            # A longer buffer would reach from a slot that no rule may change into another one.
            assert any(length.buffer_minutes for length in fields["change_lengths"])
            return False
        listed = sorted(hit.booking.id for hit in seen.preview.hits)
        exceptions = dict.fromkeys(listed[:: 1 + numbers[1]], Decision.CANCEL)
        decisions = Decisions(Decision.CANCEL if numbers[2] == 0 else Decision.KEEP, exceptions, "New hours.")
        change = ScheduleChange(**fields, decisions=decisions)
        seen = self.runner.run(self.schedules.preview_schedule(ADMIN, change))
        seen = self._meanwhile(numbers, change, seen)
        before = self.tables()
        done = self.runner.run(self.schedules.apply_schedule(ADMIN, change, seen.token))
        self._compare(before, seen.preview, done, lengths_change=bool(change.change_lengths))
        self._remember(seen.preview, done)
        return True

    def _meanwhile(self, numbers: Sequence[int], change: ScheduleChange, seen: Outlined) -> Outlined:
        """A hold does not make the preview old, nor a booking of a time that stays.

        One of a time that goes does, and one that is too many for the new seats of its time.
        """
        free = [slot for slot in self.tables().slots if slot.is_open and self._free(slot.id) > 0]
        going = {slot.id for slot in free if _hits_one_more(slot, seen.preview)}
        if numbers[0] > 3 or not free:
            return seen
        slot = next((slot for slot in free if (slot.id in going) is (numbers[0] > 0)), free[0])
        confirm = numbers[0] != 1
        self._hold(slot.id, 1, confirm=confirm)
        if not confirm or slot.id not in going:
            return seen
        with pytest.raises(ScheduleChanged) as refused:
            self.runner.run(self.schedules.apply_schedule(ADMIN, change, seen.token))
        now = refused.value.outlined
        assert isinstance(now, Outlined)
        assert len(now.preview.hits) > len(seen.preview.hits)
        return now

    def _compare(self, before: Tables, preview: Preview, done: Applied, *, lengths_change: bool) -> None:
        after = self.tables()
        self._compare_bookings(before, after, preview)
        rules, closures = _ids(done.rule_ids), _ids(done.closure_ids)
        expected = applied(preview.difference, _without(before.slots, preview))
        if lengths_change:
            expected = _with_longer_buffers(expected, after.slots)
        expected = [slot for slot in expected if not _is_empty(slot)]
        known = {slot.id for slot in before.slots}
        assert _existing(after.slots, known, {}, {}) == _existing(expected, known, rules, closures)
        assert _added(after.slots, known, {}) == _added(expected, known, rules)
        opened, open_before = open_ids(_published(after.slots)), open_ids(_published(before.slots))
        assert (len(opened - open_before), len(open_before - opened)) == (preview.come, preview.go)
        now_open = {slot.id: slot for slot in after.slots if slot.is_open}
        stayed = [(slot, now_open[slot.id]) for slot in before.slots if slot.is_open and slot.id in now_open]
        seats = sum(slot.total_seats - slot.added_seats != now.total_seats - now.added_seats for slot, now in stayed)
        types = sum(slot.visit_type_ids != now.visit_type_ids for slot, now in stayed)
        assert (seats, types) == (preview.changed_seats, preview.changed_types)
        assert overlapping(after.slots) is None
        self._compare_windows(before, after, preview, rules)
        # The zone of a clinic where this doctor has neither rules nor slots does not concern it.
        if preview.rules:
            assert len(opened & open_before) == preview.stay
            applying = {rules.get(each.id, each.id): each.version for each in preview.rules if each.removed_at is None}
            assert {row[0]: row[1] for row in after.weekly if row[2]} == applying

    def _compare_windows(self, before: Tables, after: Tables, preview: Preview, rules: dict[int | None, int]) -> None:
        closed = {window.id for window in preview.windows.close}
        kept = [row for row in before.windows if row[0] not in closed]
        assert len(kept) == len(before.windows) - len(closed)
        assert [row for row in after.windows if row in before.windows] == kept
        added = [
            (rules.get(each.rule_id, each.rule_id), each.clinic_id, each.start_time, each.end_time, each.local_start)
            for each in preview.windows.add
        ]
        assert [row[1:] for row in after.windows if row not in before.windows] == added
        assert preview.windows.time_added.windows == len(added)

    def _compare_bookings(self, before: Tables, after: Tables, preview: Preview) -> None:
        going = {closed.slot_id for closed in preview.difference.close}
        cancelled = {hit.booking.id: hit.message for hit in preview.cancelled}
        ending = going | _concerned(preview) | _narrow(before.slots, preview)
        expected = []
        for booking_id, slot_id, status, reason, seats in before.bookings:
            gone = booking_id in cancelled or (status == "PENDING" and slot_id in ending)
            now = "CANCELLED" if gone else status
            expected.append((booking_id, slot_id, now, cancelled.get(booking_id, reason), seats))
        assert after.bookings == expected
        listed = {hit.booking.id for hit in preview.hits}
        assert {row[0] for row in before.bookings if row[1] in going and row[2] == "CONFIRMED"} <= listed

    def _remember(self, preview: Preview, done: Applied) -> None:
        rules, closures = _ids(done.rule_ids), _ids(done.closure_ids)
        self.weekly = {
            rules.get(each.id, each.id): replace(each, id=rules.get(each.id, each.id))
            for each in preview.rules if each.removed_at is None
        }  # fmt: skip
        # A preview has only the closures that may concern its doctors.
        for each in preview.closures:
            if each.removed_at is not None:
                self.closures.pop(each.id, None)
            elif each.doctor_id == self.doctor or each.clinic_id in self.clinics:
                row_id = closures.get(each.id, each.id)
                self.closures[row_id] = replace(each, id=row_id)

    @rule(place=st.integers(0, 50), seats=st.integers(1, 2), confirm=st.booleans())
    def book(self, place: int, seats: int, confirm: bool) -> None:
        free = [slot for slot in self.tables().slots if slot.is_open and self._free(slot.id) >= seats]
        if free:
            self._hold(free[place % len(free)].id, seats, confirm=confirm)

    @rule(place=st.integers(0, 50), after=st.integers(0, 11), kind=NUMBERS, confirm=st.booleans())
    def carve(self, place: int, after: int, kind: int, confirm: bool) -> None:
        """A visit in an open window, unless something is in its way."""
        windows = self.tables().windows
        if windows:
            window_id, rule_id, _, start, *_ = windows[place % len(windows)]
            types = self.runner.run(self.rows.fetchval(TYPES_OF_RULE, rule_id))
            visit_type = types[kind % len(types)]
            begin = start + timedelta(minutes=15 * after)
            end = begin + timedelta(minutes=self.types[visit_type])
            outcome = self.runner.run(self.rows.fetchval(HOLD_TIME, window_id, begin, end, visit_type, confirm))
            assert outcome in {"held", "slot_full", "time_gone"}, outcome

    def _free(self, slot_id: int) -> int:
        return self._read("SELECT available_seats FROM appointment_slots WHERE id = $1", slot_id)

    def _read(self, statement: str, slot_id: int) -> int:
        return int(self.runner.run(self.rows.fetchval(statement, slot_id)))

    def _hold(self, slot_id: int, seats: int, *, confirm: bool) -> None:
        assert self.runner.run(self.rows.fetchval(HOLD, slot_id, seats, confirm)) is not None

    @rule(day=NUMBERS, hour=NUMBERS)
    def add_slot_by_hand(self, day: int, hour: int) -> None:
        start = _moment(day % 3, 8 + 2 * hour)
        end = start + timedelta(minutes=40)
        taken = any(slot.takes_time and slot.start_time < end and slot.busy_end > start for slot in self.tables().slots)
        closed = any(each.start_time < end and each.end_time > start for each in self.closures.values())
        if not taken and not closed:
            self.runner.run(self.slots.create_slot(ADMIN, self.doctor, start, 2, 40))

    @rule(place=st.integers(0, 50))
    def close_slot_by_hand(self, place: int) -> None:
        open_ = [slot for slot in self.tables().slots if slot.is_open]
        if open_:
            change = SlotChange(status=SlotStatus.CLOSED)
            self.runner.run(self.slots.update_slot(ADMIN, open_[place % len(open_)].id, change))

    @rule()
    def publish(self) -> None:
        """Everything was published when it was changed."""
        before = self.tables()
        assert self.runner.run(Publisher(self.database, PUBLISH_DAYS).publish_slots()) == 0
        assert self.tables().slots == before.slots

    @invariant()
    def nothing_is_left_to_do(self) -> None:
        difference = self.runner.run(self._difference())
        assert replace(difference, skipped=()) == Difference()

    async def _difference(self) -> Difference:
        async with self.database.connection() as connection:
            read = await read_schedule(connection, [self.doctor], PUBLISH_DAYS)
        return outline(read.state, ScheduleChange()).difference

    @invariant()
    def no_open_slot_lies_in_a_closure_and_no_booking_is_hidden(self) -> None:
        for slot in self.tables().slots:
            closing = [
                each for each in self.closures.values()
                if each.applies_to(slot.doctor_id, slot.clinic_id)
                and each.start_time < slot.end_time and each.end_time > slot.start_time
            ]  # fmt: skip
            assert not (slot.is_open and closing)
            hidden = slot.confirmed > 0 and not slot.is_open
            by_hand = slot.rule_id is None and slot.window_id is None
            assert not hidden or slot.drifted or slot.closure_id or slot.pinned or by_hand

    @invariant()
    def open_time_overlaps_no_time_of_a_rule_and_has_all_carved_visits(self) -> None:
        tables = self.tables()
        windows = [row[2:5] for row in tables.windows]
        for slot in tables.slots:
            if slot.follows_rule and slot.is_open:
                assert not any(start < slot.end_time and end > slot.start_time for _, start, end in windows)
            if slot.follows_window and not (slot.drifted or slot.closure_id):
                assert slot.is_open
                assert any(
                    (clinic, start <= slot.start_time, slot.end_time <= end) == (slot.clinic_id, True, True)
                    for clinic, start, end in windows
                )

    def tables(self) -> Tables:
        return self.runner.run(Tables.read(self.rows, self.doctor, self.clinics))

    def teardown(self) -> None:
        own = {slot.id for slot in self.tables().slots}
        assert [each for each in self.runner.run(find_violations(self.database)) if each.slot_id in own] == []


def _moment(day: int, hour: int) -> datetime:
    return datetime.combine(FIRST_DAY + timedelta(days=day), time(), UTC) + timedelta(hours=hour)


def _is_empty(slot: ExistingSlot) -> bool:
    """Whether it was carved out of a window, and nobody has it any more: it takes no time."""
    return slot.window_id is not None and slot.confirmed + slot.holds == 0


def _published(slots: Sequence[ExistingSlot]) -> list[ExistingSlot]:
    return [slot for slot in slots if slot.window_id is None]


def _with_longer_buffers(expected: Sequence[ExistingSlot], after: Sequence[ExistingSlot]) -> list[ExistingSlot]:
    """A longer buffer of a visit type also counts for slots that no rule may change; a preview does not name them."""
    now = {slot.id: slot.busy_until for slot in after}
    return [
        replace(slot, busy_until=now[slot.id]) if (now.get(slot.id) or slot.busy_end) > slot.busy_end else slot
        for slot in expected
    ]


def _ids(made: Sequence[int]) -> dict[int | None, int]:
    return {FIRST_NEW_ID + place: row_id for place, row_id in enumerate(made)}


def _without(slots: Sequence[ExistingSlot], preview: Preview) -> list[ExistingSlot]:
    """The slots when the bookings to cancel and the holds of the concerned slots are gone."""
    concerned = _concerned(preview)
    gone = Counter[int]()
    for each in preview.cancelled:
        gone[each.booking.slot_id] += each.booking.seats_booked
    return [
        replace(slot, confirmed=slot.confirmed - gone[slot.id], holds=0 if slot.id in concerned else slot.holds)
        for slot in slots
    ]


def _concerned(preview: Preview) -> set[int]:
    """The slots with listed bookings and holds, whose holds end. Some of them are closed already."""
    held = {hold.slot_id for hold in preview.holds} - {each.slot_id for each in preview.difference.change}
    return held | {hit.booking.slot_id for hit in preview.hits}


def _types(ids: Sequence[int] | None) -> tuple[int, ...] | None:
    return tuple(ids) if ids else None


def _narrow(slots: Sequence[ExistingSlot], preview: Preview) -> set[int]:
    """Those with more booked and held than their new seats."""
    seats = {each.slot_id: each.seats for each in preview.difference.change}
    return {
        slot.id for slot in slots
        if slot.id in seats and slot.confirmed + slot.holds > seats[slot.id] + slot.added_seats
    }  # fmt: skip


def _hits_one_more(slot: ExistingSlot, preview: Preview) -> bool:
    """Whether the change would concern a seat more that is booked in this slot."""
    difference = preview.difference
    listed = {each.slot_id for each in difference.close} | {hit.booking.slot_id for hit in preview.hits}
    seats = next((each.seats for each in difference.change if each.slot_id == slot.id), None)
    return slot.id in listed or (seats is not None and slot.confirmed + 1 > seats + slot.added_seats)


def _existing(
    slots: Sequence[ExistingSlot], known: set[int], rules: dict[int | None, int], closures: dict[int | None, int]
) -> list[dict[str, Any]]:
    """Those that were there before, with the ids that the database gave."""
    found = [slot for slot in slots if slot.id in known]
    return [asdict(replace(slot, closure_id=closures.get(slot.closure_id, slot.closure_id))) for slot in found]


def _added(slots: Sequence[ExistingSlot], known: set[int], rules: dict[int | None, int]) -> list[dict[str, Any]]:
    found = [
        replace(slot, rule_id=rules.get(slot.rule_id, slot.rule_id), id=0) for slot in slots if slot.id not in known
    ]
    return [asdict(slot) for slot in sorted(found, key=lambda slot: slot.start_time)]
