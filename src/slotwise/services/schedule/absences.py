"""Which absences of doctors concern the desk of some clinics."""

from collections.abc import Sequence

from msgspec.structs import replace

from slotwise.db.pool import Connection
from slotwise.db.statements import RowId, Statement
from slotwise.domain.schedules import Closure
from slotwise.domain.users import User

LIST_DOCTORS_ELSEWHERE = Statement("schedule/clinics.list_doctors_elsewhere", RowId)


async def list_doctors_elsewhere(connection: Connection, reader: User) -> frozenset[int]:
    """The doctors who work only at clinics that the reader does not work for, and have no times ahead at the others."""
    if reader.clinic_ids is None:
        return frozenset()
    found = await LIST_DOCTORS_ELSEWHERE.all(connection, clinic_ids=sorted(reader.clinic_ids))
    return frozenset(row.id for row in found)


async def readable_closures(connection: Connection, reader: User, closures: Sequence[Closure]) -> list[Closure]:
    """The closures as the reader may see them: without the reasons why doctors are away elsewhere."""
    if reader.clinic_ids is None:
        return list(closures)
    elsewhere = await list_doctors_elsewhere(connection, reader)

    def is_elsewhere(closure: Closure) -> bool:
        if closure.doctor_id is None:
            return False
        return closure.doctor_id in elsewhere if closure.clinic_id is None else not reader.works_at(closure.clinic_id)

    return [replace(each, reason=None) if is_elsewhere(each) else each for each in closures]
