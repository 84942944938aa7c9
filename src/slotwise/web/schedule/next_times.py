"""What a patient whose appointment is cancelled can have instead: the next free times."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from slotwise.domain.schedules import Closure
from slotwise.domain.slots import Slot
from slotwise.services.schedule.free_times import TimeQuery
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


async def next_times(
    request: PageRequest, renderer: Renderer, looking: Iterable[Looking], closures: Sequence[Closure] = ()
) -> dict[int, list[Slot]]:
    """By booking: times of the same doctor or of a colleague with the same specialty, outside these closures.

    Only times that the account may book: at the clinics that it works for.

    Each patient gets the times from another one on, so that patients who are called one after the other are not all
    offered the same.
    """
    free: dict[tuple[int, int], list[Slot]] = {}
    offered: dict[int, list[Slot]] = {}
    for place, each in enumerate(looking):
        wanted = (each.doctor_id, each.seats)
        if wanted not in free and len(free) < MOST_SEARCHES:
            free[wanted] = await _free_times(request, renderer, wanted, closures)
        times = free.get(wanted, [])
        first = place % max(1, len(times) - TIMES_FOR_EACH + 1)
        offered[each.booking_id] = times[first : first + TIMES_FOR_EACH]
    return offered


async def _free_times(
    request: PageRequest, renderer: Renderer, wanted: tuple[int, int], closures: Sequence[Closure]
) -> list[Slot]:
    services, (doctor_id, seats) = page_parts(request).services, wanted
    doctor = await services.doctors.get_doctor(doctor_id)
    same_doctor = TimeQuery(doctor_id=doctor_id, seats=seats)
    queries = [TimeQuery(specialization=doctor.specialization, seats=seats)] if doctor.specialization else []
    days = [renderer.time.day_of(closure.end_time) for closure in closures]
    queries.append(same_doctor if not days else TimeQuery(doctor_id=doctor_id, seats=seats, day=max(days)))
    found: dict[int, Slot] = {}
    for query in queries:
        page = await services.free_times.list_next_times(replace(query, within=account_in(request).books_at))
        found |= {slot.id: slot for slot in (page.times if page else ()) if not _is_closed(slot, closures)}
    return [renderer.at_clinic(slot) for slot in sorted(found.values(), key=lambda slot: (slot.start_time, slot.id))]


def _is_closed(slot: Slot, closures: Iterable[Closure]) -> bool:
    return any(
        closure.applies_to(slot.doctor_id, slot.clinic_id)
        and closure.start_time < slot.end_time
        and closure.end_time > slot.start_time
        for closure in closures
    )
