"""The load of rules that change in place: their times get other seats and visit types while they are booked."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias

from torture import roads
from torture.client import GUEST, held
from torture.history import Attempt
from torture.page_client import Browser
from torture.patients import Stop
from torture.readers import SlotTold
from torture.scheduler import PAUSE_SECONDS, Row, Scheduler

Booking: TypeAlias = Callable[[], Awaitable[Attempt]]
# At once.
DOCTORS = 4
# The numbers of seats that a rule for two gets. The last is narrower, so that the verdict sees what that has left.
SEATS = ((1,), (1,), (3, 2), (3, 1), (1, 2, 1))


class Resizer(Scheduler):
    """Gives doctors one day of times for two. While a change of the seats is applied, patients confirm their holds and
    book free seats at once: the preview did not show them as booked. On a busy machine, holds expire before that."""

    async def live(self, stop: Stop) -> None:
        await asyncio.gather(*(self._live_beside(stop) for _ in range(DOCTORS)))

    async def _live_beside(self, stop: Stop) -> None:
        while not stop.now:
            await self._open_and_resize()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _open_and_resize(self) -> None:
        doctor = await self._hire("Dr. Narrow")
        if doctor is None:
            return
        await self._apply(self._admin, addRules=[self._one_day(doctor)])
        for seats in self._random.choice(SEATS):
            await self._resize(doctor, seats)

    def _one_day(self, doctor: int) -> dict[str, Any]:
        day = self._first_day.isoformat()
        hours = {"weekdays": [self._first_day.isoweekday()], "periods": [{"from": "09:00", "to": "13:00"}]}
        return {"doctorId": doctor, "firstDay": day, "lastDay": day, "totalSeats": 2, **hours}

    async def _resize(self, doctor: int, seats: int) -> None:
        rules = await self._rows(roads.LIST_RULES, doctor)
        if not rules:
            return
        bookings = await self._fill(await self._free_times(doctor, self._first_day))
        resize = self._by_page if self._random.random() < 0.5 else self._by_api
        await resize(rules[0], seats, bookings)

    async def _fill(self, slots: Sequence[SlotTold]) -> list[Booking]:
        """A confirmed booking of each slot, and a second hold of half of them. Returns the bookings that are to come:
        the second holds are confirmed, the other seats booked at once."""
        twice = self._random.sample(slots, len(slots) // 2)
        firsts = await asyncio.gather(*(self._client.hold(self._process, GUEST, slot.id) for slot in slots))
        seconds = await asyncio.gather(*(self._client.hold(self._process, GUEST, slot.id) for slot in twice))
        await asyncio.gather(*(confirm() for confirm in self._confirming(firsts)))
        free = {slot.id for slot in slots} - {slot.id for slot in twice}
        at_once = [partial(self._client.hold, self._process, GUEST, slot_id, at_once=True) for slot_id in sorted(free)]
        return [*self._confirming(seconds), *at_once]

    def _confirming(self, holds: Sequence[Attempt]) -> Iterator[Booking]:
        for hold in holds:
            booking = held(hold)
            if booking is not None:
                yield partial(self._client.confirm, hold, booking)

    async def _by_api(self, rule: Row, seats: int, bookings: Sequence[Booking]) -> None:
        types = self._random.choice((None, [self._client.connections.visit_types["lenient"]]))
        change: dict[str, Any] = {"changeRules": [{"id": rule.id, "totalSeats": seats, "visitTypeIds": types}]}
        change["decision"] = self._random.choice(("KEEP", "CANCEL"))
        began = time.monotonic()
        token = await self._look(self._admin, change)
        if token:
            await self._race(self._do(self._admin, change, token), bookings, time.monotonic() - began)

    async def _by_page(self, rule: Row, seats: int, bookings: Sequence[Booking]) -> None:
        browser = Browser(self._client.connections)
        form = {
            "version": rule.version, "weekdays": self._first_day.isoweekday(), "from_1": "09:00", "to_1": "13:00",
            "first_day": self._first_day, "last_day": self._first_day, "every_weeks": 1, "slot_minutes": 30,
            "break_minutes": 0, "total_seats": seats,
        }  # fmt: skip
        began = time.monotonic()
        sealed = await browser.preview_hours(self._process, self._admin, rule.doctor_id or 0, rule.id, form)
        if sealed:
            change = browser.apply_schedule(self._process, self._admin, sealed)
            await self._race(change, bookings, time.monotonic() - began)

    async def _race(self, change: Awaitable[Attempt], bookings: Sequence[Booking], seconds: float) -> None:
        """The change looks at the bookings first, which takes as long as the preview, and then takes the locks. All
        book at one time: who books before that look makes the preview old, and no later one would matter."""
        await asyncio.gather(change, self._book_all(bookings, seconds * self._random.random()))

    async def _book_all(self, bookings: Sequence[Booking], delay: float) -> None:
        await asyncio.sleep(delay)
        await asyncio.gather(*(book() for book in bookings))
