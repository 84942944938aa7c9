"""`slotwise privacy`: export or erase a person's data when the person asks for it."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import typer

from slotwise.cli.running import CommandFailed, run, screen
from slotwise.db.pool import Database
from slotwise.services.core.seat_events import announcing_changes
from slotwise.services.privacy.personal_data import Erased, Person, PersonalData


def export(email: str, output: Path | None) -> None:
    """Write to standard output if no file is given."""

    async def work(database: Database) -> None:
        service = PersonalData(database)
        pieces = service.export_personal_data(await _known(service, email), "operator")
        with opened(output) as file:
            await _write(pieces, file)

    run(work)


def erase(email: str, *, ask: bool) -> None:
    async def work(database: Database) -> Erased:
        async with announcing_changes(database) as seats_changed:
            service = PersonalData(database, seats_changed)
            person = await _known(service, email)
            if ask:
                _confirm(person, await service.count_bookings(person))
            return await service.erase_personal_data(person, "operator")

    done = run(work)
    typer.echo(f"Erased the person from {done.bookings} bookings, of which {done.cancelled} were cancelled.")


async def _known(service: PersonalData, email: str) -> Person:
    person = await service.find_person(email)
    if person is None:
        raise CommandFailed("no data is kept under that e-mail address")
    return person


def _confirm(person: Person, bookings: int) -> None:
    account = "no account" if person.user_id is None else f"account {person.user_id}"
    screen.print(f"This e-mail address has {account} and {bookings} bookings. Upcoming bookings will be cancelled.")
    typer.confirm("Erase the person for good?", abort=True, err=True)


@contextmanager
def opened(output: Path | None) -> Iterator[BinaryIO]:
    """The file, readable only by its owner before the first byte is written; standard output if no file is given."""
    if output is None:
        yield sys.stdout.buffer
        return
    try:
        output.touch(mode=0o600)
        output.chmod(0o600)
        with output.open("wb") as file:
            yield file
    except OSError as error:
        raise CommandFailed(f"cannot write {output}: {error.strerror}") from error


async def _write(pieces: AsyncIterator[bytes], file: BinaryIO) -> None:
    async for piece in pieces:
        file.write(piece)
    file.write(b"\n")
    file.flush()
