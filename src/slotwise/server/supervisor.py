"""The supervisor: starts the workers, replaces workers that end or hang, and ends them all."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import connection
from socket import socket

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from slotwise.observability.waiting import Report, Waiting
from slotwise.server.worker import DRAIN, Worker

# A worker's thread normally answers within milliseconds, on a busy machine within seconds.
HUNG_SECONDS = 60.0
# Even on a slow machine, a worker that does not serve by then is replaced.
START_SECONDS = 600.0
# Time from the order to end until SIGKILL. A worker gives its requests GRACE_SECONDS of this time.
STOP_SECONDS = 7.5
GRACE_SECONDS = 5
LOOK_SECONDS = 0.1
SAY_SECONDS = 5.0
# After a worker ended without having served, its place stays empty for this time, doubled each time, up to 32 s.
FIRST_PAUSE_SECONDS = 0.5
MOST_DOUBLINGS = 6
# The most that one look adds to a worker's silence: while the supervisor itself was stopped, it could hear no worker.
LONGEST_LOOK_SECONDS = 1.0
KILL_SECONDS = 1.0

log = structlog.get_logger()


class WorkersFailed(Exception):
    """A worker ended before any worker had served. Its own messages are above in the log."""


class Place:
    """One of the `WORKERS` places, with its worker, and the pause before the next worker starts."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.failures = 0
        self.empty_until = 0.0

    def pause(self) -> None:
        """Leave the place empty for a while, longer each time."""
        seconds = FIRST_PAUSE_SECONDS * 2 ** min(self.failures, MOST_DOUBLINGS)
        self.failures += 1
        self.empty_until = time.monotonic() + seconds


class Supervisor(Multiprocess):
    """Keeps `config.workers` workers running. SIGTERM drains for `drain_seconds`; SIGINT and SIGHUP end at once."""

    def __init__(
        self,
        config: uvicorn.Config,
        listener: socket,
        drain_seconds: float,
        on_serving: Callable[[], None],
        report: Report,
    ) -> None:
        super().__init__(config, [listener])
        self._drain_seconds = drain_seconds
        self._on_serving = on_serving
        self._report = report
        self._places: list[Place] = []
        self._ends_at: float | None = None
        self._has_served = False
        self._failed = False

    def run(self) -> None:
        """Serve until a signal. Raises `WorkersFailed` if the first workers cannot start."""
        try:
            for _ in range(self.processes_num):
                self._places.append(Place(self._started()))
            self._watch()
        finally:
            self._end_all()
        if self._failed:
            raise WorkersFailed("a worker process could not start; the lines above say why")

    def _watch(self) -> None:
        looked = time.monotonic()
        waiting = Waiting(self._report, first=SAY_SECONDS)
        while not self._is_over():
            self._wait()
            now = time.monotonic()
            self._look(min(now - looked, LONGEST_LOOK_SECONDS))
            looked = now
            # After the look: it notes that a worker serves, which a worker reports before its first answer. From then
            # on SIGTERM drains.
            self.handle_signals()
            if not self._has_served:
                waiting.say("Waiting for a worker to start")

    def _wait(self) -> None:
        """Wait for the next look. The first worker that serves ends the wait: the greeting precedes its answers."""
        if self._has_served:
            self.should_exit.wait(LOOK_SECONDS)
        else:
            pipes = [place.worker.parent_conn for place in self._places if not place.empty_until]
            connection.wait([pipe for pipe in pipes if not pipe.closed], LOOK_SECONDS)

    def _is_over(self) -> bool:
        return self.should_exit.is_set() or (self._ends_at is not None and time.monotonic() >= self._ends_at)

    def _started(self) -> Worker:
        worker = Worker(self.config, self.sockets)
        worker.start()
        return worker

    def _look(self, elapsed: float) -> None:
        for place in self._places:
            if place.worker.exitcode is None:
                place.worker.look(elapsed)
        if not self._has_served and any(place.worker.serving for place in self._places):
            self._has_served = True
            with suppress(OSError):  # the terminal may be gone; the server goes on
                self._on_serving()
        if self._ends_at is None and not self.should_exit.is_set():
            for place in self._places:
                self._fill(place)

    def _fill(self, place: Place) -> None:
        """Put another worker in the place of one that has ended or hangs."""
        if place.empty_until:
            if time.monotonic() >= place.empty_until:
                self._start_in(place)
        elif (reason := self._end_of(place.worker)) is not None:
            self._empty(place, reason)

    def _start_in(self, place: Place) -> None:
        try:
            place.worker, place.empty_until = self._started(), 0.0
        except OSError as error:  # the system has no process or memory left
            place.pause()
            log.warning("worker_not_started", reason=os.strerror(error.errno or 0))

    def _end_of(self, worker: Worker) -> str | None:
        """Why the worker must be replaced; None if it is well. Kills a worker that hangs."""
        if worker.exitcode is not None:
            return _exit_reason(worker.exitcode)
        reason = _hang_of(worker)
        if reason is not None:
            worker.kill()
            worker.process.join(KILL_SECONDS)
        return reason

    def _empty(self, place: Place, reason: str) -> None:
        ended = place.worker
        if not self._has_served and ended.exitcode is not None and ended.exitcode > 0:
            # The application itself failed at the very start, so it would fail every time.
            self._failed = True
            self.should_exit.set()
            log.error("worker_failed", pid=ended.pid, reason=reason)
            return
        if ended.has_served:
            place.failures, place.empty_until = 0, time.monotonic()
        else:
            place.pause()
        log.warning("worker_replaced", pid=ended.pid, reason=reason)

    def handle_term(self) -> None:
        """Drain: readiness says 503 first, so that load balancers send nothing new. A second SIGTERM ends at once."""
        if self._ends_at is not None or not self._has_served or not self._drain_seconds:
            self.should_exit.set()
            return
        self._ends_at = time.monotonic() + self._drain_seconds
        log.info("draining", seconds=self._drain_seconds)
        for place in self._places:
            place.worker.send_word(DRAIN)

    def handle_int(self) -> None:
        self.should_exit.set()

    def handle_ttin(self) -> None:
        """Ignore it. uvicorn would add a worker, but a terminal sends this signal to a background job."""

    def handle_ttou(self) -> None:
        """Ignore it, for the same reason: uvicorn would remove a worker."""

    def handle_hup(self) -> None:
        """End: the terminal was closed. New settings, which SIGHUP often means, need a new start here."""
        self.should_exit.set()

    def _end_all(self) -> None:
        """End all workers and kill those that hang. A stop takes at most ten seconds, including the draining."""
        workers = [place.worker for place in self._places if place.worker.exitcode is None]
        for worker in workers:
            worker.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for worker in workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.exitcode is None:
                log.error("worker_killed", pid=worker.pid, reason=f"did not end in {STOP_SECONDS:g} s")
                worker.process.kill()
                worker.process.join()


def _exit_reason(exitcode: int) -> str:
    if exitcode < 0:
        return f"killed by {signal.Signals(-exitcode).name}"
    if exitcode == STARTUP_FAILURE:
        return "could not start"
    return f"ended with status {exitcode}"


def _hang_of(worker: Worker) -> str | None:
    """Why the worker counts as hung, or None. A busy worker does not: a separate thread of it answers, and its event
    loop needs to turn only once a minute.
    """
    if not worker.has_served and worker.age_seconds > START_SECONDS:
        return f"not serving after {START_SECONDS:g} s"
    if worker.pulse is not None and worker.silent_seconds > HUNG_SECONDS:
        return f"silent for {HUNG_SECONDS:g} s"
    if worker.still_seconds > HUNG_SECONDS:
        return f"its event loop stood still for {HUNG_SECONDS:g} s"
    return None
