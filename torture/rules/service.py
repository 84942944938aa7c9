"""How the server answers during faults: in time (L2, L3), at all (L5), and in a readable form (P9)."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from torture.history import UNREADABLE, Attempt
from torture.violation import Violation

MOST_SECONDS = 10.0
RECOVERY_SECONDS = 5.0
MOST_UNANSWERED = 0.001
WAITED_SECONDS = 1.0
# With fewer attempts, 0.1 % is less than one, and a single request lost with its worker would break the rule.
LEAST_ATTEMPTS = 1_000


class Period(NamedTuple):
    """A period by the wall clock, in seconds since 1970."""

    begin: float
    end: float


def never_late(_began: float, _ended: float) -> float:
    return 0.0


def find_slow_answers(
    attempts: Iterable[Attempt], most: float = MOST_SECONDS, lag: Callable[[float, float], float] = never_late
) -> Iterator[Violation]:
    """L3: every request is answered or reset within ten seconds, whatever is broken.

    `lag` tells by how much the harness itself was late between two moments: its own clients wait for a processor too.
    """
    for attempt in attempts:
        if (seconds := seconds_of(attempt, lag)) > most:
            sentence = f"attempt {attempt.number} to {attempt.name} took {seconds:.1f} s (fault {attempt.epoch})"
            yield Violation("L3", attempt.slot_id, sentence)


def seconds_of(attempt: Attempt, lag: Callable[[float, float], float]) -> float:
    """How long the server took, without what the harness was late."""
    return attempt.seconds - (lag(attempt.began, attempt.ended) if attempt.seconds > 1 else 0.0)


def find_defects(attempts: Iterable[Attempt]) -> Iterator[Violation]:
    """P9: a status 500 or an unreadable answer is a defect."""
    for attempt in attempts:
        status = attempt.http_status
        if status is not None and ((status >= 500 and status != 503) or attempt.error == UNREADABLE):
            said = f"attempt {attempt.number} to {attempt.name} by {attempt.road} got {status} {attempt.error or ''}"
            yield Violation("P9", attempt.slot_id, said.rstrip())


def find_slow_recovery(recoveries: Sequence[float]) -> Iterator[Violation]:
    """L2: after 99 of 100 heals, a booking succeeds within five seconds."""
    if recoveries and percentile(recoveries, 99) > RECOVERY_SECONDS:
        yield Violation("L2", 0, f"p99 of the time until a booking succeeds is {percentile(recoveries, 99):.1f} s")


def never_busy(_: Attempt) -> bool:
    return False


def find_unanswered(
    attempts: Iterable[Attempt], broken: Sequence[Period], busy: Callable[[Attempt], bool] = never_busy
) -> Iterator[Violation]:
    """L5: while nothing is broken, at most 0.1 % of attempts end without a definite answer. On a machine that is `busy`
    then, requests that waited in vain and got a 503 do not count: the machine was too slow, not the server."""
    quiet = list(outside(attempts, broken))
    unanswered = [attempt for attempt in quiet if is_unanswered(attempt, busy)]
    if len(unanswered) > MOST_UNANSWERED * max(len(quiet), LEAST_ATTEMPTS):
        told = Counter(f"{attempt.name}: {attempt.http_status or attempt.error}" for attempt in unanswered)
        for kind, count in told.most_common():
            sentence = f"{count} of {len(quiet)} attempts outside faults had no definite answer: {kind}"
            yield Violation("L5", 0, sentence)


def is_unanswered(attempt: Attempt, busy: Callable[[Attempt], bool]) -> bool:
    if attempt.outcome != "info":
        return False
    waited = attempt.http_status == 503 and attempt.seconds >= WAITED_SECONDS
    return not (waited and busy(attempt))


def outside(attempts: Iterable[Attempt], broken: Sequence[Period]) -> Iterator[Attempt]:
    """The attempts that began and ended while nothing was broken. The periods are in order and do not overlap."""
    begins = [period.begin for period in broken]
    for attempt in attempts:
        place = bisect_right(begins, attempt.ended_at)
        if attempt.outcome is not None and (place == 0 or broken[place - 1].end < attempt.began_at):
            yield attempt


def percentile(values: Sequence[float], percent: int) -> float:
    """The percentile by nearest rank: the smallest value that so many percent of the values do not exceed."""
    ranked = sorted(values)
    return ranked[max(0, -(-len(ranked) * percent // 100) - 1)]
