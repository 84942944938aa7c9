"""One edition of the time zone database in every process: the package tzdata's, whatever the machine has.

All servers and commands of the tests run with a false edition, see `tests/zones.py`.
"""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tzdata import IANA_VERSION

from slotwise.db.pool import Database
from slotwise.db.time_zones import ZoneCheck, changes_of, compare_zone
from tests.architecture.sources import ROOT
from tests.clinic import Clinic, RunningServer, rows, slotwise
from tests.zones import false_edition

# Of each zone, whose rules the false edition has not: nine in the morning in UTC.
NINE = {"UTC": 9, "Europe/Berlin": 8, "America/Vancouver": 16, "Africa/Casablanca": 9}

READ_ZONES = """
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from multiprocessing import get_context
from zoneinfo import ZoneInfo
zone = ZoneInfo("Europe/Berlin")
print(zone.utcoffset(datetime(2031, 1, 7)))
import slotwise
zone = ZoneInfo("Europe/Berlin")
print(zone.utcoffset(datetime(2031, 1, 7)))
with ProcessPoolExecutor(1, get_context("spawn")) as spawned:
    print(spawned.submit(zone.utcoffset, datetime(2031, 1, 7)).result())
"""


@pytest.mark.parametrize(("zone", "hour"), NINE.items())
def test_a_server_makes_times_by_the_package(clinic: Clinic, zone: str, hour: int) -> None:
    batch = {
        "doctorId": clinic.doctor()["id"],
        "firstDay": "2031-01-07",
        "lastDay": "2031-01-07",
        "periods": [{"from": "09:00", "to": "09:30"}],
        "durationMinutes": 30,
        "timeZone": zone,
    }
    answer = clinic.http.post("/api/slots/batch", json=batch, headers=clinic.admin)
    assert answer.status_code == 201, answer.text
    query = "SELECT start_time FROM appointment_slots WHERE doctor_id = $1"
    [slot] = rows(clinic.server.database_url, query, batch["doctorId"])
    assert slot["start_time"] == datetime(2031, 1, 7, hour, tzinfo=UTC)


def test_both_workers_show_times_by_the_package_and_tell_its_edition(clinic: Clinic, server: RunningServer) -> None:
    slot = clinic.slot(startTime="2031-01-07T09:00:00Z")
    for _ in range(8):  # a connection each, which the workers take in turn
        with Clinic(server) as visitor:
            page = visitor.http.get(f"/?doctor={slot['doctorId']}&day=2031-01-07").text
            ready: dict[str, Any] = visitor.http.get("/health/ready").json()
        assert re.search(r"<time [^>]*>09:00</time>", page), page
        assert (ready["tzdata"], ready["warnings"]) == (IANA_VERSION, [])
    logged = re.findall(r"time_zones +edition=(\S+) zone=\S+", server.log.read_text())
    assert logged == [IANA_VERSION], "once, not by each worker"


def test_a_command_makes_times_by_the_package(database_url: str) -> None:
    seed = ["seed", "--doctors", "1", "--days", "1", "--from", "2031-01-07"]
    seeded = slotwise(database_url, *seed, CLINIC_TIME_ZONE="Europe/Berlin")
    assert seeded.returncode == 0, seeded.stderr
    [first] = rows(database_url, "SELECT min(start_time) AS start FROM appointment_slots")
    assert first["start"] == datetime(2031, 1, 7, 8, tzinfo=UTC)


def test_zones_that_were_read_before_and_those_of_spawned_processes_are_the_package_s() -> None:
    """The process reads a zone, then imports Slotwise. The spawned process does not even import it."""
    environment = os.environ | {"PYTHONTZPATH": str(false_edition())}
    program = [sys.executable, "-c", READ_ZONES]
    read = subprocess.run(program, env=environment, capture_output=True, check=True, timeout=60).stdout.decode()
    assert read.split() == ["9:00:00", "1:00:00", "1:00:00"]


def test_a_difference_to_postgresql_is_told(database_url: str) -> None:
    async def compared(zone: ZoneInfo) -> list[str]:
        database = await Database.connect(database_url, 1)
        try:
            async with database.connection() as connection:
                return await compare_zone(connection, zone)
        finally:
            await database.close()

    with (false_edition() / "Europe/Berlin").open("rb") as rules:
        [warning] = asyncio.run(compared(ZoneInfo.from_file(rules, key="Europe/Berlin")))
    assert "Europe/Berlin" in warning
    assert IANA_VERSION in warning
    for name in ("UTC", "Europe/Berlin"):  # without and with changes
        assert asyncio.run(compared(ZoneInfo(name))) == []
    with (false_edition() / "Europe/Berlin").open("rb") as rules:
        [unknown] = asyncio.run(compared(ZoneInfo.from_file(rules, key="Mars/Olympus")))
    assert "has no Mars/Olympus" in unknown


def test_a_difference_is_told_for_the_zone_of_every_clinic_also_of_a_new_one(database_url: str) -> None:
    with (false_edition() / "Europe/Berlin").open("rb") as rules:
        false = ZoneInfo.from_file(rules, key="Europe/Berlin")
    zones = [ZoneInfo("UTC")]
    check = ZoneCheck(lambda: zones)

    async def warned() -> tuple[list[str], list[str]]:
        database = await Database.connect(database_url, 1)
        try:
            async with database.connection() as connection:
                before = await check.warnings(connection)
                zones.append(false)
                return before, await check.warnings(connection)
        finally:
            await database.close()

    before, [after] = asyncio.run(warned())
    assert before == []
    assert "Europe/Berlin" in after


def test_a_start_logs_the_zone_that_the_clinic_has_by_now(start_server: Callable[..., RunningServer]) -> None:
    """The setting counts at the first start only."""
    for setting in ("Europe/Berlin", "Asia/Tokyo"):
        log = start_server(CLINIC_TIME_ZONE=setting).log.read_text()
        assert re.findall(r"time_zones +edition=\S+ zone=(\S+)", log) == ["Europe/Berlin"]


@pytest.mark.parametrize("name", ["Europe/Berlin", "Africa/Casablanca", "Australia/Lord_Howe", "UTC"])
def test_a_change_of_the_clocks_is_known_by_its_hour(name: str) -> None:
    zone, first = ZoneInfo(name), datetime(2026, 1, 1, 5, tzinfo=UTC)
    hours = [first + timedelta(hours=hour) for hour in range(500 * 24)]
    offsets = [hour.astimezone(zone).utcoffset() for hour in hours]
    changed = [hours[at] for at in range(1, len(hours)) if offsets[at] != offsets[at - 1]]
    changes = changes_of(zone, first, hours[-1])
    assert [change.moment for change in changes] == [first, *changed]
    assert all(timedelta(seconds=change.seconds) == offsets[hours.index(change.moment)] for change in changes)


def test_no_statement_computes_local_times_or_days() -> None:
    """PostgreSQL has an edition of its own. The one statement that uses it compares it with Slotwise's."""
    local = re.compile(
        r"at\s+time\s+zone|\btimezone\(|\bdate_trunc\(|::date\b|\bcurrent_date\b|\blocaltime", re.IGNORECASE
    )
    texts = {path.relative_to(ROOT).as_posix(): path.read_text() for path in ROOT.glob("sql/**/*.sql")}
    # A parameter is a day already, and the stored wall time of a rule needs no time zone to have one.
    bare = {name: re.sub(r"(:\w+|\.local_start)::date\b", "", text) for name, text in texts.items()}
    found = {name for name, text in bare.items() if local.search(text)}
    assert found == {"sql/database/time_zones.sql"}
