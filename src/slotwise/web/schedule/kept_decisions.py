"""What a person decided at a preview whose change then became impossible: it stays on the pages that lead to the next.

The page of the refusal has it sealed, in a field. The form of the change carries the field on, and the next preview
shows what was ticked and typed, as far as it still fits.
"""

from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from slotwise.domain.schedule_changes import Decision, Decisions, ScheduleChange
from slotwise.domain.schedule_previews import Preview
from slotwise.web.kit.access import PageRequest
from slotwise.web.kit.forms import Form
from slotwise.web.kit.parts import page_parts

DECIDED = "decided"


def sealed_decisions(request: PageRequest, decisions: Decisions) -> str:
    return page_parts(request).seals.seal(msgspec.json.encode(decisions))


def with_decisions_of(form: Form, again: Form) -> Form:
    """Another form in its place, which carries the decisions on."""
    if form.text(DECIDED):
        again.values[DECIDED] = form.text(DECIDED)
    return again


def decisions_in(request: PageRequest, form: Form) -> Decisions | None:
    """None for a form that no refusal led to."""
    content = page_parts(request).seals.unseal(form.text(DECIDED))
    try:
        return None if content is None else msgspec.json.decode(content, type=Decisions)
    except msgspec.MsgspecError:
        return None


def as_decided(change: ScheduleChange, preview: Preview, kept: Decisions) -> Iterator[ScheduleChange]:
    """The change with those decisions, the next with fewer of them: the first that can be previewed is right.

    Decisions are for bookings that the change concerns now. A colleague takes over in an absence only.
    """
    listed = {hit.booking.id for hit in preview.hits}
    bookings = {each: decision for each, decision in kept.bookings.items() if each in listed}
    yield replace(change, decisions=replace(kept, bookings=bookings))
    alone = {each: decision for each, decision in bookings.items() if decision is not Decision.TAKE_OVER}
    default = change.decisions.default if kept.default is Decision.TAKE_OVER else kept.default
    yield replace(change, decisions=Decisions(default, alone, kept.message))
    yield replace(change, decisions=replace(change.decisions, message=kept.message))
    yield change
