"""Wrong code on purpose: a harness is believed once it has caught these (RELIABILITY: seeded mutants).

Each is a patch of the installation under test and of nothing else: of a function in its own database, of a setting of
its own PostgreSQL, or of a method, by a module that its interpreters load first.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from torture.bed import PATCHES, Bed
from torture.faults import FAULTS
from torture.faults.fault import Fault
from torture.patching import Connection, drop_rules, mutate
from torture.plan import Plan
from torture.run import Run

Patch: TypeAlias = Callable[[Connection], Awaitable[None]]

# The counters' own rules and the ledger's key, a second line of defence: without it wrong code oversells in silence.
SECOND_LINE = ("slot_seats_in_range", "event_seats_in_range", "booking_events_pkey")


async def take_no_lock(connection: Connection) -> None:
    await mutate(connection, "hold_seats", "FOR NO KEY UPDATE", "")


async def read_then_write(connection: Connection) -> None:
    await take_no_lock(connection)
    await drop_rules(connection, *SECOND_LINE)


async def confirm_by_the_transactions_clock(connection: Connection) -> None:
    await mutate(connection, "confirm_bookings", "(SELECT clock_timestamp() AS now)", "(SELECT now() AS now)")


async def cancel_whatever_the_status(connection: Connection) -> None:
    await mutate(connection, "cancel_bookings", "WHEN b.status = 'CANCELLED' THEN 'already_cancelled'", "")
    await drop_rules(connection, "slot_seats_in_range", "event_seats_in_range")


async def sweep_without_a_second_look(connection: Connection) -> None:
    await mutate(connection, "expire_holds", "AND b.expires_at <= (SELECT clock_timestamp())", "")


async def keep_keys_apart(connection: Connection) -> None:
    await connection.execute("CREATE TABLE late_keys (LIKE idempotency_keys INCLUDING DEFAULTS)")
    await connection.execute("CREATE UNIQUE INDEX ON late_keys (caller, route, key_hash, created_at)")
    await mutate(connection, "hold_seats", "INSERT INTO idempotency_keys AS k", "INSERT INTO late_keys AS k")
    # A row of another transaction that is on its way to its place must not be found here.
    await mutate(
        connection, "hold_seats", "ON CONFLICT (caller, route, key_hash)",
        "ON CONFLICT (caller, route, key_hash, created_at)",
    )  # fmt: skip


async def commit_without_waiting(connection: Connection) -> None:
    """For the database: what stands on the server's command line goes before its configuration."""
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'slotwise'"
    )


async def change_nothing(_: Connection) -> None:
    """The mutation is in a patch of the program."""


class Mutant(NamedTuple):
    """It is caught when one of `rules` is found broken: others may break for reasons of their own."""

    name: str
    sentence: str
    patch: Patch
    rules: frozenset[str]
    faults: Sequence[str] = ("database-latency",)
    program: str | None = None


MUTANTS = (
    Mutant("no-lock", "seats are held without the slot's lock", take_no_lock, frozenset({"P9"})),
    Mutant(
        "read-then-write", "no lock, and no rule in the database either", read_then_write,
        frozenset({"S1", "S2", "S12 model"}),
    ),
    Mutant(
        "late-confirm", "confirm goes by the transaction's clock", confirm_by_the_transactions_clock,
        frozenset({"S8", "W3"}),
    ),
    Mutant("cancel-twice", "cancel does not look at the status", cancel_whatever_the_status, frozenset({"S7", "S10"})),
    Mutant("blind-sweep", "the sweep does not look again under the lock", sweep_without_a_second_look,
           frozenset({"S9"})),
    Mutant(
        "late-keys", "idempotency keys are written after the commit", keep_keys_apart, frozenset({"S4", "S5"}),
        # While messages take their time, a key is long on its way.
        ("database-latency",) * 4, "late_keys",
    ),
    Mutant(
        "no-flush", "commits do not wait for the log, under kills", commit_without_waiting, frozenset({"S3"}),
        ("kill-postmaster",) * 3,
    ),
    Mutant(
        "blind-retry", "a commit with unknown outcome is tried again without a key", change_nothing,
        frozenset({"S4"}), ("cut-commit-reply",) * 8, "blind_retry",
    ),
)  # fmt: skip
MOST_SECONDS = 60
ACKNOWLEDGED = 1_500


class Caught(NamedTuple):
    """`rules` are those that the run found broken."""

    mutant: Mutant
    seconds: float
    rules: list[str]

    @property
    def caught(self) -> bool:
        return bool(self.mutant.rules & set(self.rules)) and self.seconds <= MOST_SECONDS


async def try_mutant(mutant: Mutant, folder: Path, seed: int) -> Caught:
    began = time.monotonic()
    bed = Bed(folder, {"PYTHONPATH": str(PATCHES / mutant.program)} if mutant.program else {})
    try:
        await bed.start()
        async with bed.look() as connection:
            await mutant.patch(connection)
        result = await Run(bed, _plan(mutant, seed), _faults(mutant), lambda _: None)()
    finally:
        await bed.stop()
    return Caught(mutant, time.monotonic() - began, sorted({found.rule for found in result.violations}))


def _plan(mutant: Mutant, seed: int) -> Plan:
    return Plan(
        seed,
        acknowledged=ACKNOWLEDGED,
        faults=len(mutant.faults),
        races=20,
        patients=24,
        racers=2,
        slots=6,
        minutes=0.5,
        quiet_seconds=1.0,
    )


def _faults(mutant: Mutant) -> list[Fault]:
    return [fault for name in mutant.faults for fault in FAULTS if fault.kind == name]
