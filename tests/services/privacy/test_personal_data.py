"""Export and erasure below HTTP: whose data it is, and what happens at the same moment."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TypeAlias

import asyncpg
import msgspec
import pytest
import pytest_asyncio
from msgspec.structs import replace
from torture.patching import mutate

from slotwise.db.pool import Database
from slotwise.domain.bookings import BookingStatus, SeatRequest
from slotwise.domain.errors import (
    DatabaseBusy,
    InvalidCredentials,
    InvalidInput,
    LastAdmin,
    NotAllowed,
    NotAuthenticated,
)
from slotwise.domain.fields import MAX_ID
from slotwise.domain.users import Role, User
from slotwise.services.accounts.users import CHANGE_RIGHTS, CREATE_USER, password_attempts_of
from slotwise.services.booking.batches import Held, HoldRequest
from slotwise.services.booking.my_bookings import MyBookings
from slotwise.services.core.callers import Caller
from slotwise.services.core.idempotency import IdempotencyKey
from slotwise.services.privacy.personal_data import (
    ERASE_PERSONAL_DATA,
    PAGE,
    Erased,
    Person,
    PersonalData,
    PersonalDataDocument,
)
from tests.clinic import PATIENCE_SECONDS
from tests.services.accounts.test_users import LOOKALIKES
from tests.traces import places_of
from tests.workers import (
    GUEST,
    Worker,
    at_once,
    new_slot,
    until_waiting_for_a_lock,
    violations,
    waiting_for_a_lock,
    wanted,
    workers,
)

NAME, EMAIL = "Wilhelmina Canarybird", "wilhelmina.canary@example.org"
HASH = "a hash"

Rows: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
def personal_data(database: Database) -> PersonalData:
    return PersonalData(database)


@pytest_asyncio.fixture
async def worker(database_url: str) -> AsyncIterator[Worker]:
    async with workers(database_url, count=1) as [worker]:
        yield worker


@pytest_asyncio.fixture
async def canary(connection: Rows) -> User:
    return await account(connection, NAME, EMAIL)


async def account(connection: Rows, name: str, email: str, role: Role = Role.PATIENT) -> User:
    return await CREATE_USER.one(connection, name=name, email=email, role=role, password_hash=HASH)


def asked_by(user: User, slot_id: int, email: str | None = None, confirm: bool = False) -> SeatRequest:
    return SeatRequest(slot_id, 1, user.id, user.name, email or user.email, confirm)


async def booked(worker: Worker, user: User, slot_id: int, email: str | None = None) -> int:
    held = await worker.bookings.hold_seats(Caller(user), asked_by(user, slot_id, email, confirm=True))
    return held.booking.id


async def statuses(connection: Rows) -> dict[int, tuple[str, str]]:
    """Status and name of each booking."""
    found = await connection.fetch("SELECT id, status, user_name FROM bookings")
    return {row["id"]: (row["status"], row["user_name"]) for row in found}


async def exported(personal_data: PersonalData, person: Person) -> PersonalDataDocument:
    pieces = [piece async for piece in personal_data.export_personal_data(person, "operator")]
    return msgspec.json.decode(b"".join(pieces), type=PersonalDataDocument)


# Whose data it is.


async def test_an_operator_finds_a_person_by_account_and_by_email_in_any_case(
    personal_data: PersonalData, worker: Worker, connection: Rows, canary: User
) -> None:
    slot_id = await new_slot(connection, seats=9)
    by_account = await booked(worker, canary, slot_id, email="her.other@example.org")
    desk = await account(connection, "Rita", "rita@example.org", Role.STAFF)
    by_desk = await booked(worker, desk, slot_id, email=EMAIL.upper())
    guest = await worker.bookings.hold_seats(GUEST, SeatRequest(slot_id, 1, None, NAME, EMAIL.title()))
    await booked(worker, desk, slot_id)
    await worker.bookings.hold_seats(GUEST, wanted(slot_id))
    person = await personal_data.find_person(EMAIL.upper())
    assert person == Person(canary.id, "WILHELMINA.CANARY@example.org")
    data = await exported(personal_data, person)
    assert [booking.id for booking in data.bookings] == [by_account, by_desk, guest.booking.id]


async def test_an_unknown_email_finds_no_person_and_an_invalid_one_is_refused(
    personal_data: PersonalData, canary: User
) -> None:
    assert await personal_data.find_person("nobody@example.org") is None
    with pytest.raises(InvalidInput):
        await personal_data.find_person("nobody")


async def test_the_data_of_a_guest_has_no_account_and_no_note_about_other_guests(
    personal_data: PersonalData, worker: Worker, connection: Rows
) -> None:
    await worker.bookings.hold_seats(GUEST, wanted(await new_slot(connection, 1)))
    for _ in range(2):
        data = await exported(personal_data, Person(None, "ada@example.org"))
    assert (data.account, data.audit_log, len(data.bookings)) == (None, [], 1)
    notes = await connection.fetch("SELECT actor, action, subject FROM audit_log")
    assert [tuple(note) for note in notes] == [("operator", "export_personal_data", "guest")] * 2


async def test_an_export_of_several_pages_is_whole_and_in_order(
    personal_data: PersonalData, worker: Worker, connection: Rows, canary: User
) -> None:
    slot_id = await new_slot(connection, seats=1000)
    requests = [HoldRequest(asked_by(canary, slot_id), f"user:{canary.id}")] * (2 * PAGE + 5)
    held = [outcome for outcome in await worker.batches.hold(requests) if isinstance(outcome, Held)]
    assert len(held) == len(requests)
    data = await exported(personal_data, Person(canary.id))
    assert [record.id for record in data.bookings] == [one.booking.id for one in held]
    assert all([event.booking_id for event in record.events] == [record.id] for record in data.bookings)


async def test_erasing_a_user_at_the_desk_keeps_what_they_booked_for_others(
    personal_data: PersonalData, worker: Worker, connection: Rows, database: Database
) -> None:
    desk = await account(connection, "Rita Reception", "rita@example.org", Role.STAFF)
    slot_id = await new_slot(connection, seats=3)
    for_another = await booked(worker, desk, slot_id, email="patient@example.org")
    own = await booked(worker, desk, slot_id)
    assert await personal_data.erase_personal_data(Person(desk.id), f"user:{desk.id}") == Erased(1, 1)
    assert await statuses(connection) == {
        for_another: ("CONFIRMED", "Rita Reception"),
        own: ("CANCELLED", "Erased"),
    }
    assert await violations(database) == []


async def test_users_who_left_the_desk_do_not_get_its_patients_data(
    personal_data: PersonalData, worker: Worker, connection: Rows, database: Database
) -> None:
    """A user's current role does not say for whom they made a booking."""
    rita = await account(connection, "Rita", "rita@example.org", Role.STAFF)
    slot_id = await new_slot(connection, seats=9)
    for_another = await booked(worker, rita, slot_id, email="patient@example.org")
    own = await booked(worker, rita, slot_id, email="RITA@example.org")
    demoted = await CHANGE_RIGHTS.first(connection, user_id=rita.id, role=Role.PATIENT, active=None)
    assert demoted is not None
    assert [booking.id for booking in (await exported(personal_data, Person(rita.id))).bookings] == [own]
    mine = await worker.bookings.list_bookings_of_user(demoted, MAX_ID, 9)
    assert [booking.id for booking in mine] == [own]
    assert (await worker.bookings.get_booking(Caller(demoted), for_another)).booking.user_name is None
    with pytest.raises(NotAllowed):
        await worker.bookings.cancel_booking(Caller(demoted), for_another)
    assert await personal_data.erase_personal_data(Person(rita.id), f"user:{rita.id}") == Erased(1, 1)
    assert (await statuses(connection))[for_another] == ("CONFIRMED", "Rita")


async def test_an_erased_email_leaves_no_trace_and_an_intact_ledger(
    personal_data: PersonalData, worker: Worker, connection: Rows, database_url: str, canary: User
) -> None:
    slot_id = await new_slot(connection, seats=9)
    await booked(worker, canary, slot_id)
    key = IdempotencyKey.of("guest", "POST /api/bookings", "a key that is hard to guess", b"{}")
    request = SeatRequest(slot_id, 1, None, NAME, EMAIL)
    held = await worker.bookings.hold_seats(GUEST, request, key)
    await worker.bookings.cancel_booking(Caller(manage_token=held.manage.token), held.booking.id, f"{NAME} is ill")
    overdue = await worker.bookings.hold_seats(GUEST, request)
    await connection.execute(
        "UPDATE bookings SET expires_at = now() - interval '1 minute' WHERE id = $1", overdue.booking.id
    )
    names = NAME, EMAIL
    before = await asyncio.to_thread(places_of, database_url, *names)
    assert before == {
        "users.name", "users.email", "bookings.user_name", "bookings.user_email", "bookings.cancel_reason"
    }  # fmt: skip
    person = await personal_data.find_person(EMAIL)
    assert person is not None
    assert await personal_data.erase_personal_data(person, "operator") == Erased(3, 1)
    assert await asyncio.to_thread(places_of, database_url, *names) == set()
    assert await violations(worker.database) == []
    # The stored answer has no name: a retry gets back the name that it sends, and nothing is stored.
    again = await worker.bookings.hold_seats(GUEST, request, key)
    assert (again.booking.id, again.booking.user_name) == (held.booking.id, NAME)
    assert await asyncio.to_thread(places_of, database_url, *names) == set()
    notes = await connection.fetch("SELECT actor, subject, details FROM audit_log")
    assert [(note["actor"], note["subject"], msgspec.json.decode(note["details"])) for note in notes] == [
        (
            "operator",
            f"user:{canary.id}",
            {"bookings": 3, "cancelled": 1, "booking_ids": sorted(await statuses(connection))},
        )
    ]


async def test_a_guest_can_be_erased_again_after_a_restore_by_the_recorded_bookings(
    personal_data: PersonalData, worker: Worker, connection: Rows
) -> None:
    requests = [HoldRequest(wanted(await new_slot(connection, 101)), "guest")] * 101
    await worker.batches.hold(requests)
    await personal_data.erase_personal_data(Person(None, "ada@example.org"), "operator")
    oldest = sorted(await statuses(connection))[:100]
    [(subject, details)] = await connection.fetch("SELECT subject, details FROM audit_log")
    assert (subject, msgspec.json.decode(details)) == (
        "guest",
        {"bookings": 101, "cancelled": 101, "booking_ids": oldest},
    )


async def test_the_planner_keeps_no_samples_of_names(
    worker: Worker, connection: Rows, database_url: str, canary: User
) -> None:
    """Samples would keep the names after the rows are erased, until the tables are analyzed again."""
    slot_id = await new_slot(connection, seats=20)
    for number in range(5):
        await account(connection, f"{NAME} {number}", f"{number}.{EMAIL}")
        for email in (f"{number}.{EMAIL}", EMAIL):
            booking_id = await booked(worker, canary, slot_id, email)
            await worker.bookings.cancel_booking(Caller(canary), booking_id, NAME)
    await connection.execute("ANALYZE")
    assert await connection.fetchval("SELECT count(*) FROM pg_stats WHERE tablename IN ('users', 'bookings')") > 0
    places = await asyncio.to_thread(places_of, database_url, NAME, EMAIL)
    assert not {place for place in places if place.startswith("pg_stats.")}


async def test_a_password_that_was_changed_since_it_was_checked_erases_nothing(
    personal_data: PersonalData, connection: Rows, canary: User
) -> None:
    with pytest.raises(InvalidCredentials):
        await personal_data.erase_personal_data(Person(canary.id), "user", "an older hash")
    assert await connection.fetchval("SELECT name FROM users") == NAME
    await personal_data.erase_personal_data(Person(canary.id), "user", HASH)
    assert await connection.fetchval("SELECT name FROM users") == "Erased"


async def test_an_erasure_forgets_the_failed_attempts_before_it(
    personal_data: PersonalData, connection: Rows, canary: User
) -> None:
    attempts = [(password_attempts_of(canary.id),), (password_attempts_of(canary.id + 1),)]
    await connection.executemany("INSERT INTO login_attempts (account_hash) VALUES ($1)", attempts)
    await personal_data.erase_personal_data(Person(canary.id), "user", HASH)
    left = await connection.fetch("SELECT account_hash FROM login_attempts")
    assert [tuple(row) for row in left] == attempts[1:]


# At the same moment.


async def _erase(connection: Rows, user: User, booking_ids: list[int]) -> str:
    """The outcome of an erasure that ends with the caller's transaction."""
    row = await ERASE_PERSONAL_DATA.one(
        connection,
        user_id=user.id,
        booking_ids=booking_ids,
        old_password_hash=None,
        attempts_hash=None,
        actor="test",
        request_id=None,
    )
    return row.outcome


async def _after_somebody_waits(
    connection: Rows, attempt: Awaitable[object], first: Callable[[], Awaitable[object]]
) -> object:
    """The result of an attempt that waits for a transaction which did `first` and then commits."""
    transaction = connection.transaction()
    await transaction.start()
    await first()
    waiting = asyncio.ensure_future(attempt)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (waiting.done() or await waiting_for_a_lock(connection)):  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.005)
    await transaction.commit()
    return (await asyncio.gather(waiting, return_exceptions=True))[0]


async def _book_behind_an_erasure(worker: Worker, connection: Rows, canary: User) -> object:
    """A booking of an account whose token was valid when it was checked."""
    slot_id = await new_slot(connection, seats=2)
    booking = worker.bookings.hold_seats(Caller(canary), asked_by(canary, slot_id))
    return await _after_somebody_waits(connection, booking, partial(_erase, connection, canary, []))


async def test_a_booking_in_flight_does_not_bring_an_erased_name_back(
    worker: Worker, connection: Rows, canary: User
) -> None:
    assert isinstance(await _book_behind_an_erasure(worker, connection, canary), NotAuthenticated)
    assert await statuses(connection) == {}


async def test_without_the_lock_on_the_account_an_erased_name_comes_back(
    worker: Worker, connection: Rows, canary: User
) -> None:
    """The negative control: the account is read as it was before the erasure."""
    await mutate(connection, "require_active_account", " FOR KEY SHARE", "")
    assert isinstance(await _book_behind_an_erasure(worker, connection, canary), Held)
    assert [name for _, name in (await statuses(connection)).values()] == [NAME]


async def _erase_behind_a_booking(
    worker: Worker, personal_data: PersonalData, connection: Rows, canary: User
) -> dict[int, tuple[str, str]]:
    """An erasure that lists the bookings before another one, of another slot, is committed."""
    # On a busy machine it may wait longer than its lock timeout allows.
    await mutate(connection, "erase_personal_data", "300ms", "300s")
    await booked(worker, canary, await new_slot(connection, seats=1))
    slot_id = await new_slot(connection, seats=1)

    async def book() -> None:
        await connection.execute(
            "SELECT * FROM hold_seats(ARRAY[$1::bigint], ARRAY[1], ARRAY[$2::bigint], ARRAY[$3::text], ARRAY[$4::text],"
            " ARRAY[TRUE], ARRAY['\\x00'::bytea], ARRAY['test'], '{}', '{}', '{}', '{}', '{}', NULL, 60, 60)",
            slot_id,
            canary.id,
            NAME,
            EMAIL,
        )

    erased = await _after_somebody_waits(connection, personal_data.erase_personal_data(Person(canary.id), "test"), book)
    assert isinstance(erased, Erased)
    return await statuses(connection)


async def test_an_erasure_includes_bookings_made_while_it_waited(
    worker: Worker, personal_data: PersonalData, connection: Rows, canary: User
) -> None:
    left = await _erase_behind_a_booking(worker, personal_data, connection, canary)
    assert list(left.values()) == [("CANCELLED", "Erased")] * 2
    assert await violations(worker.database) == []


async def test_an_erasure_that_does_not_look_again_leaves_a_name(
    worker: Worker, personal_data: PersonalData, connection: Rows, canary: User
) -> None:
    """The negative control."""
    await mutate(connection, "erase_personal_data", "THEN 'again'", "THEN 'erased'")
    left = await _erase_behind_a_booking(worker, personal_data, connection, canary)
    assert ("CONFIRMED", NAME) in left.values()


async def test_an_erasure_that_waits_for_the_account_does_not_block_its_slots(
    worker: Worker, personal_data: PersonalData, connection: Rows, canary: User
) -> None:
    slot_id = await new_slot(connection, seats=3)
    booking_id = await booked(worker, canary, slot_id)
    async with connection.transaction():
        await connection.execute("SELECT 1 FROM users WHERE id = $1 FOR UPDATE", canary.id)
        erasure = asyncio.ensure_future(personal_data.erase_personal_data(Person(canary.id), "test"))
        await until_waiting_for_a_lock(connection)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert isinstance(await worker.bookings.hold_seats(GUEST, wanted(slot_id)), Held)
            with pytest.raises(DatabaseBusy):
                await erasure
    assert (await statuses(connection))[booking_id] == ("CONFIRMED", NAME)


async def test_an_erasure_that_always_finds_more_bookings_gives_up(
    personal_data: PersonalData, connection: Rows, canary: User
) -> None:
    await mutate(connection, "erase_personal_data", "ELSE 'erased'", "ELSE 'again'")
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(DatabaseBusy):
            await personal_data.erase_personal_data(Person(canary.id), "test")


async def test_a_booking_with_an_erased_account_does_not_fail_the_rest_of_its_batch(
    worker: Worker, connection: Rows, canary: User
) -> None:
    slot_id = await new_slot(connection, seats=4)
    await _erase(connection, canary, [])
    valid = partial(worker.bookings.hold_seats, GUEST, wanted(slot_id))
    of_erased = partial(worker.bookings.hold_seats, Caller(canary), asked_by(canary, slot_id))
    kinds = [type(result) for result in await at_once([valid, valid, of_erased, valid])]
    assert kinds == [Held, Held, NotAuthenticated, Held]


async def test_simultaneous_bookings_and_an_erasure_leave_no_name_and_correct_seats(
    database_url: str, connection: Rows, canary: User
) -> None:
    """Two workers book the same slots in both directions: locks in another order would deadlock."""
    slots = [await new_slot(connection, seats=20) for _ in range(4)]
    async with workers(database_url) as pair:

        def booking(number: int) -> Callable[[], Awaitable[object]]:
            worker, slot_id = pair[number % 2], slots[number % 4 if number % 3 else 3 - number % 4]
            requests = [
                HoldRequest(asked_by(canary, slot_id, confirm=number % 5 == 0), "test"),
                HoldRequest(wanted(slots[3 - slots.index(slot_id)]), "guest"),
            ]
            return partial(worker.batches.hold, requests)

        erasure = partial(PersonalData(pair[0].database).erase_personal_data, Person(canary.id), "test")
        attempts = [booking(number) for number in range(24)]
        attempts.insert(12, erasure)
        results = await at_once(attempts)
        kinds = {type(result) for result in results}
        assert {Erased, list} <= kinds
        assert kinds <= {Erased, list, NotAuthenticated}
        assert await violations(pair[0].database) == []
    left = await connection.fetch("SELECT DISTINCT user_name, status FROM bookings WHERE user_id = $1", canary.id)
    assert {tuple(row) for row in left} <= {("Erased", BookingStatus.CANCELLED)}


async def _two_admins_erase_each_themself(connection: Rows, personal_data: PersonalData) -> tuple[object, int]:
    """The result of the second erasure, and how many admins are left."""
    first = await account(connection, "Boss", "boss@example.org", Role.ADMIN)
    second = await account(connection, "Deputy", "deputy@example.org", Role.ADMIN)
    erasure = personal_data.erase_personal_data(Person(second.id), "test")
    outcome = await _after_somebody_waits(connection, erasure, partial(_erase, connection, first, []))
    left: int = await connection.fetchval("SELECT count(*) FROM users WHERE role = 'admin' AND active")
    return outcome, left


async def test_two_admins_who_erase_themselves_at_once_leave_one_admin(
    connection: Rows, personal_data: PersonalData
) -> None:
    outcome, left = await _two_admins_erase_each_themself(connection, personal_data)
    assert isinstance(outcome, LastAdmin)
    assert left == 1


async def test_without_the_erasure_lock_two_admins_leave_no_admin(
    connection: Rows, personal_data: PersonalData
) -> None:
    """The negative control."""
    turn = "PERFORM pg_advisory_xact_lock(hashtextextended('erase_personal_data', 0));"
    await mutate(connection, "erase_personal_data", turn, "")
    outcome, left = await _two_admins_erase_each_themself(connection, personal_data)
    assert (type(outcome), left) == (Erased, 0)


@pytest.mark.parametrize(("known", "similar"), LOOKALIKES)
async def test_an_email_opens_and_erases_no_data_of_one_that_folds_to_it(
    personal_data: PersonalData, worker: Worker, connection: Rows, known: str, similar: str
) -> None:
    first, second = await account(connection, "First", known), await account(connection, "Second", similar)
    slot_id = await new_slot(connection, 9)
    own = [await booked(worker, first, slot_id), await booked(worker, second, slot_id)]
    for booking_id, user in zip(own, (first, second), strict=True):
        person = await personal_data.find_person(user.email)
        assert person == Person(user.id, user.email)
        assert await personal_data.count_bookings(person) == 1
        [record] = (await exported(personal_data, person)).bookings
        assert record.id == booking_id
    await personal_data.erase_personal_data(Person(second.id, similar), "operator")
    assert await statuses(connection) == {own[0]: ("CONFIRMED", "First"), own[1]: ("CANCELLED", "Erased")}


@pytest.mark.parametrize(("known", "similar"), LOOKALIKES)
async def test_who_was_at_the_desk_has_no_bookings_of_an_email_that_folds_to_their_own(
    personal_data: PersonalData, worker: Worker, connection: Rows, known: str, similar: str
) -> None:
    former = await account(connection, "First", known, Role.STAFF)
    assert await CHANGE_RIGHTS.one(connection, user_id=former.id, role=Role.PATIENT, active=None)
    former = replace(former, role=Role.PATIENT, was_desk=True)
    slot_id = await new_slot(connection, 9)
    own = await booked(worker, former, slot_id, known)
    await booked(worker, former, slot_id, similar)
    assert await personal_data.count_bookings(Person(former.id)) == 1
    assert [b.id for b in await worker.bookings.list_bookings_of_user(former, MAX_ID, 9)] == [own]
    assert [b.id for b in await MyBookings(worker.database).list_coming_bookings(former, 9)] == [own]
