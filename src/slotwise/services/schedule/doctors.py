"""The use cases of doctors."""

from msgspec import Struct

from slotwise.db.pool import Connection, Database
from slotwise.db.search_patterns import containing, equal_to
from slotwise.db.statements import Statement
from slotwise.domain.doctors import Doctor, place_by_name
from slotwise.domain.errors import DoctorNotFound
from slotwise.domain.fields import clean_name
from slotwise.domain.search_form import words_in_order
from slotwise.domain.sort_key import sort_key
from slotwise.domain.users import User, actor_of
from slotwise.services.core.audit import changes, record_action
from slotwise.services.core.seat_events import EVERY_SLOT, SeatsChanged, ignore_changes


class KnownSpecialization(Struct, frozen=True):
    specialization: str


MOST_SPECIALIZATIONS = 200
# In all spellings together, of which people see one.
MOST_SPELLINGS = 2000

CREATE_DOCTOR = Statement("schedule/doctors.create_doctor", Doctor)
GET_DOCTOR = Statement("schedule/doctors.get_doctor", Doctor)
LIST_DOCTORS = Statement("schedule/doctors.list_doctors", Doctor)
LIST_SPECIALIZATIONS = Statement("schedule/doctors.list_specializations", KnownSpecialization)
LOCK_DOCTOR = Statement("schedule/doctors.lock_doctor", Doctor)
UPDATE_DOCTOR = Statement("schedule/doctors.update_doctor", Doctor)


class Doctors:
    def __init__(self, database: Database, seats_changed: SeatsChanged = ignore_changes) -> None:
        self._database = database
        self._seats_changed = seats_changed

    async def create_doctor(self, admin: User, name: str, specialization: str | None) -> Doctor:
        name = clean_name("name", name)
        specialization = None if specialization is None else clean_name("specialization", specialization)
        async with self._database.transaction() as connection:
            doctor = await CREATE_DOCTOR.one(connection, name=name, specialization=specialization)
            await record_action(connection, actor_of(admin), "create_doctor", f"doctor:{doctor.id}")
        return doctor

    async def get_doctor(self, doctor_id: int) -> Doctor:
        async with self._database.connection() as connection:
            doctor = await GET_DOCTOR.first(connection, doctor_id=doctor_id)
        if doctor is None:
            raise DoctorNotFound
        return doctor

    async def list_doctors(
        self,
        after_id: int,
        limit: int,
        specialization: str | None = None,
        text: str | None = None,
        with_inactive: bool = False,
    ) -> list[Doctor]:
        """By name, after the doctor `after_id` if it is not 0; doctors of the same name by id.

        Doctors who no longer take appointments only `with_inactive`. All that match are read and sorted for each page:
        a clinic has some hundreds, and no key must be kept beside the name.
        """
        async with self._database.connection() as connection:
            found = await LIST_DOCTORS.all(
                connection,
                specialization=equal_to(specialization),
                pattern=containing(text),
                with_inactive=with_inactive,
            )
            last = await GET_DOCTOR.first(connection, doctor_id=after_id) if after_id else None
        if last is None:
            return sorted(found, key=place_by_name)[:limit] if after_id == 0 else []
        after = place_by_name(last)
        return sorted((doctor for doctor in found if place_by_name(doctor) > after), key=place_by_name)[:limit]

    async def list_doctors_with(self, chosen_id: int | None, limit: int) -> list[Doctor]:
        """Doctors to choose from: the first by name, active or not, and the chosen one if it is not among them."""
        async with self._database.connection() as connection:
            found = await LIST_DOCTORS.all(connection, specialization=None, pattern=None, with_inactive=True)
        doctors = sorted(found, key=place_by_name)
        return [doctor for doctor in doctors[limit:] if doctor.id == chosen_id] + doctors[:limit]

    async def list_specializations(self) -> list[str]:
        """By name, each in one spelling. Also those of doctors who no longer take appointments."""
        async with self._database.connection() as connection:
            return await list_specializations(connection, MOST_SPECIALIZATIONS, with_inactive=True)

    async def update_doctor(
        self,
        admin: User,
        doctor_id: int,
        name: str | None = None,
        specialization: str | None = None,
        clear_specialization: bool = False,
        active: bool | None = None,
    ) -> Doctor:
        """Change what is not None. A doctor who is no longer active keeps bookings and takes no new ones."""
        name = None if name is None else clean_name("name", name)
        specialization = None if specialization is None else clean_name("specialization", specialization)
        async with self._database.transaction() as connection:
            before = await LOCK_DOCTOR.first(connection, doctor_id=doctor_id)
            if before is None:
                raise DoctorNotFound
            doctor = await UPDATE_DOCTOR.one(
                connection,
                doctor_id=doctor_id,
                name=name,
                specialization=specialization,
                clear_specialization=clear_specialization,
                active=active,
            )
            details = changes(before, doctor, "name", "specialization", "active")
            await record_action(connection, actor_of(admin), "update_doctor", f"doctor:{doctor_id}", details)
        # The name and the availability of their slots may have changed, and there may be thousands of slots.
        self._seats_changed([EVERY_SLOT])
        return doctor


async def list_specializations(connection: Connection, limit: int, *, with_inactive: bool = False) -> list[str]:
    """By name. Spellings with the same words are one: that of the doctor with the lowest id."""
    found = await LIST_SPECIALIZATIONS.all(connection, with_inactive=with_inactive, limit=MOST_SPELLINGS)
    spelled: dict[tuple[str, ...], str] = {}
    for known in found:
        spelled.setdefault(words_in_order(known.specialization), known.specialization)
    return sorted(spelled.values(), key=sort_key)[:limit]
