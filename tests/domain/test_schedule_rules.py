"""Schedule rules and closures that make no sense are refused by the names of their fields."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from slotwise.domain.errors import InvalidInput
from slotwise.domain.schedule_rules import check_closure, check_rule
from tests.domain.schedule_worlds import MONDAY, closure, open_time, rule

START = datetime(2027, 1, 4, tzinfo=UTC)


def refused(check: Callable[[Any], None], thing: Any) -> list[str]:
    with pytest.raises(InvalidInput) as refusal:
        check(thing)
    return [error.field for error in refusal.value.errors]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"last_day": MONDAY},
        {"opens": 0, "closes": 2879, "slot_minutes": 1440},
        {"opens": 1439, "closes": 1469},
        {"closes": 570},
        {"visit_type_ids": (1, 2), "every_weeks": 52, "weekday": 7, "break_minutes": 1440, "total_seats": 1_000_000},
    ],
)
def test_a_rule_that_makes_sense_is_taken(fields: dict[str, Any]) -> None:
    check_rule(rule(**fields))


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("first_day", {"first_day": date(1999, 12, 31)}),
        ("first_day", {"first_day": date(9998, 1, 1)}),
        ("last_day", {"last_day": date(2027, 1, 3)}),
        ("last_day", {"last_day": date(9998, 1, 1)}),
        ("every_weeks", {"every_weeks": 0}),
        ("every_weeks", {"every_weeks": 53}),
        ("weekday", {"weekday": 0}),
        ("weekday", {"weekday": 8}),
        ("opens", {"opens": -1}),
        ("opens", {"opens": 1440, "closes": 1500}),
        ("closes", {"closes": 9 * 60, "opens": 9 * 60, "slot_minutes": 1}),
        ("closes", {"closes": 2880}),
        ("slot_minutes", {"slot_minutes": 0}),
        ("slot_minutes", {"slot_minutes": 181}),
        ("slot_minutes", {"opens": 0, "closes": 2879, "slot_minutes": 1441}),
        ("break_minutes", {"break_minutes": -1}),
        ("break_minutes", {"break_minutes": 1441}),
        ("total_seats", {"total_seats": 0}),
        ("total_seats", {"total_seats": 1_000_001}),
        ("visit_type_ids", {"visit_type_ids": ()}),
        ("visit_type_ids", {"visit_type_ids": (1, 1)}),
        ("visit_type_ids", {"visit_type_ids": tuple(range(101))}),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_by_name(field: str, fields: dict[str, Any]) -> None:
    assert refused(check_rule, rule(**fields)) == [field]


def test_open_time_that_makes_sense_is_taken() -> None:
    check_rule(open_time())
    check_rule(open_time(opens=0, closes=1440, step_minutes=5, visit_type_ids=(1, 2)))


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("closes", {"opens": 0, "closes": 1441}),
        ("closes", {"closes": 540}),
        ("break_minutes", {"break_minutes": 5}),
        ("total_seats", {"total_seats": 2}),
        ("step_minutes", {"step_minutes": None}),
        ("step_minutes", {"step_minutes": 4}),
        ("step_minutes", {"step_minutes": 61}),
        ("visit_type_ids", {"visit_type_ids": None}),
        ("visit_type_ids", {"visit_type_ids": ()}),
    ],
)
def test_open_time_that_makes_no_sense_is_refused_by_name(field: str, fields: dict[str, Any]) -> None:
    assert refused(check_rule, open_time(**fields)) == [field]


def test_open_time_has_no_length_of_its_own_and_times_of_one_length_have_no_step() -> None:
    assert refused(check_rule, replace(open_time(), slot_minutes=30)) == ["slot_minutes"]
    assert refused(check_rule, rule(step_minutes=15)) == ["step_minutes"]


def test_every_wrong_field_is_named() -> None:
    assert refused(check_rule, rule(weekday=9, total_seats=0)) == ["weekday", "total_seats"]


def test_a_closure_that_makes_sense_is_taken() -> None:
    check_closure(closure(START, START + timedelta(minutes=1), reason="Roof\nrepairs", message="We are closed."))


@pytest.mark.parametrize(
    ("field", "start", "end", "fields"),
    [
        ("start_time", datetime(1999, 12, 31, tzinfo=UTC), START, {}),
        ("start_time", datetime(9999, 1, 1, tzinfo=UTC), datetime(9999, 1, 2, tzinfo=UTC), {}),
        ("end_time", START, START, {}),
        ("end_time", START, START + timedelta(days=3661), {}),
        ("end_time", datetime(9998, 12, 31, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC), {}),
        ("reason", START, START + timedelta(days=1), {"reason": " "}),
        ("reason", START, START + timedelta(days=1), {"reason": "x" * 1001}),
        ("message", START, START + timedelta(days=1), {"message": "\x00"}),
        ("message", START, START + timedelta(days=1), {"message": "\ud800"}),
    ],
)
def test_a_closure_that_makes_no_sense_is_refused_by_name(
    field: str, start: datetime, end: datetime, fields: dict[str, Any]
) -> None:
    assert refused(check_closure, closure(start, end, **fields)) == [field]
