"""The directory to which all workers of a server write their metrics, so that each worker can report all of them."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Another prefix than earlier releases used: they did not lock their directories.
METRICS = "slotwise-counters-"


@contextmanager
def metrics_directory() -> Iterator[str]:
    """A directory for this server's metrics, locked while the server lives. Removes those of killed servers."""
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
    """Make and lock a directory. If another start removes it before it is locked, make the next one."""
    while True:
        directory = Path(tempfile.mkdtemp(prefix=METRICS))
        with suppress(BlockingIOError, FileNotFoundError):
            lock = _lock_directory(directory)
            if directory.exists():
                return directory, lock
            os.close(lock)


def _lock_directory(directory: Path) -> int:
    """Lock it until the returned descriptor is closed. Raises `OSError` if it is gone or locked by another process."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
