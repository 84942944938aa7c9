"""The readers of the load. What they see while everything changes is kept, and judged at the end."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random

import msgspec
from msgspec import Struct

from torture import roads
from torture.client import GUEST, Caller, Client, Connections, Reply, outcome_of, read_json
from torture.clinic import SEATS
from torture.history import Attempt, Outcome, SeenBookings, SeenSlot
from torture.page_client import headers_of, offers_in
from torture.patients import Recent, Stop
from torture.roads import Road

PAUSE_SECONDS = 0.2
HOURS = 8
LISTED = 50
FROM_HERE_ON = 2**62


class SlotTold(Struct, frozen=True, rename="camel"):
    id: int
    start_time: datetime
    total_seats: int
    available_seats: int
    status: str


class SlotsTold(Struct, frozen=True):
    items: list[SlotTold]


class BookingTold(Struct, frozen=True, rename="camel"):
    id: int
    slot_id: int
    status: str


class BookingsTold(Struct, frozen=True, rename="camel"):
    items: list[BookingTold]
    next_cursor: str | None


class Reader:
    """Reads slots and bookings as patients and the desk do. `starts` has one doctor's slots with their original starts,
    in seconds since 1970; an admin moves them only within the hour."""

    def __init__(
        self, process: int, seed: int, connections: Connections, callers: Sequence[Caller], desk: Caller,
        doctor: int, starts: dict[int, float], recent: Recent,
    ) -> None:  # fmt: skip
        self._random = Random(f"{seed}/reader/{process}")
        self._process = process
        self._connections = connections
        self._accounts = [caller for caller in callers if caller.headers]
        self._desk = desk
        self._doctor = doctor
        self._starts = starts
        self._recent = recent

    async def live(self, stop: Stop) -> None:
        looks, weights = zip(*LOOKS, strict=True)
        while not stop.now:
            await self._random.choices(looks, weights)[0](self)
            await asyncio.sleep(PAUSE_SECONDS * self._random.random())

    async def read_slot(self) -> None:
        slot_id = self._random.choice(list(self._starts))
        told: list[SlotTold] = []

        def read(attempt: Attempt, reply: Reply) -> Outcome:
            if reply.status == 200:
                told.append(msgspec.json.decode(reply.content, type=SlotTold))
            return read_json(attempt, reply)

        attempt = self._connections.attempt(self._process, "read_slots", slot_id, GUEST)
        path = roads.GET_SLOT.path.format(slot_id=slot_id)
        await self._connections.send(attempt, roads.GET_SLOT, read, {}, path=path)
        for slot in told:
            self._see_slot(attempt, slot)

    async def list_slots(self) -> None:
        """List free slots. Mostly near a slot's total seats, where one seat more or less changes the list."""
        await self.list_free(self._random.choice((1, 2, *(seats - free for seats in SEATS for free in range(4)))))

    async def list_free(self, least: int) -> None:
        """List some hours of the doctor. A slot that is not on the list has fewer than `least` free seats."""
        hours = [start // 3600 * 3600 for start in self._starts.values()]
        begin = self._random.choice(hours)
        asked = {
            "doctorId": self._doctor, "from": _iso(begin), "to": _iso(begin + 3600 * HOURS), "minSeats": least,
            "limit": 100,
        }  # fmt: skip
        told: list[SlotTold] = []

        def read(attempt: Attempt, reply: Reply) -> Outcome:
            if reply.status == 200:
                told.extend(msgspec.json.decode(reply.content, type=SlotsTold).items)
            return outcome_of(reply.status)

        attempt = self._connections.attempt(self._process, "read_slots", 0, GUEST)
        await self._connections.send(attempt, roads.LIST_SLOTS, read, {}, params=asked)
        if attempt.outcome == "ok":
            for slot in told:
                self._see_slot(attempt, slot, least)
            self._miss(attempt, {slot.id for slot in told}, begin, begin + 3600 * HOURS, least)

    async def find_times(self) -> None:
        """Read the page of free times: a whole day of the doctor. The page for any kind of visit lists the same."""
        day = datetime.fromtimestamp(self._random.choice(list(self._starts.values())), UTC).date()
        least = self._random.choice((1, 1, 2, 3))
        asked = {"doctor": str(self._doctor), "day": day.isoformat()} | ({"seats": str(least)} if least > 1 else {})
        asked |= self._random.choice(({}, {"visit": "any"}))
        pages: list[str] = []

        def read(attempt: Attempt, reply: Reply) -> Outcome:
            if reply.status == 200:
                pages.append(reply.content.decode())
            return outcome_of(reply.status)

        attempt = self._connections.attempt(self._process, "read_slots", 0, GUEST)
        await self._connections.send(attempt, roads.FIND_PAGE, read, headers_of({}), params=asked)
        for page in pages:
            offers = offers_in(page)
            for slot_id, free in offers.items():
                if slot_id in self._starts:
                    self._see(attempt, slot_id, free, least)
            # If the day has no free time, the page shows another day.
            if f'datetime="{day.isoformat()}T' in page:
                begin = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
                self._miss(attempt, set(offers), begin, begin + 24 * 3600, least)

    async def read_booking(self) -> None:
        if not self._recent:
            return
        hold, booking = self._random.choice(list(self._recent))
        attempt = self._connections.attempt(self._process, "read_bookings", hold.slot_id, GUEST)
        path = roads.GET_BOOKING.path.format(booking_id=booking.id)
        await self._connections.send(attempt, roads.GET_BOOKING, read_json, {}, path=path)
        if attempt.outcome == "ok" and attempt.answer:
            self._see_bookings(attempt, hold.slot_id, {booking.id: str(attempt.answer.status)})

    async def list_bookings(self) -> None:
        """The desk's list of a slot, newest first."""
        slot_id = self._random.choice(list(self._starts))
        asked = {"slotId": slot_id, "limit": LISTED}
        attempt, page = await self._list(slot_id, roads.LIST_BOOKINGS, self._desk, asked)
        if page is not None:
            statuses = {booking.id: booking.status for booking in page.items}
            first = min(statuses, default=0) if page.next_cursor else 0
            self._see_bookings(attempt, slot_id, statuses, first, FROM_HERE_ON)

    async def list_bookings_of_slot(self) -> None:
        """The public list of a slot's bookings, oldest first."""
        slot_id = self._random.choice(list(self._starts))
        path = roads.LIST_BOOKINGS_OF_SLOT.path.format(slot_id=slot_id)
        attempt, page = await self._list(slot_id, roads.LIST_BOOKINGS_OF_SLOT, GUEST, {"limit": LISTED}, path)
        if page is not None:
            statuses = {booking.id: booking.status for booking in page.items}
            last = max(statuses, default=0) if page.next_cursor else FROM_HERE_ON
            self._see_bookings(attempt, slot_id, statuses, 0, last)

    async def list_own_bookings(self) -> None:
        account = self._random.choice(self._accounts)
        attempt, page = await self._list(0, roads.LIST_BOOKINGS_OF_USER, account, {"limit": 20})
        for booking in page.items if page else []:
            self._see_bookings(attempt, booking.slot_id, {booking.id: booking.status})

    async def look_around(self) -> None:
        """Requests that show no seats. They must be answered too."""
        road, caller = self._random.choice(
            (
                (roads.LIST_DOCTORS, GUEST), (roads.GET_DOCTOR, GUEST), (roads.GET_ACCOUNT, self._accounts[0]),
                (roads.GET_HEALTH, GUEST), (roads.GET_READINESS, GUEST), (roads.GET_METRICS, GUEST),
            )
        )  # fmt: skip
        attempt = self._connections.attempt(self._process, "look_around", 0, caller)
        path = road.path.format(doctor_id=self._doctor)
        await self._connections.send(
            attempt, road, lambda _, reply: outcome_of(reply.status), caller.headers, path=path
        )

    async def _list(
        self, slot_id: int, road: Road, caller: Caller, asked: dict[str, int], path: str = ""
    ) -> tuple[Attempt, BookingsTold | None]:
        told: list[BookingsTold] = []

        def read(attempt: Attempt, reply: Reply) -> Outcome:
            if reply.status == 200:
                told.append(msgspec.json.decode(reply.content, type=BookingsTold))
            return outcome_of(reply.status)

        attempt = self._connections.attempt(self._process, "read_bookings", slot_id, caller)
        await self._connections.send(attempt, road, read, caller.headers, path=path, params=asked)
        return attempt, told[0] if told else None

    def _miss(self, attempt: Attempt, seen: set[int], begin: float, end: float, least: int) -> None:
        for slot_id, start in self._starts.items():
            if slot_id not in seen and begin <= start < end:
                self._see(attempt, slot_id, None, least)

    def _see_slot(self, attempt: Attempt, slot: SlotTold, least: int = 0) -> None:
        self._see(
            attempt, slot.id, slot.available_seats, least, slot.total_seats, slot.status, slot.start_time.timestamp()
        )

    def _see(
        self, attempt: Attempt, slot_id: int, free: int | None, least: int, total: int | None = None,
        status: str | None = None, start: float | None = None,
    ) -> None:  # fmt: skip
        seen = SeenSlot(slot_id, attempt.number, attempt.began_at, attempt.ended_at, free, least, total, status, start)
        self._connections.history.sightings.append(seen)

    def _see_bookings(
        self, attempt: Attempt, slot_id: int, statuses: dict[int, str], first: int = 1, last: int = 0
    ) -> None:
        seen = SeenBookings(slot_id, attempt.number, attempt.began_at, attempt.ended_at, statuses, first, last)
        self._connections.history.sightings.append(seen)


class Waiter:
    """Holds all seats of a slot that no other client uses, lets the hold expire, and checks that its seats are free at
    once, before any sweep (P4). `reader` has only these slots."""

    def __init__(self, process: int, seed: int, client: Client, reader: Reader, seats: dict[int, int]) -> None:
        self._random = Random(f"{seed}/waiter/{process}")
        self._process = process
        self._client = client
        self._reader = reader
        self._seats = seats

    async def live(self, stop: Stop) -> None:
        while not stop.now:
            slot_id, seats = self._random.choice(list(self._seats.items()))
            attempt = await self._client.hold(self._process, GUEST, slot_id, seats=seats)
            expires_at = attempt.answer.expires_at if attempt.answer else None
            if attempt.outcome != "ok" or expires_at is None:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            await asyncio.sleep(max(0.0, expires_at.timestamp() - attempt.ended_at) + self._random.uniform(0.0, 0.2))
            for look in (self._reader.list_free(seats), self._reader.list_free(1), self._reader.find_times()):
                await look
            if self._random.random() < 0.5:
                await self._reader.read_slot()


LOOKS = (
    (Reader.read_slot, 8),
    (Reader.list_slots, 8),
    (Reader.find_times, 2),
    (Reader.read_booking, 4),
    (Reader.list_bookings, 2),
    (Reader.list_bookings_of_slot, 2),
    (Reader.list_own_bookings, 1),
    (Reader.look_around, 3),
)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
