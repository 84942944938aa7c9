"""One worker process, as seen from both sides of the pipe between it and its supervisor."""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing import connection, parent_process
from socket import socket
from typing import Any, NamedTuple

import uvicorn
from uvicorn.supervisors.multiprocess import Process

PING = b"ping"
DRAIN = b"drain"
# Between what a worker said last and the next question.
PING_SECONDS = 1.0
# The key of the lifespan's state (ASGI lifespan specification 2.0) that requests see once the server is to end.
DRAINING = "draining"
FROM_THE_TERMINAL = {signal.SIGINT, signal.SIGHUP}
# After its supervisor has died, a worker that does not end by itself by then is ended for good.
ORPHAN_SECONDS = 8.0


def is_draining(scope: Mapping[str, Any]) -> bool:
    """Whether the server that received this request is about to end."""
    state: Mapping[str, Any] = scope.get("state") or {}
    return DRAINING in state


class Pulse(NamedTuple):
    """What a worker says of itself. `still_seconds`: since its event loop last turned; 0 while it is not serving."""

    serving: bool
    still_seconds: float


class WatchedServer(uvicorn.Server):
    """Knows when its event loop last turned, and tells at once when it serves."""

    turned_at = 0.0

    def __init__(self, config: uvicorn.Config, on_serving: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_serving = on_serving

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_serving()

    async def on_tick(self, counter: int) -> bool:
        self.turned_at = time.monotonic()
        return await super().on_tick(counter)

    def pulse(self) -> Pulse:
        serving = self.started and not self.should_exit
        return Pulse(serving, time.monotonic() - self.turned_at if serving and self.turned_at else 0.0)

    def drain(self) -> None:
        """Let readiness say that this server is about to end, while it still takes requests."""
        if self.started:
            self.lifespan.state[DRAINING] = True


class Worker(Process):
    """A worker process. In the process itself a thread answers the supervisor, however busy the event loop is."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket]) -> None:
        super().__init__(config, sockets)
        self.pulse: Pulse | None = None
        self.has_served = False
        self.silent_seconds = 0.0
        self.age_seconds = 0.0
        self._asked = False

    def look(self, elapsed: float) -> None:
        """Take in what the worker said, and ask again. `elapsed` are the seconds since the last look."""
        self.age_seconds += elapsed
        self.silent_seconds += elapsed
        try:
            while self.parent_conn.poll():
                self.pulse, self.silent_seconds, self._asked = self.parent_conn.recv(), 0.0, False
            if not self._asked and self.silent_seconds >= PING_SECONDS:
                self.tell(PING)
                self._asked = True
        except (OSError, EOFError):
            return  # it is ending, which its exit code will say
        self.has_served |= self.serving

    @property
    def serving(self) -> bool:
        return self.pulse is not None and self.pulse.serving

    def tell(self, word: bytes) -> None:
        """Send one of the words of this module; a worker that has ended hears nothing."""
        try:
            self.parent_conn.send(word)
        except OSError:
            return

    def start(self) -> None:
        """The terminal's Ctrl-C and its end reach the supervisor alone, which ends its workers in order."""
        signal.pthread_sigmask(signal.SIG_BLOCK, FROM_THE_TERMINAL)
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, FROM_THE_TERMINAL)

    def target(self, sockets: list[socket] | None = None) -> None:
        """In the worker. The server is made first: the thread that answers and this one must see the same."""
        self._sending = threading.Lock()
        self._server = WatchedServer(self.config, self._tell_pulse)
        super().target(sockets)

    @property
    def server(self) -> WatchedServer:
        assert isinstance(self._server, WatchedServer)
        return self._server

    def always_pong(self) -> None:
        """In the worker, on a thread of its own: answer until the supervisor dies, then see that this process ends."""
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
            self._tell_pulse()

    def _tell_pulse(self) -> None:
        with self._sending:
            self.child_conn.send(self.server.pulse())
