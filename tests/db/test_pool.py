"""Connections and transactions on a real server: isolation, rollback, broken connections, lost answers."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal, TypeAlias
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio

import slotwise.db.pool
from slotwise.db.pool import Connection, Database
from slotwise.domain.errors import (
    AnsweredMeanwhile,
    DatabaseBusy,
    DatabaseUnavailable,
    DoctorNotFound,
    OutcomeUnknown,
    Unavailable,
)
from tests.clinic import PATIENCE_SECONDS, at_most

Observer: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Loss: TypeAlias = Literal["before", "after", "late"]
LINGER_SECONDS = 0.2

ADD = "INSERT INTO doctors (name) VALUES ('Dr. Who')"
COUNT = "SELECT count(*) FROM doctors"


@pytest_asyncio.fixture
async def lone(database_url: str) -> AsyncIterator[Database]:
    """A pool of one connection."""
    database = await Database.connect(database_url, 1)
    yield database
    await database.close()


async def add(database: Database, then: Callable[[Connection], Awaitable[object]] | None = None) -> None:
    """A transaction that adds a doctor and then does something else."""
    async with database.transaction() as inside:
        await inside.execute(ADD)
        if then is not None:
            await then(inside)


async def pid_of(connection: Connection) -> int:
    pid: int = await connection.fetchval("SELECT pg_backend_pid()")
    return pid


async def unfinished(observer: Observer) -> int:
    """Sessions of the program in this database that hold a transaction or run a statement, and do not end that."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (count := await _unfinished_now(observer)) > 0 and time.monotonic() < deadline:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0.05)
    return count


async def _unfinished_now(observer: Observer) -> int:
    count: int = await observer.fetchval(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'slotwise' AND state <> 'idle'"
    )
    return count


# Isolation and rollback.


async def test_transactions_are_read_committed_whatever_the_database_defaults_to(
    database_url: str, connection: Observer
) -> None:
    """Under REPEATABLE READ a second statement would not see what the last holder of the lock wrote."""
    name = urlsplit(database_url).path[1:]
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = 'on'")
    plain = await asyncpg.connect(database_url)
    assert await plain.fetchval("SHOW transaction_isolation") == "serializable"
    await plain.close()

    database = await Database.connect(database_url, 1)
    async with database.connection() as alone:
        assert await alone.fetchval("SHOW transaction_isolation") == "read committed"
    async with database.transaction() as inside:
        assert await inside.fetchval("SHOW transaction_isolation") == "read committed"
        await inside.execute(ADD)
    await database.close()


async def test_a_session_cannot_wait_for_ever(lone: Database) -> None:
    async with lone.connection() as connection:
        for setting in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            assert await connection.fetchval(f"SHOW {setting}") != "0"


async def test_a_transaction_commits_at_the_end_of_its_block(lone: Database, connection: Observer) -> None:
    async with lone.transaction() as inside:
        await inside.execute(ADD)
        assert await connection.fetchval(COUNT) == 0
    assert await connection.fetchval(COUNT) == 1


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, KeyboardInterrupt])
async def test_any_error_inside_rolls_back_and_passes_on(
    lone: Database, connection: Observer, error: type[BaseException]
) -> None:
    async def fail(_: Connection) -> None:
        raise error

    with pytest.raises(error):
        await add(lone, fail)
    assert await connection.fetchval(COUNT) == 0
    assert await unfinished(connection) == 0


async def test_a_statement_that_fails_rolls_back_what_went_before(lone: Database, connection: Observer) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        await add(lone, lambda inside: inside.execute("SELECT * FROM nowhere"))
    assert await connection.fetchval(COUNT) == 0
    async with lone.connection() as again:
        assert await again.fetchval(COUNT) == 0


# Connections that die.


async def test_a_backend_killed_inside_a_transaction_did_nothing_and_the_pool_recovers(
    lone: Database, connection: Observer
) -> None:
    async def be_killed(inside: Connection) -> None:
        await connection.execute("SELECT pg_terminate_backend($1)", await pid_of(inside))
        await inside.execute(ADD)

    with pytest.raises(DatabaseUnavailable):
        await add(lone, be_killed)
    await add(lone)
    assert await connection.fetchval(COUNT) == 1


async def test_a_backend_killed_during_a_statement_did_nothing(lone: Database, connection: Observer) -> None:
    pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait(inside: Connection) -> None:
        pid.set_result(await pid_of(inside))
        await inside.execute("SELECT pg_sleep(5)")

    waiting = asyncio.create_task(add(lone, wait))
    await connection.execute("SELECT pg_terminate_backend($1)", await pid)
    with pytest.raises(DatabaseUnavailable):
        await waiting
    assert await connection.fetchval(COUNT) == 0


async def test_a_connection_whose_server_has_ended_it_is_no_defect(database_url: str, connection: Observer) -> None:
    """Between the server's last message and the end of the connection, the driver refuses to send anything."""

    async def be_dismissed(inside: Connection) -> None:
        await connection.execute("SELECT pg_terminate_backend($1)", await pid_of(inside))
        await asyncio.sleep(LINGER_SECONDS / 2)
        await inside.execute(ADD)

    async with proxy(database_url, None) as url:
        database = await Database.connect(url, 1)
        with pytest.raises(DatabaseUnavailable):
            await add(database, be_dismissed)
        await add(database)
        await database.close()
    assert await connection.fetchval(COUNT) == 1


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, KeyboardInterrupt])
async def test_an_error_inside_passes_on_though_the_connection_can_no_longer_roll_back(
    database_url: str, connection: Observer, error: type[BaseException]
) -> None:
    """A cancelled task that got "the database is unavailable" instead of its cancellation would go on."""

    async def be_dismissed(inside: Connection) -> None:
        await connection.execute("SELECT pg_terminate_backend($1)", await pid_of(inside))
        await asyncio.sleep(LINGER_SECONDS / 2)
        raise error

    async with proxy(database_url, None) as url:
        database = await Database.connect(url, 1)
        with pytest.raises(error):
            await add(database, be_dismissed)
        await add(database)
        await database.close()
    assert await connection.fetchval(COUNT) == 1


async def test_connections_killed_while_idle_are_replaced(database: Database, connection: Observer) -> None:
    barrier = asyncio.Barrier(5)

    async def hold() -> None:
        async with database.connection() as held:
            await barrier.wait()
            await held.execute("SELECT 1")

    await asyncio.gather(*(hold() for _ in range(5)))
    killed = await connection.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'slotwise'"
    )
    assert killed >= 5
    await asyncio.sleep(0.5)
    await asyncio.gather(*(hold() for _ in range(5)))


async def test_a_statement_that_timed_out_did_nothing_and_is_no_defect(database_url: str, connection: Observer) -> None:
    database = await Database.connect(database_url, 1, statement_seconds=0.1)
    with pytest.raises(Unavailable):
        await add(database, lambda inside: inside.execute("SELECT pg_sleep(5)"))
    assert await connection.fetchval(COUNT) == 0
    await database.close()


# Answers that are lost.


@asynccontextmanager
async def proxy(database_url: str, loss: Loss | None, at: bytes = b"COMMIT;") -> AsyncIterator[str]:
    """The database behind a TCP port that disturbs the first COMMIT, or the first message with `at`, and then works.

    `before`: the connection breaks and COMMIT is not passed on. `after`: COMMIT is done, and the connection breaks
    before the answer. `late`: COMMIT is done, and no answer comes. If the server hangs up, the end of the connection
    arrives a little after its last message, as over a real network.
    """
    parts = urlsplit(database_url)
    path = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"
    left = [loss] if loss else []
    tasks: set[asyncio.Task[None]] = set()

    async def serve(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_unix_connection(path)
        answers = asyncio.create_task(pass_on(server, to_client))
        tasks.add(answers)
        while data := await client.read(65536):
            if at in data and left:
                await spoil(left.pop(), data, answers, server, to_server)
                break
            to_server.write(data)
        to_client.close()
        to_server.close()

    async def spoil(
        how: Loss,
        data: bytes,
        answers: "asyncio.Task[None]",
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        answers.cancel()
        with suppress(asyncio.CancelledError):
            await answers
        if how != "before":
            to_server.write(data)
            assert at.split(b" ")[0].rstrip(b";") in await server.read(65536)
        if how == "late":
            await asyncio.sleep(at_most(3))

    async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            target.write(data)
        await asyncio.sleep(LINGER_SECONDS)
        target.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    user = quote(parts.username or "")
    yield urlunsplit(("postgresql", f"{user}@127.0.0.1:{port}", parts.path, "sslmode=disable", ""))
    listener.close()
    for task in tasks:
        task.cancel()


@pytest.mark.parametrize(("loss", "written"), [("before", 0), ("after", 1), ("late", 1)])
async def test_a_lost_answer_to_commit_is_an_unknown_outcome(
    database_url: str, connection: Observer, loss: Loss, written: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is the same whether or not the transaction was committed: the client cannot know."""
    monkeypatch.setattr(slotwise.db.pool, "GRACE_SECONDS", 0.3)
    async with proxy(database_url, loss) as url:
        database = await Database.connect(url, 1, statement_seconds=0.5)
        with pytest.raises(OutcomeUnknown):
            await add(database)
        assert await connection.fetchval(COUNT) == written
        await add(database)
        assert await connection.fetchval(COUNT) == written + 1
        await database.close()


async def test_the_proxy_loses_nothing_by_default(database_url: str, connection: Observer) -> None:
    async with proxy(database_url, None) as url:
        database = await Database.connect(url, 1, statement_seconds=0.5)
        await add(database)
        await database.close()
    assert await connection.fetchval(COUNT) == 1


async def test_a_commit_that_the_server_refuses_is_known_to_have_failed(lone: Database, connection: Observer) -> None:
    await connection.execute(
        "CREATE TABLE promises (id bigint PRIMARY KEY, of bigint REFERENCES promises DEFERRABLE INITIALLY DEFERRED)"
    )
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await add(lone, lambda inside: inside.execute("INSERT INTO promises VALUES (1, 2)"))
    assert await connection.fetchval(COUNT) == 0


# A statement that is its own transaction.


async def effect(database: Database, statement: str = ADD) -> None:
    async with database.effect() as alone:
        await alone.execute(statement)


async def test_an_effect_is_there_once_its_block_has_ended(lone: Database, connection: Observer) -> None:
    await effect(lone)
    assert await connection.fetchval(COUNT) == 1
    assert await unfinished(connection) == 0


async def test_a_refusal_of_the_server_is_a_known_outcome(lone: Database, connection: Observer) -> None:
    """The server answered, so it is certain that nothing was done."""
    with pytest.raises(DoctorNotFound):
        await effect(
            lone,
            "INSERT INTO appointment_slots (doctor_id, start_time, end_time, total_seats, available_seats)"
            " VALUES (99, '2040-01-01 10:00Z', '2040-01-01 10:30Z', 1, 1)",
        )
    with pytest.raises(AnsweredMeanwhile):
        await effect(
            lone,
            "DO $$ BEGIN INSERT INTO doctors (name) VALUES ('Dr. Who');"
            " RAISE unique_violation USING CONSTRAINT = 'idempotency_keys_pkey'; END $$",
        )
    with pytest.raises(asyncpg.UndefinedTableError):
        await effect(lone, "SELECT * FROM nowhere")
    assert await connection.fetchval(COUNT) == 0
    assert await unfinished(connection) == 0
    await effect(lone)


async def test_an_effect_that_the_server_ended_for_its_length_or_a_deadlock_did_nothing(
    database_url: str, connection: Observer
) -> None:
    database = await Database.connect(database_url, 1, statement_seconds=0.1)
    with pytest.raises(DatabaseBusy):
        await effect(database, f"WITH added AS ({ADD} RETURNING 1) SELECT pg_sleep(5) FROM added")
    with pytest.raises(DatabaseBusy):
        await effect(database, "DO $$ BEGIN RAISE deadlock_detected; END $$")
    assert await connection.fetchval(COUNT) == 0
    await database.close()


async def test_an_effect_whose_backend_is_killed_meanwhile_has_an_unknown_outcome(
    lone: Database, connection: Observer
) -> None:
    """Whether it was ended before or after its commit, the server's last message is the same."""
    pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def linger() -> None:
        async with lone.effect() as alone:
            pid.set_result(await pid_of(alone))
            await alone.execute(f"WITH added AS ({ADD} RETURNING 1) SELECT pg_sleep(5) FROM added")

    lingering = asyncio.create_task(linger())
    assert await connection.fetchval("SELECT pg_terminate_backend($1, 5000)", await pid)
    with pytest.raises(OutcomeUnknown):
        await lingering
    assert await unfinished(connection) == 0
    await effect(lone)
    assert await connection.fetchval(COUNT) == 1


@pytest.mark.parametrize(("loss", "written"), [("before", 0), ("after", 1), ("late", 1)])
async def test_a_lost_answer_to_an_effect_is_an_unknown_outcome(
    database_url: str, connection: Observer, loss: Loss, written: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is the same whether or not it was done, however the connection is released."""
    monkeypatch.setattr(slotwise.db.pool, "GRACE_SECONDS", 0.3)
    async with proxy(database_url, loss, at=ADD.encode()) as url:
        database = await Database.connect(url, 1, statement_seconds=0.5)
        with pytest.raises(OutcomeUnknown):
            await effect(database)
        assert await connection.fetchval(COUNT) == written
        await effect(database)
        assert await connection.fetchval(COUNT) == written + 1
        await database.close()


async def test_an_effect_that_finds_no_free_connection_did_nothing(
    lone: Database, connection: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slotwise.db.pool, "ACQUIRE_SECONDS", 0.1)
    async with lone.connection():
        with pytest.raises(DatabaseBusy):
            await effect(lone)
    assert await connection.fetchval(COUNT) == 0


async def never(*_: object) -> None:
    """The release of a connection when the network has gone silent: it never ends."""
    raise TimeoutError


async def test_an_effect_stays_unknown_though_the_connection_cannot_be_given_back_either(
    database_url: str, connection: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the answer nor the end of the statement comes, and the pool waits for the latter before it goes on."""
    monkeypatch.setattr(slotwise.db.pool, "RELEASE_SECONDS", 0.3)
    monkeypatch.setattr(slotwise.db.pool, "GRACE_SECONDS", 0.3)
    async with proxy(database_url, "late", at=ADD.encode()) as url:
        database = await Database.connect(url, 1, statement_seconds=0.5)
        try:
            with pytest.raises(OutcomeUnknown):
                await effect(database)
            assert await connection.fetchval(COUNT) == 1
        finally:
            await database.close()


async def test_an_effect_that_was_answered_is_never_called_undone(
    lone: Database, connection: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lone.connection():
        pass
    monkeypatch.setattr(lone._pool, "_reset", never)
    with suppress(OutcomeUnknown):
        await effect(lone)
    assert await connection.fetchval(COUNT) == 1


async def test_cancelled_effects_leak_no_connection_and_no_transaction(database_url: str, connection: Observer) -> None:
    database = await Database.connect(database_url, 4)
    chance = random.Random(7)

    async def start_and_cancel() -> None:
        task = asyncio.create_task(effect(database, f"WITH a AS ({ADD} RETURNING 1) SELECT pg_sleep(0.005) FROM a"))
        await asyncio.sleep(chance.uniform(0, 0.05))
        task.cancel()
        with suppress(asyncio.CancelledError, Unavailable):
            await task

    for _ in range(10):
        await asyncio.gather(*(start_and_cancel() for _ in range(20)))
    assert database.size == database.idle
    assert await unfinished(connection) == 0
    await database.close()


# Servers that are silent, or no longer the primary.


async def test_a_connection_is_cut_when_its_time_is_up_whatever_it_waits_for(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's own statement limit does not help if the server hangs."""
    monkeypatch.setattr(slotwise.db.pool, "GRACE_SECONDS", at_most(0.2))
    async with proxy(database_url, "late", at=b"pg_sleep") as url:
        database = await Database.connect(url, 2, statement_seconds=at_most(0.2))
        began = asyncio.get_running_loop().time()
        with pytest.raises(DatabaseUnavailable):
            await add(database, lambda inside: inside.execute("SELECT pg_sleep(0)"))
        assert asyncio.get_running_loop().time() - began < at_most(1)
        assert database.size == database.idle == 0
        await add(database)
        await database.close()


async def test_the_wait_for_a_connection_counts_as_well(lone: Database) -> None:
    async with lone.connection():
        began = asyncio.get_running_loop().time()
        with pytest.raises(DatabaseBusy):
            await _look(lone, seconds=0.2)
        assert asyncio.get_running_loop().time() - began < at_most(1)


async def _kept_after_both_were_busy(database: Database, seconds: float | None, statement: str) -> int:
    """How many of a pool's two connections are left after a statement that had to wait for one of them."""
    full = asyncio.Barrier(2)
    before = set(await asyncio.gather(*(pid_beside(database, full) for _ in range(2))))

    async def be_busy() -> None:
        async with database.connection() as inside:
            await full.wait()
            await inside.execute("SELECT pg_sleep(0.4)")

    async def wait_for_one() -> None:
        await asyncio.sleep(0.1)
        async with database.connection(seconds) as inside:
            await inside.execute(statement)

    busy = asyncio.gather(be_busy(), be_busy())
    with suppress(DatabaseBusy):
        await wait_for_one()
    await busy
    return len(before & set(await asyncio.gather(*(pid_beside(database, full) for _ in range(2)))))


async def test_a_wait_for_a_busy_pool_cuts_no_connection_that_lives(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise every readiness probe under overload would make all connections reconnect."""
    monkeypatch.setattr(slotwise.db.pool, "GRACE_SECONDS", 0.0)
    database = await Database.connect(database_url, 2, statement_seconds=0.5)
    assert await _kept_after_both_were_busy(database, 0.45, "SELECT pg_sleep(0.25)") == 2
    assert await _kept_after_both_were_busy(database, None, "SELECT pg_sleep(0.3)") == 2
    # The server's own limit ends this statement, and its caller gets that answer.
    assert await _kept_after_both_were_busy(database, None, "SELECT pg_sleep(5)") == 2
    await database.close()


async def test_a_probe_with_a_short_timeout_cuts_no_other_connection(database_url: str) -> None:
    database = await Database.connect(database_url, 2)
    full = asyncio.Barrier(2)
    before = set(await asyncio.gather(*(pid_beside(database, full) for _ in range(2))))
    with pytest.raises(DatabaseUnavailable):
        async with database.connection(0.1) as inside:
            await inside.execute("SELECT pg_sleep(1)")
    assert len(before & set(await asyncio.gather(*(pid_beside(database, full) for _ in range(2))))) == 1
    await database.close()


async def _look(database: Database, seconds: float) -> None:
    async with database.connection(seconds) as another:
        await another.execute("SELECT 1")


async def test_the_other_connections_to_a_server_that_fell_silent_are_not_used_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each of them would cost another request its whole time."""
    monkeypatch.setattr(slotwise.db.pool, "GRACE_SECONDS", at_most(0.2))
    async with proxy(database_url, "late", at=b"pg_sleep") as url:
        database = await Database.connect(url, 2, statement_seconds=at_most(0.2))
        full = asyncio.Barrier(2)
        before = set(await asyncio.gather(*(pid_beside(database, full) for _ in range(2))))
        with pytest.raises(DatabaseUnavailable):
            await add(database, lambda inside: inside.execute("SELECT pg_sleep(0)"))
        assert not before & set(await asyncio.gather(*(pid_beside(database, full) for _ in range(2))))
        await database.close()


async def pid_beside(database: Database, full: asyncio.Barrier) -> int:
    async with database.connection() as inside:
        await full.wait()
        return await pid_of(inside)


async def test_a_connection_to_a_former_primary_is_not_used_again(lone: Database, connection: Observer) -> None:
    """Nothing was done, and the next request finds the new primary."""
    async with lone.connection() as inside:
        await inside.execute("SET default_transaction_read_only = on")
    with pytest.raises(DatabaseUnavailable):
        await effect(lone)
    await effect(lone)
    assert await connection.fetchval(COUNT) == 1


async def test_a_refusal_for_want_of_space_is_known_to_have_done_nothing(lone: Database, connection: Observer) -> None:
    for refusal in ("disk_full", "out_of_memory"):
        with pytest.raises(DatabaseUnavailable):
            await effect(lone, f"DO $$ BEGIN {ADD}; RAISE {refusal}; END $$")
    assert await connection.fetchval(COUNT) == 0


# Many at once.


async def test_as_many_transactions_at_once_as_the_pool_has_connections_and_many_more(
    database_url: str, connection: Observer
) -> None:
    database = await Database.connect(database_url, 4)
    full = asyncio.Barrier(4)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(*(add(database, lambda _: full.wait()) for _ in range(64)))
    assert await connection.fetchval(COUNT) == 64
    assert database.size == database.idle == 4
    await database.close()


async def test_asking_for_a_second_connection_while_holding_one_blocks_the_pool(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why the program must not do it, which tests/architecture/test_borders.py checks. After a while it ends in
    refusals."""
    monkeypatch.setattr(slotwise.db.pool, "ACQUIRE_SECONDS", 0.3)
    database = await Database.connect(database_url, 4)
    full = asyncio.Barrier(4)

    async def ask_twice() -> None:
        async with database.transaction():
            await full.wait()
            async with database.connection():
                pass

    answers = await asyncio.gather(*(ask_twice() for _ in range(4)), return_exceptions=True)
    assert any(isinstance(answer, Unavailable) for answer in answers)
    async with database.connection() as again:
        await again.execute("SELECT 1")
    await database.close()


async def test_cancelled_tasks_leak_no_connection_and_no_transaction(database_url: str, connection: Observer) -> None:
    database = await Database.connect(database_url, 4)
    chance = random.Random(7)

    async def start_and_cancel() -> None:
        task = asyncio.create_task(add(database, lambda inside: inside.execute("SELECT pg_sleep(0.005)")))
        await asyncio.sleep(chance.uniform(0, 0.05))
        task.cancel()
        with suppress(asyncio.CancelledError, Unavailable):
            await task

    for _ in range(10):
        await asyncio.gather(*(start_and_cancel() for _ in range(20)))
    assert database.size == database.idle
    assert await unfinished(connection) == 0

    before = await connection.fetchval(COUNT)
    full = asyncio.Barrier(4)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(*(add(database, lambda _: full.wait()) for _ in range(4)))
    assert await connection.fetchval(COUNT) == before + 4
    await database.close()


async def test_closing_does_not_wait_for_a_statement_that_hangs(database_url: str) -> None:
    database = await Database.connect(database_url, 1)

    async def hang() -> None:
        async with database.connection() as inside:
            await inside.execute("SELECT pg_sleep(7)")

    hanging = asyncio.create_task(hang())
    await asyncio.sleep(0.1)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await database.close()
        with pytest.raises(DatabaseUnavailable):
            await hanging


async def test_it_is_counted_how_long_callers_wait_for_a_connection(lone: Database) -> None:
    async def use() -> None:
        async with lone.connection() as connection:
            await connection.execute(f"SELECT pg_sleep({LINGER_SECONDS})")

    await use()
    before = lone.waited_seconds
    await asyncio.gather(*(use() for _ in range(3)))
    # The second waits for the first, and the third for both.
    assert lone.waited_seconds - before >= 0.99 * 3 * LINGER_SECONDS


async def test_a_connection_that_is_cut_before_its_statement_is_sent_is_unavailable(lone: Database) -> None:
    with pytest.raises(DatabaseUnavailable):
        await ask_and_stand_still(lone)
    await add(lone)


async def ask_and_stand_still(database: Database) -> None:
    """The loop stands still until the statement is prepared and its time is over: both are due at once."""
    async with database.connection() as connection:
        await connection.execute("SELECT 1")
    async with database.connection(seconds=0.1) as connection:
        asking = asyncio.ensure_future(connection.fetch("SELECT 'prepared now'"))
        await asyncio.sleep(0)  # the preparing is sent
        time.sleep(slotwise.db.pool.ANSWER_SECONDS + 0.3)  # noqa: ASYNC251 - so does a busy machine
        await asking
