"""Any sequence of requests for visits gets from the database what a model says: notice, horizon, limit, new and
returning patients, and the deadline for cancelling."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, TypeAlias

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from torture.patching import mutate

from slotwise.domain.bookings import SeatRequest
from slotwise.domain.errors import SlotwiseError
from slotwise.domain.visit_types import Patients
from slotwise.services.booking.batches import Held
from tests.depth import many, third_of
from tests.model import VisitModel, VisitRules
from tests.workers import DESK, GUEST, NOW, Worker, holder_of, new_slot, violations, workers

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# Far from each other, so that no result depends on how long a test takes.
HOUR = timedelta(hours=1)
AHEAD = (20 * HOUR, 60 * HOUR, 60 * HOUR, 120 * HOUR)
KINDS = (
    VisitRules(),
    VisitRules(notice=40 * HOUR),
    VisitRules(horizon=96 * HOUR, most=2),
    VisitRules(most=1, deadline=90 * HOUR),
    VisitRules(patients=Patients.NEW),
    VisitRules(patients=Patients.RETURNING, notice=40 * HOUR, deadline=40 * HOUR),
)
SEATS = 4


class Practice:
    """Sends each request to the database and to the model, and compares what they say."""

    def __init__(self, worker: Worker, connection: Connection, slot_ids: list[int], kinds: list[int]) -> None:
        self.worker = worker
        self.connection = connection
        self.slots = slot_ids
        self.kinds = kinds
        ahead, rules = dict(zip(slot_ids, AHEAD, strict=True)), dict(zip(kinds, KINDS, strict=True))
        self.model = VisitModel(ahead, SEATS, rules)
        # As the model's visits.
        self.held: list[Held] = []

    async def hold(self, slot: int, kind: int, patient: str | None, *, confirm: bool, by_desk: bool) -> None:
        slot_id, kind_id = self.slots[slot], self.kinds[kind]
        name = None if patient is None else "Ada Lovelace"
        request = SeatRequest(slot_id, 1, None, name, patient, confirm, kind_id)
        said = self.model.hold(slot_id, kind_id, patient, confirm=confirm, by_desk=by_desk)
        made = await agreed(said, self.worker.bookings.hold_seats(DESK if by_desk else GUEST, request))
        if made is not None:
            self.held.append(made)

    async def confirm(self, place: int, patient: str, *, by_desk: bool) -> None:
        held, visit = self.held[place], self.model.visits[place]
        caller = DESK if by_desk else holder_of(held)
        said = self.model.confirm(visit, patient, by_desk=by_desk)
        await agreed(said, self.worker.bookings.confirm_booking(caller, held.booking.id, "Ada Lovelace", patient))

    async def cancel(self, place: int, *, by_desk: bool) -> None:
        held, visit = self.held[place], self.model.visits[place]
        caller = DESK if by_desk else holder_of(held)
        said = self.model.cancel(visit, by_desk=by_desk)
        await agreed(said, self.worker.bookings.cancel_booking(caller, held.booking.id))

    async def run_out(self, place: int) -> None:
        self.model.run_out(self.model.visits[place])
        await self.connection.execute(
            "UPDATE bookings SET expires_at = clock_timestamp() WHERE id = $1 AND status = 'PENDING'",
            self.held[place].booking.id,
        )

    async def begin(self, slot: int) -> None:
        self.model.begin(self.slots[slot])
        await _start_in(self.connection, self.slots[slot], -HOUR)


async def agreed(said: SlotwiseError | None, asked: Awaitable[Any]) -> Any:
    """What the database gave, if it says the same as the model."""
    given = (await asyncio.gather(asked, return_exceptions=True))[0]
    if isinstance(given, BaseException) and not isinstance(given, SlotwiseError):
        raise given
    refused = isinstance(given, SlotwiseError)
    assert (given.code if refused else None) == (said and said.code), given
    return None if refused else given


async def _start_in(connection: Connection, slot_id: int, ahead: timedelta) -> None:
    start = NOW + ahead
    await connection.execute(
        "UPDATE appointment_slots SET start_time = $2, end_time = $3 WHERE id = $1",
        slot_id,
        start,
        start + timedelta(minutes=30),
    )


async def new_kind(connection: Connection, rules: VisitRules) -> int:
    """A visit type with these rules."""
    kind: int = await connection.fetchval(
        "INSERT INTO visit_types (name, minutes, min_notice_minutes, horizon_days, change_deadline_minutes,"
        " max_live_per_patient, patients) VALUES ('Visit', 30, $1, $2, $3, $4, $5) RETURNING id",
        None if rules.notice is None else rules.notice // timedelta(minutes=1),
        None if rules.horizon is None else rules.horizon // timedelta(days=1),
        None if rules.deadline is None else rules.deadline // timedelta(minutes=1),
        rules.most,
        rules.patients,
    )
    return kind


async def open_practice(worker: Worker, connection: Connection) -> Practice:
    """With slots and visit types of its own, and without the patients of others."""
    await connection.execute("TRUNCATE patient_visits")
    kinds = [await new_kind(connection, rules) for rules in KINDS]
    slots = [await new_slot(connection, SEATS) for _ in AHEAD]
    for slot_id, ahead in zip(slots, AHEAD, strict=True):
        await _start_in(connection, slot_id, ahead)
    await connection.execute("UPDATE appointment_slots SET visit_type_ids = $1 WHERE id = any($2)", kinds, slots)
    return Practice(worker, connection, slots, kinds)


@asynccontextmanager
async def worker_on(database_url: str) -> AsyncIterator[tuple[Worker, Connection]]:
    connection = await asyncpg.connect(database_url)
    async with workers(database_url, count=1) as [worker]:
        yield worker, connection
    await connection.close()


@contextmanager
def running(database_url: str) -> Iterator[tuple[asyncio.Runner, Worker, Connection]]:
    with asyncio.Runner() as runner:
        opened = worker_on(database_url)
        worker, connection = runner.run(opened.__aenter__())
        try:
            yield runner, worker, connection
        finally:
            runner.run(opened.__aexit__(None, None, None))


patients = st.sampled_from(["ada@example.org", "bea@example.org"])
at_desk = st.sampled_from([False, False, False, True])
places = st.integers(0, 30)


class Visits(RuleBasedStateMachine):
    def __init__(self, runner: asyncio.Runner, worker: Worker, connection: Connection) -> None:
        super().__init__()
        self.runner = runner
        self.practice = runner.run(open_practice(worker, connection))

    @rule(
        slot=st.integers(0, len(AHEAD) - 1),
        kind=st.integers(0, len(KINDS) - 1),
        patient=patients | st.none(),
        confirm=st.booleans(),
        by_desk=at_desk,
    )
    def hold(self, slot: int, kind: int, patient: str | None, confirm: bool, by_desk: bool) -> None:
        confirm = confirm and patient is not None
        self.runner.run(self.practice.hold(slot, kind, patient, confirm=confirm, by_desk=by_desk))

    @precondition(lambda self: self.practice.held)
    @rule(place=places, patient=patients, by_desk=at_desk)
    def confirm(self, place: int, patient: str, by_desk: bool) -> None:
        self.runner.run(self.practice.confirm(self._place(place), patient, by_desk=by_desk))

    @precondition(lambda self: self.practice.held)
    @rule(place=places, by_desk=at_desk)
    def cancel(self, place: int, by_desk: bool) -> None:
        self.runner.run(self.practice.cancel(self._place(place), by_desk=by_desk))

    @precondition(lambda self: self.practice.held)
    @rule(place=places)
    def run_out(self, place: int) -> None:
        self.runner.run(self.practice.run_out(self._place(place)))

    @precondition(lambda self: len(self.practice.held) > 3)
    @rule(slot=st.integers(0, len(AHEAD) - 1))
    def begin(self, slot: int) -> None:
        self.runner.run(self.practice.begin(slot))

    def _place(self, number: int) -> int:
        return number % len(self.practice.held)


def test_the_database_keeps_the_rules_of_visits_as_the_model_does(database_url: str) -> None:
    with running(database_url) as (runner, worker, connection):
        run_state_machine_as_test(
            # Called without arguments for each history; its annotation asks for the class itself.
            partial(Visits, runner, worker, connection),  # type: ignore[arg-type]
            settings=settings(
                max_examples=many(2, 100),
                stateful_step_count=20,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
        assert runner.run(violations(worker.database)) == []


async def live_a_little(practice: Practice) -> None:
    """Every rule is met and kept once."""
    ada, bea = "ada@example.org", "bea@example.org"
    hold = partial(practice.hold, confirm=False, by_desk=False)
    for slot in (0, 1, 3):
        for kind in (1, 2):
            await hold(slot, kind, ada)
    await practice.hold(1, 3, bea, confirm=True, by_desk=False)
    await hold(2, 3, bea)
    await practice.cancel(len(practice.held) - 1, by_desk=False)
    await hold(2, 3, None)
    await practice.confirm(len(practice.held) - 1, bea, by_desk=False)
    await practice.hold(0, 0, bea, confirm=True, by_desk=False)
    await hold(1, 5, bea)
    await practice.begin(0)
    for kind in (4, 5):
        await hold(1, kind, bea)


MISTAKES = [
    ("check_visit", "IF refusal IS NOT NULL THEN", "IF refusal = 'too_early_to_book' THEN"),
    ("check_visit", "IF refusal IS NOT NULL THEN", "IF refusal = 'too_late_to_book' THEN"),
    ("check_patient", "IF live >= kind.max_live_per_patient THEN", "IF live > kind.max_live_per_patient THEN"),
    ("check_patient", "AND s.start_time <= clock", ""),
    ("check_patient", "kind.patients = 'NEW' AND returning_patient", "FALSE"),
    ("confirm_bookings_2", "IF refusal IS NULL THEN", "IF TRUE THEN"),
    ("cancel_bookings_2", "AND past_change_deadline(", "AND FALSE AND past_change_deadline("),
]


@pytest.mark.parametrize(("function", "old", "new"), third_of(MISTAKES, 0))
async def test_the_model_detects_a_rule_that_is_not_kept(database_url: str, function: str, old: str, new: str) -> None:
    """The negative control."""
    async with worker_on(database_url) as (worker, connection):
        await live_a_little(await open_practice(worker, connection))
        await mutate(connection, function, old, new)
        with pytest.raises(AssertionError):
            await live_a_little(await open_practice(worker, connection))
