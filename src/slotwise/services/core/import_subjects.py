"""What the lines of a file to import speak of: doctors by their names, clinics by theirs, and local times."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from msgspec import Struct

from slotwise.db.pool import Connection
from slotwise.db.statements import Statement
from slotwise.domain.clinics import FIRST_CLINIC, UNNAMED_VERSION, Clinic
from slotwise.domain.errors import InvalidInput
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME, clean_name
from slotwise.domain.timetables import first_moment
from slotwise.services.core.import_files import Line, required

# The same days as those of timetables.
FIRST_DAY, LAST_DAY = FIRST_TIME.date(), date(LAST_READABLE_TIME.year - 2, 12, 31)


class NamedDoctor(Struct, frozen=True):
    id: int
    name: str
    specialization: str | None


class NamedClinic(Struct, frozen=True):
    id: int
    name: str
    time_zone: str
    version: int


LIST_NAMED_DOCTORS = Statement("core/import_subjects.list_named_doctors", NamedDoctor)
LIST_NAMED_CLINICS = Statement("core/import_subjects.list_named_clinics", NamedClinic)


class NamedDoctors:
    """Those of the file that there are, by name."""

    def __init__(self, found: Sequence[NamedDoctor]) -> None:
        self._by_name: dict[str, list[NamedDoctor]] = defaultdict(list)
        for doctor in found:
            self._by_name[doctor.name].append(doctor)

    @classmethod
    async def of(cls, connection: Connection, lines: Sequence[Line], column: str) -> "NamedDoctors":
        names = {name for line in lines if (name := _clean_or_none(line.text(column)))}
        return cls(await LIST_NAMED_DOCTORS.all(connection, names=sorted(names)))

    def named(self, name: str) -> list[NamedDoctor]:
        return self._by_name.get(name, [])

    def only(self, line: Line) -> int:
        """The id of the doctor whom a line means. Raises `InvalidInput`."""
        name = clean_name("doctor", required(line, "doctor"))
        named, specialization = self.named(name), line.text("specialization")
        found = [one for one in named if not specialization or one.specialization == specialization]
        if not named:
            raise InvalidInput.of("doctor", f"is not known: {name}. Import the doctors first, or correct the name")
        if not found:
            raise InvalidInput.of("specialization", f"is not the specialty of {name}")
        if len(found) > 1:
            raise InvalidInput.of(
                "doctor", f"is the name of several doctors: {name}. Say which in the column specialization"
            )
        return found[0].id


class Clinics:
    """`first` says name and zone of the first clinic as long as nobody has changed it."""

    def __init__(self, found: Sequence[NamedClinic], first: Clinic) -> None:
        self._found = [
            Clinic(one.id, one.name, one.time_zone) if one.version != UNNAMED_VERSION else first for one in found
        ]

    @classmethod
    async def of(cls, connection: Connection, first: Clinic) -> "Clinics":
        return cls(await LIST_NAMED_CLINICS.all(connection), first)

    def of_line(self, line: Line) -> Clinic:
        """The clinic that a line names, or the first one. Raises `InvalidInput`."""
        name = line.text("clinic")
        for clinic in self._found:
            if clinic.name == name or (not name and clinic.id == FIRST_CLINIC):
                return clinic
        raise InvalidInput.of("clinic", f"is not known; known are {', '.join(one.name for one in self._found)}")


def day_in(line: Line, column: str) -> date:
    """Raises `InvalidInput`."""
    try:
        day = datetime.strptime(required(line, column), "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError as error:
        raise InvalidInput.of(column, "must be a day such as 2031-02-28") from error
    # Moments of other days may not exist in every zone.
    if not FIRST_DAY <= day <= LAST_DAY:
        raise InvalidInput.of(column, f"must be from {FIRST_DAY} to {LAST_DAY}")
    return day


def clock_in(line: Line, column: str) -> time:
    """Raises `InvalidInput`."""
    try:
        return datetime.strptime(required(line, column), "%H:%M").time()  # noqa: DTZ007 - a wall clock has no zone
    except ValueError as error:
        raise InvalidInput.of(column, "must be a time such as 09:30") from error


def moment_of(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """In UTC; the first of two if the clocks go back. Raises `InvalidInput` for a time that the clocks skip."""
    moment = first_moment(datetime.combine(day, clock), zone)
    if moment is None:
        raise InvalidInput.of("time", "does not exist on that day, because the clocks change")
    return moment


def _clean_or_none(text: str) -> str | None:
    try:
        return clean_name("doctor", text)
    except InvalidInput:
        return None
