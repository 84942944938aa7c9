"""Writes what an outline says, in one call of the database, or nothing."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Literal

import msgspec
from msgspec import Struct

from slotwise.db.pool import Connection
from slotwise.db.statements import Statement
from slotwise.domain.fields import LAST_READABLE_TIME
from slotwise.domain.schedule_changes import ScheduleChange
from slotwise.domain.schedule_previews import FIRST_NEW_ID, Preview, lengths_after
from slotwise.domain.schedules import Closure, Rule, SkippedSlot
from slotwise.domain.time_zones import EDITION
from slotwise.services.core.audit import encoded, request_id
from slotwise.services.schedule.schedule_state import ReadSchedule

# Of each rule, kept for people to look at.
MOST_SKIPPED = 100


class AppliedRow(Struct, frozen=True):
    """`slot_ids` are all slots that changed or were added."""

    outcome: Literal["applied", "changed"]
    new_rule_ids: list[int] | None
    new_closure_ids: list[int] | None
    slot_ids: list[int] | None
    cancelled_holds: int | None


class Note(Struct, frozen=True):
    """What the audit log says of the change."""

    subject: str
    details: Mapping[str, object]


class NewRun(Struct, frozen=True):
    """How far a rule is published then, and what was left out, as it is kept in JSON."""

    rule_id: int
    published_until: date
    tzdata: str
    skipped: Sequence[Mapping[str, object]]


# Nothing was done, and the database does not say more.
CHANGED = AppliedRow("changed", None, None, None, None)
APPLY_SCHEDULE = Statement("schedule/schedules.apply_schedule", AppliedRow)


async def apply_preview(
    connection: Connection,
    read: ReadSchedule,
    change: ScheduleChange,
    preview: Preview,
    runs: Sequence[NewRun],
    actor: str,
    note: Note | None = None,
) -> AppliedRow:
    """`preview` was made from `read`. Nothing is done if the schedule, or a booking it names, has changed since."""
    difference = preview.difference
    rules, closures = _Written(read.state.rules, preview.rules), _Written(read.state.closures, preview.closures)
    known = read.state.visit_types
    lengths = [each for each in lengths_after(known, change).values() if each != known[each.id]]
    stamps = [*difference.reopen, *difference.restamp]
    windows = preview.windows
    hit_slots, takeover = _hit_slots(preview), preview.takeover
    done = await APPLY_SCHEDULE.first(
        connection,
        touched_slot_ids=sorted({*hit_slots, *difference.touched_ids}),
        colleague_id=None if takeover is None else takeover.colleague_id,
        taken_slot_ids=[] if takeover is None else [each.slot_id for each in takeover.taken],
        taken_closures=[] if takeover is None else [each.closure_id for each in takeover.taken],
        room_slot_ids=[] if takeover is None else takeover.room,
        doctor_ids=read.doctor_ids,
        starts_from=read.starts_from,
        starts_before=LAST_READABLE_TIME,
        fingerprint=read.fingerprint,
        first_new_id=FIRST_NEW_ID,
        rules=_json(rules.kept),
        removed_rule_ids=rules.removed,
        closures=_json(closures.kept),
        removed_closure_ids=closures.removed,
        clinic_ids=[zone.clinic_id for zone in change.change_zones],
        time_zones=[zone.time_zone for zone in change.change_zones],
        type_ids=[length.id for length in lengths],
        type_minutes=[length.minutes for length in lengths],
        type_buffers=[length.buffer_minutes for length in lengths],
        added_rule_ids=[slot.rule_id for slot in difference.add],
        added_starts=[slot.start_time for slot in difference.add],
        added_ends=[slot.end_time for slot in difference.add],
        added_local_starts=[slot.local_start for slot in difference.add],
        closed_slot_ids=[slot.slot_id for slot in difference.close],
        closed_by=[slot.closure_id for slot in difference.close],
        drifted_slot_ids=difference.drift,
        undrifted_slot_ids=difference.undrift,
        reopened_slot_ids=[stamp.slot_id for stamp in difference.reopen],
        stamped_slot_ids=[stamp.slot_id for stamp in stamps],
        stamped_versions=[stamp.rule_version for stamp in stamps],
        stamped_local_starts=[stamp.local_start for stamp in stamps],
        stamped_closures=[stamp.closure_id for stamp in stamps],
        changed_slot_ids=[each.slot_id for each in difference.change],
        changed_seats=[each.seats for each in difference.change],
        hit_slot_ids=hit_slots,
        booking_ids=sorted(hit.booking.id for hit in preview.hits),
        cancelled_ids=[hit.booking.id for hit in preview.cancelled],
        messages=[hit.message for hit in preview.cancelled],
        runs=_json(runs),
        closed_window_ids=[window.id for window in windows.close],
        window_rule_ids=[window.rule_id for window in windows.add],
        window_starts=[window.start_time for window in windows.add],
        window_ends=[window.end_time for window in windows.add],
        window_local_starts=[window.local_start for window in windows.add],
        actor=actor,
        subject=None if note is None else note.subject,
        details=None if note is None else encoded(note.details),
        request_id=request_id(),
    )
    return CHANGED if done is None else done


class _Written:
    """The rows that are added or changed, and the ids of those that are removed."""

    def __init__(self, before: Iterable[Rule | Closure], after: Iterable[Rule | Closure]) -> None:
        known = {row.id: row for row in before}
        written = [row for row in after if known.get(row.id) != row]
        self.kept = [row for row in written if row.removed_at is None]
        self.removed = [row.id for row in written if row.removed_at is not None]


def _hit_slots(preview: Preview) -> list[int]:
    """Those whose bookings the change concerns. Of a slot that gets fewer seats, it concerns holds only."""
    closed = {slot.slot_id for slot in preview.difference.close}
    held = {hold.slot_id for hold in preview.holds} - {each.slot_id for each in preview.difference.change}
    booked = {hit.slot.id for hit in preview.hits} | held
    return sorted(booked | closed | {*preview.difference.drift})


def runs_of(preview: Preview, published_until: date) -> list[NewRun]:
    """For each rule that applies then, if it is published until the day before that one."""
    skipped: dict[int | None, list[SkippedSlot]] = {}
    for slot in preview.skipped:
        skipped.setdefault(slot.rule_id, []).append(slot)
    rules = (rule for rule in preview.rules if rule.removed_at is None)
    return [
        NewRun(rule.id, published_until, EDITION, [_outline(slot) for slot in skipped.get(rule.id, [])[:MOST_SKIPPED]])
        for rule in rules
    ]


def _outline(slot: SkippedSlot) -> dict[str, object]:
    return {
        "local_start": slot.local_start,
        "reason": slot.reason,
        "other_rule_id": slot.other_rule_id,
        "other_slot_id": slot.other_slot_id,
    }


def _json(rows: Any) -> str:
    return msgspec.json.encode(rows).decode()
