"""From errors to pages: one table from each error to the status, the heading and what to do next."""

import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlencode

import structlog
from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException
from litestar.types import Scope

from slotwise.domain import errors
from slotwise.domain.errors import BookingCancelled, InvalidInput, SlotClosed, SlotFull, SlotwiseError
from slotwise.observability.request_meters import REQUEST_METERS
from slotwise.server.refusals import RequestTooSlow, Written
from slotwise.web.kit.access import PageRequest, Unsent, visitor_in
from slotwise.web.kit.forms import Form
from slotwise.web.kit.kept_forms import can_stay_on_page, kept_cookie
from slotwise.web.kit.rendering import HTML, Renderer, renderer_of, see_other, url_of_request
from slotwise.web.kit.visitors import Connection, draft_cookie, draft_of, read_cookie, visitor_of

log = structlog.get_logger()


class Words(NamedTuple):
    """`advice` says what to do next. If it is empty, the page shows the error's own detail."""

    status: int
    heading: str
    advice: str = ""


WORDS: dict[type[SlotwiseError], Words] = {
    errors.InvalidInput: Words(400, "This request is not valid"),
    errors.NotAuthenticated: Words(401, "Please log in", "This page needs an account."),
    errors.InvalidCredentials: Words(401, "The password is wrong", "Go back and try again."),
    errors.NotAllowed: Words(
        403, "You may not open this page", "It may belong to another account than the one you are logged in with."
    ),
    errors.BookingNotFound: Words(
        404, "We cannot find that appointment", "Open the complete link that you kept, or log in."
    ),
    errors.SlotNotFound: Words(404, "This time does not exist", "It may have been moved. Choose another time."),
    errors.NotFound: Words(404, "This page does not exist", "Check the link, or start again."),
    # It may be the visitor's own hold, made without this browser's cookies: no page says who has the time.
    errors.SlotFull: Words(409, "This time is no longer free", "It is booked or on hold now. Choose another time."),
    errors.SlotClosed: Words(409, "This time is no longer offered", "The clinic has closed it. Choose another time."),
    errors.TimeGone: Words(
        409,
        "This time is no longer offered",
        "The clinic has changed its hours, or you chose it long ago. Choose again.",
    ),
    errors.SlotStarted: Words(409, "This appointment has started", "It can no longer be changed here."),
    errors.VisitTypeNotOffered: Words(
        409, "This kind of visit is not offered at this time", "Choose another time or another kind of visit."
    ),
    errors.TooLateToBook: Words(
        409, "It is too late to book this time", "This kind of visit needs a longer notice. Choose a later time."
    ),
    errors.TooEarlyToBook: Words(
        409, "It is too early to book this time", "This kind of visit cannot be booked so far ahead."
    ),
    errors.BookingLimitReached: Words(
        409, "You already have an appointment of this kind", "The clinic allows no more of them at a time."
    ),
    errors.ForNewPatientsOnly: Words(
        409, "This kind of visit is for new patients", "You have been here before. Choose another kind of visit."
    ),
    errors.ForReturningPatientsOnly: Words(
        409, "This kind of visit is for patients who have been here before", "Choose another kind of visit."
    ),
    errors.TooLateToChange: Words(
        409, "It is too late to cancel this appointment here", "If you cannot come, please call the clinic."
    ),
    RequestTooSlow: Words(408, "Your request did not arrive in time", "Check your connection, and send it again."),
    errors.Conflict: Words(409, "That is not possible now"),
    errors.HoldExpired: Words(
        410, "This time is no longer held for you", "You did not confirm it in time. Choose a time again."
    ),
    errors.KeyReused: Words(422, "This form was already sent with other values", "Start again."),
    errors.TooManyRequests: Words(429, "Too many requests"),
    errors.OutcomeUnknown: Words(
        503,
        "We do not know whether that worked",
        "The answer was lost. Reload this page: nothing is done twice.",
    ),
    errors.Unavailable: Words(
        503, "We are very busy just now", "Nothing was changed. Wait a few seconds and try again."
    ),
}
_FOR_ADMINS = Words(
    403,
    "This is for administrators",
    "Ask an administrator to do it, or to change your role.",
)
_OF_ANOTHER_CLINIC = Words(
    403,
    "This is at another clinic",
    "Your account works for other clinics. Ask an administrator if you need this one, too.",
)
_FOR_THE_DESK = Words(
    403, "This page is for clinic staff", "If you work at the clinic, log in with your staff account."
)
_FRAMEWORK = {
    400: Words(400, "This request is not valid", "Go back and try again."),
    403: Words(403, "Nothing was changed"),
    404: Words(404, "This page does not exist", "Check the link, or start again."),
    405: Words(405, "This page cannot be opened like this", "Use the buttons on our pages."),
    413: Words(413, "This form is too long", "Shorten what you typed."),
}


def words_of(error: SlotwiseError) -> Words:
    return next(WORDS[base] for base in type(error).__mro__ if base in WORDS)


async def recognize_visitor(error: Exception, scope: Scope) -> None:
    """Runs before an error page is made, so that this page too says who is logged in, even if no guard has run.

    Does not ask the database without a session cookie, nor after the database has just failed.
    """
    connection: Connection = ASGIConnection(scope)
    if scope["path"].startswith("/api/") or isinstance(error, errors.Unavailable) or connection.state.get("visitor"):
        return
    if read_cookie(connection, "session") is not None:
        with suppress(SlotwiseError):
            connection.state.visitor = await visitor_of(connection)


def show_error(request: PageRequest, error: SlotwiseError) -> Response[Any]:
    REQUEST_METERS.count_refusal(error.code)
    return ask_to_log_in(request) if isinstance(error, errors.NotAuthenticated) else _show_refusal(request, error)


def write_refusal(error: SlotwiseError, scope: Scope) -> Written:
    """The same page for the server, which answers some requests in place of the application."""
    request: PageRequest = Request(scope)
    return _written(request, _show_refusal(request, error))


def write_defect(error: Exception, scope: Scope) -> Written:
    request: PageRequest = Request(scope)
    return _written(request, show_defect(request, error))


def _written(request: PageRequest, page: Response[Any]) -> Written:
    answer = page.to_asgi_response(None, request)
    sent = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.encode_headers()]
    headers = [(name, value) for name, value in sent if name.lower() not in {"content-type", "content-length"}]
    return Written(answer.status_code, f"{HTML}; charset=utf-8", answer.body, headers)


def _show_refusal(request: PageRequest, error: SlotwiseError) -> Response[Any]:
    words = _words_of_refusal(request, error) if isinstance(error, errors.NotAllowed) else words_of(error)
    seconds = getattr(error, "retry_after", None)
    headers = {"Retry-After": str(seconds)} if seconds is not None else {}
    return _show(request, words, words.advice or f"{error.detail.rstrip('.')}.", headers)


def _words_of_refusal(request: PageRequest, error: errors.NotAllowed) -> Words:
    """Says who may open the page and whom to ask."""
    if error.elsewhere:
        return _OF_ANOTHER_CLINIC
    if not request.scope["path"].startswith("/admin"):
        return WORDS[errors.NotAllowed]
    return _FOR_ADMINS if visitor_in(request).at_desk else _FOR_THE_DESK


def ask_to_log_in(request: PageRequest) -> Response[Any]:
    """And come back here after the log-in. After a change, come back to its form, with what was typed."""
    if request.method != "GET":
        return _keep_form(request)
    return see_other(request, _log_in_for(url_of_request(request)))


def _log_in_for(page: str) -> str:
    return f"/log-in?{urlencode({'next': page})}"


def _keep_form(request: PageRequest) -> Response[Any]:
    unsent: Unsent | None = request.state.get("unsent")
    told = "Please log in first. Nothing was changed."
    if unsent is None:
        return see_other(request, "/log-in", notice=told)
    kept = kept_cookie(request, unsent.page, unsent.fields)
    if kept is None and can_stay_on_page(request, unsent.fields):
        return _show_unsent(request, unsent.fields)
    if kept is None:
        return see_other(request, _log_in_for(unsent.page), notice=told)
    told += " What you typed is kept for 15 minutes, except passwords, and shown again after you log in."
    return see_other(request, "/log-in", notice=told, cookies=[kept])


def _show_unsent(request: PageRequest, fields: Sequence[tuple[str, str]]) -> Response[Any]:
    """What is too long for a cookie waits in a form on the page, until the person has logged in elsewhere."""
    renderer: Renderer = renderer_of(request)
    action = request.scope["path"]
    return renderer.answer(request, "kit/send_again.html", HTTPStatus.UNAUTHORIZED, action=action, fields=fields)


def show_framework_error(request: PageRequest, error: HTTPException) -> Response[Any]:
    words = _FRAMEWORK.get(error.status_code, Words(error.status_code, "That did not work"))
    return _show(request, words, words.advice or str(error.detail), dict(error.headers or {}))


def show_defect(request: PageRequest, error: Exception) -> Response[Any]:
    """A bug. Logs only its type and place: the message may contain personal data."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    log.error("defect", error=type(error).__name__, frames=frames[-8:])
    words = Words(500, "Something went wrong", "This is our mistake. Try again, or call the clinic.")
    return _show(request, words, words.advice, {})


def _show(request: PageRequest, words: Words, advice: str, headers: dict[str, str]) -> Response[Any]:
    renderer: Renderer = renderer_of(request)
    typed = request.state.get("typed")
    draft = draft_of(typed.text("user_name"), typed.text("user_email")) if typed else None
    server_fault = words.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return renderer.answer(
        request,
        "kit/error.html",
        words.status,
        headers=headers,
        # Keeps what was typed, for the page that the visitor goes back to.
        cookies=[draft_cookie(request, draft)] if draft else [],
        heading=words.heading,
        advice=advice,
        server_fault=server_fault,
    )


EXCEPTION_HANDLERS: dict[int | type[Exception], Callable[[PageRequest, Any], Response[Any]]] = {
    SlotwiseError: show_error,
    HTTPException: show_framework_error,
    Exception: show_defect,
}


def refuse(form: Form, error: SlotwiseError) -> int:
    """Say on the form why it was refused. Returns the status of the answer."""
    match error:
        case InvalidInput():
            form.refuse(error)
        case SlotFull():
            form.problem = seats_left_words(error.available_seats)
        case SlotClosed():
            form.problem = "This time is closed for booking."
        case BookingCancelled():
            form.problem = "This booking is no longer on hold, so it cannot be confirmed."
        case _:
            form.problem = f"{error.detail.rstrip('.')}."
    return words_of(error).status


def seats_left_words(count: int) -> str:
    if count == 0:
        return "This time is no longer free: it is booked or on hold now."
    return f"There is room for only {count} {'person' if count == 1 else 'people'}."
