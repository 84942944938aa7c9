"""The use cases of clinics."""

from slotwise.db.pool import Database
from slotwise.db.statements import NoRow, Statement
from slotwise.domain.clinics import FIRST_CLINIC, Clinic

FILL_FIRST_CLINIC = Statement("schedule/clinics.fill_first_clinic", NoRow)


async def fill_first_clinic(database: Database, clinic: Clinic) -> None:
    """Give clinic 1 what the settings say, at the first start. Later, what people have changed stays."""
    async with database.transaction() as connection:
        await FILL_FIRST_CLINIC.run(
            connection, name=clinic.name, time_zone=clinic.time_zone, address=clinic.address, clinic_id=FIRST_CLINIC
        )
