"""All clients of a run, and their pace: races and other writes reach their targets at the same time."""

import asyncio
import itertools
from collections import deque
from collections.abc import Iterator
from typing import Protocol

from torture.carver import Carver
from torture.client import GUEST, Caller, Client, Connections
from torture.clinic import QUIET_SEATS, Clinic
from torture.desk import Administrator, Overbooker, Publisher, Receptionist
from torture.history import History
from torture.lengthener import Lengthener
from torture.patients import LastSeats, Patient, Recent, Stop
from torture.plan import Plan
from torture.readers import Reader, Waiter
from torture.resizer import Resizer
from torture.scheduler import Scheduler

RECENT = 64
WAITERS = 6
CARVERS = 2
PACE_SECONDS = 0.25
# The part of the target by which races may be ahead of the other writes, or behind.
AHEAD = 0.02


class Member(Protocol):
    async def live(self, stop: Stop) -> None: ...


class Load:
    """`near` connects to the server directly, `far` through the proxy, which can cut connections."""

    def __init__(self, plan: Plan, history: History, clinic: Clinic, near: Client, far: Client) -> None:
        self.stop = Stop()
        self.failures: list[str] = []
        self._plan = plan
        self._history = history
        for client in (near, far):
            client.connections.visit_types = clinic.visit_types
        recent: Recent = deque(maxlen=RECENT)
        callers = callers_of(clinic)
        self._patients = [
            Patient(
                number, plan.seed, far if number % 3 == 0 else near, callers[number % len(callers)], callers,
                list(clinic.slots), recent, clinic.desk, clinic.typed,
            )
            for number in range(1, plan.patients + 1)
        ]  # fmt: skip
        self._racers = [
            LastSeats(1000 * place, plan.seed, near, clinic.last_seats[place - 1 :: plan.racers])
            for place in range(1, plan.racers + 1)
        ]
        self._others: list[Member] = [
            *(
                Receptionist(200 + place, plan.seed, near, clinic.desk, list(clinic.slots), recent)
                for place in range(plan.receptionists)
            ),
            Administrator(300, plan.seed, near, clinic.desk, clinic.staff, clinic.slots, clinic.seats),
            Publisher(310, plan.seed, near, clinic.desk),
            Overbooker(320, plan.seed, near, clinic.staff, clinic.overbooked),
            Scheduler(330, plan.seed, near, clinic.desk, clinic.staff),
            Resizer(340, plan.seed, near, clinic.desk, clinic.staff),
            Lengthener(350, plan.seed, near, clinic.desk, clinic.staff),
            *(Carver(360 + place, plan.seed, near, clinic.desk, clinic.staff, callers) for place in range(CARVERS)),
            *(
                Reader(
                    400 + place, plan.seed, near.connections, callers, clinic.desk, clinic.doctor, clinic.slots, recent
                )
                for place in range(plan.readers)
            ),
            *self._waiters(clinic, near, recent),
        ]

    def _waiters(self, clinic: Clinic, near: Client, recent: Recent) -> Iterator[Member]:
        """The waiters, each with its own slots."""
        slots = list(clinic.quiet_slots)
        for place in range(WAITERS):
            own = {slot_id: clinic.quiet_slots[slot_id] for slot_id in slots[place::WAITERS]}
            reader = Reader(
                500 + place, self._plan.seed, near.connections, [clinic.desk], clinic.desk, clinic.quiet_doctor, own,
                recent,
            )  # fmt: skip
            yield Waiter(500 + place, self._plan.seed, near, reader, dict.fromkeys(own, QUIET_SEATS))

    @property
    def races(self) -> int:
        return sum(racer.races for racer in self._racers)

    def start(self, group: asyncio.TaskGroup) -> None:
        for member in (*self._patients, *self._others):
            group.create_task(self._live(member))
        for racer in self._racers:
            group.create_task(racer.live(self.stop, -(-self._plan.races // self._plan.racers)))
        group.create_task(self._pace())

    async def _live(self, member: Member) -> None:
        """Run a member. If it fails, which is a fault of the harness, it goes on, and the verdict stays open."""
        while not self.stop.now:
            try:
                await member.live(self.stop)
            except Exception as error:
                self.failures.append(f"{type(member).__name__} failed with {error!r}")
                await asyncio.sleep(PACE_SECONDS)

    async def _pace(self) -> None:
        """Make races or writes wait when they are ahead: a race costs 20 times as much, and both share the machine."""
        while not self.stop.now:
            written = self._history.acknowledged / self._plan.acknowledged
            raced = self.races / self._plan.races if self._plan.races else 1.0
            _switch(self.stop.patients_go, written <= raced + AHEAD)
            _switch(self.stop.racers_go, raced <= written + AHEAD)
            await asyncio.sleep(PACE_SECONDS)


def _switch(event: asyncio.Event, on: bool) -> None:
    if on:
        event.set()
    else:
        event.clear()


def clients_of(history: History, *urls: str) -> list[Client]:
    numbers = itertools.count(1)
    return [Client(Connections(history, url, numbers)) for url in urls]


def callers_of(clinic: Clinic) -> list[Caller]:
    """All callers, including the desk, whose bookings take a different path in the server."""
    return [GUEST, *clinic.patients, clinic.desk]
