"""Imports doctors from a file. A doctor is known by the name, so a second import of the same file adds none."""

from functools import partial

from slotwise.db.pool import Connection, Database
from slotwise.domain.fields import clean_name
from slotwise.domain.name_order import NameOrder
from slotwise.services.core.import_files import (
    Choices,
    Columns,
    Fault,
    Imported,
    Line,
    Progress,
    import_at_once,
    read_fields,
    required,
)
from slotwise.services.core.import_subjects import NamedDoctors
from slotwise.services.schedule.demo import CREATE_DOCTORS

COLUMNS = Columns(("name",), ("specialization",), {"specialty": "specialization", "doctor": "name"})


async def import_doctors(
    database: Database, lines: list[Line], order: NameOrder, choices: Choices, progress: Progress
) -> Imported:
    async def work(connection: Connection) -> Imported:
        known = await NamedDoctors.of(connection, lines, "name")
        done = Imported(0, 0, [])
        wanted = _wanted(lines, known, done)
        progress(0, len(wanted))
        if wanted:
            await _create(connection, wanted, order)
        done.added = len(wanted)
        progress(len(wanted), len(wanted))
        return done

    return await import_at_once(database, choices, "doctors", work)


def _wanted(lines: list[Line], known: NamedDoctors, done: Imported) -> dict[str, str | None]:
    """The specialty of each doctor to add. Counts those that are there already, and collects what is faulty."""
    wanted: dict[str, str | None] = {}
    line_of: dict[str, int] = {}
    for line in lines:
        read = read_fields(
            line, done.faults, {"name": partial(_name_in, line), "specialization": partial(_specialization_in, line)}
        )
        if read is None:
            continue
        name, specialization = read["name"], read["specialization"]
        if name in line_of:
            done.faults.append(Fault(line.number, "name", f"is also in line {line_of[name]}: remove one of the two"))
            continue
        line_of[name] = line.number
        named = known.named(name)
        if not named:
            wanted[name] = specialization
        elif any(doctor.specialization == specialization for doctor in named):
            done.already_there += 1
        else:
            has = named[0].specialization or "none"
            what = f"differs from the specialty of the {name} that is there already: {has}. Make the two the same"
            done.faults.append(Fault(line.number, "specialization", what))
    return wanted


def _name_in(line: Line) -> str:
    return clean_name("name", required(line, "name"))


def _specialization_in(line: Line) -> str | None:
    text = line.text("specialization")
    return clean_name("specialization", text) if text else None


async def _create(connection: Connection, wanted: dict[str, str | None], order: NameOrder) -> None:
    await CREATE_DOCTORS.run(
        connection,
        names=list(wanted),
        name_sort_keys=[order.key(name) for name in wanted],
        specializations=list(wanted.values()),
    )
