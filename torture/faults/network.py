"""Connections that are slow, cut or silent: between server and database, and between clients and server."""

import asyncio
from collections.abc import AsyncIterator
from random import Random

from torture.bed import Bed
from torture.faults.fault import Fault, Missed, blow


async def cut_replies_to_commits(bed: Bed, random: Random) -> AsyncIterator[None]:
    """Requests reach the database, but its answers are dropped: the effect happens and its client does not know."""
    before = bed.to_database.swallowed
    bed.to_database.toxic = "cut_answers"
    await asyncio.sleep(random.uniform(0.05, 0.3))
    bed.to_database.heal()
    if bed.to_database.swallowed == before:
        raise Missed
    yield


async def delay_database(bed: Bed, random: Random) -> AsyncIterator[None]:
    bed.to_database.latency = random.uniform(0.01, 0.2)
    yield
    bed.to_database.latency = 0.0


async def reset_database(bed: Bed, random: Random) -> AsyncIterator[None]:
    for _ in range(5):
        bed.to_database.reset_all()
        await asyncio.sleep(random.uniform(0.02, 0.1))
    yield


async def refuse_database(bed: Bed, random: Random) -> AsyncIterator[None]:
    """The database's port refuses connections, and the present ones are cut."""
    bed.to_database.toxic = "refuse"
    bed.to_database.reset_all()
    yield
    bed.to_database.heal()


async def swallow_database(bed: Bed, random: Random) -> AsyncIterator[None]:
    bed.to_database.toxic = "black_hole"
    yield
    bed.to_database.heal()


async def drop_answers(bed: Bed, random: Random) -> AsyncIterator[None]:
    """Drop answers to clients after the server has sent them."""
    bed.to_server.toxic = "cut_answers"
    yield
    bed.to_server.heal()


async def reset_clients(bed: Bed, random: Random) -> AsyncIterator[None]:
    for _ in range(5):
        bed.to_server.reset_all()
        await asyncio.sleep(random.uniform(0.02, 0.1))
    yield


FAULTS = (
    Fault("cut-commit-reply", "replies to COMMIT are cut off", blow(cut_replies_to_commits)),
    Fault("database-latency", "messages to and from the database are delayed", blow(delay_database), (0.5, 2.0)),
    Fault("database-reset", "connections to the database are reset", blow(reset_database)),
    Fault("database-refuses", "the database refuses connections", blow(refuse_database), (0.3, 2.0)),
    Fault("database-black-hole", "nothing passes to or from the database", blow(swallow_database), (0.5, 6.0)),
    Fault("answer-dropped", "answers are dropped between server and client", blow(drop_answers), (0.2, 0.8)),
    Fault("client-reset", "connections of clients are reset", blow(reset_clients)),
)
