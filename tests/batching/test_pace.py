"""The pace of batches: what one slow batch, lasting slowness and a stall say of the next batch."""

import pytest

from slotwise.batching.pace import Pace

MEMORY_SECONDS = 0.25
FAST, SLOW, STALL = 0.001, 0.02, 2.0


def _pace(*noted: float, batches: float = 8) -> float:
    pace = Pace(MEMORY_SECONDS, batches)
    for seconds in noted:
        pace.note(seconds)
    return pace.batch_seconds


FAST_ONES = [FAST] * 1000


def test_batches_of_one_duration_take_that() -> None:
    assert _pace(*FAST_ONES) == pytest.approx(FAST)


def test_a_slow_batch_among_fast_ones_says_little_of_the_next() -> None:
    assert _pace(*FAST_ONES, SLOW) < 1.2 * FAST


def test_slow_batches_are_believed_once_they_have_taken_three_times_the_memory() -> None:
    slow_ones = [SLOW] * round(3 * MEMORY_SECONDS / SLOW)
    assert _pace(*FAST_ONES, *slow_ones) > SLOW / 2


def test_a_batch_of_many_times_the_memory_is_believed_at_once() -> None:
    assert _pace(*FAST_ONES, STALL) > STALL / 2


def test_one_fast_batch_ends_slowness_however_long_it_lasted() -> None:
    assert _pace(*[STALL] * 100, FAST) == FAST


def test_slow_first_batches_weigh_as_if_others_had_come_before() -> None:
    assert _pace(SLOW, batches=250) < 1.2 * FAST
