"""A run: quiet, load with faults, heal, quiesce, final reads, verdict."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from math import inf
from random import Random

import aiohttp
import psutil
from msgspec import Struct, field

from slotwise.db.embedded import EmbeddedServerError
from torture import tables
from torture.bed import NO_LOOK, Bed, NotServing
from torture.client import GUEST, PATIENCE_SECONDS, Client
from torture.clinic import Clinic, open_clinic
from torture.faults.fault import Fault, Missed
from torture.history import History
from torture.judging import Findings, Judge, between
from torture.lag import Lag
from torture.load import Load, callers_of, clients_of
from torture.machine import Machine
from torture.patients import PAUSE_SECONDS, TRIES
from torture.plan import Plan, Planned, schedule
from torture.rules.service import (
    MOST_SECONDS,
    Period,
    find_slow_answers,
    find_slow_recovery,
    find_unanswered,
    is_unanswered,
    outside,
    seconds_of,
)
from torture.rules.unknowns import Unknowns, find_untold
from torture.violation import Violation

SAMPLE_SECONDS = 0.5
SLOTS_PER_SAMPLE = 8
RECOVERY_SECONDS = 30.0
STRIKES = 4
# Errors that a broken installation can raise while it is broken or healed.
BROKEN = (NotServing, EmbeddedServerError, psutil.Error, subprocess.SubprocessError, OSError)

Report = Callable[["Progress"], None]


class Progress(Struct):
    """The progress of a run, for the display."""

    phase: str = "starting"
    fault: str = ""
    faults: int = 0
    acknowledged: int = 0
    races: int = 0


class Struck(Struct, frozen=True):
    """One fault: number, begin, heal, and the seconds from the heal until a booking succeeded."""

    number: int
    kind: str
    began_at: float
    healed_at: float
    recovery: float


class Result(Struct):
    """The result of a run. It is valid if there is no violation and no open question."""

    plan: Plan
    acknowledged: int = 0
    attempts: int = 0
    races: int = 0
    seconds: float = 0.0
    struck: list[Struck] = field(default_factory=list)
    unknowns: Unknowns = field(default_factory=Unknowns)
    untold: int = 0
    findings: Findings = field(default_factory=Findings)
    open_questions: list[str] = field(default_factory=list)
    samples: int = 0
    sightings: int = 0
    sweeps: list[float] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    slowest: float = 0.0
    lag: float = 0.0
    slowness: float = 1.0
    at_rest: int = 0
    unanswered: int = 0
    figures: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def violations(self) -> list[Violation]:
        return self.findings.kept

    @property
    def verdict(self) -> str:
        if self.findings.total:
            return "INVALID"
        return "UNKNOWN" if self.open_questions else "valid"


class Run:
    def __init__(self, bed: Bed, plan: Plan, faults: Sequence[Fault], report: Report, *, thorough: bool = True) -> None:
        self.bed = bed
        self.history = History(bed.folder / "history.jsonl")
        self.progress = Progress()
        self.result = Result(plan)
        self._plan = plan
        self._schedule = schedule(plan, faults)
        self._report = report
        self._thorough = thorough
        self._broken: list[Period] = []
        self._machine = Machine()
        self._lag = Lag()
        self._began = time.monotonic()
        self._gives_up_at = inf
        self._load: Load

    async def __call__(self) -> Result:
        near, far = clients_of(self.history, self.bed.url, self.bed.proxied_url)
        try:
            clinic = await self._open_clinic()
            async with self._machine.watched(), self._lag.measured():
                await self._play(clinic, near, far)
                await self._settle(clinic, near)
                await self._judge()
        finally:
            for client in (near, far):
                await client.connections.close()
            self.history.close()
        self.result.seconds = time.monotonic() - self._began
        return self.result

    async def _open_clinic(self) -> Clinic:
        self._phase("opening a clinic")
        async with aiohttp.ClientSession(self.bed.url, raise_for_status=True) as session:
            return await open_clinic(session, self._plan)

    async def _play(self, clinic: Clinic, near: Client, far: Client) -> None:
        self._load = Load(self._plan, self.history, clinic, near, far)
        self._gives_up_at = time.monotonic() + self._plan.minutes * 60
        self._phase("quiet")
        async with self._sampling([*clinic.slots, *clinic.last_seats]), asyncio.TaskGroup() as group:
            self._load.start(group)
            try:
                await asyncio.sleep(self._plan.quiet_seconds)
                await self._strike_all(near, clinic.probe)
                await self._until_enough()
            finally:
                self._load.stop.end()

    async def _strike_all(self, client: Client, probe: int) -> None:
        self._phase("faults")
        for number, planned in enumerate(self._schedule, 1):
            await self._keep_pace(number)
            if self._out_of_time():
                return
            try:
                await self._strike_until_hit(number, planned, client, probe)
            except BROKEN as error:
                sentence = f"after {planned.fault.kind} the server did not come back: {type(error).__name__}: {error}"
                self.result.findings.add([Violation("L2", 0, sentence)])
                return

    async def _strike_until_hit(self, number: int, planned: Planned, client: Client, probe: int) -> None:
        """Try a fault again if it hit nothing. Its random choices depend only on the seed and its number."""
        random = Random(f"{self._plan.seed}/faults/{number}")
        for _ in range(STRIKES):
            began_at = time.time()
            try:
                await self._strike(number, planned, random, client, probe)
            except (Missed, LookupError, psutil.Error, *NO_LOOK):
                # Its target was gone already. Below it is checked whether the server is still there.
                pass
            else:
                return
            finally:
                await self.bed.workers_back()
                self._note(Period(began_at, time.time()), planned.fault.kind)
        self.result.missed.append(planned.fault.kind)

    def _note(self, broken: Period, kind: str) -> None:
        """Note a broken period for the rules, and in a file beside the history."""
        self._broken.append(broken)
        with (self.bed.folder / "faults.txt").open("a") as file:
            file.write(f"{broken.begin:.3f} {broken.end:.3f} {kind}\n")

    async def _strike(self, number: int, planned: Planned, random: Random, client: Client, probe: int) -> None:
        self.history.epoch = number
        self.progress.fault = planned.fault.kind
        began_at = time.time()
        async with planned.fault.strike(self.bed, random):
            await asyncio.sleep(planned.seconds)
        healed = time.monotonic()
        recovery = await self._recovery(client, probe, healed)
        self.result.struck.append(Struck(number, planned.fault.kind, began_at, time.time() - recovery, recovery))
        self.progress.faults, self.progress.fault = number, ""
        self._tell()

    async def _recovery(self, client: Client, probe: int, healed: float) -> float:
        """Seconds from the heal until a booking succeeds."""
        while time.monotonic() < healed + RECOVERY_SECONDS * self._machine.slowness:
            attempt = await client.hold(0, GUEST, probe)
            if attempt.outcome == "ok":
                return time.monotonic() - healed
            await asyncio.sleep(0.05)
        sentence = f"no booking within {RECOVERY_SECONDS:g} s of a heal"
        self.result.findings.add([Violation("L2", probe, sentence)])
        return RECOVERY_SECONDS

    async def _keep_pace(self, number: int) -> None:
        """Wait, so that the faults are spread evenly over the load."""
        share = (number - 1) / max(1, len(self._schedule))
        while not self._out_of_time():
            self._count()
            if self.progress.acknowledged >= share * self._plan.acknowledged:
                return
            await asyncio.sleep(0.1)

    async def _until_enough(self) -> None:
        self._phase("quiet again")
        while not self._out_of_time() and not self.result.findings.total:
            self._count()
            if self.progress.acknowledged >= self._plan.acknowledged and self.progress.races >= self._plan.races:
                return
            await asyncio.sleep(0.1)
        if self._out_of_time():
            self.result.open_questions.append(
                f"not done within {self._plan.minutes:g} minutes: {self.progress.acknowledged:,} writes, "
                f"{self.progress.faults} faults, {self.progress.races:,} races"
            )

    def _out_of_time(self) -> bool:
        return time.monotonic() > self._gives_up_at

    def _count(self) -> None:
        self.progress.acknowledged = self.history.acknowledged
        self.progress.races = self._load.races
        self._tell()

    def _phase(self, name: str) -> None:
        self.progress.phase = name
        self._tell()

    def _tell(self) -> None:
        self._report(self.progress)

    async def _settle(self, clinic: Clinic, client: Client) -> None:
        """Heal everything, and repeat requests with unknown outcomes."""
        self._phase("settling")
        self.bed.to_database.heal()
        self.bed.to_server.heal()
        try:
            await self.bed.start_database()
            await self.bed.serve_again()
        except BROKEN as error:
            sentence = f"after healing, the server does not serve: {type(error).__name__}: {error}"
            self.result.findings.add([Violation("L2", 0, sentence)])
        await self._ask_again(clinic, client)

    async def _ask_again(self, clinic: Clinic, client: Client) -> None:
        """Repeat each key without an answer. If one still gets none, the verdict stays open."""
        callers = {caller.name: caller for caller in callers_of(clinic)}
        for attempt in find_untold(self.history.attempts):
            for _ in range(TRIES):
                if (await client.repeat(attempt, callers[attempt.caller], "resolve")).outcome != "info":
                    break
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                self.result.untold += 1
        if self.result.untold:
            self.result.open_questions.append(f"{self.result.untold} keys never got an answer")

    async def _judge(self) -> None:
        self._phase("final reads")
        judge = Judge(self.bed, self.history, self.result.findings)
        await judge(thorough=self._thorough)
        self.result.unknowns = judge.unknowns
        self.result.sweeps = list(
            between(judge.sweeps, [(broken.begin, broken.end + MOST_SECONDS) for broken in self._broken])
        )
        self._judge_service()
        self._conclude()

    def _judge_service(self) -> None:
        """Judge the times. The limits are for a quiet machine and are extended on a busy one."""
        slowness, attempts = self._machine.slowness, self.history.attempts
        recoveries = [
            struck.recovery / self._machine.slowness_between(struck.healed_at, struck.healed_at + struck.recovery)
            for struck in self.result.struck
        ]
        self.result.findings.add(find_slow_answers(attempts, MOST_SECONDS * slowness, self._lag.of))
        self.result.findings.add(find_slow_recovery(recoveries))
        busy = self._machine.was_busy
        self.result.findings.add(find_unanswered(attempts, self._broken, busy))
        for attempt in outside(attempts, self._broken):
            self.result.at_rest += 1
            self.result.unanswered += is_unanswered(attempt, busy)

    def _conclude(self) -> None:
        self._count()
        result, attempts = self.result, self.history.attempts
        result.acknowledged, result.attempts = self.history.acknowledged, len(attempts)
        result.races, result.slowness = self.progress.races, self._machine.slowness
        result.sightings = len(self.history.sightings)
        result.slowest = max((seconds_of(attempt, self._lag.of) for attempt in attempts), default=0.0)
        result.lag = self._lag.most
        if self._load.failures:
            failures = f"the harness failed {len(self._load.failures)} times, first with: {self._load.failures[0]}"
            result.open_questions.append(failures)
        if not result.samples:
            result.open_questions.append("the tables were never looked at during the load")
        if any(attempt.outcome is None for attempt in attempts):
            result.open_questions.append("some attempts had not ended at the end of the run")

    @asynccontextmanager
    async def _sampling(self, slots: Sequence[int]) -> AsyncIterator[None]:
        """Check some slots in the tables again and again while the load runs (S1)."""
        task = asyncio.create_task(self._sample(slots))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _sample(self, slots: Sequence[int]) -> None:
        random = Random(f"{self._plan.seed}/samples")
        while True:
            with suppress(*NO_LOOK):
                async with self.bed.look() as connection:
                    while True:
                        chosen = random.sample(slots, min(SLOTS_PER_SAMPLE, len(slots)))
                        async with asyncio.timeout(PATIENCE_SECONDS):
                            found = await tables.find_unbalanced(connection, chosen)
                        self.result.findings.add(Violation("S1", slot, "unbalanced during the load") for slot in found)
                        self.result.samples += 1
                        await asyncio.sleep(SAMPLE_SECONDS)
            await asyncio.sleep(SAMPLE_SECONDS)
