"""Why a time is not offered: the reasons, each with the code of the 409 body that a hold of the time would get."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct

from slotwise.domain.errors import (
    SlotClosed,
    SlotFull,
    SlotStarted,
    TimeGone,
    TooEarlyToBook,
    TooLateToBook,
    VisitTypeNotOffered,
)
from slotwise.domain.schedules import Closure, ClosureKind


class Cause(StrEnum):
    """Why a time is not offered. A time with several reasons is counted for the first of them in this order."""

    OTHER_RULE = "OTHER_RULE"  # other hours of the doctor have this time
    CLOCK_CHANGE = "CLOCK_CHANGE"  # clocks change, and leave no room for it
    OUTSIDE_HOURS = "OUTSIDE_HOURS"  # in no hours; only of one time that is asked for
    TOO_LONG = "TOO_LONG"  # the visit would end after the open time; only of one time that is asked for
    NOT_PUBLISHED = "NOT_PUBLISHED"  # the rule is not published until this day yet
    INACTIVE = "INACTIVE"  # the doctor or the clinic takes no appointments
    CLOSURE = "CLOSURE"  # a holiday or an absence
    CLOSED = "CLOSED"  # the slot is closed, by hand or because its rule no longer says so
    NOT_OFFERED = "NOT_OFFERED"  # the hours are not for this visit type, or these people cannot book it
    PAST = "PAST"  # it has begun
    NOTICE = "NOTICE"  # too late: within the notice of the visit type
    HORIZON = "HORIZON"  # too early: after the horizon of the visit type
    BOOKING = "BOOKING"  # the doctor has a booked visit then, with its buffer, or the slot is booked up
    HOLD = "HOLD"  # the same, by a hold
    SLOT = "SLOT"  # the doctor has a published slot then, which is free
    ELSEWHERE = "ELSEWHERE"  # the doctor is busy at a clinic that the reader does not work for
    NO_START = "NO_START"  # visits begin at other times; only of one time that is asked for
    GAP = "GAP"  # it would leave a gap in which no visit fits, and others do not


_ORDER = {cause: place for place, cause in enumerate(Cause)}

# The 409 bodies of a hold in open time. None: nothing refuses it, but it is not among the times to choose from.
_CODES: Mapping[Cause, str | None] = {
    Cause.OTHER_RULE: TimeGone.code,
    Cause.CLOCK_CHANGE: TimeGone.code,
    Cause.OUTSIDE_HOURS: TimeGone.code,
    Cause.TOO_LONG: TimeGone.code,
    Cause.NOT_PUBLISHED: TimeGone.code,
    Cause.INACTIVE: TimeGone.code,
    Cause.CLOSURE: TimeGone.code,
    Cause.CLOSED: SlotClosed.code,
    Cause.NOT_OFFERED: VisitTypeNotOffered.code,
    Cause.PAST: SlotStarted.code,
    Cause.NOTICE: TooLateToBook.code,
    Cause.HORIZON: TooEarlyToBook.code,
    Cause.BOOKING: SlotFull.code,
    Cause.HOLD: SlotFull.code,
    Cause.SLOT: SlotFull.code,
    Cause.ELSEWHERE: SlotFull.code,
    Cause.NO_START: None,
    Cause.GAP: None,
}
# Of a hold of a slot that there is.
_CODES_IN_SLOT = {Cause.INACTIVE: SlotClosed.code, Cause.CLOSURE: SlotClosed.code, Cause.NO_START: TimeGone.code}
CODES = sorted({code for code in (*_CODES.values(), *_CODES_IN_SLOT.values()) if code is not None})
# Their slot is what takes the time away.
OF_SLOTS = frozenset({Cause.CLOSED, Cause.BOOKING, Cause.HOLD, Cause.SLOT})


class Reason(Struct, frozen=True):
    """One reason, with its facts. `code` is that of the 409 body of a hold; None if a hold is not refused for it.

    The period is what the cause takes away: with its buffer, of a visit. The gap, of a gap. The hours, where visits
    begin at other times: every `step_minutes`, and at `free_again`, when the visit before is over with its buffer.
    """

    cause: Cause
    code: str | None
    start_time: datetime | None = None
    end_time: datetime | None = None
    rule_id: int | None = None
    closure_id: int | None = None
    closure_kind: ClosureKind | None = None
    slot_id: int | None = None
    step_minutes: int | None = None
    free_again: datetime | None = None


def reason_of(cause: Cause, **facts: Any) -> Reason:
    """With the facts as the fields of `Reason`."""
    in_slot = _CODES_IN_SLOT.get(cause) if facts.get("slot_id") is not None else None
    return Reason(cause, in_slot or _CODES[cause], **facts)


def reason_of_closure(closure: Closure, slot_id: int | None) -> Reason:
    return reason_of(
        Cause.CLOSURE,
        slot_id=slot_id,
        closure_id=closure.id,
        closure_kind=closure.kind,
        start_time=closure.start_time,
        end_time=closure.end_time,
    )


def in_order(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """By cause. Of one cause, as they were given."""
    return tuple(sorted(reasons, key=lambda reason: _ORDER[reason.cause]))
