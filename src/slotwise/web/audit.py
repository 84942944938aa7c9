"""The audit log, for admins: who did what to whom, and who was shown whose name."""

import re
from datetime import datetime
from typing import Any

import msgspec
from litestar import Controller, Response, get
from litestar.di import NamedDependency

from slotwise.domain.errors import InvalidInput
from slotwise.services.audit import AuditEntry, AuditFilter, AuditLog, AuditPosition
from slotwise.services.users import Users
from slotwise.web.access import ADMIN, PageRequest, account_in, page
from slotwise.web.forms import Form
from slotwise.web.pages import Pages
from slotwise.web.queries import link, period_in, query_of, text_in
from slotwise.web.times import ClinicTime

LOG = "/admin/audit"
PAGE = 50
FILTERS = ("who", "action", "about", "from", "to")
# What each action of the log is called where people read it.
ACTIONS = {
    "cancel_booking": "Looked at a cancelled booking",
    "change_rights": "Changed what an account may do",
    "confirm_booking": "Looked at a confirmed booking",
    "create_doctor": "Added a doctor",
    "create_slot": "Added a slot",
    "create_slots": "Added many slots",
    "create_user": "Added an account",
    "erase_personal_data": "Erased personal data",
    "export_bookings": "Downloaded bookings",
    "export_personal_data": "Downloaded a person's data",
    "get_booking": "Looked at a booking",
    "get_managed_booking": "Looked at a booking by its link",
    "get_user": "Looked at an account",
    "list_audit": "Read this log",
    "list_bookings": "Looked through bookings",
    "list_bookings_hit": "Looked at who a change would concern",
    "list_bookings_of_day": "Looked at a day sheet",
    "list_bookings_of_slot": "Looked at the bookings of a slot",
    "list_bookings_of_user": "Looked at the bookings of an account",
    "list_latest_bookings": "Looked at the latest bookings",
    "list_story": "Looked at a booking and its story",
    "list_users": "Looked through accounts",
    "reset_password": "Set a new password",
    "update_doctor": "Changed a doctor",
    "update_slot": "Changed a slot",
}
_NAMED = re.compile(r"(user|booking|slot|doctor)s?[ :#]*(\d{1,18})", re.IGNORECASE)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)")
_NAMES = {"text": "searched for a text:", "starts_from": "from", "starts_before": "before"}
_PLACES = {"booking": "/admin/bookings", "slot": "/admin/slots", "doctor": "/admin/doctors", "user": "/admin/users"}


class AuditController(Controller):
    path = LOG

    @get("/", **page(ADMIN))
    async def list_audit(
        self,
        request: PageRequest,
        pages: NamedDependency[Pages],
        audit_log: NamedDependency[AuditLog],
        users: NamedDependency[Users],
    ) -> Response[Any]:
        form = query_of(request, *FILTERS)
        try:
            sought = await filter_in(form, pages.time, users)
        except InvalidInput as error:
            form.refuse(error)
            return pages.answer(request, "audit.html", 400, form=form, actions=ACTIONS, found=None)
        position = position_in(request)
        found = await audit_log.list_audit(account_in(request), sought, position, PAGE + 1)
        return pages.answer(
            request,
            "audit.html",
            form=form,
            actions=ACTIONS,
            found=[(entry, details_words(entry, pages.time), place_of(entry.subject)) for entry in found[:PAGE]],
            filtered=sought != AuditFilter(),
            newest=position and link(LOG, form),
            older=len(found) > PAGE and link(LOG, form, [("before", _position(found[PAGE - 1]))]),
        )


async def filter_in(form: Form, time: ClinicTime, users: Users) -> AuditFilter:
    """Raises `InvalidInput`."""
    noted_from, noted_before = period_in(form, time)
    action = form.text("action") or None
    if action is not None and action not in ACTIONS:
        raise InvalidInput.of("action", "must be one of the list")
    return AuditFilter(await _actor_in(form, users), action, _subject_in(form), noted_from, noted_before)


async def _actor_in(form: Form, users: Users) -> str | None:
    text = text_in(form, "who")
    if text is None:
        return None
    if "@" in text:
        found = await users.find_user(text)
        if found is None:
            raise InvalidInput.of("who", "is not the address of an account")
        return f"user:{found.id}"
    named = _NAMED.fullmatch(text) or re.fullmatch(r"()(\d{1,18})", text)
    return f"user:{int(named[2])}" if named else text.lower()


def _subject_in(form: Form) -> str | None:
    text = text_in(form, "about")
    if text is None:
        return None
    named = _NAMED.fullmatch(text)
    return f"{named[1].lower()}:{int(named[2])}" if named else text.lower()


def position_in(request: PageRequest) -> AuditPosition | None:
    """Where a page begins; None where the address says nothing, or nonsense."""
    microseconds, _, entry_id = request.query_params.get("before", "").partition("-")
    if not re.fullmatch(r"\d{1,18}", microseconds) or not re.fullmatch(r"\d{1,18}", entry_id):
        return None
    return AuditPosition.of(int(microseconds), int(entry_id))


def _position(entry: AuditEntry) -> str:
    return f"{AuditPosition(entry.created_at, entry.id).microseconds}-{entry.id}"


def place_of(subject: str) -> str | None:
    """The page about what an entry is about, where there is one."""
    kind, _, number = subject.partition(":")
    return f"{_PLACES[kind]}/{number}" if kind in _PLACES and number.isdigit() else None


def details_words(entry: AuditEntry, time: ClinicTime) -> str:
    """`role staff, active yes`."""
    details: dict[str, object] = msgspec.json.decode(entry.details)
    return ", ".join(
        f"{_NAMES.get(name, name.replace('_', ' '))} {_value_words(value, time)}".strip()
        for name, value in details.items()
    )


def _value_words(value: object, time: ClinicTime) -> str:
    match value:
        case True:
            return "yes"
        case False:
            return "no"
        case [*values]:
            return " ".join(map(str, values))
        case str() if _TIME.fullmatch(value):
            return time.short_moment(datetime.fromisoformat(value))
        case _:
            return str(value).lower()
