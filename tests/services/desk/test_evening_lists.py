"""Tomorrow's list of each clinic as files: when it is written, by whom, and what becomes of it."""

import asyncio
import csv
import os
import stat
import threading
import time as clock
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TypeAlias
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from structlog.testing import capture_logs

from slotwise.db.pool import Database
from slotwise.domain.clinics import Clinic, ClinicBook
from slotwise.domain.errors import DatabaseUnavailable
from slotwise.services.desk import day_sheets, evening_lists
from slotwise.services.desk.day_sheets import DaySheet, DoctorOfDay, DoctorsDay
from slotwise.services.desk.evening_lists import Evening, EveningList, EveningLists, PrintList
from slotwise.services.desk.list_folder import UNFINISHED_SECONDS, ListFolder, ListOfClinic, UnfinishedFile
from slotwise.web.desk.evening_lists import MORE_BOOKINGS, MORE_CANCELLED, MORE_DOCTORS, PrintedLists
from slotwise.web.kit.rendering import Renderer
from tests.workers import GUEST, Worker, new_slot, wanted

Rows: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

TOKYO, PHOENIX = Clinic(1, "East", "Asia/Tokyo"), Clinic(2, "West", "America/Phoenix")
SIX = time(18)
# 18:30 in Tokyo, 02:30 in Phoenix.
EVENING = datetime(2031, 3, 3, 9, 30, tzinfo=UTC)


def lists_in(
    database: Database, folder: Path | ListFolder, *clinics: Clinic, printed: PrintList | None = None
) -> EveningLists:
    book = ClinicBook(clinics or [TOKYO])
    evening = Evening(folder if isinstance(folder, ListFolder) else ListFolder(folder), SIX, 7)
    return EveningLists(database, book, printed or PrintedLists(Renderer(book)), evening)


async def booked(worker: Worker, connection: Rows, start: str, clinic_id: int = 1) -> None:
    """A confirmed booking of Ada Lovelace, half an hour long."""
    slot_id = await new_slot(connection, 1)
    await worker.bookings.hold_seats(GUEST, wanted(slot_id, confirm=True))
    await connection.execute(
        "UPDATE appointment_slots SET start_time = $2, end_time = $3, clinic_id = $4 WHERE id = $1",
        slot_id,
        (at := datetime.fromisoformat(start)),
        at + timedelta(minutes=30),
        clinic_id,
    )


async def claims(connection: Rows) -> int:
    """How many sessions may finish lists now."""
    found: int = await connection.fetchval("SELECT count(*) FROM pg_locks WHERE classid = 7305091 AND objid = 2")
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_each_clinic_gets_the_list_of_the_day_after_its_own_latest_evening(
    database: Database, worker: Worker, connection: Rows, tmp_path: Path
) -> None:
    """In Phoenix it is still the night before, so the list of this day is there, or is written now."""
    await connection.execute("INSERT INTO clinics (id, name, time_zone) OVERRIDING SYSTEM VALUE VALUES (2, 'W', 'UTC')")
    await booked(worker, connection, "2031-03-04T09:00+09:00")
    await booked(worker, connection, "2031-03-03T23:30-07:00", clinic_id=2)
    await booked(worker, connection, "2031-03-03T09:00+09:00")
    lists = lists_in(database, tmp_path, TOKYO, PHOENIX)
    await lists.write_evening_lists(EVENING)
    east, west = "clinic-1-2031-03-04", "clinic-2-2031-03-03"
    assert names(tmp_path) == [f"{east}.csv", f"{east}.html", f"{west}.csv", f"{west}.html"]
    page = (tmp_path / f"{east}.html").read_text()
    assert page.count("Ada Lovelace") == 1
    assert "East: Tuesday 4 March 2031" in page
    assert ">09:00<" in page
    assert ">23:30<" in (tmp_path / f"{west}.html").read_text()
    heading, *rows = csv.reader((tmp_path / f"{east}.csv").read_text("utf-8-sig").splitlines())
    assert heading[:3] == ["Doctor", "Starts (Asia/Tokyo)", "Ends (Asia/Tokyo)"]
    assert [row[:6] for row in rows] == [
        ["Dr. Who", "2031-03-04 09:00:00", "2031-03-04 09:30:00", "Ada Lovelace", "ada@example.org", "1"]
    ]
    assert lists.warnings() == []


async def test_a_list_is_for_its_owner_only_and_needs_nothing_else(
    database: Database, worker: Worker, connection: Rows, tmp_path: Path
) -> None:
    await booked(worker, connection, "2031-03-04T09:00+09:00")
    await lists_in(database, tmp_path).write_evening_lists(EVENING)
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names(tmp_path)} == {0o600}
    page = (tmp_path / "clinic-1-2031-03-04.html").read_text()
    assert "<style>" in page
    assert not [word for word in ("href=", "src=", "url(", "<script") if word in page]
    noted = await connection.fetch("SELECT actor, subject, details::text FROM audit_log WHERE action LIKE 'write_%'")
    assert [tuple(row) for row in noted] == [("evening", "clinic:1", '{"day": "2031-03-04", "bookings": 1}')]


async def test_a_list_is_written_once_and_again_only_if_it_is_missing(
    database: Database, worker: Worker, connection: Rows, tmp_path: Path
) -> None:
    await booked(worker, connection, "2031-03-04T09:00+09:00")
    lists = lists_in(database, tmp_path)
    await lists.write_evening_lists(EVENING - timedelta(minutes=31))
    assert names(tmp_path) == ["clinic-1-2031-03-03.csv", "clinic-1-2031-03-03.html"], "17:59 is not evening yet"
    await lists.write_evening_lists(EVENING)
    page = tmp_path / "clinic-1-2031-03-04.html"
    page.write_text("read and noted upon")
    await lists_in(database, tmp_path).write_evening_lists(EVENING + timedelta(hours=8))
    assert page.read_text() == "read and noted upon"
    page.unlink()
    await lists_in(database, tmp_path).write_evening_lists(EVENING + timedelta(hours=8))
    assert "Ada Lovelace" in page.read_text()


async def test_one_process_of_all_writes_the_lists(
    database: Database, worker: Worker, connection: Rows, tmp_path: Path
) -> None:
    await booked(worker, connection, "2031-03-04T09:00+09:00")
    processes = [lists_in(database, tmp_path) for _ in range(4)]
    await asyncio.gather(*(each.write_evening_lists(EVENING) for each in processes))
    assert await connection.fetchval("SELECT count(*) FROM audit_log WHERE action = 'write_evening_list'") == 1
    assert len(names(tmp_path)) == 2


async def test_a_list_that_waits_for_its_names_is_not_written_by_another_process(
    database: Database, worker: Worker, connection: Rows, tmp_path: Path
) -> None:
    """The audit log has the list, the folder not yet: only the claim keeps the second process from writing it."""
    reached, may_go_on = threading.Event(), threading.Event()

    class SlowFolder(ListFolder):
        def finish(self, files: list[UnfinishedFile]) -> None:
            reached.set()
            may_go_on.wait(20)
            super().finish(files)

    await booked(worker, connection, "2031-03-04T09:00+09:00")
    first = asyncio.create_task(lists_in(database, SlowFolder(tmp_path)).write_evening_lists(EVENING))
    await asyncio.to_thread(reached.wait, 20)
    await lists_in(database, tmp_path).write_evening_lists(EVENING)
    may_go_on.set()
    await first
    assert await connection.fetchval("SELECT count(*) FROM audit_log WHERE action = 'write_evening_list'") == 1
    assert names(tmp_path) == ["clinic-1-2031-03-04.csv", "clinic-1-2031-03-04.html"]
    assert await claims(connection) == 0


async def test_no_connection_waits_while_a_list_is_printed_and_written_to_the_disk(
    database: Database, tmp_path: Path
) -> None:
    in_use: list[int] = []

    class WatchedFolder(ListFolder):
        def prepare(self, written: ListOfClinic, contents: Mapping[str, str]) -> list[UnfinishedFile]:
            in_use.append(database.size - database.idle)
            return super().prepare(written, contents)

    def printed(_: EveningList) -> Mapping[str, str]:
        in_use.append(database.size - database.idle)
        return {"html": "page", "csv": "table"}

    await lists_in(database, WatchedFolder(tmp_path), printed=printed).write_evening_lists(EVENING)
    assert len(names(tmp_path)) == 2
    assert in_use == [0, 0]


async def test_a_clinic_without_appointments_gets_a_list_that_says_so(database: Database, tmp_path: Path) -> None:
    closed = Clinic(2, "West", "Asia/Tokyo", active=False)
    lists = lists_in(database, tmp_path, TOKYO, closed)
    await lists.write_evening_lists(EVENING)
    assert names(tmp_path) == ["clinic-1-2031-03-04.csv", "clinic-1-2031-03-04.html"]
    assert "Nobody is booked at East on Tuesday 4 March 2031." in (tmp_path / "clinic-1-2031-03-04.html").read_text()
    assert lists.warnings() == []


async def test_a_clinic_that_wants_no_list_gets_none(database: Database, tmp_path: Path) -> None:
    lists = lists_in(database, tmp_path, Clinic(1, "East", "Asia/Tokyo", evening_list=False), PHOENIX)
    await lists.write_evening_lists(EVENING)
    assert names(tmp_path) == ["clinic-2-2031-03-03.csv", "clinic-2-2031-03-03.html"]
    assert lists.warnings() == []


async def test_of_each_clinic_only_the_latest_list_that_was_left_out_is_remembered(
    database: Database, worker: Worker, connection: Rows, tmp_path: Path
) -> None:
    """Otherwise the memory of a server would grow each day. What it has forgotten, it reads again."""
    lists = lists_in(database, tmp_path, Clinic(1, "East", "Asia/Tokyo", active=False))
    await lists.write_evening_lists(EVENING)
    await booked(worker, connection, "2031-03-04T09:00+09:00")
    await lists.write_evening_lists(EVENING)
    assert names(tmp_path) == []
    await lists.write_evening_lists(EVENING + timedelta(days=1))
    await lists.write_evening_lists(EVENING)
    assert names(tmp_path) == ["clinic-1-2031-03-04.csv", "clinic-1-2031-03-04.html"]


async def test_a_list_that_is_cut_says_so(
    database: Database, worker: Worker, connection: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sheet ends before its first confirmed booking, and there is one more doctor."""
    for _ in range(2):
        await booked(worker, connection, "2031-03-04T09:00+09:00")
    monkeypatch.setattr(day_sheets, "MOST_PATIENTS", 0)
    monkeypatch.setattr(evening_lists, "MOST_DOCTORS", 1)
    with capture_logs() as logs:
        await lists_in(database, tmp_path).write_evening_lists(EVENING)
    rows = list(csv.reader((tmp_path / "clinic-1-2031-03-04.csv").read_text("utf-8-sig").splitlines()))
    assert [[row[0], row[6]] for row in rows[1:]] == [["Dr. Who", MORE_BOOKINGS], ["", MORE_DOCTORS]]
    page = (tmp_path / "clinic-1-2031-03-04.html").read_text()
    assert page.count("Not all bookings of this day fit here") == page.count("Not all doctors of this day fit") == 1
    [cut] = [each for each in logs if each["event"] == "evening_list_cut_short"]
    assert (len(cut["doctors"]), cut["more_doctors"]) == (1, True)


def test_the_table_says_that_there_may_be_more_patients_to_tell() -> None:
    sheet = DaySheet([], {}, cut_short=False, more_cancelled=True)
    found = EveningList(TOKYO, EVENING.date(), EVENING, [DoctorsDay(DoctorOfDay(1, "Dr. Who"), sheet)], cut_short=False)
    table = PrintedLists(Renderer(ClinicBook([TOKYO])))(found)["csv"]
    assert [row[6] for row in csv.reader(table.splitlines())][1:] == [MORE_CANCELLED]


async def test_a_folder_that_is_away_is_told_of_and_the_list_is_written_when_it_is_back(
    database: Database, connection: Rows, tmp_path: Path
) -> None:
    folder = tmp_path / "share"
    lists = lists_in(database, folder)
    await lists.write_evening_lists(EVENING)
    assert lists.warnings() == ["EVENING_LIST_DIR cannot be written to: No such file or directory"]
    folder.mkdir()
    (folder / "clinic-1-2031-03-04.html").mkdir()
    await lists.write_evening_lists(EVENING)
    assert lists.warnings() == ["The list of clinic 1 for 2031-03-04 cannot be written: Is a directory"]
    assert names(folder) == ["clinic-1-2031-03-04.html"], "nothing unfinished stays"
    assert await claims(connection) == 0
    (folder / "clinic-1-2031-03-04.html").rmdir()
    await lists.write_evening_lists(EVENING)
    assert lists.warnings() == []
    assert len(names(folder)) == 2


@pytest.mark.parametrize("reason", ["Not a directory", "File name too long"])
async def test_a_folder_that_goes_while_the_lists_are_claimed_is_told_of_as_that(
    database: Database, connection: Rows, tmp_path: Path, reason: str
) -> None:
    """The path of the folder leads to a file then, or to a name that no file can have. The database has no part."""
    (tmp_path / "real").mkdir()
    (tmp_path / "file").touch()
    link = tmp_path / "share"

    def leads_to(target: str) -> None:
        link.unlink(missing_ok=True)
        link.symlink_to(target)

    class GoingFolder(ListFolder):
        def prepare(self, written: ListOfClinic, contents: Mapping[str, str]) -> list[UnfinishedFile]:
            files = super().prepare(written, contents)
            leads_to("file" if reason == "Not a directory" else "x" * 256)
            return files

    leads_to("real")
    lists = lists_in(database, GoingFolder(link))
    with capture_logs() as logs:
        await lists.write_evening_lists(EVENING)
    assert lists.warnings() == [f"The list of clinic 1 for 2031-03-04 cannot be written: {reason}"]
    assert [each["reason"] for each in logs if each["event"] == "evening_list_not_written"] == [reason]
    assert await claims(connection) == 0
    leads_to("real")
    again = lists_in(database, link)
    await again.write_evening_lists(EVENING)
    assert again.warnings() == []
    assert (link / "clinic-1-2031-03-04.html").exists()


@pytest.mark.parametrize(
    ("error", "reason"),
    [(ValueError("Ada Lovelace"), "the log says why"), (DatabaseUnavailable(), DatabaseUnavailable().detail)],
)
async def test_a_list_that_fails_keeps_no_other_away_and_no_old_one(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def printed(found: EveningList) -> Mapping[str, str]:
        if found.clinic.id == TOKYO.id:
            raise error
        return {"html": "page", "csv": "table"}

    (tmp_path / "clinic-1-2031-02-01.html").touch()
    lists = lists_in(database, tmp_path, TOKYO, PHOENIX, printed=printed)
    began = clock.monotonic()
    await lists.write_evening_lists(EVENING)
    assert names(tmp_path) == ["clinic-2-2031-03-03.csv", "clinic-2-2031-03-03.html"]
    monkeypatch.setattr(evening_lists, "SILENT_SECONDS", clock.monotonic() - began)
    assert lists.warnings() == [f"The list of clinic 1 for 2031-03-04 cannot be written: {reason}"]


async def test_old_lists_are_deleted_from_a_disk_that_is_full(database: Database, tmp_path: Path) -> None:
    class FullFolder(ListFolder):
        def problem(self) -> str:
            return "No space left on device"

    (tmp_path / "clinic-1-2031-02-01.html").touch()
    lists = lists_in(database, FullFolder(tmp_path))
    await lists.write_evening_lists(EVENING)
    assert names(tmp_path) == []
    assert lists.warnings() == ["EVENING_LIST_DIR cannot be written to: No space left on device"]


async def test_a_round_that_breaks_is_not_a_folder_that_is_silent(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class BrokenFolder(ListFolder):
        def problem(self) -> str:
            raise ValueError("broken")

    lists = lists_in(database, BrokenFolder(tmp_path))
    began = clock.monotonic()
    with pytest.raises(ValueError, match="broken"):
        await lists.write_evening_lists(EVENING)
    monkeypatch.setattr(evening_lists, "SILENT_SECONDS", clock.monotonic() - began)
    assert lists.warnings() == []


async def test_a_list_that_another_process_does_not_finish_is_told_of(
    database: Database, connection: Rows, tmp_path: Path
) -> None:
    lists = lists_in(database, tmp_path)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(7305091, 2)")
        await lists.write_evening_lists(EVENING - timedelta(minutes=29))
        assert lists.warnings() == []
        await lists.write_evening_lists(EVENING)
        assert lists.warnings() == ["The list of clinic 1 for 2031-03-04 is not written"]
    await lists.write_evening_lists(EVENING)
    assert lists.warnings() == []


async def test_old_lists_and_unfinished_ones_are_deleted_and_nothing_else(database: Database, tmp_path: Path) -> None:
    keep = ["clinic-1-2031-02-24.html", "clinic-1-2031-03-04.csv", "clinic-1-2031-03-04.html", "holiday.html"]
    old = ["clinic-1-2031-02-23.html", "clinic-7-2031-02-23.csv", ".clinic-1-2031-03-04.csv-x.unfinished"]
    for name in [*keep, *old, ".clinic-1-2031-03-04.html-y.unfinished"]:
        (tmp_path / name).write_text("")
    long_ago = clock.time() - UNFINISHED_SECONDS - 1
    os.utime(tmp_path / old[2], (long_ago, long_ago))
    await lists_in(database, tmp_path).write_evening_lists(EVENING)
    assert names(tmp_path) == [".clinic-1-2031-03-04.html-y.unfinished", *keep]


async def test_an_old_list_that_cannot_be_deleted_keeps_no_other(database: Database, tmp_path: Path) -> None:
    """A directory is not deleted, even by root."""
    for clinic_id in (1, 9):
        (tmp_path / f"clinic-{clinic_id}-2031-02-01.html").mkdir()
    for clinic_id in (0, *range(2, 9)):
        (tmp_path / f"clinic-{clinic_id}-2031-02-01.html").touch()
    lists = lists_in(database, tmp_path)
    await lists.write_evening_lists(EVENING)
    left = [name for name in names(tmp_path) if "2031-02" in name]
    assert left == ["clinic-1-2031-02-01.html", "clinic-9-2031-02-01.html"]
    assert lists.warnings() == ["Old lists cannot be deleted: Is a directory"]


@pytest.mark.parametrize(
    ("at", "now", "day", "since"),
    [
        ("18:00", "2031-03-30T17:59+02:00", "2031-03-30", "2031-03-29T18:00+01:00"),
        ("18:00", "2031-03-30T18:00+02:00", "2031-03-31", "2031-03-30T18:00+02:00"),
        ("02:30", "2031-03-30T03:29+02:00", "2031-03-30", "2031-03-29T02:30+01:00"),
        ("02:30", "2031-03-30T03:30+02:00", "2031-03-31", "2031-03-30T03:30+02:00"),
        ("02:30", "2031-10-26T02:30+02:00", "2031-10-27", "2031-10-26T02:30+02:00"),
        ("02:30", "2031-10-26T02:29+01:00", "2031-10-27", "2031-10-26T02:30+02:00"),
        ("00:00", "2031-10-26T00:00+02:00", "2031-10-27", "2031-10-26T00:00+02:00"),
        ("23:59", "2031-10-26T23:58+01:00", "2031-10-26", "2031-10-25T23:59+02:00"),
    ],
)
def test_evenings_come_by_the_clock_of_the_clinic_whatever_the_clocks_do(
    at: str, now: str, day: str, since: str, tmp_path: Path
) -> None:
    evening = Evening(ListFolder(tmp_path), time.fromisoformat(at), 7)
    clinic = Clinic(1, "Berlin", ZoneInfo("Europe/Berlin").key)
    found = evening.latest(clinic, datetime.fromisoformat(now).astimezone(UTC))
    assert found == (date.fromisoformat(day), datetime.fromisoformat(since))
