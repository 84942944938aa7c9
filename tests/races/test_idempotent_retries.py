"""The same attempt arrives several times at once, at two workers."""

from functools import partial

import asyncpg
import msgspec
import pytest
from torture.patching import mutate

from slotwise.db.pool import Connection
from slotwise.db.statements import Statement
from slotwise.domain.errors import KeyReused, SlotFull, Unavailable
from slotwise.services.booking import batches as booking_batches
from slotwise.services.booking.batches import CancelRequest, Held, HoldRequest, HoldRow
from slotwise.services.core.idempotency import IdempotencyKey
from tests.workers import Worker, at_once, each, holder_of, holding, new_slot, violations, wanted, workers

ROUNDS = 15


def _key(number: int, body: bytes = b"body") -> IdempotencyKey:
    return IdempotencyKey.of("guest", "POST /api/bookings", f"attempt-{number:09}", body)


async def test_one_key_makes_one_booking_and_every_retry_gets_its_answer(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with workers(database_url) as pair:
        request = wanted(await new_slot(connection, seats=1000))
        for number in range(ROUNDS):
            key = _key(number)
            results = await each(pair, 16, holding((request, key)))
            held = [result for result in results if isinstance(result, Held)]
            assert len(held) == len(results)
            assert len({(result.booking, result.manage.token) for result in held}) == 1
        assert await connection.fetchval("SELECT count(*) FROM bookings") == ROUNDS
        assert await violations(pair[0].database) == []


async def test_without_a_key_each_retry_books_again(database_url: str, connection: asyncpg.Connection) -> None:
    """The negative control."""
    async with workers(database_url) as pair:
        request = wanted(await new_slot(connection, seats=1000))
        await each(pair, 16, holding((request, None)))
        assert await connection.fetchval("SELECT count(*) FROM bookings") == 16


async def test_one_key_for_two_slots_at_once_books_one_of_them(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """Different slots have different locks, so here the key's own row decides. No client gets a 500."""
    async with workers(database_url) as pair:
        for number in range(ROUNDS):
            slots = [wanted(await new_slot(connection, seats=5)) for _ in pair]
            keys = [_key(number, body) for body in (b"one slot", b"the other")]
            results = await each(pair, 8, holding(*zip(slots, keys, strict=True)))
            held = {result.booking.id for result in results if isinstance(result, Held)}
            assert len(held) == 1
            assert all(isinstance(result, Held | KeyReused) for result in results)
        assert await violations(pair[0].database) == []


async def _rivals(pair: list[Worker], connection: asyncpg.Connection, number: int) -> list[Held | Exception]:
    """Both workers at once, with one batch each: the same key and body, but a different slot for each worker."""
    requests = [HoldRequest(wanted(await new_slot(connection, seats=5)), "guest", _key(number)) for _ in pair]

    async def hold(worker: Worker, place: int) -> Held:
        [outcome] = await worker.batches.hold([requests[place]])
        assert isinstance(outcome, Held)
        return outcome

    return await each(pair, 2, hold)


@pytest.fixture
def races(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Gets an entry for each batch that learned that another transaction had used one of its keys."""
    noted: list[str] = []
    statement = booking_batches.HOLD_SEATS

    class Noting(Statement[HoldRow]):
        async def all(self, connection: Connection, **arguments: object) -> list[HoldRow]:
            try:
                return await super().all(connection, **arguments)
            except asyncpg.UniqueViolationError as error:
                noted.append(error.constraint_name or "")
                raise

    monkeypatch.setattr(booking_batches, "HOLD_SEATS", Noting(statement.name, statement.row))
    return noted


async def test_a_key_that_two_workers_use_at_once_gives_one_booking_and_one_answer(
    database_url: str, connection: asyncpg.Connection, races: list[str]
) -> None:
    """Different slots have different locks, so both look the key up before either has written it."""
    async with workers(database_url) as pair:
        for number in range(ROUNDS * 4):
            first, second = await _rivals(pair, connection, number)
            assert isinstance(first, Held)
            assert isinstance(second, Held)
            assert first.booking.id == second.booking.id
            assert first.manage.token == second.manage.token
        assert await connection.fetchval("SELECT count(*) FROM bookings") == ROUNDS * 4
        assert await violations(pair[0].database) == []
    assert set(races) == {"idempotency_keys_pkey"}, "there was no race, so the test proves nothing"


async def test_without_checking_the_kept_answers_a_raced_key_books_twice(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """The negative control: the key's row refuses the second writer silently, and somebody has to notice."""
    await mutate(connection, "hold_seats_3", "IF kept < to_keep THEN", "IF FALSE THEN")
    async with workers(database_url) as pair:
        for number in range(ROUNDS * 4):
            await _rivals(pair, connection, number)
        assert await connection.fetchval("SELECT count(*) FROM bookings") > ROUNDS * 4


async def _same_keys_in_opposite_orders(
    pair: list[Worker], connection: asyncpg.Connection, number: int
) -> list[object]:
    """One batch for each worker, each for its own slot. Returns the outcomes."""
    keys = [_key(number * 20 + place) for place in range(20)]
    batches = [
        [HoldRequest(wanted(slot_id), "guest", key) for key in order]
        for order in (keys, keys[::-1])
        for slot_id in [await new_slot(connection, seats=20)]
    ]
    return [*await at_once([partial(worker.batches.hold, batch) for worker, batch in zip(pair, batches, strict=True)])]


async def _write_keys_slowly(connection: asyncpg.Connection) -> None:
    """Half a millisecond before each, so that two batches meet while both are writing theirs."""
    await connection.execute(
        "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_sleep(0.0005); RETURN new; END';"
        "CREATE TRIGGER linger BEFORE INSERT ON idempotency_keys FOR EACH ROW EXECUTE FUNCTION linger()"
    )


async def test_batches_with_the_same_keys_in_opposite_orders_never_deadlock(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """Their slots differ, so only the order of the keys keeps each from waiting for the other."""
    await _write_keys_slowly(connection)
    async with workers(database_url) as pair:
        for number in range(ROUNDS):
            results = await _same_keys_in_opposite_orders(pair, connection, number)
            assert not [result for result in results if isinstance(result, Exception)]
        assert await connection.fetchval("SELECT count(*) FROM bookings") == ROUNDS * 20
        assert await violations(pair[0].database) == []


async def test_keys_written_in_order_of_arrival_deadlock(database_url: str, connection: asyncpg.Connection) -> None:
    """The negative control."""
    await _write_keys_slowly(connection)
    await mutate(connection, "hold_seats_3", "ORDER BY w.caller, w.route, w.key_hash", "")
    async with workers(database_url) as pair:
        for number in range(ROUNDS):
            results = await _same_keys_in_opposite_orders(pair, connection, number)
            if any(isinstance(result, Unavailable) for result in results):
                return
    pytest.fail("no deadlock without an order: the test above proves nothing")


async def test_retries_of_a_refusal_get_the_first_refusal(database_url: str, connection: asyncpg.Connection) -> None:
    async with workers(database_url) as pair:
        slot_id = await new_slot(connection, seats=2)
        booked = await pair[0].batches.hold([HoldRequest(wanted(slot_id), "guest")])
        too_many = holding((wanted(slot_id, 2), _key(1)))
        assert [_free_seats(result) for result in await each(pair, 8, too_many)] == [1] * 8
        assert isinstance(booked[0], Held)
        await pair[1].batches.cancel([CancelRequest(booked[0].booking.id, None, "guest")])
        assert [_free_seats(result) for result in await each(pair, 8, too_many)] == [1] * 8
        assert isinstance((await each(pair, 1, holding((wanted(slot_id, 2), _key(2)))))[0], Held)


def _free_seats(result: object) -> int:
    assert isinstance(result, SlotFull)
    return result.available_seats


async def test_a_retry_after_the_booking_has_changed_gets_the_first_answer(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with workers(database_url) as pair:
        retry = holding((wanted(await new_slot(connection, seats=1)), _key(1)))
        [first] = await each(pair, 1, retry)
        assert isinstance(first, Held)
        again = msgspec.structs.replace(first, replayed=True)
        await pair[0].bookings.confirm_booking(holder_of(first), first.booking.id)
        assert await each(pair, 4, retry) == [again] * 4
        await pair[1].bookings.cancel_booking(holder_of(first), first.booking.id)
        assert await each(pair, 4, retry) == [again] * 4
        assert await connection.fetchval("SELECT count(*) FROM bookings") == 1
