"""The plan of a run. The same seed gives the same plan."""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from torture.faults.fault import Fault


class Plan(Struct, frozen=True):
    """How much must be done before the verdict. Load that takes longer than `minutes` is given up."""

    seed: int
    acknowledged: int = 1_000_000
    faults: int = 400
    races: int = 20_000
    patients: int = 96
    racers: int = 8
    receptionists: int = 3
    readers: int = 3
    slots: int = 120
    minutes: float = 45.0
    quiet_seconds: float = 3.0


BRIEF_SECONDS = 1.0


def brief_faults(faults: Sequence[Fault]) -> tuple[Fault, ...]:
    """The faults that last at most a second, for the short forms of a run."""
    return tuple(fault for fault in faults if fault.seconds[1] <= BRIEF_SECONDS)


def short_plan(seed: int) -> Plan:
    """The plan of `.ci/run`: two minutes on a quiet machine, longer on a busy one."""
    return Plan(
        seed, acknowledged=20_000, faults=20, races=500, patients=24, racers=2, receptionists=2, readers=2, slots=20,
        minutes=60.0, quiet_seconds=1.0,
    )  # fmt: skip


def brief_plan(seed: int) -> Plan:
    """The plan of `make test`: 20 seconds on a quiet machine. Races take most of it."""
    return replace(short_plan(seed), acknowledged=1_000, faults=6, races=100, patients=8, racers=4, slots=12)


class Planned(NamedTuple):
    fault: Fault
    seconds: float


def schedule(plan: Plan, faults: Sequence[Fault]) -> list[Planned]:
    """The faults in order: each round has each kind once; the last round may be incomplete."""
    random = Random(plan.seed)
    planned: list[Planned] = []
    while faults and len(planned) < plan.faults:
        around = random.sample(faults, len(faults))
        planned += [Planned(fault, round(random.uniform(*fault.seconds), 2)) for fault in around]
    return planned[: plan.faults]
