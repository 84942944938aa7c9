"""What a patient whose appointment is cancelled can have instead: the next free times."""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple

from msgspec.structs import replace

from slotwise.domain.schedules import Closure
from slotwise.services.schedule.choosable_times import ChoosableTime
from slotwise.services.schedule.found_times import KindsToChoose, NextTimes, TimeQuery
from slotwise.services.schedule.free_times import FreeTimes
from slotwise.web.kit.access import PageRequest, account_in
from slotwise.web.kit.parts import page_parts
from slotwise.web.kit.rendering import Renderer

TIMES_FOR_EACH = 3
# Doctors whose times are looked up for one page.
MOST_SEARCHES = 20


class Looking(NamedTuple):
    """A booking whose patient needs another time."""

    booking_id: int
    doctor_id: int
    seats: int
    visit_type_id: int | None = None


class Wanted(NamedTuple):
    """What patients look for; those who look for the same share one search."""

    doctor_id: int
    seats: int
    visit_type_id: int | None

    @property
    def query(self) -> TimeQuery:
        """With no kind of visit, in published times of any kind."""
        kind = self.visit_type_id
        return TimeQuery(seats=self.seats, visit_type_id=kind, any_visit=kind is None)


async def next_times(
    request: PageRequest, renderer: Renderer, looking: Iterable[Looking], closures: Sequence[Closure] = ()
) -> dict[int, list[ChoosableTime]]:
    """By booking: times for the same kind of visit, of the same doctor or of a colleague with the same specialty.

    They are outside these closures, in published slots and in open time.

    Only times that the account may book: at the clinics that it works for.

    Each patient gets the times from another one on, so that patients who are called one after the other are not all
    offered the same.
    """
    free: dict[Wanted, list[ChoosableTime]] = {}
    offered: dict[int, list[ChoosableTime]] = {}
    for place, each in enumerate(looking):
        wanted = Wanted(each.doctor_id, each.seats, each.visit_type_id)
        if wanted not in free and len(free) < MOST_SEARCHES:
            free[wanted] = await _free_times(request, renderer, wanted, closures)
        times = free.get(wanted, [])
        first = place % max(1, len(times) - TIMES_FOR_EACH + 1)
        offered[each.booking_id] = times[first : first + TIMES_FOR_EACH]
    return offered


async def _free_times(
    request: PageRequest, renderer: Renderer, wanted: Wanted, closures: Sequence[Closure]
) -> list[ChoosableTime]:
    services, query = page_parts(request).services, replace(wanted.query, within=account_in(request).books_at)
    doctor = await services.doctors.get_doctor(wanted.doctor_id)
    days = [renderer.time.day_of(closure.end_time) for closure in closures]
    queries = [replace(query, doctor_id=doctor.id, day=max(days, default=None))]
    if doctor.specialization:
        queries.append(replace(query, specialization=doctor.specialization))
    found: dict[str, ChoosableTime] = {}
    for each in queries:
        times = await _list_times(services.free_times, each)
        found |= {time.key: time for time in times if not _is_closed(time, closures)}
    return [renderer.at_clinic(time) for time in sorted(found.values(), key=attrgetter("start_time", "doctor_id"))]


async def _list_times(free_times: FreeTimes, query: TimeQuery) -> list[ChoosableTime]:
    """Of any kind, if the kind of visit is no longer offered."""
    page = await free_times.list_next_times(query)
    if isinstance(page, KindsToChoose):
        page = await free_times.list_next_times(replace(query, visit_type_id=None, any_visit=True))
    return page.times if isinstance(page, NextTimes) else []


def _is_closed(time: ChoosableTime, closures: Iterable[Closure]) -> bool:
    return any(
        closure.applies_to(time.doctor_id, time.clinic_id)
        and closure.start_time < time.end_time
        and closure.end_time > time.start_time
        for closure in closures
    )
