"""Reading the forms of slots on days when the clocks change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from msgspec import UNSET

from slotwise.domain.slots import Slot, SlotStatus
from slotwise.web.kit.forms import Form
from slotwise.web.kit.times import ClinicTime
from slotwise.web.schedule.slot_forms import change_in

BERLIN = ClinicTime(ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize("hour", [0, 1])
def test_a_new_length_does_not_move_a_slot_in_the_hour_that_comes_twice(hour: int) -> None:
    # Both are 02:30 in Berlin.
    start = datetime(2032, 10, 31, hour, 30, tzinfo=UTC)
    form = Form({"day": "2032-10-31", "time": "02:30", "duration_minutes": "45"})
    change = change_in(form, a_slot(start), BERLIN)
    assert (change.start_time, change.duration_minutes) == (UNSET, 45)


def a_slot(start: datetime) -> Slot:
    return Slot(1, 1, "Dr. Who", None, start, start + timedelta(minutes=30), 1, 1, SlotStatus.OPEN, start, start)
