"""Demo schedules: visit types, and weekly hours and closures of some demo doctors.

They begin after the days of slots that the demo has anyway: until then, those stay as they are. Only the open time of
one doctor, in the evenings, begins at once. The publisher makes the times of the hours as for any clinic.
"""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from slotwise.db.pool import Connection
from slotwise.db.statements import NoRow, RowId, Statement
from slotwise.domain.clinics import FIRST_CLINIC
from slotwise.domain.schedules import ClosureKind, RuleKind
from slotwise.domain.visit_types import BookableBy, Patients, VisitMode, VisitTypeFields
from slotwise.services.schedule.visit_types import LIST_VISIT_TYPES, MOST_CHOOSABLE, add_visit_type

VISIT_TYPES = (
    VisitTypeFields("Check-up", 30, max_live_per_patient=2),
    VisitTypeFields("First visit", 60, buffer_minutes=15, min_notice_minutes=24 * 60, patients=Patients.NEW),
    VisitTypeFields(
        "Video consultation", 20, mode=VisitMode.VIDEO, video_link="https://video.example.org/room", horizon_days=60
    ),
    VisitTypeFields(
        "Telephone advice", 10, mode=VisitMode.TELEPHONE, change_deadline_minutes=60, bookable_by=BookableBy.ACCOUNTS
    ),
)
# More have no hours, so that a large demo does not keep the publisher busy.
MOST_DOCTORS = 12


class DemoHours(NamedTuple):
    """Hours of wall time on some weekdays: fixed times for one kind of visit or, with a step, open time for several."""

    visit_types: tuple[str, ...]
    weekdays: tuple[int, ...]
    opens: int
    closes: int
    break_minutes: int = 0
    every_weeks: int = 1
    step_minutes: int | None = None


# Each doctor has the next of these.
HOURS = (
    (DemoHours(("Check-up",), (1, 2, 3, 4), 9, 12), DemoHours(("Telephone advice",), (1, 3), 14, 15)),
    (DemoHours(("Video consultation",), (2, 4), 13, 17, 10), DemoHours(("Check-up",), (5,), 9, 12, 0, 2)),
    (DemoHours(("First visit",), (1, 2, 3, 4, 5), 8, 12, 15), DemoHours(("Check-up",), (2, 5), 13, 16)),
)
# Open time of the first doctor. The demo's slots end before it.
EVENINGS = DemoHours(("Check-up", "First visit", "Telephone advice"), (1, 2, 3, 4, 5), 17, 20, step_minutes=15)


class Made(NamedTuple):
    """How much was added. `evenings` are weekly hours too, those of open time."""

    visit_types: int
    evenings: int
    rules: int
    closures: int


NOTHING = Made(0, 0, 0, 0)


class _Rule(NamedTuple):
    doctor_id: int
    first_day: date
    weekday: int
    hours: DemoHours

    @property
    def is_open_time(self) -> bool:
        return self.hours.step_minutes is not None


CREATE_RULES = Statement("schedule/demo_schedules.create_rules", NoRow)
CREATE_CLOSURES = Statement("schedule/demo_schedules.create_closures", RowId)


async def add_schedules(
    connection: Connection, doctor_ids: Sequence[int], today: date, after: date, zone: ZoneInfo
) -> Made:
    """Open time from `today` on, everything else from `after` on.

    A visit type whose name is there already is used as it is.
    """
    types, added = await _types(connection)
    evenings = [_Rule(doctor_ids[0], today, weekday, EVENINGS) for weekday in EVENINGS.weekdays]
    rules = [
        _Rule(doctor_id, after, weekday, hours)
        for place, doctor_id in enumerate(doctor_ids[:MOST_DOCTORS])
        for hours in HOURS[place % len(HOURS)]
        for weekday in hours.weekdays
    ]
    await _create_rules(connection, [*evenings, *rules], types)
    return Made(added, len(evenings), len(rules), await _create_closures(connection, doctor_ids, after, zone))


async def _types(connection: Connection) -> tuple[dict[str, tuple[int, int]], int]:
    """Id and minutes of each demo type by name, and how many were added."""
    known = await LIST_VISIT_TYPES.all(connection, after_id=0, limit=MOST_CHOOSABLE, for_desk=True)
    found = {one.name: (one.id, one.minutes) for one in known}
    new = [fields for fields in VISIT_TYPES if fields.name not in found]
    for fields in new:
        made = await add_visit_type(connection, fields)
        found[made.name] = (made.id, made.minutes)
    return found, len(new)


async def _create_rules(connection: Connection, rules: Sequence[_Rule], types: dict[str, tuple[int, int]]) -> None:
    await CREATE_RULES.run(
        connection,
        doctor_ids=[rule.doctor_id for rule in rules],
        clinic_id=FIRST_CLINIC,
        first_days=[rule.first_day for rule in rules],
        every_weeks=[rule.hours.every_weeks for rule in rules],
        weekdays=[rule.weekday for rule in rules],
        opens=[rule.hours.opens * 60 for rule in rules],
        closes=[rule.hours.closes * 60 for rule in rules],
        slot_minutes=[_minutes_of(rule, types) for rule in rules],
        break_minutes=[rule.hours.break_minutes for rule in rules],
        kinds=[RuleKind.WINDOW if rule.is_open_time else RuleKind.FIXED for rule in rules],
        step_minutes=[rule.hours.step_minutes for rule in rules],
        visit_type_ids=[f"{{{','.join(str(types[name][0]) for name in rule.hours.visit_types)}}}" for rule in rules],
    )


def _minutes_of(rule: _Rule, types: dict[str, tuple[int, int]]) -> int:
    """Of fixed times those of the visit; of open time those of its hours, as of every such rule."""
    hours = rule.hours
    return (hours.closes - hours.opens) * 60 if rule.is_open_time else types[hours.visit_types[0]][1]


async def _create_closures(connection: Connection, doctor_ids: Sequence[int], first_day: date, zone: ZoneInfo) -> int:
    """A week in which the first doctor is away, an afternoon of the second, and a day on which all are closed."""
    monday = first_day + timedelta(days=7 - first_day.weekday())

    def at(days: int, hour: int = 0) -> datetime:
        return datetime.combine(monday + timedelta(days=days), time(hour), zone)

    wanted: list[tuple[int | None, datetime, datetime, ClosureKind, str, str | None]] = [
        (doctor_ids[0], at(0), at(7), ClosureKind.ABSENCE, "Holiday", "Back on the following Monday."),
        (doctor_ids[-1], at(9, 13), at(9, 18), ClosureKind.ABSENCE, "Training", None),
        (None, at(17), at(18), ClosureKind.HOLIDAY, "Outing of the clinic", "The clinic is closed on this day."),
    ]
    made = await CREATE_CLOSURES.all(
        connection,
        doctor_ids=[one[0] for one in wanted],
        start_times=[one[1] for one in wanted],
        end_times=[one[2] for one in wanted],
        kinds=[one[3] for one in wanted],
        reasons=[one[4] for one in wanted],
        messages=[one[5] for one in wanted],
    )
    return len(made)
