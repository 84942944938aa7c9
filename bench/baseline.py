"""pgbench on plain tables: the cost of a booking without a web server and without Slotwise."""

from bench.database import execute, number, statement
from bench.load import pgbench
from bench.readings import CheckFailed, Reading

SLOTS = 1_000


class Baseline:
    def __init__(self, url: str) -> None:
        self.url = url

    def book(self, slots: int, clients: int, seconds: int) -> Reading:
        """Run the usual transaction on random slots. Checks that there are as many new rows as commits."""
        before = self.rows()
        reading, committed = pgbench.run(self.url, slots, clients, seconds)
        made = self.rows() - before
        if made != committed:
            raise CheckFailed(f"pgbench committed {committed:,} bookings, but {made:,} rows are there")
        return reading

    def rows(self) -> int:
        return number(self.url, "SELECT count(*) FROM bench.booking")


def new_baseline(url: str) -> Baseline:
    execute(url, statement("baseline"))
    return Baseline(url)
