"""`slotwise evening-list`: tomorrow's list of each clinic, now."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import typer

from slotwise.cli.running import CommandFailed, plain_errors, read_settings, run
from slotwise.db.pool import Database
from slotwise.domain.clinics import Clinic
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME
from slotwise.observability.crash_points import CrashPoints
from slotwise.services.core.clinics import ClinicDirectory
from slotwise.services.desk.evening_lists import EveningLists, first_day_kept
from slotwise.services.desk.list_folder import ENDINGS, ListFolder, ListOfClinic
from slotwise.settings import Settings
from slotwise.web.desk.evening_lists import PrintedLists
from slotwise.web.kit.rendering import Renderer


def write(day: date | None, directory: Path | None, clinic_id: int | None) -> None:
    """Of tomorrow at each clinic, into the directory of the settings, unless others are given."""
    with plain_errors():
        _check_range(day)

    async def work(database: Database) -> None:
        settings = read_settings()
        path = _directory(settings, directory)
        clinics = ClinicDirectory(database, settings.first_clinic)
        await clinics.refresh()
        _check_kept(settings, clinics, path, day)
        crash_points = CrashPoints(settings.crash_points_dir)
        renderer = Renderer(clinics, settings.public_origin, settings.clinic_name)
        lists = EveningLists(database, clinics, PrintedLists(renderer), None, settings.name_order, crash_points)
        for clinic in _chosen(clinics, clinic_id):
            await _write(lists, path, clinic, day or _tomorrow(clinic))

    run(work)


async def _write(lists: EveningLists, path: Path, clinic: Clinic, day: date) -> None:
    try:
        done = await lists.write_evening_list(ListFolder(path), clinic, day, "operator")
    except OSError as error:
        raise CommandFailed(f"cannot write to {path}: {error.strerror}") from error
    if not done:
        raise CommandFailed("the server writes its lists just now; try again")
    for ending in ENDINGS:
        typer.echo(path / ListOfClinic(clinic.id, day).name(ending))


def _directory(settings: Settings, given: Path | None) -> Path:
    path = given.absolute() if given else settings.evening_list_path
    if path is None:
        raise CommandFailed("say where to write: --directory, or the setting EVENING_LIST_DIR")
    problem = ListFolder(path).problem()
    if problem:
        raise CommandFailed(f"cannot write to {path}: {problem}")
    return path


def _check_range(day: date | None) -> None:
    if day and not FIRST_TIME.date() < day < LAST_READABLE_TIME.date():
        raise CommandFailed(f"--day {day} is out of range: no appointment can be on it")


def _check_kept(settings: Settings, clinics: ClinicDirectory, path: Path, day: date | None) -> None:
    """The server would delete an older list within a minute."""
    kept = first_day_kept(clinics, settings.evening_list_keep_days, datetime.now(UTC))
    served = settings.evening_list_path
    if day and day < kept and served and path.resolve() == served.resolve():
        raise CommandFailed(f"the server deletes lists before {kept} from EVENING_LIST_DIR; give another --directory")


def _chosen(clinics: ClinicDirectory, clinic_id: int | None) -> list[Clinic]:
    if clinic_id is None:
        return [clinic for clinic in clinics.active if clinic.evening_list]
    clinic = clinics.find(clinic_id)
    if clinic is None:
        known = ", ".join(f"{each.id} ({each.name})" for each in clinics.all)
        raise CommandFailed(f"there is no clinic {clinic_id}; there is {known}")
    return [clinic]


def _tomorrow(clinic: Clinic) -> date:
    return datetime.now(clinic.zone).date() + timedelta(days=1)
