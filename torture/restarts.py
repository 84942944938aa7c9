"""Starts, stops and kills `slotwise serve` with its own embedded database, in an order that the seed decides.

In the rest of this package the database belongs to the harness; here the server itself starts, stops and recovers it.
After each kill it must serve again in time; after each stop it must leave no process; and no acknowledged booking may
be lost.
"""

import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import httpx
import psutil
from harness.watchdog import watch
from msgspec import Struct

from slotwise.db.postmaster import find_postmaster
from slotwise.server.worker import ORPHAN_SECONDS
from torture.bed import ADMIN_EMAIL, ADMIN_PASSWORD, SLOTWISE, free_port

# On a machine with a free core; see `patience`.
RETURN_SECONDS = 15.0
STOP_SECONDS = 15.0
GREETING = b"Slotwise    http"
SEATS = 100_000
BOOKINGS_A_STEP = 5


class Restarted(Struct):
    """The result of `walk`. `slowest_return` and `slowest_stop` are in seconds."""

    seed: int
    steps: list[str]
    acknowledged: int = 0
    slowest_return: float = 0.0
    slowest_stop: float = 0.0
    violations: list[str] = []


def patience(seconds: float) -> float:
    """`seconds` on a quiet machine; on a busy one, multiplied by the number of programs that want each core."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


class Installation:
    """A `slotwise serve` with its own data directory. Only processes that it started are signalled."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self.cluster = self.data_dir / "postgres"
        self.log = folder / "server.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{free_port()}", timeout=10, verify=False)
        self._slot_id = 0
        self._started_at = 0
        self.acknowledged: list[int] = []

    def start(self) -> None:
        """Start the server without waiting for it."""
        environment = {
            "PATH": os.environ["PATH"],
            "PORT": str(self._http.base_url.port),
            "WORKERS": "2",
            "SEED_DEMO": "off",
            "LOG_LEVEL": "warning",
            "DRAIN_SECONDS": "0",
            "SLOTWISE_DATA_DIR": str(self.data_dir),
            "ADMIN_EMAIL": ADMIN_EMAIL,
            "ADMIN_PASSWORD": ADMIN_PASSWORD,
        }
        if binaries := os.environ.get("SLOTWISE_TEST_POSTGRES_BIN"):
            environment["SLOTWISE_POSTGRES_BIN"] = binaries
        with self.log.open("ab") as log:
            self._started_at = log.tell()
            self.process = subprocess.Popen(
                [SLOTWISE, "serve"], env=environment, cwd=self.log.parent,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        watch(self.process.pid)

    def serves(self) -> bool:
        """Try a booking. Returns whether the server that was started last acknowledges it."""
        if GREETING not in self.log.read_bytes()[self._started_at :]:
            return False  # workers of a killed server may still answer
        with suppress(httpx.HTTPError):
            if not self._slot_id:
                self._slot_id = self._make_slot()
            body = {"slotId": self._slot_id, "userName": "Ada", "userEmail": "ada@example.org", "confirm": True}
            answer = self._http.post("/api/bookings", json=body)
            if answer.status_code == httpx.codes.CREATED:
                self.acknowledged.append(answer.json()["id"])
                return True
        return False

    def lost(self) -> list[int]:
        """Acknowledged bookings that the server has lost."""
        headers = self._log_in()
        return [
            booking
            for booking in self.acknowledged
            if self._ask("GET", f"/api/bookings/{booking}", headers=headers).json().get("status") != "CONFIRMED"
        ]

    def _log_in(self) -> dict[str, str]:
        account = {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD}
        answer = self._ask("POST", "/api/auth/login", json=account).raise_for_status()
        return {"Authorization": f"Bearer {answer.json()['accessToken']}"}

    def _ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        """The answer to a request, sent again as long as the server cannot serve it: it may have just come back."""
        deadline = time.monotonic() + patience(RETURN_SECONDS)
        while True:
            answer = self._http.request(method, path, **given)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                return answer
            time.sleep(0.1)

    def _make_slot(self) -> int:
        headers = self._log_in()
        doctor = self._http.post("/api/doctors", json={"name": "Dr. Who"}, headers=headers).json()["id"]
        slot = {"doctorId": doctor, "startTime": "2090-01-01T09:00:00Z", "totalSeats": SEATS}
        return int(self._http.post("/api/slots", json=slot, headers=headers).json()["id"])

    @property
    def postmaster(self) -> psutil.Process | None:
        found = find_postmaster(self.cluster)
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(found.pid) if found else None
        return None

    def sessions(self) -> list[psutil.Process]:
        """The database's processes that serve a client."""
        postmaster = self.postmaster
        with suppress(psutil.NoSuchProcess):
            children = postmaster.children() if postmaster else []
            return [child for child in children if "[local]" in " ".join(child.cmdline())]
        return []

    def workers(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            assert self.process is not None
            children = psutil.Process(self.process.pid).children()
            return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        return []

    def left_behind(self) -> list[str]:
        """Processes that a stopped server left. Waits first: workers of a killed server may still stop the database."""
        deadline = time.monotonic() + patience(ORPHAN_SECONDS)
        while (postmaster := self.postmaster) and time.monotonic() < deadline:
            time.sleep(0.05)
        return [f"a postmaster ({postmaster.pid})"] if postmaster else []

    def end(self) -> None:
        """Stop the server, whatever its state."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
        self._http.close()


class Blow(NamedTuple):
    """Something that is done to an installation. `deliver` gets one that serves; if `ends`, the server must stop."""

    name: str
    deliver: Callable[[Installation, random.Random], None]
    ends: bool = False


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _kill_one_session(installation: Installation, chance: random.Random) -> None:
    sessions = installation.sessions()
    if sessions:
        _kill([chance.choice(sessions)])


def _kill_postmaster(installation: Installation, _: random.Random) -> None:
    _kill([process for process in [installation.postmaster] if process])


def _kill_worker(installation: Installation, chance: random.Random) -> None:
    workers = installation.workers()
    if workers:
        _kill([chance.choice(workers)])


def _kill_supervisor(installation: Installation, _: random.Random) -> None:
    """Kill it and start another at once, as a service manager does, while workers and database still run."""
    assert installation.process is not None
    installation.process.kill()
    installation.process.wait()
    installation.start()


def _kill_everything(installation: Installation, _: random.Random) -> None:
    """Like a power failure."""
    assert installation.process is not None
    postmaster = installation.postmaster
    children = postmaster.children() if postmaster else []
    _kill([psutil.Process(installation.process.pid), *installation.workers(), *filter(None, [postmaster]), *children])
    installation.process.wait()
    installation.start()


def _stop(installation: Installation, _: random.Random) -> None:
    assert installation.process is not None
    installation.process.terminate()


def _stop_in_recovery(installation: Installation, chance: random.Random) -> None:
    """Stop during recovery: in PostgreSQL 18 a fast shutdown then hangs for ever."""
    _kill_one_session(installation, chance)
    time.sleep(chance.uniform(0, 0.2))
    _stop(installation, chance)


def _stop_while_starting(installation: Installation, chance: random.Random) -> None:
    _kill_everything(installation, chance)
    time.sleep(chance.uniform(0, 3))
    _stop(installation, chance)


def _kill_while_stopping(installation: Installation, chance: random.Random) -> None:
    """Leaves a database that is stopping, or hangs while it stops."""
    _stop_in_recovery(installation, chance)
    time.sleep(chance.uniform(0, 0.5))
    _kill_supervisor(installation, chance)


BLOWS = (
    Blow("kill-session", _kill_one_session),
    Blow("kill-postmaster", _kill_postmaster),
    Blow("kill-worker", _kill_worker),
    Blow("kill-supervisor", _kill_supervisor),
    Blow("kill-everything", _kill_everything),
    Blow("stop", _stop, ends=True),
    Blow("stop-in-recovery", _stop_in_recovery, ends=True),
    Blow("stop-while-starting", _stop_while_starting, ends=True),
    Blow("kill-while-stopping", _kill_while_stopping),
)


def walk(
    seed: int, steps: int, folder: Path, report: Callable[[str], None], given_up: Event | None = None
) -> Restarted:
    """Deliver `steps` blows: each kind once before any comes twice. The same seed gives the same order.

    Stops when `given_up` is set.
    """
    folder.mkdir(exist_ok=True)
    chance = random.Random(seed)
    installation = Installation(folder)
    found = Restarted(seed, [])
    try:
        installation.start()
        _await_service(installation, found, "the first start")
        for blow in _drawn(chance, steps):
            if given_up is not None and given_up.is_set():
                break
            found.steps.append(blow.name)
            report(blow.name)
            blow.deliver(installation, chance)
            if blow.ends:
                _await_end(installation, found, blow.name)
                installation.start()
            _await_service(installation, found, blow.name)
            for _ in range(BOOKINGS_A_STEP):
                installation.serves()
        found.violations += [f"S3: booking {booking} is lost" for booking in installation.lost()]
    finally:
        installation.end()
    found.acknowledged = len(installation.acknowledged)
    found.violations += [f"left behind: {what}" for what in installation.left_behind()]
    return found


def _drawn(chance: random.Random, steps: int) -> Iterator[Blow]:
    while steps > 0:
        round_ = chance.sample(BLOWS, min(steps, len(BLOWS)))
        yield from round_
        steps -= len(round_)


def _await_service(installation: Installation, found: Restarted, after: str) -> None:
    """L2 for a server with its own database. If the server has ended, start it again; its log says why."""
    began = time.monotonic()
    while not installation.serves():
        waited = time.monotonic() - began
        if installation.process is not None and installation.process.poll() is not None:
            found.violations.append(f"after {after} the server ended with status {installation.process.returncode}")
            installation.start()
        if waited > 10 * RETURN_SECONDS + patience(RETURN_SECONDS):
            raise TimeoutError(f"after {after} the server does not come back; its log: {installation.log}")
        time.sleep(0.05)
    waited = time.monotonic() - began
    found.slowest_return = max(found.slowest_return, waited)
    if waited > patience(RETURN_SECONDS):
        found.violations.append(f"L2: after {after} the first booking took {waited:.1f} s")


def _await_end(installation: Installation, found: Restarted, after: str) -> None:
    assert installation.process is not None
    began = time.monotonic()
    with suppress(subprocess.TimeoutExpired):
        installation.process.wait(10 * STOP_SECONDS + patience(STOP_SECONDS))
    waited = time.monotonic() - began
    found.slowest_stop = max(found.slowest_stop, waited)
    if waited > patience(STOP_SECONDS):
        found.violations.append(f"{after}: the server took {waited:.1f} s to end")
    if left := installation.left_behind():
        found.violations.append(f"{after}: the server left {' and '.join(left)}")
