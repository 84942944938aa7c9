"""The operations on slots: publish, change, read, find."""

import hashlib
from datetime import date, datetime
from http import HTTPStatus
from typing import Annotated, Any, Protocol

import msgspec
from litestar import Controller, Response, get, patch, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import UNSET, Meta, Struct, UnsetType, field
from msgspec.structs import replace

from slotwise.batching.shared_reads import SharedReads
from slotwise.domain.errors import (
    ClinicNotFound,
    DoctorNotFound,
    InvalidInput,
    NotAllowed,
    OutcomeUnknown,
    SeatsTaken,
    SlotNotFound,
    SlotOverlaps,
    TimeClosed,
)
from slotwise.domain.fields import FIRST_TIME, Instant
from slotwise.domain.slots import MAX_DURATION_MINUTES, Slot, SlotChange, SlotStatus
from slotwise.domain.time_zones import MAX_ZONE_CHARACTERS, time_zone
from slotwise.domain.timetables import EVERY_DAY, MAX_DAYS_AT_ONCE, MAX_SLOTS_AT_ONCE, Hours, Timetable
from slotwise.domain.users import Role, User
from slotwise.domain.visit_types import MAX_VISIT_TYPES
from slotwise.http.kit.access import ADMIN, ANYONE, DESK, ApiRequest, account_of
from slotwise.http.kit.direct import JSON, ApiCall, answered, direct, json_answer
from slotwise.http.kit.fields import Id, Minutes, Seats
from slotwise.http.kit.operations import NOTHING_CHANGED, answer, operation
from slotwise.http.kit.paging import DEFAULT_LIMIT, Cursor, Limit, Page, StartPosition, decode_cursor, page_of
from slotwise.http.kit.parameters import (
    ClinicId,
    DoctorId,
    FromTime,
    IfNoneMatch,
    MinSeats,
    Text,
    ToTime,
    VisitTypeId,
    clean_text,
    parse_period,
)
from slotwise.http.kit.parameters import Id as PathId
from slotwise.http.kit.parts import ApiParts
from slotwise.http.kit.versions import is_known
from slotwise.server.direct import Answer, KnownQueries
from slotwise.services.schedule.slot_lists import SlotQuery
from slotwise.services.schedule.slots import Clash, CreatedSlots, PlannedSlot, Slots
from slotwise.services.schedule.visit_types import VisitTypes

StartTime = Annotated[
    datetime, Meta(tz=True, description="RFC 3339, with an offset", examples=["2030-01-31T09:00:00Z"])
]


VisitTypeIds = Annotated[
    list[Id],
    Meta(
        max_length=MAX_VISIT_TYPES, description="The visit types that can be booked in it; none of them may be longer"
    ),
]


class NewSlot(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    doctor_id: Id
    start_time: StartTime
    total_seats: Seats = 1
    duration_minutes: Minutes = 30
    clinic_id: Annotated[Id | None, Meta(description="The first that takes appointments, if not given")] = None
    visit_type_ids: VisitTypeIds | None = None


ClockTime = Annotated[
    str,
    Meta(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$", description="Local time", examples=["09:00"]),
]
Day = Annotated[date, Meta(examples=["2030-01-07"])]
Weekday = Annotated[int, Meta(ge=1, le=7)]
ZoneName = Annotated[
    str,
    Meta(
        description="A name of the IANA time zone database; the clinic's zone if not given",
        examples=["Europe/Berlin"],
        extra_json_schema={"minLength": 1, "maxLength": MAX_ZONE_CHARACTERS},
    ),
]


class PartOfDay(Struct, frozen=True, forbid_unknown_fields=True):
    """Half-open; 24:00 ends the day."""

    opens: ClockTime = field(name="from")
    closes: ClockTime = field(name="to")


class NewSlots(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Days, weekdays (1 is Monday) and parts of the day. Each part is filled from its start with equal slots."""

    doctor_id: Id
    first_day: Day
    last_day: Day
    periods: Annotated[list[PartOfDay], Meta(min_length=1, max_length=24)]
    weekdays: Annotated[list[Weekday], Meta(min_length=1, max_length=7, description="All seven if not given")] = field(
        default_factory=lambda: sorted(EVERY_DAY)
    )
    duration_minutes: Minutes = 30
    break_minutes: Annotated[int, Meta(ge=0, le=MAX_DURATION_MINUTES)] = 0
    total_seats: Seats = 1
    time_zone: ZoneName | None = None
    dry_run: bool = False
    skip_clashes: bool = False
    clinic_id: Annotated[Id | None, Meta(description="The first that takes appointments, if not given")] = None
    visit_type_ids: VisitTypeIds | None = None

    def timetable(self) -> Timetable:
        hours = tuple(Hours(minutes_of(part.opens), minutes_of(part.closes)) for part in self.periods)
        weekdays = frozenset(self.weekdays)
        return Timetable(self.first_day, self.last_day, weekdays, hours, self.duration_minutes, self.break_minutes)


class PlannedSlotView(Struct, frozen=True, rename="camel"):
    """`id` is null after a dry run."""

    id: int | None
    start_time: Instant
    end_time: Instant

    @classmethod
    def of(cls, slot: PlannedSlot) -> "PlannedSlotView":
        return cls(slot.id, slot.period.start_time, slot.period.end_time)


class ClashView(Struct, frozen=True, rename="camel"):
    """A wanted period, and the slot that it overlaps or the closure that it lies in; without both, it has begun."""

    start_time: Instant
    end_time: Instant
    overlaps: PlannedSlotView | None
    closure_id: int | None

    @classmethod
    def of(cls, clash: Clash) -> "ClashView":
        slot = clash.slot
        overlaps = None if slot is None else PlannedSlotView(slot.id, slot.start_time, slot.end_time)
        return cls(clash.period.start_time, clash.period.end_time, overlaps, clash.closure_id)


class SkippedTimeView(Struct, frozen=True):
    day: date
    time: ClockTime


class CreatedSlotsView(Struct, frozen=True, rename="camel"):
    """`skipped` has the local times that were left out because of a clock change."""

    created: list[PlannedSlotView]
    clashes: list[ClashView]
    skipped: list[SkippedTimeView]

    @classmethod
    def of(cls, made: CreatedSlots) -> "CreatedSlotsView":
        return cls(
            [PlannedSlotView.of(slot) for slot in made.created],
            [ClashView.of(clash) for clash in made.clashes],
            [SkippedTimeView(skipped.day, f"{skipped.time:%H:%M}") for skipped in made.skipped],
        )


class SlotPatch(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Absent fields stay unchanged. Send `visitTypeIds` alone; null takes all types away."""

    total_seats: Seats | UnsetType = UNSET
    status: SlotStatus | UnsetType = UNSET
    start_time: StartTime | UnsetType = UNSET
    duration_minutes: Minutes | UnsetType = UNSET
    visit_type_ids: VisitTypeIds | UnsetType | None = UNSET


class SlotView(Struct, frozen=True, rename="camel"):
    """`availableSeats` counts the seats of expired holds as free."""

    id: int
    doctor_id: int
    doctor_name: str
    specialization: str | None
    start_time: Instant
    end_time: Instant
    duration_minutes: int
    total_seats: int
    available_seats: int
    status: SlotStatus
    created_at: Instant
    updated_at: Instant
    clinic_id: int
    visit_type_ids: list[int] | None

    @classmethod
    def of(cls, slot: Slot) -> "SlotView":
        return cls(
            slot.id,
            slot.doctor_id,
            slot.doctor_name,
            slot.specialization,
            slot.start_time,
            slot.end_time,
            slot.duration_minutes,
            slot.total_seats,
            slot.available_seats,
            slot.status,
            slot.created_at,
            slot.updated_at,
            slot.clinic_id,
            slot.visit_type_ids,
        )


class SlotListQuery(Struct, frozen=True):
    slots: SlotQuery
    limit: int
    after: StartPosition


class EncodedPage(Struct, frozen=True):
    """`etag` is quoted and strong (RFC 9110, 8.8.3): a hash of the body's bytes."""

    body: bytes
    etag: str


class SlotLists:
    """Lists of free slots: one read and one encoding serve all requests that want the same page at the same time."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._reads = SharedReads(self._read)

    async def list_slots(self, query: SlotListQuery) -> EncodedPage:
        return await self._reads.read(query)

    async def _read(self, query: SlotListQuery) -> EncodedPage:
        after = query.after
        found = await self._slots.list_slots(query.slots, query.limit + 1, (after.start_time, after.id))
        page = page_of(found, query.limit, SlotView.of, lambda slot: StartPosition(slot.start_time, slot.id))
        body = msgspec.json.encode(page)
        return EncodedPage(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


_KNOWN_QUERIES: KnownQueries[SlotListQuery] = KnownQueries()


class HasSlotLists(Protocol):
    @property
    def slot_lists(self) -> SlotLists: ...


async def _list_slots(api: HasSlotLists, call: ApiCall[SlotListQuery]) -> Answer:
    account = call.caller.user
    query = _for_desk(call.data, account) if account is not None and account.at_desk else call.data
    return answer_page(await api.slot_lists.list_slots(query), call)


def answer_page(page: EncodedPage, call: ApiCall[Any]) -> Answer:
    """304 if the client has this version (RFC 9110, 13.1.2). `no-cache`: clients may store it but must revalidate."""
    headers = {"ETag": page.etag, "Cache-Control": "no-cache"}
    if is_known(page.etag, call.header(b"if-none-match")):
        return Answer(HTTPStatus.NOT_MODIFIED, "", b"", headers)
    return Answer(HTTPStatus.OK, JSON, page.body, headers)


def _for_desk(query: SlotListQuery, account: User) -> SlotListQuery:
    """What the account can hold: in spite of the rules of visit types, but only at the clinics that it works for."""
    return replace(query, slots=replace(query.slots, by_desk=True).within(account.books_at))


async def _get_slot(api: ApiParts, call: ApiCall[None]) -> Answer:
    return json_answer(SlotView.of(await api.services.slots.get_slot(call.numbers[0])))


class SlotController(Controller):
    path = "/api/slots"

    @post(
        "/",
        **operation(
            "create_slot",
            ADMIN,
            "Publish a slot",
            OutcomeUnknown,
            DoctorNotFound,
            ClinicNotFound,
            SlotOverlaps,
            TimeClosed,
            sends=("Location",),
            description="Slots of one doctor may touch but must not overlap. Closed slots count only while they still "
            "have bookings.",
        ),
    )
    async def create_slot(
        self, request: ApiRequest, data: JSONBody[NewSlot], slots: NamedDependency[Slots]
    ) -> Response[SlotView]:
        slot = await slots.create_slot(
            account_of(request),
            data.doctor_id,
            data.start_time,
            data.total_seats,
            data.duration_minutes,
            data.clinic_id,
            visit_type_ids=data.visit_type_ids,
        )
        return Response(SlotView.of(slot), headers={"Location": f"/api/slots/{slot.id}"})

    @post(
        "/batch",
        **operation(
            "create_slots",
            ADMIN,
            "Publish many slots",
            OutcomeUnknown,
            DoctorNotFound,
            ClinicNotFound,
            SlotOverlaps,
            TimeClosed,
            description=f"Creates all slots or none: at most {MAX_SLOTS_AT_ONCE}, over at most {MAX_DAYS_AT_ONCE} "
            "days. `dryRun` only shows which slots would be created and which clash. `skipClashes` leaves out slots "
            "that clash.",
            also_answers={
                200: answer(CreatedSlotsView, "No slot was created: a dry run, or all slots were left out"),
            },
        ),
    )
    async def create_slots(
        self, request: ApiRequest, data: JSONBody[NewSlots], slots: NamedDependency[Slots]
    ) -> Response[CreatedSlotsView]:
        made = await slots.create_slots(
            account_of(request),
            data.doctor_id,
            data.timetable(),
            data.total_seats,
            None if data.time_zone is None else time_zone("time_zone", data.time_zone),
            dry_run=data.dry_run,
            skip_clashes=data.skip_clashes,
            clinic_id=data.clinic_id,
            visit_type_ids=data.visit_type_ids,
        )
        nothing = data.dry_run or not made.created
        return Response(CreatedSlotsView.of(made), status_code=200 if nothing else 201)

    @get(
        "/",
        **direct(_list_slots, _KNOWN_QUERIES.read),
        **operation(
            "list_slots",
            ANYONE,
            "Find free slots",
            description="Future, open slots of active doctors with at least one free seat, by start: those that the "
            "caller can book. With visit types, staff and admins can book more than patients. Staff who work for some "
            "clinics can book at these only; without their access token they get what everybody gets. Answers have an "
            "`ETag`; send it as `If-None-Match` to get 304 while nothing has changed.",
            sends=("ETag",),
            also_answers=NOTHING_CHANGED,
        ),
    )
    async def list_slots(
        self,
        request: ApiRequest,
        doctor_id: DoctorId = None,
        specialization: Text = None,
        from_time: FromTime = None,
        to_time: ToTime = None,
        min_seats: MinSeats = 1,
        clinic_id: ClinicId = None,
        visit_type_id: VisitTypeId = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
        known: IfNoneMatch = None,  # noqa: ARG002 - for the API document; `_list_slots` reads it
    ) -> Response[Page[SlotView]]:  # its bytes are prepared: SlotLists
        query = SlotQuery(
            doctor_id,
            clean_text("specialization", specialization),
            *parse_period(from_time, to_time),
            min_seats,
            None if clinic_id is None else frozenset({clinic_id}),
            visit_type_id=visit_type_id,
        )
        after = decode_cursor(cursor, StartPosition(FIRST_TIME, 0))
        wanted = SlotListQuery(query, limit, after)
        _KNOWN_QUERIES.remember(request.scope["query_string"], wanted)
        return await answered(request, data=wanted)

    @get("/{slot_id:int}", **direct(_get_slot), **operation("get_slot", ANYONE, "Read a slot", SlotNotFound))
    async def get_slot(self, request: ApiRequest, slot_id: PathId) -> Response[SlotView]:
        return await answered(request, slot_id)

    @patch(
        "/{slot_id:int}",
        **operation(
            "update_slot",
            DESK._replace(who="staff and admins; staff may change only `status`"),
            "Change a slot",
            OutcomeUnknown,
            SlotNotFound,
            SeatsTaken,
            SlotOverlaps,
            TimeClosed,
            description="Bookings stay: they move with a moved slot, and a closed slot only takes no new ones. It "
            "cannot be reopened at a clinic that takes no appointments, or where its doctor does not work.",
        ),
    )
    async def update_slot(
        self,
        request: ApiRequest,
        slot_id: PathId,
        data: JSONBody[SlotPatch],
        slots: NamedDependency[Slots],
        visit_types: NamedDependency[VisitTypes],
    ) -> SlotView:
        account = account_of(request)
        if data.visit_type_ids is not UNSET and account.role is not Role.ADMIN:
            raise NotAllowed
        if data.visit_type_ids is not UNSET:
            return await _set_visit_types(account, await slots.get_slot(slot_id), data, visit_types)
        change = SlotChange(data.total_seats, data.status, data.start_time, data.duration_minutes)
        if not change.may_be_made_by(account.role):
            raise NotAllowed
        return SlotView.of(await slots.update_slot(account, slot_id, change))


async def _set_visit_types(account: User, slot: Slot, data: SlotPatch, visit_types: VisitTypes) -> SlotView:
    if data != SlotPatch(visit_type_ids=data.visit_type_ids):
        raise InvalidInput.of("visit_type_ids", "must be changed by itself, without other fields")
    ids = None if data.visit_type_ids is UNSET else data.visit_type_ids
    return SlotView.of(await visit_types.set_visit_types(account, slot, ids))


def minutes_of(clock: str) -> int:
    """Minutes since midnight."""
    hours, _, minutes = clock.partition(":")
    return int(hours) * 60 + int(minutes)
