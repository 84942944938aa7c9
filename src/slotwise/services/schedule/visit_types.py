"""The use cases of visit types."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Literal, Protocol

from msgspec import Struct
from msgspec.structs import replace

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import RowId, Statement
from slotwise.domain.errors import ChangedMeanwhile, InvalidInput, SlotOverlaps, VisitTypeInUse, VisitTypeNotFound
from slotwise.domain.slots import Slot
from slotwise.domain.users import User, actor_of
from slotwise.domain.visit_types import (
    FIELDS,
    VisitType,
    VisitTypeChange,
    VisitTypeFields,
    clean_visit_type,
    clean_visit_type_ids,
    fields_of,
)
from slotwise.services.core.audit import changes, encoded, record_action, request_id
from slotwise.services.core.seat_events import EVERY_SLOT, SeatsChanged, ignore_changes

CREATE_VISIT_TYPE = Statement("schedule/visit_types.create_visit_type", VisitType)
GET_VISIT_TYPE = Statement("schedule/visit_types.get_visit_type", VisitType)
GET_VISIT_TYPES = Statement("schedule/visit_types.get_visit_types", VisitType)
LIST_VISIT_TYPES = Statement("schedule/visit_types.list_visit_types", VisitType)
LOCK_VISIT_TYPE = Statement("schedule/visit_types.lock_visit_type", VisitType)
UPDATE_VISIT_TYPE = Statement("schedule/visit_types.update_visit_type", VisitType)

# More than a page can usefully let people choose from.
MOST_CHOOSABLE = 1_000
# For patients, or long: the log only says that they were changed.
_NOT_NOTED = ("video_link", "instructions")


class OfferedTypes(Struct, frozen=True):
    """The types of a slot: each id once and in order, None for none; and how long the doctor is busy afterwards."""

    ids: list[int] | None = None
    buffer_minutes: int = 0

    def busy_until(self, end: datetime) -> datetime:
        return end + timedelta(minutes=self.buffer_minutes)


NO_TYPES = OfferedTypes()


class VisitTypesSet(Struct, frozen=True):
    """The result of giving a slot other visit types, with the slot that its buffer would overlap, if any."""

    outcome: Literal["updated", "too_short", "overlaps"]
    overlapped_start: datetime | None
    overlapped_end: datetime | None
    overlapped_closed: bool | None
    updated_at: datetime | None


class Overlapping(Protocol):
    """The result of a change that would overlap another slot, with that slot."""

    @property
    def outcome(self) -> str: ...
    @property
    def overlapped_start(self) -> datetime | None: ...
    @property
    def overlapped_end(self) -> datetime | None: ...
    @property
    def overlapped_closed(self) -> bool | None: ...


class OverlappedSlot(Struct, frozen=True):
    """A slot that a longer buffer of another would overlap."""

    overlapped_start: datetime
    overlapped_end: datetime
    overlapped_closed: bool


class Found(Struct, frozen=True):
    found: bool


class TypesTogether(Struct, frozen=True):
    visit_type_ids: list[int]


IS_PAST_CHANGE_DEADLINE = Statement("schedule/visit_types.is_past_change_deadline", Found)
IS_IN_RULES = Statement("schedule/visit_types.is_in_rules", Found)
LENGTHEN_BUFFERS = Statement("schedule/visit_types.lengthen_buffers", OverlappedSlot)
LIST_BOOKABLE_TYPES = Statement("schedule/visit_types.list_bookable_types", RowId)
LIST_TYPES_TOGETHER = Statement("schedule/visit_types.list_types_together", TypesTogether)
SET_VISIT_TYPES = Statement("schedule/visit_types.set_visit_types", VisitTypesSet)


class VisitTypes:
    def __init__(self, database: Database, seats_changed: SeatsChanged = ignore_changes) -> None:
        self._database = database
        self._seats_changed = seats_changed

    async def create_visit_type(self, admin: User, fields: VisitTypeFields) -> VisitType:
        """Raises `InvalidInput`."""
        cleaned = clean_visit_type(fields)
        async with self._database.transaction() as connection:
            made = await add_visit_type(connection, cleaned)
            await record_action(connection, actor_of(admin), "create_visit_type", f"visit_type:{made.id}")
        return made

    async def get_visit_type(self, visit_type_id: int) -> VisitType:
        """Raises `VisitTypeNotFound`."""
        async with self._database.connection() as connection:
            found = await GET_VISIT_TYPE.first(connection, visit_type_id=visit_type_id)
        if found is None:
            raise VisitTypeNotFound
        return found

    async def get_visit_types(self, ids: Sequence[int]) -> list[VisitType]:
        """Those of them that there are, by id."""
        if not ids:
            return []
        async with self._database.connection() as connection:
            return await GET_VISIT_TYPES.all(connection, visit_type_ids=ids)

    async def list_visit_types(
        self, after_id: int = 0, limit: int = MOST_CHOOSABLE, *, for_desk: bool = False
    ) -> list[VisitType]:
        """By id, after that one. Only those that patients can book, unless `for_desk`."""
        async with self._database.connection() as connection:
            return await LIST_VISIT_TYPES.all(connection, after_id=after_id, limit=limit, for_desk=for_desk)

    async def update_visit_type(
        self, admin: User, visit_type_id: int, change: VisitTypeChange, versions: frozenset[int] | None = None
    ) -> VisitType:
        """Raises `InvalidInput`, and `ChangedMeanwhile` if the type no longer has one of these versions.

        Raises `VisitTypeInUse` for another length or buffer of a type that rules have: their times move by a change
        of the schedule, which a person has seen. Slots that have the type keep their end. A longer buffer counts for
        them at once, and raises `SlotOverlaps` if it reaches into another slot; a shorter one, when they are changed.
        """
        async with self._database.transaction() as connection:
            before = await LOCK_VISIT_TYPE.first(connection, visit_type_id=visit_type_id)
            if before is None:
                raise VisitTypeNotFound
            if versions is not None and before.version not in versions:
                raise ChangedMeanwhile(before, before.version)
            wanted = clean_visit_type(change.applied_to(fields_of(before)))
            if wanted == fields_of(before):
                return before
            await _refuse_moving(connection, before, wanted)
            values = _values(wanted)
            after = await UPDATE_VISIT_TYPE.one(connection, visit_type_id=visit_type_id, **values)
            details = _noted(before, after)
            await record_action(
                connection, actor_of(admin), "update_visit_type", f"visit_type:{visit_type_id}", details
            )
            # Last, because it locks slots until the commit.
            await _lengthen_buffers(connection, before, after)
        # What patients can book may have changed, in any number of slots.
        self._seats_changed([EVERY_SLOT])
        return after

    async def list_types_of_same_hours(self, visit_type_id: int) -> list[VisitType]:
        """The others that get another length only together with it: they share hours with it or with one of these."""
        async with self._database.connection() as connection:
            together = await LIST_TYPES_TOGETHER.all(connection, today=_yesterday())
        found, before = {visit_type_id}, set[int]()
        while found != before:
            before = found
            found = before.union(*(each.visit_type_ids for each in together if before & {*each.visit_type_ids}))
        return await self.get_visit_types(sorted(found - {visit_type_id}))

    async def is_past_change_deadline(self, visit_type_id: int, start_time: datetime) -> bool:
        """Whether a patient is now refused to change a confirmed visit of the type that starts then."""
        async with self._database.connection() as connection:
            found = await IS_PAST_CHANGE_DEADLINE.one(connection, visit_type_id=visit_type_id, start_time=start_time)
        return found.found

    async def list_bookable_types(self, slot: Slot) -> list[int]:
        """Those visit types of the slot that patients can book now, by id."""
        if slot.visit_type_ids is None:
            return []
        async with self._database.connection() as connection:
            found = await LIST_BOOKABLE_TYPES.all(
                connection, visit_type_ids=slot.visit_type_ids, start_time=slot.start_time
            )
        return [one.id for one in found]

    async def set_visit_types(self, account: User, slot: Slot, visit_type_ids: Sequence[int] | None) -> Slot:
        """Give the slot other types, or none. Raises `InvalidInput`, and `SlotOverlaps` because of their buffer.

        Bookings keep the type that they were made for.
        """
        async with self._database.connection() as connection:
            types = await require_visit_types(connection, visit_type_ids, slot.duration_minutes)
        wanted = replace(slot, visit_type_ids=types.ids)
        async with self._database.effect() as connection:
            done = await SET_VISIT_TYPES.one(
                connection,
                slot_id=slot.id,
                visit_type_ids=types.ids,
                actor=actor_of(account),
                details=encoded(changes(slot, wanted, "visit_type_ids")),
                request_id=request_id(),
            )
        if done.outcome == "too_short":
            raise InvalidInput.of("visit_type_ids", "names a visit type that takes longer than the time by now")
        refuse_overlap(done)
        self._seats_changed([slot.id])
        return wanted if done.updated_at is None else replace(wanted, updated_at=done.updated_at)


async def _refuse_moving(connection: Connection, before: VisitType, wanted: VisitTypeFields) -> None:
    """The type's lock is held. Whoever gives it to a rule locks it, too."""
    if lengths_of(before) == lengths_of(wanted):
        return
    if (await IS_IN_RULES.one(connection, visit_type_id=before.id, today=_yesterday())).found:
        raise VisitTypeInUse


async def _lengthen_buffers(connection: Connection, before: VisitType, after: VisitType) -> None:
    if after.buffer_minutes <= before.buffer_minutes:
        return
    overlapped = await LENGTHEN_BUFFERS.first(connection, visit_type_ids=[after.id])
    if overlapped is not None:
        period = (overlapped.overlapped_start, overlapped.overlapped_end)
        raise SlotOverlaps(period=period, closed=overlapped.overlapped_closed)


def _yesterday() -> date:
    """In some zone it is still that day."""
    return datetime.now(UTC).date() - timedelta(days=1)


def lengths_of(visit_type: VisitType | VisitTypeFields) -> tuple[int, int]:
    return visit_type.minutes, visit_type.buffer_minutes


async def add_visit_type(connection: Connection, fields: VisitTypeFields) -> VisitType:
    """The fields must be clean."""
    values = _values(fields)
    return await CREATE_VISIT_TYPE.one(connection, **values)


def _values(fields: VisitTypeFields) -> Mapping[str, object]:
    """As arguments of the statements that write them."""
    return {
        "name": fields.name,
        "minutes": fields.minutes,
        "buffer_minutes": fields.buffer_minutes,
        "mode": fields.mode,
        "video_link": fields.video_link,
        "instructions": fields.instructions,
        "min_notice_minutes": fields.min_notice_minutes,
        "horizon_days": fields.horizon_days,
        "change_deadline_minutes": fields.change_deadline_minutes,
        "max_live_per_patient": fields.max_live_per_patient,
        "patients": fields.patients,
        "bookable_by": fields.bookable_by,
        "active": fields.active,
    }


def _noted(before: VisitType, after: VisitType) -> dict[str, object]:
    plain = changes(before, after, *(name for name in FIELDS if name not in _NOT_NOTED))
    return plain | {name: True for name in _NOT_NOTED if getattr(before, name) != getattr(after, name)}


async def require_visit_types(connection: Connection, ids: Sequence[int] | None, minutes: int) -> OfferedTypes:
    """These types for a slot or a rule whose visits take so many minutes.

    Raises `InvalidInput` naming `visit_type_ids` if a type does not exist or takes longer. Types are never deleted, so
    what was found stays true. An inactive type may be kept: it is offered again when it becomes active.
    """
    wanted = clean_visit_type_ids(None if ids is None else list(ids))
    if wanted is None:
        return NO_TYPES
    found = {one.id: one for one in await GET_VISIT_TYPES.all(connection, visit_type_ids=wanted)}
    for visit_type_id in wanted:
        if visit_type_id not in found:
            raise InvalidInput.of("visit_type_ids", f"names visit type {visit_type_id}, which does not exist")
        if found[visit_type_id].minutes > minutes:
            longest = f"{found[visit_type_id].minutes} minutes, longer than the time"
            raise InvalidInput.of("visit_type_ids", f"names visit type {visit_type_id}, which takes {longest}")
    return OfferedTypes(wanted, max(one.buffer_minutes for one in found.values()))


def without_secrets(visit_type: VisitType) -> VisitType:
    """As patients see it who have not booked it: without the link to the video visit."""
    return replace(visit_type, video_link=None)


def refuse_overlap(done: Overlapping) -> None:
    if done.outcome == "overlaps":
        assert done.overlapped_start is not None
        assert done.overlapped_end is not None
        raise SlotOverlaps(period=(done.overlapped_start, done.overlapped_end), closed=bool(done.overlapped_closed))
