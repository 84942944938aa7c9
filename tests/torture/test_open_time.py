"""The rules for open time, each on records that keep it and on some that break it."""

from typing import Any

import pytest
from msgspec.structs import replace
from torture.history import Answer, Attempt, Offer
from torture.judging import REFUSED_OFFERS
from torture.open_times import (
    CarvedBooking,
    CarvedSlot,
    Changes,
    ClosedTime,
    OpenTimes,
    Published,
    PublishedStep,
    Visit,
    Window,
    place_carving,
    published_periods,
)
from torture.rules.effects import find_unasked
from torture.rules.open_time import (
    find_early_times,
    find_missing_bookings,
    find_stray_visits,
    find_uncounted_offers,
    find_unheld_offers,
    find_untrue_fulls,
    find_visits_at_once,
)
from torture.slot_history import Carving, Event, Row, SlotHistory
from torture.verdict import find_violations

DOCTOR, SLOT = 4, 9
MINUTE = 60.0
NINE = 100_000.0
OFFER = Offer("a time id", DOCTOR, NINE, NINE + 10 * MINUTE, 5 * MINUTE, offered_at=50.0)
WINDOW = Window(DOCTOR, NINE, NINE + 180 * MINUTE, added_at=10.0, closed_at=None)
CLOSURE = ClosedTime(DOCTOR, NINE, NINE + 60 * MINUTE, added_at=60.0, removed_at=None)


def attempt(name: Any, began: float, outcome: Any = "ok", **given: Any) -> Attempt:
    number = int(began * 10)
    made = Attempt(number, 1, name, given.pop("slot_id", 0), "guest", given.pop("marker", f"patient{number}"), **given)
    made.began = made.began_at = began
    made.ended = made.ended_at = began + 1
    made.outcome = outcome
    return made


def hold(began: float = 70.0, code: str | None = None, offer: Offer = OFFER, **given: Any) -> Attempt:
    """Asked for at that moment, and answered a second later: refused if there is a code."""
    answer = Answer(code=code) if code else Answer(id=1, slot_id=SLOT)
    made = attempt("hold", began, "fail" if code else "ok", offer=offer, answer=answer, **given)
    made.http_status = 409 if code else 201
    return made


def by_form(began: float = 70.0, booked: int | None = None, road: str = "POST /hold", **given: Any) -> Attempt:
    """A form whose answer names a booking, but no slot; without a booking, its outcome is unknown."""
    answer = Answer(id=booked) if booked else None
    outcome = "ok" if booked else "info"
    return attempt("hold", began, outcome, offer=OFFER, answer=answer, road=road, **given)


def change(began: float, outcome: Any = "ok") -> Attempt:
    return attempt("apply_schedule", began, outcome, doctor=DOCTOR)


def visit(begin: float = 0, slot_id: int = SLOT, taken: float = 70.5, **given: Any) -> Visit:
    """Ten minutes and five of buffer, so many minutes after nine, booked from that moment on."""
    given = {"is_carved": True, "released_at": None, "deadline": None} | given
    start = NINE + begin * MINUTE
    return Visit(
        slot_id,
        slot_id,
        given.pop("doctor_id", DOCTOR),
        start,
        start + 10 * MINUTE,
        5 * MINUTE,
        taken_at=taken,
        **given,
    )


@pytest.mark.parametrize(
    ("code", "times", "changes", "broken"),
    [
        # Whoever was faster: another rule.
        ("slot-full", OpenTimes([WINDOW]), [], False),
        # Nothing has changed.
        ("time-gone", OpenTimes([WINDOW]), [], True),
        ("visit-type-not-offered", OpenTimes([replace(WINDOW, closed_at=60.0)]), [], True),
        ("too-late-to-book", OpenTimes([WINDOW]), [], True),
        # Its hours ended: since it was offered, before, while it was offered, in another place, and too late.
        ("time-gone", OpenTimes([replace(WINDOW, closed_at=60.0)]), [], False),
        ("time-gone", OpenTimes([replace(WINDOW, closed_at=40.0)]), [change(39.5)], True),
        ("time-gone", OpenTimes([replace(WINDOW, closed_at=49.8)]), [change(49.5)], False),
        ("time-gone", OpenTimes([replace(WINDOW, closed_at=40.0)]), [change(39.5, "info")], False),
        ("time-gone", OpenTimes([replace(WINDOW, closed_at=60.0, begin=NINE + MINUTE)]), [], True),
        ("time-gone", OpenTimes([replace(WINDOW, closed_at=60.0, doctor_id=5)]), [], True),
        ("time-gone", OpenTimes([replace(WINDOW, closed_at=80.0)]), [], True),
        # A closure: since it was offered, before, somewhere else, removed before the request or during it.
        ("time-gone", OpenTimes([WINDOW], [CLOSURE]), [], False),
        ("time-gone", OpenTimes([WINDOW], [replace(CLOSURE, doctor_id=None)]), [], False),
        ("time-gone", OpenTimes([WINDOW], [replace(CLOSURE, added_at=40.0)]), [change(39.5)], True),
        ("time-gone", OpenTimes([WINDOW], [replace(CLOSURE, begin=OFFER.end)]), [], True),
        ("time-gone", OpenTimes([WINDOW], [replace(CLOSURE, removed_at=65.0)]), [change(64.5)], True),
        ("time-gone", OpenTimes([WINDOW], [replace(CLOSURE, removed_at=70.2)]), [change(69.5)], False),
    ],
)
def test_what_was_offered_can_be_held_unless_it_was_closed_since(
    code: str, times: OpenTimes, changes: list[Attempt], broken: bool
) -> None:
    """P7."""
    attempts = [*changes, hold(code=code)]
    assert [violation.rule for violation in find_unheld_offers(attempts, times)] == ["P7"] * broken


@pytest.mark.parametrize(("code", "closed_at", "broken"), [
    ("slot-closed", 60.0, False), ("slot-closed", 40.0, True), ("slot-closed", 80.0, True), ("time-gone", 60.0, True),
])  # fmt: skip
def test_a_published_slot_that_was_offered_is_closed_only_if_it_was_closed_since(
    code: str, closed_at: float, broken: bool
) -> None:
    """P7."""
    slot = Published(SLOT, DOCTOR, OFFER.begin, OFFER.end, 10.0, closed_at)
    refused = hold(code=code, offer=replace(OFFER, slot_id=SLOT), slot_id=SLOT)
    found = find_unheld_offers([refused], OpenTimes(published=[slot]))
    assert [violation.rule for violation in found] == ["P7"] * broken


BARRED = replace(OFFER, barred="too-late-to-book", to_desk=True)


@pytest.mark.parametrize(("code", "offer", "caller", "broken"), [
    ("too-late-to-book", BARRED, "account1", False),
    ("too-early-to-book", BARRED, "account1", True),
    ("too-late-to-book", BARRED, "desk", True),
    ("too-late-to-book", replace(BARRED, to_desk=False), "account1", True),
    ("too-late-to-book", OFFER, "account1", True),
])  # fmt: skip
def test_what_only_the_desk_was_offered_is_refused_to_patients(
    code: str, offer: Offer, caller: str, broken: bool
) -> None:
    """P7."""
    refused = hold(code=code, offer=offer)
    refused.caller = caller
    found = find_unheld_offers([refused], OpenTimes([WINDOW]))
    assert [violation.rule for violation in found] == ["P7"] * broken


def test_only_the_desk_holds_what_patients_cannot_book() -> None:
    """S13."""
    by_patient, by_desk, refused, free = hold(offer=BARRED), hold(offer=BARRED), hold(70.0, "slot-full", BARRED), hold()
    by_desk.caller = "desk"
    assert list(find_early_times([by_desk, refused, free])) == []
    assert [violation.rule for violation in find_early_times([by_patient])] == ["S13 times"]


def test_another_body_with_the_same_key_is_no_refusal_of_the_time() -> None:
    refused = hold(code="idempotency-key-reused", key="a key", purpose="other_body")
    assert list(find_unheld_offers([refused], OpenTimes([WINDOW]))) == []


def test_the_server_counts_what_clients_were_refused_and_what_they_cannot_know() -> None:
    """P7."""
    refused = hold(code="time-gone")
    lost = hold(71.0)
    lost.outcome = "info"
    assert list(find_uncounted_offers([refused], {"time-gone": 1})) == []
    assert list(find_uncounted_offers([refused, lost], {"time-gone": 2})) == []
    assert [found.rule for found in find_uncounted_offers([refused], {"time-gone": 2})] == ["P7"]
    assert [found.rule for found in find_uncounted_offers([refused], {"slot-started": 1})] == ["P7"]


def test_the_counter_is_read_from_the_metrics() -> None:
    told = (
        "# TYPE slotwise_offered_times_refused_total counter\n"
        'slotwise_offered_times_refused_total{reason="time-gone"} 3.0\n'
        'slotwise_refusals_total{reason="time-gone"} 9.0\n'
    )
    assert REFUSED_OFFERS.findall(told) == [("time-gone", "3.0")]


@pytest.mark.parametrize(
    ("times", "broken"),
    [
        (OpenTimes(), True),
        (OpenTimes(visits=[visit(taken=69.0)]), False),
        # In its buffer, or it is in the buffer of that one.
        (OpenTimes(visits=[visit(14)]), False),
        (OpenTimes(visits=[visit(-14)]), False),
        (OpenTimes(visits=[visit(15)]), True),
        (OpenTimes(visits=[visit(-15)]), True),
        (OpenTimes(visits=[visit(doctor_id=5)]), True),
        # Released before the request, or made after the answer.
        (OpenTimes(visits=[visit(taken=60.0, released_at=69.0)]), True),
        (OpenTimes(visits=[visit(taken=60.0, deadline=69.0)]), True),
        (OpenTimes(visits=[visit(taken=60.0, released_at=70.5)]), False),
        (OpenTimes(visits=[visit(taken=72.0)]), True),
        (OpenTimes(published=[Published(8, DOCTOR, NINE, OFFER.end, 60.0, 100.0)]), False),
        (OpenTimes(published=[Published(8, DOCTOR, NINE, OFFER.end, 60.0, 69.0)]), True),
        (OpenTimes(published=[Published(8, DOCTOR, NINE - MINUTE, NINE, 60.0, 100.0)]), True),
    ],
)
def test_a_time_that_is_taken_has_something_in_its_way(times: OpenTimes, broken: bool) -> None:
    """S13."""
    found = find_untrue_fulls([hold(code="slot-full")], times)
    assert [violation.rule for violation in found] == ["S13 times"] * broken


def test_a_refusal_that_is_kept_for_its_key_was_true_at_its_first_answer() -> None:
    times = OpenTimes(visits=[visit(taken=60.0, released_at=70.5)])
    attempts = [hold(code="slot-full", key="a key"), hold(90.0, code="slot-full", key="a key")]
    assert list(find_untrue_fulls(attempts, times)) == []
    assert len(list(find_untrue_fulls(attempts[1:], times))) == 1


@pytest.mark.parametrize(
    ("other", "broken"),
    [
        (visit(14, 10), True),
        (visit(-14, 10), True),
        (visit(15, 10), False),
        (visit(0, SLOT), False),
        (visit(5, 10, doctor_id=5), False),
        # One after the other: released, expired, and taken again.
        (visit(5, 10, taken=60.0, released_at=70.5), False),
        (visit(5, 10, taken=60.0, deadline=70.5), False),
        (visit(5, 10, taken=60.0, deadline=70.6), True),
        (visit(5, 10, taken=60.0, deadline=90.0, released_at=65.0), False),
    ],
)
def test_a_doctor_never_has_two_visits_at_once_buffers_included(other: Visit, broken: bool) -> None:
    """S22, from the bookings and their types alone, at every instant of the run."""
    found = find_visits_at_once(OpenTimes(visits=[visit(), other]))
    assert [violation.rule for violation in found] == ["S22"] * broken


@pytest.mark.parametrize(
    ("times", "changes", "broken"),
    [
        (OpenTimes([WINDOW]), [], False),
        (OpenTimes(), [], True),
        (OpenTimes([replace(WINDOW, added_at=71.0)]), [], True),
        (OpenTimes([replace(WINDOW, closed_at=70.0)]), [], True),
        (OpenTimes([replace(WINDOW, closed_at=71.0)]), [], False),
        (OpenTimes([replace(WINDOW, end=NINE + 9 * MINUTE)]), [], True),
        (OpenTimes([WINDOW], [CLOSURE]), [change(59.5)], True),
        # It is not certain that it was there when the visit was carved.
        (OpenTimes([WINDOW], [CLOSURE]), [change(59.5, "info")], False),
        (OpenTimes([WINDOW], [replace(CLOSURE, added_at=70.2)]), [change(69.9)], False),
        (OpenTimes([WINDOW], [replace(CLOSURE, removed_at=70.4)]), [change(59.5)], False),
        (OpenTimes([WINDOW], [replace(CLOSURE, begin=NINE + 10 * MINUTE)]), [change(59.5)], False),
    ],
)
def test_a_visit_is_carved_where_open_time_is(times: OpenTimes, changes: list[Attempt], broken: bool) -> None:
    """S24."""
    found = find_stray_visits(changes, replace(times, visits=[visit()]))
    assert [violation.rule for violation in found] == ["S24"] * broken
    assert list(find_stray_visits(changes, replace(times, visits=[visit(is_carved=False)]))) == []


def test_a_published_slot_takes_time_while_it_is_open() -> None:
    kinds = ((1, "CREATED"), (2, "CLOSED"), (3, "CLOSED"), (5, "REOPENED"))
    steps = [PublishedStep(SLOT, DOCTOR, NINE, NINE + MINUTE, kind, at) for at, kind in kinds]
    found = [(one.opened_at, one.closed_at) for one in published_periods(steps)]
    assert found == [(1, 2), (5, float("inf"))]


def test_a_change_is_visible_when_its_client_has_the_answer() -> None:
    changes = Changes([change(10.0), change(20.0, "fail"), change(30.0, "info")])
    assert changes.visible_by(DOCTOR, 10.5) == 11.0
    assert changes.visible_by(DOCTOR, 20.5) == 20.5
    assert changes.visible_by(DOCTOR, 35.0) == float("inf")


def test_an_unknown_outcome_is_placed_by_its_key_or_its_name() -> None:
    by_key = [hold(70.0, key="a key"), hold(71.0, key="a key", slot_id=SLOT)]
    by_name, nowhere, refused = hold(72.0, marker="ada"), hold(73.0), hold(74.0, "slot-full", marker="ada")
    for unknown in (by_key[0], by_name, nowhere):
        unknown.outcome = "info"
    place_carving([*by_key, by_name, nowhere, refused], [CarvedBooking(1, 11, "ada")], {})
    assert [each.slot_id for each in (*by_key, by_name, nowhere, refused)] == [SLOT, SLOT, 11, 0, 0]


def test_what_was_booked_by_a_form_is_placed_by_its_booking() -> None:
    made, cancelled, lost = by_form(booked=1), attempt("cancel", 75.0, booking_id=1), by_form(71.0, booked=2)
    again = by_form(72.0, click="a click"), by_form(73.0, booked=3, click="a click")
    attempts = [made, cancelled, lost, *again]
    place_carving(attempts, [CarvedBooking(1, SLOT, ""), CarvedBooking(3, 11, "")], {})
    assert [each.slot_id for each in attempts] == [SLOT, SLOT, 0, 11, 11]
    assert [found.rule for found in find_missing_bookings(attempts)] == ["S3"]


def test_a_form_of_a_patient_that_got_no_answer_is_placed_by_its_time() -> None:
    """Its hold has no name. The desk's booking has one."""
    slot = CarvedSlot(SLOT, DOCTOR, OFFER.begin, OFFER.end, OFFER.busy_until, is_carved=True)
    for one, by_time in ((slot, SLOT), (replace(slot, is_carved=False), 0), (replace(slot, doctor_id=5), 0)):
        lost, by_desk = by_form(), by_form(71.0, road="POST /admin/bookings/new")
        place_carving([lost, by_desk], [], {SLOT: one})
        assert [lost.slot_id, by_desk.slot_id] == [by_time, 0]


def test_a_refusal_that_a_click_got_before_was_true_then() -> None:
    times = OpenTimes(visits=[visit(taken=60.0, released_at=70.5)])
    attempts = [hold(code="slot-full", click="a click"), hold(90.0, code="slot-full", click="a click")]
    assert list(find_untrue_fulls(attempts, times)) == []


@pytest.mark.parametrize(("clicks", "broken"), [(["one", "one"], True), (["one", "two"], False)])
def test_the_form_of_the_desk_that_is_sent_twice_books_once(clicks: list[str], broken: bool) -> None:
    """S4."""
    road = "POST /admin/bookings/new"
    made = [by_form(70.0 + place, place + 1, road, click=click, marker="ada") for place, click in enumerate(clicks)]
    rows = [Row(one.booked or 0, 1, "CONFIRMED", "ada", None) for one in made]
    found = [told for told in find_unasked(SlotHistory(SLOT, (), rows, made)) if "bookings for" in told]
    assert len(found) == broken


def carved(kind: str, attempts: list[Attempt], at: float = 70.5) -> SlotHistory:
    """A carved slot that is held and released, with another row at that moment."""
    events = [Event(1, "CREATED", None, 1, 1, 1, 70.5), Event(2, "HELD", 1, 1, 0, 1, 70.5)]
    events += [Event(3, "CANCELLED", 1, 1, 1, 1, 80.5), Event(4, kind, None, 1, 1, 1, at)]
    made = hold(slot_id=SLOT)
    own = [made, attempt("cancel", 80.0, slot_id=SLOT, booking_id=1)]
    carving = Carving(OFFER.begin, OFFER.end, OFFER.busy_until, [made, *attempts])
    return SlotHistory(SLOT, events, [Row(1, 1, "CANCELLED", made.marker, None)], own, carving=carving)


OVERLAPPING = replace(OFFER, begin=NINE - 5 * MINUTE, end=NINE + 5 * MINUTE)


@pytest.mark.parametrize(
    ("kind", "attempts", "broken"),
    [
        ("CLOSED", [], True),
        ("CLOSED", [hold(90.0, offer=OVERLAPPING)], False),
        ("CLOSED", [hold(90.0, offer=replace(OVERLAPPING, begin=OFFER.end, end=OFFER.end + MINUTE))], False),
        ("CLOSED", [hold(90.0, offer=replace(OVERLAPPING, begin=OFFER.busy_until, end=NINE + 3600))], True),
        ("CLOSED", [hold(95.0, offer=OVERLAPPING)], True),
        ("CLOSED", [change(90.0)], False),
        ("REOPENED", [change(90.0)], True),
        ("REOPENED", [hold(90.0, "slot-full")], False),
        ("REOPENED", [hold(90.0, offer=OVERLAPPING)], True),
    ],
)
def test_a_carved_slot_closes_and_reopens_only_for_a_reason(kind: str, attempts: list[Attempt], broken: bool) -> None:
    """S4."""
    found = find_violations(carved(kind, attempts, at=90.5))
    assert {violation.rule for violation in found} == ({"S4"} if broken else set())


def test_a_carved_slot_is_created_only_for_a_hold_of_its_time() -> None:
    """S4."""
    history = carved("CLOSED", [change(90.0)], at=90.5)
    assert list(find_violations(history)) == []
    assert history.carving is not None
    other = replace(history.carving, begin=NINE + MINUTE)
    assert "S4" in {violation.rule for violation in find_violations(replace(history, carving=other))}
