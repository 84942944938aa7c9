"""Named places at which a process dies when a test has armed them; see tests/faults/test_crash_points.py.

To arm a place, make an empty file `<operation>.<point>` in the folder that the setting CRASH_POINTS names, such as
`hold_seats.after_commit`. The first process that comes to the place removes the file and dies by SIGKILL, so a server
of several workers loses one; whoever sees that the file is gone knows that it has happened. Nothing needs a restart.

| point | where | afterwards |
|---|---|---|
| `before_batch` | a batch, or a sweep, is about to be sent to the database | nothing was done |
| `after_commit` | the database has answered | it was done, and nobody was told; a sweep only if it expired something |
| `before_answer` | the outcome is about to be sent to the client | likewise |

The operations are `hold_seats`, `confirm_booking`, `cancel_booking` and `sweep_holds`, which answers nobody. What lies
between the first two points happens in a function of the database, out of reach of the process.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path


class CrashPoints:
    """Without a folder, as it always is outside of tests, no point is armed and none costs anything."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def reach(self, operation: str, point: str) -> None:
        if self._folder is None:
            return
        with suppress(FileNotFoundError):
            # Removing it is what only one of several processes can do.
            (self._folder / f"{operation}.{point}").unlink()
            os.kill(os.getpid(), signal.SIGKILL)


UNARMED = CrashPoints()
