"""A rule of open time is removed, or its day closed, while a patient books a visit in one of its windows."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

import asyncpg
import pytest
from torture.patching import mutate

from slotwise.domain.bookings import TimeRequest
from slotwise.domain.clinics import Clinic
from slotwise.domain.errors import ScheduleChanged, TimeGone
from slotwise.domain.schedule_changes import ScheduleChange
from slotwise.domain.schedules import Closure, ClosureKind, Rule, RuleKind
from slotwise.domain.users import Role, User
from slotwise.services.booking.batches import Held
from slotwise.services.schedule.clinics import fill_first_clinic
from slotwise.services.schedule.schedules import Applied, Schedules
from tests.depth import many
from tests.workers import GUEST, NOW, Worker, at_once, in_turn, violations, workers

ADMIN = User(0, "admin@example.org", "Admin", Role.ADMIN, True, 1, NOW, NOW)
DAY = (NOW + timedelta(days=10)).date()
LENGTH = timedelta(minutes=20)


class OpenTime(NamedTuple):
    """A window of three hours, and the change that ends or closes it, as it was previewed."""

    visit: TimeRequest
    change: ScheduleChange
    token: str


WAYS = ("its rule is removed", "the day is closed")


async def open_time(worker: Worker, connection: asyncpg.Connection, way: str, *, confirm: bool) -> OpenTime:
    await fill_first_clinic(worker.database, Clinic(1, "Clinic", "UTC"))
    doctor_id = await connection.fetchval("INSERT INTO doctors (name) VALUES ('Dr. Who') RETURNING id")
    visit_type = await connection.fetchval("INSERT INTO visit_types (name, minutes) VALUES ('Visit', 20) RETURNING id")
    rule = Rule(
        0, doctor_id, 1, DAY, DAY, 1, DAY.isoweekday(), 540, 720, 180, 0, 1, (visit_type,), kind=RuleKind.WINDOW,
        step_minutes=10,
    )  # fmt: skip
    schedules = Schedules(worker.database, 20)
    adding = ScheduleChange(add_rules=(rule,))
    done = await schedules.apply_schedule(ADMIN, adding, (await schedules.preview_schedule(ADMIN, adding)).token)
    [window] = await connection.fetch("SELECT id, start_time FROM windows WHERE doctor_id = $1", doctor_id)
    visit = TimeRequest(window[0], window[1], window[1] + LENGTH, visit_type, None, "Ada", "ada@example.org", confirm)
    begin = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
    absence = Closure(0, doctor_id, None, begin, begin + timedelta(days=1), ClosureKind.ABSENCE)
    removing, closing = ScheduleChange(remove_rules=tuple(done.rule_ids)), ScheduleChange(add_closures=(absence,))
    change = removing if way == WAYS[0] else closing
    return OpenTime(visit, change, (await schedules.preview_schedule(ADMIN, change)).token)


async def book(worker: Worker, opened: OpenTime) -> object:
    return await worker.bookings.hold_time(GUEST, opened.visit)


async def close(worker: Worker, opened: OpenTime) -> object:
    return await Schedules(worker.database, 20).apply_schedule(ADMIN, opened.change, opened.token)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("locked", [True, False])
async def test_a_visit_that_is_booked_first_makes_the_preview_old_because_of_the_windows_lock(
    database_url: str, connection: asyncpg.Connection, locked: bool, way: str
) -> None:
    """With the lock, and as a negative control without it: the visit is booked in no window or in a closure, and nobody
    is told."""
    if not locked:
        await mutate(connection, "lock_windows", "FOR NO KEY UPDATE", "")
    async with workers(database_url) as pair:
        opened = await open_time(pair[0], connection, way, confirm=True)
        attempts = [partial(book, pair[0], opened), partial(close, pair[1], opened)]
        results = await in_turn(connection, "LOCK TABLE bookings IN SHARE MODE", attempts)
        assert [type(result) for result in results] == [Held, ScheduleChanged if locked else Applied]
        [state] = await connection.fetch("SELECT status, drifted FROM appointment_slots")
        assert tuple(state) == ("OPEN", False)
        # An open slot in a closure is a violation only when publishing has had its time.
        await connection.execute("UPDATE closures SET updated_at = now() - interval '10 minutes'")
        await connection.execute("UPDATE appointment_slots SET updated_at = now() - interval '10 minutes'")
        assert bool(await violations(pair[0].database)) == (not locked)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("confirm", [True, False])
async def test_of_a_visit_and_the_end_of_its_window_each_knows_what_the_other_did(
    database_url: str, connection: asyncpg.Connection, confirm: bool, way: str
) -> None:
    """The time is gone, or the hold ends with its window, or the preview is old because of the booking."""
    async with workers(database_url) as pair:
        for _ in range(many(3, 30)):
            opened = await open_time(pair[0], connection, way, confirm=confirm)
            held, closed = await at_once([partial(book, pair[0], opened), partial(close, pair[1], opened)])
            assert isinstance(held, Held | TimeGone)
            assert isinstance(closed, ScheduleChanged if isinstance(held, Held) and confirm else Applied)
            live = await connection.fetchval("SELECT count(*) FROM bookings WHERE status = 'PENDING'")
            assert live == 0
        assert await violations(pair[0].database) == []
