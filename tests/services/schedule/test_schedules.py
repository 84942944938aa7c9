"""Schedules below HTTP: what is previewed is what is done, to rules, closures, slots and bookings."""

import asyncio
import json
from datetime import UTC, datetime, time, timedelta
from typing import Any, TypeAlias

import asyncpg
import pytest
import pytest_asyncio
from msgspec.structs import replace

from slotwise.db.pool import Database
from slotwise.domain.clinics import Clinic, ClinicChange
from slotwise.domain.errors import ClinicInUse, InvalidInput, NotAllowed, ScheduleChanged, ScheduleTooLarge
from slotwise.domain.preview_tokens import MOST_KEPT, Seen, seen_in
from slotwise.domain.schedule_changes import Decision, Decisions, LengthChange, ScheduleChange, ZoneChange
from slotwise.domain.schedules import Closure, ClosureKind, Rule, SkipReason
from slotwise.domain.slots import SlotChange, SlotStatus
from slotwise.domain.smaller_changes import Part
from slotwise.domain.users import Role, User
from slotwise.services.schedule.clinics import Clinics, fill_first_clinic
from slotwise.services.schedule.doctors import Doctors
from slotwise.services.schedule.publishing import Publisher
from slotwise.services.schedule.schedule_state import find_concerned
from slotwise.services.schedule.schedules import Applied, Outlined, Schedules
from slotwise.services.schedule.slots import Slots
from tests.clinic import PATIENCE_SECONDS

Rows: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

THEN = datetime(2026, 1, 1, tzinfo=UTC)
ADMIN = User(1, "admin@example.org", "Ann Admin", Role.ADMIN, True, 1, THEN, THEN)
STAFF = User(2, "staff@example.org", "Stan Staff", Role.STAFF, True, 1, THEN, THEN)
# In UTC, so that the day of a time is the same everywhere in these tests.
TODAY = datetime.now(UTC).date()
FIRST_DAY = TODAY + timedelta(days=2)
WEEK = timedelta(days=7)
ADD_TYPE = "INSERT INTO visit_types (name, minutes) VALUES ('Visit', 30) RETURNING id"


class Practice:
    """A doctor with weekly hours, on the weekday of `FIRST_DAY`: four slots, published for four weeks."""

    def __init__(self, database: Database, rows: Rows, doctor_id: int) -> None:
        self.database, self.rows, self.doctor_id = database, rows, doctor_id
        self.schedules = Schedules(database, 25)
        self.rule = Rule(
            0, doctor_id, 1, FIRST_DAY, None, 1, FIRST_DAY.isoweekday(), 9 * 60, 11 * 60, 30, 0, 1
        )  # fmt: skip

    async def apply(self, account: User = ADMIN, **change: Any) -> Applied:
        wanted = ScheduleChange(**change)
        seen = await self.schedules.preview_schedule(account, wanted)
        return await self.schedules.apply_schedule(account, wanted, seen.token)

    async def add_rule(self, **fields: Any) -> Rule:
        rule = replace(self.rule, **fields)
        done = await self.apply(add_rules=(rule,))
        return replace(rule, id=done.rule_ids[0])

    async def slots(self, status: str = "OPEN") -> list[str]:
        """Starts, as the number of the week and the time of the day."""
        found = await self.rows.fetch(
            "SELECT start_time FROM appointment_slots WHERE doctor_id = $1 AND status = $2 ORDER BY start_time",
            self.doctor_id,
            status,
        )
        return [f"{(row[0].date() - FIRST_DAY).days // 7} {row[0]:%H:%M}" for row in found]

    async def book(self, start: datetime, *, confirmed: bool = True) -> int:
        """A booking of the slot that starts then, as `hold_seats` makes it."""
        booked = await self.rows.fetchval(
            """SELECT (h.booking).id FROM hold_seats(
                ARRAY(SELECT id FROM appointment_slots WHERE doctor_id = $1 AND start_time = $2 AND status = 'OPEN'),
                ARRAY[1], ARRAY[NULL::bigint], ARRAY['Ada Lovelace'], ARRAY['ada@example.org'], ARRAY[$3::boolean],
                ARRAY['\\x00'::bytea], ARRAY['guest'], '{}', '{}', '{}', '{}', '{}', NULL, 120, 86400) AS h""",
            self.doctor_id, start, confirmed,
        )  # fmt: skip
        return int(booked)

    async def crowd(self, start: datetime, count: int) -> list[int]:
        """So many confirmed bookings of the slot that starts then, which has the seats, in order of id."""
        booked = await self.rows.fetch(
            """SELECT (h.booking).id FROM generate_series(1, $3) AS place, LATERAL (
                SELECT * FROM hold_seats(
                ARRAY(SELECT id FROM appointment_slots WHERE doctor_id = $1 AND start_time = $2 AND place > 0),
                ARRAY[1], ARRAY[NULL::bigint], ARRAY['Ada Lovelace'], ARRAY['ada@example.org'], ARRAY[TRUE],
                ARRAY['\\x00'::bytea], ARRAY['guest'], '{}', '{}', '{}', '{}', '{}', NULL, 120, 86400)) AS h""",
            self.doctor_id, start, count,
        )  # fmt: skip
        return sorted(row[0] for row in booked)

    async def cancel(self, booking_id: int) -> None:
        await self.rows.execute(
            "SELECT outcome FROM cancel_bookings(ARRAY[$1::bigint], ARRAY['Ill'], ARRAY['guest'], ARRAY[FALSE], '{}')",
            booking_id,
        )

    async def status_of(self, booking_id: int) -> str:
        return str(await self.rows.fetchval("SELECT status FROM bookings WHERE id = $1", booking_id))


@pytest_asyncio.fixture
async def practice(database: Database, connection: Rows) -> Practice:
    await fill_first_clinic(database, Clinic(1, "Clinic", "UTC"))
    doctor = await Doctors(database).create_doctor(ADMIN, "Dr. Who", None)
    return Practice(database, connection, doctor.id)


def moment(week: int, clock: str) -> datetime:
    return datetime.combine(FIRST_DAY + week * WEEK, time.fromisoformat(clock), UTC)


async def no_refresh() -> None:
    """No worker here keeps clinics in its memory."""


def closure(doctor_id: int | None, week: int, opens: str, closes: str, **fields: Any) -> Closure:
    return Closure(
        0, doctor_id, None, moment(week, opens), moment(week, closes), fields.pop("kind", ClosureKind.ABSENCE), **fields
    )


DAY = ["09:00", "09:30", "10:00", "10:30"]
ALL = [f"{week} {clock}" for week in range(4) for clock in DAY]


async def test_a_new_rule_has_its_times_at_once_and_further_days_later(practice: Practice) -> None:
    await practice.add_rule()
    assert await practice.slots() == ALL
    assert await Publisher(practice.database, 25).publish_slots() == 0
    assert await Publisher(practice.database, 32).publish_slots() == 4
    assert await Publisher(practice.database, 32).publish_slots() == 0
    assert await practice.slots() == [*ALL, *(f"4 {clock}" for clock in DAY)]


async def test_all_due_doctors_are_published_each_in_as_few_transactions_as_hold_its_slots(practice: Practice) -> None:
    """Eleven weeks of hours fit into one: pieces of a fixed number of days would each read all times again."""
    doctors = [(await Doctors(practice.database).create_doctor(ADMIN, f"Dr. {name}", None)).id for name in "ABCDE"]
    await practice.rows.execute(
        """INSERT INTO schedule_rules (doctor_id, clinic_id, first_day, weekday, opens, closes, slot_minutes)
        SELECT d.id, 1, $2, $3, 540, 660, 30 FROM unnest($1::bigint[]) AS d (id)""",
        doctors, FIRST_DAY, FIRST_DAY.isoweekday(),
    )  # fmt: skip
    assert await Publisher(practice.database, 2 + 11 * 7).publish_slots() == 5 * 11 * len(DAY)
    found = await practice.rows.fetch(
        "SELECT doctor_id, count(*), count(DISTINCT xmin::text) FROM appointment_slots GROUP BY doctor_id"
    )
    assert sorted(map(tuple, found)) == [(doctor_id, 11 * len(DAY), 1) for doctor_id in doctors]


async def test_an_ended_rule_publishes_no_further_days_and_stays_published(practice: Practice) -> None:
    rule = await practice.add_rule(last_day=FIRST_DAY + WEEK)
    assert await practice.slots() == ALL[:8]
    await practice.apply(change_rules=(replace(rule, last_day=FIRST_DAY),))
    assert await practice.slots() == ALL[:4]
    assert await Publisher(practice.database, 60).publish_slots() == 0
    await practice.apply(change_rules=(replace(rule, last_day=FIRST_DAY + WEEK, version=2),))
    assert await practice.slots() == ALL[:8]


async def test_a_change_of_hours_moves_free_times_and_keeps_or_cancels_booked_ones(practice: Practice) -> None:
    rule = await practice.add_rule()
    kept, cancelled = await practice.book(moment(1, "09:00")), await practice.book(moment(2, "09:00"))
    hold = await practice.book(moment(3, "09:30"), confirmed=False)
    later = replace(rule, opens=10 * 60, closes=12 * 60)
    decisions = Decisions(Decision.KEEP, {cancelled: Decision.CANCEL}, "New hours")
    seen = await practice.schedules.preview_schedule(ADMIN, ScheduleChange(change_rules=(later,), decisions=decisions))
    assert (seen.preview.come, seen.preview.go, seen.preview.stay) == (8, 8, 8)
    assert [(hit.booking.id, hit.decision) for hit in seen.preview.hits] == [
        (kept, Decision.KEEP),
        (cancelled, Decision.CANCEL),
    ]
    assert [held.id for held in seen.preview.holds] == [hold]
    done = await practice.apply(change_rules=(later,), decisions=decisions)
    assert done.cancelled_holds == 1
    assert await practice.slots() == [
        f"{week} {clock}" for week in range(4) for clock in ("10:00", "10:30", "11:00", "11:30")
    ]
    assert [await practice.status_of(each) for each in (kept, cancelled, hold)] == [
        "CONFIRMED",
        "CANCELLED",
        "CANCELLED",
    ]
    assert await practice.rows.fetchval("SELECT cancel_reason FROM bookings WHERE id = $1", cancelled) == "New hours"
    drifted = await practice.rows.fetch("SELECT start_time FROM appointment_slots WHERE drifted")
    assert [row[0] for row in drifted] == [moment(1, "09:00")]
    assert [slot.start_time for slot in (await practice.schedules.list_rules(practice.doctor_id)).drifted] == [
        moment(1, "09:00")
    ]
    await practice.apply(change_rules=(replace(rule, version=2),))
    assert await practice.slots() == ALL
    assert not await practice.rows.fetchval("SELECT count(*) FROM appointment_slots WHERE drifted")


async def test_a_closure_closes_times_of_every_origin_and_undoing_it_reopens_just_these(practice: Practice) -> None:
    await practice.add_rule()
    slots = Slots(practice.database)
    await slots.create_slot(ADMIN, practice.doctor_id, moment(1, "08:00"), 1, 30)
    closed_by_hand = await practice.rows.fetchval(
        "SELECT id FROM appointment_slots WHERE start_time = $1", moment(1, "10:00")
    )
    await slots.update_slot(ADMIN, closed_by_hand, SlotChange(status=SlotStatus.CLOSED))
    before = await practice.slots()
    done = await practice.apply(add_closures=(closure(practice.doctor_id, 1, "08:00", "10:30"),))
    assert await practice.slots() == [each for each in before if each not in {"1 08:00", "1 09:00", "1 09:30"}]
    await practice.apply(remove_closures=tuple(done.closure_ids))
    assert await practice.slots() == before


async def test_what_overlaps_by_now_is_not_reopened(practice: Practice) -> None:
    await practice.add_rule()
    done = await practice.apply(add_closures=(closure(practice.doctor_id, 1, "09:00", "10:00"),))
    await practice.rows.execute(
        "UPDATE closures SET end_time = start_time + interval '1 minute', version = version + 1"
    )
    await Slots(practice.database).create_slot(ADMIN, practice.doctor_id, moment(1, "09:35"), 1, 10)
    change = ScheduleChange(remove_closures=tuple(done.closure_ids))
    seen = await practice.schedules.preview_schedule(ADMIN, change)
    assert [skip.reason for skip in seen.preview.skipped] == [SkipReason.OTHER_SLOT]
    await practice.apply(remove_closures=tuple(done.closure_ids))
    assert await practice.slots() == sorted({*ALL, "1 09:35"} - {"1 09:30"})


async def test_a_removed_rule_that_comes_back_has_all_its_times_again(practice: Practice) -> None:
    rule = await practice.add_rule()
    await practice.apply(remove_rules=(rule.id,))
    assert await practice.slots() == []
    await practice.add_rule()
    assert await practice.slots() == ALL


async def test_holds_do_not_make_a_preview_old_and_a_confirmed_booking_does(practice: Practice) -> None:
    await practice.add_rule()
    change = ScheduleChange(add_closures=(closure(practice.doctor_id, 0, "09:00", "10:00"),))
    seen = await practice.schedules.preview_schedule(ADMIN, change)
    booked = await practice.book(moment(0, "09:00"))
    with pytest.raises(ScheduleChanged) as refused:
        await practice.schedules.apply_schedule(ADMIN, change, seen.token)
    now = refused.value.outlined
    assert isinstance(now, Outlined)
    assert [hit.booking.id for hit in now.preview.hits] == [booked]
    assert await practice.slots() == ALL
    hold = await practice.book(moment(0, "09:30"), confirmed=False)
    done = await practice.schedules.apply_schedule(ADMIN, change, now.token)
    assert (done.cancelled_holds, await practice.status_of(hold)) == (1, "CANCELLED")


async def test_another_change_in_between_makes_a_preview_old(practice: Practice) -> None:
    rule = await practice.add_rule()
    change = ScheduleChange(add_closures=(closure(practice.doctor_id, 0, "09:00", "10:00"),))
    others = (
        {"change_rules": (replace(rule, last_day=FIRST_DAY + 2 * WEEK),)},
        {"add_closures": (closure(None, 2, "09:00", "10:00", kind=ClosureKind.HOLIDAY),)},
    )
    for other in others:
        seen = await practice.schedules.preview_schedule(ADMIN, change)
        await practice.apply(**other)
        with pytest.raises(ScheduleChanged):
            await practice.schedules.apply_schedule(ADMIN, change, seen.token)


async def test_times_that_a_person_changed_are_left_alone_by_their_rule(practice: Practice) -> None:
    rule = await practice.add_rule()
    slot = await practice.rows.fetchval("SELECT id FROM appointment_slots WHERE start_time = $1", moment(0, "09:00"))
    await Slots(practice.database).update_slot(ADMIN, slot, SlotChange(start_time=moment(0, "08:00")))
    await practice.apply(remove_rules=(rule.id,))
    assert await practice.slots() == ["0 08:00"]


async def test_an_open_time_in_a_closure_is_closed_by_the_next_publishing(practice: Practice) -> None:
    await practice.add_rule()
    await practice.apply(add_closures=(closure(None, 1, "00:00", "23:00", kind=ClosureKind.HOLIDAY),))
    await practice.rows.execute(
        "UPDATE appointment_slots SET status = 'OPEN', closure_id = NULL WHERE start_time = $1", moment(1, "09:00")
    )
    await Publisher(practice.database, 25).publish_slots()
    assert await practice.slots() == [each for each in ALL if not each.startswith("1 ")]


async def test_an_open_time_in_a_closure_is_closed_also_without_any_rule(practice: Practice) -> None:
    await Slots(practice.database).create_slot(ADMIN, practice.doctor_id, moment(1, "09:00"), 1, 30)
    await practice.apply(add_closures=(closure(None, 1, "00:00", "23:00", kind=ClosureKind.HOLIDAY),))
    await practice.rows.execute("UPDATE appointment_slots SET status = 'OPEN', closure_id = NULL")
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await Publisher(practice.database, 25).publish_slots() == 0
    assert await practice.slots("CLOSED") == ["1 09:00"]


@pytest.mark.parametrize("beside", [False, True])
async def test_publishing_moves_no_published_time_and_ends_no_hold_of_it(practice: Practice, *, beside: bool) -> None:
    """As if a new edition of the time zones had put the clinic an hour ahead. `beside`: somebody has booked it, too."""
    await practice.add_rule(total_seats=2)
    hold = await practice.book(moment(1, "10:30"), confirmed=False)
    if beside:
        await practice.book(moment(1, "10:30"))
    await practice.rows.execute("UPDATE clinics SET time_zone = 'Africa/Lagos'")
    assert await Publisher(practice.database, 32).publish_slots() == 4
    assert await practice.status_of(hold) == "PENDING"
    assert await practice.slots() == [*ALL, "4 08:00", "4 08:30", "4 09:00", "4 09:30"]


async def test_publishing_ends_the_hold_of_an_open_time_in_a_closure(practice: Practice) -> None:
    await practice.add_rule()
    await practice.apply(add_closures=(closure(None, 1, "00:00", "23:00", kind=ClosureKind.HOLIDAY),))
    await practice.rows.execute(
        "UPDATE appointment_slots SET status = 'OPEN', closure_id = NULL WHERE start_time = $1", moment(1, "09:00")
    )
    hold = await practice.book(moment(1, "09:00"), confirmed=False)
    await Publisher(practice.database, 25).publish_slots()
    assert await practice.status_of(hold) == "CANCELLED"


async def test_a_hold_of_a_time_that_was_closed_by_hand_ends_with_the_absence(practice: Practice) -> None:
    await practice.add_rule()
    hold = await practice.book(moment(1, "09:00"), confirmed=False)
    slot = await practice.rows.fetchval("SELECT id FROM appointment_slots WHERE start_time = $1", moment(1, "09:00"))
    await Slots(practice.database).update_slot(ADMIN, slot, SlotChange(status=SlotStatus.CLOSED))
    done = await practice.apply(add_closures=(closure(practice.doctor_id, 1, "08:00", "12:00"),))
    assert ([held.id for held in done.preview.holds], done.cancelled_holds) == ([hold], 1)
    assert await practice.status_of(hold) == "CANCELLED"


async def test_a_closure_can_become_anothers(practice: Practice) -> None:
    await practice.add_rule()
    other = await Doctors(practice.database).create_doctor(ADMIN, "Dr. Other", None)
    done = await practice.apply(add_closures=(closure(practice.doctor_id, 1, "08:00", "12:00"),))
    [absence] = (await practice.schedules.get_closures(done.closure_ids)).values()
    await practice.apply(change_closures=(replace(absence, doctor_id=other.id),))
    assert await practice.slots() == ALL
    await Publisher(practice.database, 25).publish_slots()
    assert await practice.slots() == ALL
    [moved] = (await practice.schedules.get_closures(done.closure_ids)).values()
    assert moved.doctor_id == other.id


async def test_a_refused_apply_that_shows_patients_is_recorded_like_a_preview(practice: Practice) -> None:
    await practice.add_rule()
    await practice.book(moment(1, "09:00"))
    change = ScheduleChange(add_closures=(closure(practice.doctor_id, 1, "09:00", "10:00"),))
    with pytest.raises(ScheduleChanged):
        await practice.schedules.apply_schedule(ADMIN, change, "of no preview")
    noted = await practice.rows.fetchval("SELECT count(*) FROM audit_log WHERE action = 'preview_schedule'")
    assert noted == 1


async def test_a_clinic_with_weekly_hours_keeps_its_zone_and_stays_open(practice: Practice) -> None:
    await practice.add_rule(first_day=FIRST_DAY + 30 * WEEK)
    clinics = Clinics(practice.database, no_refresh)
    second = await clinics.create_clinic(ADMIN, ClinicChange(name="North", time_zone="UTC"))
    with pytest.raises(InvalidInput, match="time_zone"):
        await clinics.update_clinic(ADMIN, 1, ClinicChange(time_zone="Europe/Lisbon"))
    with pytest.raises(ClinicInUse):
        await clinics.update_clinic(ADMIN, 1, ClinicChange(active=False))
    await clinics.update_clinic(ADMIN, second.id, ClinicChange(time_zone="Europe/Lisbon", active=False))
    with pytest.raises(InvalidInput, match="clinic_id"):
        await practice.add_rule(clinic_id=second.id)


async def test_hours_that_ended_do_not_go_on_at_a_clinic_that_takes_no_appointments(practice: Practice) -> None:
    second = await Clinics(practice.database, no_refresh).create_clinic(ADMIN, ClinicChange("North", "UTC"))
    ended = await practice.add_rule(clinic_id=second.id, last_day=FIRST_DAY)
    await practice.rows.execute("UPDATE clinics SET active = FALSE WHERE id = $1", second.id)
    with pytest.raises(InvalidInput, match="clinic_id"):
        await practice.apply(change_rules=(replace(ended, last_day=FIRST_DAY + WEEK),))


async def test_a_change_that_changes_nothing_takes_no_time_away_from_its_rule_or_closure(practice: Practice) -> None:
    rule = await practice.add_rule()
    ids = [row[0] for row in await practice.rows.fetch("SELECT id FROM appointment_slots ORDER BY start_time")]
    slots = Slots(practice.database)
    await slots.update_slot(ADMIN, ids[0], SlotChange())
    await slots.update_slot(ADMIN, ids[1], SlotChange(total_seats=1, status=SlotStatus.OPEN))
    done = await practice.apply(add_closures=(closure(practice.doctor_id, 0, "09:00", "10:00"),))
    await slots.update_slot(ADMIN, ids[0], SlotChange(status=SlotStatus.CLOSED))
    await practice.apply(remove_closures=tuple(done.closure_ids))
    assert await practice.slots() == ALL
    await practice.apply(remove_rules=(rule.id,))
    assert await practice.slots() == []


async def test_what_is_named_twice_or_is_over_is_refused(practice: Practice) -> None:
    rule = await practice.add_rule()
    past = replace(closure(None, 0, "09:00", "10:00"), start_time=THEN, end_time=THEN + WEEK)
    for change, field in (
        ({"change_rules": (rule, rule)}, "change_rules[1]"),
        ({"change_rules": (rule,), "remove_rules": (rule.id,)}, "remove_rules[0]"),
        ({"change_zones": (ZoneChange(1, "UTC"), ZoneChange(1, "Asia/Tokyo"))}, "change_zones[1]"),
        ({"change_rules": (replace(rule, version=7),)}, "change_rules[0]"),
        ({"add_closures": (past,)}, "add_closures[0].end_time"),
    ):
        with pytest.raises(InvalidInput) as refused:
            await practice.apply(**change)
        assert [fault.field for fault in refused.value.errors] == [field]


async def test_hours_that_make_far_too_many_times_are_refused_before_they_are_planned(practice: Practice) -> None:
    minutes = tuple(replace(practice.rule, closes=2879, slot_minutes=1, weekday=day) for day in range(1, 8)) * 12
    with pytest.raises(ScheduleTooLarge):
        await practice.apply(add_rules=minutes)


async def test_a_new_length_of_a_visit_type_is_in_the_audit_log(practice: Practice) -> None:
    visit_type = await practice.rows.fetchval(ADD_TYPE)
    await practice.add_rule(visit_type_ids=(visit_type,))
    await practice.apply(change_lengths=(LengthChange(visit_type, 20, 5),))
    noted = await practice.rows.fetchval(
        "SELECT details FROM audit_log WHERE action = 'apply_schedule' ORDER BY id DESC"
    )
    lengths = json.loads(noted)["visit_types"]
    assert lengths == [{"id": visit_type, "minutes": [30, 20], "buffer_minutes": [0, 5]}]


async def test_a_new_length_does_not_concern_those_whose_hours_with_it_have_ended(practice: Practice) -> None:
    visit_type = await practice.rows.fetchval(ADD_TYPE)
    await practice.add_rule(visit_type_ids=(visit_type,))
    past = """UPDATE schedule_rules SET first_day = first_day - 70, last_day = $1 RETURNING id"""
    change = ScheduleChange(change_lengths=(LengthChange(visit_type, 20),))
    for last_day, concerned in ((TODAY - timedelta(days=3), []), (TODAY, [practice.doctor_id])):
        await practice.rows.execute(past, last_day)
        async with practice.database.connection() as connection:
            assert await find_concerned(connection, change) == concerned


async def test_a_length_that_is_used_too_much_changes_by_the_parts_that_refusals_propose(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each doctor, 16 times go and 24 come."""
    visit_type = await practice.rows.fetchval(ADD_TYPE)
    other = await Doctors(practice.database).create_doctor(ADMIN, "Dr. Other", None)
    for doctor_id in (practice.doctor_id, other.id):
        await practice.add_rule(doctor_id=doctor_id, visit_type_ids=(visit_type,))
    monkeypatch.setattr("slotwise.domain.schedule_previews.MAX_TOUCHED_SLOTS", 30)
    change = ScheduleChange(change_lengths=(LengthChange(visit_type, 20),))
    while (part := await part_of(practice, change)) is not None:
        seen = await practice.schedules.preview_schedule(ADMIN, part)
        await practice.schedules.apply_schedule(ADMIN, part, seen.token)
        change = replace(change, change_lengths=()) if part.change_lengths else change
    assert {row[0] for row in await practice.rows.fetch("SELECT slot_minutes FROM schedule_rules")} == {20}
    for doctor_id in (practice.doctor_id, other.id):
        rules = (await practice.schedules.list_rules(doctor_id)).rules
        await practice.apply(change_rules=tuple(replace(rule, last_day=practice.rule.last_day) for rule in rules))
    open_slots = "SELECT count(*) FROM appointment_slots WHERE status = 'OPEN' AND end_time - start_time = '20 min'"
    assert await practice.rows.fetchval(open_slots) == 48


async def part_of(practice: Practice, change: ScheduleChange) -> ScheduleChange | None:
    """The first part of the change to make, or all of it if it is small enough; None if there is nothing to do."""
    try:
        seen = await practice.schedules.preview_schedule(ADMIN, change)
    except ScheduleTooLarge as error:
        assert isinstance(error.part, Part)  # noqa: PT017 - what to do next
        return error.part.change
    return change if seen.preview.touched > 0 else None


async def test_one_token_is_applied_once(practice: Practice) -> None:
    """Also if no doctor is concerned, whose lock would keep two calls apart."""
    await practice.rows.execute("DELETE FROM doctors")
    change = ScheduleChange(add_closures=(closure(None, 0, "09:00", "10:00", kind=ClosureKind.HOLIDAY),))
    seen = await practice.schedules.preview_schedule(ADMIN, change)
    results = await asyncio.gather(
        *(practice.schedules.apply_schedule(ADMIN, change, seen.token) for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(result, Applied) for result in results) == 1
    assert await practice.rows.fetchval("SELECT count(*) FROM closures") == 1


async def test_of_more_bookings_than_a_token_keeps_a_decision_on_any_other_is_refused(practice: Practice) -> None:
    """One of those listed is cancelled meanwhile: the decision on it is answered with a new preview first."""
    await practice.add_rule(total_seats=MOST_KEPT + 2)
    booked = await practice.crowd(moment(0, "09:00"), MOST_KEPT + 2)
    foreign = await practice.book(moment(1, "09:00"))
    change = ScheduleChange(add_closures=(closure(practice.doctor_id, 0, "09:00", "09:30"),))
    apply = practice.schedules.apply_schedule
    token = (await practice.schedules.preview_schedule(ADMIN, change)).token
    assert seen_in(token) == Seen(0, 1, 15, None)
    decided = deciding(change, booked[0], foreign).decisions
    for attempt, field in (
        (apply(ADMIN, deciding(change, foreign), token), "decisions.bookings[0]"),
        (apply(ADMIN, change, token, decided), "decisions.bookings[1]"),
    ):
        with pytest.raises(InvalidInput) as refused:
            await attempt
        assert [fault.field for fault in refused.value.errors] == [field]
    await practice.cancel(booked[1])
    with pytest.raises(ScheduleChanged) as changed:
        await apply(ADMIN, change, token, deciding(change, *booked[:2]).decisions)
    assert isinstance(changed.value.outlined, Outlined)
    own = deciding(change, booked[0])
    done = await apply(ADMIN, own, changed.value.outlined.token)
    assert [hit.booking.id for hit in done.preview.cancelled] == [booked[0]]
    assert await practice.status_of(foreign) == "CONFIRMED"


def deciding(change: ScheduleChange, *cancelled: int) -> ScheduleChange:
    return replace(change, decisions=Decisions(bookings=dict.fromkeys(cancelled, Decision.CANCEL)))


async def test_staff_enter_absences_and_change_nothing_else(practice: Practice) -> None:
    rule = await practice.add_rule()
    done = await practice.apply(STAFF, add_closures=(closure(practice.doctor_id, 0, "09:00", "10:00"),))
    holiday = await practice.apply(add_closures=(closure(None, 1, "09:00", "10:00", kind=ClosureKind.HOLIDAY),))
    for refused in (
        {"remove_rules": (rule.id,)},
        {"add_closures": (closure(None, 1, "09:00", "10:00"),)},
        {"add_closures": (closure(practice.doctor_id, 1, "09:00", "10:00", kind=ClosureKind.HOLIDAY),)},
        {"remove_closures": tuple(holiday.closure_ids)},
    ):
        with pytest.raises(NotAllowed):
            await practice.apply(STAFF, **refused)
    await practice.apply(STAFF, remove_closures=tuple(done.closure_ids))


async def test_times_of_another_edition_of_the_time_zones_move_when_their_rule_is_named(practice: Practice) -> None:
    """As if the clinic's clocks had been an hour ahead by the edition by which the times were published."""
    rule = await practice.add_rule()
    await practice.rows.execute(
        "UPDATE appointment_slots SET start_time = start_time - interval '1 hour', end_time = end_time"
        " - interval '1 hour' WHERE doctor_id = $1",
        practice.doctor_id,
    )
    await practice.rows.execute("UPDATE rule_runs SET tzdata = '2020a' WHERE rule_id = $1", rule.id)
    assert len((await practice.schedules.list_rules(practice.doctor_id)).moved) == len(ALL)
    nothing = await practice.schedules.preview_schedule(ADMIN, ScheduleChange())
    assert (nothing.preview.come, nothing.preview.go) == (0, 0)
    await practice.apply(change_rules=(rule,))
    assert await practice.slots() == ALL
    assert not (await practice.schedules.list_rules(practice.doctor_id)).moved
