"""The form of new hours is filled with the present ones only if it can say exactly these."""

from datetime import date

import pytest
from msgspec.structs import replace

from slotwise.domain.schedules import Rule, RuleKind
from slotwise.web.schedule.hour_forms import change_in, following_hours

TODAY = date(2026, 12, 10)
MORNINGS = Rule(
    1, 1, 1, date(2026, 6, 1), None, every_weeks=1, weekday=1, opens=540, closes=720, slot_minutes=30,
    break_minutes=0, total_seats=1,
)  # fmt: skip
WINTER = replace(MORNINGS, last_day=date(2027, 2, 28))
SPRING = replace(MORNINGS, id=2, first_day=date(2027, 3, 1), closes=780)


def test_hours_that_begin_later_are_not_in_the_form() -> None:
    form, why_blank = following_hours([WINTER, SPRING], TODAY)
    assert why_blank is None
    assert [form.text(name) for name in ("from_1", "to_1", "from_2", "to_2")] == ["09:00", "12:00", "", ""]
    assert (form.text("first_day"), form.text("last_day")) == ("2027-01-01", "2027-02-28"), "they do not become endless"


def test_new_hours_with_a_last_day_do_not_replace_those_that_begin_later() -> None:
    form, _ = following_hours([WINTER, SPRING], TODAY)
    new = replace(WINTER, id=0, first_day=date(2027, 1, 1))
    change = change_in(form, [new], [WINTER, SPRING])
    assert [rule.id for rule in change.change_rules] == [WINTER.id]
    assert change.remove_rules == ()


def test_hours_that_have_not_begun_are_followed_from_the_month_after_they_begin() -> None:
    form, why_blank = following_hours([SPRING], TODAY)
    assert (why_blank, form.text("to_1"), form.text("first_day")) == (None, "13:00", "2027-04-01")


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (replace(MORNINGS, every_weeks=2), "not in every week"),
        (replace(MORNINGS, weekday=2, last_day=date(2027, 5, 31)), "begin and end on the same days"),
        (replace(MORNINGS, weekday=2, first_day=date(2026, 7, 1)), "begin and end on the same days"),
        (replace(MORNINGS, weekday=2, total_seats=2), "not the same on each day"),
        (replace(MORNINGS, weekday=2, closes=780), "not the same on each day"),
        (replace(MORNINGS, weekday=2, kind=RuleKind.WINDOW, step_minutes=15), "not the same on each day"),
    ],
)
def test_the_form_is_blank_and_says_why(other: Rule, why: str) -> None:
    form, why_blank = following_hours([MORNINGS, other], TODAY)
    assert why in (why_blank or "")
    assert form.all("weekdays") == [""]
    assert (form.text("first_day"), form.text("replace")) == ("2027-01-01", "yes")


def test_alternate_weeks_are_not_taken_for_two_periods_of_a_day() -> None:
    even = replace(MORNINGS, every_weeks=2)
    odd = replace(even, id=2, first_day=date(2026, 6, 8), opens=840, closes=1020)
    form, why_blank = following_hours([even, odd], TODAY)
    assert why_blank == "some present hours are not in every week"
    assert form.text("from_2") == ""


def test_hours_that_have_ended_by_the_first_day_are_not_in_the_form() -> None:
    _, why_blank = following_hours([replace(MORNINGS, last_day=date(2026, 12, 20))], TODAY)
    assert why_blank == "the doctor has no hours on the first day below"
