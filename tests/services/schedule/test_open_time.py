"""Rules of open time below HTTP: their windows come and go, and so do the visits that were carved out of them."""

from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace
from torture.patching import mutate

from slotwise.db.pool import Database
from slotwise.domain.clinics import Clinic
from slotwise.domain.errors import InvalidInput, ScheduleChanged
from slotwise.domain.schedule_changes import Decision, Decisions, LengthChange, ScheduleChange, ZoneChange
from slotwise.domain.schedules import Rule, RuleKind
from slotwise.domain.slots import SlotChange, SlotStatus
from slotwise.domain.window_diff import OpenTime
from slotwise.services.core.invariants import find_violations
from slotwise.services.schedule.clinics import fill_first_clinic
from slotwise.services.schedule.doctors import Doctors
from slotwise.services.schedule.publishing import Publisher
from slotwise.services.schedule.slots import Slots
from tests.services.schedule.test_schedules import ADMIN, DAY, FIRST_DAY, WEEK, Practice, Rows, closure, moment

HOLD_TIME = """
    SELECT h.outcome, (h.booking).id, (h.booking).slot_id FROM windows AS v, hold_times(
        ARRAY[v.id], ARRAY[$2::timestamptz], ARRAY[$3::timestamptz], ARRAY[$4::bigint], ARRAY[NULL::bigint],
        ARRAY['Ada Lovelace'], ARRAY['ada@example.org'], ARRAY[$5::boolean], ARRAY['\\x00'::bytea], ARRAY['guest'],
        '{}', '{}', '{}', '{}', '{}', NULL, 600, 86400, FALSE
    ) AS h
    WHERE v.doctor_id = $1 AND v.start_time <= $2 AND v.end_time > $2 AND v.status = 'OPEN'
"""


class OpenPractice(Practice):
    """A doctor with open time from 9 to 11, on the weekday of `FIRST_DAY`: four windows, for visits of 20 minutes."""

    visit_type: int

    @property
    def hours(self) -> Rule:
        return replace(
            self.rule, kind=RuleKind.WINDOW, step_minutes=10, slot_minutes=120, visit_type_ids=(self.visit_type,)
        )

    async def open(self, **fields: Any) -> Rule:
        rule = replace(self.hours, **fields)
        rule = replace(rule, slot_minutes=rule.closes - rule.opens)
        done = await self.apply(add_rules=(rule,))
        return replace(rule, id=done.rule_ids[0])

    async def windows(self) -> list[str]:
        """The open ones, as the number of the week, the beginning and the end."""
        found = await self.rows.fetch(
            "SELECT start_time, end_time FROM windows WHERE doctor_id = $1 AND status = 'OPEN' ORDER BY start_time",
            self.doctor_id,
        )
        return [f"{(row[0].date() - FIRST_DAY).days // 7} {row[0]:%H:%M} {row[1]:%H:%M}" for row in found]

    async def carve(self, start: datetime, *, confirmed: bool = True) -> tuple[int, int]:
        """The booking, and its slot."""
        end = start + timedelta(minutes=20)
        [row] = await self.rows.fetch(HOLD_TIME, self.doctor_id, start, end, self.visit_type, confirmed)
        assert row[0] == "held"
        return row[1], row[2]

    async def of_slot(self, slot_id: int) -> tuple[str, bool]:
        """Its status, and whether it drifted."""
        [row] = await self.rows.fetch("SELECT status, drifted FROM appointment_slots WHERE id = $1", slot_id)
        return row[0], row[1]


@pytest_asyncio.fixture
async def practice(database: Database, connection: Rows) -> OpenPractice:
    await fill_first_clinic(database, Clinic(1, "Clinic", "UTC"))
    doctor = await Doctors(database).create_doctor(ADMIN, "Dr. Who", None)
    made = OpenPractice(database, connection, doctor.id)
    made.visit_type = await connection.fetchval(
        "INSERT INTO visit_types (name, minutes) VALUES ('Visit', 20) RETURNING id"
    )
    return made


def week_by_week(clock: str, weeks: int = 4) -> list[str]:
    return [f"{week} {clock}" for week in range(weeks)]


async def test_open_time_is_published_at_once_and_further_days_later(practice: OpenPractice) -> None:
    await practice.open()
    assert await practice.windows() == week_by_week("09:00 11:00")
    assert await practice.slots() == []
    assert await Publisher(practice.database, 25).publish_slots() == 0
    assert await Publisher(practice.database, 32).publish_slots() == 1
    assert await Publisher(practice.database, 32).publish_slots() == 0
    assert await practice.windows() == week_by_week("09:00 11:00", 5)


async def test_the_publisher_publishes_open_time_beside_times_of_one_length(practice: OpenPractice) -> None:
    await practice.rows.execute(
        """INSERT INTO schedule_rules (doctor_id, clinic_id, first_day, weekday, opens, closes, slot_minutes, kind,
            step_minutes, visit_type_ids)
        VALUES ($1, 1, $2, $3, 540, 660, 120, 'WINDOW', 10, ARRAY[$4::bigint]),
            ($1, 1, $2, $3, 660, 780, 30, 'FIXED', NULL, NULL)""",
        practice.doctor_id, FIRST_DAY, FIRST_DAY.isoweekday(), practice.visit_type,
    )  # fmt: skip
    assert await Publisher(practice.database, 25).publish_slots() == 4 + 4 * len(DAY)
    assert await practice.windows() == week_by_week("09:00 11:00")
    assert await find_violations(practice.database) == []


async def test_a_preview_of_open_time_says_how_much_comes_and_goes_and_whose_visits_lie_in_it(
    practice: OpenPractice,
) -> None:
    rule = await practice.open()
    booking, _ = await practice.carve(moment(1, "09:00"))
    hold, _ = await practice.carve(moment(2, "09:00"), confirmed=False)
    later = replace(rule, opens=10 * 60)
    later = replace(later, slot_minutes=60)
    seen = (await practice.schedules.preview_schedule(ADMIN, ScheduleChange(change_rules=(later,)))).preview
    assert seen.windows.time_closed == OpenTime(windows=4, days=4, minutes=480)
    assert seen.windows.time_added == OpenTime(windows=4, days=4, minutes=240)
    assert ([hit.booking.id for hit in seen.hits], [each.id for each in seen.holds]) == ([booking], [hold])
    assert (seen.carved_bookings, seen.come, seen.go, seen.stay) == (2, 0, 0, 0)
    assert await practice.windows() == week_by_week("09:00 11:00")


async def test_hours_that_change_keep_or_cancel_the_visits_that_lie_outside_of_them(practice: OpenPractice) -> None:
    rule = await practice.open()
    kept, slot = await practice.carve(moment(0, "09:00"))
    cancelled, other = await practice.carve(moment(1, "09:00"))
    hold, _ = await practice.carve(moment(2, "09:00"), confirmed=False)
    inside, still = await practice.carve(moment(0, "10:00"))
    decisions = Decisions(Decision.KEEP, {cancelled: Decision.CANCEL}, "New hours")
    later = replace(rule, opens=10 * 60, slot_minutes=60)
    done = await practice.apply(change_rules=(later,), decisions=decisions)
    assert done.cancelled_holds == 1
    assert await practice.windows() == week_by_week("10:00 11:00")
    assert [await practice.status_of(each) for each in (kept, cancelled, hold, inside)] == [
        "CONFIRMED", "CANCELLED", "CANCELLED", "CONFIRMED",
    ]  # fmt: skip
    assert [await practice.of_slot(each) for each in (slot, other, still)] == [
        ("CLOSED", True), ("CLOSED", False), ("OPEN", False),
    ]  # fmt: skip
    found = await practice.schedules.list_rules(practice.doctor_id)
    assert [each.id for each in found.drifted] == [slot]
    await practice.apply(change_rules=(replace(rule, version=2),))
    assert await practice.of_slot(slot) == ("OPEN", False)
    assert await find_violations(practice.database) == []


async def test_hours_become_open_time_and_fixed_times_again(practice: OpenPractice) -> None:
    rule = await practice.add_rule()
    await practice.apply(change_rules=(replace(practice.hours, id=rule.id),))
    assert (await practice.slots(), await practice.windows()) == ([], week_by_week("09:00 11:00"))
    done = await practice.apply(change_rules=(replace(rule, version=2),))
    assert (done.preview.come, done.preview.windows.time_closed.windows) == (4 * len(DAY), 4)
    assert (len(await practice.slots()), await practice.windows()) == (4 * len(DAY), [])


async def test_another_step_of_open_time_leaves_its_windows_and_visits_alone(practice: OpenPractice) -> None:
    rule = await practice.open()
    _, slot = await practice.carve(moment(0, "09:00"))
    before = await practice.rows.fetch("SELECT id FROM windows ORDER BY id")
    await practice.apply(change_rules=(replace(rule, step_minutes=30),))
    assert await practice.rows.fetch("SELECT id FROM windows ORDER BY id") == before
    assert await practice.rows.fetchval("SELECT step_minutes FROM schedule_rules") == 30
    assert await practice.of_slot(slot) == ("OPEN", False)


async def test_an_absence_lists_the_visits_in_open_time_and_leaves_the_windows(practice: OpenPractice) -> None:
    await practice.open()
    booking, slot = await practice.carve(moment(1, "09:00"))
    hold, _ = await practice.carve(moment(1, "10:00"), confirmed=False)
    done = await practice.apply(add_closures=(closure(practice.doctor_id, 1, "08:00", "12:00"),))
    assert [hit.booking.id for hit in done.preview.hits] == [booking]
    assert (await practice.status_of(hold), await practice.of_slot(slot)) == ("CANCELLED", ("CLOSED", False))
    assert await practice.windows() == week_by_week("09:00 11:00")
    await practice.apply(remove_closures=tuple(done.closure_ids))
    assert await practice.of_slot(slot) == ("OPEN", False)
    assert await find_violations(practice.database) == []


async def test_the_clinics_new_zone_moves_open_time(practice: OpenPractice) -> None:
    await practice.open()
    await practice.apply(change_zones=(ZoneChange(1, "Etc/GMT-1"),))
    assert await practice.windows() == week_by_week("08:00 10:00")


async def test_a_visit_that_a_person_moved_out_of_open_time_stays(practice: OpenPractice) -> None:
    rule = await practice.open()
    _, slot = await practice.carve(moment(0, "09:00"))
    await Slots(practice.database).update_slot(ADMIN, slot, SlotChange(start_time=moment(0, "12:00")))
    done = await practice.apply(remove_rules=(rule.id,))
    assert done.preview.hits == ()
    assert await practice.of_slot(slot) == ("OPEN", False)


async def test_a_time_that_is_carved_again_follows_its_window_again(practice: OpenPractice) -> None:
    """A person had closed it, and its visit was cancelled."""
    rule = await practice.open()
    first, slot = await practice.carve(moment(0, "09:00"))
    await Slots(practice.database).update_slot(ADMIN, slot, SlotChange(status=SlotStatus.CLOSED))
    await practice.cancel(first)
    assert (await practice.carve(moment(0, "09:00")))[1] == slot
    await practice.apply(remove_rules=(rule.id,))
    assert await practice.of_slot(slot) == ("CLOSED", True)


async def test_windows_are_part_of_what_a_preview_is_compared_with(practice: OpenPractice) -> None:
    rule = await practice.open()
    change = ScheduleChange(remove_rules=(rule.id,))
    seen = await practice.schedules.preview_schedule(ADMIN, change)
    await practice.rows.execute("UPDATE windows SET status = 'CLOSED' WHERE start_time < $1", moment(1, "00:00"))
    with pytest.raises(ScheduleChanged):
        await practice.schedules.apply_schedule(ADMIN, change, seen.token)


async def test_a_hold_since_the_preview_ends_with_its_window(practice: OpenPractice) -> None:
    rule = await practice.open()
    change = ScheduleChange(remove_rules=(rule.id,))
    seen = await practice.schedules.preview_schedule(ADMIN, change)
    # As if it came after the schedule was read.
    await mutate(
        practice.rows, "write_windows", "slot_ids := '{}';",
        "slot_ids := '{}'; UPDATE bookings SET expires_at = expires_at + interval '1 minute';",
    )  # fmt: skip
    hold, slot = await practice.carve(moment(0, "09:00"), confirmed=False)
    done = await practice.schedules.apply_schedule(ADMIN, change, seen.token)
    assert (done.cancelled_holds, await practice.status_of(hold)) == (1, "CANCELLED")
    assert await practice.of_slot(slot) == ("CLOSED", False)
    assert await find_violations(practice.database) == []


async def test_visits_have_to_fit_into_open_time(practice: OpenPractice) -> None:
    rule = await practice.open()
    short = replace(practice.hours, opens=13 * 60, closes=13 * 60 + 10, slot_minutes=10)
    long = LengthChange(practice.visit_type, 121)
    for change, field in (
        (ScheduleChange(add_rules=(short,)), "add_rules[0].visit_type_ids"),
        (ScheduleChange(change_rules=(replace(short, id=rule.id),)), "change_rules[0].visit_type_ids"),
        (ScheduleChange(change_lengths=(long,)), "change_lengths[0].minutes"),
    ):
        with pytest.raises(InvalidInput) as refused:
            await practice.schedules.preview_schedule(ADMIN, change)
        assert [fault.field for fault in refused.value.errors] == [field]
    await practice.apply(change_lengths=(replace(long, minutes=120),))
    assert await practice.windows() == week_by_week("09:00 11:00")


async def test_the_release_before_publishes_no_slot_for_open_time(practice: OpenPractice) -> None:
    """It takes the rule for one with a slot as long as its hours. Nothing is done, as if something had changed."""
    rule = await practice.open()
    statement = """
        SELECT a.outcome FROM apply_schedule(
            ARRAY[$1::bigint], $2, 'infinity', schedule_fingerprint(ARRAY[$1::bigint], $2, 'infinity'),
            4611686018427387904,
            '[]', '{}', '[]', '{}', '{}', '{}', ARRAY[$3::bigint], ARRAY[$4::timestamptz], ARRAY[$5::timestamptz],
            ARRAY[$6::timestamp], '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '[]',
            'publisher', NULL, NULL, NULL) AS a"""
    start = moment(4, "09:00")
    given = (start, start + timedelta(hours=2), start.replace(tzinfo=None))
    outcome = await practice.rows.fetchval(statement, practice.doctor_id, start - 5 * WEEK, rule.id, *given)
    assert outcome == "changed"
