"""Reads the forms for slots: one time, a timetable, a change."""

import re
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from urllib.parse import urlencode

from msgspec import UNSET

from slotwise.domain.errors import FieldError, InvalidInput
from slotwise.domain.slots import MAX_DURATION_MINUTES, MAX_SEATS, Slot, SlotChange, SlotStatus
from slotwise.domain.timetables import MINUTES_OF_A_DAY, Hours, Timetable
from slotwise.services.schedule.slots import SlotChangedMeanwhile
from slotwise.web.kit.calendar_days import parse_clock, parse_day
from slotwise.web.kit.forms import Form, read_all
from slotwise.web.kit.times import ClinicTime, iso

# The parts of a day that the form has.
PARTS = (1, 2, 3)
TIMETABLE_FIELDS = (
    "clinic_id",
    "first_day",
    "last_day",
    *(f"{edge}_{part}" for part in PARTS for edge in ("from", "to")),
    "duration_minutes",
    "break_minutes",
    "total_seats",
)
WORK_DAYS = frozenset({1, 2, 3, 4, 5})
USUAL_MINUTES = 30
_ID = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


class NewSlot(NamedTuple):
    start_time: datetime
    duration_minutes: int
    total_seats: int
    visit_type_ids: list[int]


class NewSlots(NamedTuple):
    timetable: Timetable
    total_seats: int
    visit_type_ids: list[int]


def blank_slot(day: date) -> Form:
    return Form(
        {
            "day": day.isoformat(),
            "time": "09:00",
            "duration_minutes": str(USUAL_MINUTES),
            "total_seats": "1",
            "visit_type_ids": "",
        }
    )


def blank_timetable(day: date) -> Form:
    """Four weeks of mornings from that day on."""
    parts = {f"{edge}_{part}": "" for part in PARTS for edge in ("from", "to")}
    form = Form(
        {
            "first_day": day.isoformat(),
            "last_day": (day + timedelta(days=27)).isoformat(),
            "weekdays": "",
            **parts,
            "from_1": "09:00",
            "to_1": "12:00",
            "duration_minutes": str(USUAL_MINUTES),
            "break_minutes": "0",
            "total_seats": "1",
        }
    )
    form.fill([("weekdays", str(day)) for day in sorted(WORK_DAYS)])
    return form


def slot_in(form: Form, clinic: ClinicTime) -> NewSlot:
    """Raises `InvalidInput` with all faults, like the other readers here."""
    values = read_all(
        {
            "day": lambda: parse_day("day", form.text("day")),
            "time": lambda: parse_clock("time", form.text("time")),
            "duration_minutes": lambda: form.number("duration_minutes", 1, MAX_DURATION_MINUTES),
            "total_seats": lambda: form.number("total_seats", 1, MAX_SEATS),
        }
    )
    start = _at(clinic, values["day"], values["time"])
    return NewSlot(start, values["duration_minutes"], values["total_seats"], visit_type_ids_in(form))


def timetable_in(form: Form) -> NewSlots:
    values = read_all(
        {
            "first_day": lambda: parse_day("first_day", form.text("first_day")),
            "last_day": lambda: parse_day("last_day", form.text("last_day")),
            "hours": lambda: tuple(_parts_in(form)),
            "duration_minutes": lambda: form.number("duration_minutes", 1, MAX_DURATION_MINUTES),
            "break_minutes": lambda: form.number("break_minutes", 0, MAX_DURATION_MINUTES),
            "total_seats": lambda: form.number("total_seats", 1, MAX_SEATS),
        }
    )
    total_seats = values.pop("total_seats")
    return NewSlots(Timetable(weekdays=weekdays_in(form), **values), total_seats, visit_type_ids_in(form))


def weekdays_in(form: Form) -> frozenset[int]:
    return frozenset(int(day) for day in form.all("weekdays") if day in {"1", "2", "3", "4", "5", "6", "7"})


def visit_type_ids_in(form: Form) -> list[int]:
    """Those that are ticked. What is no id is left out, as no browser sends it."""
    return sorted({int(one) for one in form.all("visit_type_ids") if _ID.fullmatch(one)})


def timetable_typed(form: Form) -> str:
    """All fields in one text. The preview sends it along, to find out whether the form was edited afterwards."""
    typed = {name: form.text(name) for name in TIMETABLE_FIELDS}
    visits = {"visit_type_ids": ",".join(map(str, ids))} if (ids := visit_type_ids_in(form)) else {}
    return urlencode({**typed, "weekdays": "".join(map(str, sorted(weekdays_in(form)))), **visits})


def form_of(slot: Slot, clinic: ClinicTime) -> Form:
    """The form to change a slot, filled with its present values, except for the seats."""
    values = {
        "shown_period": _period_of(slot),
        "day": clinic.day_of(slot.start_time).isoformat(),
        "time": f"{clinic.wall_time(slot.start_time):%H:%M}",
        "duration_minutes": str(slot.duration_minutes),
        "visit_type_ids": "",
    }
    form = Form(values)
    form.fill([*values.items(), *(("visit_type_ids", str(one)) for one in slot.visit_type_ids or [])])
    return form


def change_in(form: Form, slot: Slot, clinic: ClinicTime) -> SlotChange:
    """What differs from the slot. Raises `SlotChangedMeanwhile` if the slot is no longer as the form showed it."""
    if form.text("status"):
        return SlotChange(status=SlotStatus.OPEN if form.text("status") == SlotStatus.OPEN else SlotStatus.CLOSED)
    if "day" in form:
        if form.text("shown_period") not in {"", _period_of(slot)}:
            raise SlotChangedMeanwhile
        wanted = slot_in(Form({**form.values, "total_seats": "1"}), clinic)
        return SlotChange(
            start_time=UNSET if _shows_start(form, slot, clinic) else wanted.start_time,
            duration_minutes=UNSET if wanted.duration_minutes == slot.duration_minutes else wanted.duration_minutes,
        )
    # Without the seats that were added by overbooking, which the page names beside it.
    return SlotChange(offered_seats=form.number("total_seats", 1, MAX_SEATS))


def _period_of(slot: Slot) -> str:
    """Start and end as an interval (ISO 8601, 4.4)."""
    return f"{iso(slot.start_time)}/{iso(slot.end_time)}"


def _shows_start(form: Form, slot: Slot, clinic: ClinicTime) -> bool:
    """Compares only what the form shows: no seconds, and not which of two equal hours when the clocks go back."""
    shown = form_of(slot, clinic)
    return all(form.text(name) == shown.text(name) for name in ("day", "time"))


def at_fields_of_the_form(error: InvalidInput) -> InvalidInput:
    """With the form's names for fields that the service names differently."""
    others = {"start_time": "time", "periods": "from_1"}
    return InvalidInput(*(FieldError(others.get(fault.field, fault.field), fault.message) for fault in error.errors))


def _parts_in(form: Form) -> Iterable[Hours]:
    for part in PARTS:
        opens, closes = form.text(f"from_{part}"), form.text(f"to_{part}")
        if opens or closes:
            yield Hours(_minutes(parse_clock(f"from_{part}", opens)), _closing(f"to_{part}", closes))


def _closing(field: str, text: str) -> int:
    """00:00 as an end means the end of the day."""
    return _minutes(parse_clock(field, text)) or MINUTES_OF_A_DAY


def _minutes(clock: time) -> int:
    return clock.hour * 60 + clock.minute


def _at(clinic: ClinicTime, day: date, clock: time) -> datetime:
    start = datetime.combine(day, clock, clinic.zone)
    midnight, _ = clinic.bounds(day)
    # Through UTC and back: a time that the clocks skip comes back as another time.
    if clinic.local(midnight + (start - midnight)).replace(tzinfo=None) != start.replace(tzinfo=None):
        raise InvalidInput.of("time", "does not exist on that day, because the clocks change")
    return start
