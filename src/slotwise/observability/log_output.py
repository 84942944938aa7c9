"""The log's way out: whole lines to standard error, without ever waiting for its reader.

Several processes share standard error, and its reader may be slow or gone. Lines leave in pieces of at most `PIPE_BUF`
bytes, which a pipe takes whole or not at all (POSIX, write()), so lines of two processes do not mix.
"""

import asyncio
import os
import select
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import RLock
from time import monotonic

from slotwise.observability.metrics import LOG_LINES_LOST

# What waits for a slow reader; later lines are lost and counted.
MOST_WAITING_BYTES = 1 << 20
# At the end of the process, for a reader that is slow.
PATIENCE_SECONDS = 1.0


def forget_reader(fd: int = 2) -> None:
    """Redirect standard error to /dev/null after its reader has gone, as in `slotwise serve 2>&1 | head`."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, fd)
    os.close(nowhere)


class LogOutput:
    """Lines leave in the order in which they were written, with `write` at once, with `write_soon` a little later."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._write, self._watched = _writer(fd)
        self._lines: list[bytes] = []
        self._bytes = 0
        self._begun = False  # whether a part of the first line has left
        self._torn = False  # whether the rest of such a line was lost
        self._soon = False
        self._watching: asyncio.AbstractEventLoop | None = None
        # The loop's thread and others write. A signal that ends the process may come in between: then the last line may
        # be written twice.
        self._lock = RLock()

    def write(self, text: str) -> None:
        """Write complete lines, after those that wait."""
        self._add(text.encode(errors="backslashreplace"))
        self.flush()

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def write_soon(self, line: bytes) -> None:
        """For the event loop's thread: write with all other lines of this turn of the loop."""
        self._add(line)
        if not self._soon:
            self._soon = True
            asyncio.get_running_loop().call_soon(self._write_turn)

    def flush(self) -> None:
        """Write what the reader takes. The rest waits for it."""
        with self._lock:
            try:
                self._write_waiting()
            except BlockingIOError:
                if self._watched is None:
                    self._lose_all()
                else:
                    self._watch(self._watched)
            except BrokenPipeError:
                forget_reader(self._fd)
                self._write = len
                self._lose_all()
            except OSError:
                self._lose_all()

    def close(self) -> None:
        """Write all lines, if the reader takes them in time. Later lines are still written."""
        until = monotonic() + PATIENCE_SECONDS
        self._unwatch()
        self.flush()
        while self._lines and monotonic() < until:
            if self._watched is not None:
                _wait_for_room(self._watched, until - monotonic())
            self.flush()

    def _add(self, line: bytes) -> None:
        with self._lock:
            if self._bytes + len(line) > MOST_WAITING_BYTES:
                LOG_LINES_LOST.inc()
                return
            self._lines.append(line)
            self._bytes += len(line)

    def _write_turn(self) -> None:
        self._soon = False
        if self._watching is None:
            self.flush()

    def _write_waiting(self) -> None:
        if self._torn and self._lines:
            self._lines[0], self._bytes = b"\n" + self._lines[0], self._bytes + 1
        for count, piece in _pieces(self._lines):
            written = self._write(piece)
            self._torn = False
            self._begun = written < len(piece)
            self._lines[:count] = [piece[written:]] if self._begun else []
            self._bytes -= written
            if self._begun:
                raise BlockingIOError

    def _watch(self, fd: int) -> None:
        """Go on when the reader has taken something. Without a loop, that is at the next line."""
        if self._watching is None:
            with suppress(RuntimeError):
                loop = asyncio.get_running_loop()
                loop.add_writer(fd, self._write_watched)
                self._watching = loop

    def _write_watched(self) -> None:
        self._unwatch()
        self.flush()

    def _unwatch(self) -> None:
        if self._watching is not None and self._watched is not None and not self._watching.is_closed():
            self._watching.remove_writer(self._watched)
        self._watching = None

    def _lose_all(self) -> None:
        LOG_LINES_LOST.inc(len(self._lines))
        self._lines.clear()
        self._bytes = 0
        self._torn, self._begun = self._torn or self._begun, False


def _pieces(lines: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines in pieces, each with its number of lines: as many whole ones as a pipe takes in one go."""
    while lines:
        size, count = 0, 0
        for line in lines:
            if count and size + len(line) > select.PIPE_BUF:
                break
            size, count = size + len(line), count + 1
        yield count, lines[0] if count == 1 else b"".join(lines[:count])


def _writer(fd: int) -> tuple[Callable[[bytes], int], int | None]:
    """A function that writes without waiting and says how many bytes were taken, and the descriptor to wait for.

    There is nothing to wait for where a file takes only a part: its disk is full.

    A pipe is opened anew: to make the shared one non-blocking would change it for its other writers, too.
    """
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):
        connection = socket.socket(fileno=os.dup(fd))
        return lambda piece: connection.send(piece, socket.MSG_DONTWAIT), fd
    if stat.S_ISREG(mode):
        return lambda piece: os.write(fd, piece), None
    try:
        own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:  # another user's pipe, or a system without /proc
        return lambda piece: _write_if_ready(fd, piece), fd
    return lambda piece: os.write(own, piece), own


def _write_if_ready(fd: int, piece: bytes) -> int:
    """For a descriptor that blocks. Another writer may come in between: then this waits until the reader reads."""
    if not _wait_for_room(fd, 0):
        raise BlockingIOError
    return os.write(fd, piece)


def _wait_for_room(fd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))
