"""The clinic's day at a glance: what is booked, what is nearly full, which holds expire soon, the latest bookings."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from slotwise.batching.shared_reads import SharedReads
from slotwise.db.pool import Connection, Database
from slotwise.db.statements import Statement
from slotwise.domain.bookings import Booking
from slotwise.domain.slots import Slot
from slotwise.domain.users import User, actor_of
from slotwise.services.core.audit import record_action, shows_others
from slotwise.services.core.open_time import LIST_DOCTORS_WITH_WINDOWS, OpenTime, list_open_time

LOOK_AHEAD = timedelta(days=7)
MOST_COUNTED = 10_000
MOST_LATEST = 20
MOST_WITH_OPEN_TIME = 50


class Utilisation(Struct, frozen=True):
    """A doctor's seats in a period. A seat that is neither confirmed, held nor free can no longer be booked.

    The two counts of visits are of those in open time, which have no seats here.
    """

    doctor_id: int
    doctor_name: str
    specialization: str | None
    slots: int
    offered_seats: int
    confirmed_seats: int
    held_seats: int
    free_seats: int
    confirmed_visits: int
    held_visits: int

    @property
    def taken_seats(self) -> int:
        return self.confirmed_seats + self.held_seats

    @property
    def percent(self) -> int:
        return round(100 * self.taken_seats / self.offered_seats) if self.offered_seats else 0


class DayCount(Struct, frozen=True):
    """Counts of the day's first 10,000 bookings, and of holds on any slot, where 10,000 means that many or more."""

    looked_at: int
    confirmed: int
    cancelled: int
    running_holds: int

    @property
    def complete(self) -> bool:
        return self.looked_at < MOST_COUNTED

    @property
    def all_holds(self) -> bool:
        return self.running_holds < MOST_COUNTED


class ExpiringHold(Struct, frozen=True):
    """`seconds_left` is by the database's clock."""

    id: int
    slot_id: int
    seats_booked: int
    expires_at: datetime
    seconds_left: int
    doctor_name: str
    start_time: datetime
    clinic_id: int


class DoctorsOpenTime(Struct, frozen=True):
    doctor_id: int
    doctor_name: str
    parts: list[OpenTime]


class Day(Struct, frozen=True):
    """`utilisation` has the doctors who have slots that day, fullest first. A slot across midnight is on both days.

    `open_time` has the first 50 doctors with open windows, by name, without those whose windows are closed.
    """

    count: DayCount
    utilisation: list[Utilisation]
    nearly_full: list[Slot]
    expiring_holds: list[ExpiringHold]
    open_time: list[DoctorsOpenTime]
    more_open_time: bool

    @property
    def total(self) -> Utilisation:
        """Of all doctors together."""
        each = self.utilisation
        return Utilisation(
            0,
            "",
            None,
            sum(one.slots for one in each),
            sum(one.offered_seats for one in each),
            sum(one.confirmed_seats for one in each),
            sum(one.held_seats for one in each),
            sum(one.free_seats for one in each),
            sum(one.confirmed_visits for one in each),
            sum(one.held_visits for one in each),
        )


class LatestBookings(Struct, frozen=True):
    """`mark` changes with the list and with the status of each booking in it."""

    bookings: list[Booking]
    mark: str


class DayQuery(Struct, frozen=True):
    starts_from: datetime
    starts_before: datetime
    clinic_ids: frozenset[int] | None


LIST_UTILISATION = Statement("desk/dashboard.list_utilisation", Utilisation)
COUNT_DAY = Statement("desk/dashboard.count_day", DayCount)
LIST_NEARLY_FULL = Statement("desk/dashboard.list_nearly_full", Slot)
LIST_EXPIRING_HOLDS = Statement("desk/dashboard.list_expiring_holds", ExpiringHold)
LIST_LATEST_BOOKINGS = Statement("desk/dashboard.list_latest_bookings", Booking)
LIST_LATEST_BOOKINGS_OF_CLINICS = Statement("desk/dashboard.list_latest_bookings_of_clinics", Booking)


class Dashboard:
    """Only `list_latest_bookings` shows patients' names."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reads = SharedReads(self._read_day)

    async def get_day(
        self, starts_from: datetime, starts_before: datetime, clinic_ids: frozenset[int] | None = None
    ) -> Day:
        """Of some clinics or, with None, of all.

        One read serves all who ask for it at the same time: each open dashboard asks again whenever a seat is taken.
        """
        return await self._reads.read(DayQuery(starts_from, starts_before, clinic_ids))

    async def list_latest_bookings(self, reader: User, known_mark: str = "") -> LatestBookings | None:
        """The newest 20 with their names. None while they have the known mark: then nothing is shown or recorded."""
        async with self._database.connection() as connection:
            latest = _marked(await _latest(connection, reader))
            if latest.mark == known_mark:
                return None
            if shows_others(reader, latest.bookings):
                details = {"bookings": len(latest.bookings)}
                await record_action(connection, actor_of(reader), "list_latest_bookings", "bookings", details)
        return latest

    async def _read_day(self, query: DayQuery) -> Day:
        async with self._database.connection() as connection:
            open_time, more_open_time = await _open_time(connection, query)
            return Day(
                await _count_day(connection, query),
                await _utilisation(connection, query),
                await LIST_NEARLY_FULL.all(
                    connection, starts_before=query.starts_from + LOOK_AHEAD, clinic_ids=query.clinic_ids
                ),
                await LIST_EXPIRING_HOLDS.all(connection, clinic_ids=query.clinic_ids),
                open_time,
                more_open_time,
            )


async def _utilisation(connection: Connection, query: DayQuery) -> list[Utilisation]:
    return await LIST_UTILISATION.all(
        connection, starts_from=query.starts_from, starts_before=query.starts_before, clinic_ids=query.clinic_ids
    )


async def _open_time(connection: Connection, query: DayQuery) -> tuple[list[DoctorsOpenTime], bool]:
    """By doctor, and whether there are more doctors."""
    found = await LIST_DOCTORS_WITH_WINDOWS.all(
        connection,
        starts_from=query.starts_from,
        starts_before=query.starts_before,
        clinic_ids=query.clinic_ids,
        limit=MOST_WITH_OPEN_TIME + 1,
    )
    shown, parts = found[:MOST_WITH_OPEN_TIME], defaultdict(list)
    period = query.starts_from, query.starts_before, query.clinic_ids
    for part in await list_open_time(connection, [doctor.id for doctor in shown], *period):
        parts[part.doctor_id].append(part)
    days = [DoctorsOpenTime(doctor.id, doctor.name, parts[doctor.id]) for doctor in shown if parts[doctor.id]]
    return days, len(found) > len(shown)


async def _count_day(connection: Connection, query: DayQuery) -> DayCount:
    return await COUNT_DAY.one(
        connection, starts_from=query.starts_from, starts_before=query.starts_before, clinic_ids=query.clinic_ids
    )


async def _latest(connection: Connection, reader: User) -> list[Booking]:
    """For a reader of some clinics, found among the newest bookings of all."""
    if reader.clinic_ids is None:
        return await LIST_LATEST_BOOKINGS.all(connection)
    return await LIST_LATEST_BOOKINGS_OF_CLINICS.all(connection, clinic_ids=reader.clinic_ids)


def _marked(bookings: Sequence[Booking]) -> LatestBookings:
    states = " ".join(f"{booking.id}{booking.status}" for booking in bookings)
    return LatestBookings(list(bookings), hashlib.sha256(states.encode()).hexdigest()[:16])
