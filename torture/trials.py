"""Trials of mutants, and how sure it is that a mutant was caught.

A try lasts until its amount of load is done, however long that takes on a busy machine. Whether it has one finding,
two or none may be luck: the mutant is tried again, for longer. A mutant that could not be tried has not survived.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import aiohttp

from slotwise.db.embedded import EmbeddedServerError
from torture.bed import PATCHES, Bed, NotServing
from torture.faults import FAULTS
from torture.faults.fault import Fault
from torture.mutants import Mutant
from torture.plan import Plan
from torture.run import Result, Run

Verdict: TypeAlias = Literal["caught", "survived", "not tried"]

# On two quiet cores, a mutant is to be caught within a minute: so much load takes half of that.
ACKNOWLEDGED = 700
# A try that takes longer is given up: on such a busy machine it shows nothing.
MOST_MINUTES = 5.0
# Many, because most mutants break a rule only when two requests meet: three tries without a meeting were seen. A mutant
# that is caught needs one or two.
TRIES = 8
LONGEST = 3
# No try begins later.
LAST_TRY_SECONDS = 600.0
SURE_FINDINGS = 3


class CannotPlant(Exception):
    """The code has changed and the patch no longer fits."""


class Try(NamedTuple):
    """`findings` counts violations of the mutant's own rules; `others` are other broken rules. `not_tried` says why the
    try shows nothing."""

    seconds: float
    findings: dict[str, int]
    others: list[str]
    not_tried: str = ""

    @property
    def found(self) -> int:
        return sum(self.findings.values())


class Trial(NamedTuple):
    mutant: Mutant
    tries: Sequence[Try]

    @property
    def catches(self) -> list[Try]:
        return [one for one in self.tries if one.findings]

    @property
    def is_sure(self) -> bool:
        """Whether one try had several findings, or two tries had at least one."""
        return len(self.catches) > 1 or any(one.found >= SURE_FINDINGS for one in self.catches)

    @property
    def verdict(self) -> Verdict:
        if self.catches:
            return "caught"
        return "not tried" if all(one.not_tried for one in self.tries) else "survived"

    @property
    def told(self) -> str:
        """How sure the verdict is, and why."""
        if not self.catches:
            return "; ".join(dict.fromkeys(one.not_tried or "no rule was broken" for one in self.tries))
        counts: dict[str, int] = {}
        for one in self.catches:
            counts = {rule: counts.get(rule, 0) + one.findings.get(rule, 0) for rule in {*counts, *one.findings}}
        by = ", ".join(f"{rule} x {count}" for rule, count in sorted(counts.items()))
        sure = "sure" if self.is_sure else "NOT SURE"
        return f"{sure}: {by}, in {len(self.catches)} of {_times(len(self.tries))}"


def _times(count: int) -> str:
    return "1 try" if count == 1 else f"{count} tries"


async def try_mutant(mutant: Mutant, folder: Path, seed: int) -> Trial:
    """Raises `CannotPlant`."""
    tries: list[Try] = []
    gives_up_at = time.monotonic() + LAST_TRY_SECONDS
    for number in range(1, TRIES + 1):
        tries.append(await _try(mutant, folder / f"try-{number}", seed + number, longer=min(number, LONGEST)))
        if Trial(mutant, tries).is_sure or time.monotonic() > gives_up_at:
            break
    return Trial(mutant, tries)


async def _try(mutant: Mutant, folder: Path, seed: int, longer: int) -> Try:
    began = time.monotonic()
    missing = sorted({kind for kind in mutant.faults if not _faults(kind)})
    if missing:
        return Try(0.0, {}, [], not_tried=f"not possible on this machine: {', '.join(missing)}")
    await asyncio.to_thread(folder.mkdir)
    bed = Bed(folder, {"PYTHONPATH": str(PATCHES / mutant.program)} if mutant.program else {})
    try:
        await bed.start()
        await _plant(mutant, bed)
        faults = [fault for kind in mutant.faults for fault in _faults(kind)]
        result = await Run(bed, _plan(mutant, seed, longer), faults, lambda _: None, thorough=False)()
        lacking = await _lacking(mutant, bed)
    except (NotServing, EmbeddedServerError, OSError, TimeoutError, aiohttp.ClientError) as error:
        return Try(time.monotonic() - began, {}, [], not_tried=f"the server did not serve: {error}")
    finally:
        await bed.stop()
    return _read(mutant, result, time.monotonic() - began, lacking)


async def _lacking(mutant: Mutant, bed: Bed) -> str:
    """What the load did too little of, as a slow machine does; empty if it did enough."""
    if not mutant.needs:
        return ""
    async with bed.look() as connection:
        rows = await connection.fetch("SELECT kind, count(*) AS made FROM booking_events GROUP BY kind")
    made = {row["kind"]: row["made"] for row in rows}
    lacks = [f"{made.get(kind, 0)} of {least} {kind}" for kind, least in mutant.needs if made.get(kind, 0) < least]
    return f"the load made only {', '.join(lacks)}" if lacks else ""


def _faults(kind: str) -> list[Fault]:
    return [fault for fault in FAULTS if fault.kind == kind and fault.possible()]


async def _plant(mutant: Mutant, bed: Bed) -> None:
    async with bed.look() as connection:
        try:
            await mutant.patch(connection)
        except AssertionError as error:
            raise CannotPlant(f"{mutant.name} no longer fits the code: {error}") from error


def _read(mutant: Mutant, result: Result, seconds: float, lacking: str) -> Try:
    found = {rule: result.findings.count(rule) for rule in result.findings.rules}
    own = {rule: count for rule, count in found.items() if rule in mutant.rules}
    return Try(seconds, own, sorted(set(found) - set(own)), "" if own else lacking or _why_not(mutant, result))


def _why_not(mutant: Mutant, result: Result) -> str:
    """Why a try without findings shows nothing; empty if it shows that the mutant was not caught."""
    if len(result.struck) < len(mutant.faults):
        return f"only {len(result.struck)} of {len(mutant.faults)} faults hit anything"
    if result.acknowledged < result.plan.acknowledged:
        return f"the machine was too busy: {result.acknowledged} writes in {result.plan.minutes:g} minutes"
    return ""


def _plan(mutant: Mutant, seed: int, longer: int) -> Plan:
    return Plan(
        seed,
        acknowledged=ACKNOWLEDGED * mutant.longer * longer,
        faults=len(mutant.faults),
        races=8,
        patients=24,
        racers=2,
        receptionists=2,
        readers=2,
        slots=6,
        minutes=MOST_MINUTES,
        quiet_seconds=1.0,
    )
