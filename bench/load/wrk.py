"""wrk: a closed loop. Each connection has one request in flight."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.processes import Started, started
from bench.readings import CheckFailed, Reading
from bench.tools import WRK, path_of

SCRIPT = Path(__file__).with_name("wrk.lua")
LATE_SECONDS = 10


class Answers(Struct, frozen=True, rename="camel"):
    """The counts of the Lua script. Times are in microseconds; `retry_after` counts answers with that header."""

    microseconds: int
    statuses: dict[int, int]
    retry_after: int
    p50: int
    p99: int
    broken: int
    timeouts: int
    longest: int = 0

    def count(self, status: int) -> int:
        return self.statuses.get(status, 0)

    def require(self, *expected: int) -> None:
        """Raise `CheckFailed` on any other status, a broken connection or an answer that took ten seconds."""
        unexpected = {status: count for status, count in self.statuses.items() if status not in expected}
        if unexpected or self.broken or self.timeouts:
            raise CheckFailed(
                f"expected {expected}, got {self.statuses}, {self.broken} broken connections, "
                f"{self.timeouts} answers after {LATE_SECONDS} s"
            )

    def reading(self, status: int) -> Reading:
        return Reading(self.count(status) / (self.microseconds / 1e6), self.p50 / 1000, self.p99 / 1000)


def parse(printed: str) -> Answers:
    """Parse the script's line, which comes after wrk's own report."""
    line = printed.strip().rpartition("\n")[2]
    try:
        return msgspec.json.decode(line, type=Answers)
    except msgspec.MsgspecError as error:
        raise CheckFailed(f"wrk printed no result: {printed[-500:]}") from error


class Load(Struct, frozen=True):
    """The requests of each connection: a kind of wrk.lua with its values."""

    kind: str
    values: dict[str, str]


def run(url: str, load: Load, connections: int, seconds: int) -> Answers:
    with running(url, load, connections, seconds) as wrk:
        return parse(wrk.output())


@contextmanager
def running(url: str, load: Load, connections: int, seconds: int) -> Iterator[Started]:
    """Run a load beside another one; `parse` reads its output."""
    threads = min(connections, 2, os.cpu_count() or 1)
    numbers = [f"-t{threads}", f"-c{connections}", f"-d{seconds}s", f"--timeout={LATE_SECONDS}s"]
    values = [f"{name}={value}" for name, value in {"kind": load.kind, "threads": str(threads), **load.values}.items()]
    with started([path_of(WRK), *numbers, "-s", SCRIPT, url, "--", *values]) as wrk:
        yield wrk
