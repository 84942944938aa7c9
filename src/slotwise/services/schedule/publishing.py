"""Publishes the times and windows of schedule rules over a rolling horizon, and closes what opened in a closed time.

It only adds times and windows on days that were not published yet. What a rule no longer says stays until a person has
seen a preview of it.
"""

import asyncio
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta

import structlog
from msgspec import Struct
from msgspec.structs import replace

from slotwise.db.pool import Database
from slotwise.db.statements import RowId, Statement
from slotwise.domain.errors import InvalidInput
from slotwise.domain.schedule_changes import ScheduleChange
from slotwise.domain.schedule_diff import Difference
from slotwise.domain.schedule_previews import Preview, outline
from slotwise.domain.schedules import Rule, WantedSlot, WantedWindow
from slotwise.domain.timetables import Hours, slot_starts
from slotwise.domain.window_diff import only_added
from slotwise.services.core.seat_events import SeatsChanged, ignore_changes
from slotwise.services.schedule.applying import NewRun, apply_preview, runs_of
from slotwise.services.schedule.schedule_state import ReadSchedule, moved_times, moved_windows, read_schedule

ACTOR = "publisher"
# Of one transaction, which locks a doctor for about 100 ms.
SLOTS_AT_ONCE = 1_000
# In these, a doctor cannot have more slots than one outline may touch.
FEWEST_DAYS_AT_ONCE = 13
# While the database writes for one doctor, the times of another are computed.
HANDS = 2
NO_CHANGE = ScheduleChange()

log = structlog.get_logger()


class Claim(Struct, frozen=True):
    claimed: bool


class Piece(Struct, frozen=True):
    """One transaction's work for a doctor. `whole` if nothing is left to publish afterwards."""

    preview: Preview
    runs: list[NewRun]
    whole: bool


class PublishedElsewhere(Exception):
    """Another process publishes now."""


CLAIM_PUBLISHING = Statement("schedule/schedules.claim_publishing", Claim)
LIST_DUE_DOCTORS = Statement("schedule/schedules.list_due_doctors", RowId)


class Publisher:
    def __init__(self, database: Database, publish_days: int, seats_changed: SeatsChanged = ignore_changes) -> None:
        self._database = database
        self._publish_days = publish_days
        self._seats_changed = seats_changed
        self._writing = asyncio.Lock()

    async def publish_slots(self) -> int:
        """Publish what is due; return how many slots and windows were added.

        If another process publishes now, leave it to that.
        """
        until = datetime.now(UTC).date() + timedelta(days=self._publish_days)
        async with self._database.connection() as connection:
            due = await LIST_DUE_DOCTORS.all(connection, published_until=until)
        doctors = iter(due)
        done = await asyncio.gather(*(self._publish_some(doctors) for _ in range(HANDS)), return_exceptions=True)
        for each in done:
            if isinstance(each, BaseException):
                raise each
        added = sum(each for each in done if isinstance(each, int))
        if added:
            log.info("slots_published", slots_and_windows=added, doctors=len(due))
        return added

    async def _publish_some(self, doctors: Iterator[RowId]) -> int:
        """Publish one doctor after the other, until none is left for the hands or another process publishes."""
        added = 0
        for doctor in doctors:
            try:
                added += await self._publish_doctor(doctor.id)
            except PublishedElsewhere:
                break
            except InvalidInput as error:
                # A zone that this edition of the time zones does not have: other doctors' times do not wait for it.
                log.warning("publishing_refused", doctor=doctor.id, fields=[fault.field for fault in error.errors])
        return added

    async def _publish_doctor(self, doctor_id: int) -> int:
        """How many slots and windows were added."""
        added, whole = 0, False
        while not whole and (piece := await self._publish_piece(doctor_id)) is not None:
            added, whole = added + piece.preview.come + len(piece.preview.windows.add), piece.whole
        return added

    async def _publish_piece(self, doctor_id: int) -> Piece | None:
        """None if somebody changed the schedule in these milliseconds: the next round sees what they made of it."""
        async with self._database.connection() as connection:
            read = await read_schedule(connection, [doctor_id], self._publish_days)
        piece = await asyncio.to_thread(_next_piece, read)
        # One hand at a time: the other's claim would be refused.
        async with self._writing, self._database.transaction() as connection:
            if not (await CLAIM_PUBLISHING.one(connection)).claimed:
                raise PublishedElsewhere
            done = await apply_preview(connection, read, NO_CHANGE, piece.preview, piece.runs, ACTOR)
        if done.outcome == "changed":
            return None
        self._seats_changed(done.slot_ids or [])
        return piece


def _next_piece(read: ReadSchedule) -> Piece:
    target = read.state.published_until
    until = min(target, _first_missing(read) + timedelta(days=_days_at_once(read.state.rules)))
    preview = outline(replace(read.state, published_until=until), NO_CHANGE)
    add = sorted((slot for slot in preview.difference.add if _is_new(read, slot)), key=lambda slot: slot.local_start)
    if len(add) > SLOTS_AT_ONCE:
        until = max(add[SLOTS_AT_ONCE].local_start.date(), add[0].local_start.date() + timedelta(days=1))
        add = [slot for slot in add if slot.local_start.date() < until]
    close = tuple(slot for slot in preview.difference.close if slot.closure_id is not None)
    difference = Difference(add=tuple(add), close=close, skipped=preview.difference.skipped)
    closed = {slot.slot_id for slot in close}
    hits = tuple(hit for hit in preview.hits if hit.slot.id in closed)
    holds = tuple(hold for hold in preview.holds if hold.slot_id in closed)
    new = (window for window in preview.windows.add if _is_new(read, window) and window.local_start.date() < until)
    windows = only_added(preview.windows, read.state.windows, new)
    piece = replace(
        preview, come=len(add), go=len(close), hits=hits, holds=holds, difference=difference, windows=windows
    )
    return Piece(piece, _runs(read, piece, until), until == target)


def _days_at_once(rules: Iterable[Rule]) -> int:
    """About as many as fill one transaction: each piece reads all slots ahead of the doctor again."""
    weekly = sum(
        len(slot_starts(Hours(rule.opens, rule.closes), rule.slot_minutes, rule.break_minutes)) / rule.every_weeks
        for rule in rules
    )
    return max(FEWEST_DAYS_AT_ONCE, int(7 * SLOTS_AT_ONCE / max(weekly, 1)))


def _first_missing(read: ReadSchedule) -> date:
    """The first day that some rule is not published on."""
    today = read.state.now.astimezone(UTC).date() - timedelta(days=1)
    days = (
        run.published_until if (run := read.runs.get(rule.id)) else max(today, rule.first_day)
        for rule in read.state.rules
    )
    return min(days, default=read.state.published_until)


def _is_new(read: ReadSchedule, wanted: WantedSlot | WantedWindow) -> bool:
    """Whether it lies on a day that its rule was not published on yet."""
    run = read.runs.get(wanted.rule_id)
    return run is None or wanted.local_start.date() >= run.published_until


def _runs(read: ReadSchedule, preview: Preview, until: date) -> list[NewRun]:
    """A rule with times that a new edition of the time zones has moved keeps its edition, until a person applies it."""
    moved = {each.slot.rule_id for each in moved_times(read)} | {each.window.rule_id for each in moved_windows(read)}
    return [_run(read, run, run.rule_id in moved) for run in runs_of(preview, until)]


def _run(read: ReadSchedule, run: NewRun, moved: bool) -> NewRun:
    before = read.runs.get(run.rule_id)
    if before is None:
        return run
    tzdata = before.tzdata if moved else run.tzdata
    return replace(run, published_until=max(run.published_until, before.published_until), tzdata=tzdata)
