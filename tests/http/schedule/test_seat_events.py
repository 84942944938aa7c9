"""Server-sent events of free seats, as a client reads them."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from slotwise.settings import Settings
from tests.clinic import Clinic, eventually, holder, problem, rows
from tests.streams import EVENTS, Events, watching

WORKERS = 2
MOST_OF_ONE_CLIENT = Settings().seat_streams_per_client
COUNTED = rf'slotwise_http_requests_total{{method="GET",route="{EVENTS}",status="200"}} '
REFUSED = rf'slotwise_http_requests_total{{.*route="{EVENTS}",status="(?!200)'
TIMED = rf'slotwise_http_request_seconds_count{{route="{EVENTS}"}} '


@pytest.fixture
def slot(clinic: Clinic) -> dict[str, Any]:
    return clinic.slot(seats=5)


@pytest.fixture
def watchers(clinic: Clinic) -> Iterator[list[Events]]:
    """Enough watchers that each worker has some."""
    with ExitStack() as stack:
        yield [stack.enter_context(watching(clinic.server.url)) for _ in range(8)]


def state_for_all(watchers: list[Events], slot_id: int, seats: int) -> dict[str, Any]:
    """The state of a slot with so many free seats, which all watchers get alike."""
    [state] = {str(seen): seen for seen in (events.until_free(slot_id, seats) for events in watchers)}.values()
    return state


def test_watchers_at_any_worker_see_holds_cancellations_expiries_and_changed_slots(
    clinic: Clinic, slot: dict[str, Any], watchers: list[Events]
) -> None:
    booking = clinic.hold(slot["id"], seatsBooked=2)
    state_for_all(watchers, slot["id"], 3)
    clinic.http.delete(f"/api/bookings/{booking['id']}", headers=holder(booking))
    state_for_all(watchers, slot["id"], 5)
    overdue = clinic.hold(slot["id"])
    state_for_all(watchers, slot["id"], 4)
    rows(clinic.server.database_url, "UPDATE bookings SET expires_at = clock_timestamp() WHERE id = $1", overdue["id"])
    state_for_all(watchers, slot["id"], 5)
    change = {"totalSeats": 9, "status": "CLOSED"}
    clinic.http.patch(f"/api/slots/{slot['id']}", json=change, headers=clinic.admin)
    expected = {"slotId": slot["id"], "availableSeats": 9, "totalSeats": 9, "status": "CLOSED", "windowId": None}
    assert state_for_all(watchers, slot["id"], 9) == expected


def test_watchers_see_a_new_slot(clinic: Clinic) -> None:
    with watching(clinic.server.url) as events:
        made = clinic.slot(seats=3)
        assert events.until_free(made["id"], 3)["totalSeats"] == 3


def test_a_change_of_many_slots_tells_all_watchers_to_read_again(clinic: Clinic, slot: dict[str, Any]) -> None:
    patient = clinic.patient()
    clinic.http.post("/api/bookings", json={"slotId": slot["id"]}, headers=patient)
    with watching(clinic.server.url) as events:
        clinic.http.request("DELETE", "/api/auth/me", json={"password": "patient's secret"}, headers=patient)
        events.until("refresh")
        clinic.http.patch(f"/api/doctors/{slot['doctorId']}", json={"active": False}, headers=clinic.admin)
        events.until("refresh")


def test_proxies_neither_store_nor_buffer_the_stream(clinic: Clinic) -> None:
    with clinic.http.stream("GET", EVENTS, headers={"If-None-Match": "*", "Accept-Encoding": "gzip"}) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert "Content-Encoding" not in answer.headers
        assert next(answer.iter_raw()).startswith(b"retry: 2000\nevent: hello\n")


def test_a_head_request_for_the_stream_ends(clinic: Clinic) -> None:
    for _ in range(MOST_OF_ONE_CLIENT * WORKERS + 1):
        answer = clinic.http.head(EVENTS)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["Content-Type"].startswith("text/event-stream")


def test_one_client_cannot_take_all_places_and_frees_its_own_by_leaving(clinic: Clinic) -> None:
    with ExitStack() as stack:
        refused = _watch_until_refused(clinic.server.url, stack)
        problem(refused, 429, "too-many-requests")
        assert int(refused.headers["Retry-After"]) > 0
        stack.enter_context(watching(clinic.server.url, source="127.0.0.2"))
    eventually(lambda: _listeners(clinic) == 0)
    with watching(clinic.server.url):
        pass


def test_streams_do_not_count_in_the_request_times(clinic: Clinic) -> None:
    streams = _metrics(clinic, COUNTED)
    with watching(clinic.server.url):
        pass
    eventually(lambda: _metrics(clinic, COUNTED) > streams)
    # Refusals of the tests before may be counted only now, in another worker.
    eventually(lambda: _metrics(clinic, TIMED) == _metrics(clinic, REFUSED))


def _watch_until_refused(url: str, stack: ExitStack) -> httpx.Response:
    client = stack.enter_context(httpx.Client(base_url=url, verify=False, limits=httpx.Limits(max_connections=None)))
    for _ in range(MOST_OF_ONE_CLIENT * WORKERS + 1):
        answer = stack.enter_context(client.stream("GET", EVENTS))
        if answer.status_code != 200:
            answer.read()
            return answer
    raise AssertionError("nobody was refused")


def _listeners(clinic: Clinic) -> float:
    return _metrics(clinic, "slotwise_seat_listeners ")


def _metrics(clinic: Clinic, pattern: str) -> float:
    """The sum of the metrics whose line starts with the pattern; 0 while there is none."""
    lines = clinic.http.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if re.match(pattern, line))
