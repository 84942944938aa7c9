"""Open time: what was offered can be held (P7), who is refused met somebody who was faster (S13), no doctor has two
visits at once (S22), and nothing is carved where no open time is (S24)."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile

from torture.history import Attempt
from torture.open_times import NEVER, Changes, OpenTimes, Visit, in_the_way
from torture.rules.visits import EXEMPT
from torture.violation import CLOCK_SECONDS, Violation

FASTER = "slot-full"
GONE = "time-gone"
CLOSED = "slot-closed"
# Another body with the same key. `find_broken_keys` judges it.
REUSED = "idempotency-key-reused"


def find_unheld_offers(attempts: Sequence[Attempt], times: OpenTimes) -> Iterator[Violation]:
    """P7: what was offered is refused only because somebody was faster, or because it was closed or its hours ended
    since it was offered, or to a patient who was not offered it: only the desk was."""
    changes = Changes(attempts)
    asked = _first_asked(attempts)
    for attempt in _refused(attempts):
        if attempt.code in {FASTER, REUSED} or _is_barred(attempt):
            continue
        if not _has_gone(attempt, asked[attempt.asks_again], times, changes):
            told = f"attempt {attempt.number} got {attempt.http_status} {attempt.code} for a time that was offered"
            yield Violation("P7", attempt.slot_id, told)


def find_early_times(attempts: Sequence[Attempt]) -> Iterator[Violation]:
    """S13 times: no patient holds a visit in open time whose notice has begun, or whose horizon is nearer."""
    for attempt in attempts:
        offer = attempt.offer
        if offer is not None and offer.barred and attempt.outcome == "ok" and attempt.caller not in EXEMPT:
            told = f"attempt {attempt.number} was given a visit that only the desk can book ({offer.barred})"
            yield Violation("S13 times", attempt.slot_id, told)


def find_missing_bookings(attempts: Sequence[Attempt]) -> Iterator[Violation]:
    """S3: a booking that a form made in open time exists. The form's answer does not tell its slot: the tables do."""
    for attempt in attempts:
        if attempt.is_carving and attempt.booked and not attempt.slot_id:
            yield Violation("S3", 0, f"booking {attempt.booked}, acknowledged to attempt {attempt.number}, is missing")


def find_uncounted_offers(attempts: Sequence[Attempt], counted: Mapping[str, int]) -> Iterator[Violation]:
    """P7 counter: the server counts no other refusals of what was offered than those that clients got, or can have got
    with an answer that was lost."""
    told = Counter(attempt.code for attempt in _refused(attempts))
    lost = sum(attempt.offer is not None and attempt.outcome in {"info", None} for attempt in attempts)
    for reason, count in counted.items():
        if count > told[reason] + lost:
            sentence = f"the server counts {count} refusals of offered times for {reason}, clients got {told[reason]}"
            yield Violation("P7", 0, f"{sentence} and lost {lost} answers")


def find_untrue_fulls(attempts: Sequence[Attempt], times: OpenTimes) -> Iterator[Violation]:
    """S13 times: who is told that a time in open time is taken met a live visit or a published slot in its way, at some
    instant between request and answer. A refusal is kept for its key: it was true at its first answer."""
    changes = Changes(attempts)
    asked = _first_asked(attempts)
    for attempt in _refused(attempts):
        if (
            attempt.code == FASTER
            and attempt.is_carving
            and not _was_taken(attempt, asked[attempt.asks_again], times, changes)
        ):
            told = f"attempt {attempt.number} was told that its time is taken, but nothing was in its way"
            yield Violation("S13 times", attempt.slot_id, told)


def find_visits_at_once(times: OpenTimes) -> Iterator[Violation]:
    """S22: at no instant did a doctor have two live visits that overlap, buffers included, whatever their slots say.
    Visits of one slot take place together."""
    of_doctor: dict[int, list[Visit]] = defaultdict(list)
    for visit in sorted(times.visits, key=lambda visit: visit.begin):
        of_doctor[visit.doctor_id].append(visit)
    for visits in of_doctor.values():
        for place, one in enumerate(visits):
            near = takewhile(lambda other, one=one: other.begin < one.busy_until, visits[place + 1 :])  # type: ignore[misc]
            for other in near:
                if one.slot_id != other.slot_id and _live_at_once(one, other):
                    told = f"bookings {one.booking_id} and {other.booking_id} (slot {other.slot_id}) overlap"
                    yield Violation("S22", one.slot_id, f"doctor {one.doctor_id} had two visits at once: {told}")


def find_stray_visits(attempts: Sequence[Attempt], times: OpenTimes) -> Iterator[Violation]:
    """S24: a visit is carved only out of a window that is open then, and where no closure is in force."""
    changes = Changes(attempts)
    for visit in times.visits:
        if not visit.is_carved:
            continue
        if not any(
            window.contains(visit.doctor_id, visit.begin, visit.end)
            and window.added_at <= visit.taken_at + CLOCK_SECONDS
            and visit.taken_at <= (window.closed_at or NEVER) + CLOCK_SECONDS
            for window in times.windows
        ):
            yield Violation("S24", visit.slot_id, f"booking {visit.booking_id} was carved where no window was open")
        if any(
            closure.touches(visit.doctor_id, visit.begin, visit.end)
            and changes.visible_by(visit.doctor_id, closure.added_at) < visit.taken_at - CLOCK_SECONDS
            and visit.taken_at < (closure.removed_at or NEVER) - CLOCK_SECONDS
            for closure in times.closures
        ):
            yield Violation("S24", visit.slot_id, f"booking {visit.booking_id} was carved in a closure")


def _refused(attempts: Sequence[Attempt]) -> Iterator[Attempt]:
    return (attempt for attempt in attempts if attempt.offer is not None and attempt.outcome == "fail")


def _first_asked(attempts: Sequence[Attempt]) -> dict[object, float]:
    first: dict[object, float] = {}
    for attempt in attempts:
        if attempt.offer is not None:
            first.setdefault(attempt.asks_again, attempt.began_at)
    return first


def _is_barred(refused: Attempt) -> bool:
    offer = refused.offer
    return offer is not None and offer.to_desk and refused.code == offer.barred and refused.caller not in EXEMPT


def _has_gone(refused: Attempt, asked: float, times: OpenTimes, changes: Changes) -> bool:
    """Whether it can have been offered, and can have been closed when it was refused."""
    offer = refused.offer
    assert offer is not None
    offered, ended = offer.offered_at - CLOCK_SECONDS, refused.ended_at + CLOCK_SECONDS

    def since(at: float) -> bool:
        return at <= ended and changes.visible_by(offer.doctor_id, at) >= offered

    if offer.slot_id is not None:
        closings = [one.closed_at for one in times.published if one.slot_id == offer.slot_id]
        return refused.code == CLOSED and any(since(at) for at in closings)
    window_closed = any(
        window.closed_at is not None and since(window.closed_at)
        for window in times.windows
        if window.contains(offer.doctor_id, offer.begin, offer.end)
    )
    closed = any(
        since(closure.added_at)
        and changes.visible_by(offer.doctor_id, closure.removed_at or NEVER) >= asked - CLOCK_SECONDS
        for closure in times.closures
        if closure.touches(offer.doctor_id, offer.begin, offer.end)
    )
    return refused.code == GONE and (window_closed or closed)


def _was_taken(refused: Attempt, asked: float, times: OpenTimes, changes: Changes) -> bool:
    offer = refused.offer
    assert offer is not None
    begin, end = asked - CLOCK_SECONDS, refused.ended_at + CLOCK_SECONDS
    by_visit = any(
        visit.taken_at <= end and visit.until >= begin
        for visit in times.visits
        if in_the_way(offer, visit.doctor_id, visit.begin, visit.busy_until)
    )
    return by_visit or any(
        slot.opened_at <= end and changes.visible_by(slot.doctor_id, slot.closed_at) >= begin
        for slot in times.published
        if in_the_way(offer, slot.doctor_id, slot.begin, slot.end)
    )


def _live_at_once(one: Visit, other: Visit) -> bool:
    return max(one.taken_at, other.taken_at) < min(one.until, other.until) - CLOCK_SECONDS
