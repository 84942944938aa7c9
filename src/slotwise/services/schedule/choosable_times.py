"""Free times as pages offer them: of published slots and, for a kind of visit, in open time too."""

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from slotwise.domain.slots import Slot
from slotwise.services.schedule.slot_lists import Position
from slotwise.services.schedule.time_counts import Counted
from slotwise.services.schedule.time_searches import BEGIN, Place, TimesQuery
from slotwise.services.schedule.times import FreeTime, Times

# Times among which other doctors are looked for.
MOST_LOOKED_THROUGH = 200


class ChoosableTime(Struct, frozen=True):
    """A time to choose: that of a slot or, if `slot_id` is None, one in open time, which is held by its `time_id`.

    `visit_type_id` is None in lists that were not made for one kind of visit.
    """

    start_time: datetime
    end_time: datetime
    doctor_id: int
    doctor_name: str
    specialization: str | None
    clinic_id: int
    total_seats: int
    available_seats: int
    slot_id: int | None
    visit_type_id: int | None = None
    time_id: str | None = None

    @classmethod
    def of_slot(cls, slot: Slot) -> "ChoosableTime":
        return cls(
            slot.start_time,
            slot.end_time,
            slot.doctor_id,
            slot.doctor_name,
            slot.specialization,
            slot.clinic_id,
            slot.total_seats,
            slot.available_seats,
            slot.id,
        )

    @classmethod
    def of_time(cls, time: FreeTime, time_id: str) -> "ChoosableTime":
        return cls(
            time.start_time,
            time.end_time,
            time.doctor_id,
            time.doctor_name,
            time.specialization,
            time.clinic_id,
            time.total_seats,
            time.available_seats,
            time.slot_id,
            time.visit_type_id,
            time_id if time.slot_id is None else None,
        )

    @property
    def key(self) -> str:
        """Names the time on a page: the same as long as the time is the same."""
        if self.slot_id is not None:
            return str(self.slot_id)
        return f"{self.doctor_id}-{self.start_time.astimezone(UTC):%Y%m%dT%H%M}"

    @property
    def position(self) -> Position:
        """Where it is in its list. A list for one kind of visit has each doctor once at a time."""
        number = self.slot_id if self.visit_type_id is None else self.doctor_id
        return self.start_time, number or 0


class Listed(Struct, frozen=True):
    """Times in order. If there may be more, `ended` is where to continue; `following` is the next start, if known."""

    times: list[ChoosableTime] = []
    ended: Position | None = None
    following: datetime | None = None


class TimesOfKind:
    """The times for one kind of visit: the query must name it."""

    def __init__(self, times: Times) -> None:
        self._times = times

    async def list_times(self, query: TimesQuery, limit: int, after: Position | None = None) -> Listed:
        place = BEGIN if after is None else Place(after[0], after[1], query.visit_type_id or 0)
        found = await self._times.list_times(query, limit, place)
        times = [ChoosableTime.of_time(time, self._times.id_of(time, query, found.now)) for time in found.times]
        if len(times) > limit:
            return Listed(times[:limit], times[limit - 1].position, times[limit].start_time)
        ended = found.walked_to
        return Listed(times, None if ended is None else (ended.start_time, ended.doctor_id))

    async def count_times(self, query: TimesQuery, midnights: Sequence[datetime], limit: int) -> list[Counted]:
        """Those of each day between two midnights."""
        return await self._times.count_times(query, midnights, limit)

    async def list_other_doctors(self, query: TimesQuery, doctor_id: int, most: int) -> list[ChoosableTime]:
        """The first time of each of the next doctors, without that one."""
        found = await self.list_times(replace(query, doctor_id=None), MOST_LOOKED_THROUGH)
        first = {time.doctor_id: time for time in reversed(found.times) if time.doctor_id != doctor_id}
        return sorted(first.values(), key=lambda time: time.position)[:most]

    async def can_book(self, query: TimesQuery) -> bool:
        """Whether who asks can book this kind of visit at all."""
        return await self._times.offers(query)
