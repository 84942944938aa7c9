"""Plain tables of a booking service, and pgbench on them: the cost of a booking without a web server and Slotwise."""

from functools import partial

from bench.acknowledgements import require_rows
from bench.database import execute, number, row, statement
from bench.load import pgbench
from bench.readings import CheckFailed, Reading

SLOTS = 1_000


class Baseline:
    """The slots from 1 to `SLOTS` are pgbench's."""

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

    def open_slots(self, count: int) -> range:
        """Open more slots; returns their ids."""
        made = row(self.url, statement("open_plain_slots"), count)
        return range(made["first"], made["last"] + 1)

    def require_bookings(self, slots: range, acknowledged: int, unheard: int) -> None:
        """Raise `CheckFailed` unless the slots have a row for each acknowledgement, and one seat less for each row."""
        require_rows(partial(self._bookings, slots), acknowledged, unheard)

    def _bookings(self, slots: range) -> int:
        found = row(self.url, statement("plain_bookings"), slots[0], slots[-1])
        if found["bookings"] != found["seats"]:
            raise CheckFailed(f"{found['bookings']:,} bookings took {found['seats']:,} seats of {len(slots):,} slots")
        return int(found["bookings"])


def new_baseline(url: str) -> Baseline:
    execute(url, statement("baseline"))
    baseline = Baseline(url)
    baseline.open_slots(SLOTS)
    return baseline
