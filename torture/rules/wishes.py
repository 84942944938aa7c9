"""What the desk does for a patient who asked for it is noted, and nothing else is."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from torture.history import Attempt
from torture.violation import Violation

# What may cancel a booking. A change of schedules may, too, but none by the receptionists' slots.
ENDING = {"cancel", "release", "change_seats"}


def find_wrong_wishes(attempts: Sequence[Attempt], noted: Mapping[int, bool]) -> Iterator[Violation]:
    """S3 wish: a cancelled booking has the note that its patient asked for it if all who can have cancelled it said so,
    and none if no one did. `noted` tells it of each cancelled booking."""
    ended: dict[int, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.name in ENDING and attempt.outcome != "fail" and attempt.booking_id is not None:
            ended[attempt.booking_id].append(attempt)
    for booking_id, has_note in noted.items():
        asked = {attempt.asked for attempt in ended[booking_id]}
        slot_id = ended[booking_id][0].slot_id if asked else 0
        if has_note and True not in asked:
            yield Violation("S3 wish", slot_id, f"booking {booking_id} has a wish of its patient that no one noted")
        if not has_note and asked == {True}:
            yield Violation("S3 wish", slot_id, f"booking {booking_id} lacks the wish of its patient, which was ticked")
