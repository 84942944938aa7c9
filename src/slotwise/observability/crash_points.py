"""Crash points: named places at which a process kills itself if a test has armed them.

To arm a crash point, create an empty file `<operation>.<point>`, such as `hold_seats.after_commit`, in the folder of
the setting CRASH_POINTS. The first process that reaches the point removes the file and dies by SIGKILL, so a server
with several workers loses one. When the file is gone, it has happened. No restart is needed.
See tests/faults/test_crash_points.py.

| point | where | afterwards |
|---|---|---|
| `before_batch` | before a batch, or a sweep, is sent to the database | nothing was done |
| `after_commit` | after the database has answered; a sweep only if it expired a hold | done, but not answered |
| `before_answer` | before the outcome is sent to the client | done, but not answered |

The operations are `hold_seats`, `confirm_booking`, `cancel_booking` and `sweep_holds`, which has no client to answer.
`write_evening_list` has only the second: the files are complete then, but do not have their names yet.
Between the first two points a function of the database runs, where the process cannot crash at a chosen place.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path


class CrashPoints:
    """Without a folder, which is always so outside of tests, no point is armed and they cost nothing."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def reach(self, operation: str, point: str) -> None:
        if self._folder is None:
            return
        with suppress(FileNotFoundError):
            # Only one of several processes can remove the file.
            (self._folder / f"{operation}.{point}").unlink()
            os.kill(os.getpid(), signal.SIGKILL)


UNARMED = CrashPoints()
