"""Liveness, readiness and metrics."""

import re
from collections.abc import Callable

import asyncpg
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from slotwise import __version__
from tests.clinic import Clinic, RunningServer, eventually, holder, rows
from tests.clusters import named

FAMILIES = {
    "slotwise_http_requests",
    "slotwise_http_request_seconds",
    "slotwise_batch_size",
    "slotwise_queue_depth",
    "slotwise_holds",
    "slotwise_confirmations",
    "slotwise_cancellations",
    "slotwise_expired_holds",
    "slotwise_replayed_answers",
    "slotwise_refusals",
    "slotwise_pool_wait_seconds",
    "slotwise_pool_connections",
}


def samples(clinic: Clinic) -> dict[tuple[str, ...], float]:
    """Values by name and label values."""
    text = clinic.http.get("/metrics").raise_for_status().text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_health_and_readiness_say_so(clinic: Clinic) -> None:
    assert clinic.http.get("/health").json() == {"status": "ok"}
    ready = clinic.http.get("/health/ready")
    assert ready.status_code == 200
    assert (ready.json()["status"], ready.json()["problems"]) == ("ready", [])
    assert ready.json()["database"]["fsync"] == "on"
    assert ready.json()["database"]["synchronousCommit"] == "on"


def test_an_index_whose_making_was_interrupted_is_a_warning_with_its_remedy(clinic: Clinic) -> None:
    url = clinic.server.database_url
    for name in ("half_made", "half_made_ccnew"):
        with pytest.raises(asyncpg.DivisionByZeroError):
            rows(url, f"CREATE INDEX CONCURRENTLY {name} ON clinics ((1 / (version - version)))")
    ready = clinic.http.get("/health/ready")
    assert (ready.status_code, ready.json()["problems"]) == (200, [])
    assert [warning.partition(": ")[2] for warning in ready.json()["warnings"] if "half_made" in warning] == [
        "run REINDEX INDEX CONCURRENTLY half_made",
        "run DROP INDEX CONCURRENTLY half_made_ccnew",
    ]
    for name in ("half_made", "half_made_ccnew"):
        rows(url, f"DROP INDEX {name}")
    assert clinic.http.get("/health/ready").json()["warnings"] == []


def test_every_metric_exists_changes_and_has_no_names(clinic: Clinic) -> None:
    slot = clinic.slot(seats=2)
    before = samples(clinic)
    name, email = "Canary Metric", "canary.metric@example.org"
    key = {"Idempotency-Key": "a-key-that-is-repeated-once"}
    booking = clinic.book(slot["id"], key, userName=name, userEmail=email).json()
    clinic.book(slot["id"], key, userName=name, userEmail=email)
    clinic.http.post(f"/api/bookings/{booking['id']}/confirm", headers=holder(booking))
    clinic.book(slot["id"], seatsBooked=2)
    clinic.http.delete(f"/api/bookings/{booking['id']}", headers=holder(booking))
    clinic.hold(slot["id"], confirm=True)
    overdue = clinic.hold(slot["id"])
    rows(
        clinic.server.database_url,
        "UPDATE bookings SET expires_at = now() - interval '1 second', created_at = now() - interval '1 minute' "
        "WHERE id = $1",
        overdue["id"],
    )
    eventually(lambda: clinic.free_seats(slot["id"]) == 1)
    moved = [
        ("slotwise_http_requests_total", "POST", "/api/bookings", "201"),
        ("slotwise_http_requests_total", "POST", "/api/bookings/{booking_id}/confirm", "200"),
        ("slotwise_http_request_seconds_count", "/api/bookings"),
        ("slotwise_batch_size_count", "hold"),
        ("slotwise_batch_size_count", "confirm"),
        ("slotwise_batch_size_count", "cancel"),
        ("slotwise_holds_total", "PENDING"),
        ("slotwise_holds_total", "CONFIRMED"),
        ("slotwise_confirmations_total", "confirmed"),
        ("slotwise_cancellations_total", "cancelled"),
        ("slotwise_replayed_answers_total",),
        ("slotwise_refusals_total", "slot-full"),
        ("slotwise_expired_holds_total", "sweeper"),
    ]

    def still() -> list[tuple[str, ...]]:
        after = samples(clinic)
        return [name for name in moved if not after.get(name, 0) > before.get(name, 0)]

    eventually(lambda: not still())
    text = clinic.http.get("/metrics").raise_for_status().text
    assert {family.name for family in text_string_to_metric_families(text)} >= FAMILIES
    eventually(lambda: samples(clinic)["slotwise_pool_connections", "requests", "open"] > 0)
    assert "@" not in text
    assert "Canary" not in text
    # Two codes of refusals have the word.
    assert "patient" not in re.sub(r'reason="[a-z-]+"', "", text).lower()


def test_unknown_paths_make_no_new_labels(clinic: Clinic) -> None:
    """Otherwise anybody could fill the memory, or put a name into the metrics."""
    clinic.http.get("/api/nobody/ada@example.org")
    clinic.http.request("CANARY", "/api/slots")
    eventually(lambda: 'route="unmatched"' in clinic.http.get("/metrics").text)
    text = clinic.http.get("/metrics").raise_for_status().text
    assert "ada" not in text
    assert "CANARY" not in text


def test_a_head_counts_as_a_head_and_a_get_as_a_get(clinic: Clinic) -> None:
    """Though a HEAD is answered as a GET. Whichever comes first in a worker does not name the other."""
    before = samples(clinic)
    for _ in range(8):
        clinic.http.head("/health/ready")
        clinic.http.get("/health/ready")

    def counted(method: str) -> int:
        name = ("slotwise_http_requests_total", method, "/health/ready", "200")
        return round(samples(clinic).get(name, 0) - before.get(name, 0))

    eventually(lambda: counted("HEAD") == counted("GET") == 8)


@pytest.mark.slow(reason="two to five CPU seconds for a server of its own")
def test_without_its_database_the_server_is_alive_but_not_ready(
    postgres_url: str, migrated_template: str, start_server: Callable[..., RunningServer]
) -> None:
    rows(postgres_url, f"CREATE DATABASE doomed TEMPLATE {migrated_template}")
    doomed = named(postgres_url, "doomed")
    with Clinic(start_server(DATABASE_URL=doomed)) as clinic:
        assert clinic.http.get("/health/ready").status_code == 200
        rows(postgres_url, "DROP DATABASE doomed WITH (FORCE)")
        for _ in range(3):
            assert clinic.http.get("/health").status_code == 200
            unready = clinic.http.get("/health/ready")
            assert unready.status_code == 503, unready.text
            assert unready.json()["status"] == "unavailable"
            assert unready.json()["problems"]
            refused = clinic.http.get("/api/slots")
            assert (refused.status_code, refused.json()["code"]) == (503, "database-unavailable")
            assert int(refused.headers["retry-after"]) > 0
            assert clinic.book(1).status_code == 503


def test_metrics_have_the_release_and_the_resources_of_processes(clinic: Clinic) -> None:
    text = clinic.http.get("/metrics").raise_for_status().text
    assert f'slotwise_build_info{{version="{__version__}"}} 1.0' in text
    figures = dict(re.findall(r"^(process_\w+) (\S+)$", text, re.MULTILINE))
    server = psutil.Process(clinic.server.process.pid)
    resident = sum(process.memory_info().rss for process in [server, *server.children()])
    assert float(figures["process_resident_memory_bytes"]) == pytest.approx(resident, rel=0.3)
    assert abs(float(figures["process_start_time_seconds"]) - server.create_time()) < 5
    assert float(figures["process_cpu_seconds_total"]) > 0
    assert 0 < float(figures["process_open_fds"]) < float(figures["process_max_fds"]) * 4
