"""A disk that is really full: a small file system in memory with the data directory and a file that fills it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg
import httpx
import pytest

from slotwise.db.embedded import EmbeddedServer
from tests.clinic import Clinic, at_most, eventually, rows
from tests.clusters import BIN_DIR
from tests.conftest import running_server
from tests.postgres import open_folder

MEGABYTE = b"\0" * 1_048_576


@pytest.fixture
def disk() -> Iterator[Path]:
    with open_folder() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(folder)]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"NOT TESTED: a full disk. It takes the right to mount a file system: {done.stderr.strip()}")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """`disk` is completely full while the block runs."""
    filler = disk / "filler"
    for piece in (MEGABYTE, b"\0" * 4096):
        with filler.open("ab", buffering=0) as file, suppress(OSError):
            while file.write(piece):
                pass
    try:
        yield
    finally:
        filler.unlink()


@pytest.mark.slow  # an installation on a small disk of its own: fifteen seconds
def test_a_full_disk_stops_bookings_and_loses_none(disk: Path) -> None:
    settings = {"DATABASE_URL": "", "SLOTWISE_DATA_DIR": str(disk / "data")}
    settings |= {"SLOTWISE_POSTGRES_BIN": str(BIN_DIR)} if BIN_DIR else {}
    with running_server("", settings) as server, Clinic(server) as clinic:
        database_url = EmbeddedServer(disk / "data", BIN_DIR).url
        slot_id = clinic.slot(seats=100_000)["id"]
        booked = {clinic.hold(slot_id, confirm=True)["id"] for _ in range(10)}
        with full(disk):
            refused = book_until_refused(clinic, slot_id, booked)
            assert refused.json()["code"] == "database-unavailable", "the server said no and lives: nothing was done"
            for path in ("/api/slots", f"/api/slots/{slot_id}", f"/api/bookings/{min(booked)}", "/health/ready"):
                assert clinic.http.get(path).status_code == 200
        eventually(lambda: books_again(clinic, slot_id, booked), at_most(5))

        with full(disk):
            panic(database_url)
            refused = book_until_refused(clinic, slot_id, booked)
            assert refused.json()["code"] in {"database-unavailable", "outcome-unknown"}
            assert clinic.http.get("/health").status_code == 200
        eventually(lambda: books_again(clinic, slot_id, booked), at_most(5))
        assert booked <= {row["id"] for row in rows(database_url, "SELECT id FROM bookings WHERE status = 'CONFIRMED'")}


def book_until_refused(clinic: Clinic, slot_id: int, booked: set[int]) -> httpx.Response:
    """Book until refused. The tables' files still have room for some bookings."""
    for _ in range(2000):
        answer = clinic.book(slot_id, confirm=True)
        if answer.status_code != 201:
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["Retry-After"]) > 0
            return answer
        booked.add(answer.json()["id"])
    raise AssertionError("it was never refused")


def books_again(clinic: Clinic, slot_id: int, booked: set[int]) -> bool:
    answer = clinic.book(slot_id, confirm=True)
    if answer.status_code == 201:
        booked.add(answer.json()["id"])
    return answer.status_code == 201


def panic(database_url: str) -> None:
    """Force a new log segment, which cannot be created. PostgreSQL then ends all sessions, as it must."""
    with pytest.raises((asyncpg.PostgresConnectionError, OSError)):
        fill_the_log(database_url)


def fill_the_log(database_url: str) -> None:
    for _ in range(100):
        rows(database_url, "SELECT pg_logical_emit_message(true, 'filler', repeat('x', 1000000)), pg_switch_wal()")
