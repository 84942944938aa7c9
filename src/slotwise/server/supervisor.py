"""The process that starts the workers, replaces those that end or hang, and ends them all."""

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

# A worker's own thread answers within milliseconds, on a busy machine within seconds.
HUNG_SECONDS = 60.0
# However slow the machine, a worker that does not serve by then is replaced.
START_SECONDS = 600.0
# Between an order to end and SIGKILL; a worker gives its requests GRACE_SECONDS of them.
STOP_SECONDS = 7.5
GRACE_SECONDS = 5
LOOK_SECONDS = 0.1
SAY_SECONDS = 5.0
# The pause before a place is filled again whose last worker ended without having served: doubled each time, up to 32 s.
FIRST_PAUSE_SECONDS = 0.5
MOST_DOUBLINGS = 6
# At most this is added to a worker's silence with each look: a supervisor that was stopped itself heard no worker.
LONGEST_LOOK_SECONDS = 1.0
KILL_SECONDS = 1.0

log = structlog.get_logger()


class WorkersFailed(Exception):
    """A worker ended before any had served a request; what it said is above in the log."""


class Place:
    """One of the `WORKERS` places, with the worker that has it, and the pause before the next."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.failures = 0
        self.empty_until = 0.0

    def pause(self) -> None:
        """Stay empty for a while, longer each time."""
        seconds = FIRST_PAUSE_SECONDS * 2 ** min(self.failures, MOST_DOUBLINGS)
        self.failures += 1
        self.empty_until = time.monotonic() + seconds


class Supervisor(Multiprocess):
    """Keeps as many workers as `config` says. SIGTERM drains for `drain_seconds`; SIGINT and SIGHUP end at once."""

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
        """Serve until told to end. Raises `WorkersFailed` when the first workers cannot start."""
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
            # After the look: a worker says that it serves before its first answer, and one that serves is drained.
            self.handle_signals()
            if not self._has_served:
                waiting.say("Waiting for a worker to start")

    def _wait(self) -> None:
        """Until the next look. The first worker that serves is heard at once: the greeting precedes its answers."""
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
            with suppress(OSError):  # a terminal that is gone; those who want to book are not
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
        except OSError as error:  # no process or memory to be had now
            place.pause()
            log.warning("worker_not_started", reason=os.strerror(error.errno or 0))

    def _end_of(self, worker: Worker) -> str | None:
        """Why the worker must be replaced; None while it is well. One that hangs is killed."""
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
            # The application itself failed, before any request was answered: it would do so each time.
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
        """Readiness says 503 first, so that balancers send nothing new. A second SIGTERM ends at once."""
        if self._ends_at is not None or not self._has_served or not self._drain_seconds:
            self.should_exit.set()
            return
        self._ends_at = time.monotonic() + self._drain_seconds
        log.info("draining", seconds=self._drain_seconds)
        for place in self._places:
            place.worker.tell(DRAIN)

    def handle_int(self) -> None:
        self.should_exit.set()

    def handle_ttin(self) -> None:
        """Not a wish for one more worker, as uvicorn has it: a terminal sends it to a job in the background."""

    def handle_ttou(self) -> None:
        """Likewise, not for one less."""

    def handle_hup(self) -> None:
        """The terminal was closed. The usual meaning, new settings, needs a new start here."""
        self.should_exit.set()

    def _end_all(self) -> None:
        """Those that hang are killed, so that a stop takes ten seconds at most, the draining included."""
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
    """Busy is not hung: a thread of the worker's own answers, and its event loop need only turn once a minute."""
    if not worker.has_served and worker.age_seconds > START_SECONDS:
        return f"not serving after {START_SECONDS:g} s"
    if worker.pulse is not None and worker.silent_seconds > HUNG_SECONDS:
        return f"silent for {HUNG_SECONDS:g} s"
    if worker.still_seconds > HUNG_SECONDS:
        return f"its event loop stood still for {HUNG_SECONDS:g} s"
    return None
