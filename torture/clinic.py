"""The clinic of a run, created through the API as an admin would."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from torture.bed import ADMIN_EMAIL, ADMIN_PASSWORD
from torture.client import Caller
from torture.history import Visit
from torture.page_client import headers_of
from torture.plan import Plan

ACCOUNTS = 6
SEATS = (6, 12, 24)
LAST_SEATS = (1, 2, 3)
PROBE_SEATS = 100_000
SLOTS_OF_A_RACER = 12
# Publishing requests at a time. The server makes a doctor's slots one after the other.
AT_ONCE = 4
# All slots of a run begin within a year.
A_YEAR = 365 * 24 * 60
RULES: dict[Visit, dict[str, int]] = {
    "lenient": {},
    "strict": {"minNoticeMinutes": A_YEAR},
    "single": {"maxLivePerPatient": 1},
    "firm": {"changeDeadlineMinutes": A_YEAR},
}
# Of hours whose visits change their length. They have the same one, and only one has a buffer.
LENGTHS: dict[Visit, dict[str, int]] = {"brief": {}, "roomy": {"bufferMinutes": 20}}
# Of open time.
CARVED: dict[Visit, dict[str, int]] = {
    "quick": {"minutes": 10, "bufferMinutes": 5},
    "usual": {"minutes": 20, "bufferMinutes": 5},
    "thorough": {"minutes": 45, "bufferMinutes": 10},
}
# Of open time too: only the desk can book these. Patients are refused with that code.
FOR_DESK: dict[Visit, dict[str, int]] = {
    "planned": {"minutes": 20, "bufferMinutes": 5, "minNoticeMinutes": A_YEAR},
    "prompt": {"minutes": 10, "bufferMinutes": 5, "horizonDays": 1},
}
BARRED: dict[Visit, str] = {"planned": "too-late-to-book", "prompt": "too-early-to-book"}
QUIET_SLOTS = 12
QUIET_SEATS = 2
OVERBOOKED_SLOTS = 3
OVERBOOKED_SEATS = 1


ALL_TYPES = RULES | LENGTHS | CARVED | FOR_DESK


class _Made(Struct, frozen=True):
    id: int


class _LoggedIn(Struct, frozen=True, rename="camel"):
    access_token: str


class Clinic(Struct, frozen=True):
    """`slots` has the starts of one doctor's slots, in seconds since 1970, and `seats` their seats. `last_seats` are
    slots for races. `overbooked` are those of the overbooker alone. `probe` is the slot that is booked to see whether
    bookings succeed."""

    doctor: int
    slots: dict[int, float]
    seats: dict[int, int]
    quiet_doctor: int
    quiet_slots: dict[int, float]
    last_seats: list[int]
    overbooked: list[int]
    probe: int
    patients: list[Caller]
    # The types of visits, and the slots that offer all of them but those whose length changes and those of open time.
    visit_types: dict[Visit, int]
    typed: frozenset[int]
    # The desk is an admin.
    desk: Caller
    staff: Caller


async def open_clinic(session: aiohttp.ClientSession, plan: Plan) -> Clinic:
    desk = await log_in(session, "desk", ADMIN_EMAIL, ADMIN_PASSWORD)
    seats = [SEATS[number % len(SEATS)] for number in range(plan.slots)]
    racing = [LAST_SEATS[number % len(LAST_SEATS)] for number in range(SLOTS_OF_A_RACER * plan.racers)]
    quiet = [QUIET_SEATS] * QUIET_SLOTS
    overbooked = [OVERBOOKED_SEATS] * OVERBOOKED_SLOTS
    practices = [
        await _open_practice(session, desk, total) for total in (seats, racing, overbooked, [PROBE_SEATS], quiet)
    ]
    (doctor, slots), (_, last_seats), (_, full), (_, probe), (quiet_doctor, quiet_slots) = practices
    patients = await asyncio.gather(*(_register(session, number) for number in range(ACCOUNTS)))
    staff = await _employ(session, desk)
    seats_of = dict(zip(slots, seats, strict=True))
    visit_types = {kind: await _add_visit_type(session, desk, rules) for kind, rules in ALL_TYPES.items()}
    typed = frozenset(list(slots)[::2])
    for slot_id in typed:
        change = {"visitTypeIds": [visit_types[kind] for kind in RULES]}
        await ask(session, "PATCH", f"/api/slots/{slot_id}", json=change, headers=desk.headers)
    return Clinic(
        doctor,
        slots,
        seats_of,
        quiet_doctor,
        quiet_slots,
        list(last_seats),
        list(full),
        next(iter(probe)),
        patients,
        visit_types,
        typed,
        desk,
        staff,
    )


async def ask(session: aiohttp.ClientSession, method: str, path: str, **sent: Any) -> bytes:
    """The body of the answer. It is read to its end: otherwise its connection stays taken until the session ends, and
    aiohttp then says "Unclosed connection"."""
    async with session.request(method, path, **sent) as answer:
        return await answer.read()


async def _id_of_new(session: aiohttp.ClientSession, path: str, body: Mapping[str, Any], admin: Caller) -> int:
    answer = await ask(session, "POST", path, json=body, headers=admin.headers)
    return msgspec.json.decode(answer, type=_Made).id


async def _add_visit_type(session: aiohttp.ClientSession, admin: Caller, rules: dict[str, int]) -> int:
    return await _id_of_new(session, "/api/visit-types", {"name": "Visit", "minutes": 30, **rules}, admin)


async def _open_practice(
    session: aiohttp.ClientSession, admin: Caller, seats: Sequence[int]
) -> tuple[int, dict[int, float]]:
    """A doctor with a slot for each number of seats. Each starts on the hour and lasts half an hour."""
    doctor = await _id_of_new(session, "/api/doctors", {"name": "Dr. Torture"}, admin)
    first = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=30)
    few = asyncio.Semaphore(AT_ONCE)

    async def publish(number: int, total: int) -> tuple[int, float]:
        start = first + timedelta(hours=number)
        body = {"doctorId": doctor, "startTime": start.isoformat().replace("+00:00", "Z"), "totalSeats": total}
        async with few:
            return await _id_of_new(session, "/api/slots", body, admin), start.timestamp()

    return doctor, dict(await asyncio.gather(*(publish(number, total) for number, total in enumerate(seats))))


async def _register(session: aiohttp.ClientSession, number: int) -> Caller:
    email, password = f"account{number}@torture.example", "a fine patient password"
    person = {"name": f"Account {number}", "email": email, "password": password}
    await ask(session, "POST", "/api/auth/register", json=person)
    return await log_in(session, f"account{number}", email, password)


async def _employ(session: aiohttp.ClientSession, admin: Caller) -> Caller:
    """A receptionist, who is no admin. Only the pages give roles."""
    email, password = "staff@torture.example", "a fine staff password"
    form = {"name": "Staff", "email": email, "role": "staff", "password": password}
    headers = headers_of(admin.cookies)
    await ask(session, "POST", "/admin/users/new", data=form, headers=headers, allow_redirects=False)
    return await log_in(session, "staff", email, password)


async def log_in(session: aiohttp.ClientSession, name: str, email: str, password: str) -> Caller:
    """A caller with the headers for the API and the cookie for the pages."""
    answer = await ask(session, "POST", "/api/auth/login", json={"email": email, "password": password})
    token = msgspec.json.decode(answer, type=_LoggedIn).access_token
    return Caller(name, {"Authorization": f"Bearer {token}"}, {"slotwise-session": token})
