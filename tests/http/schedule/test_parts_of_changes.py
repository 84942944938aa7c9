"""A change that is too large is refused with a body that asks for a part of it, and is accepted as it stands."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from slotwise.domain.schedule_previews import ScheduleState
from slotwise.http.schedule.schedule_bodies import ChangeBody
from tests.clinic import Clinic, object_of, problem
from tests.domain.schedule_worlds import NOW, closure, rule
from tests.domain.test_smaller_changes import large_part, state
from tests.http.schedule.test_schedules import apply, post

TODAY = datetime.now(UTC).date()
# Each minute of each day, for as long as times are published: more than five times too many.
MINUTES = {
    "firstDay": TODAY.isoformat(),
    "weekdays": [1, 2, 3, 4, 5, 6, 7],
    "periods": [{"from": "00:00", "to": "00:00"}],
    "durationMinutes": 1,
}


def test_far_too_many_times_are_refused_with_a_part_that_is_previewed(clinic: Clinic) -> None:
    doctor = clinic.doctor()["id"]
    refused = problem(post(clinic, "preview", addRules=[MINUTES | {"doctorId": doctor}]), 409)
    assert refused["code"] == "schedule-too-large"
    part = refused["part"]
    assert f"Let it end on {part['addRules'][0]['lastDay']}" in refused["detail"]
    answer = post(clinic, "preview", **part)
    assert answer.status_code == 200, answer.text
    assert 17_000 < object_of(answer)["come"] <= 20_000


def test_a_part_is_told_by_the_refusal_to_apply_too(clinic: Clinic) -> None:
    doctor = clinic.doctor()["id"]
    done = apply(clinic, addRules=[MINUTES | {"doctorId": doctor, "durationMinutes": 1440}])
    body = {"changeRules": [{"id": each, "durationMinutes": 1} for each in done["ruleIds"]]}
    refused = problem(post(clinic, "apply", **body, token="x"), 409)
    assert refused["part"] is None


AFTERNOONS = {"doctorId": 1, "weekdays": [1, 3, 5], "periods": [{"from": "14:00", "to": "18:00"}]}
BODIES: list[dict[str, Any]] = [
    {"addRules": [AFTERNOONS | {"firstDay": "2027-01-04"}]},
    {
        "changeRules": [{"id": n, "lastDay": "2027-01-05"} for n in (1, 2)],
        "addRules": [AFTERNOONS | {"firstDay": "2027-01-06"}, AFTERNOONS | {"firstDay": "2027-01-12", "doctorId": 2}],
    },
    {"removeRules": [1, 2, 3, 4]},
    {"changeLengths": [{"visitTypeId": 1, "minutes": 20}], "changeRules": [{"id": 3, "totalSeats": 2}]},
    {"changeZones": [{"clinicId": 1, "timeZone": "Asia/Tokyo"}], "decision": "CANCEL", "message": "Sorry."},
    {"addClosures": [{"startTime": "2027-01-03T00:00:00Z", "endTime": "2027-02-01T00:00:00Z", "reason": "Closed"}]},
    {"changeClosures": [{"id": 1, "endTime": "2027-02-01T00:00:00Z"}]},
    {"removeClosures": [1]},
]


@given(st.sampled_from(BODIES), st.integers(1, 40))
def test_the_body_of_a_part_asks_for_that_part(asked: Mapping[str, Any], slots: int) -> None:
    """It is read as any body that a client sends."""
    before = _state()
    rules = {each.id: each for each in before.rules}
    closures = {each.id: each for each in before.closures}
    body = msgspec.convert(asked, ChangeBody)
    part = large_part(before, body.change(rules, closures), slots)
    if part is not None:
        sent = msgspec.json.decode(msgspec.json.encode(body.part(part)), type=ChangeBody)
        assert _plain(sent.change(rules, closures)) == _plain(part.change)


def _plain(change: Any) -> Any:
    """What is added has no id yet."""
    return replace(change, add_closures=tuple(replace(each, id=0) for each in change.add_closures))


def _state() -> ScheduleState:
    """Two doctors, two weeks, and a holiday of two days."""
    rules = [rule(id=n, weekday=n, doctor_id=1 + n // 3, visit_type_ids=(1,)) for n in range(1, 6)]
    return state(*rules, closures=(closure(NOW + timedelta(days=5), NOW + timedelta(days=7)),))
