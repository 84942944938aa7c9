"""A running peer, on the tables of pgbench's baseline."""

from bench.baseline import Baseline
from bench.booking import CREATED, hold
from bench.load import wrk
from bench.readings import Reading
from bench.server import Server


class Peer:
    def __init__(self, server: Server, tables: Baseline) -> None:
        self.url = server.url
        self.tables = tables

    def book(self, slots: int, connections: int, seconds: int) -> Reading:
        """Book seats of that many new slots, as `bench.booking.book` does with Slotwise, and with the same check."""
        opened = self.tables.open_slots(slots)
        answers = wrk.run(self.url, hold(opened), connections, seconds)
        answers.require(CREATED)
        self.tables.require_bookings(opened, answers.count(CREATED), connections)
        return answers.reading(CREATED)
