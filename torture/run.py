"""A run: quiet, load with faults, heal, quiesce, final reads, verdict."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from random import Random

import aiohttp
import msgspec
from msgspec import Struct, field

from torture import tables
from torture.bed import ADMIN_EMAIL, ADMIN_PASSWORD, HOLD_SECONDS, NO_LOOK, Bed
from torture.client import GUEST, PATIENCE_SECONDS, Caller, Client
from torture.faults.fault import Fault, Missed
from torture.history import Attempt, History
from torture.keeping import keep_ledger
from torture.patients import PAUSE_SECONDS, TRIES, LastSeats, Patient, Stop
from torture.plan import Plan, Planned, schedule
from torture.verdict import (
    MOST_SECONDS,
    Listed,
    Unknowns,
    Violation,
    find_broken_keys,
    find_defects,
    find_differences,
    find_slow_answers,
    find_slow_recovery,
    find_untold,
    find_violations,
    resolve_unknowns,
)

ACCOUNTS = 6
SEATS = (6, 12, 24)
LAST_SEATS = (1, 2, 3)
PROBE_SEATS = 100_000
# Every hold has run out by then, and was swept, though a sweep comes only every second.
SETTLE_SECONDS = HOLD_SECONDS + 2.5
STILL_SECONDS = HOLD_SECONDS + 0.5
SAMPLE_SECONDS = 0.5
SLOTS_PER_SAMPLE = 8
RECOVERY_SECONDS = 30.0
STRIKES = 4
LEDGERS = 20

Report = Callable[["Progress"], None]


class Progress(Struct):
    """How far a run is; the display reads it."""

    phase: str = "starting"
    fault: str = ""
    faults: int = 0
    acknowledged: int = 0
    races: int = 0


class Struck(Struct, frozen=True):
    """One fault: its number, when it began, when it was healed and how long until a booking succeeded again."""

    number: int
    kind: str
    began_at: float
    healed_at: float
    recovery: float


class Result(Struct):
    """What a run came to. It is valid when it found no violation and left nothing open."""

    plan: Plan
    acknowledged: int = 0
    attempts: int = 0
    races: int = 0
    seconds: float = 0.0
    struck: list[Struck] = field(default_factory=list)
    unknowns: Unknowns = field(default_factory=Unknowns)
    untold: int = 0
    violations: list[Violation] = field(default_factory=list)
    open_questions: list[str] = field(default_factory=list)
    samples: int = 0
    sweeps: list[float] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    slowest: float = 0.0

    @property
    def verdict(self) -> str:
        if self.violations:
            return "INVALID"
        return "UNKNOWN" if self.open_questions else "valid"


class ListedPage(Struct, frozen=True, rename="camel"):
    items: list[Listed]
    next_cursor: str | None


class Run:
    def __init__(self, bed: Bed, plan: Plan, faults: Sequence[Fault], report: Report) -> None:
        self.bed = bed
        self.history = History(bed.folder / "history.jsonl")
        self.progress = Progress()
        self.result = Result(plan)
        self._plan = plan
        self._schedule = schedule(plan, faults)
        self._report = report
        self._stop = Stop()
        self._racers: list[LastSeats] = []
        self._began = time.monotonic()

    async def __call__(self) -> Result:
        clients = await self._clients()
        try:
            await self._load(*clients)
            await self._settle(clients[0])
            await self._judge()
        finally:
            for client in clients:
                await client.close()
            self.history.close()
        self.result.seconds = time.monotonic() - self._began
        return self.result

    async def _clients(self) -> list[Client]:
        """Past the proxy and through it: only what goes through it can be cut."""
        numbers = itertools.count(1)
        return [Client(self.history, url, numbers) for url in (self.bed.url, self.bed.proxied_url)]

    async def _load(self, near: Client, far: Client) -> None:
        clinic = await self._open_clinic()
        self._callers = [GUEST, *clinic.patients]
        patients = [
            Patient(
                number, self._plan.seed, far if number % 3 == 0 else near, self._callers[number % len(self._callers)],
                self._callers, clinic.slots,
            )
            for number in range(1, self._plan.patients + 1)
        ]  # fmt: skip
        self._racers = [
            LastSeats(1000 * place, self._plan.seed, near, clinic.last_seats[place - 1 :: self._plan.racers])
            for place in range(1, self._plan.racers + 1)
        ]
        self._phase("quiet")
        async with self._sampling(clinic.slots + clinic.last_seats), asyncio.TaskGroup() as group:
            for patient in patients:
                group.create_task(patient.live(self._stop))
            for racer in self._racers:
                group.create_task(racer.live(self._stop, -(-self._plan.races // self._plan.racers)))
            try:
                await asyncio.sleep(self._plan.quiet_seconds)
                await self._strike_all(near, clinic.probe)
                await self._until_enough()
            finally:
                self._stop.now = True

    async def _strike_all(self, client: Client, probe: int) -> None:
        self._phase("faults")
        for number, planned in enumerate(self._schedule, 1):
            await self._keep_pace(number)
            if self._out_of_time():
                return
            await self._strike_until_hit(number, planned, client, probe)

    async def _strike_until_hit(self, number: int, planned: Planned, client: Client, probe: int) -> None:
        """A fault that hit nobody is none, and is tried again. Its chances hang on the seed and its number only."""
        random = Random(f"{self._plan.seed}/faults/{number}")
        for _ in range(STRIKES):
            try:
                await self._strike(number, planned, random, client, probe)
            except Missed:
                await self.bed.workers_back()
            else:
                return
        self.result.missed.append(planned.fault.kind)

    async def _strike(self, number: int, planned: Planned, random: Random, client: Client, probe: int) -> None:
        self.history.epoch = number
        self.progress.fault = planned.fault.kind
        began_at = time.time()
        async with planned.fault.strike(self.bed, random):
            await asyncio.sleep(planned.seconds)
        healed = time.monotonic()
        recovery = await self._recovery(client, probe, healed)
        self.result.struck.append(Struck(number, planned.fault.kind, began_at, time.time() - recovery, recovery))
        await self.bed.workers_back()
        self.progress.faults, self.progress.fault = number, ""
        self._tell()

    async def _recovery(self, client: Client, probe: int, healed: float) -> float:
        """Seconds from the heal until a booking succeeds."""
        while time.monotonic() < healed + RECOVERY_SECONDS:
            attempt = await client.hold(0, GUEST, probe)
            if attempt.outcome == "ok":
                return time.monotonic() - healed
            await asyncio.sleep(0.05)
        self.result.violations.append(Violation("L2", probe, f"no booking within {RECOVERY_SECONDS:g} s of a heal"))
        return RECOVERY_SECONDS

    async def _keep_pace(self, number: int) -> None:
        """Faults are spread over the load, whatever it takes."""
        share = (number - 1) / max(1, len(self._schedule))
        while not self._out_of_time():
            self._count()
            if self.progress.acknowledged >= share * self._plan.acknowledged:
                return
            await asyncio.sleep(0.1)

    async def _until_enough(self) -> None:
        self._phase("quiet again")
        while not self._out_of_time():
            self._count()
            if self.progress.acknowledged >= self._plan.acknowledged and self.progress.races >= self._plan.races:
                return
            await asyncio.sleep(0.1)
        self.result.open_questions.append(f"not done within {self._plan.minutes:g} minutes")

    def _out_of_time(self) -> bool:
        return time.monotonic() > self._began + self._plan.minutes * 60

    def _count(self) -> None:
        self.progress.acknowledged = self.history.acknowledged
        self.progress.races = sum(racer.races for racer in self._racers)
        self._tell()

    def _phase(self, name: str) -> None:
        self.progress.phase = name
        self._tell()

    def _tell(self) -> None:
        self._report(self.progress)

    async def _settle(self, client: Client) -> None:
        """Heal everything, ask with their keys for what is unknown, and let every hold run out."""
        self._phase("settling")
        self.bed.to_database.heal()
        self.bed.to_server.heal()
        await self.bed.start_database()
        await self.bed.workers_back()
        await self._ask_again(client)
        await asyncio.sleep(SETTLE_SECONDS)

    async def _ask_again(self, client: Client) -> None:
        """What each key without an answer has come to; whoever gets none now leaves the run open."""
        callers = {caller.name: caller for caller in self._callers}
        for attempt in find_untold(self.history.attempts):
            for _ in range(TRIES):
                if (await client.repeat(attempt, callers[attempt.caller], "resolve")).outcome != "info":
                    break
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                self.result.untold += 1
                self.result.open_questions.append(f"attempt {attempt.number} was never told what its key came to")

    async def _judge(self) -> None:
        self._phase("final reads")
        attempts = self.history.attempts
        async with self.bed.look() as connection:
            before = await tables.count_effects(connection)
            await self._judge_slots(connection, attempts, await self._listed())
            await asyncio.sleep(STILL_SECONDS)
            if await tables.count_effects(connection) != before:
                self.result.violations.append(Violation("quiesce", 0, "something was done after everything was still"))
            if stuck := await self._stuck_sessions(connection):
                self.result.violations.append(Violation("L4", 0, f"sessions {stuck} are at work, and nobody asks"))
            if before["pending"]:
                self.result.violations.append(Violation("L1", 0, f"{before['pending']} holds still stand"))
            self.result.sweeps = self._undisturbed(await tables.read_sweeps(connection))
        self.result.violations += await tables.find_table_violations(self.bed.database_url)
        self.result.violations += [*find_broken_keys(attempts), *find_slow_answers(attempts), *find_defects(attempts)]
        self.result.violations += find_slow_recovery([struck.recovery for struck in self.result.struck])
        await self._keep_ledgers()
        self._conclude(attempts)

    async def _stuck_sessions(self, connection: tables.Connection) -> set[str]:
        """Sessions that are in the same transaction at two looks. A sweep may be at work at one."""
        before = await tables.read_busy_sessions(connection)
        await asyncio.sleep(STILL_SECONDS)
        return before & await tables.read_busy_sessions(connection)

    async def _listed(self) -> dict[int, Listed]:
        """Every booking, as the desk's list has it."""
        found: dict[int, Listed] = {}
        cursor: str | None = ""
        async with aiohttp.ClientSession(self.bed.url, raise_for_status=True) as session:
            admin = await _log_in(session, ADMIN_EMAIL, ADMIN_PASSWORD)
            while cursor is not None:
                asked = {"limit": "500"} | ({"cursor": cursor} if cursor else {})
                async with session.get("/api/bookings", params=asked, headers=admin) as answer:
                    page = msgspec.json.decode(await answer.read(), type=ListedPage)
                found |= {booking.id: booking for booking in page.items}
                cursor = page.next_cursor
        return found

    async def _judge_slots(
        self, connection: tables.Connection, attempts: Sequence[Attempt], listed: dict[int, Listed]
    ) -> None:
        judged: set[int] = set()
        async with aiohttp.ClientSession(self.bed.url, raise_for_status=True) as session:
            async for story in tables.read_stories(connection, attempts):
                async with session.get(f"/api/slots/{story.slot_id}") as answer:
                    free = (await answer.json())["availableSeats"]
                self.result.violations += [*find_violations(story), *find_differences(story, free, listed)]
                resolve_unknowns(story, self.result.unknowns)
                judged.add(story.slot_id)
        for attempt in attempts:
            if attempt.slot_id not in judged:
                self.result.violations.append(Violation("S3", attempt.slot_id, "the slot is not there"))

    async def _keep_ledgers(self) -> None:
        """Of the slots that have a violation, for whoever looks at them."""
        slots = sorted({violation.slot_id for violation in self.result.violations})
        async with self.bed.look() as connection:
            for slot_id in slots[:LEDGERS]:
                keep_ledger(self.bed.folder, slot_id, await tables.read_events(connection, slot_id))

    def _undisturbed(self, sweeps: Sequence[tuple[float, float]]) -> list[float]:
        """How late holds were failed, of those that ran out while nothing was broken or had just been: a sweep that
        waits for a connection that was cut needs some seconds to know."""
        broken = [(struck.began_at, struck.healed_at + MOST_SECONDS) for struck in self.result.struck]
        return [at - due for at, due in sweeps if not any(begin <= due <= end for begin, end in broken)]

    def _conclude(self, attempts: Sequence[Attempt]) -> None:
        self._count()
        result = self.result
        result.acknowledged, result.attempts = self.history.acknowledged, len(attempts)
        result.races = self.progress.races
        result.slowest = max(attempt.seconds for attempt in attempts)
        if not result.samples:
            result.open_questions.append("the tables were never looked at during the load")
        if any(attempt.outcome is None for attempt in attempts):
            result.open_questions.append("attempts were still under way at the end")

    @asynccontextmanager
    async def _sampling(self, slots: Sequence[int]) -> AsyncIterator[None]:
        """Looks at some slots again and again while the load runs (S1)."""
        task = asyncio.create_task(self._sample(slots))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _sample(self, slots: Sequence[int]) -> None:
        random = Random(f"{self._plan.seed}/samples")
        while True:
            with suppress(*NO_LOOK):
                async with self.bed.look() as connection:
                    while True:
                        chosen = random.sample(slots, min(SLOTS_PER_SAMPLE, len(slots)))
                        async with asyncio.timeout(PATIENCE_SECONDS):
                            found = await tables.find_unbalanced(connection, chosen)
                        self.result.violations += [
                            Violation("S1", slot, "unbalanced during the load") for slot in found
                        ]
                        self.result.samples += 1
                        await asyncio.sleep(SAMPLE_SECONDS)
            await asyncio.sleep(SAMPLE_SECONDS)

    async def _open_clinic(self) -> "Clinic":
        self._phase("opening a clinic")
        async with aiohttp.ClientSession(self.bed.url, raise_for_status=True) as session:
            admin = await _log_in(session, ADMIN_EMAIL, ADMIN_PASSWORD)
            seats = [SEATS[number % len(SEATS)] for number in range(self._plan.slots)]
            slots = await _open_slots(session, admin, seats)
            racing = [LAST_SEATS[number % len(LAST_SEATS)] for number in range(12 * self._plan.racers)]
            last_seats = await _open_slots(session, admin, racing)
            [probe] = await _open_slots(session, admin, [PROBE_SEATS])
            patients = [await _register(session, number) for number in range(ACCOUNTS)]
        return Clinic(slots, last_seats, probe, [*patients, Caller("desk", admin)])


class Clinic(Struct, frozen=True):
    """Slots by their ids, and those with accounts: patients, and the desk, whose bookings go a road of their own."""

    slots: list[int]
    last_seats: list[int]
    probe: int
    patients: list[Caller]


async def _open_slots(session: aiohttp.ClientSession, admin: dict[str, str], seats: Sequence[int]) -> list[int]:
    doctor = await (await session.post("/api/doctors", json={"name": "Dr. Torture"}, headers=admin)).json()
    first = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
    ids = []
    for number, total in enumerate(seats):
        start = (first + timedelta(hours=number)).isoformat().replace("+00:00", "Z")
        body = {"doctorId": doctor["id"], "startTime": start, "totalSeats": total}
        ids.append((await (await session.post("/api/slots", json=body, headers=admin)).json())["id"])
    return ids


async def _register(session: aiohttp.ClientSession, number: int) -> Caller:
    email, password = f"account{number}@torture.example", "a fine patient password"
    await session.post("/api/auth/register", json={"name": f"Account {number}", "email": email, "password": password})
    return Caller(f"account{number}", await _log_in(session, email, password))


async def _log_in(session: aiohttp.ClientSession, email: str, password: str) -> dict[str, str]:
    answer = await session.post("/api/auth/login", json={"email": email, "password": password})
    return {"Authorization": f"Bearer {(await answer.json())['accessToken']}"}
