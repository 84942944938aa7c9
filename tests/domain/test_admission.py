"""Who is admitted when seats run out: `admit`, over every batch that hypothesis can think of."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from slotwise.domain.bookings import SeatRequest, admit
from slotwise.domain.errors import SlotClosed, SlotFull, SlotNotFound, SlotStarted
from slotwise.domain.slots import OfferedSlot, SlotStatus

NOW = datetime(2030, 1, 31, 9, tzinfo=UTC)


def offered(slot_id: int = 1, seats: int = 1, starts_in: float = 60, **facts: object) -> OfferedSlot:
    start = NOW + timedelta(seconds=starts_in)
    status = facts.get("status", SlotStatus.OPEN)
    assert isinstance(status, SlotStatus)
    return OfferedSlot(
        id=slot_id,
        doctor_id=1,
        doctor_name="Dr. Who",
        specialization=None,
        start_time=start,
        end_time=start + timedelta(minutes=30),
        available_seats=seats,
        status=status,
        doctor_active=bool(facts.get("doctor_active", True)),
        has_overdue_holds=False,
        now=NOW,
    )


slots = st.dictionaries(st.integers(1, 4), st.integers(0, 12)).map(
    lambda free: {slot_id: offered(slot_id, seats) for slot_id, seats in free.items()}
)
batches = st.lists(st.builds(SeatRequest, slot_id=st.integers(1, 5), seats=st.integers(1, 6)), max_size=30)


@given(slots, batches)
def test_no_slot_gives_more_seats_than_are_free(slots: dict[int, OfferedSlot], batch: list[SeatRequest]) -> None:
    given_away = dict.fromkeys(slots, 0)
    for request, verdict in zip(batch, admit(batch, slots), strict=True):
        if verdict is None:
            given_away[request.slot_id] += request.seats
    assert all(given_away[slot.id] <= slot.available_seats for slot in slots.values())


@given(slots, batches)
def test_every_refusal_is_true_at_its_turn(slots: dict[int, OfferedSlot], batch: list[SeatRequest]) -> None:
    left = {slot.id: slot.available_seats for slot in slots.values()}
    for request, verdict in zip(batch, admit(batch, slots), strict=True):
        match verdict:
            case None:
                left[request.slot_id] -= request.seats
            case SlotFull():
                assert verdict.available_seats == left[request.slot_id] < request.seats
            case _:
                assert isinstance(verdict, SlotNotFound)
                assert request.slot_id not in slots


@given(slots, batches, st.integers(0, 30))
def test_who_comes_later_changes_nothing_for_who_came_before(
    slots: dict[int, OfferedSlot], batch: list[SeatRequest], cut: int
) -> None:
    def codes(requests: list[SeatRequest]) -> list[str | None]:
        return [None if verdict is None else verdict.code for verdict in admit(requests, slots)]

    assert codes(batch)[:cut] == codes(batch[:cut])


def test_a_smaller_request_fits_behind_one_that_is_too_large() -> None:
    verdicts = admit([SeatRequest(1, 2), SeatRequest(1, 2), SeatRequest(1, 1)], {1: offered(seats=3)})
    assert [verdict and verdict.detail for verdict in verdicts] == [None, "Only 1 seat is free", None]


def test_sold_out_is_said_when_nothing_is_left_only() -> None:
    full, some = admit([SeatRequest(1, 1), SeatRequest(2, 9)], {1: offered(1, 0), 2: offered(2, 8)})
    assert full is not None
    assert some is not None
    assert "sold out" in full.detail
    assert some.detail == "Only 8 seats are free"


def test_closed_comes_before_started_and_started_before_full() -> None:
    def verdict(slot: OfferedSlot) -> object:
        return type(admit([SeatRequest(1, 1)], {1: slot})[0])

    assert verdict(offered(seats=0, starts_in=-60, status=SlotStatus.CLOSED)) is SlotClosed
    assert verdict(offered(seats=0, starts_in=-60, doctor_active=False)) is SlotClosed
    assert verdict(offered(seats=0, starts_in=-60)) is SlotStarted


def test_a_slot_has_started_at_its_start() -> None:
    at, after = admit(
        [SeatRequest(1, 1), SeatRequest(2, 1)], {1: offered(1, starts_in=0), 2: offered(2, starts_in=0.001)}
    )
    assert isinstance(at, SlotStarted)
    assert after is None
