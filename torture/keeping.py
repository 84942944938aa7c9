"""The files that a failing run keeps, and how to show them."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from torture.history import Attempt, read_history
from torture.slot_history import Event


def keep_ledger(folder: Path, slot_id: int, events: Sequence[Event]) -> None:
    """Write a slot's ledger beside the history."""
    lines = [msgspec.json.encode(event).decode() for event in events]
    _ledger_of(folder, slot_id).write_text("\n".join(lines) + "\n")


def tell(folder: Path, slot_id: int) -> Iterator[str]:
    """A slot's requests with their answers, and its ledger, in order of time."""
    lines = [(attempt.began_at, _asked(attempt)) for attempt in read_history(folder / "history.jsonl")
             if attempt.slot_id == slot_id]  # fmt: skip
    ledger = _ledger_of(folder, slot_id)
    if ledger.exists():
        events = [msgspec.json.decode(line, type=Event) for line in ledger.read_text().splitlines()]
        lines += [(event.at, _written(event)) for event in events]
    for at, line in sorted(lines):
        yield f"{datetime.fromtimestamp(at, UTC):%H:%M:%S.%f}  {line}"


def _ledger_of(folder: Path, slot_id: int) -> Path:
    return folder / f"ledger-{slot_id}.jsonl"


def _asked(attempt: Attempt) -> str:
    booking = f" booking {attempt.booking_id or attempt.booked}" if attempt.booking_id or attempt.booked else ""
    heard = f"{attempt.outcome} {attempt.http_status or attempt.error or ''}"
    free = attempt.answer.available_seats if attempt.answer else None
    told = "" if free is None else f", {free} free"
    return (
        f"{attempt.number:>8}  {attempt.caller:<10} {attempt.name}{booking} x{attempt.seats} ({attempt.purpose}) -> "
        f"{heard}{told} after {attempt.seconds * 1000:.0f} ms"
    )


def _written(event: Event) -> str:
    booking = f" booking {event.booking_id}" if event.booking_id else ""
    return (
        f"  LEDGER  {event.sequence:>6}  {event.kind}{booking} x{event.seats} -> "
        f"{event.available_after} of {event.total_after} free"
    )
