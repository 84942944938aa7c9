"""The ways to list the slots on offer."""

from datetime import datetime
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from slotwise.db.pool import Connection
from slotwise.db.search_patterns import equal_to
from slotwise.db.statements import Statement
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME
from slotwise.domain.slots import Slot


class SlotQuery(Struct, frozen=True):
    """Which open slots to list. The period of starts is half-open, in UTC. `clinic_ids` is None for all clinics.

    `by_desk` for those that the desk can book, in spite of the rules of visit types.
    """

    doctor_id: int | None = None
    specialization: str | None = None
    starts_from: datetime = FIRST_TIME
    starts_before: datetime = LAST_READABLE_TIME
    min_seats: int = 1
    clinic_ids: frozenset[int] | None = None
    visit_type_id: int | None = None
    by_desk: bool = False

    def within(self, clinic_ids: frozenset[int] | None) -> "SlotQuery":
        """Only at these of the query's clinics; None changes nothing."""
        if clinic_ids is None:
            return self
        return replace(self, clinic_ids=clinic_ids if self.clinic_ids is None else clinic_ids & self.clinic_ids)


# The place of a slot in its list: start and id.
Position: TypeAlias = tuple[datetime, int]

LIST_SLOTS = Statement("schedule/slots.list_slots", Slot)
LIST_SLOTS_OF_SIZE = Statement("schedule/slots.list_slots_of_size", Slot)
LIST_SLOTS_OF_DOCTOR = Statement("schedule/slots.list_slots_of_doctor", Slot)
LIST_SLOTS_OF_CLINICS = Statement("schedule/slots.list_slots_of_clinics", Slot)
LIST_SLOTS_OF_SPECIALIZATION = Statement("schedule/slots.list_slots_of_specialization", Slot)
LIST_SLOTS_OF_VISIT_TYPE = Statement("schedule/slots.list_slots_of_visit_type", Slot)


async def list_slots(connection: Connection, query: SlotQuery, limit: int, after: Position) -> list[Slot]:
    """By start and id, after the position; at most 501."""
    if query.doctor_id is not None:
        return await _list_of_doctor(connection, query, limit, after)
    if query.visit_type_id is not None:
        return await _list_of_visit_type(connection, query, limit, after)
    if query.specialization is not None:
        return await _list_of_specialization(connection, query, limit, after)
    if query.clinic_ids is not None:
        return await _list_of_clinics(connection, query, limit, after)
    if query.min_seats > 1:
        return await _list_of_size(connection, query, limit, after)
    return await _list_all(connection, query, limit, after)


# One statement for each way to walk, without filters that may be null, because one plan is made for all values.


async def _list_all(connection: Connection, query: SlotQuery, limit: int, after: Position) -> list[Slot]:
    return await LIST_SLOTS.all(
        connection,
        after_time=after[0],
        after_id=after[1],
        starts_before=query.starts_before,
        by_desk=query.by_desk,
        limit=limit,
    )


async def _list_of_size(connection: Connection, query: SlotQuery, limit: int, after: Position) -> list[Slot]:
    return await LIST_SLOTS_OF_SIZE.all(
        connection,
        min_seats=query.min_seats,
        after_time=after[0],
        after_id=after[1],
        starts_before=query.starts_before,
        by_desk=query.by_desk,
        limit=limit,
    )


async def _list_of_doctor(connection: Connection, query: SlotQuery, limit: int, after: Position) -> list[Slot]:
    return await LIST_SLOTS_OF_DOCTOR.all(
        connection,
        doctor_id=query.doctor_id,
        specialization=equal_to(query.specialization),
        clinic_ids=query.clinic_ids,
        visit_type_id=query.visit_type_id,
        after_time=after[0],
        after_id=after[1],
        starts_before=query.starts_before,
        min_seats=query.min_seats,
        by_desk=query.by_desk,
        limit=limit,
    )


async def _list_of_clinics(connection: Connection, query: SlotQuery, limit: int, after: Position) -> list[Slot]:
    return await LIST_SLOTS_OF_CLINICS.all(
        connection,
        clinic_ids=query.clinic_ids,
        after_time=after[0],
        after_id=after[1],
        starts_before=query.starts_before,
        min_seats=query.min_seats,
        by_desk=query.by_desk,
        limit=limit,
    )


async def _list_of_specialization(connection: Connection, query: SlotQuery, limit: int, after: Position) -> list[Slot]:
    return await LIST_SLOTS_OF_SPECIALIZATION.all(
        connection,
        specialization=equal_to(query.specialization),
        clinic_ids=query.clinic_ids,
        after_time=after[0],
        after_id=after[1],
        starts_before=query.starts_before,
        min_seats=query.min_seats,
        by_desk=query.by_desk,
        limit=limit,
    )


async def _list_of_visit_type(connection: Connection, query: SlotQuery, limit: int, after: Position) -> list[Slot]:
    return await LIST_SLOTS_OF_VISIT_TYPE.all(
        connection,
        visit_type_id=query.visit_type_id,
        clinic_ids=query.clinic_ids,
        specialization=equal_to(query.specialization),
        after_time=after[0],
        after_id=after[1],
        starts_before=query.starts_before,
        min_seats=query.min_seats,
        by_desk=query.by_desk,
        limit=limit,
    )
