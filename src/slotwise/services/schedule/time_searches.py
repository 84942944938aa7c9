"""What a search for times asks for, and what it depends on: the clock, and the visit types that may be booked."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from slotwise.db.pool import Connection
from slotwise.db.statements import Statement
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME, MAX_ID
from slotwise.domain.open_times import VisitTime
from slotwise.domain.visit_types import VisitMode
from slotwise.services.schedule.slot_lists import SlotQuery

MAX_DAYS = 62


class TimesQuery(Struct, frozen=True):
    """Which times to list, and who wants to book: a guest, an account, or the desk.

    The period of starts is half-open, in UTC. It begins now at the earliest; without an end it is `MAX_DAYS` long.
    """

    doctor_id: int | None = None
    specialization: str | None = None
    clinic_ids: frozenset[int] | None = None
    visit_type_id: int | None = None
    starts_from: datetime | None = None
    starts_before: datetime | None = None
    seats: int = 1
    user_id: int | None = None
    by_desk: bool = False

    def within(self, clinic_ids: frozenset[int] | None) -> "TimesQuery":
        """Only at these of the query's clinics; None changes nothing."""
        if clinic_ids is None:
            return self
        return replace(self, clinic_ids=clinic_ids if self.clinic_ids is None else clinic_ids & self.clinic_ids)


class Place(NamedTuple):
    """Where a time is in the list: its start, doctor, and visit type, 0 for none."""

    start_time: datetime
    doctor_id: int
    visit_type_id: int


BEGIN = Place(FIRST_TIME, 0, 0)
END = Place(LAST_READABLE_TIME, MAX_ID, MAX_ID)


class OfferedType(Struct, frozen=True):
    """A visit type. If it is `offered`, visits can begin from and until then; without a horizon, at any later time."""

    id: int
    minutes: int
    buffer_minutes: int
    mode: VisitMode
    now: datetime
    offered: bool
    starts_from: datetime
    starts_until: datetime | None

    @property
    def visit(self) -> VisitTime:
        return VisitTime(timedelta(minutes=self.minutes), timedelta(minutes=self.buffer_minutes))

    def can_begin(self, start: datetime) -> bool:
        return self.offered and self.earliest <= start <= self.latest

    @property
    def earliest(self) -> datetime:
        """A visit begins later than now, by a microsecond at least."""
        return max(self.starts_from, self.now + timedelta.resolution)

    @property
    def latest(self) -> datetime:
        return self.starts_until or LAST_READABLE_TIME


class Now(Struct, frozen=True):
    now: datetime


READ_CLOCK = Statement("schedule/times.read_clock", Now)
READ_OFFERED_TYPES = Statement("schedule/times.read_offered_types", OfferedType)


class Search(Struct, frozen=True):
    """A query with all that it depends on. `types` has the active types, `wanted` those that it may offer."""

    query: TimesQuery
    now: datetime
    starts_from: datetime
    starts_before: datetime
    after: Place
    types: Mapping[int, OfferedType]
    wanted: frozenset[int]

    @classmethod
    def of(cls, query: TimesQuery, types: Sequence[OfferedType], now: datetime, after: Place) -> "Search":
        starts_from = max(query.starts_from or now, now)
        only = query.visit_type_id
        return cls(
            query,
            now,
            starts_from,
            query.starts_before or min(starts_from + timedelta(days=MAX_DAYS), LAST_READABLE_TIME),
            max(after, Place(starts_from, 0, 0)),
            {each.id: each for each in types},
            frozenset(each.id for each in types if each.offered and only in {None, each.id}),
        )

    @property
    def slots(self) -> SlotQuery:
        query = self.query
        return SlotQuery(
            query.doctor_id,
            query.specialization,
            self.starts_from,
            self.starts_before,
            query.seats,
            query.clinic_ids,
            query.visit_type_id,
            query.by_desk,
        )

    @property
    def earliest(self) -> datetime:
        """No visit of a type that is wanted begins earlier."""
        first = min((self.types[each].starts_from for each in self.wanted), default=LAST_READABLE_TIME)
        return max(first, self.starts_from)

    @property
    def latest(self) -> datetime:
        """No visit of a type that is wanted begins later."""
        return max((self.types[each].latest for each in self.wanted), default=FIRST_TIME)

    @property
    def has_open_time(self) -> bool:
        """Whether there may be times in windows, which are for one person each."""
        return bool(self.wanted) and self.query.seats == 1

    @property
    def finds_nothing(self) -> bool:
        """Whether who asks cannot book the visit type that is asked for, at any time."""
        return self.query.visit_type_id is not None and not self.wanted

    def takes(self, place: Place) -> bool:
        return self.now < place.start_time < self.starts_before and place > self.after

    def visits_of(self, type_ids: Iterable[int]) -> list[VisitTime]:
        return [self.types[each].visit for each in type_ids if each in self.types]


async def read_search(connection: Connection, query: TimesQuery, after: Place = BEGIN) -> Search:
    now = (await READ_CLOCK.one(connection)).now
    types = await READ_OFFERED_TYPES.all(connection, by_desk=query.by_desk, user_id=query.user_id)
    return Search.of(query, types, now, after)
