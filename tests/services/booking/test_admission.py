"""Which requests are admitted when seats run out: the database's function and a model get the same random batches."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count
from typing import NamedTuple, TypeAlias

import asyncpg
import msgspec
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from torture.patching import mutate

from slotwise.domain.bookings import BookingStatus, SeatRequest
from slotwise.domain.errors import SlotClosed, SlotFull, SlotNotFound, SlotStarted
from slotwise.services.booking.batches import Held, HoldOutcome, HoldRequest
from slotwise.services.core.idempotency import IdempotencyKey
from tests.depth import many
from tests.model import Attempt, Model, OfferedSlot, Verdict, admit
from tests.workers import NOW, Worker, new_slot, violations, wanted, workers

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_examples = count(1)


class Planted(NamedTuple):
    """A slot: its free, booked and held seats, and those of overdue holds that are not swept yet."""

    free: int = 1
    booked: int = 0
    on_hold: int = 0
    overdue: tuple[int, ...] = ()
    is_open: bool = True
    doctor_active: bool = True
    started: bool = False

    @property
    def offered(self) -> OfferedSlot:
        return OfferedSlot(self.free + sum(self.overdue), self.is_open, self.doctor_active, self.started)


class Decided(NamedTuple):
    """What the database decided, and the free seats of each slot afterwards."""

    outcomes: list[HoldOutcome]
    free: dict[int, int]


class Clinic:
    """A worker that gets batches, and whose answers are compared with the model's."""

    def __init__(self, worker: Worker, connection: Connection) -> None:
        self.worker = worker
        self.connection = connection

    async def decide(self, slots: Sequence[Planted], *batches: Sequence[Attempt]) -> Decided:
        """Slots are named by their place, from 1 on. Batches run one after another."""
        example = next(_examples)
        ids = {number: await self.plant(slot) for number, slot in enumerate(slots, 1)}
        model = Model({number: slot.offered for number, slot in enumerate(slots, 1)})
        outcomes: list[HoldOutcome] = []
        first_answers: dict[object, Held] = {}
        for batch in batches:
            answers = await self.worker.batches.hold([_request(attempt, ids, example) for attempt in batch])
            assert [_said(answer) for answer in answers] == [_said(verdict) for verdict in model.hold(batch)]
            for (_, key), answer in zip(batch, answers, strict=True):
                if isinstance(answer, Held) and key is not None:
                    assert answer.replayed is (key in first_answers)
                    first = first_answers.setdefault(key, answer)
                    assert msgspec.structs.replace(answer, replayed=False) == first
            outcomes += answers
        touched = {attempt.wanted.slot_id for batch in batches for attempt in batch}
        free = {number: await self._free(ids[number]) for number in ids}
        for number, slot in enumerate(slots, 1):
            assert free[number] == (model.slots[number].free if number in touched else slot.free)
            assert await self._failed(ids[number]) == (len(slot.overdue) if number in touched else 0)
        return Decided(outcomes, free)

    async def plant(self, slot: Planted) -> int:
        """Book the slot as planned. Then let the overdue holds expire, set the start, and close what is closed."""
        total = slot.free + slot.booked + slot.on_hold + sum(slot.overdue)
        slot_id = await new_slot(self.connection, total)
        await self._hold(*(wanted(slot_id, seats, confirm=True) for seats in [slot.booked] if seats))
        await self._hold(*(wanted(slot_id, seats) for seats in [slot.on_hold] if seats))
        overdue = await self._hold(*(wanted(slot_id, seats) for seats in slot.overdue))
        await self.connection.execute(
            "UPDATE bookings SET expires_at = clock_timestamp() WHERE id = any($1::bigint[])", overdue
        )
        await self.connection.execute(
            "UPDATE appointment_slots SET status = $2, start_time = $3 WHERE id = $1",
            slot_id,
            "OPEN" if slot.is_open else "CLOSED",
            NOW + timedelta(days=-1 if slot.started else 1),
        )
        await self.connection.execute(
            "UPDATE doctors SET active = $2 WHERE id = (SELECT doctor_id FROM appointment_slots WHERE id = $1)",
            slot_id,
            slot.doctor_active,
        )
        return slot_id

    async def _hold(self, *requests: SeatRequest) -> list[int]:
        held = await self.worker.batches.hold([HoldRequest(request, "guest") for request in requests])
        return [outcome.booking.id for outcome in held if isinstance(outcome, Held)]

    async def _free(self, slot_id: int) -> int:
        free: int = await self.connection.fetchval(
            "SELECT available_seats FROM appointment_slots WHERE id = $1", slot_id
        )
        return free

    async def _failed(self, slot_id: int) -> int:
        failed: int = await self.connection.fetchval(
            "SELECT count(*) FROM bookings WHERE slot_id = $1 AND status = $2", slot_id, BookingStatus.FAILED
        )
        return failed


def _request(attempt: Attempt, ids: dict[int, int], example: int) -> HoldRequest:
    request, key = attempt
    named = None
    if key is not None:
        named = IdempotencyKey.of("guest", "POST /api/bookings", f"{example}-{key}", repr(request).encode())
    slot_id = ids.get(request.slot_id, 10**12 + request.slot_id)
    return HoldRequest(replace(request, slot_id=slot_id), "guest", named)


def _said(answer: HoldOutcome | Verdict) -> tuple[str, str] | None:
    """The code and text of a refusal; None for a hold."""
    return None if answer is None or isinstance(answer, Held) else (answer.code, answer.detail)


@asynccontextmanager
async def clinic_on(database_url: str) -> AsyncIterator[Clinic]:
    connection = await asyncpg.connect(database_url)
    async with workers(database_url, count=1) as [worker]:
        yield Clinic(worker, connection)
    await connection.close()


@pytest_asyncio.fixture
async def clinic(database_url: str) -> AsyncIterator[Clinic]:
    async with clinic_on(database_url) as clinic:
        yield clinic


def attempts(*requests: SeatRequest) -> list[Attempt]:
    return [Attempt(request) for request in requests]


# The database and the model.

few = st.integers(0, 4)
planted = st.builds(
    Planted,
    free=st.integers(0, 8),
    booked=few,
    on_hold=few,
    overdue=st.lists(st.integers(1, 3), max_size=3).map(tuple),
    is_open=st.sampled_from([True, True, True, False]),
    doctor_active=st.sampled_from([True, True, True, False]),
    started=st.sampled_from([False, False, False, True]),
).filter(lambda slot: slot.free + slot.booked + slot.on_hold + sum(slot.overdue) > 0)
requests = st.builds(wanted, slot_id=st.integers(1, 5), seats=st.integers(1, 6), confirm=st.booleans())
batches = st.lists(
    st.builds(Attempt, requests, st.none() | st.integers(1, 6)),
    max_size=20,
    # As in group commit: no key is twice in one batch.
    unique_by=lambda attempt: attempt.key or object(),
)


def test_the_database_admits_the_same_requests_and_seats_as_the_model(database_url: str) -> None:
    """Requests for one to six seats, some with a key, over slots in every state, batch after batch."""
    with asyncio.Runner() as runner:
        opened = clinic_on(database_url)
        clinic = runner.run(opened.__aenter__())

        @settings(max_examples=many(20, 200), deadline=None)
        @given(st.lists(planted, max_size=4), st.lists(batches, max_size=3))
        def agree(slots: list[Planted], batches: list[list[Attempt]]) -> None:
            runner.run(clinic.decide(slots, *batches))

        agree()
        assert runner.run(violations(clinic.worker.database)) == []
        runner.run(opened.__aexit__(None, None, None))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("free := free - wanted.seats;", ""),
        ("wanted.seats > free", "wanted.seats >= free"),
        ("w.slot_id, w.place\n    LOOP", "w.slot_id, w.place DESC\n    LOOP"),
        ("OR NOT d.active", ""),
        ("s.start_time <= clock", "FALSE"),
        ("WHEN k.body_hash = w.body_hash", "WHEN k.body_hash IS NOT NULL"),
        ("FROM expire_holds(slot_ids, 'booking')", "FROM expire_holds(slot_ids[1:1], 'booking')"),
    ],
)
async def test_the_model_detects_a_function_that_decides_differently(clinic: Clinic, old: str, new: str) -> None:
    """The negative control: each of these mistakes shows in at least one batch."""
    slots = [Planted(free=3), Planted(2, 0, 0, (2,)), Planted(doctor_active=False), Planted(started=True)]
    everything = [SeatRequest(number, seats) for seats in (2, 1, 2) for number in (1, 2, 3, 4, 5)]
    keyed = [Attempt(SeatRequest(1, seats), 1) for seats in (1, 2)]
    batches = [attempts(*everything), keyed[:1], keyed[1:]]
    await clinic.decide(slots, *batches)
    await mutate(clinic.connection, "hold_seats_3", old, new)
    with pytest.raises((AssertionError, asyncpg.PostgresError)):
        await clinic.decide(slots, *batches)


# Single rules.


async def test_a_smaller_request_succeeds_after_one_that_is_too_large(clinic: Clinic) -> None:
    decided = await clinic.decide([Planted(free=3)], attempts(SeatRequest(1, 2), SeatRequest(1, 2), SeatRequest(1, 1)))
    first, too_large, small = decided.outcomes
    assert isinstance(first, Held)
    assert isinstance(too_large, SlotFull)
    assert too_large.detail == "Only 1 seat is free"
    assert isinstance(small, Held)
    assert decided.free == {1: 0}


async def test_sold_out_is_said_only_if_no_seat_is_left(clinic: Clinic) -> None:
    slots = [Planted(free=0, booked=1), Planted(free=8)]
    full, some = (await clinic.decide(slots, attempts(SeatRequest(1, 1), SeatRequest(2, 9)))).outcomes
    assert isinstance(full, SlotFull)
    assert isinstance(some, SlotFull)
    assert "sold out" in full.detail
    assert some.detail == "Only 8 seats are free"


async def test_seats_of_overdue_holds_are_free_without_a_sweep(clinic: Clinic) -> None:
    slot = Planted(free=0, booked=1, on_hold=1, overdue=(2, 1))
    decided = await clinic.decide([slot], attempts(SeatRequest(1, 4), SeatRequest(1, 3), SeatRequest(1, 1)))
    assert [type(outcome) for outcome in decided.outcomes] == [SlotFull, Held, SlotFull]
    assert decided.free == {1: 0}


async def test_closed_is_refused_before_started_and_started_before_full(clinic: Clinic) -> None:
    slot = Planted(free=0, booked=1, started=True)
    slots = [slot._replace(is_open=False), slot._replace(doctor_active=False), slot]
    decided = await clinic.decide(slots, attempts(*(SeatRequest(number, 1) for number in (1, 2, 3, 4))))
    assert [type(outcome) for outcome in decided.outcomes] == [SlotClosed, SlotClosed, SlotStarted, SlotNotFound]


@pytest.mark.parametrize(("microseconds", "kind"), [(-1, SlotStarted), (0, SlotStarted), (1, Held)])
async def test_a_slot_has_started_at_its_start(clinic: Clinic, microseconds: int, kind: type) -> None:
    slot_id = await clinic.plant(Planted())
    start = await clinic.connection.fetchval("SELECT start_time FROM appointment_slots WHERE id = $1", slot_id)
    clock = start - timedelta(microseconds=microseconds)
    await mutate(clinic.connection, "hold_seats_3", "clock := clock_timestamp()", f"clock := timestamptz '{clock}'")
    [outcome] = await clinic.worker.batches.hold([HoldRequest(SeatRequest(slot_id, 1), "guest")])
    assert type(outcome) is kind


async def test_an_empty_batch_does_nothing(clinic: Clinic) -> None:
    assert (await clinic.decide([Planted(free=3, overdue=(1,))], [])).free == {1: 3}


# The model itself.

offered = st.dictionaries(st.integers(1, 4), st.integers(0, 12).map(OfferedSlot))
plain = st.lists(st.builds(SeatRequest, slot_id=st.integers(1, 5), seats=st.integers(1, 6)), max_size=30)


@given(offered, plain)
def test_no_slot_gives_more_seats_than_are_free(slots: dict[int, OfferedSlot], batch: list[SeatRequest]) -> None:
    given_away = dict.fromkeys(slots, 0)
    for request, verdict in zip(batch, admit(batch, slots), strict=True):
        if verdict is None:
            given_away[request.slot_id] += request.seats
    assert all(given_away[slot_id] <= slot.free for slot_id, slot in slots.items())


@given(offered, plain)
def test_every_refusal_is_true_when_it_is_decided(slots: dict[int, OfferedSlot], batch: list[SeatRequest]) -> None:
    left = {slot_id: slot.free for slot_id, slot in slots.items()}
    for request, verdict in zip(batch, admit(batch, slots), strict=True):
        match verdict:
            case None:
                left[request.slot_id] -= request.seats
            case SlotFull():
                assert verdict.available_seats == left[request.slot_id] < request.seats
            case _:
                assert isinstance(verdict, SlotNotFound)
                assert request.slot_id not in slots


@given(offered, plain, st.integers(0, 30))
def test_later_requests_do_not_change_the_outcome_of_earlier_ones(
    slots: dict[int, OfferedSlot], batch: list[SeatRequest], cut: int
) -> None:
    def codes(requests: list[SeatRequest]) -> list[str | None]:
        return [None if verdict is None else verdict.code for verdict in admit(requests, slots)]

    assert codes(batch)[:cut] == codes(batch[:cut])
