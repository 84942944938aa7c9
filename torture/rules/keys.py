"""One key, one booking, the same answer (S5, S6)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from torture.history import Attempt
from torture.violation import Violation


def find_broken_keys(attempts: Sequence[Attempt]) -> Iterator[Violation]:
    """S5, S6: one key gives one booking and the same answer, but not to another body or another caller."""
    with_key: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.key is not None:
            with_key[attempt.key].append(attempt)
    for group in with_key.values():
        if len(group) > 1:
            for rule, sentence in _broken_key(group):
                yield Violation(rule, group[0].slot_id, sentence)


def _broken_key(group: Sequence[Attempt]) -> Iterator[tuple[str, str]]:
    first = next(iter(group))
    own = [attempt for attempt in group if attempt.caller == first.caller]
    answers = {attempt.body for attempt in own if attempt.tells}
    if len(answers) > 1:
        yield "S5", f"attempts {_numbers(own)} with one key were given {len(answers)} answers"
    for attempt in group:
        if attempt.purpose == "other_body" and attempt.outcome != "info" and answers and attempt.http_status != 422:
            yield (
                "S5",
                f"attempt {attempt.number}, another body with the key of {first.number}, got {attempt.http_status}",
            )
        # Two refusals may be equal, but a booking belongs to one caller.
        given = attempt.http_status == 422 or (attempt.outcome == "ok" and attempt.body in answers)
        if attempt.caller != first.caller and given:
            yield "S6", f"attempt {attempt.number} met the key of {first.number}, another caller's"


def _numbers(attempts: Iterable[Attempt]) -> list[int]:
    return [attempt.number for attempt in attempts]
