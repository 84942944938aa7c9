"""How busy the machine was, over a run and at a moment of it."""

import os

from torture.history import Attempt
from torture.machine import OWN, Look, Machine

CORES = os.cpu_count() or 1


def machine(*running: int) -> Machine:
    """Looked at once a second from 100 on. Each number is of processes for each core, besides the run's own."""
    watched = Machine()
    watched.looks = [Look(100.0 + place, OWN + CORES * each) for place, each in enumerate(running)]
    return watched


def attempt(began_at: float, ended_at: float) -> Attempt:
    made = Attempt(1, 1, "hold", 1, "guest", "patient1")
    made.began_at, made.ended_at = began_at, ended_at
    return made


def test_a_machine_that_nobody_has_looked_at_is_quiet() -> None:
    assert Machine().slowness == 1.0
    assert not Machine().was_busy(attempt(100.0, 200.0))


def test_others_that_want_the_machine_for_a_moment_make_it_busy_then() -> None:
    burst = machine(*[0] * 20, 4, 4, *[0] * 20)
    assert burst.slowness == 1.0
    assert burst.slowness_between(120.0, 121.0) == 4.0
    assert burst.was_busy(attempt(119.8, 121.2))
    assert not burst.was_busy(attempt(105.0, 107.0))


def test_a_moment_is_never_quieter_than_the_run() -> None:
    assert machine(4, 4, 0, 0).slowness_between(102.0, 103.0) == 2.0
