"""A part of a change that is too large to be made at once. The part is known to be small enough."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace as replace_error
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate, chain

from msgspec import Struct
from msgspec.structs import replace

from slotwise.domain.errors import ScheduleTooLarge
from slotwise.domain.schedule_changes import MAX_NAMED_RULES, ScheduleChange
from slotwise.domain.schedule_previews import Preview, ScheduleState, is_in_force, outline
from slotwise.domain.schedules import Closure, Rule

# Each try is one more outline, which takes a second for what is too large. Most searches need two.
_TRIES = 5
# A part is good enough if it takes so many percent of the room beside the smallest one. A try aims at a little more.
_ENOUGH, _AIM = 90, 96
_DAY = timedelta(days=1)


class Part(Struct, frozen=True):
    """A change to make first. `last_day` is the last day on which it has times; None if it is not shorter.

    `continues` if hours that go on are to end on that day: another length or zone cannot begin for some days only.
    `doctor_ids` are those whose part it is; None for all.
    """

    change: ScheduleChange
    last_day: date | None = None
    continues: bool = False
    doctor_ids: frozenset[int] | None = None


def outline_change(state: ScheduleState, change: ScheduleChange) -> Preview:
    """As `outline`. Where the change is too large, the error has a part that is not, if one was found."""
    try:
        return outline(state, change)
    except ScheduleTooLarge as error:
        part = _until_a_day(state, change, error) or _of_some_doctors(state, change, error)
        part = part or _ending_hours_first(state, change, error)
        if part is None:
            raise
        raise replace_error(error, part=part, proposal=_words_of(part, change)) from None


def _words_of(part: Part, whole: ScheduleChange) -> str:
    if part.doctor_ids is not None:
        return f"Make it for {len(part.doctor_ids)} of the doctors first, and for the others afterwards."
    if whole.remove_closures and not (whole.add_rules or whole.add_closures or part.continues):
        return f"First let the closure begin after {part.last_day}, and undo it afterwards."
    if not part.continues:
        return f"Let it end on {part.last_day}, and do the rest afterwards."
    many = f"{len(part.change.change_rules)} of the weekly hours"
    if part.change.change_lengths or part.change.change_zones:
        return f"In the same change, let {many} end on {part.last_day}. Continue them afterwards."
    return f"First let {many} end on {part.last_day}. Continue them after this change."


def _until_a_day(state: ScheduleState, change: ScheduleChange, error: ScheduleTooLarge) -> Part | None:
    """The change until the latest day that was found to be small enough."""
    lengthy = (change.add_rules, change.add_closures, change.change_closures, change.remove_closures)
    continues = bool(change.change_zones or change.change_lengths)
    if not continues and not any(lengthy):
        return None
    if continues and _count_moved(state, change) > error.limit:
        return None
    first = _first_day(state, change)
    days = _search(
        lambda day: _size(state, _until(state, change, first + day * _DAY)),
        (_last_day(state) - first).days,
        error,
    )
    if days is None:
        return None
    last_day = first + days * _DAY
    part = _until(state, change, last_day)
    if continues and len(part.change_rules) > MAX_NAMED_RULES:
        return None
    return _part(state, Part(part, last_day, continues))


def _count_moved(state: ScheduleState, change: ScheduleChange) -> int:
    """The times that go or get their rule's new version, however early the hours end."""
    moved = {rule.id for rule in state.rules if _is_moved(rule, state, change)}
    return sum(slot.rule_id in moved and slot.is_open and slot.start_time > state.now for slot in state.slots)


def _first_day(state: ScheduleState, change: ScheduleChange) -> date:
    """On which the change can have times. It looks at days by UTC."""
    closures = (*change.add_closures, *change.change_closures, *_removed(state, change))
    days = [
        *(rule.first_day for rule in change.add_rules),
        *(each.start_time.astimezone(UTC).date() for each in closures),
    ]
    today = state.now.astimezone(UTC).date()
    return today if change.change_zones or change.change_lengths else max(today, min(days))


def _last_day(state: ScheduleState) -> date:
    return max(chain([state.published_until], (slot.start_time.date() for slot in state.slots)))


def _search(size: Callable[[int], int], most: int, error: ScheduleTooLarge) -> int | None:
    """A number that was found to be small enough, from 0; `most` is too large. None if 0 is, too, or if nothing is in
    what is small enough.

    Sizes grow nearly evenly, so a straight line between two of them finds the next number to try.
    """
    low, low_size, high, high_size = 0, size(0), most, error.touched
    room = error.limit - low_size
    if room < 0:
        return None
    enough, aim = (low_size + room * percent // 100 for percent in (_ENOUGH, _AIM))
    for turn in range(_TRIES):
        if high - low <= 1 or (low > 0 and low_size >= enough):
            break
        step = (high - low) * (aim - low_size) // max(1, high_size - low_size)
        tried = low + (min(max(1, step), high - low - 1) if turn < _TRIES // 2 else (high - low) // 2)
        found = size(tried)
        if found <= error.limit:
            low, low_size = tried, found
        else:
            high, high_size = tried, found
    return low if low_size > 0 else None


def _size(state: ScheduleState, change: ScheduleChange) -> int:
    try:
        return outline(state, change).touched
    except ScheduleTooLarge as error:
        return error.touched


def _part(state: ScheduleState, part: Part) -> Part:
    """With those decisions that the part concerns: a preview refuses the others."""
    decisions = part.change.decisions
    if not decisions.bookings:
        return part
    listed = {hit.booking.id for hit in outline(state, part.change).hits}
    kept = {each: decision for each, decision in decisions.bookings.items() if each in listed}
    return replace(part, change=replace(part.change, decisions=replace(decisions, bookings=kept)))


def _until(state: ScheduleState, change: ScheduleChange, last_day: date) -> ScheduleChange:
    """Without what comes after that day. A closure is undone until then by letting it begin afterwards."""
    end = datetime.combine(last_day + _DAY, time(), UTC)
    removed = _removed(state, change)
    later = (replace(each, start_time=end) for each in removed if each.start_time < end < each.end_time)
    before = {each.id: each for each in state.closures}
    changed = (_shorter(each, max(end, before[each.id].end_time)) for each in change.change_closures)
    return replace(
        change,
        add_rules=tuple(_ended(rule, last_day) for rule in change.add_rules if rule.first_day <= last_day),
        change_rules=(*change.change_rules, *_ended_with_change(state, change, last_day)),
        add_closures=tuple(_shorter(each, end) for each in change.add_closures if each.start_time < end),
        change_closures=(*changed, *later),
        remove_closures=tuple(each.id for each in removed if each.end_time <= end),
    )


def _removed(state: ScheduleState, change: ScheduleChange) -> list[Closure]:
    return [each for each in state.closures if each.id in change.remove_closures]


def _shorter(closure: Closure, end: datetime) -> Closure:
    return replace(closure, end_time=min(closure.end_time, end))


def _ended(rule: Rule, last_day: date) -> Rule:
    """It ends on that day, or on its first day, or earlier."""
    last_day = max(rule.first_day, last_day)
    return replace(rule, last_day=last_day if rule.last_day is None else min(rule.last_day, last_day))


def _ended_with_change(state: ScheduleState, change: ScheduleChange, last_day: date) -> Iterator[Rule]:
    """The rules that another length or zone would move, as far as they last longer."""
    changed = {rule.id for rule in change.change_rules}.union(change.remove_rules)
    for rule in state.rules:
        ended = _ended(rule, last_day)
        if ended != rule and rule.id not in changed and _is_moved(rule, state, change):
            yield ended


def _is_moved(rule: Rule, state: ScheduleState, change: ScheduleChange) -> bool:
    """Hours at a clinic that takes no appointments cannot be changed."""
    if rule.clinic_id in state.inactive or not is_in_force(rule, state.now):
        return False
    types = {each.visit_type_id for each in change.change_lengths}
    has_length = not rule.is_window and not types.isdisjoint(rule.visit_type_ids or ())
    return has_length or rule.clinic_id in {each.clinic_id for each in change.change_zones}


def _of_some_doctors(state: ScheduleState, change: ScheduleChange, error: ScheduleTooLarge) -> Part | None:
    """The change for the first doctors, as many as were found to be few enough."""
    doctors = sorted({each.doctor_id for each in _named(state, change) if each.doctor_id is not None})
    if change.change_zones or change.change_lengths or not doctors:
        return None
    most = _search(lambda n: _size(state, _of(state, change, doctors[: n + 1])), len(doctors) - 1, error)
    if most is None:
        return None
    first = frozenset(doctors[: most + 1])
    return _part(state, Part(_of(state, change, first), doctor_ids=first))


def _named(state: ScheduleState, change: ScheduleChange) -> Iterator[Rule | Closure]:
    yield from (*change.add_rules, *change.change_rules)
    yield from (*change.add_closures, *change.change_closures)
    yield from (rule for rule in state.rules if rule.id in change.remove_rules)
    yield from _removed(state, change)


def _of(state: ScheduleState, change: ScheduleChange, doctor_ids: Collection[int]) -> ScheduleChange:
    """Closures that are not of one doctor are left for later."""
    removed = (rule for rule in state.rules if rule.id in change.remove_rules)
    return replace(
        change,
        add_rules=tuple(rule for rule in change.add_rules if rule.doctor_id in doctor_ids),
        change_rules=tuple(rule for rule in change.change_rules if rule.doctor_id in doctor_ids),
        remove_rules=tuple(rule.id for rule in removed if rule.doctor_id in doctor_ids),
        add_closures=tuple(each for each in change.add_closures if each.doctor_id in doctor_ids),
        change_closures=tuple(each for each in change.change_closures if each.doctor_id in doctor_ids),
        remove_closures=tuple(each.id for each in _removed(state, change) if each.doctor_id in doctor_ids),
    )


def _ending_hours_first(state: ScheduleState, change: ScheduleChange, error: ScheduleTooLarge) -> Part | None:
    """Where even the times that there are would be too many: hours to end, so that fewer times are there to move.

    Nothing else of the change is in it, and booked times stay as they are.
    """
    last_day = _day_that_should_fit(state, error)
    rules = tuple(_ended_with_change(state, change, last_day))[:MAX_NAMED_RULES]
    times = Counter(slot.rule_id for slot in state.slots if slot.start_time > state.now)
    total = accumulate(times[rule.id] for rule in rules)
    few = tuple(rule for rule, so_far in zip(rules, total, strict=True) if so_far <= error.limit)
    # Each of their times is written once, if nothing else gets the room that becomes free.
    for many in (len(few), len(few) // 2):
        part = ScheduleChange(change_rules=few[:many])
        if many > 0 and _size(state, part) <= error.limit:
            return Part(part, last_day, continues=True)
    return None


def _day_that_should_fit(state: ScheduleState, error: ScheduleTooLarge) -> date:
    """Until then it would move few enough times, if each day has as many."""
    today = state.now.astimezone(UTC).date()
    days = (_last_day(state) - today).days
    return today + days * error.limit // error.touched * _DAY
