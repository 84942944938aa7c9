"""The load of visit types whose length and buffer change, and of hours that get others of them, while patients book."""

import asyncio
from collections.abc import Sequence
from typing import Any

from torture import roads
from torture.client import GUEST, Held, held, read_json
from torture.history import Attempt, Visit
from torture.patients import Stop
from torture.readers import SlotTold
from torture.scheduler import PAUSE_SECONDS, Scheduler

KINDS: tuple[Visit, ...] = ("brief", "roomy")
FIRST_MINUTES = 30
# Of the second one.
FIRST_BUFFER = 20
# What a round does, in turn: other types for the hours, or another length and buffer.
STEPS = ("types", "lengths", "types", "lengths")
LENGTHS = (20, 30, 45)
BUFFERS = (0, 10, 20, 30)


class Lengthener(Scheduler):
    """Gives a doctor a day of times for visits with and without a buffer, and changes the lengths of both, and which of
    them the hours have. Patients book meanwhile. A booked visit keeps its buffer. No other hours have these types."""

    async def live(self, stop: Stop) -> None:
        # The doctors whose hours may still be there, because a fault has kept them.
        left: list[int] = []
        while not stop.now:
            await stop.patients_go.wait()
            doctor = await self._open_hours(left, breaks=self._random.choice((0, FIRST_BUFFER)))
            if doctor is not None:
                await self._practise_on(doctor, stop)
                await self._end_hours(left)
            await asyncio.sleep(PAUSE_SECONDS)
        await self._leave_visits(left)

    async def _begin_with_first_lengths(self) -> bool:
        """Change the types themselves, which is refused as long as hours have them. False if it was not done."""
        changed = [await self._change_type(kind, buffer) for kind, buffer in zip(KINDS, (0, FIRST_BUFFER), strict=True)]
        return all(attempt.outcome == "ok" for attempt in changed)

    async def _change_type(self, kind: Visit, buffer: int) -> Attempt:
        attempt = self._client.connections.attempt(self._process, "publish", 0, self._admin)
        path = roads.UPDATE_VISIT_TYPE.path.format(visit_type_id=self._type(kind))
        body = {"minutes": FIRST_MINUTES, "bufferMinutes": buffer}
        return await self._client.connections.send(
            attempt, roads.UPDATE_VISIT_TYPE, read_json, self._admin.headers, path=path, json=body
        )

    async def _leave_visits(self, left: list[int]) -> None:
        """Some visits with a buffer, whose hours no longer have it, so that the verdict sees what that has left. With
        a break as long as the buffer, the times stay the same."""
        doctor = await self._open_hours(left, breaks=FIRST_BUFFER)
        if doctor is None:
            return
        for slot in await self._free_times(doctor, self._first_day):
            await self._client.hold(self._process, GUEST, slot.id, at_once=True, visit="roomy")
        for rule in await self._list(roads.LIST_RULES, doctor):
            await self._apply(self._admin, changeRules=[{"id": rule, "visitTypeIds": [self._type("brief")]}])

    async def _open_hours(self, left: list[int], *, breaks: int) -> int | None:
        """Of a new doctor, for both types. None as long as other hours have them, or if a fault is in the way."""
        await self._end_hours(left)
        if left or not await self._begin_with_first_lengths():
            return None
        doctor = await self._hire("Dr. Longer")
        if doctor is None:
            return None
        left.append(doctor)
        day = self._first_day.isoformat()
        hours = {"weekdays": [self._first_day.isoweekday()], "periods": [{"from": "09:00", "to": "13:00"}]}
        rule = {"doctorId": doctor, "firstDay": day, "lastDay": day, "totalSeats": 2, "breakMinutes": breaks, **hours}
        types = {"durationMinutes": FIRST_MINUTES, "visitTypeIds": [self._type(kind) for kind in KINDS]}
        await self._apply(self._admin, addRules=[rule | types])
        return doctor

    async def _end_hours(self, left: list[int]) -> None:
        """A doctor stays among those left unless an answer says that there are no hours any more."""
        for doctor in [*left]:
            if await self._has_no_hours(doctor):
                left.remove(doctor)

    async def _has_no_hours(self, doctor: int) -> bool:
        """After removing them."""
        rules = await self._rows_if_told(roads.LIST_RULES, doctor)
        if rules:
            decision = self._random.choice(("KEEP", "CANCEL"))
            done = await self._apply(self._admin, removeRules=[rule.id for rule in rules], decision=decision)
            return done is not None and done.outcome == "ok"
        return rules is not None

    def _type(self, kind: Visit) -> int:
        return self._client.connections.visit_types[kind]

    async def _practise_on(self, doctor: int, stop: Stop) -> None:
        for step in STEPS:
            if not stop.now:
                await self._change(doctor, step)

    async def _change(self, doctor: int, step: str) -> None:
        rules = await self._list(roads.LIST_RULES, doctor)
        if not rules:
            return
        slots = await self._free_times(doctor, self._first_day)
        booked = await self._visit(slots)
        change = self._other_types(rules[0]) if step == "types" else self._other_lengths()
        change["decision"] = self._random.choice(("KEEP", "CANCEL"))
        more, _, _ = await asyncio.gather(
            self._visit(slots), self._apply(self._admin, **change), self._see_to_all(booked)
        )
        await self._see_to_all(more)

    def _other_types(self, rule: int) -> dict[str, Any]:
        kinds = self._random.choice((KINDS[:1], KINDS[:1], KINDS[1:], KINDS))
        return {"changeRules": [{"id": rule, "visitTypeIds": [self._type(kind) for kind in kinds]}]}

    def _other_lengths(self) -> dict[str, Any]:
        """Both have the same length, because they may have the same hours."""
        minutes = self._random.choice(LENGTHS)
        lengths = [
            {"visitTypeId": self._type(kind), "minutes": minutes, "bufferMinutes": self._random.choice(BUFFERS)}
            for kind in KINDS
        ]
        return {"changeLengths": lengths}

    async def _visit(self, slots: Sequence[SlotTold]) -> list[tuple[Attempt, Held]]:
        """Most with a buffer. Where the hours no longer have the type of a visit, it is refused."""
        wanted = [self._random.choice(slots) for _ in range(4 if slots else 0)]
        made = await asyncio.gather(
            *(
                self._client.hold(
                    self._process, GUEST, slot.id, at_once=self._random.random() < 0.5,
                    visit=self._random.choice(("brief", "roomy", "roomy")),
                )
                for slot in wanted
            )
        )  # fmt: skip
        return [(one, booking) for one in made if (booking := held(one)) is not None]
