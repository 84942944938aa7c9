"""A database that dies, stops, hangs, or has no connections left."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from random import Random

import asyncpg
import psutil

from torture.bed import Bed
from torture.faults.fault import Fault, Missed, blow, signalled

SESSIONS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'slotwise' AND datname = current_database()"
AT_WORK = f"{SESSIONS} AND (state = 'active' OR state LIKE 'idle in transaction%')"
HOLDING_A_SLOT = f"""
    {SESSIONS} AND pid IN (
        SELECT pid FROM pg_locks
        WHERE relation = 'appointment_slots'::regclass AND mode = 'RowShareLock' AND granted
    )
"""
MOST_CONNECTIONS = 600


async def kill_backend(bed: Bed, random: Random) -> AsyncIterator[None]:
    """Kill a session. PostgreSQL then ends all sessions and recovers."""
    for pid in await _some(bed, AT_WORK, random):
        signalled(pid, signal.SIGKILL)
    yield


async def kill_postmaster(bed: Bed, random: Random) -> AsyncIterator[None]:
    postmaster = bed.postmaster()
    victims = [postmaster, *postmaster.children(recursive=True)]
    for victim in victims:
        signalled(victim.pid, signal.SIGKILL)
    await asyncio.to_thread(psutil.wait_procs, victims, 10)
    yield
    await bed.start_database()


async def restart_database(bed: Bed, random: Random) -> AsyncIterator[None]:
    """A fast shutdown, as for an upgrade of the machine."""
    postmaster = bed.postmaster()
    postmaster.send_signal(signal.SIGINT)
    await asyncio.to_thread(psutil.wait_procs, [postmaster], 30)
    yield
    await bed.start_database()


async def stop_lock_holder(bed: Bed, random: Random) -> AsyncIterator[None]:
    """SIGSTOP for a session while it holds a slot's lock."""
    pids = await _some(bed, HOLDING_A_SLOT, random)
    for pid in pids:
        signalled(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            signalled(pid, signal.SIGCONT)


async def stop_database(bed: Bed, random: Random) -> AsyncIterator[None]:
    """Stop all database processes: connections are neither refused nor answered."""
    postmaster = bed.postmaster()
    stopped = [postmaster.pid, *(child.pid for child in postmaster.children(recursive=True))]
    for pid in stopped:
        signalled(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            signalled(pid, signal.SIGCONT)


async def terminate_backends(bed: Bed, random: Random) -> AsyncIterator[None]:
    """pg_terminate_backend for working sessions, several times."""
    for _ in range(5):
        async with bed.look() as connection:
            await connection.execute(f"SELECT pg_terminate_backend(pid) FROM ({AT_WORK}) AS busy")
        await asyncio.sleep(random.uniform(0.02, 0.1))
    yield


async def exhaust_pools(bed: Bed, random: Random) -> AsyncIterator[None]:
    """Take a lock that every session must wait for, until all connections of all pools wait."""
    async with bed.look() as connection:
        await connection.execute("SET lock_timeout = '5s'")
        try:
            await connection.execute("BEGIN; LOCK TABLE appointment_slots IN ACCESS EXCLUSIVE MODE")
        except asyncpg.PostgresError as error:
            raise Missed from error
        yield
        await connection.execute("ROLLBACK")


async def eat_connections(bed: Bed, random: Random) -> AsyncIterator[None]:
    """Take all of max_connections: also end the server's sessions and take their places."""
    eaten: list[asyncpg.Connection[asyncpg.Record]] = []
    async with bed.look() as connection:
        await _eat(bed, eaten)
        for _ in range(3):
            await connection.execute(f"SELECT pg_terminate_backend(pid) FROM ({SESSIONS}) AS ours")
            await _eat(bed, eaten)
        yield
    for taken in eaten:
        taken.terminate()


async def _eat(bed: Bed, eaten: "list[asyncpg.Connection[asyncpg.Record]]") -> None:
    """Connect until a connection is refused."""
    with suppress(asyncpg.PostgresError, OSError, TimeoutError):
        while len(eaten) < MOST_CONNECTIONS:
            eaten.append(await asyncpg.connect(bed.database_url, timeout=5))


async def another_isolation(bed: Bed, random: Random) -> AsyncIterator[None]:
    """Change the database's default isolation, for new sessions, to one where locks do not prevent overselling."""
    level = random.choice(("repeatable read", "serializable"))
    async with bed.look() as connection:
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")
        await connection.execute(f"SELECT pg_terminate_backend(pid) FROM ({SESSIONS}) AS ours")
    yield
    async with bed.look() as connection:
        await connection.execute(f"ALTER DATABASE {name} RESET default_transaction_isolation")


async def _some(bed: Bed, query: str, random: Random) -> list[int]:
    """One of the sessions that the query finds. Repeats the query until it finds one."""
    async with bed.look() as connection:
        for _ in range(300):
            pids = [row["pid"] for row in await connection.fetch(query)]
            if pids:
                return [random.choice(pids)]
            await asyncio.sleep(0.005)
    raise Missed


FAULTS = (
    Fault("kill-backend", "kill -9 of a database session at work", blow(kill_backend)),
    Fault("kill-postmaster", "kill -9 of the database server with all its processes", blow(kill_postmaster)),
    Fault("restart-database", "the database is shut down and started", blow(restart_database)),
    Fault("stop-lock-holder", "SIGSTOP of the session that holds a slot's lock", blow(stop_lock_holder), (0.5, 6.0)),
    Fault("stop-database", "SIGSTOP of the whole database", blow(stop_database), (0.5, 5.0)),
    Fault("terminate-backends", "pg_terminate_backend in the middle of transactions", blow(terminate_backends)),
    Fault("exhaust-pools", "a table lock that fills every pool", blow(exhaust_pools), (1.0, 4.0)),
    Fault("eat-connections", "max_connections eaten by others", blow(eat_connections), (0.5, 2.0)),
    Fault("isolation", "another default_transaction_isolation for new sessions", blow(another_isolation), (1.0, 3.0)),
)
