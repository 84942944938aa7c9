"""Clinics: what the first one begins with."""

import asyncpg

from slotwise.db.pool import Database
from slotwise.domain.clinics import Clinic
from slotwise.services.schedule.clinics import fill_first_clinic


async def test_the_first_start_names_the_first_clinic_and_later_ones_change_nothing(
    database: Database, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    read = "SELECT name, time_zone, address, version FROM clinics"
    assert tuple(await connection.fetchrow(read) or ()) == ("", "", None, 0)
    await fill_first_clinic(database, Clinic(1, "North", "Europe/Berlin", "1 High Street"))
    await fill_first_clinic(database, Clinic(1, "South", "UTC"))
    assert [tuple(row) for row in await connection.fetch(read)] == [("North", "Europe/Berlin", "1 High Street", 1)]
