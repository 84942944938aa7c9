"""A process dies anywhere on the booking path: nothing is half done, no answer is untrue, and no seat stays blocked.

Each operation runs once for each place where a process can die. A worker dies at a crash point, or is killed while its
backend waits inside the database's function; or that backend is killed and PostgreSQL restarts.
"""

import ast
import asyncio
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import asyncpg
import httpx
import psutil
import pytest
from torture.patching import mutate

from slotwise.db.pool import Database
from slotwise.settings import InvalidSettings, load_settings
from tests.architecture.sources import sources
from tests.clinic import PATIENCE_SECONDS, Clinic, RunningServer, eventually, holder, rows
from tests.conftest import running_server
from tests.open_time import open_time, time_ids_of
from tests.postgres import own_postgres
from tests.workers import violations

WORKERS = 3

# The name of each operation, and its function in the database.
FUNCTIONS = {
    "hold_seats": "hold_seats_3",
    "hold_times": "hold_times",
    "confirm_booking": "confirm_bookings",
    "cancel_booking": "cancel_bookings",
    "sweep_holds": "sweep_holds",
}


# Of functions whose last lock has other words than those of the others.
LAST_LOCKS = {
    "hold_times": "ORDER BY s.id FOR NO KEY UPDATE;",
    "sweep_holds": "FOR NO KEY UPDATE SKIP LOCKED\n        );",
}


class Operation(NamedTuple):
    """`before` and `after` are the slot's ledger before the operation and after it."""

    name: str
    operation: str
    before: tuple[str, ...]
    after: tuple[str, ...]


HOLD = Operation("hold", "hold_seats", (), ("HELD",))
HOLD_WITH_KEY = Operation("hold with key", "hold_seats", (), ("HELD",))
BOOK = Operation("book at once", "hold_seats", (), ("BOOKED",))
HOLD_TIME = Operation("hold time", "hold_times", (), ("HELD",))
BOOK_TIME = Operation("book time with key", "hold_times", (), ("BOOKED",))
CONFIRM = Operation("confirm", "confirm_booking", ("HELD",), ("HELD", "CONFIRMED"))
CANCEL = Operation("cancel", "cancel_booking", ("HELD",), ("HELD", "CANCELLED"))
SWEEP = Operation("sweep", "sweep_holds", ("HELD",), ("HELD", "EXPIRED"))
OPERATIONS = (HOLD, HOLD_WITH_KEY, BOOK, HOLD_TIME, BOOK_TIME, CONFIRM, CANCEL, SWEEP)


class Place(NamedTuple):
    """`done` says whether the operation has had its complete effect when the victim is dead."""

    point: str
    victim: str
    done: bool


PLACES = (
    Place("before_batch", "worker", done=False),
    Place("after_lock", "backend", done=False),
    Place("before_commit", "backend", done=False),
    # One call is one transaction: after it is sent, the database finishes it without the worker.
    Place("after_lock", "worker", done=True),
    Place("before_commit", "worker", done=True),
    Place("after_commit", "worker", done=True),
    Place("before_answer", "worker", done=True),
)
IN_THE_DATABASE = {"after_lock", "before_commit"}
CELLS = [(made, place) for place in PLACES for made in OPERATIONS if (made, place.point) != (SWEEP, "before_answer")]


def cost_of(number: int, made: Operation, place: Place) -> list[pytest.MarkDecorator]:
    """`make test` runs only the diagonal, which contains each place and each operation."""
    # A cell takes one to five CPU seconds, and there are 55 of them.
    return [] if OPERATIONS.index(made) == number // len(OPERATIONS) % len(OPERATIONS) else [pytest.mark.slow]


class House(NamedTuple):
    """A server with its crash points in `folder`, on its own PostgreSQL, which may be killed."""

    server: RunningServer
    clinic: Clinic
    folder: Path

    @property
    def url(self) -> str:
        return self.server.database_url

    def workers(self) -> list[psutil.Process]:
        return [child for child in psutil.Process(self.server.process.pid).children() if _is_worker(child)]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("crash_points")
    settings = {"WORKERS": str(WORKERS), "SWEEP_SECONDS": "0.1", "CRASH_POINTS": str(folder), "HOLD_SECONDS": "600"}
    with (
        own_postgres() as postgres,
        running_server(postgres.url, settings) as server,
        Clinic(server) as clinic,
    ):
        # A new connection for each request: a kept one may lead to a worker that has died.
        clinic.http = httpx.Client(
            base_url=server.url,
            timeout=PATIENCE_SECONDS,
            verify=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        assert clinic.admin
        asyncio.run(_make_it_stand(server.database_url))
        yield House(server, clinic, folder)


async def _make_it_stand(url: str) -> None:
    """Let every function wait after its lock and at its end while a test holds an advisory lock."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        "CREATE FUNCTION stand_at(place text) RETURNS void LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_advisory_xact_lock_shared(hashtext(place)); END'"
    )
    for operation, function in FUNCTIONS.items():
        sweeps = operation == "sweep_holds"
        lock = LAST_LOCKS.get(operation, "FOR NO KEY UPDATE;")
        stand = "IF cardinality(locked) > 0 THEN {} END IF;" if sweeps else "{}"
        after_lock, before_commit = (
            stand.format(f"PERFORM stand_at('{operation}.{point}');") for point in ("after_lock", "before_commit")
        )
        await mutate(connection, function, lock, f"{lock} {after_lock}")
        await mutate(connection, function, "\nEND\n$function$", f"\n{before_commit}\nEND\n$function$")
    await connection.close()


def _is_worker(child: psutil.Process) -> bool:
    try:
        return child.status() != psutil.STATUS_ZOMBIE and "spawn_main" in " ".join(child.cmdline())
    except psutil.NoSuchProcess:
        return False


class Attempt:
    """An operation on its own slot, and how it is tried again."""

    def __init__(self, house: House, made: Operation) -> None:
        self.house, self.made = house, made
        self.slot_id = int(house.clinic.slot(seats=3)["id"])
        self.window = open_time(house.url)
        self.key = {"Idempotency-Key": uuid4().hex} if made in {HOLD_WITH_KEY, BOOK_TIME} else {}
        self.time_id = self.offered(0)
        self.held = house.clinic.hold(self.slot_id) if made.before else {}

    def send(self) -> httpx.Response | None:
        clinic = self.house.clinic
        match self.made.operation:
            case "hold_seats":
                return clinic.book(self.slot_id, self.key, confirm=self.made is BOOK)
            case "hold_times":
                return self.hold_time(self.time_id)
            case "confirm_booking":
                return clinic.http.post(f"/api/bookings/{self.held['id']}/confirm", headers=holder(self.held))
            case "cancel_booking":
                return clinic.http.delete(f"/api/bookings/{self.held['id']}", headers=holder(self.held))
            case _:
                overdue = "UPDATE bookings SET expires_at = clock_timestamp() WHERE slot_id = $1"
                rows(self.house.url, overdue, self.slot_id)
                return None

    def offered(self, after: int) -> str:
        return time_ids_of(self.house.server).id_of(self.window.offered(after, 20))

    def hold_time(self, time_id: str) -> httpx.Response:
        person = {"userName": "Ada Lovelace", "userEmail": "ada@example.org"}
        body = {"timeId": time_id, "confirm": self.made is BOOK_TIME, **person}
        return self.house.clinic.http.post("/api/bookings", json=body, headers=self.key)

    def ledger(self) -> tuple[str, ...]:
        """Without the row that says that the slot was made."""
        query = (
            "SELECT e.kind FROM booking_events AS e JOIN appointment_slots AS s ON e.slot_id = s.id"
            " WHERE (s.id = $1 OR s.window_id = $2) AND e.sequence > 1 ORDER BY e.slot_id, e.sequence"
        )
        return tuple(row["kind"] for row in rows(self.house.url, query, self.slot_id, self.window.window_id))

    def nothing_is_left_behind(self) -> bool:
        """Whether somebody else can book the slot, and the time beside the one of the attempt."""
        slot = self.house.clinic.book(self.slot_id)
        self.key = {}
        return {slot.status_code, self.hold_time(self.offered(25)).status_code} == {201}


@pytest.mark.parametrize(
    ("made", "place"),
    [
        pytest.param(*cell, id=f"{cell[0].name}-{cell[1].point}-{cell[1].victim}", marks=cost_of(number, *cell))
        for number, cell in enumerate(CELLS)
    ],
)
def test_a_death_leaves_an_operation_done_or_not_done_and_nothing_between(
    house: House, made: Operation, place: Place
) -> None:
    # At least one worker to die and one to serve; the others may still be starting after the previous death.
    eventually(lambda: len(house.workers()) >= 2)
    attempt = Attempt(house, made)
    with ThreadPoolExecutor() as threads:
        if place.point in IN_THE_DATABASE:
            answer = _die_inside(house, attempt, place, threads)
        else:
            answer = _die_at(house, attempt, place, threads)
    _assert_never_a_false_yes(made, place, answer)
    if made is SWEEP:
        # The surviving workers sweep too, a tenth of a second later.
        eventually(lambda: attempt.ledger() == made.after)
    else:
        assert attempt.ledger() == (made.after if place.done else made.before)
    _assert_another_try_has_one_effect(attempt)
    assert attempt.nothing_is_left_behind(), "somebody's lock or seat is in the way"
    assert asyncio.run(_violations(house.url)) == []


def _die_at(house: House, attempt: Attempt, place: Place, threads: ThreadPoolExecutor) -> "Future[Any]":
    """Arm a crash point and wait until a worker has died there."""
    before = {worker.pid for worker in house.workers()}
    armed = house.folder / f"{attempt.made.operation}.{place.point}"
    armed.touch()
    answer = threads.submit(attempt.send)
    eventually(lambda: not armed.exists())
    eventually(lambda: len(before - {worker.pid for worker in house.workers()}) == 1)
    return answer


def _die_inside(house: House, attempt: Attempt, place: Place, threads: ThreadPoolExecutor) -> "Future[Any]":
    """Kill a worker whose backend waits inside a function, or that backend."""

    async def kill() -> "Future[Any]":
        connection = await asyncpg.connect(house.url)
        where = f"{attempt.made.operation}.{place.point}"
        await connection.execute("SELECT pg_advisory_lock(hashtext($1))", where)
        answer = threads.submit(attempt.send)
        backend, transaction = await _who_stands(connection)
        if place.victim == "backend":
            os.kill(backend, signal.SIGKILL)
            connection.terminate()
            await _until_restarted(house.url, backend)
        else:
            for worker in _workers_to_kill(house, attempt):
                worker.kill()
            await connection.close()
            await _until_committed(house.url, transaction)
        return answer

    return asyncio.run(kill())


async def _who_stands(connection: "asyncpg.Connection[asyncpg.Record]") -> tuple[int, str]:
    """The backend that waits for our advisory lock, and its transaction."""
    query = (
        "SELECT w.pid, t.transactionid::text AS id FROM pg_locks AS w JOIN pg_locks AS t ON w.pid = t.pid"
        " WHERE w.locktype = 'advisory' AND NOT w.granted AND t.locktype = 'transactionid' AND t.granted"
        " AND w.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (found := await connection.fetch(query)):  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.01)
    return found[0]["pid"], found[0]["id"]


def _workers_to_kill(house: House, attempt: Attempt) -> list[psutil.Process]:
    """The worker that has the request; all workers for a sweep, because it is unknown which one sweeps."""
    if attempt.made is SWEEP:
        return house.workers()
    port = int(house.server.url.rpartition(":")[2])
    busy = [worker for worker in house.workers() if _serves_somebody(worker, port)]
    assert len(busy) == 1
    return busy


def _serves_somebody(worker: psutil.Process, port: int) -> bool:
    return any(one.status == psutil.CONN_ESTABLISHED and one.laddr.port == port for one in worker.net_connections())


async def _until_committed(url: str, transaction: str) -> None:
    connection = await asyncpg.connect(url)
    status = "in progress"
    async with asyncio.timeout(PATIENCE_SECONDS):
        while status == "in progress":
            status = await connection.fetchval("SELECT pg_xact_status($1::text::xid8)", transaction)
    assert status == "committed"
    await connection.close()


async def _until_restarted(url: str, backend: int) -> None:
    """Wait: after the postmaster has seen the death, it refuses connections until it has recovered."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            await asyncio.sleep(0.02)
            try:
                if not psutil.pid_exists(backend):
                    await (await asyncpg.connect(url)).close()
                    return
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                continue


def _assert_never_a_false_yes(made: Operation, place: Place, answer: "Future[Any]") -> None:
    """The client of a dead worker sees its connection break; the client of a lost backend is told to try again."""
    if made is SWEEP:
        assert answer.result() is None
    elif place.victim == "worker":
        assert isinstance(answer.exception(), httpx.TransportError)
    else:
        told = answer.result()
        assert (told.status_code, told.json()["code"]) == (503, "outcome-unknown")
        assert told.headers["Retry-After"]


def _assert_another_try_has_one_effect(attempt: Attempt) -> None:
    """All further tries together have one effect and the same answer. Without a key a client must not try again."""
    if attempt.made in {HOLD, BOOK, HOLD_TIME, SWEEP}:
        return
    answers: list[httpx.Response] = []

    def answered() -> bool:
        told = attempt.send()
        assert told is not None
        answers.append(told)
        return told.is_success

    # Right after PostgreSQL has restarted, a worker may find that its connection is broken.
    eventually(answered)
    first, again = answers[-1], attempt.send()
    assert {told.status_code for told in answers[:-1]} <= {503}
    assert again is not None
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert attempt.ledger() == attempt.made.after


async def _violations(url: str) -> list[str]:
    database = await Database.connect(url, 1)
    found = await violations(database)
    await database.close()
    return found


# Of files, not of bookings: tests/cli/test_evening_lists.py.
ELSEWHERE = {("write_evening_list", "after_commit")}


def test_every_crash_point_of_the_source_has_its_cells() -> None:
    reached = {
        tuple(ast.literal_eval(argument) for argument in node.args)
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "reach"
    }
    cells = {(made.operation, place.point) for made, place in CELLS}
    assert reached >= ELSEWHERE
    assert reached - ELSEWHERE == {(operation, point) for operation, point in cells if point not in IN_THE_DATABASE}
    assert {operation for operation, _ in reached - ELSEWHERE} == set(FUNCTIONS)


def test_production_refuses_crash_points(tmp_path: Path) -> None:
    settings = {"APP_ENV": "production", "JWT_SECRET": "0123456789abcdefghijklmnopqrstuvwxyz"}
    assert load_settings(settings, tmp_path / "none").crash_points_dir is None
    with pytest.raises(InvalidSettings, match="CRASH_POINTS: is only for tests"):
        load_settings({**settings, "CRASH_POINTS": "somewhere"}, tmp_path / "none")
