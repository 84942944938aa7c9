"""How much a run measures: everything that `--quick` and the command line's options change, in one place."""

from msgspec import Struct


class Plan(Struct, frozen=True, kw_only=True):
    """Durations are whole seconds, since wrk takes no others. Sizes are rows that are there before the measurement."""

    workers: int
    rounds: int = 5
    seconds: int = 4
    # A lone client, then few, up to many.
    connections: tuple[int, ...] = (1, 16, 64, 256, 1024)
    listed_slots: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    bookings_in_slot: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    rows: int = 10_000_000
    expired_holds: int = 1_000_000
    overload_seconds: int = 30
    requests_before_weighing: int = 1_000_000

    @property
    def bookings_in_table(self) -> tuple[int, ...]:
        """From 10,000 by tens up to `rows`, which is in it whatever it is."""
        return (*(10**power for power in range(4, 12) if 10**power < self.rows), self.rows)


def quick_plan(workers: int) -> Plan:
    """A smoke test of the harness: a round of a second each. Its figures mean little."""
    return Plan(
        workers=workers,
        rounds=1,
        seconds=1,
        connections=(1, 16, 64, 1024),
        listed_slots=(1_000, 10_000),
        bookings_in_slot=(1_000, 10_000),
        rows=100_000,
        expired_holds=10_000,
        overload_seconds=3,
        requests_before_weighing=10_000,
    )
