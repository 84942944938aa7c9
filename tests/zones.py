"""A false edition of the time zone database, as a machine may have one."""

import shutil
import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path

# By the false edition, the clocks of these zones show the time of Tokyo.
FALSE = (
    "UTC",
    "Etc/UTC",
    "Europe/Berlin",
    "America/Vancouver",
    "Africa/Casablanca",
    "America/New_York",
    "Europe/London",
)


@cache
def false_edition() -> Path:
    """The folder, for PYTHONTZPATH. Servers and commands of the tests get it, and must not read it."""
    folder = Path(tempfile.mkdtemp(prefix="zones-"))
    for name in FALSE:
        place = folder / name
        place.parent.mkdir(exist_ok=True)
        shutil.copy(str(files("tzdata") / "zoneinfo" / "Asia" / "Tokyo"), place)
    return folder
