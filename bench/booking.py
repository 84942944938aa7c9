"""The load of most scenarios: bookings, with a check that all acknowledged bookings exist."""

import secrets

from bench.clinic import Clinic
from bench.load import wrk
from bench.readings import Reading
from bench.server import Server

CREATED = 201
CONFLICT = 409


def hold(slots: range, **values: str) -> wrk.Load:
    """Each request holds one seat of a random slot."""
    return wrk.Load("book", {"first": str(slots[0]), "last": str(slots[-1]), **values})


def new_key() -> str:
    """A prefix for the idempotency keys of one load, different from all others."""
    return secrets.token_hex(8)


def book(clinic: Clinic, server: Server, slots: int, connections: int, seconds: int, keys: bool = False) -> Reading:
    """Book seats of that many new slots. They are new so that each case starts with empty slots."""
    opened = clinic.open_slots(slots)
    return book_on(clinic, server, opened, connections, seconds, keys)


def book_on(
    clinic: Clinic, server: Server, slots: range, connections: int, seconds: int, keys: bool = False
) -> Reading:
    """Book seats of these slots. Requires that all answers are 201 and that each has its row."""
    newest = clinic.newest_booking()
    load = hold(slots, key=new_key()) if keys else hold(slots)
    answers = wrk.run(server.url, load, connections, seconds)
    answers.require(CREATED)
    clinic.require_bookings(slots, newest, answers.count(CREATED), connections)
    return answers.reading(CREATED)


def warm_up(clinic: Clinic, *servers: Server) -> None:
    """Let every worker open its connections and make its plans before the measurement."""
    for server in servers:
        book(clinic, server, slots=1, connections=64, seconds=1)
