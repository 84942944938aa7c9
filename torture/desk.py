"""The load from the desk: receptionists who book, confirm and cancel, and admins who change and publish slots."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

from torture import roads
from torture.client import GUEST, Caller, Client, Held, held
from torture.history import Attempt, Change
from torture.page_client import Browser, held_by_page
from torture.patients import Recent, Stop, new_key, until_told

PAUSE_SECONDS = 0.05
# Minutes by which a slot may move. A doctor's slots begin an hour apart and last half an hour.
MOVES = (0, 5, 10, 15, 20, 25)
SURE = 3


class Receptionist:
    """Confirms and cancels patients' holds at the same time as they do, and books by telephone: by API and on pages."""

    def __init__(
        self, process: int, seed: int, client: Client, desk: Caller, slots: Sequence[int], recent: Recent
    ) -> None:
        self._random = Random(f"{seed}/desk/{process}")
        self._process = process
        self._client = client
        self._browser = Browser(client.connections)
        self._desk = desk
        self._slots = slots
        self._recent = recent

    async def live(self, stop: Stop) -> None:
        while not stop.now:
            await stop.patients_go.wait()
            if self._recent and self._random.random() < 0.7:
                await self._see_to(*self._recent.pop())
            else:
                await self._book()
            await asyncio.sleep(PAUSE_SECONDS * self._random.random())

    async def _see_to(self, hold: Attempt, booking: Held) -> None:
        if self._random.random() < 0.5:
            await self._confirm(hold, booking)
        await self._cancel(hold, booking)

    async def _confirm(self, hold: Attempt, booking: Held) -> None:
        by_form = self._random.random() < 0.5
        await (self._browser if by_form else self._client).confirm(hold, booking, self._desk)

    async def _cancel(self, hold: Attempt, booking: Held) -> None:
        """Cancel, and repeat until there is an answer: seats that stay booked are lost for the others. Only the form
        has the tick for a patient who asked for it."""
        by_form, asked = self._random.random() < 0.5, self._random.random() < 0.5

        async def cancel() -> Attempt:
            if by_form:
                return await self._browser.cancel(hold, booking, self._desk, asked=asked)
            return await self._client.cancel(hold, booking, self._desk)

        await until_told(await cancel(), cancel, self._random)

    async def _book(self) -> None:
        slot_id, seats, key = self._random.choice(self._slots), self._random.choice((1, 1, 2)), new_key()
        hold = await self._browser.book_at_desk(self._process, self._desk, slot_id, seats, key)
        booking = held_by_page(hold)
        if booking is not None:
            await self._cancel(hold, booking)


class Overbooker:
    """Overbooks slots that it has filled, while it books and cancels there. No other client uses these slots."""

    def __init__(self, process: int, seed: int, client: Client, desk: Caller, slots: Sequence[int]) -> None:
        self._random = Random(f"{seed}/overbooker/{process}")
        self._process = process
        self._client = client
        self._browser = Browser(client.connections)
        self._desk = desk
        self._slots = slots

    async def live(self, stop: Stop) -> None:
        while not stop.now:
            await stop.patients_go.wait()
            slot_id = self._random.choice(self._slots)
            made = await asyncio.gather(*(act(slot_id) for act in (self._overbook, self._hold, self._overbook)))
            booked = [one for one in made if one is not None]
            # What is held meanwhile must not get the seats that go away.
            held = (await asyncio.gather(self._hold(slot_id), *(self._cancel(*one) for one in booked)))[0]
            if held is not None:
                await self._cancel(*held)
            await asyncio.sleep(2 * PAUSE_SECONDS * self._random.random())

    async def _overbook(self, slot_id: int) -> tuple[Attempt, Held] | None:
        seats = self._random.choice((1, 2))
        if self._random.random() < 0.5:
            made = await self._client.overbook(self._process, self._desk, slot_id, seats)
            booking = held(made)
        else:
            made = await self._browser.overbook(self._process, self._desk, slot_id, seats, new_key())
            booking = held_by_page(made)
        return None if booking is None else (made, booking)

    async def _hold(self, slot_id: int) -> tuple[Attempt, Held] | None:
        made = await self._client.hold(self._process, GUEST, slot_id, at_once=self._random.random() < 0.5)
        booking = held(made)
        return None if booking is None else (made, booking)

    async def _cancel(self, hold: Attempt, booking: Held) -> None:
        async def cancel() -> Attempt:
            return await self._client.cancel(hold, booking, self._desk)

        await until_told(await cancel(), cancel, self._random)


class Administrator:
    """Resizes, closes, reopens and moves slots, one after the other. Staff close and reopen them too. No other client
    changes these slots. `slots` has their original starts, in seconds since 1970."""

    def __init__(
        self, process: int, seed: int, client: Client, admin: Caller, staff: Caller, slots: dict[int, float],
        seats: dict[int, int],
    ) -> None:  # fmt: skip
        self._random = Random(f"{seed}/admin/{process}")
        self._process = process
        self._client = client
        self._browser = Browser(client.connections)
        self._admin = admin
        self._staff = staff
        self._slots = slots
        self._seats = seats

    async def live(self, stop: Stop) -> None:
        while not stop.now:
            slot_id = self._random.choice(list(self._slots))
            chance = self._random.random()
            if chance < 0.4:
                await self._change(slot_id, Change(total=self._seats[slot_id] + self._random.randrange(-2, 5)))
            elif chance < 0.7:
                await self._change(slot_id, self._move(slot_id))
            else:
                await self._change(slot_id, Change(status="CLOSED"))
                await asyncio.sleep(PAUSE_SECONDS)
                await self._reopen(slot_id)
            await asyncio.sleep(2 * PAUSE_SECONDS * self._random.random())

    def _move(self, slot_id: int) -> Change:
        return Change(start=self._slots[slot_id] + 60 * self._random.choice(MOVES))

    async def _change(self, slot_id: int, change: Change) -> Attempt:
        by = self._staff if change.status and self._random.random() < 0.5 else self._admin
        if self._random.random() < 0.5:
            return await self._by_api(slot_id, change, by)
        attempt, asked = await self._browser.change_slot(self._process, by, slot_id, change)
        for _ in range(SURE):
            # The page has listed the affected bookings and asks for confirmation: confirm.
            if not asked:
                break
            attempt, asked = await self._browser.change_slot(self._process, by, slot_id, change, asked)
        return attempt

    async def _by_api(self, slot_id: int, change: Change, by: Caller) -> Attempt:
        start = "" if change.start is None else datetime.fromtimestamp(change.start, UTC).isoformat()
        return await self._client.change_slot(self._process, by, slot_id, change, start)

    async def _reopen(self, slot_id: int) -> None:
        by = self._random.choice((self._admin, self._staff))

        async def reopen() -> Attempt:
            return await self._by_api(slot_id, Change(status="OPEN"), by)

        await until_told(await reopen(), reopen, self._random)


class Publisher:
    """Adds doctors and slots during the load, by API and on pages, and changes these doctors."""

    def __init__(self, process: int, seed: int, client: Client, admin: Caller) -> None:
        self._random = Random(f"{seed}/publisher/{process}")
        self._process = process
        self._client = client
        self._browser = Browser(client.connections)
        self._admin = admin
        self._day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=400)

    async def live(self, stop: Stop) -> None:
        while not stop.now:
            await self._open_practice(stop)

    async def _open_practice(self, stop: Stop) -> None:
        made = await self._by_api(roads.CREATE_DOCTOR, {"name": "Dr. New", "specialization": "Novelty"})
        if made.outcome != "ok" or made.answer is None or made.answer.id is None:
            await asyncio.sleep(PAUSE_SECONDS)
            return
        doctor = made.answer.id
        for publish in (self._publish_by_api, self._publish_by_form, self._change):
            await publish(doctor)
            for _ in range(30):
                if not stop.now:
                    await asyncio.sleep(2 * PAUSE_SECONDS)

    async def _publish_by_api(self, doctor: int) -> None:
        day = self._new_day()
        slot = {"doctorId": doctor, "startTime": f"{day:%Y-%m-%d}T08:00:00Z", "totalSeats": 2}
        await self._by_api(roads.CREATE_SLOT, slot)
        many = {
            "doctorId": doctor, "firstDay": f"{day:%Y-%m-%d}", "lastDay": f"{day:%Y-%m-%d}",
            "periods": [{"from": "09:00", "to": "10:00"}], "totalSeats": 2,
        }  # fmt: skip
        await self._by_api(roads.CREATE_SLOTS, many)

    async def _publish_by_form(self, doctor: int) -> None:
        day = f"{self._new_day():%Y-%m-%d}"
        one = {"day": day, "time": "08:00", "duration_minutes": 30, "total_seats": 2}
        await self._by_form(roads.NEW_SLOT_FORM, one, doctor_id=doctor)
        many = {
            "first_day": day, "last_day": day, "from_1": "09:00", "to_1": "10:00", "duration_minutes": 30,
            "break_minutes": 0, "total_seats": 2, "weekdays": f"{self._day.isoweekday()}", "step": "create",
        }  # fmt: skip
        await self._by_form(roads.NEW_SLOTS_FORM, many, doctor_id=doctor)

    async def _change(self, doctor: int) -> None:
        await self._by_api(roads.UPDATE_DOCTOR, {"specialization": "Routine"}, doctor_id=doctor)
        await self._by_form(roads.DOCTOR_FORM, {"name": "Dr. Newer", "specialization": "Routine"}, doctor_id=doctor)
        await self._by_form(roads.ACTIVE_DOCTOR_FORM, {"active": "no"}, doctor_id=doctor)
        await self._by_form(roads.NEW_DOCTOR_FORM, {"name": "Dr. Typed", "specialization": ""})

    def _new_day(self) -> datetime:
        """A new day each time, so that no slots overlap: the server has no reason to refuse them."""
        self._day += timedelta(days=1)
        return self._day

    async def _by_api(self, road: roads.Road, body: dict[str, object], **ids: int) -> Attempt:
        return await self._client.publish(self._process, self._admin, road, body, **ids)

    async def _by_form(self, road: roads.Road, form: dict[str, object], **ids: int) -> Attempt:
        return await self._browser.publish(self._process, self._admin, road, form, **ids)
