"""One edition of the time zone database in every process: the package tzdata's, whatever the machine has."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.resources import as_file, files
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from tzdata import IANA_VERSION

from slotwise.db.pool import Database
from slotwise.db.time_zones import DAYS_COMPARED, compare_zone
from tests.architecture.sources import ROOT
from tests.clinic import Clinic, RunningServer, object_of, rows, slotwise

BERLIN = ZoneInfo("Europe/Berlin")
# By the false edition, clocks in Berlin show those of Tokyo.
FALSE = "Asia/Tokyo"


@pytest.fixture
def false_edition(tmp_path: Path) -> str:
    """A folder as PYTHONTZPATH names it, in which the zone of Berlin has other rules."""
    with as_file(files("tzdata") / "zoneinfo" / FALSE) as rules:
        place = tmp_path / "Europe" / "Berlin"
        place.parent.mkdir()
        shutil.copy(rules, place)
    return str(tmp_path)


def test_a_server_in_a_false_edition_shows_and_makes_times_by_the_package(
    false_edition: str, start_server: Callable[..., RunningServer]
) -> None:
    with Clinic(start_server(CLINIC_TIME_ZONE="Europe/Berlin", PYTHONTZPATH=false_edition)) as clinic:
        day = datetime.now(BERLIN).date() + timedelta(days=2)
        hours = {"periods": [{"from": "09:00", "to": "10:00"}], "durationMinutes": 30}
        batch = {"doctorId": clinic.doctor()["id"], "firstDay": str(day), "lastDay": str(day), **hours}
        answer = clinic.http.post("/api/slots/batch", json=batch, headers=clinic.admin)
        assert answer.status_code in {200, 201}, answer.text
        [start, *_] = rows(clinic.server.database_url, "SELECT min(start_time) AS start_time FROM appointment_slots")
        assert start["start_time"].astimezone(BERLIN).hour == 9
        page = clinic.http.get(f"/?day={day}").text
        assert re.search(r"<time [^>]*>09:00", page), page
        assert object_of(clinic.http.get("/health/ready"))["tzdata"] == IANA_VERSION


def test_a_command_in_a_false_edition_makes_times_by_the_package(false_edition: str, database_url: str) -> None:
    day = datetime.now(BERLIN).date() + timedelta(days=9)
    settings = {"CLINIC_TIME_ZONE": "Europe/Berlin", "PYTHONTZPATH": false_edition}
    seeded = slotwise(database_url, "seed", "--doctors", "1", "--days", "7", "--from", str(day), **settings)
    assert seeded.returncode == 0, seeded.stderr
    starts = [row["start_time"].astimezone(BERLIN) for row in rows(database_url, "SELECT * FROM appointment_slots")]
    assert starts
    assert {start.date() for start in starts} <= {day + timedelta(days=number) for number in range(7)}
    assert all(6 <= start.hour < 20 for start in starts)


def test_a_zone_that_was_read_before_is_read_again(false_edition: str) -> None:
    program = (
        "from datetime import datetime; from zoneinfo import ZoneInfo; ZoneInfo('Europe/Berlin'); import slotwise;"
        "print(datetime(2026, 1, 1, tzinfo=ZoneInfo('Europe/Berlin')).utcoffset())"
    )
    environment = os.environ | {"PYTHONTZPATH": false_edition}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True, timeout=60)
    assert ran.stdout.decode().strip() == "1:00:00"


def test_a_difference_to_postgresql_is_told(database_url: str, false_edition: str) -> None:
    async def compared(zone: ZoneInfo) -> list[str]:
        database = await Database.connect(database_url, 1)
        try:
            async with database.connection() as connection:
                return await compare_zone(connection, zone)
        finally:
            await database.close()

    with (Path(false_edition) / "Europe" / "Berlin").open("rb") as rules:
        [warning] = asyncio.run(compared(ZoneInfo.from_file(rules, key="Europe/Berlin")))
    assert "Europe/Berlin" in warning
    assert IANA_VERSION in warning
    assert asyncio.run(compared(ZoneInfo("UTC"))) == []
    with (Path(false_edition) / "Europe" / "Berlin").open("rb") as rules:
        [unknown] = asyncio.run(compared(ZoneInfo.from_file(rules, key="Mars/Olympus")))
    assert "has no Mars/Olympus" in unknown


def test_the_days_that_are_compared_include_a_year_behind_and_two_ahead() -> None:
    assert datetime.now(UTC) + timedelta(days=DAYS_COMPARED[-1]) > datetime.now(UTC) + timedelta(days=730)


def test_no_statement_computes_local_times_or_days() -> None:
    """PostgreSQL has an edition of its own. The one statement that uses it compares it with Slotwise's."""
    local = re.compile(
        r"at\s+time\s+zone|\btimezone\(|\bdate_trunc\(|::date\b|\bcurrent_date\b|\blocaltime", re.IGNORECASE
    )
    found = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("sql/**/*.sql") if local.search(path.read_text())}
    assert found == {"sql/database/time_zones.sql"}
