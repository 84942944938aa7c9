"""Publishing the times of weekly hours, and applying a large change of schedules while others book."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import httpx

from bench.booking import CREATED, hold, warm_up
from bench.clinic import Clinic
from bench.database import row, statement
from bench.findings import Finding, at_most
from bench.history import settle
from bench.lab import Lab
from bench.load import wrk
from bench.readings import CheckFailed, Series
from bench.scenarios.scenario import Scenario
from bench.server import Server
from slotwise.db.pool import Database
from slotwise.domain.time_zones import EDITION
from slotwise.services.schedule.publishing import Publisher

PUBLISH_DAYS = 90
SLOTS_OF_A_DAY = 16
# From tomorrow on.
SLOTS_OF_A_DOCTOR = (PUBLISH_DAYS - 1) * SLOTS_OF_A_DAY
CONNECTIONS = 4
CLIENTS = 64
OTHER_SLOTS = 1_000
PATIENCE_SECONDS = 60
WHAT = (
    "SELECT count(*), count(DISTINCT s.start_time), sum(extract(epoch FROM s.start_time))"
    " FROM appointment_slots AS s INNER JOIN booking_events AS e ON s.id = e.slot_id"
    " WHERE s.doctor_id BETWEEN $1 AND $2 AND s.rule_id IS NOT NULL AND s.status = 'OPEN' AND e.kind = 'CREATED'"
)


def measure_publishing(lab: Lab) -> Iterator[Finding]:
    doctors = -(-lab.plan.published_slots // SLOTS_OF_A_DOCTOR)
    with lab.clinic() as clinic:
        _prepare(clinic)
        cases = {"publishing": partial(_publish, clinic, doctors), "INSERT": partial(_insert, clinic, doctors)}
        read = lab.alternate(cases)
        idle = lab.alternate({"nothing to do": partial(_publish_nothing, clinic)})
    published, bare = Series(tuple(read["publishing"])), Series(tuple(read["INSERT"]))
    nothing = Series(tuple(idle["nothing to do"]))
    slots = f"{doctors * SLOTS_OF_A_DOCTOR:,} slots"
    yield Finding(f"publishing {slots}", "s", published)
    yield Finding("bare INSERT ... SELECT of the same rows", "s", bare)
    yield Finding("publishing, times the bare INSERT", "x", published.over(bare), at_most(1.5))
    yield Finding("publishing when nothing is to do", "ms", Series(tuple(1000 * each for each in nothing.values)))
    yield Finding("publishing nothing, times the bare INSERT", "x", nothing.over(bare), at_most(0.1))


def _prepare(clinic: Clinic) -> None:
    """Let a server make the tables. It has ended before the measurement: it would publish, too."""
    with clinic.serve(CLINIC_TIME_ZONE="UTC"):
        pass


def _horizon() -> date:
    return datetime.now(UTC).date() + timedelta(days=PUBLISH_DAYS)


def _publish(clinic: Clinic, doctors: int) -> float:
    """Seconds that the publisher takes for new doctors, as one worker of a server has it."""
    made = row(clinic.database_url, statement("new_hours"), doctors)
    settle(clinic)
    added, seconds = asyncio.run(_publish_due(clinic.database_url))
    _require_published(clinic, made["first"], made["last"], doctors)
    if added != doctors * SLOTS_OF_A_DOCTOR:
        raise CheckFailed(f"the publisher counted {added} slots")
    return seconds


def _publish_nothing(clinic: Clinic) -> float:
    added, seconds = asyncio.run(_publish_due(clinic.database_url))
    if added:
        raise CheckFailed(f"{added} slots were published although nothing was to do")
    return seconds


async def _publish_due(url: str) -> tuple[int, float]:
    database = await Database.connect(url, CONNECTIONS)
    try:
        publisher = Publisher(database, PUBLISH_DAYS)
        began = time.perf_counter()
        return await publisher.publish_slots(), time.perf_counter() - began
    finally:
        await database.close()


def _insert(clinic: Clinic, doctors: int) -> float:
    """Seconds of one statement that writes the same rows for as many other doctors."""
    url = clinic.database_url
    made = row(url, statement("new_hours"), doctors)
    first, last, until = made["first"], made["last"], _horizon()
    settle(clinic)
    began = time.perf_counter()
    row(url, statement("bare_slots"), first, last, until)
    seconds = time.perf_counter() - began
    row(url, statement("note_published"), first, last, until, EDITION)
    _require_published(clinic, first, last, doctors)
    return seconds


def _require_published(clinic: Clinic, first: int, last: int, doctors: int) -> None:
    """All slots with their ledger rows, at the times that the hours say: the same sum of times for all doctors."""
    count, times, total = row(clinic.database_url, WHAT, first, last)
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    starts = [
        datetime(tomorrow.year, tomorrow.month, tomorrow.day, 9, tzinfo=UTC) + timedelta(days=day, minutes=30 * place)
        for day in range(PUBLISH_DAYS - 1)
        for place in range(SLOTS_OF_A_DAY)
    ]
    expected = (doctors * len(starts), len(starts), doctors * sum(start.timestamp() for start in starts))
    if (count, times, total) != expected:
        raise CheckFailed(f"{count} slots at {times} times, expected {expected[0]} at {expected[1]}")


def measure_apply(lab: Lab) -> Iterator[Finding]:
    doctors = lab.plan.changed_slots // SLOTS_OF_A_DOCTOR
    with lab.clinic() as clinic:
        _prepare(clinic)
        made = row(clinic.database_url, statement("new_hours"), doctors)
        asyncio.run(_publish_due(clinic.database_url))
        with clinic.serve() as server:
            warm_up(clinic, server)
            settle(clinic)
            desk = _Desk(clinic, server, range(made["first"], made["last"] + 1))
            cases = {
                "alone": partial(_book_alone, clinic, server, lab.plan.changing_seconds),
                "beside": partial(_book_beside, clinic, server, desk, lab.plan.changing_seconds),
            }
            read = lab.alternate(cases)
    for case, said in (("alone", "alone"), ("beside", "while changes are applied")):
        yield Finding(f"p99 of bookings {said}", "ms", _p99(read[case]), at_most(1000) if case == "beside" else None)
        yield Finding(f"longest booking {said}", "ms", Series(tuple(each.longest / 1000 for each in read[case])))
    yield Finding(f"longest change of {doctors * SLOTS_OF_A_DOCTOR:,} slots", "s", Series((max(desk.seconds),)))


def _p99(answers: list[wrk.Answers]) -> Series:
    return Series(tuple(each.reading(CREATED).p99 for each in answers))


def _book_alone(clinic: Clinic, server: Server, seconds: int) -> wrk.Answers:
    return wrk.run(server.url, hold(clinic.open_slots(OTHER_SLOTS)), CLIENTS, seconds)


def _book_beside(clinic: Clinic, server: Server, desk: "_Desk", seconds: int) -> wrk.Answers:
    """Other doctors' slots are booked, while all slots of some doctors are closed and opened again and again."""
    slots, newest = clinic.open_slots(OTHER_SLOTS), clinic.newest_booking()
    with wrk.running(server.url, hold(slots), CLIENTS, seconds) as bookings:
        desk.change_until(time.monotonic() + seconds)
        answers = wrk.parse(bookings.output())
    answers.require(CREATED)
    clinic.require_bookings(slots, newest, answers.count(CREATED), CLIENTS)
    return answers


class _Desk:
    """Closes doctors for the whole horizon, and undoes it. `seconds` has how long each applying took."""

    def __init__(self, clinic: Clinic, server: Server, doctors: range) -> None:
        self.seconds: list[float] = []
        headers = {"Authorization": f"Bearer {clinic.log_in(server)}"}
        self._http = httpx.Client(base_url=server.url, headers=headers, timeout=PATIENCE_SECONDS)
        now = datetime.now(UTC)
        end = now + timedelta(days=PUBLISH_DAYS + 1)
        period = {"startTime": now.isoformat(), "endTime": end.isoformat()}
        self._absences = [{"doctorId": doctor, **period} for doctor in doctors]
        self._slots = len(doctors) * SLOTS_OF_A_DOCTOR

    def change_until(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            done = self._apply("go", {"addClosures": self._absences})
            self._apply("come", {"removeClosures": done["closureIds"]})

    def _apply(self, counted: str, change: Mapping[str, object]) -> dict[str, Any]:
        token = self._post("preview", change)["token"]
        began = time.perf_counter()
        done = self._post("apply", {**change, "token": token})
        self.seconds.append(time.perf_counter() - began)
        if done[counted] != self._slots:
            raise CheckFailed(f"{done[counted]} of {self._slots} slots were changed")
        return done

    def _post(self, what: str, body: Mapping[str, object]) -> dict[str, Any]:
        answer = self._http.post(f"/api/schedule/{what}", json=body)
        if answer.status_code != httpx.codes.OK:
            raise CheckFailed(f"{what}: {answer.status_code} {answer.text[:300]}")
        said: dict[str, Any] = answer.json()
        return said


PUBLISHING = Scenario(
    "publishing",
    "Publishing the times of weekly hours for 90 days, beside one INSERT of the same rows with the same indexes",
    measure_publishing,
    (),
)
APPLY = Scenario(
    "apply",
    f"Bookings of other doctors' slots with {CLIENTS} connections, while large changes of schedules are applied",
    measure_apply,
)
