"""The use cases of clinics: the places that patients come to."""

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta

from msgspec import Struct

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import NoRow, Statement
from slotwise.domain.clinics import FIRST_CLINIC, Clinic, ClinicChange
from slotwise.domain.errors import (
    ChangedMeanwhile,
    ClinicInUse,
    ClinicNotFound,
    DoctorNotFound,
    InvalidInput,
    LastClinic,
)
from slotwise.domain.users import User, actor_of
from slotwise.services.core.audit import changes, record_action
from slotwise.services.schedule.doctors import LOCK_DOCTOR


class Found(Struct, frozen=True):
    found: bool


class ClinicId(Struct, frozen=True):
    clinic_id: int


CHANGE_DOCTOR_CLINICS = Statement("schedule/clinics.change_doctor_clinics", NoRow)
CHANGE_USER_CLINICS = Statement("schedule/clinics.change_user_clinics", NoRow)
LIST_DOCTOR_CLINICS = Statement("schedule/clinics.list_doctor_clinics", ClinicId)
LIST_USER_CLINICS = Statement("schedule/clinics.list_user_clinics", ClinicId)
WORKS_AT = Statement("schedule/clinics.works_at", Found)
CREATE_CLINIC = Statement("schedule/clinics.create_clinic", Clinic)
FILL_FIRST_CLINIC = Statement("schedule/clinics.fill_first_clinic", NoRow)
GET_CLINIC = Statement("schedule/clinics.get_clinic", Clinic)
HAS_RULES = Statement("schedule/clinics.has_rules", Found)
HAS_OPEN_TIMES = Statement("schedule/clinics.has_open_times", Found)
KEEP_CLINIC = Statement("schedule/clinics.keep_clinic", Clinic)
LIST_CLINICS = Statement("schedule/clinics.list_clinics", Clinic)
LOCK_CLINICS = Statement("schedule/clinics.lock_clinics", Clinic)
UPDATE_CLINIC = Statement("schedule/clinics.update_clinic", Clinic)

# All that a person can change, which the audit log shows.
CHANGEABLE = ClinicChange.__struct_fields__
_BLANK = Clinic(0, "", "")


class Clinics:
    """`refresh` makes this worker know what was changed; the others read it within a second or two."""

    def __init__(self, database: Database, refresh: Callable[[], Awaitable[None]]) -> None:
        self._database = database
        self._refresh = refresh

    async def create_clinic(self, admin: User, details: ClinicChange) -> Clinic:
        """Raises `InvalidInput`."""
        wanted = details.applied_to(_BLANK)
        if not wanted.name:
            raise InvalidInput.of("name", "is required")
        if not wanted.time_zone:
            raise InvalidInput.of("time_zone", "is required")
        async with self._database.transaction() as connection:
            clinic = await CREATE_CLINIC.one(
                connection,
                name=wanted.name,
                time_zone=wanted.time_zone,
                address=wanted.address,
                telephone=wanted.telephone,
                email=wanted.email,
                directions=wanted.directions,
                opening_note=wanted.opening_note,
                colour=wanted.colour,
                active=wanted.active,
                evening_list=wanted.evening_list,
            )
            await record_action(connection, actor_of(admin), "create_clinic", f"clinic:{clinic.id}")
        await self._refresh()
        return clinic

    async def get_clinic(self, clinic_id: int) -> Clinic:
        async with self._database.connection() as connection:
            clinic = await GET_CLINIC.first(connection, clinic_id=clinic_id)
        if clinic is None:
            raise ClinicNotFound
        return clinic

    async def list_clinics(self, after_id: int, limit: int, *, with_inactive: bool = False) -> list[Clinic]:
        """By id, after one."""
        async with self._database.connection() as connection:
            return await LIST_CLINICS.all(connection, after_id=after_id, limit=limit, with_inactive=with_inactive)

    async def update_clinic(
        self, admin: User, clinic_id: int, change: ClinicChange, versions: frozenset[int] | None = None
    ) -> Clinic:
        """Change a clinic that has one of these versions, or any.

        Raises `ChangedMeanwhile` with the clinic as it is now, `InvalidInput`, `ClinicInUse` and `LastClinic`.
        """
        async with self._database.transaction() as connection:
            # All of them: of two admins who each deactivate one of two clinics, the second must see the first.
            clinics = {clinic.id: clinic for clinic in await LOCK_CLINICS.all(connection)}
            before = clinics.get(clinic_id)
            if before is None:
                raise ClinicNotFound
            if versions is not None and before.version not in versions:
                raise ChangedMeanwhile(before, before.version)
            wanted = change.applied_to(before)
            if before.active and not wanted.active:
                await _refuse_closing(connection, clinic_id, list(clinics.values()))
            if before.time_zone != wanted.time_zone:
                await _refuse_moving(connection, clinic_id)
            after = await _write(connection, wanted) if wanted != before else before
            details = changes(before, after, *CHANGEABLE)
            await record_action(connection, actor_of(admin), "update_clinic", f"clinic:{clinic_id}", details)
        await self._refresh()
        return after

    async def list_doctor_clinics(self, doctor_id: int) -> list[int]:
        """Where a doctor works; empty for all clinics."""
        async with self._database.connection() as connection:
            return [row.clinic_id for row in await LIST_DOCTOR_CLINICS.all(connection, doctor_id=doctor_id)]

    async def change_doctor_clinics(self, admin: User, doctor_id: int, clinic_ids: frozenset[int]) -> None:
        """Say where a doctor works; empty for all clinics. The times that the doctor has elsewhere stay."""
        async with self._database.transaction() as connection:
            if await LOCK_DOCTOR.first(connection, doctor_id=doctor_id) is None:
                raise DoctorNotFound
            before = [row.clinic_id for row in await LIST_DOCTOR_CLINICS.all(connection, doctor_id=doctor_id)]
            await CHANGE_DOCTOR_CLINICS.run(connection, doctor_id=doctor_id, clinic_ids=sorted(clinic_ids))
            details = {"clinics": [before, sorted(clinic_ids)]}
            await record_action(connection, actor_of(admin), "change_doctor_clinics", f"doctor:{doctor_id}", details)

    async def list_user_clinics(self, user_id: int) -> list[int]:
        """Which clinics an account works for; empty for all."""
        async with self._database.connection() as connection:
            return [row.clinic_id for row in await LIST_USER_CLINICS.all(connection, user_id=user_id)]

    async def change_user_clinics(self, admin: User, user_id: int, clinic_ids: frozenset[int]) -> None:
        """Say which clinics an account works for; empty for all. It takes effect within a second or two."""
        async with self._database.transaction() as connection:
            before = [row.clinic_id for row in await LIST_USER_CLINICS.all(connection, user_id=user_id)]
            await CHANGE_USER_CLINICS.run(connection, user_id=user_id, clinic_ids=sorted(clinic_ids))
            details = {"clinics": [before, sorted(clinic_ids)]}
            await record_action(connection, actor_of(admin), "change_user_clinics", f"user:{user_id}", details)
        await self._refresh()


async def refuse_elsewhere(connection: Connection, doctor_id: int, clinic_id: int) -> None:
    """Raise `InvalidInput` if the doctor, whose lock is held, does not work at the clinic."""
    if not (await WORKS_AT.one(connection, doctor_id=doctor_id, clinic_id=clinic_id)).found:
        raise InvalidInput.of("clinic_id", "is a clinic where this doctor does not work")


async def keep_open_clinic(connection: Connection, clinic_id: int) -> Clinic:
    """The clinic, which takes appointments until the transaction ends. Call it before the doctor is locked."""
    clinic = await KEEP_CLINIC.first(connection, clinic_id=clinic_id)
    if clinic is None:
        raise ClinicNotFound
    if not clinic.active:
        raise InvalidInput.of("clinic_id", "is a clinic that takes no appointments")
    return clinic


async def refuse_reopening(connection: Connection, doctor_id: int, clinic_id: int) -> None:
    """Raise `InvalidInput` where no time can be added either. A clinic that closes afterwards is seen by the update."""
    if not (await GET_CLINIC.one(connection, clinic_id=clinic_id)).active:
        raise InvalidInput.of("status", "cannot be OPEN, because the clinic takes no appointments")
    if not (await WORKS_AT.one(connection, doctor_id=doctor_id, clinic_id=clinic_id)).found:
        raise InvalidInput.of("status", "cannot be OPEN, because the doctor does not work at this clinic")


async def fill_first_clinic(database: Database, clinic: Clinic) -> None:
    """Give clinic 1 what the settings say, at the first start. Later, what people have changed stays."""
    async with database.transaction() as connection:
        await FILL_FIRST_CLINIC.run(
            connection, name=clinic.name, time_zone=clinic.time_zone, address=clinic.address, clinic_id=FIRST_CLINIC
        )


async def _refuse_closing(connection: Connection, clinic_id: int, clinics: list[Clinic]) -> None:
    if not any(clinic.active for clinic in clinics if clinic.id != clinic_id):
        raise LastClinic
    has_times = (await HAS_OPEN_TIMES.one(connection, clinic_id=clinic_id)).found
    if has_times or (await HAS_RULES.one(connection, clinic_id=clinic_id, today=_yesterday())).found:
        raise ClinicInUse


def _yesterday() -> date:
    """By UTC: in some zone it is still that day."""
    return datetime.now(UTC).date() - timedelta(days=1)


async def _refuse_moving(connection: Connection, clinic_id: int) -> None:
    """Another zone moves the times of rules, which a person must see first."""
    if (await HAS_RULES.one(connection, clinic_id=clinic_id, today=_yesterday())).found:
        raise InvalidInput.of(
            "time_zone",
            "moves the weekly hours of doctors here. `changeZones` of POST /api/schedule/preview shows how, first",
        )


async def _write(connection: Connection, wanted: Clinic) -> Clinic:
    return await UPDATE_CLINIC.one(
        connection,
        clinic_id=wanted.id,
        name=wanted.name,
        time_zone=wanted.time_zone,
        address=wanted.address,
        telephone=wanted.telephone,
        email=wanted.email,
        directions=wanted.directions,
        opening_note=wanted.opening_note,
        colour=wanted.colour,
        active=wanted.active,
        evening_list=wanted.evening_list,
    )
