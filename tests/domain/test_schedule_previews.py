"""What a change of schedules would do, told beforehand."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from slotwise.domain.bookings import BookingStatus
from slotwise.domain.errors import InvalidInput, ScheduleTooLarge
from slotwise.domain.schedule_changes import Decision, Decisions, LengthChange, ScheduleChange, ZoneChange
from slotwise.domain.schedule_diff import ClosedSlot, ExistingSlot
from slotwise.domain.schedule_previews import (
    FIRST_NEW_ID,
    LiveBooking,
    Preview,
    ScheduleState,
    VisitLength,
    outline,
    token_of,
)
from slotwise.domain.schedules import Rule
from slotwise.domain.slots import SlotStatus
from tests.domain.schedule_worlds import MONDAY, NOW, applied, closure, rule, slot

# At 09:00 in Berlin.
NINE = datetime(2027, 1, 4, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MONDAY_OFF = closure(NINE - 4 * HOUR, NINE + 8 * HOUR, message="The practice is closed.")
# From 09:00 to 10:00 each Monday: two slots a week, for two weeks.
HOURS = rule(closes=10 * 60)


def state(
    *rules: Rule, slots: Iterable[ExistingSlot] = (), bookings: Iterable[LiveBooking] = (), **fields: Any
) -> ScheduleState:
    everything: dict[str, Any] = {
        "closures": (),
        "zones": {1: "Europe/Berlin", 2: "America/New_York"},
        "now": NOW,
        "published_until": MONDAY + 14 * DAY,
    }
    return ScheduleState(rules, slots=tuple(slots), bookings=tuple(bookings), **everything | fields)


def booked(slot_id: int, booking_id: int = 500, **fields: Any) -> LiveBooking:
    return LiveBooking(booking_id, slot_id, BookingStatus.CONFIRMED, 1, **fields)


def held(slot_id: int, booking_id: int = 600) -> LiveBooking:
    return LiveBooking(booking_id, slot_id, BookingStatus.PENDING, 1)


def published(*rules: Rule, bookings: Iterable[LiveBooking] = (), **fields: Any) -> ScheduleState:
    """The state once the rules are published: slots 1, 2, 3 ... in order of time, some of them booked."""
    before = state(*rules, **fields)
    slots = applied(outline(before, ScheduleChange()).difference, ())
    return replace(before, slots=tuple(_counted(each, bookings) for each in slots), bookings=tuple(bookings))


def _counted(each: ExistingSlot, bookings: Iterable[LiveBooking]) -> ExistingSlot:
    of_slot = [booking for booking in bookings if booking.slot_id == each.id]
    confirmed = sum(booking.is_confirmed for booking in of_slot)
    added = sum(booking.added_seats for booking in of_slot)
    return replace(
        each,
        confirmed=confirmed,
        holds=len(of_slot) - confirmed,
        added_seats=added,
        total_seats=each.total_seats + added,
    )


def counts(preview: Preview) -> tuple[int, int, int]:
    return preview.come, preview.go, preview.stay


def test_a_new_rule_makes_times_come_under_an_id_to_be_replaced() -> None:
    preview = outline(state(), ScheduleChange(add_rules=(HOURS, replace(HOURS, opens=480, closes=540))))
    assert counts(preview) == (8, 0, 0)
    assert {wanted.rule_id for wanted in preview.difference.add} == {FIRST_NEW_ID, FIRST_NEW_ID + 1}
    assert [each.id for each in preview.rules] == [FIRST_NEW_ID, FIRST_NEW_ID + 1]


def test_other_hours_from_a_day_on_let_times_come_go_and_stay() -> None:
    """The way to new hours from next month on: the rule of before ends, and another begins."""
    now_until = replace(HOURS, last_day=MONDAY + 6 * DAY)
    from_then = rule(first_day=MONDAY + 7 * DAY, opens=14 * 60, closes=17 * 60)
    preview = outline(published(HOURS), ScheduleChange(change_rules=(now_until,), add_rules=(from_then,)))
    assert counts(preview) == (6, 2, 2)
    assert [each.version for each in preview.rules] == [2, 1]


def test_a_change_that_changes_nothing_keeps_the_version() -> None:
    preview = outline(published(HOURS), ScheduleChange(change_rules=(replace(HOURS, version=9),)))
    assert counts(preview) == (0, 0, 4)
    assert preview.rules == (HOURS,)


def test_a_removed_rule_makes_its_times_go_and_lists_the_booking_as_kept() -> None:
    before = published(HOURS, bookings=[booked(1, user_name="Ada")])
    preview = outline(before, ScheduleChange(remove_rules=(1,)))
    assert counts(preview) == (0, 4, 0)
    [hit] = preview.hits
    assert (hit.booking.user_name, hit.slot.id, hit.closure_id, hit.decision) == ("Ada", 1, None, Decision.KEEP)
    assert preview.difference.drift == (1,)
    assert preview.rules[0].removed_at == NOW


def test_a_removed_rule_comes_back_by_a_change() -> None:
    before = published(HOURS, bookings=[booked(1)])
    gone = outline(before, ScheduleChange(remove_rules=(1,)))
    after = replace(before, rules=gone.rules, slots=tuple(applied(gone.difference, before.slots)))
    back = outline(after, ScheduleChange(change_rules=(HOURS,)))
    assert counts(back) == (4, 0, 0)
    assert not back.difference.add
    assert not back.hits


def test_times_with_other_seats_and_types_stay_and_end_only_holds_without_room() -> None:
    many = replace(HOURS, total_seats=3)
    before = published(many, bookings=[booked(1), held(1), booked(2), held(2), held(2, 601)], visit_types=TYPES)
    preview = outline(before, ScheduleChange(change_rules=(replace(many, total_seats=2, visit_type_ids=(5,)),)))
    assert counts(preview) == (0, 0, 4)
    assert (preview.changed_seats, preview.changed_types, preview.crowded) == (4, 4, 0)
    assert ([hold.id for hold in preview.holds], preview.hits) == ([600, 601], ())


def test_a_time_with_more_booked_than_its_new_seats_goes_unless_those_are_cancelled() -> None:
    many = replace(HOURS, total_seats=2)
    before = published(many, bookings=[booked(1), booked(1, 501), booked(2, 502)])
    fewer = ScheduleChange(change_rules=(replace(many, total_seats=1),))
    preview = outline(before, fewer)
    assert counts(preview) == (0, 1, 3)
    assert (preview.crowded, preview.changed_seats) == (1, 3)
    assert [hit.booking.id for hit in preview.hits] == [500, 501]
    decided = replace(fewer, decisions=Decisions(bookings={501: Decision.CANCEL}))
    preview = outline(before, decided)
    assert counts(preview) == (0, 0, 4)
    assert (preview.crowded, preview.changed_seats) == (0, 4)


def test_a_time_that_was_closed_before_is_not_among_those_taken_away() -> None:
    many = replace(HOURS, total_seats=2)
    before = published(many, bookings=[booked(1), booked(1, 501)])
    before = replace(before, slots=(replace(before.slots[0], status=SlotStatus.CLOSED), *before.slots[1:]))
    preview = outline(before, ScheduleChange(change_rules=(replace(many, total_seats=1),)))
    assert (preview.go, preview.crowded, len(preview.hits)) == (0, 0, 2)


def test_a_booking_that_is_cancelled_lets_its_slot_go_instead_of_drifting() -> None:
    before = published(HOURS, bookings=[booked(1), booked(2, 501)])
    decisions = Decisions(Decision.CANCEL, {501: Decision.KEEP}, "We moved.")
    preview = outline(before, ScheduleChange(change_rules=(replace(HOURS, slot_minutes=20),), decisions=decisions))
    assert [(hit.booking.id, hit.decision, hit.message) for hit in preview.hits] == [
        (500, Decision.CANCEL, "We moved."),
        (501, Decision.KEEP, None),
    ]
    assert [hit.booking.id for hit in preview.cancelled] == [500]
    assert preview.difference.drift == (2,)
    # 09:00 is free now; 09:20 and 09:40 overlap the booking at 09:30.
    assert [f"{each.local_start:%d %H:%M}" for each in preview.difference.add] == [
        "04 09:00", "11 09:00", "11 09:20", "11 09:40",
    ]  # fmt: skip
    assert [each.other_slot_id for each in preview.skipped] == [2, 2]


def test_a_booking_of_several_seats_is_one_booking() -> None:
    """`confirmed` may count seats, as the database does."""
    before = published(replace(HOURS, total_seats=2), bookings=[replace(booked(1), seats_booked=2)])
    before = replace(before, slots=(replace(before.slots[0], confirmed=2), *before.slots[1:]))
    change = ScheduleChange(remove_rules=(1,), decisions=Decisions(Decision.CANCEL))
    assert outline(before, change).difference.drift == ()


def test_the_seats_added_for_a_cancelled_booking_are_no_longer_there() -> None:
    before = published(HOURS, bookings=[booked(1, added_seats=1), booked(1, 501)])
    closing = ScheduleChange(add_closures=(MONDAY_OFF,), decisions=Decisions(bookings={500: Decision.CANCEL}))
    preview = outline(before, closing)
    assert not preview.difference.drift
    cancelled = replace(before.slots[0], confirmed=1, total_seats=1, added_seats=0)
    after = applied(preview.difference, (cancelled, *before.slots[1:]))
    undone = outline(replace(before, slots=tuple(after)), ScheduleChange())
    assert undone.difference.close == ()
    assert [stamp.slot_id for stamp in undone.difference.reopen] == [1, 2]


def test_a_closure_closes_times_of_every_origin_and_tells_whom_it_hits() -> None:
    by_hand = slot(NINE + 3 * HOUR, id=70, confirmed=1)
    before = published(HOURS, bookings=[booked(2), held(1), held(3, 601)])
    before = replace(before, slots=(*before.slots, by_hand), bookings=(*before.bookings, booked(70, 501)))
    preview = outline(before, ScheduleChange(add_closures=(MONDAY_OFF,)))
    assert counts(preview) == (0, 3, 2)
    assert [(hit.booking.id, hit.closure_id, hit.decision) for hit in preview.hits] == [
        (500, FIRST_NEW_ID, Decision.KEEP),
        (501, FIRST_NEW_ID, Decision.KEEP),
    ]
    assert [hold.id for hold in preview.holds] == [600]
    assert len(preview.closed) == 2
    assert not preview.difference.drift


def test_the_closures_message_is_for_patients_unless_the_change_has_one() -> None:
    before = published(HOURS, bookings=[booked(1)])
    for message in (None, "Dr Who is ill."):
        decisions = Decisions(Decision.CANCEL, message=message)
        preview = outline(before, ScheduleChange(add_closures=(MONDAY_OFF,), decisions=decisions))
        assert preview.hits[0].message == (message or "The practice is closed.")


def test_an_absence_lists_bookings_of_slots_that_are_closed_already() -> None:
    """Their patients would else come to a doctor who is away."""
    before = published(HOURS, bookings=[booked(1)])
    closed = (replace(before.slots[0], status=SlotStatus.CLOSED, pinned=True), *before.slots[1:])
    preview = outline(replace(before, slots=closed), ScheduleChange(add_closures=(MONDAY_OFF,)))
    assert [hit.booking.id for hit in preview.hits] == [500]
    assert [each.slot_id for each in preview.difference.close] == [2]


def test_a_change_does_not_list_what_was_closed_or_drifted_before() -> None:
    before = published(HOURS, bookings=[booked(1), booked(3, 501)])
    for change in (ScheduleChange(add_closures=(MONDAY_OFF,)), ScheduleChange(remove_rules=(1,))):
        preview = outline(before, change)
        assert preview.hits
        slots = [replace(each, closure_id=each.closure_id and 33) for each in applied(preview.difference, before.slots)]
        closures = tuple(replace(each, id=33) for each in preview.closures)
        after = replace(before, rules=preview.rules, closures=closures, slots=tuple(slots))
        assert not outline(after, ScheduleChange()).hits


def test_a_removed_closure_gives_back_its_times() -> None:
    before = published(HOURS, closures=(MONDAY_OFF,))
    assert len(before.slots) == 2
    preview = outline(before, ScheduleChange(remove_closures=(1,)))
    assert counts(preview) == (2, 0, 2)
    assert not outline(before, ScheduleChange(change_closures=(replace(MONDAY_OFF, reason="Roof"),))).come


def test_what_has_begun_is_neither_counted_nor_hit() -> None:
    """At one minute past nine, of four times one has begun."""
    before = replace(published(HOURS, bookings=[booked(1), booked(2, 501)]), now=NINE + timedelta(minutes=1))
    preview = outline(before, ScheduleChange(add_closures=(MONDAY_OFF,)))
    assert counts(preview) == (0, 1, 2)
    assert [hit.booking.id for hit in preview.hits] == [501]
    assert [f"{each.wanted.local_start:%H:%M}" for each in preview.closed] == ["09:30"]


def test_the_evening_of_a_clinic_far_west_is_still_to_come_when_it_is_the_next_day_by_utc() -> None:
    evening = rule(opens=20 * 60, closes=21 * 60)
    before = state(zones={1: "Pacific/Honolulu"}, now=datetime(2027, 1, 5, 5, tzinfo=UTC))
    preview = outline(before, ScheduleChange(add_rules=(evening,)))
    assert [f"{each.local_start:%d %H:%M}" for each in preview.difference.add][:2] == ["04 20:00", "04 20:30"]


def test_times_beyond_the_horizon_go_with_their_rule_and_none_come_there() -> None:
    """They were published when the horizon was longer."""
    before = replace(published(HOURS), published_until=MONDAY + 7 * DAY)
    assert counts(outline(before, ScheduleChange(remove_rules=(1,)))) == (0, 4, 0)
    later = replace(HOURS, opens=14 * 60, closes=15 * 60)
    assert counts(outline(before, ScheduleChange(change_rules=(later,)))) == (2, 4, 0)


def test_a_closure_that_becomes_longer_hits_those_in_its_new_part() -> None:
    before = published(HOURS, closures=(MONDAY_OFF,), bookings=[booked(1)])
    longer = replace(MONDAY_OFF, end_time=MONDAY_OFF.end_time + 7 * DAY)
    preview = outline(before, ScheduleChange(change_closures=(longer,)))
    assert [(hit.booking.id, hit.closure_id) for hit in preview.hits] == [(500, 1)]
    assert set(preview.difference.close) == {ClosedSlot(1, 1), ClosedSlot(2, 1)}


def test_a_clinics_new_zone_moves_the_times_and_keeps_the_wall_clock() -> None:
    before = published(HOURS, bookings=[booked(1)])
    preview = outline(before, ScheduleChange(change_zones=(ZoneChange(1, "Europe/Athens"),)))
    assert counts(preview) == (4, 4, 0)
    assert {f"{each.local_start:%H:%M}" for each in preview.difference.add} == {"09:00", "09:30"}
    assert preview.difference.add[0].start_time == NINE - HOUR
    assert [hit.booking.id for hit in preview.hits] == [500]


def test_a_visit_types_new_length_cuts_the_hours_of_its_rules_anew() -> None:
    typed = replace(HOURS, visit_type_ids=(5,))
    other = replace(HOURS, id=2, doctor_id=2)
    before = published(typed, other, visit_types={5: VisitLength(5, 30)})
    preview = outline(before, ScheduleChange(change_lengths=(LengthChange(5, 20),)))
    assert counts(preview) == (6, 4, 4)
    assert [(each.slot_minutes, each.version) for each in preview.rules] == [(20, 2), (30, 1)]


def test_a_new_length_names_the_type_of_the_same_hours_that_needs_it_too() -> None:
    before = published(replace(HOURS, visit_type_ids=(5, 6)), visit_types=TYPES)
    with pytest.raises(InvalidInput) as refusal:
        outline(before, ScheduleChange(change_lengths=(LengthChange(5, 20),)))
    assert "same length of visit type 6" in refusal.value.errors[0].message
    both = ScheduleChange(change_lengths=(LengthChange(5, 20), LengthChange(6, 20)))
    assert counts(outline(before, both)) == (6, 4, 0)


def test_hours_that_ended_long_ago_keep_their_length_and_block_no_other() -> None:
    """They have two visit types, of which one gets another length."""
    ended = replace(HOURS, first_day=MONDAY - 70 * DAY, last_day=NOW.date() - 2 * DAY, visit_type_ids=(5, 6))
    before = published(ended, replace(HOURS, id=2, visit_type_ids=(5,)), visit_types=TYPES)
    longer = ScheduleChange(change_lengths=(LengthChange(5, 60),))
    assert [(each.slot_minutes, each.version) for each in outline(before, longer).rules] == [(30, 1), (60, 2)]
    until_yesterday = replace(ended, last_day=NOW.date() - DAY)
    assert refused(state(until_yesterday, visit_types=TYPES), longer) == ["change_lengths[0].minutes"]


def test_a_new_length_that_makes_far_too_many_times_is_refused_before_they_are_planned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two weeks of seven days have 60 times an hour, of each of two doctors."""
    daily = [rule(id=day, weekday=day % 7 + 1, doctor_id=1 + day // 7, visit_type_ids=(5,)) for day in range(14)]
    before = state(*daily, visit_types=TYPES)
    monkeypatch.setattr("slotwise.domain.schedule_previews.MAX_TOUCHED_SLOTS", 100)
    monkeypatch.setattr("slotwise.domain.schedule_previews.plan", pytest.fail)
    with pytest.raises(ScheduleTooLarge):
        outline(before, ScheduleChange(change_lengths=(LengthChange(5, 1),)))


def test_hours_that_are_valid_for_two_weeks_only_are_counted_for_these(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a year they would have 26 times as many, which is far too many to be planned. They are 4 of 50."""
    monkeypatch.setattr("slotwise.domain.schedule_previews.MAX_TOUCHED_SLOTS", 10)
    before = state(published_until=MONDAY + 364 * DAY)
    added = replace(HOURS, last_day=MONDAY + 13 * DAY)
    assert outline(before, ScheduleChange(add_rules=(added,))).come == 4
    with pytest.raises(ScheduleTooLarge):
        outline(before, ScheduleChange(add_rules=(replace(added, last_day=None),)))
    alternate = tuple(replace(added, last_day=None, every_weeks=52, weekday=day) for day in range(1, 6))
    assert outline(before, ScheduleChange(add_rules=alternate)).come == 10


def test_a_removed_rule_need_not_fit_a_new_length() -> None:
    before = state(replace(HOURS, visit_type_ids=(5,)), visit_types={5: VisitLength(5, 30)})
    change = ScheduleChange(remove_rules=(1,), change_lengths=(LengthChange(5, 90),))
    assert outline(before, change).rules[0].removed_at == NOW


def test_a_rule_may_keep_a_visit_type_that_is_no_longer_offered() -> None:
    before = published(replace(HOURS, visit_type_ids=(7,)), visit_types=TYPES)
    preview = outline(before, ScheduleChange(change_rules=(replace(before.rules[0], last_day=MONDAY),)))
    assert counts(preview) == (0, 2, 2)


# The last is not offered any more.
TYPES = {5: VisitLength(5, 30), 6: VisitLength(6, 30), 7: VisitLength(7, 30, active=False)}


def refused(before: ScheduleState, change: ScheduleChange) -> list[str]:
    with pytest.raises(InvalidInput) as refusal:
        outline(before, change)
    return [error.field for error in refusal.value.errors]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (ScheduleChange(add_rules=(HOURS, replace(HOURS, weekday=8))), "add_rules[1].weekday"),
        (ScheduleChange(change_rules=(replace(HOURS, opens=-1),)), "change_rules[0].opens"),
        (ScheduleChange(change_rules=(replace(HOURS, id=77),)), "change_rules[0]"),
        (ScheduleChange(remove_rules=(1, 77)), "remove_rules[1]"),
        (ScheduleChange(add_closures=(replace(MONDAY_OFF, end_time=NOW),)), "add_closures[0].end_time"),
        (ScheduleChange(change_closures=(replace(MONDAY_OFF, reason=""),)), "change_closures[0].reason"),
        (ScheduleChange(remove_closures=(77,)), "remove_closures[0]"),
        (ScheduleChange(change_closures=(replace(MONDAY_OFF, id=77),)), "change_closures[0]"),
        (ScheduleChange(change_zones=(ZoneChange(1, "Mars/Base"),)), "change_zones[0].time_zone"),
        (ScheduleChange(change_lengths=(LengthChange(5, 0),)), "change_lengths[0].minutes"),
        (ScheduleChange(change_lengths=(LengthChange(5, 61),)), "change_lengths[0].minutes"),
        (ScheduleChange(change_lengths=(LengthChange(5, 20),)), "change_lengths[0].minutes"),
        (
            ScheduleChange(add_rules=(replace(HOURS, visit_type_ids=(5,), slot_minutes=20),)),
            "add_rules[0].slot_minutes",
        ),
        (ScheduleChange(add_rules=(replace(HOURS, visit_type_ids=(8,)),)), "add_rules[0].visit_type_ids"),
        (ScheduleChange(add_rules=(HOURS, replace(HOURS, visit_type_ids=(7,)))), "add_rules[1].visit_type_ids"),
        (ScheduleChange(change_rules=(replace(HOURS, visit_type_ids=(7,)),)), "change_rules[0].visit_type_ids"),
        (ScheduleChange(decisions=Decisions(message="\x00")), "decisions.message"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused_by_name(change: ScheduleChange, field: str) -> None:
    """Rule 2 has two visit types of 30 minutes."""
    before = state(HOURS, replace(HOURS, id=2, visit_type_ids=(5, 6)), closures=(MONDAY_OFF,), visit_types=TYPES)
    assert refused(before, change) == [field]


def test_the_token_is_the_same_for_the_same_and_another_for_anything_else() -> None:
    change = ScheduleChange(remove_rules=(1,), decisions=Decisions(bookings={1: Decision.KEEP, 2: Decision.CANCEL}))
    same = replace(change, decisions=Decisions(bookings={2: Decision.CANCEL, 1: Decision.KEEP}))
    token = token_of(["a", "b"], change)
    assert token == token_of(["b", "a"], same)
    others = [
        token_of(["a"], change),
        token_of(["a", "c"], change),
        token_of(["a", "b"], ScheduleChange(remove_rules=(1,))),
        token_of(["a", "b"], replace(change, decisions=Decisions(bookings={1: Decision.KEEP}))),
    ]
    assert len({token, *others}) == 5
