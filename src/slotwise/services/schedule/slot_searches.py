"""Searches among the slots on offer: how many there are on each of some days, and how far a search may go."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from slotwise.db.pool import Connection
from slotwise.db.search_patterns import equal_to
from slotwise.db.statements import Statement
from slotwise.services.schedule.slot_lists import SlotQuery

# The count of a day ends here, and then means that many or more. It also ends when `MOST_LOOKED_AT` slots are read:
# most of a day's slots may have too few free seats.
MOST_COUNTED = 100
MOST_LOOKED_AT = 500


class CountedSlots(Struct, frozen=True):
    """Of the day with this place, from 1. If the count is not whole, there may be more."""

    place: int
    times: int
    whole: bool


class Reach(Struct, frozen=True):
    start_time: datetime | None


COUNT_FREE_TIMES = Statement("schedule/free_times.count_free_times", CountedSlots)
COUNT_FREE_TIMES_OF_CLINICS = Statement("schedule/free_times.count_free_times_of_clinics", CountedSlots)
COUNT_FREE_TIMES_OF_DOCTORS = Statement("schedule/free_times.count_free_times_of_doctors", CountedSlots)
FIND_REACH = Statement("schedule/free_times.find_reach", Reach)
FIND_REACH_OF_CLINICS = Statement("schedule/free_times.find_reach_of_clinics", Reach)
FIND_REACH_OF_SPECIALIZATION = Statement("schedule/free_times.find_reach_of_specialization", Reach)


async def count_slots(connection: Connection, query: SlotQuery, midnights: Sequence[datetime]) -> list[CountedSlots]:
    """Those of each day between two midnights. The period of the query does not count."""
    if query.doctor_id is not None or query.specialization is not None:
        return await COUNT_FREE_TIMES_OF_DOCTORS.all(
            connection,
            days_from=midnights[:-1],
            days_to=midnights[1:],
            min_seats=query.min_seats,
            most_looked_at=MOST_LOOKED_AT,
            limit=MOST_COUNTED,
            doctor_id=query.doctor_id,
            specialization=equal_to(query.specialization),
            clinic_ids=query.clinic_ids,
        )
    if query.clinic_ids is not None:
        return await COUNT_FREE_TIMES_OF_CLINICS.all(
            connection,
            days_from=midnights[:-1],
            days_to=midnights[1:],
            min_seats=query.min_seats,
            most_looked_at=MOST_LOOKED_AT,
            limit=MOST_COUNTED,
            clinic_ids=query.clinic_ids,
        )
    return await COUNT_FREE_TIMES.all(
        connection,
        days_from=midnights[:-1],
        days_to=midnights[1:],
        min_seats=query.min_seats,
        most_looked_at=MOST_LOOKED_AT,
        limit=MOST_COUNTED,
    )


async def find_reach(connection: Connection, query: SlotQuery, most_looked_at: int) -> datetime | None:
    """The start of the last slot that a search from the query's start on may look at; None if it may see all."""
    if query.specialization is not None:
        reach = await FIND_REACH_OF_SPECIALIZATION.one(
            connection,
            starts_from=query.starts_from,
            most_looked_at=most_looked_at,
            specialization=equal_to(query.specialization),
            clinic_ids=query.clinic_ids,
        )
    elif query.clinic_ids is not None:
        reach = await FIND_REACH_OF_CLINICS.one(
            connection,
            starts_from=query.starts_from,
            most_looked_at=most_looked_at,
            clinic_ids=query.clinic_ids,
        )
    else:
        reach = await FIND_REACH.one(
            connection,
            starts_from=query.starts_from,
            most_looked_at=most_looked_at,
            min_seats=query.min_seats,
        )
    return reach.start_time
