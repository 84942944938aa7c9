"""The tools of a scenario: clinics, baselines, peers, and rounds in which its cases take turns."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from bench.baseline import Baseline, new_baseline
from bench.clinic import Clinic, new_clinic
from bench.installation import Installation
from bench.peers.kinds import Kind
from bench.peers.peer import Peer
from bench.plan import Plan
from bench.readings import Measured, Reading

Case = Callable[[], Reading]
Read = TypeVar("Read")


class Lab:
    """`report` reports progress: a few words, how many steps are done, and the total."""

    def __init__(self, plan: Plan, installation: Installation, report: Callable[[str, int, int], None]) -> None:
        self.plan = plan
        self.report = report
        self._installation = installation

    def clinic(self) -> AbstractContextManager[Clinic]:
        return new_clinic(self._installation)

    @contextmanager
    def baseline(self) -> Iterator[Baseline]:
        """pgbench's tables, in a database that no server of Slotwise uses."""
        with self._installation.new_database() as url:
            yield new_baseline(url)

    @contextmanager
    def peer(self, kind: Kind) -> Iterator[Peer]:
        """A server of that kind, on a database of its own."""
        with self.baseline() as tables, kind.serve(self._installation, tables.url) as server:
            yield Peer(server, tables)

    def measure(self, cases: Mapping[str, Case]) -> Measured:
        return Measured(self.alternate(cases))

    def alternate(self, cases: Mapping[str, Callable[[], Read]]) -> dict[str, list[Read]]:
        """Run each case once in every round. Each round begins with another case, so that none is always first."""
        names = list(cases)
        read: dict[str, list[Read]] = {name: [] for name in names}
        done = 0
        for turn in range(self.plan.rounds):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                self.report(f"round {turn + 1} of {self.plan.rounds}: {name}", done, self.plan.rounds * len(names))
                read[name].append(cases[name]())
                done += 1
        return read
