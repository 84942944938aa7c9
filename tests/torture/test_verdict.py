"""Each rule of the verdict, on a history that keeps it and on one that breaks it."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from torture.history import UNREADABLE, Answer, Attempt, Change, SeenBookings, SeenSlot, Sighting
from torture.lag import Lag, Tick
from torture.rules.closures import Closed, ScheduledSlot, find_double_visits, find_hidden, find_other_content
from torture.rules.keys import find_broken_keys
from torture.rules.order import find_disorder
from torture.rules.service import (
    Period,
    find_defects,
    find_slow_answers,
    find_slow_recovery,
    find_unanswered,
)
from torture.rules.unknowns import Unknowns, find_untold, resolve_unknowns
from torture.rules.visits import find_broken_limits
from torture.rules.wishes import find_wrong_wishes
from torture.slot_history import Event, FreeSeats, Row, SlotHistory
from torture.slot_states import SlotStates
from torture.verdict import CHECKS, Listed, find_differences, find_violations

SLOT = 7


@dataclass
class Day:
    """The history of a slot with two seats, built step by step. Each step takes a second."""

    clock: float = 100.0
    events: list[Event] = field(default_factory=lambda: [Event(1, "CREATED", None, 2, 2, 2, 99.0)])
    rows: list[Row] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)

    @property
    def history(self) -> SlotHistory:
        return SlotHistory(SLOT, self.events, self.rows, self.attempts, self.sightings)

    def ask(self, name: Any, outcome: Any = "ok", seconds: float = 0.5, **given: Any) -> Attempt:
        number = len(self.attempts) + 1
        attempt = Attempt(number, 1, name, SLOT, "guest", given.pop("marker", f"patient{number}"), **given)
        attempt.began = attempt.began_at = self.clock
        attempt.ended = attempt.ended_at = self.clock + seconds
        attempt.outcome = outcome
        self.attempts.append(attempt)
        self.clock += 1
        return attempt

    def write(
        self, kind: str, booking_id: int | None, seats: int, free: int, at: float | None = None,
        transaction: int | None = None, total: int = 2,
    ) -> None:  # fmt: skip
        """Write a ledger row, in its own transaction unless one is given."""
        at = self.clock - 0.75 if at is None else at
        number = len(self.events) + 1
        transaction = number if transaction is None else transaction
        self.events.append(Event(number, kind, booking_id, seats, free, total, at, transaction))

    def book(self, booking_id: int = 1, seats: int = 1, free: int = 1, **given: Any) -> Attempt:
        """A hold that is acknowledged, in the ledger and in the table. Its client is told the deadline."""
        told = Answer(id=booking_id, expires_at=datetime.fromtimestamp(self.clock + 100, UTC))
        attempt = self.ask("hold", seats=seats, answer=told, **given)
        self.write("HELD", booking_id, seats, free)
        self.rows.append(Row(booking_id, seats, "PENDING", attempt.marker, attempt.began + 100))
        return attempt

    def overbook(self, booking_id: int) -> Attempt:
        """A booking of a full slot, for which one seat is added."""
        number, total = len(self.events) + 1, self.events[-1].total_after + 1
        attempt = self.ask("hold", at_once=True, answer=Answer(id=booking_id), road="overbook_seats")
        self.write("RESIZED", None, total, 1, transaction=number, total=total)
        self.write("BOOKED", booking_id, 1, 0, transaction=number, total=total)
        self.rows.append(Row(booking_id, 1, "CONFIRMED", attempt.marker, None))
        return attempt

    def change(self, name: Any, kind: str, status: str, free: int, outcome: Any = "ok", total: int = 2) -> Attempt:
        """A confirm or cancel of the newest booking, in the ledger and in the table."""
        row = self.rows.pop()
        attempt = self.ask(name, outcome, booking_id=row.id)
        self.write(kind, row.id, row.seats, free, total=total)
        self.rows.append(Row(row.id, row.seats, status, row.marker, row.expires_at))
        return attempt

    def change_seats(self, seats: int, free: int, **given: Any) -> Attempt:
        """The newest hold becomes another, written in one transaction."""
        old, number = self.rows.pop(), len(self.events) + 1
        new = old.id + 1
        attempt = self.ask(
            "change_seats", seats=seats, booking_id=old.id, marker=old.marker, road="POST /bookings/{booking_id}/seats",
            answer=Answer(id=new), **given,
        )  # fmt: skip
        self.write("CANCELLED", old.id, old.seats, self.events[-1].available_after + old.seats, transaction=number)
        self.write("HELD", new, seats, free, transaction=number)
        self.rows.append(Row(old.id, old.seats, "CANCELLED", old.marker, old.expires_at))
        self.rows.append(Row(new, seats, "PENDING", "", attempt.began + 100))
        return attempt

    def change_slot(self, kind: str, change: Change, free: int, total: int = 2, **given: Any) -> Attempt:
        """A change by an admin, acknowledged and in the ledger."""
        attempt = self.ask("change_slot", change=change, **given)
        self.write(kind, None, total, free, total=total)
        return attempt

    def see(self, free: int | None, least: int = 0, **given: Any) -> None:
        """A read of the slot that takes half a second."""
        number = len(self.attempts) + 1
        self.ask("read_slots", http_status=200)
        read = self.attempts[-1]
        self.sightings.append(SeenSlot(SLOT, number, read.began_at, read.ended_at, free, least, **given))

    def see_bookings(self, statuses: dict[int, str], first: int = 1, last: int = 0) -> None:
        number = len(self.attempts) + 1
        read = self.ask("read_bookings", http_status=200)
        self.sightings.append(SeenBookings(SLOT, number, read.began_at, read.ended_at, statuses, first, last))

    def refuse(self, told: int, seats: int = 1, **given: Any) -> Attempt:
        answer = Answer(code="slot-full", available_seats=told)
        return self.ask("hold", "fail", seats=seats, http_status=409, answer=answer, **given)


def a_good_day() -> Day:
    day = Day()
    day.book()
    day.see(1, 1, total=2, status="OPEN")
    day.see(None, 2)
    day.see_bookings({1: "PENDING"}, 0, 9)
    day.change("confirm", "CONFIRMED", "CONFIRMED", free=1)
    day.ask("read_booking", booking_id=1, http_status=200, answer=Answer(id=1, status="CONFIRMED"))
    day.refuse(told=1, seats=2)
    day.change("cancel", "CANCELLED", "CANCELLED", free=2)
    day.ask("read_booking", booking_id=1, http_status=200, answer=Answer(id=1, status="CANCELLED"))
    return day


def hold_in_spite_of_notice(day: Day) -> None:
    day.book(2, visit="strict")


def change_seats_in_spite_of_notice(day: Day) -> None:
    day.ask("change_seats", visit="strict").caller = "desk"


def refuse_a_visit_without_notice(day: Day) -> None:
    day.ask("hold", "fail", visit="lenient", http_status=409, answer=Answer(code="too-late-to-book"))


def firm_visit(day: Day) -> None:
    """A visit that is booked, and that its patient cannot cancel any more."""
    day.book(2, visit="firm")
    day.change("confirm", "CONFIRMED", "CONFIRMED", free=1).visit = "firm"


def refuse_to_cancel(day: Day, visit: Any = "firm") -> None:
    answer = Answer(code="too-late-to-change")
    day.ask("cancel", "fail", booking_id=2, visit=visit, http_status=409, answer=answer)


def cancel_in_spite_of_the_deadline(day: Day) -> None:
    firm_visit(day)
    day.change("cancel", "CANCELLED", "CANCELLED", free=2).visit = "firm"
    day.ask("cancel", booking_id=2, visit="firm").caller = "desk"


def refuse_to_cancel_a_hold(day: Day) -> None:
    day.book(2, visit="firm")
    refuse_to_cancel(day)


def refuse_to_cancel_without_a_deadline(day: Day) -> None:
    firm_visit(day)
    refuse_to_cancel(day, visit="lenient")


def test_after_the_deadline_the_desk_cancels_and_patients_are_refused() -> None:
    day = a_good_day()
    firm_visit(day)
    refuse_to_cancel(day)
    day.change("cancel", "CANCELLED", "CANCELLED", free=2).caller = "desk"
    # Cancelling again gives the same answer.
    day.ask("cancel", booking_id=2, visit="firm")
    day.book(3, visit="firm")
    day.change("cancel", "CANCELLED", "CANCELLED", free=2).visit = "firm"
    assert list(find_violations(day.history)) == []


def test_the_desk_holds_a_visit_in_spite_of_its_notice_and_patients_are_refused() -> None:
    day = a_good_day()
    day.book(2, visit="strict").caller = "desk"
    for name in ("hold", "change_seats"):
        day.ask(name, "fail", visit="strict", http_status=409, answer=Answer(code="too-late-to-book"))
    assert list(find_violations(day.history)) == []


def test_a_good_day_has_no_violation() -> None:
    assert list(find_violations(a_good_day().history)) == []


def lose_a_booking(day: Day) -> None:
    day.rows.clear()


def undo_a_cancel(day: Day) -> None:
    row = day.rows.pop()
    day.rows.append(Row(row.id, row.seats, "CONFIRMED", row.marker, row.expires_at))


def forget_a_confirm(day: Day) -> None:
    day.events = [event for event in day.events if event.kind != "CONFIRMED"]


def hand_out_anothers_booking(day: Day) -> None:
    row = day.rows.pop()
    day.rows.append(Row(row.id, row.seats, row.status, "somebody else", row.expires_at))


def book_twice(day: Day) -> None:
    day.rows.append(Row(2, 1, "FAILED", day.rows[0].marker, 1.0))


def book_what_was_refused(day: Day) -> None:
    refused = day.refuse(told=0, seats=3)
    day.rows.append(Row(2, 1, "FAILED", refused.marker, 1.0))


def cancel_unasked(day: Day) -> None:
    day.attempts = [attempt for attempt in day.attempts if attempt.name != "cancel"]


def confirm_what_was_refused(day: Day) -> None:
    for attempt in day.attempts:
        if attempt.name == "confirm":
            attempt.outcome = "fail"


def write_in_another_order(day: Day) -> None:
    """The ledger has a later booking before one that had ended before it began."""
    day.book(booking_id=2, free=1)
    day.book(booking_id=3, free=0)
    first, second = day.events[-2:]
    day.events[-2:] = [
        Event(first.sequence, "HELD", 3, 1, 1, 2, second.at),
        Event(second.sequence, "HELD", 2, 1, 0, 2, second.at),
    ]


def oversell(day: Day) -> None:
    for booking_id in (2, 3, 4):
        day.book(booking_id=booking_id, free=max(0, 3 - booking_id))


def keep_an_added_seat(day: Day) -> None:
    """Two seats are booked, a third is added for one more booking, which is cancelled: the seat stays."""
    day.book(booking_id=2, seats=2, free=0)
    day.overbook(3)
    day.change("cancel", "CANCELLED", "CANCELLED", free=1, total=3)


def miscount(day: Day) -> None:
    day.book(booking_id=2, free=2)


def refuse_a_free_seat(day: Day) -> None:
    day.refuse(told=0)


def refuse_what_fits(day: Day) -> None:
    day.refuse(told=2, seats=2)


def tell_of_seats_freed_later(day: Day) -> None:
    """The client is told zero free seats after the hold that took them had expired, before any sweep."""
    day.ask("hold", seats=2, answer=Answer(id=2))
    day.write("HELD", 2, 2, 0)
    day.rows.append(Row(2, 2, "PENDING", day.attempts[-1].marker, day.clock))
    day.clock += 5
    day.refuse(told=0)


def refuse_for_no_reason(day: Day) -> None:
    day.ask("hold", "fail", http_status=401, answer=Answer(code="not-authenticated"))


def refuse_without_a_number(day: Day) -> None:
    day.ask("hold", "fail", http_status=409, answer=Answer(code="slot-full"))


def keep_a_booking_and_refuse_its_key(day: Day) -> None:
    lost = day.book(booking_id=2, key="a key")
    lost.outcome = "info"
    day.refuse(told=0, key="a key", marker=lost.marker, purpose="retry")


def expire_too_early(day: Day) -> None:
    day.book(booking_id=2)
    day.ask("confirm", "fail", booking_id=2, http_status=410, answer=Answer(code="hold-expired"))


def call_a_live_hold_cancelled(day: Day) -> None:
    day.book(booking_id=2)
    day.ask("confirm", "fail", booking_id=2, http_status=409, answer=Answer(code="booking-cancelled"))


def call_a_confirmed_booking_failed(day: Day) -> None:
    day.book(booking_id=2)
    day.change("confirm", "CONFIRMED", "CONFIRMED", free=1)
    day.clock += 1000
    day.ask("cancel", "fail", booking_id=2, http_status=409, answer=Answer(code="booking-failed"))


def lose_the_holder(day: Day) -> None:
    day.ask("cancel", "fail", booking_id=1, http_status=403, answer=Answer(code="not-allowed"))


def refuse_to_read(day: Day) -> None:
    day.ask("read_booking", "fail", booking_id=1, http_status=401, answer=Answer(code="not-authenticated"))


def read_an_older_state(day: Day) -> None:
    day.ask("read_booking", booking_id=1, http_status=200, answer=Answer(id=1, status="CONFIRMED"))


def read_nothing(day: Day) -> None:
    day.ask("read_booking", "fail", booking_id=1, http_status=404, answer=Answer(code="booking-not-found"))


def lose_a_resize(day: Day) -> None:
    day.change_slot("RESIZED", Change(total=5), free=5, total=5)
    day.events.pop()


def close_unasked(day: Day) -> None:
    day.write("CLOSED", None, 0, 2)


def hold_without_a_name_unasked(day: Day) -> None:
    day.rows.append(Row(2, 1, "FAILED", "", 1.0))


def hold_twice_for_one_click(day: Day) -> None:
    """The first hold existed when the answer named the second."""
    day.book(booking_id=2, road="POST /hold")
    day.write("HELD", 3, 1, 0, at=day.clock - 0.7)
    day.rows.append(Row(3, 1, "PENDING", "", day.clock + 100))


def refuse_seats_for_a_hold_that_stands(day: Day) -> None:
    day.book(booking_id=2)
    day.ask("change_seats", "fail", booking_id=2, http_status=409, answer=Answer(code="hold-expired"))


def confirm_after_what_was_told(day: Day, at: float = 0.5) -> None:
    """The row has a later deadline than the client was told."""
    day.book(booking_id=2)
    told = day.rows[-1].expires_at
    assert told is not None
    day.clock = told + at
    day.change("confirm", "CONFIRMED", "CONFIRMED", free=1)
    row = day.rows.pop()
    day.rows.append(Row(row.id, row.seats, row.status, row.marker, told + 1000))


def confirm_after_it_and_write_an_earlier_time(day: Day) -> None:
    confirm_after_what_was_told(day)
    late = day.events.pop()
    day.write("CONFIRMED", late.booking_id, late.seats, late.available_after, at=late.at - 50)


def run_out_before_it(day: Day) -> None:
    day.book(booking_id=2)
    row = day.rows.pop()
    day.write("EXPIRED", 2, 1, 2, at=day.clock + 10)
    day.rows.append(Row(2, row.seats, "FAILED", row.marker, day.clock + 5))


def change_seats_in_two_steps(day: Day) -> None:
    day.book(booking_id=2)
    day.change_seats(2, free=0)
    held = day.events.pop()
    day.write("HELD", held.booking_id, held.seats, held.available_after)


def let_somebody_in_between(day: Day) -> None:
    day.book(booking_id=2)
    day.change_seats(1, free=0)
    held = day.events.pop()
    day.events.append(Event(held.sequence, "HELD", 9, 1, 1, 2, held.at, 1000))
    day.write("HELD", held.booking_id, 1, 0, transaction=held.transaction)
    day.ask("hold", marker="in between", answer=Answer(id=9))
    day.rows.append(Row(9, 1, "PENDING", "in between", None))


def give_up_and_take_nothing(day: Day) -> None:
    """The outcome is unknown to the client; the old hold is gone and there is no new one."""
    day.book(booking_id=2)
    day.change_seats(1, free=1, outcome="info")
    day.events.pop()
    day.rows.pop()


def refuse_an_admin(day: Day) -> None:
    answer = Answer(code="seats-taken", seats_taken=1)
    day.ask("change_slot", "fail", change=Change(total=1), http_status=409, answer=answer)


def refuse_a_change_of_seats(day: Day) -> None:
    day.book(booking_id=2)
    answer = Answer(code="slot-full", available_seats=0)
    day.ask("change_seats", "fail", booking_id=2, seats=2, http_status=409, answer=answer)


def call_an_open_slot_closed(day: Day) -> None:
    day.ask("hold", "fail", http_status=409, answer=Answer(code="slot-closed"))


def show_a_seat_that_is_taken(day: Day) -> None:
    day.book(booking_id=2)
    day.see(2)


def hide_a_free_slot(day: Day) -> None:
    day.see(None, 2)


def hide_seats_of_an_overdue_hold(day: Day) -> None:
    """The hold is swept a second after its deadline, and a search in between does not show its seats."""
    day.book(booking_id=2, seats=2, free=0)
    told = day.rows[-1].expires_at
    assert told is not None
    day.clock = told + 0.1
    day.see(None, 1)
    day.write("EXPIRED", 2, 2, 2, at=told + 1)


def offer_a_closed_slot(day: Day) -> None:
    day.change_slot("CLOSED", Change(status="CLOSED"), free=2)
    day.see(2, 1)


def show_another_time(day: Day) -> None:
    day.change_slot("MOVED", Change(start=1000.0), free=2)
    day.see(2, start=2000.0)


def show_a_hold_that_is_cancelled(day: Day) -> None:
    day.see_bookings({1: "CONFIRMED"})


def leave_a_booking_out(day: Day) -> None:
    day.see_bookings({}, 0, 9)


def show_an_overdue_hold_as_pending(day: Day) -> None:
    day.book(booking_id=2)
    day.clock += 1000
    day.see_bookings({2: "PENDING"})


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        ("S3 slot", lose_a_resize),
        ("S4", close_unasked),
        ("S4", hold_without_a_name_unasked),
        ("S4", hold_twice_for_one_click),
        ("S13 ends", refuse_seats_for_a_hold_that_stands),
        ("S8", confirm_after_what_was_told),
        ("S9", run_out_before_it),
        ("S12 whole", change_seats_in_two_steps),
        ("S12 whole", let_somebody_in_between),
        ("S12 whole", give_up_and_take_nothing),
        ("S13", refuse_a_change_of_seats),
        ("S13", call_an_open_slot_closed),
        ("S13 slot", refuse_an_admin),
        ("S13 visits", hold_in_spite_of_notice),
        ("S13 visits", change_seats_in_spite_of_notice),
        ("S13 visits", refuse_a_visit_without_notice),
        ("S13 deadline", cancel_in_spite_of_the_deadline),
        ("S13 deadline", refuse_to_cancel_a_hold),
        ("S13 deadline", refuse_to_cancel_without_a_deadline),
        ("S19", confirm_after_it_and_write_an_earlier_time),
        ("S20", show_a_seat_that_is_taken),
        ("S20", hide_a_free_slot),
        ("S20", hide_seats_of_an_overdue_hold),
        ("S20", offer_a_closed_slot),
        ("S20", show_another_time),
        ("S20", show_a_hold_that_is_cancelled),
        ("S20", leave_a_booking_out),
        ("S20", show_an_overdue_hold_as_pending),
        ("S3", lose_a_booking),
        ("S3", undo_a_cancel),
        ("S3", forget_a_confirm),
        ("S3", hand_out_anothers_booking),
        ("S4", book_twice),
        ("S4", book_what_was_refused),
        ("S4", cancel_unasked),
        ("S4", confirm_what_was_refused),
        ("S12 order", write_in_another_order),
        ("S12 model", oversell),
        ("S12 model", miscount),
        ("S12 added", keep_an_added_seat),
        ("S13", refuse_a_free_seat),
        ("S13", refuse_what_fits),
        ("S13", tell_of_seats_freed_later),
        ("S4", keep_a_booking_and_refuse_its_key),
        ("S13", refuse_for_no_reason),
        ("S13", refuse_without_a_number),
        ("S13 ends", expire_too_early),
        ("S13 ends", call_a_live_hold_cancelled),
        ("S13 ends", call_a_confirmed_booking_failed),
        ("S13 ends", lose_the_holder),
        ("S18", refuse_to_read),
        ("S18", read_an_older_state),
        ("S18", read_nothing),
    ],
)
def test_a_spoiled_day_breaks_the_rule(rule: str, spoil: Callable[[Day], None]) -> None:
    day = a_good_day()
    spoil(day)
    assert rule in {violation.rule for violation in find_violations(day.history)}


def test_every_rule_is_broken_by_a_test() -> None:
    [marker] = [mark for mark in test_a_spoiled_day_breaks_the_rule.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]
    assert {rule for rule, _ in marker.args[1]} == set(CHECKS)


def test_a_booking_began_with_its_first_request_even_if_others_used_its_key_and_name() -> None:
    """A lost answer, another client's booking, the key again, and the same request by another caller."""
    day = Day()
    day.ask("hold", "info", marker="m", key="k")
    day.write("HELD", 1, 1, 1)
    day.book(booking_id=2, free=0)
    day.rows.append(Row(1, 1, "PENDING", "m", 300.0))
    day.ask("hold", marker="m", key="k", answer=Answer(id=1))
    day.events.append(Event(4, "CANCELLED", 2, 1, 1, 2, day.clock))
    day.book(booking_id=3, free=0, marker="m", key="k", purpose="other_caller").caller = "another"
    assert list(find_disorder(day.history)) == []


def test_all_that_the_desk_and_the_pages_do_has_no_violation() -> None:
    day = a_good_day()
    day.change_slot("RESIZED", Change(total=4), free=4, total=4)
    day.change_slot("CLOSED", Change(status="CLOSED"), free=4, total=4)
    day.ask("hold", "fail", http_status=409, answer=Answer(code="slot-closed"))
    day.see(None, 1)
    day.change_slot("REOPENED", Change(status="OPEN"), free=4, total=4)
    day.change_slot("MOVED", Change(start=1000.0), free=4, total=4)
    day.see(4, 1, total=4, status="OPEN", start=1000.0)
    answer = Answer(code="seats-taken", seats_taken=0)
    assert list(find_violations(day.history)) == []
    day.ask("change_slot", "fail", change=Change(total=-1), http_status=409, answer=answer)
    assert list(find_violations(day.history)) == []


def test_an_overbooked_booking_that_comes_and_goes_has_no_violation() -> None:
    day = a_good_day()
    day.book(booking_id=2, seats=2, free=0)
    day.overbook(3)
    number = len(day.events) + 1
    day.change("cancel", "CANCELLED", "CANCELLED", free=1, total=3)
    day.events[-1] = msgspec.structs.replace(day.events[-1], transaction=number)
    day.write("RESIZED", None, 2, 0, at=day.events[-1].at, transaction=number)
    assert list(find_violations(day.history)) == []


def test_changed_seats_have_no_violation_whether_or_not_the_client_got_the_answer() -> None:
    for outcome in ("ok", "info"):
        day = Day()
        day.book(booking_id=1, road="POST /hold")
        day.change_seats(2, free=0, outcome=outcome)
        assert list(find_violations(day.history)) == []


def test_a_click_that_takes_longer_than_a_hold_lives_may_hold_twice() -> None:
    """The first hold expired before the page arrived; the client gets the second."""
    day = Day()
    day.ask("hold", seconds=10, road="POST /hold", answer=Answer(id=2))
    began = day.attempts[-1].began_at
    day.write("HELD", 1, 1, 1, at=began + 1)
    day.write("EXPIRED", 1, 1, 2, at=began + 4)
    day.write("HELD", 2, 1, 1, at=began + 5)
    day.rows += [Row(1, 1, "FAILED", "", began + 3), Row(2, 1, "PENDING", "", began + 100)]
    assert list(find_violations(day.history)) == []


def test_a_row_may_be_missing_or_visible_until_its_client_has_the_answer() -> None:
    """A row may be written but not yet committed. After the answer, every reader must see it."""
    day = Day()
    day.book()
    written, told = day.events[-1].at, day.attempts[-1].ended_at
    states = SlotStates(day.history)
    assert [state.available for state in states.within(written - 0.1, written - 0.05)] == [2]
    assert [state.available for state in states.within(written + 0.01, told - 0.01)] == [2, 1]
    assert [state.available for state in states.within(told + 0.01, told + 1)] == [1]


def test_a_confirm_that_was_asked_for_in_time_may_be_answered_later_and_again() -> None:
    day = Day()
    day.book()
    day.change("confirm", "CONFIRMED", "CONFIRMED", free=1, outcome="info")
    day.clock += 1000
    day.ask("confirm", booking_id=1)
    assert list(find_violations(day.history)) == []


def test_a_client_that_comes_too_late_is_refused() -> None:
    """After the deadline; and after a cancellation."""
    day = a_good_day()
    day.ask("confirm", "fail", booking_id=1, http_status=409, answer=Answer(code="booking-cancelled"))
    day.book(booking_id=2)
    day.clock += 1000
    day.ask("confirm", "fail", booking_id=2, http_status=410, answer=Answer(code="hold-expired"))
    day.ask("cancel", "fail", booking_id=2, http_status=409, answer=Answer(code="booking-failed"))
    assert list(find_violations(day.history)) == []


def test_seats_of_a_hold_are_free_from_its_deadline_on() -> None:
    day = Day()
    day.book()
    deadline = day.rows[0].expires_at
    assert deadline is not None
    free = FreeSeats(day.history)
    assert free.within(deadline - 2, deadline - 1) == {1}
    assert free.within(deadline + 1, deadline + 2) == {2}
    assert free.within(deadline - 1, deadline + 1) == {1, 2}


def test_the_api_shows_what_the_tables_have() -> None:
    history = a_good_day().history
    told = Listed(1, SLOT, "CANCELLED", 1, "patient1")
    assert list(find_differences(history, 2, {1: told})) == []
    assert [violation.rule for violation in find_differences(SlotHistory(SLOT, [], [], []), 2, {})] == ["S1"]
    for free, listed in ((1, {1: told}), (2, {}), (2, {1: msgspec.structs.replace(told, status="CONFIRMED")})):
        assert [violation.rule for violation in find_differences(history, free, listed)] == ["S1"]


def keyed(outcome: Any = "ok", body: str = "{}", purpose: Any = "flow", **given: Any) -> Attempt:
    caller = "another" if purpose == "other_caller" else given.pop("caller", "guest")
    return Attempt(
        1, 1, "hold", SLOT, caller, "patient1", key="a key", outcome=outcome, body=body, purpose=purpose, **given
    )


@pytest.mark.parametrize(
    ("rules", "attempts"),
    [
        (set(), [keyed("info", ""), keyed(purpose="retry"), keyed(purpose="retry")]),
        (set(), [keyed(), keyed("fail", "", "other_body", http_status=422), keyed(body="own", purpose="other_caller")]),
        (set(), [keyed("info", ""), keyed(purpose="other_body", http_status=201)]),
        ({"S5"}, [keyed(), keyed(body="another", purpose="retry")]),
        ({"S5"}, [keyed(), keyed(body="another", purpose="other_body", http_status=201)]),
        (set(), [keyed(), keyed("info", "", "other_caller"), keyed(body="own", purpose="resolve", caller="another")]),
        (set(), [keyed("fail", "sold out"), keyed("fail", "sold out", "other_caller", http_status=409)]),
        ({"S6"}, [keyed(), keyed(purpose="other_caller")]),
        ({"S6"}, [keyed(), keyed("fail", "", "other_caller", http_status=422)]),
    ],
)
def test_one_key_has_one_answer_for_one_body_and_caller(rules: set[str], attempts: list[Attempt]) -> None:
    assert {violation.rule for violation in find_broken_keys(attempts)} == rules


def visit(name: Any, began: float, outcome: Any = "ok", booking_id: int = 1, **given: Any) -> Attempt:
    """A request for a visit that its patient may have once. It takes a second, and a hold lasts ten."""
    number = int(10 * began)
    attempt = Attempt(number, 1, name, SLOT, "guest", f"patient{number}", visit="single", patient="pat")
    attempt.began_at, attempt.ended_at, attempt.outcome = began, began + 1, outcome
    if name == "hold":
        told = datetime.fromtimestamp(began + 10, UTC)
        attempt.answer = Answer(id=booking_id, expires_at=told) if outcome == "ok" else None
    else:
        attempt.booking_id = booking_id
    return msgspec.structs.replace(attempt, **given)


def too_many(name: Any, began: float, **given: Any) -> Attempt:
    return visit(name, began, "fail", answer=Answer(code="booking-limit-reached"), **given)


@pytest.mark.parametrize(
    ("broken", "attempts"),
    [
        (0, [visit("hold", 1), too_many("hold", 1.5)]),
        (0, [visit("hold", 1, "info"), too_many("hold", 50)]),
        (0, [visit("hold", 1), visit("cancel", 5), visit("hold", 5.5, booking_id=2)]),
        (0, [visit("hold", 1), visit("hold", 11.5, booking_id=2)]),
        (0, [visit("hold", 1), visit("confirm", 9), too_many("hold", 30)]),
        (0, [visit("hold", 1), visit("cancel", 5, "info"), too_many("hold", 8)]),
        (
            0,
            [too_many("hold", 1, key="k"), visit("hold", 1, key="l"), visit("cancel", 3), too_many("hold", 9, key="k")],
        ),
        (1, [visit("hold", 1), visit("hold", 2, booking_id=2)]),
        (1, [visit("hold", 1), visit("hold", 2, booking_id=2), visit("cancel", 4), visit("cancel", 5, booking_id=2)]),
        (1, [visit("hold", 1), visit("cancel", 5), too_many("hold", 7)]),
        (1, [visit("hold", 1), too_many("hold", 12)]),
        (1, [visit("hold", 1), too_many("confirm", 3)]),
        (1, [visit("hold", 1, "fail"), too_many("hold", 1.5)]),
        (1, [visit("hold", 1), too_many("hold", 2, patient=None)]),
        (1, [visit("hold", 1), too_many("hold", 2, visit="lenient")]),
    ],
)
def test_a_patient_has_one_live_visit_and_is_refused_only_then(broken: int, attempts: list[Attempt]) -> None:
    assert [violation.rule for violation in find_broken_limits(attempts)] == ["S13 limit"] * broken


def test_an_account_gives_another_address_for_each_visit_and_a_guest_the_same() -> None:
    assert visit("hold", 1).email == visit("hold", 2).email
    assert visit("hold", 1, caller="pat").email != visit("hold", 2, caller="pat").email


def cancel(booking_id: int = 1, outcome: Any = "ok", **given: Any) -> Attempt:
    return Attempt(1, 1, "cancel", SLOT, "desk", "patient1", booking_id=booking_id, outcome=outcome, **given)


@pytest.mark.parametrize(
    ("broken", "noted", "attempts"),
    [
        (0, {1: True}, [cancel(asked=True)]),
        (0, {1: False}, [cancel()]),
        (0, {1: False}, []),
        (0, {1: True}, [cancel(), cancel(asked=True)]),
        (0, {1: False}, [cancel(), cancel(asked=True)]),
        (0, {1: True}, [cancel(outcome="info", asked=True)]),
        (0, {}, [cancel(outcome="fail", asked=True)]),
        (1, {1: True}, [cancel()]),
        (1, {1: True}, [cancel(2, asked=True)]),
        (1, {1: True}, [cancel(outcome="fail", asked=True)]),
        (1, {1: False}, [cancel(asked=True)]),
        (1, {1: False}, [cancel(outcome="fail"), cancel(asked=True)]),
    ],
)
def test_the_wish_of_a_patient_is_noted_only_where_the_desk_ticks_it(
    broken: int, noted: dict[int, bool], attempts: list[Attempt]
) -> None:
    assert [violation.rule for violation in find_wrong_wishes(attempts, noted)] == ["S3 wish"] * broken


def test_only_a_visit_whose_hours_change_is_not_offered() -> None:
    for kind, broken in (("roomy", 0), ("brief", 0), ("lenient", 1)):
        day = Day()
        day.ask("hold", "fail", answer=Answer(code="visit-type-not-offered"), visit=kind)
        assert [one.rule for one in find_violations(day.history)] == ["S13 visits"] * broken


def test_an_answer_after_ten_seconds_is_too_late() -> None:
    day = Day()
    day.ask("hold", seconds=9.9)
    assert list(find_slow_answers(day.attempts)) == []
    day.ask("hold", "info", seconds=10.1)
    assert [violation.rule for violation in find_slow_answers(day.attempts)] == ["L3"]


def test_what_the_harness_was_late_is_not_the_servers_time() -> None:
    day = Day()
    late = day.ask("hold", "info", seconds=12)
    lag = Lag()
    lag.ticks = [Tick(late.began - 1, 9.0), Tick(late.began + 0.01, 0.5), Tick(late.ended + 0.02, 1.4)]
    assert lag.of(late.began, late.ended) == pytest.approx(1.9)
    assert [violation.rule for violation in find_slow_answers(day.attempts, lag=lag.of)] == ["L3"]
    lag.ticks.append(Tick(late.ended + 0.03, 0.0))
    lag.ticks[2] = Tick(late.ended + 0.02, 1.6)
    assert not list(find_slow_answers(day.attempts, lag=lag.of))


async def test_a_harness_that_does_not_run_knows_how_late_it_is() -> None:
    lag = Lag()
    async with lag.measured():
        await asyncio.sleep(0.1)
        time.sleep(0.3)  # noqa: ASYNC251 - this is what is measured
        await asyncio.sleep(0.1)
    assert lag.most >= 0.25


@pytest.mark.parametrize(("status", "rules"), [(503, []), (500, ["P9"]), (502, ["P9"]), (409, []), (None, [])])
def test_of_all_5xx_only_a_503_is_no_defect(status: int | None, rules: list[str]) -> None:
    day = Day()
    day.ask("hold", "info", http_status=status)
    assert [violation.rule for violation in find_defects(day.attempts)] == rules


def test_an_unreadable_answer_is_a_defect() -> None:
    day = Day()
    day.ask("hold", "info", http_status=201, error=UNREADABLE)
    assert [violation.rule for violation in find_defects(day.attempts)] == ["P9"]


def at_rest(count: int, outcome: Any = "ok") -> list[Attempt]:
    day = Day()
    for _ in range(count):
        day.ask("hold", outcome, http_status=503 if outcome == "info" else 201)
    return day.attempts


def test_of_a_thousand_attempts_at_rest_one_may_have_no_answer() -> None:
    assert list(find_unanswered(at_rest(999) + at_rest(1, "info"), [])) == []
    [found] = find_unanswered(at_rest(998) + at_rest(2, "info"), [])
    assert found.rule == "L5"
    assert found.sentence == "2 of 1000 attempts outside faults had no definite answer: hold: 503"


def test_on_a_busy_machine_a_503_after_a_wait_does_not_count() -> None:
    waited, refused = at_rest(10, "info"), at_rest(10, "info")
    for attempt in waited:
        attempt.ended = attempt.began + 2
    assert list(find_unanswered(waited, [], lambda _: True)) == []
    assert [found.rule for found in find_unanswered(waited, [])] == ["L5"]
    assert [found.rule for found in find_unanswered(refused, [], lambda _: True)] == ["L5"]


def test_what_overlaps_a_fault_is_not_counted() -> None:
    """Attempts of half a second, one each second from 100 on; something is broken from 105.2 to 108."""
    attempts = at_rest(20, "info")
    broken = [Period(105.2, 108.1)]
    [found] = find_unanswered(attempts, broken)
    assert found.sentence.startswith("16 of 16 attempts")
    assert list(find_unanswered(attempts, [Period(99.0, 130.0)])) == []


def test_service_is_back_in_time_when_it_mostly_is() -> None:
    assert list(find_slow_recovery([])) == []
    assert list(find_slow_recovery([0.1] * 99 + [9.0])) == []
    assert [violation.rule for violation in find_slow_recovery([0.1] * 98 + [9.0] * 2)] == ["L2"]


def test_a_key_is_unresolved_until_an_answer_shows_its_outcome() -> None:
    day = Day()
    lost = day.ask("hold", "info", key="a key")
    day.ask("hold", "fail", key="a key", purpose="other_body", http_status=422)
    assert find_untold(day.attempts) == [lost]
    day.ask("hold", "ok", key="a key", purpose="resolve")
    assert find_untold(day.attempts) == []


def test_an_unknown_outcome_is_resolved_by_the_tables() -> None:
    day = Day()
    day.book().outcome = "info"
    day.change("cancel", "CANCELLED", "CANCELLED", free=2, outcome="info")
    day.ask("hold", "info")
    day.ask("confirm", "info", booking_id=1)
    resolve_unknowns(day.history, unknowns := Unknowns())
    assert (unknowns.done, unknowns.undone, unknowns.by_key) == (2, 2, 0)


def test_an_unknown_outcome_is_resolved_by_its_key() -> None:
    day = Day()
    day.ask("hold", "info", key="a key")
    day.book(marker="patient1", key="a key", purpose="retry")
    resolve_unknowns(day.history, unknowns := Unknowns())
    assert (unknowns.done, unknowns.undone, unknowns.by_key) == (1, 0, 1)


def test_a_change_of_the_schedule_closes_slots_and_cancels_bookings() -> None:
    """Without it, the same ledger has rows without a request (S4)."""
    day = Day()
    day.book()
    change = day.ask("apply_schedule")
    day.attempts.remove(change)
    day.write("CANCELLED", 1, 1, 2)
    day.write("CLOSED", None, 2, 2)
    day.rows[0] = msgspec.structs.replace(day.rows[0], status="CANCELLED")
    assert rules_of(msgspec.structs.replace(day.history, schedule=[change])) == set()
    assert rules_of(day.history) == {"S4"}
    change.outcome = "fail"
    assert rules_of(msgspec.structs.replace(day.history, schedule=[change])) == {"S4"}


def test_a_change_of_the_schedule_ends_holds_that_have_no_room_and_resizes_slots() -> None:
    """Without it, the same ledger has seats that go away without a reason (S12)."""
    day = Day()
    day.book()
    change = day.ask("apply_schedule")
    day.attempts.remove(change)
    number = len(day.events) + 1
    day.write("CANCELLED", 1, 1, 2, transaction=number)
    day.write("RESIZED", None, 1, 1, transaction=number, total=1)
    day.rows[0] = msgspec.structs.replace(day.rows[0], status="CANCELLED")
    assert rules_of(msgspec.structs.replace(day.history, schedule=[change])) == set()
    assert {"S4", "S12 added"} <= rules_of(day.history)


def test_a_booking_that_the_schedule_cancelled_may_be_cancelled_again_later() -> None:
    """The row of the ledger is not of that later request, so the order of the ledger is right."""
    day = Day()
    day.book()
    change = day.ask("apply_schedule")
    day.attempts.remove(change)
    day.write("CANCELLED", 1, 1, 2)
    day.book(2)
    day.ask("cancel", booking_id=1)
    day.rows[0] = msgspec.structs.replace(day.rows[0], status="CANCELLED")
    assert rules_of(msgspec.structs.replace(day.history, schedule=[change])) == set()
    assert "S12 order" in rules_of(day.history)


def rules_of(history: SlotHistory) -> set[str]:
    return {violation.rule for violation in find_violations(history)}


AHEAD = ScheduledSlot(7, 1, 1, 1000.0, 1900.0, True, None, False, False, 0, 2, 2, True)
CLOSED_AHEAD = msgspec.structs.replace(AHEAD, is_open=False, confirmed=1)
HOLIDAY = Closed(3, None, None, 1800.0, 5000.0)


@pytest.mark.parametrize(
    ("slot", "closures", "broken"),
    [
        (AHEAD, [], False),
        (AHEAD, [HOLIDAY], True),
        (AHEAD, [msgspec.structs.replace(HOLIDAY, begin=1900.0)], False),
        (AHEAD, [msgspec.structs.replace(HOLIDAY, begin=0.0, end=1000.0)], False),
        (AHEAD, [msgspec.structs.replace(HOLIDAY, doctor_id=1, clinic_id=1)], True),
        (AHEAD, [msgspec.structs.replace(HOLIDAY, doctor_id=2)], False),
        (AHEAD, [msgspec.structs.replace(HOLIDAY, clinic_id=2)], False),
        (CLOSED_AHEAD, [HOLIDAY], True),
        (msgspec.structs.replace(CLOSED_AHEAD, confirmed=0), [HOLIDAY], False),
        (msgspec.structs.replace(CLOSED_AHEAD, closure_id=3), [HOLIDAY], False),
        (msgspec.structs.replace(CLOSED_AHEAD, closure_id=3), [], True),
        (msgspec.structs.replace(CLOSED_AHEAD, drifted=True), [], False),
        (msgspec.structs.replace(CLOSED_AHEAD, by_hand=True), [], False),
    ],
)
def test_no_time_is_open_in_a_closure_and_no_booking_in_a_closed_time_is_hidden(
    slot: ScheduledSlot, closures: list[Closed], broken: bool
) -> None:
    """S24."""
    assert [violation.rule for violation in find_hidden([slot], closures)] == ["S24"] * broken


@pytest.mark.parametrize(
    ("slot", "broken"),
    [
        (AHEAD, False),
        (msgspec.structs.replace(AHEAD, rule_seats=1), True),
        (msgspec.structs.replace(AHEAD, rule_seats=1, by_hand=True), False),
        (msgspec.structs.replace(AHEAD, rule_seats=1, is_open=False), False),
        (msgspec.structs.replace(AHEAD, rule_seats=None, has_types_of_rule=False), False),
        (msgspec.structs.replace(AHEAD, has_types_of_rule=False), True),
    ],
)
def test_an_open_time_of_a_rule_is_as_its_rule_says(slot: ScheduledSlot, broken: bool) -> None:
    """S24."""
    assert [violation.rule for violation in find_other_content([slot])] == ["S24 content"] * broken


@pytest.mark.parametrize(
    ("other", "broken"),
    [
        ({"begin": 1899.0, "end": 2000.0}, True),
        ({"begin": 900.0, "end": 1001.0}, True),
        ({"begin": 1900.0, "end": 2000.0}, False),
        ({"begin": 1899.0, "end": 2000.0, "doctor_id": 2}, False),
        ({"begin": 1899.0, "end": 2000.0, "confirmed": 0}, False),
    ],
)
def test_no_doctor_is_in_two_visits_at_once(other: dict[str, Any], broken: bool) -> None:
    """S22."""
    slots = [CLOSED_AHEAD, msgspec.structs.replace(CLOSED_AHEAD, id=8, is_open=True, **other)]
    assert [violation.rule for violation in find_double_visits(slots)] == ["S22"] * broken
