"""A time id says what was offered, and nobody but the server can make one."""

from datetime import UTC, datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from slotwise.domain.errors import InvalidInput
from slotwise.domain.offered_times import OfferedTime
from slotwise.services.core.time_ids import TimeIds

IDS = TimeIds("a secret of at least 32 bytes, for tests")
ID = st.integers(min_value=1, max_value=2**62)
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - see timezones
TIMES = st.builds(OfferedTime, st.none() | ID, st.none() | ID, MOMENTS, MOMENTS, st.none() | ID, MOMENTS, st.booleans())
# Of the alphabet of ids, and some that do not belong to it.
CHARACTERS = st.sampled_from("AZaz09-_.=+/ \n\x00ßé")


@given(TIMES)
def test_an_id_is_read_as_what_was_offered(time: OfferedTime) -> None:
    assert IDS.read(IDS.id_of(time)) == time


@given(TIMES, st.data())
def test_an_id_that_differs_in_any_character_is_refused(time: OfferedTime, data: st.DataObject) -> None:
    made = IDS.id_of(time)
    place = data.draw(st.integers(0, len(made)))
    length = data.draw(st.integers(0, 2))
    altered = made[:place] + data.draw(st.text(CHARACTERS, max_size=2)) + made[place + length :]
    assume(altered != made)
    with pytest.raises(InvalidInput):
        IDS.read(altered)


@given(TIMES, TIMES)
def test_the_mark_of_one_time_makes_no_id_of_another(one: OfferedTime, other: OfferedTime) -> None:
    assume(one != other)
    body, mark = IDS.id_of(one).split(".")[0], IDS.id_of(other).split(".")[1]
    with pytest.raises(InvalidInput):
        IDS.read(f"{body}.{mark}")


@given(TIMES)
def test_the_id_of_another_secret_is_refused(time: OfferedTime) -> None:
    with pytest.raises(InvalidInput):
        TimeIds("another secret of at least 32 bytes").read(IDS.id_of(time))
