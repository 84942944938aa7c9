"""The end of a run: everything is read through the API and from the tables, and judged by the rules.

There must be a verdict whatever the program has done. After healing, something that cannot be read is a violation like
any other, such as a missing table or a list that the API no longer returns.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import aiohttp
import asyncpg
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from torture import roads, tables
from torture.bed import ADMIN_EMAIL, ADMIN_PASSWORD, HOLD_SECONDS, NO_LOOK, Bed
from torture.clinic import log_in
from torture.history import Attempt, History, Sighting
from torture.keeping import keep_ledger
from torture.open_times import CarvedBooking, CarvedSlot, OpenTimes, place_carving
from torture.rules.closures import Closed, ScheduledSlot, find_double_visits, find_hidden, find_other_content
from torture.rules.keys import find_broken_keys
from torture.rules.open_time import (
    find_early_times,
    find_missing_bookings,
    find_stray_visits,
    find_uncounted_offers,
    find_unheld_offers,
    find_untrue_fulls,
    find_visits_at_once,
)
from torture.rules.service import find_defects
from torture.rules.unknowns import Unknowns, resolve_unknowns
from torture.rules.visits import find_broken_limits
from torture.rules.wishes import find_wrong_wishes
from torture.slot_history import SlotHistory, by_slot
from torture.verdict import Listed, find_differences, find_violations
from torture.violation import Violation

# After this time every hold has expired and was swept: a sweep comes every second.
SETTLE_SECONDS = HOLD_SECONDS + 2.5
STILL_SECONDS = HOLD_SECONDS + 0.5
# How often to check again on a busy machine whether all holds were swept.
SWEPT_TRIES = 30
LEDGERS = 20
# Most violations to keep for one rule and one slot: more would add nothing.
SHOWN = 20
TRIES = 5
PAUSE_SECONDS = 1.0
REFUSED_OFFERS = re.compile(r'^slotwise_offered_times_refused_total\{reason="([^"]+)"\} (\S+)$', re.MULTILINE)

Result = TypeVar("Result")


class Findings:
    """The violations of a run: keeps a limited number for each rule and slot, but counts all."""

    def __init__(self) -> None:
        self.kept: list[Violation] = []
        self._count: dict[tuple[str, int], int] = defaultdict(int)

    @property
    def total(self) -> int:
        return sum(self._count.values())

    def count(self, rule: str) -> int:
        return sum(count for (found, _), count in self._count.items() if found == rule)

    @property
    def rules(self) -> list[str]:
        return sorted({rule for rule, _ in self._count})

    def some(self, most: int) -> Iterator[Violation]:
        """At most so many violations of each rule, in the order of the rules."""
        for rule in self.rules:
            yield from [violation for violation in self.kept if violation.rule == rule][:most]

    def add(self, found: Iterable[Violation]) -> None:
        for violation in found:
            self._count[violation.rule, violation.slot_id] += 1
            if self._count[violation.rule, violation.slot_id] <= SHOWN:
                self.kept.append(violation)


class ListedPage(Struct, frozen=True, rename="camel"):
    items: list[Listed]
    next_cursor: str | None


class Judge:
    """`settle` is the time until everything has settled; `pause` is the time between two tries of a read. Both are in
    seconds."""

    def __init__(
        self, bed: Bed, history: History, findings: Findings, *,
        settle: float = SETTLE_SECONDS, pause: float = PAUSE_SECONDS,
    ) -> None:  # fmt: skip
        self._settle = settle
        self._pause = pause
        self.unknowns = Unknowns()
        self.sweeps: list[tuple[float, float]] = []
        self._bed = bed
        self._history = history
        self._findings = findings

    async def __call__(self, *, thorough: bool = True) -> None:
        """If not `thorough`, skip the check that nothing changes any more: a mutant is noticed before."""
        await self._until_swept()
        before = await self._effects()
        listed = await self._told("every booking by the API", "S1", self._list_bookings) or {}
        await self._judge_slots(listed)
        await self._judge_open_times()
        if thorough:
            await self._judge_stillness(before)
        self.sweeps = await self._told("the ledger's expiries", "S3", self._read_sweeps) or []
        broken = await self._told("the invariants", "S3", lambda: tables.find_table_violations(self._bed.database_url))
        self._findings.add(broken or ())
        schedule = await self._told("the schedules", "S24", self._read_schedule) or ((), ())
        self._findings.add(find_hidden(*schedule))
        self._findings.add(find_double_visits(schedule[0]))
        self._findings.add(find_other_content(schedule[0]))
        self._findings.add(find_broken_keys(self._history.attempts))
        self._findings.add(find_broken_limits(self._history.attempts))
        noted = await self._told("the wishes of patients", "S3 wish", self._read_noted)
        self._findings.add(find_wrong_wishes(self._history.attempts, noted or {}))
        self._findings.add(find_defects(self._history.attempts))
        await self._keep_ledgers()

    async def _told(self, what: str, rule: str, read: Callable[[], Awaitable[Result]]) -> Result | None:
        """The result of `read`, which is tried again if the database or the server does not answer. If it never does:
        None, and a violation of the rule."""
        for _ in range(TRIES):
            try:
                return await read()
            except (*NO_LOOK, aiohttp.ClientError, msgspec.MsgspecError) as error:
                refused = f"{type(error).__name__}: {error}"
                if isinstance(error, asyncpg.SyntaxOrAccessError):
                    break
            await asyncio.sleep(self._pause)
        self._findings.add([Violation(rule, 0, f"after healing, {what} cannot be read: {refused}")])
        return None

    async def _until_swept(self) -> None:
        """Wait until every hold has expired and was swept."""
        await asyncio.sleep(self._settle)
        for _ in range(SWEPT_TRIES):
            if not (await self._effects()).get("pending", 0):
                break
            await asyncio.sleep(self._pause)

    async def _effects(self) -> dict[str, int]:
        return await self._told("how many rows there are", "S3", self._count_effects) or {}

    async def _count_effects(self) -> dict[str, int]:
        async with self._bed.look() as connection:
            return await tables.count_effects(connection)

    async def _read_sweeps(self) -> list[tuple[float, float]]:
        async with self._bed.look() as connection:
            return await tables.read_sweeps(connection)

    async def _read_schedule(self) -> tuple[Sequence[ScheduledSlot], Sequence[Closed]]:
        async with self._bed.look() as connection:
            return await tables.read_schedule(connection)

    async def _read_noted(self) -> dict[int, bool]:
        async with self._bed.look() as connection:
            return await tables.read_noted_wishes(connection)

    async def _read_slots_of_rules(self) -> set[int]:
        async with self._bed.look() as connection:
            return await tables.read_slots_of_rules(connection)

    async def _judge_stillness(self, before: dict[str, int]) -> None:
        await asyncio.sleep(STILL_SECONDS)
        if await self._effects() != before:
            self._findings.add([Violation("quiesce", 0, "something changed after everything had settled")])
        if before.get("pending"):
            self._findings.add([Violation("L1", 0, f"{before['pending']} holds were never expired")])
        if stuck := await self._told("the sessions of the database", "L4", self._stuck_sessions):
            self._findings.add([Violation("L4", 0, f"sessions {stuck} are still working without any request")])

    async def _stuck_sessions(self) -> set[str]:
        """Sessions that are in the same transaction at every look. A sweep would be seen only once."""
        stuck: set[str] | None = None
        async with self._bed.look() as connection:
            for _ in range(TRIES):
                busy = await tables.read_busy_sessions(connection)
                stuck = busy if stuck is None else stuck & busy
                if not stuck:
                    break
                await asyncio.sleep(STILL_SECONDS)
        return stuck or set()

    async def _list_bookings(self) -> dict[int, Listed]:
        """Every booking in the desk's list."""
        found: dict[int, Listed] = {}
        cursor: str | None = ""
        async with aiohttp.ClientSession(self._bed.url, raise_for_status=True) as session:
            desk = await log_in(session, "desk", ADMIN_EMAIL, ADMIN_PASSWORD)
            while cursor is not None:
                asked = {"limit": "500"} | ({"cursor": cursor} if cursor else {})
                page = await self._page_of(session, desk.headers, asked)
                found |= {booking.id: booking for booking in page.items}
                cursor = page.next_cursor
        return found

    async def _page_of(
        self, session: aiohttp.ClientSession, headers: dict[str, str], asked: dict[str, str]
    ) -> ListedPage:
        """Read a page, and try again if the answer is late: a long run reads thousands of pages."""
        for _ in range(TRIES - 1):
            try:
                return await _read_page(session, headers, asked)
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(self._pause)
        return await _read_page(session, headers, asked)

    async def _judge_open_times(self) -> None:
        attempts = self._history.attempts
        times = await self._told("the open times", "S22", self._read_open_times) or OpenTimes()
        counted = await self._told("the metrics", "P7", self._count_refused_offers) or {}
        self._findings.add(find_visits_at_once(times))
        self._findings.add(find_stray_visits(attempts, times))
        self._findings.add(find_untrue_fulls(attempts, times))
        self._findings.add(find_unheld_offers(attempts, times))
        self._findings.add(find_early_times(attempts))
        self._findings.add(find_uncounted_offers(attempts, counted))

    async def _read_open_times(self) -> OpenTimes:
        async with self._bed.look() as connection:
            return await tables.read_open_times(connection)

    async def _count_refused_offers(self) -> dict[str, int]:
        """What the server has counted, by reason, as far as it still knows: a restart begins anew."""
        async with (
            aiohttp.ClientSession(self._bed.url, raise_for_status=True) as session,
            session.get(roads.GET_METRICS.path) as answer,
        ):
            return {reason: int(float(count)) for reason, count in REFUSED_OFFERS.findall(await answer.text())}

    async def _judge_slots(self, listed: dict[int, Listed]) -> None:
        open_slots = await self._told("the slots of open time", "S24", self._read_open_slots) or {}
        carved = await self._told("the bookings of open time", "S3", self._read_carved_bookings) or ()
        place_carving(self._history.attempts, carved, open_slots)
        self._findings.add(find_missing_bookings(self._history.attempts))
        attempts = by_slot(self._history.attempts)
        sightings = by_slot(self._history.sightings)
        nowhere = attempts.pop(0, [])
        schedule = [attempt for attempt in nowhere if attempt.name == "apply_schedule"]
        resolve_unknowns(SlotHistory(0, (), (), [one for one in nowhere if one.is_carving]), self.unknowns)
        of_doctors: dict[int | None, list[Attempt]] = defaultdict(list)
        for attempt in self._history.attempts:
            of_doctors[attempt.of_doctor].append(attempt)
        of_rules = await self._told("the slots of rules", "S24", self._read_slots_of_rules) or set()
        there = await self._told("the slots", "S3", self._read_slots) or []
        gone = set(attempts) - set(there)
        self._findings.add(Violation("S3", slot_id, "the slot is missing") for slot_id in sorted(gone))
        async with aiohttp.ClientSession(self._bed.url, raise_for_status=True) as session:
            for slot_id in sorted({*there, *gone}):
                history = await self._slot_history(slot_id, attempts.get(slot_id, ()), sightings.get(slot_id, ()))
                if slot_id in of_rules:
                    history = replace(history, schedule=schedule)
                elif slot_id in open_slots:
                    slot = open_slots[slot_id]
                    own = of_doctors[slot.doctor_id]
                    changes = [attempt for attempt in own if attempt.name == "apply_schedule"]
                    history = replace(history, schedule=changes, carving=slot.carving(own))
                free = await self._told(f"slot {slot_id} by the API", "S1", _free_seats(session, slot_id))
                self._findings.add(find_violations(history))
                self._findings.add(find_differences(history, free, listed))
                resolve_unknowns(history, self.unknowns)
                # Let the event loop run other tasks: judging a long history takes minutes.
                await asyncio.sleep(0)

    async def _read_slots(self) -> list[int]:
        async with self._bed.look() as connection:
            return await tables.read_slots(connection)

    async def _read_open_slots(self) -> dict[int, CarvedSlot]:
        async with self._bed.look() as connection:
            return await tables.read_open_slots(connection)

    async def _read_carved_bookings(self) -> list[CarvedBooking]:
        async with self._bed.look() as connection:
            return await tables.read_carved_bookings(connection)

    async def _slot_history(
        self, slot_id: int, attempts: Sequence[Attempt], sightings: Sequence[Sighting]
    ) -> SlotHistory:
        async def events() -> Sequence[object]:
            async with self._bed.look() as connection:
                return await tables.read_events(connection, slot_id)

        async def rows() -> Sequence[object]:
            async with self._bed.look() as connection:
                return await tables.read_rows(connection, slot_id)

        ledger = await self._told("the ledger", "S3", events) or ()
        bookings = await self._told("the bookings", "S3", rows) or ()
        return SlotHistory(slot_id, ledger, bookings, attempts, sightings)  # type: ignore[arg-type]

    async def _keep_ledgers(self) -> None:
        """Keep the ledgers of slots with a violation, for later inspection."""
        slots = sorted({violation.slot_id for violation in self._findings.kept} - {0})
        for slot_id in slots[:LEDGERS]:
            history = await self._slot_history(slot_id, (), ())
            keep_ledger(self._bed.folder, slot_id, history.events)


async def _read_page(session: aiohttp.ClientSession, headers: dict[str, str], asked: dict[str, str]) -> ListedPage:
    async with session.get("/api/bookings", params=asked, headers=headers) as answer:
        return msgspec.json.decode(await answer.read(), type=ListedPage)


def _free_seats(session: aiohttp.ClientSession, slot_id: int) -> Callable[[], Awaitable[int]]:
    async def read() -> int:
        async with session.get(f"/api/slots/{slot_id}") as answer:
            free: int = (await answer.json())["availableSeats"]
        return free

    return read


def between(events: Iterable[tuple[float, float]], broken: Sequence[tuple[float, float]]) -> Iterator[float]:
    """The delays of the events that were due while nothing was broken."""
    return (at - due for at, due in events if not any(begin <= due <= end for begin, end in broken))
