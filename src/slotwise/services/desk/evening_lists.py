"""Tomorrow's list of each clinic as files, written by itself each evening.

Which lists are written is told by the folder alone. A list that was missed, because no server ran or the folder was
away, is written as soon as that is over, until the next evening.
"""

import asyncio
import time as clock
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import TypeVar

import structlog
from msgspec import Struct

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import Statement
from slotwise.domain.clinics import Clinic, ClinicBook
from slotwise.domain.errors import SlotwiseError
from slotwise.domain.name_order import ENGLISH, NameOrder
from slotwise.observability.crash_points import UNARMED, CrashPoints
from slotwise.services.core.audit import record_action
from slotwise.services.desk.day_sheets import LIST_DOCTORS_OF_DAY, DoctorOfDay, DoctorsDay, read_sheet
from slotwise.services.desk.list_folder import ListFolder, ListOfClinic

ACTOR = "evening"
MOST_DOCTORS = 10_000
ONE_DAY = timedelta(days=1)
# A list that is missing for longer is a problem: another process does not take so long.
OVERDUE = timedelta(minutes=5)
# The folder does not answer if no round has ended for so long.
SILENT_SECONDS = 600.0

log = structlog.get_logger()

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class EveningList(Struct, frozen=True):
    """A clinic's sheets of a day, of doctors with appointments or with patients to tell of a cancellation.

    `cut_short` if there are more doctors. A sheet tells by itself whether it is.
    """

    clinic: Clinic
    day: date
    written_at: datetime
    days: list[DoctorsDay]
    cut_short: bool

    @property
    def cut_sheets(self) -> list[DoctorsDay]:
        return [one for one in self.days if one.is_cut]


class Evening(Struct, frozen=True):
    """When the lists are written, by the clock of each clinic, and how many days after its day a list is kept."""

    folder: ListFolder
    at: time
    keep_days: int

    def latest(self, clinic: Clinic, now: datetime) -> tuple[date, datetime]:
        """The day of the list that is due, and since when, in UTC. That is the day after the latest evening.

        An hour that the clocks skip counts as the hour after it, and the first of two equal ones counts.
        """
        today = now.astimezone(clinic.zone).date()
        for evening in (today, today - ONE_DAY, today - 2 * ONE_DAY):
            since = datetime.combine(evening, self.at, clinic.zone).astimezone(UTC)
            if since <= now:
                break
        return evening + ONE_DAY, since


class Claim(Struct, frozen=True):
    claimed: bool


class Release(Struct, frozen=True):
    released: bool


# A list as files, by the endings of their names.
PrintList = Callable[[EveningList], Mapping[str, str]]

CLAIM_EVENING_LISTS = Statement("desk/evening_lists.claim_evening_lists", Claim)
RELEASE_EVENING_LISTS = Statement("desk/evening_lists.release_evening_lists", Release)


class EveningLists:
    """`evening` is None where the settings name no folder: then nothing is written by itself."""

    def __init__(
        self,
        database: Database,
        clinics: ClinicBook,
        print_list: PrintList,
        evening: Evening | None,
        order: NameOrder = ENGLISH,
        crash_points: CrashPoints = UNARMED,
    ) -> None:
        self._database = database
        self._clinics = clinics
        self._print_list = print_list
        self._evening = evening
        self._order = order
        self._crash_points = crash_points
        self._warnings: list[str] = []
        self._looked_at = clock.monotonic()
        # The latest day of each clinic whose list was left out: it takes no appointments, and the list was empty.
        self._left_out: dict[int, date] = {}

    def warnings(self) -> list[str]:
        """What keeps the lists from being written, as this process knows it."""
        silent = clock.monotonic() - self._looked_at > SILENT_SECONDS
        if self._evening is not None and silent:
            return ["EVENING_LIST_DIR does not answer"]
        return self._warnings

    async def write_evening_lists(self, now: datetime | None = None) -> None:
        """Delete what is too old, and write what is due and missing. What fails keeps nothing else from being done."""
        if self._evening is None:
            return
        try:
            self._warnings = await self._look(self._evening, now or datetime.now(UTC))
        finally:
            self._looked_at = clock.monotonic()

    async def _look(self, evening: Evening, now: datetime) -> list[str]:
        """Deletes first, also from a full disk: the names in old lists do not wait for new ones."""
        not_deleted = await self._delete_old(evening, now)
        problem = await asyncio.to_thread(evening.folder.problem)
        if problem is not None:
            log.error("evening_lists_not_written", folder=f"{evening.folder.path}", reason=problem)
            # Without the path: everybody can read this.
            return [f"EVENING_LIST_DIR cannot be written to: {problem}"]
        missing = [
            await self._write_if_missing(evening, clinic, now) for clinic in self._clinics.all if clinic.evening_list
        ]
        return [warning for warning in (*missing, not_deleted) if warning]

    async def _write_if_missing(self, evening: Evening, clinic: Clinic, now: datetime) -> str | None:
        """A warning if the list is missing although it is due."""
        day, since = evening.latest(clinic, now)
        wanted = ListOfClinic(clinic.id, day)
        try:
            if self._left_out.get(clinic.id) == day or await asyncio.to_thread(evening.folder.has, wanted):
                return None
            if await self.write_evening_list(evening.folder, clinic, wanted.day, ACTOR, only_missing=True):
                return None
        except Exception as error:  # whatever it is, the other clinics get their lists
            return f"The list of clinic {clinic.id} for {day} cannot be written: {_log_failure(wanted, error)}"
        is_late = now - since > OVERDUE
        return f"The list of clinic {clinic.id} for {wanted.day} is not written" if is_late else None

    async def _delete_old(self, evening: Evening, now: datetime) -> str | None:
        """A warning if they cannot be deleted."""
        try:
            await asyncio.to_thread(evening.folder.delete_before, first_day_kept(self._clinics, evening.keep_days, now))
        except OSError as error:
            log.error("old_evening_lists_not_deleted", reason=error.strerror)  # noqa: TRY400 - no defect
            return f"Old lists cannot be deleted: {error.strerror}"
        return None

    async def write_evening_list(
        self, folder: ListFolder, clinic: Clinic, day: date, by: str, *, only_missing: bool = False
    ) -> bool:
        """Whether nothing is left to do: it is not if another process finishes a list now. Raises `OSError`.

        What can be slow comes first and holds no connection, so several processes may prepare the same list. One of
        them finishes it: the folder is looked at after the claim. That names were read is in the audit log before a
        file has its name. An empty list of a clinic that takes no appointments is left out.
        """
        wanted = ListOfClinic(clinic.id, day)
        found = await self._read_list(clinic, day)
        if only_missing and not found.days and not clinic.active:
            self._left_out[clinic.id] = day
            return True
        contents = await asyncio.to_thread(self._print_list, found)
        files = await asyncio.to_thread(folder.prepare, wanted, contents)
        try:
            async with self._claimed() as connection:
                if connection is None:
                    return False
                there = await asyncio.to_thread(_tried, folder.has, wanted) if only_missing else False
                failed = there if isinstance(there, OSError) else None
                if there is False:
                    if found.days:
                        subject = f"clinic:{clinic.id}"
                        await record_action(connection, by, "write_evening_list", subject, _outline(found))
                    self._crash_points.reach("write_evening_list", "after_commit")
                    failed = await asyncio.to_thread(_tried, folder.finish, files)
        finally:
            folder.discard(files)
        if failed is not None:
            raise failed
        if not there:
            log.info("evening_list_written", clinic=clinic.id, day=f"{day}", doctors=len(found.days))
            _log_cut(found)
        return True

    @asynccontextmanager
    async def _claimed(self) -> AsyncIterator["Connection | None"]:
        """A connection whose session alone may finish lists; None if another one may.

        Not a transaction's lock: it would end with the commit of the audit log, before the files have their names, and
        the next process would find none and write the list again.
        """
        async with self._database.connection() as connection:
            if not (await CLAIM_EVENING_LISTS.one(connection)).claimed:
                yield None
                return
            try:
                yield connection
            finally:
                await _release(connection)

    async def _read_list(self, clinic: Clinic, day: date) -> EveningList:
        """Each sheet with a connection of its own, so that a large clinic keeps none for long."""
        period = (_midnight(clinic, day), _midnight(clinic, day + ONE_DAY))
        async with self._database.connection() as connection:
            doctors = await LIST_DOCTORS_OF_DAY.all(
                connection,
                starts_from=period[0],
                starts_before=period[1],
                clinic_ids=[clinic.id],
                limit=MOST_DOCTORS + 1,
            )
        sheets = [await self._read_sheet(clinic, doctor, *period) for doctor in doctors[:MOST_DOCTORS]]
        shown = [each for each in sheets if each.has_patients]
        return EveningList(clinic, day, datetime.now(UTC), shown, cut_short=len(doctors) > MOST_DOCTORS)

    async def _read_sheet(
        self, clinic: Clinic, doctor: DoctorOfDay, starts_from: datetime, starts_before: datetime
    ) -> DoctorsDay:
        async with self._database.connection() as connection:
            sheet = await read_sheet(connection, [clinic.id], doctor.id, starts_from, starts_before, self._order)
        return DoctorsDay(doctor, sheet)


def _tried(call: Callable[[Argument], Result], argument: Argument) -> Result | OSError:
    """What it returns, or its error: raised while a connection is used, it would count as one of the connection."""
    try:
        return call(argument)
    except OSError as error:
        return error


async def _release(connection: Connection) -> None:
    """A session that cannot release its claim ends, and its claim with it."""
    try:
        await RELEASE_EVENING_LISTS.one(connection)
    except BaseException:
        connection.terminate()
        raise


def first_day_kept(clinics: ClinicBook, keep_days: int, now: datetime) -> date:
    """Lists of earlier days are deleted. Days count by the clock of the clinic where it is earliest."""
    return min(now.astimezone(clinic.zone).date() for clinic in clinics.all) - timedelta(days=keep_days)


def _midnight(clinic: Clinic, day: date) -> datetime:
    return datetime.combine(day, time.min, clinic.zone).astimezone(UTC)


def _log_failure(wanted: ListOfClinic, error: Exception) -> str:
    """In words for everybody, so without what an unexpected error says."""
    known = _reason(error)
    log.error(
        "evening_list_not_written",
        clinic=wanted.clinic_id,
        day=f"{wanted.day}",
        reason=known,
        exc_info=None if known else error,
    )
    return known or "the log says why"


def _reason(error: Exception) -> str | None:
    """None if it is a defect. A full disk or a database that is away is none."""
    match error:
        case OSError():
            return error.strerror
        case SlotwiseError():
            return error.detail
        case _:
            return None


def _log_cut(found: EveningList) -> None:
    if found.cut_short or found.cut_sheets:
        log.warning(
            "evening_list_cut_short",
            clinic=found.clinic.id,
            day=f"{found.day}",
            doctors=[one.doctor.id for one in found.cut_sheets],
            more_doctors=found.cut_short,
        )


def _outline(found: EveningList) -> dict[str, object]:
    """For the audit log."""
    bookings = sum(len(each.sheet.bookings) + len(each.sheet.cancelled) for each in found.days)
    return {"day": f"{found.day}", "bookings": bookings}
