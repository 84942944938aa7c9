"""The load that most scenarios share: booking, and the proof that what was acknowledged is there."""

import secrets

from bench.clinic import Clinic
from bench.load import wrk
from bench.readings import Reading
from bench.server import Server

CREATED = 201
CONFLICT = 409


def hold(slots: range, **values: str) -> wrk.Load:
    """One seat of a random slot for each request."""
    return wrk.Load("book", {"first": str(slots[0]), "last": str(slots[-1]), **values})


def new_key() -> str:
    """Begins the idempotency keys of one load, which no other load uses."""
    return secrets.token_hex(8)


def book(clinic: Clinic, server: Server, slots: int, connections: int, seconds: int, keys: bool = False) -> Reading:
    """Book seats of that many new slots. New ones, so that no case works on what another one has filled."""
    opened = clinic.open_slots(slots)
    return book_on(clinic, server, opened, connections, seconds, keys)


def book_on(
    clinic: Clinic, server: Server, slots: range, connections: int, seconds: int, keys: bool = False
) -> Reading:
    """Book seats of these slots, and require a row for every answer 201 and no other answer."""
    newest = clinic.newest_booking()
    load = hold(slots, key=new_key()) if keys else hold(slots)
    answers = wrk.run(server.url, load, connections, seconds)
    answers.require(CREATED)
    clinic.require_bookings(slots, newest, answers.count(CREATED), connections)
    return answers.reading(CREATED)


def warm_up(clinic: Clinic, *servers: Server) -> None:
    """Let every worker make its connections and plans before anything is measured."""
    for server in servers:
        book(clinic, server, slots=1, connections=64, seconds=1)
