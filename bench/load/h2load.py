"""h2load: sends more requests than a server can take.

It sends at a fixed rate without waiting for answers (an open loop), and logs the status and the time of each request.
wrk can do neither: all its connections wait for the server, and it does not separate the times of admitted and refused
requests. An open loop needs a connection for each request in flight. Here it is open as long as answers come within
`clients / rate` seconds; if they take longer, all clients wait.

It gets a number of requests instead of a duration (-D): with a duration, h2load 1.52 never ends if a connection is made
late, which happens when thousands are made at once. So it takes longer if the server is slow. What counts is the time
in which all requests should have been sent.
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
    """`ended` is in seconds since the first request was sent."""

    status: int
    ended: float
    milliseconds: float


class Flood:
    def __init__(self, answers: list[Answer]) -> None:
        self._answers = answers

    def count(self, status: int, within: float = float("inf")) -> int:
        """The number of answers with that status within so many seconds."""
        return sum(answer.status == status and answer.ended <= within for answer in self._answers)

    def p99(self, status: int) -> float:
        """In milliseconds."""
        times = [answer.milliseconds for answer in self._answers if answer.status == status]
        return quantiles(times, n=100, method="inclusive")[98]

    def require(self, *expected: int) -> None:
        """Raise `CheckFailed` on any other status; h2load logs a broken request as -1."""
        statuses = Counter(answer.status for answer in self._answers)
        if not set(statuses) <= set(expected):
            raise CheckFailed(f"expected {expected}, got {dict(statuses)}")


class Flooding:
    """A running h2load."""

    def __init__(self, program: Started, log: Path) -> None:
        self._program = program
        self._log = log

    @property
    def running(self) -> bool:
        return self._program.running

    def flood(self) -> Flood:
        """Wait until all requests are answered, and return the answers."""
        self._program.output()
        return parse(self._log.read_text())


@contextmanager
def flooding(url: str, body: str, clients: int, rate: float, seconds: int) -> Iterator[Flooding]:
    """Post `body` `rate` times per second in total, for so many seconds."""
    with temporary_folder("h2load-") as folder:
        log, data = folder / "log", folder / "body"
        data.write_text(body)
        numbers = [f"-c{clients}", f"-n{max(clients, round(rate * seconds))}", f"--rps={rate / clients:.3f}"]
        options = ["--h1", "-t1", f"--data={data}", "-H", "Content-Type: application/json", f"--log-file={log}"]
        with started([path_of(H2LOAD), *options, *numbers, url]) as program:
            yield Flooding(program, log)


def parse(log: str) -> Flood:
    """Parse h2load's log. Columns: start in microseconds since 1970, status, microseconds until the answer's end."""
    lines = [[int(column) for column in line.split("\t")[:3]] for line in log.splitlines()]
    first = min((sent for sent, _, _ in lines), default=0)
    return Flood([Answer(status, (sent + took - first) / 1e6, took / 1e3) for sent, status, took in lines])
