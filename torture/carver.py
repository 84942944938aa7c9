"""The load of open time: patients carve visits of different lengths out of a doctor's windows, while hours, closures
and published slots change what is free."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from torture import roads
from torture.client import GUEST, Caller, Client, Held, Reply, outcome_of
from torture.clinic import BARRED, CARVED, FOR_DESK
from torture.history import Attempt, Change, Offer, Outcome, Purpose, Visit
from torture.page_client import Browser, headers_of, held_somehow, open_offers_in
from torture.patients import CONTENDERS, Stop, new_click, new_key, until_told
from torture.scheduler import PAUSE_SECONDS, Scheduler

Booked: TypeAlias = tuple[Attempt, Held]
# Of each doctor.
ROUNDS = 8
# So many that most races are for a day without visits: there, nothing but the window keeps two visits apart.
DAYS = 14
HOURS = (("09:00", "12:00"), ("09:30", "12:30"), ("10:00", "13:00"))
STEP_MINUTES = 5
# On days without a disturbance, at the same time.
RACES = 3
# Patients who look for a time of their own, beside those who race.
PATIENTS = 4
# And those who come after the disturbance, and choose from what was offered before it.
LATE_PATIENTS = 2
# And those who ask for what only the desk was offered.
OVERREACHING = 4
# How long they think about what they read, at most: meanwhile its hours may end.
THINKING_SECONDS = 0.5
# How often a change is tried if visits that were booked since make its preview old.
CHANGE_TRIES = 3
# Of the confirmed visits of a doctor; the others are cancelled, so that there is time for new ones.
KEPT = 6


class TimeTold(Struct, frozen=True, rename="camel"):
    time_id: str
    start_time: datetime
    end_time: datetime
    visit_type_id: int | None
    slot_id: int | None


class TimesTold(Struct, frozen=True):
    items: list[TimeTold]


class Carver(Scheduler):
    """Gives doctors open time. Sixteen clients at a time want the same visit or overlapping ones. No other client uses
    these doctors."""

    def __init__(
        self, process: int, seed: int, client: Client, admin: Caller, staff: Caller, callers: Sequence[Caller]
    ) -> None:  # fmt: skip
        super().__init__(process, seed, client, admin, staff)
        self._callers = callers
        self._browser = Browser(client.connections)
        # Confirmed visits that may be cancelled, and published slots that may be closed.
        self._booked: list[Booked] = []
        self._published: list[int] = []

    async def live(self, stop: Stop) -> None:
        while not stop.now:
            doctor = await self._open()
            if doctor is None:
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                await self._practise_on(doctor, stop)

    async def _open(self) -> int | None:
        """A new doctor with open time; None if a fault is in the way."""
        self._booked, self._published = [], []
        self._doctor = await self._hire("Dr. Open")
        if self._doctor is None:
            return None
        opened = await self._apply(self._admin, addRules=[self._open_hours(self._doctor)])
        return self._doctor if opened is not None and opened.outcome == "ok" else None

    def _open_hours(self, doctor: int) -> dict[str, Any]:
        opens, closes = self._random.choice(HOURS)
        last_day = self._first_day + timedelta(days=DAYS - 1)
        return {
            "doctorId": doctor, "firstDay": self._first_day.isoformat(), "lastDay": last_day.isoformat(),
            "weekdays": list(range(1, 8)), "periods": [{"from": opens, "to": closes}], "kind": "WINDOW",
            "stepMinutes": STEP_MINUTES,
            "visitTypeIds": [self._client.connections.visit_types[kind] for kind in CARVED | FOR_DESK],
        }  # fmt: skip

    async def _practise_on(self, doctor: int, stop: Stop) -> None:
        for number in range(ROUNDS):
            if stop.now:
                break
            disturb = self._random.choice(DISTURBANCES) if number else Carver._leave_alone
            day = self._day()
            # Read before the disturbance, so that some come too late for what they were offered.
            offers = await self._offers(doctor, day, GUEST)
            await asyncio.gather(
                self._race(offers), disturb(self, doctor, day), *(self._come(doctor, day) for _ in range(PATIENTS)),
                *(self._look_and_race(doctor) for _ in range(RACES)), self._overreach(doctor),
            )  # fmt: skip
            # Who has read the list before the disturbance may find that the hours have ended.
            await asyncio.gather(*(self._choose(offers, GUEST) for _ in range(LATE_PATIENTS)))
            await self._make_time()
            await asyncio.sleep(PAUSE_SECONDS * self._random.random())
        await self._go_away(doctor)

    def _day(self) -> date:
        return self._first_day + timedelta(days=self._random.randrange(DAYS))

    async def _offers(self, doctor: int, day: date, caller: Caller) -> list[Offer]:
        told: list[TimeTold] = []

        def read(attempt: Attempt, reply: Reply) -> Outcome:
            if reply.status == 200:
                told.extend(msgspec.json.decode(reply.content, type=TimesTold).items)
            return outcome_of(reply.status)

        asked = {"doctorId": doctor, "from": f"{day}T00:00:00Z", "to": f"{day}T23:00:00Z", "limit": 200}
        attempt = self._client.connections.attempt(self._process, "look_around", 0, caller)
        await self._client.connections.send(attempt, roads.LIST_TIMES, read, caller.headers, params=asked)
        return [self._offer(doctor, time, attempt.began_at, to_desk=caller.name == self._admin.name) for time in told]

    async def _offers_on_page(self, doctor: int, day: date, caller: Caller) -> list[Offer]:
        """The page for one kind of visit. If the day has no time for it, the page shows another day."""
        kind: Visit = self._random.choice(list(CARVED))
        told: dict[str, float] = {}

        def read(attempt: Attempt, reply: Reply) -> Outcome:
            if reply.status == 200:
                told.update(open_offers_in(reply.content.decode()))
            return outcome_of(reply.status)

        asked = {"doctor": doctor, "day": day.isoformat(), "visit": self._client.connections.visit_types[kind]}
        attempt = self._client.connections.attempt(self._process, "look_around", 0, caller)
        await self._client.connections.send(attempt, roads.FIND_PAGE, read, headers_of(caller.cookies), params=asked)
        minutes, buffer = CARVED[kind]["minutes"], CARVED[kind]["bufferMinutes"]
        return [
            Offer(time_id, doctor, begin, begin + 60.0 * minutes, 60.0 * buffer, attempt.began_at)
            for time_id, begin in told.items()
        ]

    def _offer(self, doctor: int, time: TimeTold, offered_at: float, *, to_desk: bool) -> Offer:
        kinds = {self._client.connections.visit_types[kind]: kind for kind in CARVED | FOR_DESK}
        kind = kinds.get(time.visit_type_id or 0)
        buffer = (CARVED | FOR_DESK)[kind]["bufferMinutes"] if kind else 0
        return Offer(
            time.time_id, doctor, time.start_time.timestamp(), time.end_time.timestamp(), 60.0 * buffer, offered_at,
            time.slot_id, BARRED.get(kind) if kind else None, to_desk,
        )  # fmt: skip

    async def _look_and_race(self, doctor: int) -> None:
        look = self._random.choice((self._offers, self._offers, self._offers_on_page))
        await self._race(await look(doctor, self._day(), GUEST))

    async def _race(self, offers: Sequence[Offer]) -> None:
        """All ask at the same instant, for one time or for those that overlap it."""
        if not offers:
            return
        target = self._random.choice(offers)
        near = [each for each in offers if each.begin < target.busy_until and target.begin < each.busy_until]
        wanted = [target if self._random.random() < 0.3 else self._random.choice(near) for _ in range(CONTENDERS)]
        await asyncio.gather(*(self._contend(offer) for offer in wanted))

    async def _contend(self, offer: Offer) -> None:
        road = self._random.choices(ROADS, (5, 3, 2))[0] if offer.slot_id is None else Carver._by_api
        await self._settle(await road(self, offer, self._random.choice(self._callers), "race"))

    async def _by_api(self, offer: Offer, caller: Caller, purpose: Purpose) -> Attempt:
        at_once = self._random.random() < 0.3
        first = await self._client.hold_offered(
            self._process, caller, offer, at_once=at_once, key=new_key(), purpose=purpose
        )
        return await until_told(first, lambda: self._client.repeat(first, caller), self._random)

    async def _by_page(self, offer: Offer, caller: Caller, purpose: Purpose) -> Attempt:
        """Some click twice, which makes one hold."""
        click, marker = new_click(), self._client.new_marker()

        async def hold() -> Attempt:
            return await self._browser.hold_offered(self._process, caller, offer, click, marker, purpose)

        clicks = await asyncio.gather(*(hold() for _ in range(self._random.choice((1, 1, 2)))))
        return await until_told(clicks[-1], hold, self._random)

    async def _by_desk(self, offer: Offer, _: Caller, purpose: Purpose) -> Attempt:
        """By telephone. Some press the button twice, which makes one booking."""
        key, marker = new_key(), self._client.new_marker()

        async def book() -> Attempt:
            return await self._browser.book_offered(self._process, self._admin, offer, key, marker, purpose)

        presses = await asyncio.gather(*(book() for _ in range(self._random.choice((1, 1, 2)))))
        return await until_told(presses[-1], book, self._random)

    async def _come(self, doctor: int, day: date) -> None:
        caller = self._random.choice(self._callers)
        look = self._random.choice((self._offers, self._offers_on_page))
        offers = await look(doctor, day, caller)
        await asyncio.sleep(THINKING_SECONDS * self._random.random())
        await self._choose(offers, caller)

    async def _overreach(self, doctor: int) -> None:
        """Patients who were sent the desk's list ask for what is not for them."""
        offers = await self._offers(doctor, self._day(), self._admin)
        barred = [offer for offer in offers if offer.barred]
        patients = [caller for caller in self._callers if caller.name != self._admin.name]
        await asyncio.gather(*(self._choose(barred, self._random.choice(patients)) for _ in range(OVERREACHING)))

    async def _choose(self, offers: Sequence[Offer], caller: Caller) -> None:
        """A patient holds one of these times and decides; sometimes without a key, or with one that is used twice."""
        if not offers:
            return
        offer = self._random.choice(offers)
        if offer.slot_id is None and self._random.random() < 0.5:
            road = Carver._by_desk if not offer.barred and self._random.random() < 0.25 else Carver._by_page
            await self._settle(await road(self, offer, caller, "flow"))
            return
        key = new_key() if self._random.random() < 0.7 else None
        first = await self._client.hold_offered(self._process, caller, offer, key=key)
        if key is None:
            await self._settle(first)
            return
        attempt = await until_told(first, lambda: self._client.repeat(first, caller), self._random)
        if self._random.random() < 0.4:
            other = self._random.choice([each for each in self._callers if each.name != caller.name])
            await self._client.repeat(first, caller)
            await self._client.repeat(first, caller, "other_body")
            await self._settle(await self._client.repeat(first, other, "other_caller"))
        await self._settle(attempt)

    async def _settle(self, hold: Attempt) -> None:
        """Some confirm, some cancel, some do both at once, some leave it until it expires."""
        booking = held_somehow(hold)
        if booking is None:
            return
        act = self._random.choices(ENDINGS, (8, 5, 2, 2, 4))[0]
        await act(self, hold, booking)

    async def _keep(self, hold: Attempt, booking: Held) -> None:
        if not hold.at_once:
            confirm = self._browser.confirm if hold.nameless else self._client.confirm
            await confirm(hold, booking)
        self._booked.append((hold, booking))

    async def _cancel(self, hold: Attempt, booking: Held) -> None:
        """Repeat until there is an answer: a visit that stays is in the way of others."""

        async def cancel() -> Attempt:
            return await self._client.cancel(hold, booking)

        await until_told(await cancel(), cancel, self._random)

    async def _confirm_and_cancel_at_once(self, hold: Attempt, booking: Held) -> None:
        await asyncio.gather(self._client.confirm(hold, booking), self._client.cancel(hold, booking))
        await self._cancel(hold, booking)

    async def _cancel_often(self, hold: Attempt, booking: Held) -> None:
        await asyncio.gather(*(self._cancel(hold, booking) for _ in range(3)))

    async def _let_expire(self, hold: Attempt, booking: Held) -> None:
        await self._client.read_booking(hold, booking)

    async def _go_away(self, doctor: int) -> None:
        """All days are closed and stay so, however early the load ends. Some ask for what they were offered before."""
        offers = await self._offers(doctor, self._day(), GUEST)
        begin, end = self._first_day, self._first_day + timedelta(days=DAYS)
        absence = {"doctorId": doctor, "startTime": f"{begin}T00:00:00Z", "endTime": f"{end}T00:00:00Z"}
        decision = self._random.choice(("KEEP", "CANCEL"))
        await self._change(self._staff, addClosures=[absence], decision=decision, message="Away.")
        await asyncio.gather(*(self._choose(offers, GUEST) for _ in range(CONTENDERS)))

    async def _make_time(self) -> None:
        self._random.shuffle(self._booked)
        ended, self._booked = self._booked[KEPT:], self._booked[:KEPT]
        await asyncio.gather(*(self._cancel(*one) for one in ended))

    async def _leave_alone(self, doctor: int, day: date) -> None:
        """No disturbance: patients have only each other to fear."""

    async def _close_an_hour(self, doctor: int, day: date) -> None:
        """Close it while patients book, and mostly open it again while others do."""
        hour = self._random.choice((9, 10, 11))
        absence = {"doctorId": doctor, "startTime": f"{day}T{hour:02}:10:00Z", "endTime": f"{day}T{hour + 1:02}:10:00Z"}
        decision = self._random.choice(("KEEP", "CANCEL"))
        await self._change(self._staff, addClosures=[absence], decision=decision, message="Away.")
        if self._random.random() < 0.8:
            period = {"from": f"{day}T00:00:00Z", "to": f"{day}T23:00:00Z"}
            closures = await self._list(roads.LIST_CLOSURES, doctor, params=period)
            await self._change(self._admin, removeClosures=closures)

    async def _change_open_hours(self, doctor: int, day: date) -> None:  # noqa: ARG002 - as its siblings
        rules = await self._list(roads.LIST_RULES, doctor)
        decision = self._random.choice(("KEEP", "CANCEL"))
        await self._change(self._admin, addRules=[self._open_hours(doctor)], removeRules=rules, decision=decision)

    async def _change(self, by: Caller, **change: Any) -> None:
        for _ in range(CHANGE_TRIES):
            done = await self._apply(by, **change)
            if done is None or done.outcome != "fail":
                break

    async def _publish_a_slot(self, doctor: int, day: date) -> None:
        """A slot by hand, in the middle of open time. It is refused if a visit is there."""
        minute = 60 * 9 + STEP_MINUTES * self._random.randrange(40)
        start = f"{day}T{minute // 60:02}:{minute % 60:02}:00Z"
        body = {"doctorId": doctor, "startTime": start, "durationMinutes": self._random.choice((15, 30))}
        made = await self._client.publish(self._process, self._admin, roads.CREATE_SLOT, body)
        if made.slot_id:
            self._published.append(made.slot_id)

    async def _close_a_slot(self, doctor: int, day: date) -> None:
        """One that was published by hand. Its time is open again."""
        if not self._published:
            await self._publish_a_slot(doctor, day)
            return
        slot_id = self._published.pop(self._random.randrange(len(self._published)))
        change = Change(status="CLOSED")
        await self._client.change_slot(self._process, self._admin, slot_id, change, "", doctor)


Disturbance: TypeAlias = Callable[[Carver, int, date], Awaitable[None]]
Way: TypeAlias = Callable[[Carver, Offer, Caller, Purpose], Awaitable[Attempt]]
Ending: TypeAlias = Callable[[Carver, Attempt, Held], Awaitable[None]]
DISTURBANCES: Sequence[Disturbance] = (
    Carver._leave_alone, Carver._close_an_hour, Carver._close_an_hour, Carver._change_open_hours,
    Carver._publish_a_slot, Carver._close_a_slot,
)  # fmt: skip
# As often as `_contend` says.
ROADS: Sequence[Way] = (Carver._by_api, Carver._by_page, Carver._by_desk)
# As often as `_settle` says.
ENDINGS: Sequence[Ending] = (
    Carver._keep, Carver._cancel, Carver._confirm_and_cancel_at_once, Carver._cancel_often, Carver._let_expire,
)  # fmt: skip
