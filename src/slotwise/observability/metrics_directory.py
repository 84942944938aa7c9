"""The directory in which the workers of one server put their counters, so that each can answer for all of them."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Not what releases before this one used: they do not lock theirs.
METRICS = "slotwise-counters-"


@contextmanager
def metrics_directory() -> Iterator[str]:
    """A directory for this server's metrics, locked while it lives; those of servers that were killed are removed."""
    for left in Path(tempfile.gettempdir()).glob(f"{METRICS}*"):
        with suppress(OSError):
            os.close(_lock_directory(left))
            shutil.rmtree(left, ignore_errors=True)
    directory, lock = _new_locked_directory()
    try:
        yield str(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def _new_locked_directory() -> tuple[Path, int]:
    """Another start may take it for one that was left, before it is locked: then there is another."""
    while True:
        directory = Path(tempfile.mkdtemp(prefix=METRICS))
        with suppress(BlockingIOError, FileNotFoundError):
            lock = _lock_directory(directory)
            if directory.exists():
                return directory, lock
            os.close(lock)


def _lock_directory(directory: Path) -> int:
    """Hold it until the returned descriptor is closed. Raises `OSError` when it is gone or another process has it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
