"""The conditions of a run: the machine, the versions, and the load by other programs."""

import os
import platform
from collections.abc import Iterator

import psutil
from msgspec import Struct

from bench.installation import SHOWN, Installation
from slotwise import __version__

BUSY = 0.5


class Machine(Struct, frozen=True):
    """`load` is the average number of processes that wanted a core in the minute before the run."""

    slotwise: str
    cores: int
    memory_gigabytes: float
    system: str
    python: str
    postgres: str
    load: float
    workers: int
    settings: dict[str, str]

    def lines(self) -> Iterator[str]:
        yield f"Slotwise {self.slotwise}, {self.workers} workers; Python {self.python}; PostgreSQL {self.postgres}"
        yield f"{self.cores} cores, {self.memory_gigabytes:.0f} GB, {self.system}"
        yield "Settings: " + ", ".join(f"{name}={value}" for name, value in self.settings.items())
        if self.load > BUSY:
            yield f"[yellow]The machine was busy before the run (load {self.load:.1f}): figures will vary.[/]"


def describe(installation: Installation, workers: int, load: float) -> Machine:
    return Machine(
        slotwise=__version__,
        cores=os.cpu_count() or 1,
        memory_gigabytes=psutil.virtual_memory().total / 1e9,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        postgres=installation.postgres_version,
        load=load,
        workers=workers,
        settings=SHOWN,
    )
