"""The use cases of doctors."""

from collections.abc import Callable

import structlog
from msgspec import Struct

from slotwise.db.pool import Connection, Database
from slotwise.db.search_patterns import containing, equal_to
from slotwise.db.statements import NoRow, Statement
from slotwise.domain.doctors import FIRST_DOCTOR, Doctor, DoctorPosition
from slotwise.domain.errors import DoctorNotFound
from slotwise.domain.fields import clean_name
from slotwise.domain.name_order import ENGLISH, NameOrder
from slotwise.domain.search_form import forms_of_words
from slotwise.domain.users import User, actor_of
from slotwise.services.core.audit import changes, record_action
from slotwise.services.core.seat_events import EVERY_SLOT, SeatsChanged, ignore_changes


class KnownSpecialization(Struct, frozen=True):
    specialization: str


class DoctorInOrder(Struct, frozen=True):
    id: int
    name: str
    name_sort_key: bytes


MOST_SPECIALIZATIONS = 200
# In all spellings together, of which people see one.
MOST_SPELLINGS = 2000

CREATE_DOCTOR = Statement("schedule/doctors.create_doctor", Doctor)
GET_DOCTOR = Statement("schedule/doctors.get_doctor", Doctor)
LIST_DOCTORS = Statement("schedule/doctors.list_doctors", Doctor)
LIST_SORT_KEYS = Statement("schedule/doctors.list_sort_keys", DoctorInOrder)
LIST_SPECIALIZATIONS = Statement("schedule/doctors.list_specializations", KnownSpecialization)
LOCK_DOCTOR = Statement("schedule/doctors.lock_doctor", Doctor)
UPDATE_DOCTOR = Statement("schedule/doctors.update_doctor", Doctor)
WRITE_SORT_KEYS = Statement("schedule/doctors.write_sort_keys", NoRow)

# How many doctors get their keys in one statement, which holds their locks for some milliseconds.
_SORTED_AT_ONCE = 500

log = structlog.get_logger()


class Doctors:
    def __init__(
        self, database: Database, seats_changed: SeatsChanged = ignore_changes, order: NameOrder = ENGLISH
    ) -> None:
        self._database = database
        self._seats_changed = seats_changed
        self._order = order

    async def create_doctor(self, admin: User, name: str, specialization: str | None) -> Doctor:
        name = clean_name("name", name)
        specialization = None if specialization is None else clean_name("specialization", specialization)
        async with self._database.transaction() as connection:
            doctor = await CREATE_DOCTOR.one(
                connection, name=name, name_sort_key=self._order.key(name), specialization=specialization
            )
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
        after: DoctorPosition,
        limit: int,
        specialization: str | None = None,
        text: str | None = None,
        with_inactive: bool = False,
    ) -> list[Doctor]:
        """By name, after a position; doctors of the same name by id.

        Doctors who no longer take appointments only `with_inactive`.
        """
        async with self._database.connection() as connection:
            return await LIST_DOCTORS.all(
                connection,
                after_key=after.name_sort_key,
                after_id=after.id,
                limit=limit,
                specialization=equal_to(specialization),
                pattern=containing(text),
                with_inactive=with_inactive,
            )

    async def list_doctors_with(self, chosen_id: int | None, limit: int) -> list[Doctor]:
        """Doctors to choose from: the first by name, active or not, and the chosen one if it is not among them."""
        async with self._database.connection() as connection:
            listed = await LIST_DOCTORS.all(
                connection,
                after_key=FIRST_DOCTOR.name_sort_key,
                after_id=FIRST_DOCTOR.id,
                limit=limit,
                specialization=None,
                pattern=None,
                with_inactive=True,
            )
            if chosen_id is None or any(doctor.id == chosen_id for doctor in listed):
                return listed
            chosen = await GET_DOCTOR.first(connection, doctor_id=chosen_id)
        return listed if chosen is None else [chosen, *listed]

    async def list_specializations(self) -> list[str]:
        """By name, each in one spelling. Also those of doctors who no longer take appointments."""
        async with self._database.connection() as connection:
            return await list_specializations(connection, MOST_SPECIALIZATIONS, self._order, with_inactive=True)

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
                name_sort_key=None if name is None else self._order.key(name),
                specialization=specialization,
                clear_specialization=clear_specialization,
                active=active,
            )
            details = changes(before, doctor, "name", "specialization", "active")
            await record_action(connection, actor_of(admin), "update_doctor", f"doctor:{doctor_id}", details)
        # The name and the availability of their slots may have changed, and there may be thousands of slots.
        self._seats_changed([EVERY_SLOT])
        return doctor


async def list_specializations(
    connection: Connection, limit: int, order: NameOrder, *, with_inactive: bool = False
) -> list[str]:
    """By name. Spellings of the same words are one: that of the doctor with the lowest id."""
    found = await LIST_SPECIALIZATIONS.all(connection, with_inactive=with_inactive, limit=MOST_SPELLINGS)
    spelled: list[str] = []
    seen: set[tuple[str, ...]] = set()
    for known in found:
        forms = forms_of_words(known.specialization)
        if seen.isdisjoint(forms):
            spelled.append(known.specialization)
            # Only of what is shown: what is like a spelling that is left out need not be like the one that is shown.
            seen |= forms
    return sorted(spelled, key=order.key)[:limit]


async def sort_doctors(database: Database, order: NameOrder, report: Callable[[str], None]) -> int:
    """Write the keys that are not those of `order` anew; return of how many doctors.

    That is after another language was set, after ICU's rules changed, and for names that the release before wrote. All
    keys are compared, because a key does not say which rules it was made by: 10,000 take 0.14 seconds.
    """
    written = last_id = 0
    while doctors := await _read_keys(database, last_id):
        last_id = doctors[-1].id
        wrong = [doctor for doctor in doctors if doctor.name_sort_key != order.key(doctor.name)]
        if wrong:
            await _write_keys(database, order, wrong)
            written += len(wrong)
            report(f"Sorting doctors by name anew: {written} up to now")
    if written:
        log.info("doctors_sorted", doctors=written, edition=order.edition)
    return written


async def _read_keys(database: Database, after_id: int) -> list[DoctorInOrder]:
    async with database.connection() as connection:
        return await LIST_SORT_KEYS.all(connection, after_id=after_id, limit=_SORTED_AT_ONCE)


async def _write_keys(database: Database, order: NameOrder, doctors: list[DoctorInOrder]) -> None:
    async with database.transaction() as connection:
        await WRITE_SORT_KEYS.run(
            connection,
            ids=[doctor.id for doctor in doctors],
            names=[doctor.name for doctor in doctors],
            name_sort_keys=[order.key(doctor.name) for doctor in doctors],
        )
