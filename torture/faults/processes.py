"""Processes of the server that die or stop. They are signalled by their pids."""

import asyncio
import signal
from collections.abc import AsyncIterator
from random import Random

import psutil

from torture.bed import CRASH_POINTS, FAKETIME, HOLD_SECONDS, RETURN_SECONDS, Bed
from torture.faults.fault import Fault, Missed, blow, signalled

SESSIONS_PAST_THE_PROXY = """
    SELECT count(*) FROM pg_stat_activity
    WHERE application_name = 'slotwise' AND datname = current_database() AND client_addr IS NULL
        AND pid <> pg_backend_pid() AND backend_start > now() - interval '2 seconds'
"""
# Longer than a hold lives.
STOPPED_SECONDS = (HOLD_SECONDS + 0.5, HOLD_SECONDS + 4.5)


async def kill_worker(bed: Bed, random: Random) -> AsyncIterator[None]:
    random.choice(bed.workers()).kill()
    yield


async def kill_supervisor(bed: Bed, random: Random) -> AsyncIterator[None]:
    assert bed.server is not None
    workers = bed.workers()
    bed.server.kill()
    bed.server.wait()
    yield
    await asyncio.to_thread(psutil.wait_procs, workers, RETURN_SECONDS)
    await bed.start_server()


async def kill_all_of_it(bed: Bed, random: Random) -> AsyncIterator[None]:
    """Kill all processes of the server and the database at one instant: as close to a power failure as possible."""
    assert bed.server is not None
    postmaster = bed.postmaster()
    victims = [*bed.processes(), postmaster, *postmaster.children(recursive=True)]
    for victim in victims:
        signalled(victim.pid, signal.SIGKILL)
    bed.server.wait()
    await asyncio.to_thread(psutil.wait_procs, victims, RETURN_SECONDS)
    yield
    await bed.start_database()
    await bed.start_server()


async def stop_worker(bed: Bed, random: Random) -> AsyncIterator[None]:
    worker = random.choice(bed.workers())
    worker.suspend()
    try:
        yield
    finally:
        signalled(worker.pid, signal.SIGCONT)


async def stop_sweeper(bed: Bed, random: Random) -> AsyncIterator[None]:
    """Stop a sweep by command as soon as it has connected. It goes on after others have done its work."""
    sweeper = await bed.command("expire")
    if not await _connects(bed, sweeper):
        raise Missed
    signalled(sweeper.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        signalled(sweeper.pid, signal.SIGCONT)
    await sweeper.wait()


async def _connects(bed: Bed, command: asyncio.subprocess.Process) -> bool:
    """Whether its session appears before it ends. Commands do not use the proxy; servers do."""
    async with bed.look() as connection:
        while command.returncode is None:
            if await connection.fetchval(SESSIONS_PAST_THE_PROXY):
                return command.returncode is None
            await asyncio.sleep(0.005)
    return False


async def stop_everyone(bed: Bed, random: Random) -> AsyncIterator[None]:
    """Stop all workers at once: there are no sweeps and no answers, and holds expire."""
    workers = bed.workers()
    try:
        for worker in workers:
            worker.suspend()
        yield
    finally:
        for worker in workers:
            signalled(worker.pid, signal.SIGCONT)


async def rolling_restart(bed: Bed, random: Random) -> AsyncIterator[None]:
    """End the workers one after the other; each is replaced before the next one ends."""
    for worker in bed.workers():
        worker.terminate()
        await asyncio.to_thread(psutil.wait_procs, [worker], RETURN_SECONDS)
        await bed.workers_back()
    yield


async def restart(bed: Bed, random: Random) -> AsyncIterator[None]:
    assert bed.server is not None
    bed.server.terminate()
    await asyncio.to_thread(bed.server.wait, RETURN_SECONDS)
    yield
    await bed.start_server()


async def crash_point(bed: Bed, random: Random) -> AsyncIterator[None]:
    """The first process that reaches a random crash point dies there."""
    point = bed.crash_points / random.choice(CRASH_POINTS)
    point.touch()
    yield
    if point.exists():
        point.unlink(missing_ok=True)
        raise Missed


async def sweep_by_hand(bed: Bed, random: Random) -> AsyncIterator[None]:
    """Two sweeps by command, beside the workers' sweeps."""
    sweeps = [await bed.command("expire") for _ in range(2)]
    if any([await sweep.wait() for sweep in sweeps]):
        raise Missed
    yield


async def migrate(bed: Bed, random: Random) -> AsyncIterator[None]:
    """Run the command `migrate`, and add and drop a column, as a later version's migration would."""
    if await (await bed.command("migrate")).wait():
        raise Missed
    async with bed.look() as connection:
        await connection.execute("ALTER TABLE bookings ADD COLUMN IF NOT EXISTS of_a_later_version integer")
    yield
    async with bed.look() as connection:
        await connection.execute("ALTER TABLE bookings DROP COLUMN of_a_later_version")


async def jump_clock(bed: Bed, random: Random) -> AsyncIterator[None]:
    """Shift the app's clock by minutes, but not the database's."""
    bed.clock.write_text(random.choice(("-288", "+288")))
    yield
    bed.clock.write_text("+0")


FAULTS = (
    Fault("kill-worker", "kill -9 of an app worker", blow(kill_worker)),
    Fault("kill-supervisor", "kill -9 of the workers' supervisor; the server is started again", blow(kill_supervisor)),
    Fault("kill-all", "kill -9 of app and database at one instant", blow(kill_all_of_it)),
    Fault("stop-worker", "SIGSTOP of a worker for longer than a hold", blow(stop_worker), STOPPED_SECONDS),
    Fault("stop-all-workers", "SIGSTOP of all workers for longer than a hold", blow(stop_everyone), STOPPED_SECONDS),
    Fault("stop-sweeper", "SIGSTOP of a sweep for longer than a hold", blow(stop_sweeper), STOPPED_SECONDS),
    Fault("rolling-restart", "SIGTERM of each worker in turn", blow(rolling_restart)),
    Fault("restart", "SIGTERM of the server, and a new one", blow(restart)),
    Fault("crash-point", "death at a named place of the booking path", blow(crash_point), (0.5, 1.5)),
    Fault("two-sweepers", "two sweeps by command beside the workers' own", blow(sweep_by_hand)),
    Fault("migration", "a migration by command", blow(migrate)),
    Fault("clock", "the app's clock jumps by 288 s", blow(jump_clock), (2.0, 4.0), lambda: FAKETIME is not None),
)
