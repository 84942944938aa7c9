"""The operation on times: what can be booked, published slots and open time together."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Annotated, Protocol

import msgspec
from litestar import Controller, Response, get
from litestar.params import QueryParameter
from msgspec import Meta, Struct
from msgspec.structs import replace

from slotwise.batching.shared_reads import SharedReads
from slotwise.domain.errors import InvalidInput
from slotwise.domain.fields import Instant
from slotwise.domain.slots import MAX_DURATION_MINUTES, MAX_SEATS
from slotwise.domain.users import User
from slotwise.domain.visit_types import VisitMode
from slotwise.http.kit.access import RECOGNIZED, ApiRequest
from slotwise.http.kit.direct import ApiCall, answered, direct
from slotwise.http.kit.operations import NOTHING_CHANGED, operation
from slotwise.http.kit.paging import DEFAULT_LIMIT, Cursor, Page, TimePosition, decode_cursor, encode_cursor
from slotwise.http.kit.parameters import (
    ClinicId,
    DoctorId,
    FromTime,
    IfNoneMatch,
    Text,
    ToTime,
    VisitTypeId,
    clean_text,
    parse_period,
)
from slotwise.http.schedule.slots import EncodedPage, answer_page
from slotwise.server.direct import Answer, KnownQueries
from slotwise.services.schedule.time_searches import BEGIN, MAX_DAYS, Place, TimesQuery
from slotwise.services.schedule.times import FreeTime, Times

MAX_LIMIT = 200

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Most items of a page")]
Seats = Annotated[
    int,
    QueryParameter(
        name="seats", ge=1, le=MAX_SEATS, description="Fewest free seats. A time in open hours is for one person"
    ),
]


class TimeView(Struct, frozen=True, rename="camel"):
    """`slotId` is null for a time in open hours; `visitTypeId` and `mode` are null for a slot without visit types."""

    time_id: Annotated[str, Meta(description="For `POST /api/bookings`, for 24 hours")]
    start_time: Instant
    end_time: Instant
    minutes: Annotated[int, Meta(ge=1, le=MAX_DURATION_MINUTES)]
    doctor_id: int
    doctor_name: str
    specialization: str | None
    clinic_id: int
    visit_type_id: int | None
    mode: VisitMode | None
    available_seats: int
    slot_id: int | None

    @classmethod
    def of(cls, time: FreeTime, time_id: str) -> "TimeView":
        return cls(
            time_id,
            time.start_time,
            time.end_time,
            round((time.end_time - time.start_time) / timedelta(minutes=1)),
            time.doctor_id,
            time.doctor_name,
            time.specialization,
            time.clinic_id,
            time.visit_type_id,
            time.mode,
            time.available_seats,
            time.slot_id,
        )


class TimeListQuery(Struct, frozen=True):
    times: TimesQuery
    limit: int
    after: Place


class TimeLists:
    """Lists of times: one read and one encoding serve all requests that want the same page at the same time."""

    def __init__(self, times: Times) -> None:
        self._times = times
        self._reads = SharedReads(self._read)

    async def list_times(self, query: TimeListQuery) -> EncodedPage:
        return await self._reads.read(query)

    async def _read(self, query: TimeListQuery) -> EncodedPage:
        found = await self._times.list_times(query.times, query.limit, query.after)
        shown = found.times[: query.limit]
        end = shown[-1].place if len(found.times) > query.limit else found.walked_to
        views = [TimeView.of(time, self._times.id_of(time, query.times, found.now)) for time in shown]
        body = msgspec.json.encode(Page(views, None if end is None else encode_cursor(TimePosition(*end))))
        return EncodedPage(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


_KNOWN_QUERIES: KnownQueries[TimeListQuery] = KnownQueries()


class HasTimeLists(Protocol):
    @property
    def time_lists(self) -> TimeLists: ...


async def _list_times(api: HasTimeLists, call: ApiCall[TimeListQuery]) -> Answer:
    query = call.data if call.caller.user is None else _for(call.data, call.caller.user)
    return answer_page(await api.time_lists.list_times(query), call)


def _for(query: TimeListQuery, account: User) -> TimeListQuery:
    """What the account can hold. The desk can book more, but only at the clinics that it works for."""
    if not account.at_desk:
        return replace(query, times=replace(query.times, user_id=account.id))
    return replace(query, times=replace(query.times, by_desk=True).within(account.books_at))


class TimeController(Controller):
    path = "/api/times"

    @get(
        "/",
        **direct(_list_times, _KNOWN_QUERIES.read),
        **operation(
            "list_times",
            RECOGNIZED,
            "Find times that can be booked",
            description="Times of published slots, one for each of their visit types, and times in doctors' open "
            "hours: those that the caller can book, by start, doctor and visit type. `from` to `to` is at most "
            f"{MAX_DAYS} days, and as long if `to` is missing; it begins now if `from` is missing. One request looks "
            "at a limited number of days, so a page may have few items or none: follow `nextCursor` until it is null. "
            "Answers have an `ETag` as those of `GET /api/slots`.",
            sends=("ETag",),
            also_answers=NOTHING_CHANGED,
        ),
    )
    async def list_times(
        self,
        request: ApiRequest,
        clinic_id: ClinicId = None,
        visit_type_id: VisitTypeId = None,
        doctor_id: DoctorId = None,
        specialization: Text = None,
        from_time: FromTime = None,
        to_time: ToTime = None,
        seats: Seats = 1,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
        known: IfNoneMatch = None,  # noqa: ARG002 - for the API document; `answer_page` reads it
    ) -> Response[Page[TimeView]]:  # its bytes are prepared: TimeLists
        starts_from, starts_before = days_in(from_time, to_time)
        query = TimesQuery(
            doctor_id,
            clean_text("specialization", specialization),
            None if clinic_id is None else frozenset({clinic_id}),
            visit_type_id,
            starts_from,
            starts_before,
            seats,
        )
        after = decode_cursor(cursor, TimePosition(*BEGIN))
        wanted = TimeListQuery(query, limit, Place(after.start_time, after.doctor_id, after.visit_type_id))
        _KNOWN_QUERIES.remember(request.scope["query_string"], wanted)
        return await answered(request, data=wanted)


def days_in(from_time: str | None, to_time: str | None) -> tuple[datetime | None, datetime | None]:
    """The parameters `from` and `to`, each None if it is missing; at most `MAX_DAYS` lie between them."""
    begins, ends = parse_period(from_time, to_time)
    starts_from = None if from_time is None else begins
    starts_before = None if to_time is None else ends
    if starts_before is not None and starts_before - (starts_from or datetime.now(UTC)) > timedelta(days=MAX_DAYS):
        raise InvalidInput.of("to", f"must be at most {MAX_DAYS} days after `from`, or from now on without it")
    return starts_from, starts_before
