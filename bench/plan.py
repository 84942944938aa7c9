"""How much a run measures: all values that `--quick` and other options change."""

from msgspec import Struct


class Plan(Struct, frozen=True, kw_only=True):
    """Durations are whole seconds, because wrk accepts no others. Sizes are rows that exist before the measurement."""

    workers: int
    rounds: int = 5
    seconds: int = 4
    # From one client to many.
    connections: tuple[int, ...] = (1, 16, 64, 256, 1024)
    listed_slots: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    bookings_in_slot: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    rows: int = 10_000_000
    expired_holds: int = 1_000_000
    overload_seconds: int = 30
    published_slots: int = 100_000
    changed_slots: int = 20_000
    changing_seconds: int = 15
    requests_before_weighing: int = 1_000_000

    @property
    def bookings_in_table(self) -> tuple[int, ...]:
        """10,000 and its multiples by ten below `rows`, then `rows`."""
        return (*(10**power for power in range(4, 12) if 10**power < self.rows), self.rows)


def quick_plan(workers: int) -> Plan:
    """A smoke test of the benchmarks: one round of one second per case. Its figures mean little."""
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
        published_slots=5_000,
        changed_slots=2_000,
        changing_seconds=3,
        requests_before_weighing=10_000,
    )
