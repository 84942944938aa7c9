"""A token tells what its preview showed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotwise.domain.bookings import BookingStatus
from slotwise.domain.preview_tokens import (
    MAX_TOKEN_CHARACTERS,
    MOST_KEPT,
    Seen,
    differs,
    digest_in,
    seen_in,
    seen_of,
    token_with,
)
from slotwise.domain.schedule_changes import Decision
from slotwise.domain.schedule_diff import Difference
from slotwise.domain.schedule_previews import Hit, LiveBooking, Preview
from tests.domain.schedule_worlds import NOW, slot

COUNTS = st.integers(0, 2**31)
IDS = st.frozensets(st.integers(1, 2**63 - 1), max_size=50)
DIGEST = "f" * 64


def preview_of(*booking_ids: int) -> Preview:
    hits = [
        Hit(LiveBooking(each, 1, BookingStatus.CONFIRMED, 1), slot(NOW), None, Decision.KEEP) for each in booking_ids
    ]
    return Preview(1, 2, 3, 0, 0, 0, tuple(hits), (), (), Difference(), (), ())


@given(COUNTS, COUNTS, COUNTS, st.none() | IDS)
def test_a_token_gives_back_its_digest_and_what_was_seen(
    come: int, go: int, stay: int, ids: frozenset[int] | None
) -> None:
    seen = Seen(come, go, stay, ids)
    token = token_with(DIGEST, seen)
    assert (digest_in(token), seen_in(token)) == (DIGEST, seen)


def test_the_longest_token_fits() -> None:
    ids = frozenset(2**63 - 1 - 2**53 * each for each in range(MOST_KEPT))
    assert len(token_with(DIGEST, Seen(2**62, 2**62, 2**62, ids))) <= MAX_TOKEN_CHARACTERS


@pytest.mark.parametrize("text", ["", DIGEST, f"{DIGEST}.", f"{DIGEST}.é", f"{DIGEST}.lAMAApEM=", f"{DIGEST}.lP8AApEM"])
def test_other_texts_tell_nothing(text: str) -> None:
    assert seen_in(text) is None


def test_what_differs_is_what_is_new_in_the_list_and_what_is_gone() -> None:
    found = differs(Seen(9, 9, 9, frozenset({3, 5})), preview_of(7, 5, 6))
    assert (found.before.come, found.new_booking_ids, found.gone_booking_ids) == (9, (7, 6), (3,))


def test_of_too_many_bookings_only_the_counts_are_kept() -> None:
    most = range(1, MOST_KEPT + 1)
    assert seen_of(preview_of(*most)).booking_ids == frozenset(most)
    assert seen_of(preview_of(*most), named=[MOST_KEPT + 1]) == Seen(1, 2, 3, None)
    assert differs(Seen(1, 2, 3, None), preview_of(7)).new_booking_ids is None
