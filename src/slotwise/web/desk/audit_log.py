"""The audit log, for admins: who changed what, and who looked at whose name."""

import re
from typing import Any

from litestar import Controller, Response, get
from litestar.di import NamedDependency

from slotwise.domain.errors import InvalidInput
from slotwise.services.accounts.users import Users
from slotwise.services.core.audit import AuditEntry, AuditLog, AuditPosition, AuditQuery
from slotwise.web.desk.audit_words import ACTIONS, action_words, details_words
from slotwise.web.kit.access import ADMIN, PageRequest, account_in, page_for
from slotwise.web.kit.forms import Form
from slotwise.web.kit.queries import link, period_in, query_form, text_in
from slotwise.web.kit.rendering import Renderer
from slotwise.web.kit.times import ClinicTime

LOG = "/admin/audit"
PAGE_SIZE = 50
QUERY_FIELDS = ("who", "action", "about", "from", "to")
_NAMED = re.compile(r"(user|booking|slot|doctor)s?[ :#]*(\d{1,18})", re.IGNORECASE)
_LISTS = {"booking": "/admin/bookings", "slot": "/admin/slots", "doctor": "/admin/doctors", "user": "/admin/users"}


class AuditController(Controller):
    path = LOG

    @get("/", **page_for(ADMIN))
    async def list_audit(
        self,
        request: PageRequest,
        renderer: NamedDependency[Renderer],
        audit_log: NamedDependency[AuditLog],
        users: NamedDependency[Users],
    ) -> Response[Any]:
        form = query_form(request, *QUERY_FIELDS)
        try:
            query = await audit_query_in(form, renderer.time, users)
        except InvalidInput as error:
            form.refuse(error)
            return renderer.answer(request, "desk/audit_log.html", 400, form=form, actions=ACTIONS, found=None)
        position = position_in(request)
        found = await audit_log.list_audit(account_in(request), query, position, PAGE_SIZE + 1)
        return renderer.answer(
            request,
            "desk/audit_log.html",
            form=form,
            actions=ACTIONS,
            found=[_row_of(entry, renderer.time) for entry in found[:PAGE_SIZE]],
            filtered=query != AuditQuery(),
            newest=position and link(LOG, form),
            older=len(found) > PAGE_SIZE and link(LOG, form, [("before", _position(found[PAGE_SIZE - 1]))]),
        )


def _row_of(entry: AuditEntry, time: ClinicTime) -> dict[str, Any]:
    """What the template shows of an entry."""
    return {
        "entry": entry,
        "what": action_words(entry),
        "details": details_words(entry, time),
        "url": url_of_subject(entry.subject),
    }


async def audit_query_in(form: Form, time: ClinicTime, users: Users) -> AuditQuery:
    """Raises `InvalidInput`."""
    noted_from, noted_before = period_in(form, time)
    action = form.text("action") or None
    if action is not None and action not in ACTIONS:
        raise InvalidInput.of("action", "must be one of the choices")
    return AuditQuery(await _actor_in(form, users), action, _subject_in(form), noted_from, noted_before)


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
    """Where the page begins; None if the URL has no readable position."""
    microseconds, _, entry_id = request.query_params.get("before", "").partition("-")
    if not re.fullmatch(r"\d{1,18}", microseconds) or not re.fullmatch(r"\d{1,18}", entry_id):
        return None
    return AuditPosition.of(int(microseconds), int(entry_id))


def _position(entry: AuditEntry) -> str:
    return f"{AuditPosition(entry.created_at, entry.id).microseconds}-{entry.id}"


def url_of_subject(subject: str) -> str | None:
    """The page of what an entry is about, if there is one."""
    kind, _, number = subject.partition(":")
    return f"{_LISTS[kind]}/{number}" if kind in _LISTS and number.isdigit() else None
