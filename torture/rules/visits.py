"""Holds keep the rules of visit types."""

from collections.abc import Iterator

from torture.slot_history import SlotHistory

# They may book in spite of the rules. A change of seats comes from a page that nobody has logged in to.
EXEMPT = {"desk", "staff"}
TOO_LATE = "too-late-to-book"


def find_early_visits(history: SlotHistory) -> Iterator[str]:
    """S13 visits: a patient never holds a visit whose notice has begun, and is told so only for such a visit."""
    for attempt in history.attempts:
        if attempt.name not in {"hold", "change_seats"}:
            continue
        exempt = attempt.name == "hold" and attempt.caller in EXEMPT
        strict = attempt.visit == "strict" and not exempt
        if strict and attempt.outcome == "ok":
            yield f"attempt {attempt.number} was given a visit that needs a longer notice"
        if attempt.code == TOO_LATE and not strict:
            yield f"attempt {attempt.number} for {attempt.visit or 'no visit type'} was told that it is too late"
