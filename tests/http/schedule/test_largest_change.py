"""The largest change that is allowed: it is previewed, applied and undone, each within the ten seconds of a request."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from slotwise.domain.schedule_previews import MAX_TOUCHED_SLOTS
from tests.clinic import Clinic, RunningServer, object_of
from tests.clusters import execute

DOCTORS = 20
ADD_SLOTS = f"""
WITH doctor AS (
    INSERT INTO doctors (name, specialization)
    SELECT 'Dr. ' || i, 'Far ahead' FROM generate_series(1, {DOCTORS}) AS i
    RETURNING id
),

slot AS (
    INSERT INTO appointment_slots (doctor_id, start_time, end_time, total_seats, available_seats)
    SELECT d.id, s.start, s.start + interval '10 minutes', 1, 1
    FROM doctor AS d
    CROSS JOIN LATERAL (
        SELECT '2090-01-01 08:00Z'::timestamptz + n * interval '10 minutes' AS start
        FROM generate_series(0, {MAX_TOUCHED_SLOTS // DOCTORS - 1}) AS n
    ) AS s
    RETURNING id, doctor_id
),

created AS (
    INSERT INTO booking_events (slot_id, sequence, kind, seats, available_after, total_after, actor, created_at)
    SELECT id, 1, 'CREATED', 1, 1, 1, 'test', clock_timestamp() FROM slot
)

SELECT count(*) FROM slot
"""


def applied(clinic: Clinic, change: dict[str, Any]) -> dict[str, Any]:
    """What the applied change says. A preview or a change that takes too long is answered with 503."""
    previewed = clinic.http.post("/api/schedule/preview", json=change, headers=clinic.admin)
    assert previewed.status_code == 200
    body = {**change, "token": object_of(previewed)["token"]}
    answer = clinic.http.post("/api/schedule/apply", json=body, headers=clinic.admin)
    assert answer.status_code == 200
    return object_of(answer)


@pytest.mark.slow(reason="ten CPU seconds for 20,000 slots")
def test_as_many_slots_as_a_change_may_touch_are_closed_and_opened_again(
    start_server: Callable[..., RunningServer], database_url: str
) -> None:
    with Clinic(start_server()) as clinic:
        asyncio.run(execute(database_url, ADD_SLOTS))
        doctors = clinic.http.get("/api/doctors", params={"specialization": "Far ahead", "limit": 100}).json()["items"]
        period = {"startTime": "2090-01-01T00:00:00Z", "endTime": "2091-01-01T00:00:00Z"}
        closed = applied(clinic, {"addClosures": [{"doctorId": doctor["id"], **period} for doctor in doctors]})
        assert (closed["go"], closed["come"]) == (MAX_TOUCHED_SLOTS, 0)
        opened = applied(clinic, {"removeClosures": closed["closureIds"]})
        assert (opened["go"], opened["come"]) == (0, MAX_TOUCHED_SLOTS)
