"""One worker process: both ends of the pipe between the worker and its supervisor."""

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing import connection, parent_process, resource_tracker
from socket import socket
from typing import Any, NamedTuple

import uvicorn
from uvicorn.supervisors.multiprocess import Process

PING = b"ping"
DRAIN = b"drain"
# Pause between a worker's last answer and the next question.
PING_SECONDS = 1.0
# The key in the lifespan's state (ASGI lifespan specification 2.0) that shows requests that the server is ending.
DRAINING = "draining"
FROM_THE_TERMINAL = {signal.SIGINT, signal.SIGHUP}
# If a worker does not end by itself within this time after its supervisor's death, it is forced to exit.
ORPHAN_SECONDS = 8.0


def is_draining(scope: Mapping[str, Any]) -> bool:
    """Whether the server that received this request is draining."""
    state: Mapping[str, Any] = scope.get("state") or {}
    return DRAINING in state


class Pulse(NamedTuple):
    """A worker's answer. `turned_at` is when its event loop last turned, by `time.monotonic`."""

    serving: bool
    turned_at: float


class WatchedServer(uvicorn.Server):
    """A server that knows when its event loop last turned, and reports at once when it serves."""

    def __init__(self, config: uvicorn.Config, on_serving: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_serving = on_serving
        self._turned_at = 0.0
        self._draining = False

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._show_draining()
            self._on_serving()

    async def on_tick(self, counter: int) -> bool:
        self._turned_at = time.monotonic()
        return await super().on_tick(counter)

    def pulse(self) -> Pulse:
        return Pulse(self.started and not self.should_exit, self._turned_at)

    def drain(self) -> None:
        """Let readiness say that this server is draining. It still accepts requests."""
        self._draining = True
        if self.started:
            self._show_draining()

    def _show_draining(self) -> None:
        if self._draining:
            self.lifespan.state[DRAINING] = True


class Worker(Process):
    """A worker process. In it, a separate thread answers the supervisor, even if the event loop is busy."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket]) -> None:
        super().__init__(config, sockets)
        self.pulse: Pulse | None = None
        self.has_served = False
        self.age_seconds = 0.0
        self.silent_seconds = 0.0
        # Since its event loop last turned; 0 until it has served.
        self.still_seconds = 0.0
        self._asked = False

    def look(self, elapsed: float) -> None:
        """Read the worker's answers and ask again. `elapsed` is the time since the last look, in seconds."""
        self.age_seconds += elapsed
        self.silent_seconds += elapsed
        self.still_seconds += elapsed if self.has_served else 0.0
        try:
            while self.parent_conn.poll():
                self._hear(self.parent_conn.recv())
            if not self._asked and self.silent_seconds >= PING_SECONDS:
                self.send_word(PING)
                self._asked = True
        except (OSError, EOFError):
            return  # it is ending; its exit code will show that

    def _hear(self, pulse: Pulse) -> None:
        if self.pulse is None or pulse.turned_at != self.pulse.turned_at:
            self.still_seconds = 0.0
        self.pulse, self.silent_seconds, self._asked = pulse, 0.0, False
        self.has_served |= pulse.serving

    @property
    def serving(self) -> bool:
        return self.pulse is not None and self.pulse.serving

    def send_word(self, word: bytes) -> None:
        """Send one of this module's words. Does nothing if the worker has ended."""
        try:
            self.parent_conn.send(word)
        except OSError:
            return

    def start(self) -> None:
        """Start with the terminal's signals blocked: only the supervisor gets them and ends its workers in order."""
        resource_tracker.ensure_running()  # now: started later, it would unblock SIGINT before the worker starts
        signal.pthread_sigmask(signal.SIG_BLOCK, FROM_THE_TERMINAL)
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, FROM_THE_TERMINAL)

    def target(self, sockets: list[socket] | None = None) -> None:
        """Runs in the worker. Makes the server before the answering thread starts, so that both use the same one."""
        gc.disable()  # imports make only what stays; the application enables it again once it has started
        self._sending = threading.Lock()
        self._server = WatchedServer(self.config, self._send_pulse)
        super().target(sockets)

    @property
    def server(self) -> WatchedServer:
        assert isinstance(self._server, WatchedServer)
        return self._server

    def always_pong(self) -> None:
        """Runs in the worker, in a separate thread: answer until the supervisor dies, then end this process."""
        supervisor = parent_process()
        assert supervisor is not None
        while supervisor.sentinel not in connection.wait([self.child_conn, supervisor.sentinel]):
            self.pong()
        last_resort = threading.Timer(ORPHAN_SECONDS, os._exit, [1])
        last_resort.daemon = True
        last_resort.start()
        os.kill(os.getpid(), signal.SIGTERM)

    def pong(self) -> None:
        if self.child_conn.recv() == DRAIN:
            self.server.drain()
        else:
            self._send_pulse()

    def _send_pulse(self) -> None:
        with self._sending:
            self.child_conn.send(self.server.pulse())
