"""Offered times: what a person chooses from, a published slot or a part of a window, as it was when it was offered."""

from datetime import datetime, timedelta

from msgspec import Struct

# How long a person may choose from what was offered.
KEPT = timedelta(hours=24)


class OfferedTime(Struct, frozen=True, array_like=True):
    """In a window or, if `window_id` is None, in a slot. `for_desk` if it was offered to the desk."""

    window_id: int | None
    slot_id: int | None
    start_time: datetime
    end_time: datetime
    visit_type_id: int | None
    issued_at: datetime
    for_desk: bool = False

    def is_old(self, now: datetime) -> bool:
        return now - self.issued_at >= KEPT
