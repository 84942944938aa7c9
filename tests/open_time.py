"""Open time to test with: windows in the tables, and the ids of times that the server of the tests would make."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from slotwise.db.pool import Database
from slotwise.domain.offered_times import OfferedTime
from slotwise.domain.time_zones import EDITION
from slotwise.services.core.time_ids import TimeIds
from slotwise.services.schedule.times import Times
from tests.clinic import RunningServer, rows

MORNING = (datetime.now(UTC) + timedelta(days=30)).replace(hour=9, minute=0, second=0, microsecond=0)


class OpenTime(NamedTuple):
    """A doctor's window; `types` has the visit types by their minutes."""

    doctor_id: int
    window_id: int
    types: dict[int, int]
    start: datetime

    def offered(self, after: int, minutes: int, **more: Any) -> OfferedTime:
        """The time that begins so many minutes after the window, and takes so long."""
        start = self.start + timedelta(minutes=after)
        end = start + timedelta(minutes=minutes)
        fields: dict[str, Any] = {"issued_at": datetime.now(UTC), "visit_type_id": self.types[minutes]} | more
        return OfferedTime(self.window_id, None, start, end, **fields)


def visit_type(database_url: str, minutes: int, **fields: Any) -> int:
    columns = {"name": "Visit", "minutes": minutes, "buffer_minutes": 5} | fields
    names, values = ", ".join(columns), ", ".join(f"${place + 1}" for place in range(len(columns)))
    insert = f"INSERT INTO visit_types ({names}) VALUES ({values}) RETURNING id"
    return int(rows(database_url, insert, *columns.values())[0]["id"])


def open_time(
    database_url: str,
    types: dict[int, int] | None = None,
    start: datetime = MORNING,
    minutes: int = 180,
    step: int = 5,
    doctor_id: int | None = None,
    clinic_id: int = 1,
) -> OpenTime:
    """A window with visits of 10, 20 and 45 minutes and 5 minutes between them, unless others are given.

    Its rule counts as published, so that the server's publisher does not put other windows in place of this one.
    """
    types = types or {length: visit_type(database_url, length) for length in (10, 20, 45)}
    made = rows(
        database_url,
        "WITH doctor AS (INSERT INTO doctors (name) SELECT 'Dr. Who' WHERE $1::bigint IS NULL RETURNING id),"
        " whose AS (SELECT coalesce($1::bigint, (SELECT id FROM doctor)) AS id),"
        " rule AS (INSERT INTO schedule_rules (doctor_id, clinic_id, first_day, weekday, opens, closes, slot_minutes,"
        " kind, step_minutes, visit_type_ids) SELECT id, $2, $3::timestamptz::date, 1, 0, $4, $4, 'WINDOW', $5, $6"
        " FROM whose RETURNING id, doctor_id),"
        " published AS (INSERT INTO rule_runs (rule_id, rule_version, published_until, tzdata)"
        " SELECT id, 1, '2999-01-01', $7 FROM rule)"
        " INSERT INTO windows (doctor_id, clinic_id, rule_id, start_time, end_time, local_start)"
        " SELECT doctor_id, $2, id, $3::timestamptz, $3::timestamptz + make_interval(mins => $4::integer),"
        " $3::timestamptz AT TIME ZONE 'UTC' FROM rule RETURNING id, doctor_id",
        doctor_id,
        clinic_id,
        start,
        minutes,
        step,
        sorted(types.values()),
        EDITION,
    )[0]
    return OpenTime(made["doctor_id"], made["id"], types, start)


def times_in(database: Database) -> Times:
    return Times(database, TimeIds("the tests' secret"))


def time_ids_of(server: RunningServer) -> TimeIds:
    secret = Path(server.log).with_name("data") / "jwt_secret"
    return TimeIds(secret.read_text().strip())
