"""The audit log, for admins: who did what to whom, and who was shown whose name."""

import re
from typing import Any

from litestar import Controller, Response, get
from litestar.di import NamedDependency

from slotwise.domain.errors import InvalidInput
from slotwise.services.accounts.users import Users
from slotwise.services.core.audit import AuditEntry, AuditFilter, AuditLog, AuditPosition
from slotwise.web.desk.audit_words import ACTIONS, action_words, details_words
from slotwise.web.kit.access import ADMIN, PageRequest, account_in, page
from slotwise.web.kit.forms import Form
from slotwise.web.kit.pages import Pages
from slotwise.web.kit.queries import link, period_in, query_of, text_in
from slotwise.web.kit.times import ClinicTime

LOG = "/admin/audit"
PAGE = 50
FILTERS = ("who", "action", "about", "from", "to")
_NAMED = re.compile(r"(user|booking|slot|doctor)s?[ :#]*(\d{1,18})", re.IGNORECASE)
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
            return pages.answer(request, "desk/audit.html", 400, form=form, actions=ACTIONS, found=None)
        position = position_in(request)
        found = await audit_log.list_audit(account_in(request), sought, position, PAGE + 1)
        return pages.answer(
            request,
            "desk/audit.html",
            form=form,
            actions=ACTIONS,
            found=[_told(entry, pages.time) for entry in found[:PAGE]],
            filtered=sought != AuditFilter(),
            newest=position and link(LOG, form),
            older=len(found) > PAGE and link(LOG, form, [("before", _position(found[PAGE - 1]))]),
        )


def _told(entry: AuditEntry, time: ClinicTime) -> dict[str, Any]:
    """With what the template says of it."""
    return {
        "entry": entry,
        "what": action_words(entry),
        "details": details_words(entry, time),
        "place": place_of(entry.subject),
    }


async def filter_in(form: Form, time: ClinicTime, users: Users) -> AuditFilter:
    """Raises `InvalidInput`."""
    noted_from, noted_before = period_in(form, time)
    action = form.text("action") or None
    if action is not None and action not in ACTIONS:
        raise InvalidInput.of("action", "must be one of the choices")
    return AuditFilter(await _actor_in(form, users), action, _subject_in(form), noted_from, noted_before)


async def _actor_in(form: Form, users: Users) -> str | None:
    text = text_in(form, "who")
    if text is None:
        return None
    if "@" in text:
        found = await users.find_user(text)
        if found is None:
            raise InvalidInput.of("who", "is not the e-mail address of an account")
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
