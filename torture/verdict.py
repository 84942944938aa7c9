"""What must hold of a run: the invariants of a history and the tables it left. Those of the tables alone are checked by
`slotwise check-invariants`.

Real-time order (S12) is Jepsen's: what had ended before something else began comes before it in the ledger.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from torture.history import REPEATS, UNREADABLE, Attempt
from torture.story import EFFECT_OF_KIND, RELEASING, TAKING, FreeSeats, Row, Story, spans

MOST_SECONDS = 10.0
RECOVERY_SECONDS = 5.0
# Clocks are read with a resolution, and rounded.
CLOCK_SECONDS = 0.001
# What a hold may be refused with beside "sold out", and what a confirm and a cancel of a hold that has run out.
REUSED = ("idempotency-key-reused", "other_body")
RAN_OUT = {("confirm", "hold-expired"), ("cancel", "booking-failed")}
AFTER = {
    "hold": frozenset({"PENDING", "CONFIRMED", "FAILED", "CANCELLED"}),
    "confirm": frozenset({"CONFIRMED", "CANCELLED"}),
    "cancel": frozenset({"CANCELLED"}),
}


class Violation(Struct, frozen=True):
    """`rule` is its id in docs/reliability.md."""

    rule: str
    slot_id: int
    sentence: str


def find_violations(story: Story) -> Iterator[Violation]:
    for rule, check in CHECKS.items():
        for sentence in check(story):
            yield Violation(rule, story.slot_id, sentence)


def find_lost(story: Story) -> Iterator[str]:
    """S3: what was acknowledged is there, in a state that can be reached from the acknowledged one."""
    rows = {row.id: row for row in story.rows}
    confirmed = {event.booking_id for event in story.events if event.kind in {"CONFIRMED", "BOOKED"}}
    for attempt in story.attempts:
        if attempt.outcome != "ok" or attempt.name == "read_booking":
            continue
        booking_id = attempt.booked if attempt.name == "hold" else attempt.booking_id
        row = rows.get(booking_id or 0)
        if row is None:
            yield f"booking {booking_id}, acknowledged to attempt {attempt.number}, is not there"
        elif row.status not in AFTER["confirm" if attempt.at_once else attempt.name]:
            yield f"attempt {attempt.number} to {attempt.name} was acknowledged, and booking {row.id} is {row.status}"
        elif (attempt.name == "confirm" or attempt.at_once) and row.id not in confirmed:
            yield f"booking {row.id} was never confirmed, though attempt {attempt.number} was told so"
        elif attempt.name == "hold" and (row.marker, row.seats) != (attempt.marker, attempt.seats):
            yield f"attempt {attempt.number} was told booking {row.id}, which is another's"


def find_unasked(story: Story) -> Iterator[str]:
    """S4: nothing exists that nobody asked for, and nothing that its client was refused."""
    made: dict[str, list[Row]] = defaultdict(list)
    for row in story.rows:
        made[row.marker].append(row)
    asked = _asked(story.attempts)
    for marker, rows in made.items():
        if len(rows) > asked.get(marker, 0):
            yield f"{len(rows)} bookings of {marker}, who asked for {asked.get(marker, 0)}: {[row.id for row in rows]}"
    known = spans(story)
    for event in story.events:
        effect = EFFECT_OF_KIND.get(event.kind)
        if effect in {"confirm", "cancel"} and (effect, event.booking_id) not in known:
            yield f"event {event.sequence}, {event.kind} of booking {event.booking_id}, was asked for by nobody"


def _asked(attempts: Sequence[Attempt]) -> dict[str, int]:
    """How many bookings each name may have: one for each request, and one for all with one key, unless it was refused.

    A refusal is kept for its key, so one answer that says so speaks for all requests with it.
    """
    refused = {_request(attempt) for attempt in attempts if attempt.outcome == "fail" and _tells(attempt)}
    requests: dict[str, set[object]] = defaultdict(set)
    for attempt in attempts:
        if attempt.name == "hold" and attempt.outcome != "fail" and _request(attempt) not in refused:
            requests[attempt.marker].add(_request(attempt))
    return {marker: len(made) for marker, made in requests.items()}


def _request(attempt: Attempt) -> object:
    """What makes attempts the same request: a caller's key; without one, nothing."""
    return (attempt.caller, attempt.key) if attempt.key is not None else attempt.number


def find_disorder(story: Story) -> Iterator[str]:
    """S12: the ledger is a legal order of what clients did, and agrees with the order they saw."""
    known = spans(story)
    latest, by = float("-inf"), 0
    for event in story.events:
        span = known.get((EFFECT_OF_KIND.get(event.kind, ""), event.booking_id or 0))
        if span is None:
            continue
        if span.ended < latest:
            yield f"event {event.sequence} had ended before event {by} began, which stands before it"
        if span.began > latest:
            latest, by = span.began, event.sequence


def find_illegal_steps(story: Story) -> Iterator[str]:
    """S12: a single-threaded clerk with the same requests in the ledger's order would have had as many seats free."""
    live: dict[int | None, int] = {}
    for event in story.events:
        if event.kind in TAKING:
            live[event.booking_id] = event.seats
        elif event.kind in RELEASING:
            live.pop(event.booking_id, None)
        free = event.total_after - sum(live.values())
        if free < 0 or free != event.available_after:
            yield f"event {event.sequence} leaves {event.available_after} seats free, where {free} are"


def find_untrue_refusals(story: Story) -> Iterator[str]:
    """S13: every refusal was true at some instant between request and answer. "Sold out" tells how many seats are free:
    there were so many then, and too few."""
    free = FreeSeats(story)
    first_asked = _first_asked(story.attempts)
    for attempt in story.attempts:
        code = attempt.answer.code if attempt.answer else None
        if attempt.outcome != "fail" or attempt.name != "hold" or (code, attempt.purpose) == REUSED:
            continue
        told = attempt.answer.available_seats if attempt.answer and code == "slot-full" else None
        begin = first_asked.get((attempt.caller, attempt.key), attempt.began_at) - CLOCK_SECONDS
        had = free.within(begin, attempt.ended_at + CLOCK_SECONDS)
        if told is None:
            yield f"attempt {attempt.number} to hold was refused with {attempt.http_status} {code}, for no reason"
        elif told not in had or told >= attempt.seats:
            yield f"attempt {attempt.number} for {attempt.seats} was told {told} are free, where {sorted(had)} were"


def find_untrue_ends(story: Story) -> Iterator[str]:
    """S13: whoever is told that it is too late to confirm or to cancel came too late."""
    deadlines = {row.id: row.expires_at for row in story.rows}
    cancelled = {event.booking_id: event.at for event in story.events if event.kind == "CANCELLED"}
    confirmed = {event.booking_id for event in story.events if event.kind in {"CONFIRMED", "BOOKED"}}
    for attempt in story.attempts:
        if attempt.outcome != "fail" or attempt.name not in {"confirm", "cancel"}:
            continue
        code = attempt.answer.code if attempt.answer else None
        over: float | None = None
        if (attempt.name, code) in RAN_OUT and attempt.booking_id not in confirmed:
            over = deadlines.get(attempt.booking_id or 0)
        elif (attempt.name, code) == ("confirm", "booking-cancelled"):
            over = cancelled.get(attempt.booking_id)
        if over is None or over > attempt.ended_at + CLOCK_SECONDS:
            told = f"{attempt.http_status} {code}"
            yield f"attempt {attempt.number} to {attempt.name} {attempt.booking_id} got {told}, which was not so"


def _first_asked(attempts: Iterable[Attempt]) -> dict[tuple[str, str | None], float]:
    """A refusal is kept for its key: it was true when it was first given."""
    first: dict[tuple[str, str | None], float] = {}
    for attempt in attempts:
        if attempt.key is not None:
            first.setdefault((attempt.caller, attempt.key), attempt.began_at)
    return first


def find_stale_reads(story: Story) -> Iterator[str]:
    """S18: a caller reads its own writes."""
    for reads in _reads_and_writes(story.attempts).values():
        may_be = AFTER["hold"]
        for attempt in sorted(reads, key=lambda attempt: attempt.began):
            if attempt.outcome == "ok" and attempt.name != "read_booking":
                may_be &= AFTER[attempt.name]
            told = attempt.answer.status if attempt.answer and attempt.outcome == "ok" else None
            if attempt.name == "read_booking" and attempt.outcome != "info" and told not in may_be:
                yield f"attempt {attempt.number} read {told or 'nothing'} where only {sorted(may_be)} can be"


def _reads_and_writes(attempts: Iterable[Attempt]) -> dict[int, list[Attempt]]:
    """What was done with each booking that is read, one thing after the other."""
    read = {attempt.booking_id for attempt in attempts if attempt.name == "read_booking"}
    found: dict[int, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.booking_id is not None and attempt.booking_id in read:
            found[attempt.booking_id].append(attempt)
    return found


CHECKS: dict[str, Callable[[Story], Iterator[str]]] = {
    "S3": find_lost,
    "S4": find_unasked,
    "S12 order": find_disorder,
    "S12 model": find_illegal_steps,
    "S13": find_untrue_refusals,
    "S13 ends": find_untrue_ends,
    "S18": find_stale_reads,
}


class Listed(Struct, frozen=True, rename="camel"):
    """A booking as the API tells it in the end."""

    id: int
    slot_id: int
    status: str
    seats_booked: int
    user_name: str | None


def find_differences(story: Story, free: int, listed: Mapping[int, Listed]) -> Iterator[Violation]:
    """S1: in the end the API tells what the tables have. `free` is what it says of the slot's seats."""
    if free != story.events[-1].available_after:
        sentence = f"the API says {free} seats are free, the ledger {story.events[-1].available_after}"
        yield Violation("S1", story.slot_id, sentence)
    for row in story.rows:
        told = Listed(row.id, story.slot_id, row.status, row.seats, row.marker)
        if listed.get(row.id) != told:
            yield Violation("S1", story.slot_id, f"the API says {listed.get(row.id)}, the tables {told}")


def find_broken_keys(attempts: Sequence[Attempt]) -> Iterator[Violation]:
    """S5, S6: one key, one booking, the same answer; not for another body, not for another caller."""
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
    answers = {attempt.body for attempt in own if _tells(attempt)}
    if len(answers) > 1:
        yield "S5", f"attempts {_numbers(own)} with one key were given {len(answers)} answers"
    for attempt in group:
        if attempt.purpose == "other_body" and attempt.outcome != "info" and answers and attempt.http_status != 422:
            yield (
                "S5",
                f"attempt {attempt.number}, another body with the key of {first.number}, got {attempt.http_status}",
            )
        # Two refusals may well be the same; a booking is somebody's.
        given = attempt.http_status == 422 or (attempt.outcome == "ok" and attempt.body in answers)
        if attempt.caller != first.caller and given:
            yield "S6", f"attempt {attempt.number} met the key of {first.number}, another caller's"


def _tells(attempt: Attempt) -> bool:
    """Whether it tells what became of the key's own request."""
    return attempt.outcome in {"ok", "fail"} and attempt.purpose != "other_body"


def _numbers(attempts: Iterable[Attempt]) -> list[int]:
    return [attempt.number for attempt in attempts]


def find_slow_answers(attempts: Iterable[Attempt]) -> Iterator[Violation]:
    """L3: every request is answered or reset within ten seconds, whatever is broken."""
    for attempt in attempts:
        if attempt.seconds > MOST_SECONDS:
            sentence = (
                f"attempt {attempt.number} to {attempt.name} took {attempt.seconds:.1f} s (fault {attempt.epoch})"
            )
            yield Violation("L3", attempt.slot_id, sentence)


def find_defects(attempts: Iterable[Attempt]) -> Iterator[Violation]:
    """P9: a server that does not know what to say (500), or says what nobody can read, has a defect."""
    for attempt in attempts:
        status = attempt.http_status
        if status is not None and ((status >= 500 and status != 503) or attempt.error == UNREADABLE):
            said = f"attempt {attempt.number} to {attempt.name} got {status} {attempt.error or ''}"
            yield Violation("P9", attempt.slot_id, said.rstrip())


def find_slow_recovery(recoveries: Sequence[float]) -> Iterator[Violation]:
    """L2: of a hundred heals, ninety-nine are followed by a booking within five seconds."""
    if recoveries and percentile(recoveries, 99) > RECOVERY_SECONDS:
        yield Violation("L2", 0, f"p99 of the time until a booking succeeds is {percentile(recoveries, 99):.1f} s")


def percentile(values: Sequence[float], percent: int) -> float:
    """By the nearest rank: the least value that so many percent do not exceed."""
    ranked = sorted(values)
    return ranked[max(0, -(-len(ranked) * percent // 100) - 1)]


def find_untold(attempts: Sequence[Attempt]) -> list[Attempt]:
    """One attempt for each key of which nobody knows what it came to."""
    told = {_request(attempt) for attempt in attempts if _tells(attempt)}
    own = [attempt for attempt in attempts if attempt.key is not None and attempt.purpose != "other_body"]
    return list({_request(attempt): attempt for attempt in own if _request(attempt) not in told}.values())


class Unknowns(Struct):
    """Attempts whose client was left without an answer, and what the evidence says became of them."""

    done: int = 0
    undone: int = 0
    by_key: int = 0

    @property
    def total(self) -> int:
        return self.done + self.undone


def resolve_unknowns(story: Story, unknowns: Unknowns) -> None:
    """By an answer to the same key where there is one, else by what the ledger has: it has everything, or nothing."""
    made = {row.marker for row in story.rows}
    effects = {(EFFECT_OF_KIND.get(event.kind), event.booking_id) for event in story.events}
    told = {_request(attempt) for attempt in story.attempts if attempt.key and _tells(attempt)}
    for attempt in story.attempts:
        if attempt.outcome != "info" or attempt.name == "read_booking" or attempt.purpose in REPEATS:
            continue
        unknowns.by_key += _request(attempt) in told
        done = attempt.marker in made if attempt.name == "hold" else (attempt.name, attempt.booking_id) in effects
        unknowns.done += done
        unknowns.undone += not done
