"""The load of schedules: hours, holidays and absences that change while their times are booked."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import msgspec
from msgspec import Struct

from torture import roads
from torture.client import GUEST, Caller, Client, Held, Reply, held, outcome_of, read_json
from torture.history import Attempt, Outcome
from torture.patients import Stop
from torture.readers import SlotsTold, SlotTold
from torture.roads import Road

PAUSE_SECONDS = 0.05
# Of each doctor; then comes a new one, so that no schedule becomes long.
ROUNDS = 6
# Days from today on which the doctors have hours; far from those of the other clients.
AHEAD, DAYS = 10, 5
HOURS = (("09:00", "11:00"), ("09:30", "11:30"), ("10:00", "12:00"))
PATIENTS = 4


class Seen(Struct, frozen=True):
    """A preview. With its token, exactly this is applied."""

    token: str


class Row(Struct, frozen=True, rename="camel"):
    """A rule or a closure. A closure has neither a version nor seats."""

    id: int
    doctor_id: int | None
    version: int = 0
    total_seats: int = 0


class Rows(Struct, frozen=True):
    items: list[Row]


class Scheduler:
    """Gives doctors weekly hours, closes days and opens them again, and changes the hours. Meanwhile it books these
    times like several patients. No other client uses these doctors."""

    def __init__(self, process: int, seed: int, client: Client, admin: Caller, staff: Caller) -> None:
        self._random = Random(f"{seed}/scheduler/{process}")
        self._process = process
        self._client = client
        self._admin = admin
        self._staff = staff
        self._first_day = datetime.now(UTC).date() + timedelta(days=AHEAD)
        # The doctor with open time whose schedule it changes, if it has one.
        self._doctor: int | None = None

    async def live(self, stop: Stop) -> None:
        while not stop.now:
            await stop.patients_go.wait()
            doctor, colleague = await self._hire("Dr. Weekly"), await self._hire("Dr. Standby")
            if doctor is None or colleague is None:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            await self._practise(doctor, colleague, stop)

    async def _hire(self, name: str) -> int | None:
        made = await self._client.publish(self._process, self._admin, roads.CREATE_DOCTOR, {"name": name})
        return made.answer.id if made.outcome == "ok" and made.answer else None

    async def _practise(self, doctor: int, colleague: int, stop: Stop) -> None:
        """Both have the same hours at first. It begins and ends with a take-over: slow machines do little between."""
        hours = self._hours(doctor)
        await self._apply(self._admin, addRules=[hours, hours | {"doctorId": colleague}])
        for number in range(ROUNDS):
            if stop.now:
                break
            await self._give_a_day(doctor, colleague)
            await self._close_a_day(doctor, stays=number == 0 or self._random.random() < 0.3)
            await self._change_hours(doctor)
            await asyncio.sleep(PAUSE_SECONDS * self._random.random())
        await self._give_a_day(doctor, colleague)

    def _hours(self, doctor: int) -> dict[str, Any]:
        opens, closes = self._random.choice(HOURS)
        last_day = self._first_day + timedelta(days=DAYS - 1)
        return {
            "doctorId": doctor, "firstDay": self._first_day.isoformat(), "lastDay": last_day.isoformat(),
            "weekdays": list(range(1, 8)), "periods": [{"from": opens, "to": closes}], "totalSeats": 2,
        }  # fmt: skip

    async def _close_a_day(self, doctor: int, *, stays: bool) -> None:
        """Patients book the day while it is closed. Unless it stays closed, it is opened while they try to confirm."""
        day = self._first_day + timedelta(days=self._random.randrange(DAYS))
        slots = await self._free_times(doctor, day)
        absence = {"doctorId": doctor, "startTime": f"{day}T00:00:00Z", "endTime": f"{day}T23:00:00Z"}
        decision = self._random.choice(("KEEP", "CANCEL"))
        booked, _ = await asyncio.gather(
            self._book(slots),
            self._apply(self._staff, addClosures=[absence], decision=decision, message="Away."),
        )
        hour = {"from": f"{day}T00:00:00Z", "to": f"{day}T01:00:00Z"}
        closures = [] if stays else await self._list(roads.LIST_CLOSURES, doctor, params=hour)
        await asyncio.gather(self._see_to_all(booked), self._apply(self._admin, removeClosures=closures))

    async def _give_a_day(self, doctor: int, colleague: int) -> None:
        """The colleague takes over the booked times of a day, while patients book both doctors."""
        day = self._first_day + timedelta(days=self._random.randrange(DAYS))
        slots = await self._free_times(doctor, day)
        theirs = await self._free_times(colleague, day)
        booked = await self._book(slots) + await self._book(theirs) + await self._book(theirs)
        await self._see_to_all(booked)
        absence = {"doctorId": doctor, "startTime": f"{day}T00:00:00Z", "endTime": f"{day}T23:00:00Z"}
        change = {"addClosures": [absence], "decision": "TAKE_OVER", "colleagueId": colleague}
        more, done = await asyncio.gather(self._book([*slots, *theirs]), self._apply(self._staff, **change))
        if done is None or done.outcome == "fail":
            # Somebody was faster than the preview. Without this, a slow machine would rarely see a take-over.
            await self._apply(self._staff, **change)
        hour = {"from": f"{day}T00:00:00Z", "to": f"{day}T01:00:00Z"}
        closures = await self._list(roads.LIST_CLOSURES, doctor, params=hour)
        await asyncio.gather(self._see_to_all(more), self._apply(self._admin, removeClosures=closures))

    async def _change_hours(self, doctor: int) -> None:
        rules = await self._list(roads.LIST_RULES, doctor)
        slots = await self._free_times(doctor, self._first_day)
        decision = self._random.choice(("KEEP", "CANCEL"))
        booked, _ = await asyncio.gather(
            self._book(slots),
            self._apply(self._admin, addRules=[self._hours(doctor)], removeRules=rules, decision=decision),
        )
        await self._see_to_all(booked)

    async def _apply(self, by: Caller, **change: Any) -> Attempt | None:
        """Look at what it would do, then apply it. A booking that was confirmed in between makes the preview old."""
        token = await self._look(by, change)
        return await self._do(by, change, token) if token else None

    async def _look(self, by: Caller, change: dict[str, Any]) -> str:
        """The token of the preview; empty if there is none."""
        seen: list[Seen] = []

        def look(attempt: Attempt, reply: Reply) -> Outcome:
            if reply.status == 200:
                seen.append(msgspec.json.decode(reply.content, type=Seen))
            return read_json(attempt, reply)

        looked = self._client.connections.attempt(self._process, "look_around", 0, by)
        await self._client.connections.send(looked, roads.PREVIEW_SCHEDULE, look, by.headers, json=change)
        return seen[0].token if seen else ""

    async def _do(self, by: Caller, change: dict[str, Any], token: str) -> Attempt:
        attempt = self._client.connections.attempt(self._process, "apply_schedule", 0, by, doctor=self._doctor)
        body = change | {"token": token}
        return await self._client.connections.send(attempt, roads.APPLY_SCHEDULE, read_json, by.headers, json=body)

    async def _list(self, road: Road, doctor: int, params: dict[str, str] | None = None) -> list[int]:
        return [row.id for row in await self._rows(road, doctor, params)]

    async def _rows(self, road: Road, doctor: int, params: dict[str, str] | None = None) -> list[Row]:
        return await self._rows_if_told(road, doctor, params) or []

    async def _rows_if_told(self, road: Road, doctor: int, params: dict[str, str] | None = None) -> list[Row] | None:
        """What the desk is shown of this doctor; None without an answer."""
        found: list[Row] = []

        def read(attempt: Attempt, reply: Reply) -> Outcome:
            if reply.status == 200:
                found.extend(msgspec.json.decode(reply.content, type=Rows).items)
            return outcome_of(reply.status)

        attempt = self._client.connections.attempt(self._process, "look_around", 0, self._admin)
        path = road.path.format(doctor_id=doctor)
        await self._client.connections.send(attempt, road, read, self._admin.headers, path=path, params=params or {})
        return [row for row in found if row.doctor_id == doctor] if attempt.outcome == "ok" else None

    async def _free_times(self, doctor: int, day: date) -> list[SlotTold]:
        found: list[SlotTold] = []

        def read(attempt: Attempt, reply: Reply) -> Outcome:
            if reply.status == 200:
                found.extend(msgspec.json.decode(reply.content, type=SlotsTold).items)
            return outcome_of(reply.status)

        asked = {"doctorId": doctor, "from": f"{day}T00:00:00Z", "to": f"{day}T23:00:00Z", "limit": 100}
        attempt = self._client.connections.attempt(self._process, "look_around", 0, GUEST)
        await self._client.connections.send(attempt, roads.LIST_SLOTS, read, {}, params=asked)
        return found

    async def _book(self, slots: Sequence[SlotTold]) -> list[tuple[Attempt, Held]]:
        wanted = [self._random.choice(slots).id for _ in range(PATIENTS if slots else 0)]
        made = await asyncio.gather(*(self._hold(slot_id) for slot_id in wanted))
        return [one for one in made if one is not None]

    async def _see_to_all(self, booked: Sequence[tuple[Attempt, Held]]) -> None:
        await asyncio.gather(*(self._see_to(*one) for one in booked))

    async def _hold(self, slot_id: int) -> tuple[Attempt, Held] | None:
        made = await self._client.hold(self._process, GUEST, slot_id, at_once=self._random.random() < 0.3)
        booking = held(made)
        return None if booking is None else (made, booking)

    async def _see_to(self, hold: Attempt, booking: Held) -> None:
        """Some confirm, some cancel, some leave it."""
        chance = self._random.random()
        if chance < 0.5 and not hold.at_once:
            await self._client.confirm(hold, booking)
        elif chance < 0.7:
            await self._client.cancel(hold, booking, self._admin)
