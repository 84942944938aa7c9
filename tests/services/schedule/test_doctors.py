"""Doctors below HTTP."""

from datetime import UTC, datetime

from slotwise.db.pool import Database
from slotwise.domain.users import Role, User
from slotwise.services.schedule.doctors import Doctors

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADMIN = User(1, "admin@example.org", "Ann Admin", Role.ADMIN, True, 1, NOW, NOW)


async def test_a_list_that_is_cut_short_still_has_the_chosen_doctor(database: Database) -> None:
    doctors = Doctors(database)
    made = [await doctors.create_doctor(ADMIN, f"Dr. {number}", None) for number in range(3)]
    first, _, last = made
    assert await doctors.list_doctors_with(last.id, 1) == [last, first]
    assert await doctors.list_doctors_with(last.id, 3) == made
    for no_other in (None, first.id, 10**17):
        assert await doctors.list_doctors_with(no_other, 1) == [first]
