"""Wrong code on purpose, to show that the harness catches it (docs/reliability.md).

Each mutant changes only the installation under test: a function in its database, a setting of its PostgreSQL, or a
method, by a module that its interpreters load first.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from typing import NamedTuple, TypeAlias

from torture.patching import Connection, drop_rules, mutate

Patch: TypeAlias = Callable[[Connection], Awaitable[None]]

# Constraints on the counters and the ledger's key: a second line of defence. Without it, wrong code oversells silently.
SECOND_LINE = ("slot_seats_in_range", "event_seats_in_range", "booking_events_pkey")


async def take_no_lock(connection: Connection) -> None:
    await mutate(connection, "hold_seats_3", "FOR NO KEY UPDATE", "")


async def read_then_write(connection: Connection) -> None:
    await take_no_lock(connection)
    await drop_rules(connection, *SECOND_LINE)


async def confirm_by_the_transactions_clock(connection: Connection) -> None:
    await mutate(connection, "confirm_bookings", "(SELECT clock_timestamp() AS now)", "(SELECT now() AS now)")


async def confirm_a_second_late(connection: Connection) -> None:
    """Confirm up to a second late, and change the row as if it had been in time."""
    await mutate(
        connection, "confirm_bookings", "b.expires_at <= clock.now",
        "b.expires_at + interval '1 second' <= clock.now",
    )  # fmt: skip
    await mutate(
        connection, "confirm_bookings", "confirmed_at = w.now,",
        "confirmed_at = w.now, expires_at = greatest(b.expires_at, w.now + interval '1 second'),",
    )  # fmt: skip


async def cancel_whatever_the_status(connection: Connection) -> None:
    await mutate(connection, "cancel_bookings", "WHEN b.status = 'CANCELLED' THEN 'already_cancelled'", "")
    await drop_rules(connection, "slot_seats_in_range", "event_seats_in_range")


async def keep_seats_that_the_desk_cancels(connection: Connection) -> None:
    await mutate(
        connection, "cancel_bookings", "sum(w.seats_booked)::integer AS seats",
        "(CASE WHEN request_ids IS NULL THEN sum(w.seats_booked) ELSE 0 END)::integer AS seats",
    )  # fmt: skip


async def keep_added_seats(connection: Connection) -> None:
    await mutate(connection, "cancel_bookings", "PERFORM take_added_seats(overbooked, overbooked_actors);", "NULL;")


async def sweep_without_a_second_look(connection: Connection) -> None:
    await mutate(connection, "expire_holds", "AND b.expires_at <= (SELECT clock_timestamp())", "")


async def search_without_overdue_holds(connection: Connection) -> None:
    await mutate(connection, "overdue_slots_for", "s.start_time > now()", "FALSE")


async def overlook_the_colleagues_patients(connection: Connection) -> None:
    await mutate(
        connection, "find_in_the_way", "(o.status = 'OPEN' OR o.available_seats < o.total_seats)",
        "o.available_seats = o.total_seats",
    )  # fmt: skip
    await drop_rules(connection, "slot_overlaps")


async def forget_booked_buffers(connection: Connection) -> None:
    await mutate(
        connection, "apply_schedule_2", "busy_until_of_slot(s.id, s.end_time, r.visit_type_ids)",
        "busy_until_of(s.end_time, r.visit_type_ids)",
    )  # fmt: skip


async def carve_without_the_windows_lock(connection: Connection) -> None:
    await mutate(connection, "hold_times", "ORDER BY v.id\n    FOR NO KEY UPDATE", "")
    # As long as a commit takes on a slow disk, so that two batches decide before either commits.
    await mutate(connection, "hold_times", "-- 5. Hold.", "PERFORM pg_sleep(0.05);")
    # The second line of defence. It knows no buffers.
    await drop_rules(connection, "slot_overlaps")


async def carve_without_buffers(connection: Connection) -> None:
    await mutate(connection, "hold_times", "a.start_time, a.busy_until)", "a.start_time, a.end_time)")
    await mutate(connection, "slots_in_the_way", "coalesce(s.busy_until, s.end_time)", "s.end_time")


async def end_early(connection: Connection) -> None:
    await mutate(
        connection, "hold_times", "OR w.end_time > v.end_time", "OR w.end_time > v.end_time - interval '15 minutes'"
    )


async def carve_as_the_desk(connection: Connection) -> None:
    await mutate(connection, "hold_times", "w.start_time, clock, by_desk)", "w.start_time, clock, TRUE)")
    await mutate(connection, "hold_times", "by_desk => by_desk", "by_desk => TRUE")


async def close_without_carved_slots(connection: Connection) -> None:
    await mutate(
        connection, "apply_schedule_2", "WHERE c.id <> all(closed_slot_ids)",
        "WHERE c.id <> all(closed_slot_ids) AND FALSE",
    )  # fmt: skip


async def carve_in_closures(connection: Connection) -> None:
    await mutate(connection, "hold_times", "g.removed_at IS NULL", "FALSE")


async def narrow_without_a_look(connection: Connection) -> None:
    await mutate(
        connection, "apply_schedule_2", "AND s.total_seats - s.available_seats - p.held > w.seats + s.added_seats",
        "AND FALSE",
    )  # fmt: skip


async def ignore_notice(connection: Connection) -> None:
    await mutate(connection, "check_visit", "IF refusal IS NOT NULL THEN", "IF FALSE THEN")


async def ignore_the_limit(connection: Connection) -> None:
    await mutate(connection, "check_patient", "IF live >= kind.max_live_per_patient THEN", "IF FALSE THEN")


async def know_patients_by_address(connection: Connection) -> None:
    await mutate(connection, "patient_keys", "'user:' || patient_keys.user_id", "NULL::text")


async def ignore_the_deadline(connection: Connection) -> None:
    await mutate(connection, "cancel_bookings_2", "AND past_change_deadline(", "AND FALSE AND past_change_deadline(")


async def keep_keys_apart(connection: Connection) -> None:
    await connection.execute("CREATE TABLE late_keys (LIKE idempotency_keys INCLUDING DEFAULTS)")
    await connection.execute("CREATE UNIQUE INDEX ON late_keys (caller, route, key_hash, created_at)")
    await mutate(connection, "hold_seats_3", "INSERT INTO idempotency_keys AS k", "INSERT INTO late_keys AS k")
    # The row of another transaction that has not committed yet must not be found here.
    await mutate(
        connection, "hold_seats_3", "ON CONFLICT (caller, route, key_hash)",
        "ON CONFLICT (caller, route, key_hash, created_at)",
    )  # fmt: skip


async def commit_without_waiting(connection: Connection) -> None:
    """Set it for the database, because the server's command line overrides its configuration file."""
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'slotwise'"
    )


async def log_no_bookings(connection: Connection) -> None:
    """An unlogged table is empty after a crash."""
    await connection.execute("ALTER TABLE bookings SET UNLOGGED")


async def change_nothing(_: Connection) -> None:
    """For mutants that patch the program, not the database."""


class Mutant(NamedTuple):
    """It is caught if one of `rules` is broken. Other rules may break for other reasons.

    `needs` has kinds of ledger rows, and how many of them a load must have made to show anything. `longer` is how many
    times the usual load a try has: for what happens in a small part of it.
    """

    name: str
    sentence: str
    patch: Patch
    rules: frozenset[str]
    faults: Sequence[str] = ("database-latency",)
    program: str | None = None
    needs: Sequence[tuple[str, int]] = ()
    longer: int = 1


OF_SEATS = (
    Mutant("no-lock", "seats are held without the slot's lock", take_no_lock, frozenset({"P9"})),
    Mutant(
        "read-then-write", "no lock, and no rule in the database either", read_then_write,
        frozenset({"S1", "S2", "S12 model"}),
    ),
    Mutant("cancel-twice", "cancel does not look at the status", cancel_whatever_the_status, frozenset({"S7", "S10"})),
    Mutant(
        "desk-keeps-seats", "a cancel by the desk keeps the seats", keep_seats_that_the_desk_cancels,
        frozenset({"S1", "S12 model"}),
    ),
    Mutant(
        "added-seats-stay", "seats that were added by overbooking stay after a cancel", keep_added_seats,
        frozenset({"W5", "S12 added"}),
    ),
    Mutant(
        "deaf-desk", "the desk's tick that the patient asked for it is lost", change_nothing, frozenset({"S3 wish"}),
        program="deaf_desk",
    ),
    Mutant(
        "two-step-seats", "the seats of a hold are changed in two transactions", change_nothing,
        frozenset({"S4", "S12 whole"}), program="two_step_seats",
    ),
)  # fmt: skip
OF_SCHEDULES = (
    Mutant(
        "blind-schedule", "publishing ignores closures", change_nothing, frozenset({"S24"}),
        program="blind_schedule",
    ),
    Mutant(
        "blind-narrowing", "times get fewer seats without a look at who has confirmed since the preview",
        narrow_without_a_look, frozenset({"S24 content"}), ("database-latency",) * 4,
    ),
    Mutant(
        "blind-takeover", "a colleague who has patients then takes over others", overlook_the_colleagues_patients,
        frozenset({"S22"}), needs=[("MOVED", 8)],
    ),
    Mutant(
        "short-buffer", "a booked visit loses its buffer when its hours get other visit types", forget_booked_buffers,
        frozenset({"S22"}),
    ),
)  # fmt: skip
OF_OPEN_TIME = (
    Mutant(
        "unlocked-carving", "visits are carved out of a window without its lock", carve_without_the_windows_lock,
        frozenset({"S22"}), longer=3,
    ),
    Mutant(
        "tight-carving", "carving leaves no room for buffers", carve_without_buffers, frozenset({"S22"}), longer=3,
    ),
    Mutant(
        "early-end", "visits at the end of open hours are offered, and cannot be held", end_early, frozenset({"P7"}),
        longer=3,
    ),
    Mutant(
        "hasty-carving", "carving looks neither at the notice of its visit type nor at its horizon", carve_as_the_desk,
        frozenset({"S13 times"}), longer=3,
    ),
    Mutant(
        "blind-closing", "carved slots that nobody has stay open in a closure", close_without_carved_slots,
        frozenset({"S24"}), longer=3,
    ),
    Mutant(
        "closed-carving", "visits are carved in closures", carve_in_closures, frozenset({"S24"}), longer=3,
    ),
)  # fmt: skip
OF_TIME = (
    Mutant(
        "late-confirm", "confirm goes by the transaction's clock", confirm_by_the_transactions_clock,
        frozenset({"S8", "W3"}),
    ),
    Mutant(
        "second-late", "a hold is confirmed up to a second late, and its deadline moved", confirm_a_second_late,
        frozenset({"S8", "S19"}),
    ),
    Mutant(
        "blind-sweep", "the sweep does not look again under the lock", sweep_without_a_second_look, frozenset({"S9"})
    ),
    Mutant(
        "blind-search", "a search does not count the seats of overdue holds", search_without_overdue_holds,
        frozenset({"S20"}),
    ),
)  # fmt: skip
OF_VISITS = (
    Mutant(
        "no-notice", "a hold does not look at the notice of its visit type", ignore_notice, frozenset({"S13 visits"})
    ),
    Mutant(
        "no-limit", "a hold does not look at how many visits its patient has", ignore_the_limit,
        frozenset({"S13 limit"}),
    ),
    Mutant(
        "limit-by-address", "a hold knows patients only by the e-mail address, not by the account",
        know_patients_by_address, frozenset({"S13 limit"}),
    ),
    Mutant(
        "no-deadline", "a cancel does not look at the deadline of its visit type", ignore_the_deadline,
        frozenset({"S13 deadline"}),
    ),
)  # fmt: skip
OF_COMMITS = (
    Mutant(
        "late-keys", "idempotency keys are written after the commit", keep_keys_apart, frozenset({"S4", "S5"}),
        # With slow messages, it takes long until a key is written.
        ("database-latency",) * 4, "late_keys",
    ),
    Mutant(
        "no-flush", "commits do not wait for the log, under kills", commit_without_waiting, frozenset({"S3"}),
        ("kill-postmaster",) * 3,
    ),
    Mutant(
        "unlogged", "the table of bookings is lost in a crash", log_no_bookings, frozenset({"S3"}),
        ("kill-postmaster",),
    ),
    Mutant(
        "blind-retry", "a commit with unknown outcome is tried again without a key", change_nothing,
        frozenset({"S4"}), ("cut-commit-reply",) * 8, "blind_retry",
    ),
    Mutant(
        "repeatable-read", "sessions read as of their transaction's begin", change_nothing, frozenset({"L5"}),
        program="repeatable_read",
    ),
)  # fmt: skip
MUTANTS = OF_SEATS + OF_SCHEDULES + OF_OPEN_TIME + OF_TIME + OF_VISITS + OF_COMMITS


def of_the_day(day: date) -> Mutant:
    """The mutant of this day; every mutant has its turn within 30 days."""
    return MUTANTS[day.toordinal() % len(MUTANTS)]
