"""Logging in and out, and creating an account. A session is an access token in a cookie, new with each log-in."""

import re
from typing import Any

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency

from slotwise.domain.errors import (
    EmailTaken,
    InvalidCredentials,
    InvalidInput,
    SlotwiseError,
    TooManyLogins,
    TooManyRequests,
    Unavailable,
)
from slotwise.domain.fields import clean_email, clean_name
from slotwise.domain.users import User
from slotwise.services.accounts.passwords import new_password
from slotwise.services.accounts.users import Session, Users
from slotwise.web.kit.access import ANYBODY, PageRequest, client_ip_of, page_for, visitor_in
from slotwise.web.kit.errors import words_of
from slotwise.web.kit.forms import Form, read_all
from slotwise.web.kit.kept_forms import kept_form_of
from slotwise.web.kit.rendering import Renderer, see_other
from slotwise.web.kit.times import minutes_words
from slotwise.web.kit.visitors import CookieName, clear_cookie, read_cookie, session_cookie

# A path of this site in printable ASCII. Browsers read a backslash as a slash, and two slashes as another host.
_OUR_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]{0,2000}")
_VISITOR_COOKIES: tuple[CookieName, ...] = ("session", "hold", "attempt", "draft", "slip", "kept")


class SessionController(Controller):
    path = "/"

    @get("/log-in", **page_for(ANYBODY))
    async def ask_to_log_in(self, request: PageRequest, renderer: NamedDependency[Renderer]) -> Response[Any]:
        next_url = our_path(request.query_params.get("next", ""))
        user = visitor_in(request).user
        if user is not None:
            return see_other(request, next_url or home_of(user))
        return renderer.answer(request, "accounts/log_in.html", form=Form(), next_url=next_url)

    @post("/log-in", **page_for(ANYBODY))
    async def log_in(
        self, request: PageRequest, renderer: NamedDependency[Renderer], users: NamedDependency[Users]
    ) -> Response[Any]:
        form = await Form.of(request)
        next_url = our_path(form.text("next"))
        try:
            session = await users.log_in(form.text("email"), form.exactly("password"), client_ip_of(request))
        except (InvalidInput, InvalidCredentials, TooManyLogins) as error:
            return show_again(request, renderer, "accounts/log_in.html", form, error, next_url=next_url)
        return enter(request, session, next_url)

    @get("/register", **page_for(ANYBODY))
    async def ask_to_register(self, request: PageRequest, renderer: NamedDependency[Renderer]) -> Response[Any]:
        next_url = our_path(request.query_params.get("next", ""))
        user = visitor_in(request).user
        if user is not None:
            return see_other(request, next_url or home_of(user))
        return renderer.answer(request, "accounts/register.html", form=Form(), next_url=next_url)

    @post("/register", **page_for(ANYBODY))
    async def register(
        self, request: PageRequest, renderer: NamedDependency[Renderer], users: NamedDependency[Users]
    ) -> Response[Any]:
        form = await Form.of(request)
        next_url = our_path(form.text("next"))
        try:
            _check_registration(form)
            user = await users.register(form.text("name"), form.text("email"), form.exactly("password"))
        except (InvalidInput, EmailTaken) as error:
            return show_again(request, renderer, "accounts/register.html", form, error, next_url=next_url)
        return await enter_with(request, users, user, form.exactly("password"), "Your account is ready.", next_url)

    @post("/log-out", **page_for(ANYBODY))
    async def log_out(self, request: PageRequest, users: NamedDependency[Users]) -> Response[Any]:
        """Also clears every cookie of the visitor, because others may use this browser."""
        user = visitor_in(request).user
        if user is not None:
            await users.log_out(user)
        return leave(request, "You are logged out, here and on all your other devices.")


def _check_registration(form: Form) -> None:
    """Raises `InvalidInput` with all faults at once: the use case stops at the first."""
    read_all(
        {
            "name": lambda: clean_name("name", form.text("name")),
            "email": lambda: clean_email("email", form.text("email")),
            "password": lambda: new_password("password", form.exactly("password")),
        }
    )


def our_path(text: str) -> str | None:
    """The path, if it is on this site. A link from another site must not lead to another site."""
    return text if _OUR_PATH.fullmatch(text) else None


def home_of(user: User) -> str:
    return "/admin" if user.at_desk else "/account"


def enter(request: PageRequest, session: Session, next_url: str | None, notice: str | None = None) -> Response[Any]:
    """And lead to the form that this account typed before its session ended. What another one typed is forgotten."""
    cookies = [session_cookie(request, session.access_token, session.expires_in)]
    kept = kept_form_of(request, session.user)
    if kept is not None:
        return see_other(request, kept.page, cookies=cookies)
    if read_cookie(request, "kept") is not None:
        cookies.append(clear_cookie(request, "kept"))
    return see_other(request, next_url or home_of(session.user), notice=notice, cookies=cookies)


async def enter_with(
    request: PageRequest, users: Users, user: User, password: str, notice: str, next_url: str | None = None
) -> Response[Any]:
    """Log in with a password that was just set. If that fails now, lead to the log-in page."""
    try:
        session = await users.log_in(user.email, password, client_ip_of(request))
    except (Unavailable, TooManyRequests):
        return see_other(request, "/log-in", notice=f"{notice} Please log in.")
    return enter(request, session, next_url, notice)


def leave(request: PageRequest, notice: str) -> Response[Any]:
    return see_other(request, "/", notice=notice, cookies=[clear_cookie(request, name) for name in _VISITOR_COOKIES])


def show_again(
    request: PageRequest,
    renderer: Renderer,
    template: str,
    form: Form,
    error: SlotwiseError,
    current: str = "",
    **context: Any,
) -> Response[Any]:
    """The form as it was sent, with its errors and without passwords. `current` is the current password's field."""
    headers = {}
    match error:
        case InvalidInput():
            form.refuse(error)
        case EmailTaken():
            form.errors["email"] = "An account with this e-mail address already exists. Log in, or use another address."
        case TooManyLogins():
            headers["Retry-After"] = str(error.retry_after)
            form.problem = f"Too many wrong passwords. Try again in {minutes_words(error.retry_after)}."
        case InvalidCredentials() if current:
            form.errors[current] = "This is not your password."
        case _:
            form.problem = f"{error.detail}."
    return renderer.answer(request, template, words_of(error).status, headers=headers, form=form, **context)
