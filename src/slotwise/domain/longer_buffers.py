"""Longer buffers of visit types: which slots they make busy for longer, and where there is no room for that."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TypeAlias

from msgspec.structs import replace

from slotwise.domain.schedule_diff import Difference, ExistingSlot

Period: TypeAlias = tuple[datetime, datetime]


class LongerBuffers:
    """`grown` has the types whose buffers become longer, with their new minutes.

    `booked_until` says, by slot, until when its booked visits then take the doctor's time, if they have a buffer.
    """

    def __init__(self, grown: Mapping[int, int], booked_until: Mapping[int, datetime]) -> None:
        self._grown, self._booked_until = grown, booked_until

    def lengthen(self, slot: ExistingSlot) -> ExistingSlot:
        """The slot with its new buffer. A drifted one keeps its own: nobody else can book it."""
        if slot.drifted or not self._grown:
            return slot
        offered = (self._grown.get(each, 0) for each in slot.visit_type_ids or ())
        offered_until = slot.end_time + timedelta(minutes=max(offered, default=0))
        busy_end = max(slot.busy_end, offered_until, self._booked_until.get(slot.id, slot.end_time))
        return replace(slot, busy_until=busy_end) if busy_end > slot.busy_end else slot

    def first_overlapped(self, slots: Iterable[ExistingSlot], difference: Difference) -> Period | None:
        """The first time into which a new buffer reaches when the difference is done."""
        if not self._grown:
            return None
        lasting = list(_lasting(slots, difference))
        taken: dict[int, list[Period]] = defaultdict(list)
        for slot in lasting:
            taken[slot.doctor_id].append((slot.start_time, slot.end_time))
        for added in difference.add:
            taken[added.doctor_id].append((added.start_time, added.end_time))
        for periods in taken.values():
            periods.sort()
        found = (self._overlapped(slot, taken[slot.doctor_id]) for slot in lasting)
        return min((period for period in found if period is not None), default=None)

    def _overlapped(self, slot: ExistingSlot, taken: list[Period]) -> Period | None:
        busy_end = self.lengthen(slot).busy_end
        if busy_end == slot.busy_end:
            return None
        place = bisect_left(taken, (slot.end_time, slot.end_time))
        return taken[place] if place < len(taken) and taken[place][0] < busy_end else None


def _lasting(slots: Iterable[ExistingSlot], difference: Difference) -> Iterator[ExistingSlot]:
    """Those that take time when the difference is done, with the buffers and marks that it gives them."""
    closed = {each.slot_id for each in difference.close}
    reopened = {each.slot_id for each in difference.reopen}
    busy_until = {each.slot_id: each.busy_until for each in difference.change}
    drifted, undrifted = frozenset(difference.drift), frozenset(difference.undrift)
    for slot in slots:
        if slot.confirmed > 0 if slot.id in closed else slot.takes_time or slot.id in reopened:
            marked = (slot.drifted or slot.id in drifted) and slot.id not in undrifted
            yield replace(slot, drifted=marked, busy_until=busy_until.get(slot.id, slot.busy_until))
