"""Patients carve visits of different lengths out of a doctor's open windows at the same instant."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TypeAlias

import asyncpg
import pytest
from msgspec import Struct
from torture.patching import drop_rules, mutate

from slotwise.domain.bookings import TimeRequest
from slotwise.domain.clinics import Clinic
from slotwise.domain.errors import ScheduleChanged, SlotClosed, SlotFull, SlotOverlaps, TimeGone
from slotwise.domain.schedule_changes import ScheduleChange
from slotwise.domain.schedules import Rule
from slotwise.domain.slots import SlotChange, SlotStatus
from slotwise.domain.users import Role, User
from slotwise.services.booking.batches import Held, HoldTimeRequest
from slotwise.services.core.idempotency import IdempotencyKey
from slotwise.services.schedule.clinics import fill_first_clinic
from slotwise.services.schedule.schedules import Applied, Schedules
from slotwise.services.schedule.slots import Slots
from tests.depth import many
from tests.workers import GUEST, NOW, Worker, at_once, each, holder_of, in_turn, violations, wanted, workers

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
MORNING = (NOW + timedelta(days=30)).replace(hour=9, minute=0, second=0, microsecond=0)
ADMIN = User(0, "admin@example.org", "Admin", Role.ADMIN, True, 1, NOW, NOW)
ROUNDS = many(3, 30)


class OpenMorning(Struct, frozen=True):
    """A doctor's window of three hours; `types` has the visit types by their minutes."""

    doctor_id: int
    window_id: int
    types: dict[int, int]
    start: datetime = MORNING

    def time(self, after: int, minutes: int) -> TimeRequest:
        """The time that begins so many minutes after the window, and takes so long."""
        start = self.start + timedelta(minutes=after)
        end = start + timedelta(minutes=minutes)
        return TimeRequest(self.window_id, start, end, self.types[minutes], None, "Ada Lovelace", "ada@example.org")


async def open_morning(connection: Connection, buffer: int = 5, doctor_id: int | None = None) -> OpenMorning:
    doctor_id = doctor_id or await connection.fetchval("INSERT INTO doctors (name) VALUES ('Dr. Who') RETURNING id")
    types = {
        minutes: await connection.fetchval(
            "INSERT INTO visit_types (name, minutes, buffer_minutes) VALUES ('Visit', $1, $2) RETURNING id",
            minutes,
            buffer,
        )
        for minutes in (10, 20, 45)
    }
    rule_id = await connection.fetchval(
        "INSERT INTO schedule_rules (doctor_id, clinic_id, first_day, weekday, opens, closes, slot_minutes, kind,"
        " step_minutes, visit_type_ids) VALUES ($1, 1, $2, $4, 540, 720, 180, 'WINDOW', 5, $3) RETURNING id",
        doctor_id,
        MORNING.date(),
        list(types.values()),
        # A change of this doctor's schedule closes the window: its rule has another weekday.
        MORNING.isoweekday() % 7 + 1,
    )
    window_id = await connection.fetchval(
        "INSERT INTO windows (doctor_id, clinic_id, rule_id, start_time, end_time, local_start)"
        " VALUES ($1, 1, $2, $3, $4, $5) RETURNING id",
        doctor_id,
        rule_id,
        MORNING,
        MORNING + timedelta(hours=3),
        MORNING.replace(tzinfo=None),
    )
    return OpenMorning(doctor_id, window_id, types)


async def visits_too_near(connection: Connection) -> int:
    """How many pairs of live visits of one doctor overlap, buffers included."""
    count: int = await connection.fetchval(
        "SELECT count(*) FROM appointment_slots AS s JOIN appointment_slots AS o"
        " ON s.doctor_id = o.doctor_id AND s.id < o.id AND s.start_time < coalesce(o.busy_until, o.end_time)"
        " AND o.start_time < coalesce(s.busy_until, s.end_time)"
        " WHERE s.available_seats < s.total_seats AND o.available_seats < o.total_seats"
    )
    return count


async def hold(morning: OpenMorning, after: int, minutes: int, worker: Worker) -> Held:
    return await worker.bookings.hold_time(GUEST, morning.time(after, minutes))


WISHES = [(after, minutes) for after in range(0, 171, 5) for minutes in (10, 20, 45) if after + minutes <= 180]


async def test_a_crowd_gets_visits_that_do_not_overlap(database_url: str, connection: Connection) -> None:
    async with workers(database_url) as pair:
        for _ in range(ROUNDS):
            morning = await open_morning(connection)
            results = await each(pair, len(WISHES), wishing(morning))
            assert {type(result) for result in results} == {Held, SlotFull}
            await every_refusal_was_true(morning, pair[0])
            assert await visits_too_near(connection) == 0
        assert await violations(pair[0].database) == []


def wishing(morning: OpenMorning) -> Callable[[Worker, int], Awaitable[Held]]:
    async def attempt(worker: Worker, number: int) -> Held:
        return await hold(morning, *WISHES[number], worker)

    return attempt


async def every_refusal_was_true(morning: OpenMorning, worker: Worker) -> None:
    """What was refused is refused again, now that nobody else asks."""
    for after, minutes in WISHES:
        with pytest.raises(SlotFull):
            await hold(morning, after, minutes, worker)


LOCKS_WINDOWS = "ORDER BY v.id\n    FOR NO KEY UPDATE"


@pytest.mark.parametrize("locked", [True, False])
async def test_of_two_visits_that_overlap_one_is_refused_because_of_the_windows_lock(
    database_url: str, connection: Connection, locked: bool
) -> None:
    """With the lock, and as a negative control without it: each has decided before the other commits."""
    if not locked:
        await mutate(connection, "hold_times", LOCKS_WINDOWS, "")
        # The second line of defence. It knows no buffers.
        await drop_rules(connection, "slot_overlaps")
    morning = await open_morning(connection)
    async with workers(database_url) as pair:
        results = await in_turn(
            connection,
            "LOCK TABLE bookings IN SHARE MODE",
            [partial(hold, morning, after, 45, worker) for after, worker in zip((0, 30), pair, strict=True)],
        )
    assert [type(result) for result in results] == [Held, SlotFull if locked else Held]
    assert await visits_too_near(connection) == (not locked)


@pytest.mark.parametrize("buffered", [True, False])
async def test_the_buffer_of_a_visit_is_kept_free(database_url: str, connection: Connection, buffered: bool) -> None:
    if not buffered:
        await mutate(connection, "hold_times", "a.start_time, a.busy_until)", "a.start_time, a.end_time)")
        await mutate(connection, "slots_in_the_way", "coalesce(s.busy_until, s.end_time)", "s.end_time")
    morning = await open_morning(connection, buffer=30)
    async with workers(database_url, 1) as [worker]:
        await hold(morning, 40, 20, worker)
        # One would begin in the buffer of the visit, the other has a buffer in which the visit begins.
        results = await at_once([partial(hold, morning, after, 10, worker) for after in (60, 20)])
    assert {type(result) for result in results} == {SlotFull if buffered else Held}
    assert await visits_too_near(connection) == 2 * (not buffered)


async def test_buffers_reach_into_the_next_window(database_url: str, connection: Connection) -> None:
    """Two windows of a doctor that touch: whoever carves at the end of one locks the other, too."""
    async with workers(database_url) as pair:
        for _ in range(ROUNDS):
            morning = await open_morning(connection, buffer=30)
            noon = await next_window(connection, morning)
            results = await at_once([partial(hold, morning, 170, 10, pair[0]), partial(hold, noon, 0, 10, pair[1])])
            assert {type(result) for result in results} == {Held, SlotFull}
        assert await visits_too_near(connection) == 0


async def next_window(connection: Connection, morning: OpenMorning) -> OpenMorning:
    start = MORNING + timedelta(hours=3)
    window_id = await connection.fetchval(
        "INSERT INTO windows (doctor_id, clinic_id, rule_id, start_time, end_time, local_start)"
        " SELECT doctor_id, clinic_id, rule_id, $2, $3, $4 FROM windows WHERE id = $1 RETURNING id",
        morning.window_id,
        start,
        start + timedelta(hours=3),
        start.replace(tzinfo=None),
    )
    return OpenMorning(morning.doctor_id, window_id, morning.types, start)


async def test_batches_over_many_windows_in_opposite_orders_never_deadlock(
    database_url: str, connection: Connection
) -> None:
    mornings = [await open_morning(connection) for _ in range(8)]
    async with workers(database_url) as pair:
        for _ in range(many(20, 1000)):
            requests = [HoldTimeRequest(morning.time(0, 45), "guest") for morning in mornings]
            results = await asyncio.gather(
                pair[0].batches.hold_times(requests), pair[1].batches.hold_times(requests[::-1])
            )
            held = [one for result in results for one in result if isinstance(one, Held)]
            assert len(held) == len(mornings)
            await at_once([partial(pair[0].bookings.release_hold, holder_of(one), one.booking.id) for one in held])
        assert await violations(pair[0].database) == []


async def test_batches_that_lock_windows_in_any_order_deadlock(database_url: str, connection: Connection) -> None:
    """The negative control of the test above."""
    await mutate(connection, "hold_times", LOCKS_WINDOWS, "ORDER BY random() FOR NO KEY UPDATE")
    mornings = [await open_morning(connection) for _ in range(8)]
    requests = [HoldTimeRequest(morning.time(0, 45), "guest") for morning in mornings]
    async with workers(database_url) as pair:
        deadlocks = 0
        while not deadlocks:
            await asyncio.gather(*(worker.batches.hold_times(requests) for worker in pair), return_exceptions=True)
            deadlocks = await connection.fetchval(
                "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
            )
            await connection.execute("UPDATE bookings SET expires_at = clock_timestamp() WHERE status = 'PENDING'")


async def test_times_that_are_held_and_released_again_and_again_leave_few_rows(
    database_url: str, connection: Connection
) -> None:
    morning = await open_morning(connection)
    async with workers(database_url, 1) as [worker]:
        for number in range(many(200, 2000)):
            held = await hold(morning, 5 * (number % 3), 20, worker)
            await worker.bookings.release_hold(holder_of(held), held.booking.id)
        assert await connection.fetchval("SELECT count(*) FROM appointment_slots") == 3
        assert await violations(worker.database) == []


async def test_overdue_holds_are_in_nobodys_way(database_url: str, connection: Connection) -> None:
    morning = await open_morning(connection)
    async with workers(database_url, 1) as [worker]:
        overdue = await hold(morning, 0, 45, worker)
        await connection.execute("UPDATE bookings SET expires_at = clock_timestamp()")
        held = await hold(morning, 10, 10, worker)
        assert held.booking.slot_id != overdue.booking.slot_id
        statuses = await connection.fetch("SELECT status FROM appointment_slots ORDER BY id")
        assert [row["status"] for row in statuses] == ["CLOSED", "OPEN"]
        again = await hold(morning, 60, 45, worker)
        assert again.booking.visit_type_id == morning.types[45]
        assert await violations(worker.database) == []


async def test_a_repeated_request_gets_its_answer_again(database_url: str, connection: Connection) -> None:
    morning = await open_morning(connection)
    async with workers(database_url, 1) as [worker]:
        keys = [IdempotencyKey.of("guest", "POST /api/bookings", name * 4, b"body") for name in ("first", "other")]
        wanted = morning.time(0, 45)
        held = await worker.bookings.hold_time(GUEST, wanted, keys[0])
        again = await worker.bookings.hold_time(GUEST, wanted, keys[0])
        assert (again.replayed, again.booking.id, again.manage.token) == (True, held.booking.id, held.manage.token)
        for _ in range(2):
            with pytest.raises(SlotFull):
                await worker.bookings.hold_time(GUEST, wanted, keys[1])
            await worker.bookings.release_hold(holder_of(held), held.booking.id)


@pytest.mark.parametrize(
    "fault",
    [
        "UPDATE windows SET status = 'CLOSED'",
        "UPDATE doctors SET active = FALSE",
        "UPDATE clinics SET active = FALSE",
        "UPDATE visit_types SET minutes = 44 WHERE minutes = 45",
        "UPDATE windows SET end_time = end_time - interval '2 hours 20 minutes'",
        "INSERT INTO closures (start_time, end_time, kind)"
        " SELECT start_time + interval '40 minutes', end_time, 'ABSENCE' FROM windows",
    ],
)
async def test_a_time_that_its_window_no_longer_has_is_gone(
    database_url: str, connection: Connection, fault: str
) -> None:
    morning = await open_morning(connection)
    await connection.execute(fault)
    async with workers(database_url, 1) as [worker]:
        with pytest.raises(TimeGone):
            await hold(morning, 0, 45, worker)
    assert await connection.fetchval("SELECT count(*) FROM appointment_slots") == 0


async def test_published_slots_take_the_doctors_time_full_or_free(database_url: str, connection: Connection) -> None:
    morning = await open_morning(connection)
    await connection.execute(
        "INSERT INTO appointment_slots (doctor_id, start_time, end_time, total_seats, available_seats)"
        " VALUES ($1, $2, $3, 2, 2)",
        morning.doctor_id,
        MORNING + timedelta(minutes=30),
        MORNING + timedelta(minutes=60),
    )
    async with workers(database_url, 1) as [worker]:
        for after in (20, 40, 55):
            with pytest.raises(SlotFull):
                await hold(morning, after, 10, worker)
        await hold(morning, 60, 10, worker)


async def test_a_carved_slot_is_closed_to_those_who_ask_for_it_by_its_id(
    database_url: str, connection: Connection
) -> None:
    morning = await open_morning(connection)
    async with workers(database_url, 1) as [worker]:
        held = await hold(morning, 0, 45, worker)
        await worker.bookings.release_hold(holder_of(held), held.booking.id)
        with pytest.raises(SlotClosed):
            await worker.bookings.hold_seats(GUEST, wanted(held.booking.slot_id))


async def _create(slots: Slots, doctor_id: int) -> object:
    return await slots.create_slot(ADMIN, doctor_id, MORNING + timedelta(minutes=20), 1, 30)


async def _open(slots: Slots, doctor_id: int) -> object:
    week = await slots.list_week(doctor_id, MORNING, MORNING + timedelta(hours=3))
    [closed] = [slot for slot in week.slots if slot.status is SlotStatus.CLOSED]
    return await slots.update_slot(ADMIN, closed.id, SlotChange(status=SlotStatus.OPEN))


WAYS = {"creating": _create, "opening": _open}


async def _closed_slot(connection: Connection, doctor_id: int) -> None:
    start = MORNING + timedelta(minutes=20)
    await connection.execute(
        "WITH made AS (INSERT INTO appointment_slots"
        " (doctor_id, start_time, end_time, total_seats, available_seats, status, last_event)"
        " VALUES ($1, $2, $3, 1, 1, 'CLOSED', 2) RETURNING id)"
        " INSERT INTO booking_events"
        " (slot_id, sequence, kind, seats, available_after, total_after, actor, created_at)"
        " SELECT made.id, e.sequence, e.kind, 1, 1, 1, 'test', now()"
        " FROM made, (VALUES (1, 'CREATED'), (2, 'CLOSED')) AS e (sequence, kind)",
        doctor_id,
        start,
        start + timedelta(minutes=30),
    )


async def _carve_and_come(
    pair: list[Worker], connection: Connection, way: str
) -> list[Callable[[], Awaitable[object]]]:
    """One carves a visit, the other lets a published slot come into its time."""
    morning = await open_morning(connection)
    if way == "opening":
        await _closed_slot(connection, morning.doctor_id)
    return [
        partial(hold, morning, 0, 45, pair[0]),
        partial(WAYS[way], Slots(pair[1].database), morning.doctor_id),
    ]


@pytest.mark.parametrize("way", WAYS)
async def test_of_a_visit_and_a_published_slot_in_its_time_one_is_refused(
    database_url: str, connection: Connection, way: str
) -> None:
    async with workers(database_url) as pair:
        for _ in range(ROUNDS):
            results = await at_once(await _carve_and_come(pair, connection, way))
            refused = [type(result) for result in results if isinstance(result, Exception)]
            assert refused in ([SlotFull], [SlotOverlaps]), results
        assert await violations(pair[0].database) == []


@pytest.mark.parametrize("way", WAYS)
async def test_an_empty_carved_slot_makes_room(database_url: str, connection: Connection, way: str) -> None:
    """It is in nobody's way, whether its hold was released or has run out."""
    async with workers(database_url, 1) as [worker]:
        for ends in ("released", "overdue"):
            [carve, come] = await _carve_and_come([worker, worker], connection, way)
            held = await carve()
            assert isinstance(held, Held)
            if ends == "released":
                await worker.bookings.release_hold(holder_of(held), held.booking.id)
            else:
                await connection.execute("UPDATE bookings SET expires_at = clock_timestamp() WHERE status = 'PENDING'")
            await come()
        assert await violations(worker.database) == []


async def test_a_rule_that_publishes_in_place_of_a_window_leaves_no_visit_beside_its_slots(
    database_url: str, connection: Connection
) -> None:
    """The hold ends with the window, or its time is gone. No slot is published in the time of a live visit."""
    async with workers(database_url) as pair:
        await fill_first_clinic(pair[0].database, Clinic(1, "Clinic", "UTC"))
        schedules = Schedules(pair[1].database, 40)
        for _ in range(ROUNDS):
            morning = await open_morning(connection)
            change = publishing(morning)
            seen = await schedules.preview_schedule(ADMIN, change)
            attempts: list[Callable[[], Awaitable[object]]] = [
                partial(hold, morning, 0, 45, pair[0]),
                partial(schedules.apply_schedule, ADMIN, change, seen.token),
            ]
            held, done = await at_once(attempts)
            assert isinstance(held, Held | SlotFull | TimeGone), held
            assert isinstance(done, Applied | ScheduleChanged), done
            assert isinstance(held, Held) or isinstance(done, Applied)
            assert await published_beside_visits(connection) == 0
        assert await violations(pair[0].database) == []


def publishing(morning: OpenMorning) -> ScheduleChange:
    """A rule for a slot of half an hour, from twenty minutes after the beginning of the window on."""
    day = MORNING.date()
    rule = Rule(0, morning.doctor_id, 1, day, day, 1, day.isoweekday(), 560, 590, 30, 0, 1)
    return ScheduleChange(add_rules=(rule,))


async def published_beside_visits(connection: Connection) -> int:
    """How many open published slots come into the time of a live carved visit."""
    count: int = await connection.fetchval(
        "SELECT count(*) FROM appointment_slots AS s JOIN appointment_slots AS o ON s.doctor_id = o.doctor_id"
        " WHERE s.window_id IS NULL AND s.status = 'OPEN' AND o.available_seats < o.total_seats"
        " AND o.window_id IS NOT NULL AND s.start_time < coalesce(o.busy_until, o.end_time)"
        " AND o.start_time < s.end_time"
    )
    return count


@pytest.mark.parametrize("after", [0, 20])
async def test_a_carved_slot_that_a_person_gives_more_seats_is_in_nobodys_way(
    database_url: str, connection: Connection, after: int
) -> None:
    """It is empty, and somebody asks for its time or for one that overlaps it, at the same instant."""
    async with workers(database_url) as pair:
        slots = Slots(pair[1].database)
        for seats in range(2, 2 + ROUNDS):
            morning = await open_morning(connection)
            held = await hold(morning, 0, 45, pair[0])
            await pair[0].bookings.release_hold(holder_of(held), held.booking.id)
            change = SlotChange(total_seats=seats)
            attempts: list[Callable[[], Awaitable[object]]] = [
                partial(hold, morning, after, 45, pair[0]),
                partial(slots.update_slot, ADMIN, held.booking.slot_id, change),
            ]
            again, resized = await at_once(attempts)
            assert isinstance(again, Held), again
            assert not isinstance(resized, Exception), resized
            with pytest.raises(SlotFull):
                await hold(morning, 40, 10, pair[1])
        assert await visits_too_near(connection) == 0
        assert await violations(pair[0].database) == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("locked", [True, False])
async def test_a_published_slot_waits_for_visits_because_of_the_windows_lock(
    database_url: str, connection: Connection, locked: bool, way: str
) -> None:
    """With the lock, and as a negative control without it: both have decided before one of them commits."""
    if not locked:
        await mutate(connection, "lock_windows", "FOR NO KEY UPDATE", "")
        await drop_rules(connection, "slot_overlaps")
    async with workers(database_url) as pair:
        attempts = await _carve_and_come(pair, connection, way)
        results = await in_turn(connection, "LOCK TABLE bookings IN SHARE MODE", attempts, ends=not locked)
    assert [isinstance(result, SlotOverlaps) for result in results] == [False, locked]
