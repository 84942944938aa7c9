"""h2load: more requests than a server can take.

It sends at a rate of its own and does not wait for answers to slow it down, as an open loop does, and it writes down
the status and the time of each request. wrk can do neither: its connections all wait for the server, and it does not
tell how long the admitted took apart from the refused. An open loop needs a connection for each request in flight, so
it is one here for as long as answers come within `clients / rate` seconds; beyond that, all clients wait at once.

It is given a number of requests and not a duration (-D): with that, h2load 1.52 never ends once a connection is made
late, as some are when thousands are made at once. So it takes longer when the server is slow; what counts is the time
in which all the requests would be sent.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

from harness.watchdog import temporary_folder

from bench.processes import Started, started
from bench.readings import CheckFailed
from bench.tools import H2LOAD, path_of


class Answer(NamedTuple):
    """`ended` is seconds after the first request was sent."""

    status: int
    ended: float
    milliseconds: float


class Flood:
    def __init__(self, answers: list[Answer]) -> None:
        self._answers = answers

    def count(self, status: int, within: float = float("inf")) -> int:
        """Answers of that status in the first so many seconds."""
        return sum(answer.status == status and answer.ended <= within for answer in self._answers)

    def p99(self, status: int) -> float:
        """Milliseconds."""
        times = [answer.milliseconds for answer in self._answers if answer.status == status]
        return quantiles(times, n=100, method="inclusive")[98]

    def require(self, *expected: int) -> None:
        """Raise `CheckFailed` on any other status; h2load calls a broken request -1."""
        statuses = Counter(answer.status for answer in self._answers)
        if not set(statuses) <= set(expected):
            raise CheckFailed(f"expected {expected}, got {dict(statuses)}")


class Flooding:
    """h2load at work."""

    def __init__(self, program: Started, log: Path) -> None:
        self._program = program
        self._log = log

    @property
    def running(self) -> bool:
        return self._program.running

    def flood(self) -> Flood:
        """What became of the requests, once all are answered."""
        self._program.output()
        return parse(self._log.read_text())


@contextmanager
def flooding(url: str, body: str, clients: int, rate: float, seconds: int) -> Iterator[Flooding]:
    """Post `body` at `rate` requests per second altogether, as many as that makes in so many seconds."""
    with temporary_folder("h2load-") as folder:
        log, data = folder / "log", folder / "body"
        data.write_text(body)
        numbers = [f"-c{clients}", f"-n{max(clients, round(rate * seconds))}", f"--rps={rate / clients:.3f}"]
        options = ["--h1", "-t1", f"--data={data}", "-H", "Content-Type: application/json", f"--log-file={log}"]
        with started([path_of(H2LOAD), *options, *numbers, url]) as program:
            yield Flooding(program, log)


def parse(log: str) -> Flood:
    """Lines of h2load's log: microseconds since 1970 at the start, status, microseconds until the answer's end."""
    lines = [[int(column) for column in line.split("\t")[:3]] for line in log.splitlines()]
    first = min((sent for sent, _, _ in lines), default=0)
    return Flood([Answer(status, (sent + took - first) / 1e6, took / 1e3) for sent, status, took in lines])
