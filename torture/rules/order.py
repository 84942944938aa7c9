"""The ledger is a legal order of the clients' requests (S12). Real-time order as in Jepsen: if a request ended before
another began, it comes first in the ledger."""

from collections.abc import Iterator
from itertools import groupby

from torture.slot_history import EFFECT_OF_KIND, RELEASING, TAKING, Event, SlotHistory, of_schedule, spans


def find_disorder(history: SlotHistory) -> Iterator[str]:
    """S12: the ledger's order agrees with the order that the clients saw."""
    known = spans(history)
    latest, by = float("-inf"), 0
    for event in history.events:
        span = known.get((EFFECT_OF_KIND.get(event.kind, ""), event.booking_id or 0))
        # A change of the schedule may have cancelled it before a client did.
        if span is None or of_schedule(history, event):
            continue
        if span.ended < latest:
            yield f"event {event.sequence} ended before event {by} began, but comes after it in the ledger"
        if span.began > latest:
            latest, by = span.began, event.sequence


def find_illegal_steps(history: SlotHistory) -> Iterator[str]:
    """S12: doing the same requests one by one in the ledger's order gives the same numbers of free seats."""
    live: dict[int | None, int] = {}
    for event in history.events:
        if event.kind in TAKING:
            live[event.booking_id] = event.seats
        elif event.kind in RELEASING:
            live.pop(event.booking_id, None)
        free = event.total_after - sum(live.values())
        if free < 0 or free != event.available_after:
            yield f"event {event.sequence} leaves {event.available_after} seats free, but {free} would be right"


def find_stray_seats(history: SlotHistory) -> Iterator[str]:
    """S12: seats that were added for a booking go away in the transaction that ends it, neither more nor fewer."""
    added: dict[int | None, int] = {}
    total = 0
    for _, group in groupby(history.events, key=lambda event: event.transaction or -event.sequence):
        together = list(group)
        change = together[-1].total_after - total if total else 0
        total = together[-1].total_after
        expected = -sum(added.pop(event.booking_id, 0) for event in together if event.kind == "CANCELLED")
        if _overbooks(together):
            added[together[-1].booking_id] = change
        elif change != expected and (expected or not _by_an_admin(history, together)):
            first = together[0].sequence
            yield f"the transaction of event {first} changes the total by {change}, but {expected} would be right"


def _overbooks(together: list[Event]) -> bool:
    return [event.kind for event in together[-2:]] == ["RESIZED", "BOOKED"]


def _by_an_admin(history: SlotHistory, together: list[Event]) -> bool:
    """A change of the schedule also ends holds."""
    return all(event.booking_id is None or event.kind == "EXPIRED" or of_schedule(history, event) for event in together)
