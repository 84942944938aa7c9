"""The listening socket of a server, and its limit of open connections."""

import errno
import os
import resource
import socket
import time
from collections.abc import Callable

from slotwise.observability.waiting import Waiting

# A worker whose supervisor was killed releases the port within about a second.
PORT_SECONDS = 3.0
# A worker that hangs releases it after eight seconds; one that is still importing, after its imports.
KILLED_SECONDS = 120.0
# The kernel's maximum. Connections beyond it are dropped, and the clients retry after a second or later.
BACKLOG = 65_535
MAX_FILES = 65_536
IN_USE = "Stop what uses the port, or choose another: PORT=3001"


class ListenFailed(Exception):
    """The message says what to do."""


def listen(host: str, port: int, report: Callable[[str], None], *, after_kill: bool = False) -> socket.socket:
    """A listening socket. If the port is in use, retries for a while, longer if the last server was killed.

    Raises `ListenFailed`.
    """
    where = f"{host}:{port}"
    waiting = Waiting(report)
    while True:
        try:
            return _listening(host, port)
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            if not in_use or waiting.seconds > (KILLED_SECONDS if after_kill else PORT_SECONDS):
                reason = os.strerror(error.errno or 0).lower()
                advice = IN_USE if in_use else "Choose another HOST or PORT"
                raise ListenFailed(f"cannot listen on {where}: {reason}. {advice}") from error
        if after_kill:
            waiting.say(f"Waiting for the workers of a killed server to free {where}")
        time.sleep(0.1)


def _listening(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        # Listen before there are workers: a second server must fail here instead of sharing the port.
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def allow_many_connections() -> None:
    """Raise the limit of open files. Workers inherit it.

    The usual limit of 1,024 is lower than the number of clients that may watch seats at one worker. It exists for
    programs that use select(); others may raise it up to the hard limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
