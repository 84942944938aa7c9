"""The use cases of schedules: look at them, see what a change would do, and apply it."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from hmac import compare_digest

from msgspec import Struct
from msgspec.structs import replace

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import RowId, Statement
from slotwise.domain.errors import (
    DatabaseBusy,
    DoctorNotFound,
    FieldError,
    InvalidInput,
    NotAllowed,
    ScheduleChanged,
    SlotOverlaps,
)
from slotwise.domain.preview_tokens import Differs, Seen, differs, digest_in, seen_in, seen_of, token_with
from slotwise.domain.schedule_changes import Decisions, ScheduleChange
from slotwise.domain.schedule_diff import ExistingSlot, MovedTime
from slotwise.domain.schedule_previews import Preview, VisitLength, lengths_after, token_of
from slotwise.domain.schedules import Closure, ClosureKind, Rule
from slotwise.domain.smaller_changes import outline_change
from slotwise.domain.time_zones import EDITION
from slotwise.domain.users import Role, User, actor_of
from slotwise.domain.window_diff import MovedWindow
from slotwise.services.core.audit import changes, record_action
from slotwise.services.core.seat_events import SeatsChanged, ignore_changes
from slotwise.services.schedule.absences import list_doctors_elsewhere, readable_closures
from slotwise.services.schedule.applying import AppliedRow, Note, apply_preview, runs_of
from slotwise.services.schedule.clinics import keep_open_clinic, refuse_elsewhere
from slotwise.services.schedule.schedule_state import (
    GET_CLOSURES,
    GET_RULES,
    ReadSchedule,
    Run,
    find_concerned,
    list_closures,
    moved_times,
    moved_windows,
    read_colleague,
    read_schedule,
    slots_ahead,
)

# To choose from, on one page.
MOST_COLLEAGUES = 500
# A try fails only if the schedule or one of its bookings changes in the milliseconds after it was read.
TRIES = 3

KNOWN_DOCTORS = Statement("schedule/schedules.known_doctors", RowId)


class NamedDoctor(Struct, frozen=True):
    id: int
    name: str


LIST_COLLEAGUES = Statement("schedule/schedules.list_colleagues", NamedDoctor)


class Outlined(Struct, frozen=True):
    """What a change would do. Whoever has looked at it applies it with its token.

    `differs` says what differs from an earlier preview, if there was one.
    """

    preview: Preview
    token: str
    zones: dict[int, str]
    differs: Differs | None = None


class Applied(Struct, frozen=True):
    """New ids are in the order of what was added."""

    preview: Preview
    rule_ids: list[int]
    closure_ids: list[int]
    cancelled_holds: int


class DoctorSchedule(Struct, frozen=True):
    """`runs` are by rule. `moved` are times, and `moved_windows` open time, that newer time zones moved.

    `drifted` are times ahead that are booked although their rules no longer say so, until somebody deals with them.
    """

    rules: Sequence[Rule]
    runs: dict[int, Run]
    moved: Sequence[MovedTime]
    drifted: Sequence[ExistingSlot]
    moved_windows: Sequence[MovedWindow] = ()


class Schedules:
    """`publish_days` is how far ahead the times of rules are published."""

    def __init__(self, database: Database, publish_days: int, seats_changed: SeatsChanged = ignore_changes) -> None:
        self._database = database
        self._publish_days = publish_days
        self._seats_changed = seats_changed

    async def list_rules(self, doctor_id: int) -> DoctorSchedule:
        """The rules of a doctor, with how far each is published. Raises `DoctorNotFound`."""
        async with self._database.connection() as connection:
            await _require_doctors(connection, [doctor_id])
            read = await read_schedule(connection, [doctor_id], self._publish_days)
        outdated = {run.rule_id for run in read.runs.values() if run.tzdata != EDITION}
        moved = [each for each in moved_times(read) if each.slot.rule_id in outdated]
        windows = [each for each in moved_windows(read) if each.window.rule_id in outdated]
        drifted = [slot for slot in slots_ahead(read) if slot.drifted and slot.confirmed > 0]
        return DoctorSchedule(read.state.rules, read.runs, moved, drifted, windows)

    async def list_closures(self, reader: User, starts_from: datetime, starts_before: datetime) -> list[Closure]:
        """The closures in force that touch the period, by start; as `readable_closures`."""
        async with self._database.connection() as connection:
            found = await list_closures(connection, starts_from, starts_before)
            return await readable_closures(connection, reader, found)

    async def get_closure(self, reader: User, closure_id: int) -> Closure | None:
        """The closure, if it is in force; as `readable_closures`."""
        async with self._database.connection() as connection:
            found = await GET_CLOSURES.all(connection, closure_ids=[closure_id])
            return next(iter(await readable_closures(connection, reader, found)), None)

    async def list_doctors_elsewhere(self, reader: User) -> frozenset[int]:
        """The doctors whose absences do not concern the clinics that the reader works for."""
        async with self._database.connection() as connection:
            return await list_doctors_elsewhere(connection, reader)

    async def list_colleagues(self, doctor_id: int, clinic_ids: Collection[int]) -> list[NamedDoctor]:
        """Who could take over at one of these clinics, those with the same specialty first."""
        async with self._database.connection() as connection:
            return await LIST_COLLEAGUES.all(
                connection, doctor_id=doctor_id, clinic_ids=sorted(clinic_ids), limit=MOST_COLLEAGUES
            )

    async def get_rules(self, rule_ids: Sequence[int]) -> dict[int, Rule]:
        """Those of them that apply, by id."""
        async with self._database.connection() as connection:
            return {rule.id: rule for rule in await GET_RULES.all(connection, rule_ids=rule_ids)}

    async def get_closures(self, closure_ids: Sequence[int]) -> dict[int, Closure]:
        """Those of them that are in force, by id."""
        async with self._database.connection() as connection:
            return {closure.id: closure for closure in await GET_CLOSURES.all(connection, closure_ids=closure_ids)}

    async def preview_schedule(
        self, account: User, change: ScheduleChange, token_before: str | None = None
    ) -> Outlined:
        """What the change would do. It names patients, so the look is recorded.

        `token_before` is that of the preview at which the decisions were taken, if it was an earlier one.
        Raises `InvalidInput`, `DoctorNotFound`, `ScheduleTooLarge`, `SlotOverlaps` if a longer buffer has no room, and
        `NotAllowed` for a member of staff who changes more than absences.
        """
        _require_right(account, change)
        read = await self._read_for(account, change)
        return await preview_schedule(self._database, account, read, change, token_before)

    async def apply_schedule(
        self, account: User, change: ScheduleChange, token: str, decisions: Decisions | None = None
    ) -> Applied:
        """Do exactly what the preview with this token said, or nothing.

        `decisions` are those that a person took while looking at the preview, in place of those that it showed.

        Raises `ScheduleChanged` if the change would now do something else, and the errors of `preview_schedule`.
        """
        _require_right(account, change)
        decided = change if decisions is None else replace(change, decisions=_by_same(change, decisions))
        refused: Exception = DatabaseBusy()
        for _ in range(TRIES):
            read = await self._read_for(account, change)
            outlined = await _outlined(read, change)
            if not _is_of(token, outlined):
                raise ScheduleChanged(await preview_schedule(self._database, account, read, decided, token))
            if decided != change:
                outlined = await _outlined(read, decided)
            # What differs from what was shown has been answered above. So a token that keeps no ids has shown these.
            _require_listed(decided.decisions, outlined.preview, _kept_ids(seen_in(token)))
            try:
                done = await self._apply(account, read, decided, outlined.preview)
            except SlotOverlaps as error:
                # A visit with a buffer may have been held since this looked: then the next look sees it.
                refused = error
                continue
            if done.outcome == "applied":
                self._seats_changed(done.slot_ids or [])
                return _applied(outlined.preview, done)
        raise refused

    async def _read_for(self, account: User, change: ScheduleChange) -> ReadSchedule:
        """The connection is free again before the change is planned, which may take as long as a statement may."""
        async with self._database.connection() as connection:
            read = await self._read(connection, change)
        _require_absences(account, change, read.state.closures)
        return read

    async def _apply(self, account: User, read: ReadSchedule, change: ScheduleChange, preview: Preview) -> AppliedRow:
        runs = runs_of(preview, read.state.published_until)
        note = Note(_subject(read), _details(read, change, preview))
        async with self._database.effect() as connection:
            return await apply_preview(connection, read, change, preview, runs, actor_of(account), note)

    async def _read(self, connection: Connection, change: ScheduleChange) -> ReadSchedule:
        doctor_ids, colleague_id = await find_concerned(connection, change), change.decisions.colleague_id
        await _require_doctors(connection, doctor_ids)
        read = await read_schedule(connection, doctor_ids, self._publish_days, colleague_id)
        _require_clinics(change, read.state.zones)
        _require_versions("change_rules", change.change_rules, read.state.rules)
        _require_versions("change_closures", change.change_closures, read.state.closures)
        await _require_places(connection, change, read.state.rules)
        if colleague_id is None:
            return read
        colleague = await read_colleague(connection, change, read.state.slots)
        return replace(read, state=replace(read.state, colleague=colleague))


async def preview_schedule(
    database: Database, account: User, read: ReadSchedule, change: ScheduleChange, token_before: str | None = None
) -> Outlined:
    """An outline for a person to read. It names patients, so the look is recorded first."""
    outlined = await _outlined(read, change)
    seen = seen_in(token_before or "")
    if seen is None or seen.booking_ids is not None:
        _require_listed(change.decisions, outlined.preview, _kept_ids(seen))
    if seen is not None:
        outlined = replace(outlined, differs=differs(seen, outlined.preview))
    named = len(outlined.preview.hits) + len(outlined.preview.holds)
    if named > 0:
        async with database.connection() as connection:
            await record_action(connection, actor_of(account), "preview_schedule", _subject(read), {"bookings": named})
    return outlined


async def _outlined(read: ReadSchedule, change: ScheduleChange) -> Outlined:
    """In a thread, because a year of a large clinic takes a second, in which this worker serves others."""
    preview = await asyncio.to_thread(outline_change, read.state, change)
    bookings = (f"{hit.booking.id}.{hit.decision}.{hit.refusal or ''}" for hit in preview.hits)
    room = preview.takeover.room if preview.takeover else ()
    seen = [read.fingerprint, "/".join(bookings), read.state.published_until.isoformat(), f"room {room}"]
    # Decisions on single bookings are among the hits. Those on bookings that are none do nothing.
    digest = token_of(seen, replace(change, decisions=replace(change.decisions, bookings={})))
    token = token_with(digest, seen_of(preview, change.decisions.bookings))
    return Outlined(preview, token, dict(read.state.zones))


def _is_of(token: str, outlined: Outlined) -> bool:
    """What it showed may differ without that: times that have begun since no longer count."""
    return compare_digest(digest_in(outlined.token).encode(), digest_in(token).encode(errors="replace"))


def _kept_ids(seen: Seen | None) -> frozenset[int]:
    """The bookings that an earlier preview listed, as far as its token says."""
    return (seen.booking_ids if seen else None) or frozenset()


def _require_listed(decisions: Decisions, preview: Preview, before: frozenset[int]) -> None:
    """Decisions name bookings that the change concerns, or that the preview before listed: they may be cancelled."""
    listed = before.union(hit.booking.id for hit in preview.hits)
    faults = [
        FieldError(f"decisions.bookings[{place}]", "is not a booking that this change concerns")
        for place, booking_id in enumerate(decisions.bookings)
        if booking_id not in listed
    ]
    if faults:
        raise InvalidInput(*faults)


async def _require_doctors(connection: Connection, doctor_ids: Sequence[int]) -> None:
    known = await KNOWN_DOCTORS.all(connection, doctor_ids=doctor_ids)
    if len(known) < len(set(doctor_ids)):
        raise DoctorNotFound


def _by_same(change: ScheduleChange, decisions: Decisions) -> Decisions:
    """The preview was about this colleague."""
    return replace(decisions, colleague_id=change.decisions.colleague_id)


def _require_clinics(change: ScheduleChange, zones: Mapping[int, str]) -> None:
    for name in ("add_rules", "change_rules", "add_closures", "change_closures", "change_zones"):
        for place, each in enumerate(getattr(change, name)):
            if each.clinic_id is not None and each.clinic_id not in zones:
                raise InvalidInput.of(f"{name}[{place}].clinic_id", "is not the id of a clinic")


def _require_versions(field: str, changed: Sequence[Rule | Closure], known: Sequence[Rule | Closure]) -> None:
    """What is changed is as it was read: otherwise the second of two people would undo what the first has changed."""
    versions = {row.id: row.version for row in known}
    for place, row in enumerate(changed):
        if row.version != versions.get(row.id, row.version):
            raise InvalidInput.of(f"{field}[{place}]", "was changed by somebody else meanwhile; look at it again")


async def _require_places(connection: Connection, change: ScheduleChange, rules: Sequence[Rule]) -> None:
    """Hours are at a clinic that takes appointments; new ones at one where the doctor works."""
    before = {rule.id: rule.clinic_id for rule in rules}
    for name in ("add_rules", "change_rules"):
        for place, rule in enumerate(getattr(change, name)):
            try:
                await keep_open_clinic(connection, rule.clinic_id)
                if before.get(rule.id) != rule.clinic_id:
                    await refuse_elsewhere(connection, rule.doctor_id, rule.clinic_id)
            except InvalidInput as error:
                raise InvalidInput.of(f"{name}[{place}].clinic_id", error.errors[0].message) from error


def _require_right(account: User, change: ScheduleChange) -> None:
    """Admins may change all. Staff may enter, change and remove absences of doctors, at the clinics they work for."""
    if account.role is Role.ADMIN:
        return
    others = (change.add_rules, change.change_rules, change.remove_rules, change.change_zones, change.change_lengths)
    absences = all(_is_own_absence(account, each) for each in (*change.add_closures, *change.change_closures))
    if account.role is not Role.STAFF or any(others) or not absences:
        raise NotAllowed


def _require_absences(account: User, change: ScheduleChange, closures: Sequence[Closure]) -> None:
    """The same for what a member of staff changes or removes: as it is now."""
    touched = {*change.remove_closures, *(closure.id for closure in change.change_closures)}
    others = (each for each in closures if each.id in touched and not _is_own_absence(account, each))
    if account.role is not Role.ADMIN and any(others):
        raise NotAllowed


def _is_own_absence(account: User, closure: Closure) -> bool:
    """Whether it is a doctor's absence at clinics of the account. At all clinics, it concerns patients of others."""
    is_absence = closure.kind is ClosureKind.ABSENCE and closure.doctor_id is not None
    return is_absence and (account.clinic_ids is None or closure.clinic_id in account.clinic_ids)


def _subject(read: ReadSchedule) -> str:
    colleague = read.state.colleague
    concerned = [each for each in read.doctor_ids if colleague is None or each != colleague.id]
    return f"doctor:{concerned[0]}" if len(concerned) == 1 else "schedule"


def _details(read: ReadSchedule, change: ScheduleChange, preview: Preview) -> dict[str, object]:
    details = {
        "added": preview.come,
        "closed": preview.go,
        "windows_added": len(preview.windows.add),
        "windows_closed": len(preview.windows.close),
        "bookings": len(preview.hits),
        "cancelled": len(preview.cancelled),
        "taken_over": len(preview.taken_over),
        "holds": len(preview.holds),
        "visit_types": _length_details(read.state.visit_types, change),
    }
    return {name: value for name, value in details.items() if value}


def _length_details(before: Mapping[int, VisitLength], change: ScheduleChange) -> list[dict[str, object]]:
    """The lengths that differ, each with its old and its new value, as of a change of the visit type itself."""
    after = lengths_after(before, change)
    return [
        {"id": was.id, **changes(was, after[was.id], "minutes", "buffer_minutes")}
        for was in before.values()
        if was != after[was.id]
    ]


def _applied(preview: Preview, done: AppliedRow) -> Applied:
    return Applied(preview, done.new_rule_ids or [], done.new_closure_ids or [], done.cancelled_holds or 0)
