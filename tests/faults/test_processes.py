"""Bookings and clients when processes end, normally or by SIGKILL."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest

from slotwise.db.embedded import NO_SUCH_PID, EmbeddedServer
from tests.clinic import PATIENCE_SECONDS, Clinic, RunningServer, at_most
from tests.conftest import free_port, running_server

BEFORE_THE_BLOW = 5
BODY = {"userName": "Ada", "userEmail": "ada@example.org"}


@pytest.mark.slow(reason="two to five CPU seconds for a server of its own")
def test_sigterm_under_load_answers_all_it_has_committed_and_exits_with_zero(
    start_server: Callable[..., RunningServer],
) -> None:
    server = start_server(WORKERS="2")
    with Clinic(server) as clinic:
        slot_id = clinic.slot(seats=100_000)["id"]
        acknowledged = asyncio.run(
            _book_until_turned_away(server, slot_id, lambda: server.process.send_signal(signal.SIGTERM))
        )
    assert server.process.wait(at_most(10)) == 0
    assert asyncio.run(_count_bookings(server.database_url)) == acknowledged > 0


@pytest.mark.slow  # two to five CPU seconds for a server of its own
def test_a_worker_that_hangs_does_not_keep_the_server_from_stopping(start_server: Callable[..., RunningServer]) -> None:
    server = start_server(WORKERS="2")
    hanging = _workers_of(server)[0]
    hanging.suspend()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(at_most(10)) == 0
    assert not hanging.is_running()


@pytest.mark.slow  # two to five CPU seconds for a server of its own
def test_a_log_that_is_not_read_from_the_beginning_stops_neither_the_start_nor_the_end(
    database_url: str, tmp_path: Path
) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 512)
    os.set_blocking(writing, True)
    environment = {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(tmp_path),
        "DATABASE_URL": database_url,
        "SLOTWISE_DATA_DIR": str(tmp_path / "data"),
        "PORT": str(free_port()),
        "WORKERS": "1",
        "SEED_DEMO": "off",
    }
    command: list[Path | str] = [Path(sys.executable).with_name("slotwise"), "serve"]
    server = subprocess.Popen(command, env=environment, stderr=writing, start_new_session=True)
    health = f"http://127.0.0.1:{environment['PORT']}/health"

    def answers() -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(health, verify=False).status_code == 200
        return False

    try:
        _until(answers)
        worker = next(filter(_is_worker, psutil.Process(server.pid).children()))
        worker.kill()
        _until(lambda: worker not in psutil.Process(server.pid).children() and answers())
        server.send_signal(signal.SIGTERM)
        assert server.wait(at_most(10)) == 0
    finally:
        server.kill()
        os.close(reading)
        os.close(writing)


@pytest.mark.slow  # two to five CPU seconds for a server of its own
def test_closing_the_terminal_ends_the_server(start_server: Callable[..., RunningServer]) -> None:
    server = start_server()
    server.process.send_signal(signal.SIGHUP)
    assert server.process.wait(at_most(10)) == 0


@pytest.mark.slow  # two to five CPU seconds for a server of its own
def test_a_worker_that_starts_while_the_database_is_away_waits_for_it(tmp_path: Path) -> None:
    """If a worker failed at its start, the whole server would end, just when the database comes back."""
    binaries = _binaries().get("SLOTWISE_POSTGRES_BIN")
    postgres = EmbeddedServer(tmp_path, Path(binaries) if binaries else None)
    url = postgres.acquire()
    try:
        with running_server(url, {}) as server, Clinic(server) as clinic:
            slot_id = clinic.slot(seats=50)["id"]
            postgres.release()
            [victim] = _workers_of(server)
            victim.kill()
            _until(lambda: _answers(server))
            postgres.acquire()
            _until(lambda: clinic.book(slot_id).status_code == 201)
    finally:
        postgres.release()


@pytest.mark.slow(reason="two to five CPU seconds for a server of its own")
def test_a_killed_worker_is_replaced_and_what_it_acknowledged_is_there(
    start_server: Callable[..., RunningServer],
) -> None:
    server = start_server(WORKERS="2")
    with Clinic(server) as clinic:
        slot_id = clinic.slot(seats=100_000)["id"]
        victim = _workers_of(server)[0]
        acknowledged = asyncio.run(_book_until_turned_away(server, slot_id, victim.kill, seconds=3))
        _until(lambda: len(_workers_of(server)) == 2 and victim.pid not in {w.pid for w in _workers_of(server)})
        assert clinic.book(slot_id).status_code == 201
        assert 100_000 - clinic.free_seats(slot_id) >= acknowledged + 1 > 1


@pytest.mark.slow  # two to five CPU seconds for a server of its own
def test_workers_end_and_free_the_port_when_their_supervisor_is_killed(
    start_server: Callable[..., RunningServer],
) -> None:
    server = start_server(WORKERS="2")
    workers = _workers_of(server)
    server.process.kill()
    server.process.wait()
    _, alive = psutil.wait_procs(workers, timeout=PATIENCE_SECONDS)
    assert alive == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/health", verify=False)


@pytest.mark.slow  # two starts with a database; the restarts of the torture have the same blow
def test_bookings_survive_kill_9_of_the_whole_installation(tmp_path: Path) -> None:
    """App and embedded PostgreSQL are killed together; a second start finds every acknowledged booking."""
    settings = {"DATABASE_URL": "", "SLOTWISE_DATA_DIR": str(tmp_path / "data"), "SEED_DEMO": "on"}
    settings |= _binaries()
    with running_server("", settings) as server, Clinic(server) as clinic:
        slot_id = clinic.slot(seats=50)["id"]
        doctors = clinic.http.get("/api/doctors").json()["items"]
        booked = [clinic.hold(slot_id, confirm=True) for _ in range(20)]
        _kill_all(server, tmp_path / "data")
    with running_server("", settings) as server, Clinic(server) as clinic:
        assert clinic.free_seats(slot_id) == 30
        for booking in booked:
            assert clinic.http.get(f"/api/bookings/{booking['id']}").json()["status"] == "CONFIRMED"
        assert clinic.http.get("/api/doctors").json()["items"] == doctors, "the demo data was added a second time"


@pytest.mark.slow  # two to five CPU seconds for a server of its own
def test_the_embedded_database_is_started_again_when_it_is_killed(tmp_path: Path) -> None:
    settings = {"DATABASE_URL": "", "SLOTWISE_DATA_DIR": str(tmp_path / "data")} | _binaries()
    with running_server("", settings) as server, Clinic(server) as clinic:
        slot_id = clinic.slot(seats=1000)["id"]
        killed = _postmaster(tmp_path / "data")
        os.kill(killed, signal.SIGKILL)
        answers = []

        def serves_again() -> bool:
            # The dead server's sessions may still answer for a moment; only answers of a new server count.
            answers.append(clinic.book(slot_id, confirm=True).status_code)
            return answers[-1] == 201 and _postmaster(tmp_path / "data") not in {killed, NO_SUCH_PID}

        _until(serves_again)
        _until(lambda: clinic.http.get("/health/ready").status_code == 200)
        assert set(answers) <= {201, 503}
        # A 503 is possible for a booking that was committed, but a 201 only for a booking that exists.
        assert answers.count(201) <= 1000 - clinic.free_seats(slot_id) <= len(answers)


@pytest.mark.slow  # two to five CPU seconds for a server of its own
def test_a_restarted_external_database_is_found_again_without_a_restart_of_the_server(tmp_path: Path) -> None:
    binaries = _binaries().get("SLOTWISE_POSTGRES_BIN")
    postgres = EmbeddedServer(tmp_path, Path(binaries) if binaries else None)
    url = postgres.acquire()
    try:
        with running_server(url, {"WORKERS": "2"}) as server, Clinic(server) as clinic:
            slot_id = clinic.slot(seats=50)["id"]
            clinic.hold(slot_id)
            postgres.release()
            refused = clinic.book(slot_id)
            assert refused.status_code == 503
            assert refused.headers["Retry-After"]
            assert refused.json()["code"] == "database-unavailable"
            assert clinic.http.get("/health").status_code == 200
            assert clinic.http.get("/health/ready").status_code == 503
            postgres.acquire()
            _until(lambda: clinic.book(slot_id).status_code == 201)
            assert clinic.http.get("/health/ready").status_code == 200
    finally:
        postgres.release()


@pytest.mark.slow  # two to five CPU seconds for a server of its own
def test_a_second_server_says_that_the_port_or_the_data_directory_is_in_use(tmp_path: Path) -> None:
    settings = {"DATABASE_URL": "", "SLOTWISE_DATA_DIR": str(tmp_path / "data")} | _binaries()
    with running_server("", settings) as server:
        environment = dict(psutil.Process(server.process.pid).environ())
        same_port = _serve(environment)
        same_data = _serve(environment | {"PORT": str(free_port())})
    assert same_port.returncode == same_data.returncode == 1
    assert "cannot listen on" in same_port.stderr
    assert "is in use by process" in same_data.stderr
    assert "Traceback" not in same_port.stderr + same_data.stderr


async def _book_until_turned_away(
    server: RunningServer, slot_id: int, blow: Callable[[], None], seconds: float = PATIENCE_SECONDS
) -> int:
    """Sixteen clients book, and the blow comes in the middle. Counts the 201s until each client is refused, or until so
    many seconds after the blow."""
    deadline = float("inf")
    in_the_middle = asyncio.Event()

    async def client() -> int:
        acknowledged = 0
        async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_SECONDS, verify=False) as http:
            while time.monotonic() < deadline:
                try:
                    answer = await http.post("/api/bookings", json=BODY | {"slotId": slot_id})
                except httpx.TransportError:
                    return acknowledged
                acknowledged += answer.status_code == 201
                if acknowledged >= BEFORE_THE_BLOW:
                    in_the_middle.set()
        return acknowledged

    clients = [asyncio.create_task(client()) for _ in range(16)]
    await asyncio.wait_for(in_the_middle.wait(), PATIENCE_SECONDS)
    blow()
    deadline = time.monotonic() + seconds
    return sum(await asyncio.gather(*clients))


def _answers(server: RunningServer) -> bool:
    try:
        return httpx.get(f"{server.url}/health", verify=False).status_code == 200
    except httpx.TransportError:
        return False


async def _count_bookings(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM bookings"))
    finally:
        await connection.close()


def _workers_of(server: RunningServer) -> list[psutil.Process]:
    return [child for child in psutil.Process(server.process.pid).children() if _is_worker(child)]


def _is_worker(child: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(child.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def _kill_all(server: RunningServer, data_dir: Path) -> None:
    """The app's processes and the postmaster with its backends: all started by this test, all by their pids."""
    postmaster = psutil.Process(_postmaster(data_dir))
    app = psutil.Process(server.process.pid)
    victims = [app, *app.children(recursive=True), postmaster, *postmaster.children(recursive=True)]
    for victim in victims:
        victim.kill()
    server.process.wait()
    psutil.wait_procs(victims, timeout=PATIENCE_SECONDS)


def _postmaster(data_dir: Path) -> int:
    words = (data_dir / "postgres" / "postmaster.pid").read_text().split()
    return int(words[0]) if words else NO_SUCH_PID


def _binaries() -> dict[str, str]:
    binaries = os.environ.get("SLOTWISE_TEST_POSTGRES_BIN")
    return {"SLOTWISE_POSTGRES_BIN": binaries} if binaries else {}


def _serve(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command: list[Path | str] = [Path(sys.executable).with_name("slotwise"), "serve"]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


def _until(true: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Poll until it is true; fail after that many seconds."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not true within {seconds} seconds"
        time.sleep(0.05)
