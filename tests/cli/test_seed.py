"""`slotwise seed`: visit types, weekly hours, open time and closures that a clinic could have."""

from datetime import UTC, datetime, timedelta

import pytest

from slotwise.db.pool import Database
from slotwise.domain.clinics import Clinic
from slotwise.services.schedule.clinics import fill_first_clinic
from slotwise.services.schedule.publishing import Publisher
from slotwise.services.schedule.time_searches import TimesQuery
from tests.clinic import rows, slotwise
from tests.open_time import times_in

MADE = (
    "SELECT (SELECT count(*) FROM visit_types), (SELECT count(*) FROM schedule_rules), (SELECT count(*) FROM closures)"
)
# Slots that are open although a closure of their doctor, or of all, covers them.
OPEN_IN_A_CLOSURE = """
    SELECT s.id FROM appointment_slots AS s JOIN closures AS c
    ON s.start_time < c.end_time AND s.end_time > c.start_time AND coalesce(c.doctor_id, s.doctor_id) = s.doctor_id
    WHERE s.status = 'OPEN'
"""


def seed(database_url: str) -> str:
    """For three doctors, from tomorrow on, for two days."""
    first = (datetime.now(UTC) + timedelta(days=1)).date()
    done = slotwise(database_url, "seed", "--doctors", "3", "--days", "2", "--from", str(first), CLINIC_TIME_ZONE="UTC")
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_the_demo_has_visit_types_hours_and_closures_which_the_publisher_turns_into_times(
    database_url: str, database: Database
) -> None:
    said = seed(database_url)
    assert "Added 3 doctors and 84 slots" in said
    assert "Added 4 visit types, open time of the first doctor on 5 evenings a week" in said
    assert "16 weekly hours and 3 closures" in said
    assert tuple(rows(database_url, MADE)[0]) == (4, 5 + 16, 3)
    await fill_first_clinic(database, Clinic(1, "Clinic", "UTC"))
    assert await Publisher(database, 60).publish_slots() > 0
    types = "SELECT DISTINCT t.name FROM appointment_slots AS s JOIN visit_types AS t ON t.id = any(s.visit_type_ids)"
    assert {name for (name,) in rows(database_url, types)} == {
        "Check-up", "First visit", "Telephone advice", "Video consultation",
    }  # fmt: skip
    assert rows(database_url, OPEN_IN_A_CLOSURE) == []
    skipped = rows(database_url, "SELECT skipped::text FROM rule_runs WHERE skipped <> '[]'")
    assert skipped == []


async def test_one_doctor_has_open_time_for_several_kinds_of_visit_from_the_first_days_on(
    database_url: str, database: Database
) -> None:
    seed(database_url)
    [(first,)] = rows(database_url, "SELECT min(start_time) FROM appointment_slots")
    [(first_evening,)] = rows(database_url, "SELECT DISTINCT first_day FROM schedule_rules WHERE kind = 'WINDOW'")
    assert first_evening == first.date()
    await fill_first_clinic(database, Clinic(1, "Clinic", "UTC"))
    await Publisher(database, 60).publish_slots()
    types = "SELECT name, id FROM visit_types WHERE name IN ('Check-up', 'First visit')"
    for name, visit_type_id in rows(database_url, types):
        query = TimesQuery(visit_type_id=visit_type_id, starts_before=datetime.now(UTC) + timedelta(days=7))
        found = (await times_in(database).list_times(query, 200)).times
        in_open_time = [each for each in found if each.window_id is not None]
        assert {each.start_time.hour for each in in_open_time} <= {17, 18, 19}
        assert len({each.doctor_id for each in in_open_time}) == 1, name


@pytest.mark.usefixtures("database")
def test_a_second_seed_uses_the_visit_types_that_are_there(database_url: str) -> None:
    seed(database_url)
    assert "Added 0 visit types" in seed(database_url)
    types, rules, _ = rows(database_url, MADE)[0]
    assert (types, rules) == (4, 2 * (5 + 16))
    assert rows(database_url, OPEN_IN_A_CLOSURE) == []
