"""The load of patients: they hold, confirm, cancel, retry, give up, come too late, and race for the last seats."""

import asyncio
import itertools
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from random import Random
from typing import TypeAlias

import msgspec

from torture.client import GUEST, Caller, Client, Held, held
from torture.history import Attempt, Visit
from torture.page_client import Browser, held_by_page

CONTENDERS = 16
TRIES = 6
PAUSE_SECONDS = 0.3

Flow: TypeAlias = Callable[["Patient"], Awaitable[None]]
Act: TypeAlias = Callable[[Attempt, Held], Awaitable[Attempt]]


class Stop:
    """Tells clients to stop when enough was done or time is up, and which of them must wait for the others."""

    def __init__(self) -> None:
        self.now = False
        self.patients_go = asyncio.Event()
        self.racers_go = asyncio.Event()

    def end(self) -> None:
        self.now = True
        self.patients_go.set()
        self.racers_go.set()


# Holds that the desk may confirm and cancel too.
Recent: TypeAlias = "deque[tuple[Attempt, Held]]"


class Patient:
    """One client process in Jepsen's sense: it does one thing after the other."""

    def __init__(
        self, process: int, seed: int, client: Client, caller: Caller, others: Sequence[Caller], slots: Sequence[int],
        recent: Recent, desk: Caller, typed: frozenset[int],
    ) -> None:  # fmt: skip
        self.random = Random(f"{seed}/{process}")
        self._process = process
        self._client = client
        self._browser = Browser(client.connections)
        self._caller = caller
        self._others = [other for other in others if other.name != caller.name]
        self._slots = slots
        self._recent = recent
        self._desk = desk
        self._typed = sorted(typed)

    async def live(self, stop: Stop) -> None:
        flows, weights = zip(*FLOWS, strict=True)
        while not stop.now:
            await stop.patients_go.wait()
            await self.random.choices(flows, weights)[0](self)

    async def book_and_cancel(self) -> None:
        attempt, booking = await self._hold(at_once=True, key=new_key())
        if booking is not None:
            await self._settled(self._client.cancel, attempt, booking)

    async def hold_confirm_and_cancel(self) -> None:
        attempt, booking = await self._hold(key=self._perhaps_key())
        if booking is not None:
            await self._settled(self._client.confirm, attempt, booking)
            await self._settled(self._client.cancel, attempt, booking)

    async def give_up(self) -> None:
        """Let the hold expire. A lost answer is not asked for again: the tables will show it."""
        attempt = await self._client.hold(self._process, self._caller, self._slot(), seats=self._seats())
        booking = held(attempt)
        if booking is not None:
            self._recent.append((attempt, booking))

    async def come_too_late(self) -> None:
        attempt, booking = await self._hold()
        if booking is not None and booking.expires_at is not None:
            await asyncio.sleep(max(0.0, _timestamp(booking.expires_at) - attempt.ended_at) + 0.01)
            await self._client.confirm(attempt, booking)

    async def confirm_and_cancel_at_once(self) -> None:
        attempt, booking = await self._hold()
        if booking is not None:
            await asyncio.gather(self._client.confirm(attempt, booking), self._client.cancel(attempt, booking))
            await self._settled(self._client.cancel, attempt, booking)

    async def cancel_often(self) -> None:
        attempt, booking = await self._hold(key=self._perhaps_key())
        if booking is not None:
            await asyncio.gather(*(self._client.cancel(attempt, booking) for _ in range(3)))
            await self._settled(self._client.cancel, attempt, booking)

    async def ask_again(self) -> None:
        """The same key again: with the same body, with another body, and from another caller."""
        attempt, booking = await self._hold(key=new_key())
        if attempt.outcome == "info":
            return
        if self.random.random() < 0.5:
            await self._client.repeat(attempt, self._caller)
        else:
            await self._client.repeat(attempt, self._caller, "other_body")
        other = await self._client.repeat(attempt, self.random.choice(self._others), "other_caller")
        for hold, made in ((attempt, booking), (other, held(other))):
            if made is not None:
                await self._settled(self._client.cancel, hold, made)

    async def ask_twice_at_once(self) -> None:
        """An impatient client: the same request twice, before the first is answered."""
        key, slot_id, marker = new_key(), self._slot(), self._client.new_marker()
        attempts = await asyncio.gather(
            *(
                self._client.hold(self._process, self._caller, slot_id, at_once=True, key=key, marker=marker)
                for _ in range(2)
            )
        )
        for attempt in attempts:
            booking = held(attempt)
            if booking is not None:
                await self._settled(self._client.cancel, attempt, booking)

    async def look_at_what_was_done(self) -> None:
        attempt, booking = await self._hold()
        if booking is None:
            return
        await self._client.read_booking(attempt, booking)
        for change in (self._client.confirm, self._client.cancel):
            await self._settled(change, attempt, booking)
            await self._client.read_booking(attempt, booking)

    async def fill_in_the_form(self) -> None:
        """On the pages: hold a time, type a name and confirm, and cancel by the link."""
        hold, booking = await self._hold_on_page()
        if booking is not None:
            await self._client.read_booking(hold, booking)
            await self._settled(self._browser.confirm, hold, booking)
            await self._settled(self._browser.cancel, hold, booking)

    async def change_the_seats(self) -> None:
        """Change a hold's seats once or twice; it was made by page or API. Then release or confirm the new hold."""
        by_page = self.random.random() < 0.7
        hold, booking = await (self._hold_on_page() if by_page else self._hold())
        for _ in range(self.random.choice((1, 1, 2))):
            if booking is None:
                return
            await self._client.read_booking(hold, booking)
            hold, booking = await self._with_other_seats(hold, booking)
        if booking is not None:
            await self._client.read_booking(hold, booking)
            await self.random.choice((self._browser.confirm, self._browser.release, self._client.confirm))(
                hold, booking
            )
            await self._settled(self._client.cancel, hold, booking)

    async def confirm_the_form_too_late(self) -> None:
        hold, booking = await self._hold_on_page()
        told = await self._client.read_booking(hold, booking) if booking else None
        if booking is not None and told is not None and told.answer is not None and told.answer.expires_at is not None:
            await asyncio.sleep(max(0.0, told.answer.expires_at.timestamp() - told.ended_at) + 0.01)
            await self._browser.confirm(hold, booking)

    async def leave_the_page(self) -> None:
        """Leave the hold: it expires, or the desk confirms or cancels it."""
        hold, booking = await self._hold_on_page()
        if booking is not None:
            self._recent.append((hold, booking))

    async def come_twice(self) -> None:
        """Ask at once for two visits of which a patient may have one, and for another when that one is cancelled. With
        an account, the visits that its other users ask for count too."""
        has_account = self._caller.name not in {GUEST.name, self._desk.name} and self.random.random() < 0.5
        by = self._caller if has_account else GUEST
        patient = by.name if has_account else self._client.new_marker()
        slots = self.random.sample(self._typed, 2)
        for asked in (slots, slots[:1]):
            made = await asyncio.gather(*(self._hold_visit("single", slot_id, patient, by) for slot_id in asked))
            for attempt, booking in made:
                if booking is not None:
                    await self._perhaps_confirm(attempt, booking)
                    await self._settled(self._client.cancel, attempt, booking)

    async def cancel_too_late(self) -> None:
        """Book a visit that patients cannot cancel, and try it. Then the desk cancels it."""
        attempt, booking = await self._hold_visit("firm", self.random.choice(self._typed))
        if booking is not None:
            await self._perhaps_confirm(attempt, booking)
            await self._settled(self.random.choice((self._client, self._browser)).cancel, attempt, booking)
            await self._settled(self._cancel_at_desk, attempt, booking)

    async def _hold_visit(
        self, visit: Visit, slot_id: int, patient: str | None = None, by: Caller = GUEST
    ) -> tuple[Attempt, Held | None]:
        attempt = await self._client.hold(
            self._process, by, slot_id, at_once=self.random.random() < 0.5, key=new_key(), visit=visit,
            patient=patient,
        )  # fmt: skip
        attempt = await until_told(attempt, lambda: self._client.repeat(attempt, by), self.random)
        return attempt, held(attempt)

    async def _perhaps_confirm(self, hold: Attempt, booking: Held) -> None:
        if not hold.at_once and self.random.random() < 0.7:
            await self._settled(self._client.confirm, hold, booking)

    async def _cancel_at_desk(self, hold: Attempt, booking: Held) -> Attempt:
        return await self._client.cancel(hold, booking, self._desk)

    async def _hold_on_page(self) -> tuple[Attempt, Held | None]:
        """Hold on the page, and click again while the outcome is unknown."""
        click, marker = new_click(), self._client.new_marker()
        slot_id, seats = self._slot(), self._seats()
        visit: Visit | None = "lenient" if slot_id in self._typed else None

        async def hold() -> Attempt:
            return await self._browser.hold(self._process, self._caller, slot_id, seats, click, marker, visit)

        attempt = await until_told(await hold(), hold, self.random)
        return attempt, held_by_page(attempt)

    async def _with_other_seats(self, hold: Attempt, booking: Held) -> tuple[Attempt, Held | None]:
        """The new hold; None if its outcome is unknown. If the change is refused, the old hold."""
        click, seats = new_click(), self.random.choice([seats for seats in (1, 2, 3) if seats != hold.seats])

        async def change() -> Attempt:
            return await self._browser.change_seats(hold, booking, seats, click)

        attempt = await until_told(await change(), change, self.random)
        return (hold, booking) if attempt.outcome == "fail" else (attempt, held_by_page(attempt))

    async def _hold(self, *, at_once: bool = False, key: str | None = None) -> tuple[Attempt, Held | None]:
        """A hold and its booking. With a key, the request is repeated while its outcome is unknown."""
        slot_id = self._slot()
        attempt = await self._client.hold(
            self._process, self._caller, slot_id, seats=self._seats(), at_once=at_once, key=key,
            visit=self._perhaps_visit(slot_id),
        )  # fmt: skip
        if key is not None:
            attempt = await until_told(attempt, lambda: self._client.repeat(attempt, self._caller), self.random)
        return attempt, held(attempt)

    async def _settled(self, act: Act, hold: Attempt, booking: Held) -> Attempt:
        """Repeat the act while its outcome is unknown. Confirm and cancel are idempotent."""
        return await until_told(await act(hold, booking), lambda: act(hold, booking), self.random)

    def _slot(self) -> int:
        return self.random.choice(self._slots)

    def _seats(self) -> int:
        return self.random.choice((1, 1, 1, 2, 3))

    def _perhaps_visit(self, slot_id: int) -> Visit | None:
        """Sometimes a visit type, and sometimes the one that only the desk can book now."""
        if slot_id not in self._typed:
            return None
        return self.random.choices((None, "lenient", "strict"), (5, 4, 1))[0]

    def _perhaps_key(self) -> str | None:
        return new_key() if self.random.random() < 0.5 else None


FLOWS: Sequence[tuple[Flow, int]] = (
    (Patient.book_and_cancel, 50),
    (Patient.hold_confirm_and_cancel, 30),
    (Patient.give_up, 6),
    (Patient.come_too_late, 2),
    (Patient.confirm_and_cancel_at_once, 6),
    (Patient.cancel_often, 3),
    (Patient.ask_again, 5),
    (Patient.ask_twice_at_once, 6),
    (Patient.look_at_what_was_done, 4),
    (Patient.fill_in_the_form, 4),
    (Patient.change_the_seats, 5),
    (Patient.confirm_the_form_too_late, 1),
    (Patient.leave_the_page, 2),
    (Patient.come_twice, 6),
    (Patient.cancel_too_late, 4),
)


class LastSeats:
    """Sixteen clients that want the last one to three seats of a slot at the same instant, again and again."""

    def __init__(self, process: int, seed: int, client: Client, slots: Sequence[int]) -> None:
        self.races = 0
        self._random = Random(f"{seed}/races/{process}")
        self._process = process
        self._client = client
        self._slots = itertools.cycle(slots)

    async def live(self, stop: Stop, enough: int) -> None:
        while not stop.now and self.races < enough:
            await stop.racers_go.wait()
            await self.race(next(self._slots), stop)

    async def race(self, slot_id: int, stop: Stop) -> None:
        attempts = await asyncio.gather(
            *(
                self._client.hold(self._process + place, GUEST, slot_id, at_once=True, key=new_key(), purpose="race")
                for place in range(CONTENDERS)
            )
        )
        self.races += all(attempt.outcome != "info" for attempt in attempts) and any(map(held, attempts))
        await asyncio.gather(*(self._leave(attempt, stop) for attempt in attempts))

    async def _leave(self, attempt: Attempt, stop: Stop) -> None:
        """Give the seat back, if there is one, so that the next race can use the slot. Repeat until there is an answer:
        a seat that stays booked is lost for all later races."""
        tries = itertools.takewhile(lambda _: not stop.now, itertools.count())
        attempt = await until_told(attempt, lambda: self._client.repeat(attempt, GUEST), self._random, tries)
        booking = held(attempt)
        if booking is not None:

            async def cancel() -> Attempt:
                return await self._client.cancel(attempt, booking)

            await until_told(await cancel(), cancel, self._random, tries)


async def until_told(
    attempt: Attempt, again: Callable[[], Awaitable[Attempt]], random: Random, tries: Iterable[int] = range(TRIES)
) -> Attempt:
    """Repeat a request, with pauses, while its outcome is unknown."""
    for _ in tries:
        if attempt.outcome != "info":
            break
        await asyncio.sleep(PAUSE_SECONDS * (0.5 + random.random()))
        attempt = await again()
    return attempt


def new_key() -> str:
    return secrets.token_urlsafe(16)


def new_click() -> str:
    """A random click of the same length as the pages make; others are not accepted."""
    return secrets.token_urlsafe(18)


def _timestamp(text: str) -> float:
    return msgspec.convert(text, datetime).timestamp()
