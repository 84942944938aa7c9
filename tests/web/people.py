"""A visitor with an account, and helpers that read pages with forms."""

import re
from html import unescape
from typing import Any

import httpx

from tests.clinic import RunningServer, unique_email
from tests.web.visiting import Visitor

PASSWORD = "patient's secret"
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


class AccountVisitor(Visitor):
    """Follows no redirects, because tests look at where they lead."""

    def __init__(self, server: RunningServer, **options: Any) -> None:
        super().__init__(server, **options)
        self.http.follow_redirects = False

    def post(self, path: str, headers: dict[str, str] | None = None, /, **fields: str) -> httpx.Response:
        """Sends a form of this site. Other `headers` make it come from elsewhere."""
        return self.http.post(path, data=fields, headers=SAME_ORIGIN if headers is None else headers)

    def log_in(self, email: str, password: str = PASSWORD, **fields: str) -> httpx.Response:
        return self.post("/log-in", email=email, password=password, **fields)

    def register(self, name: str = "Pat Patient") -> str:
        """Create an account and log in; returns its e-mail address."""
        email = unique_email()
        answer = self.post("/register", name=name, email=email, password=PASSWORD)
        assert answer.status_code == 303, answer.text
        return email

    @property
    def token(self) -> str:
        return self.http.cookies["slotwise-session"]

    @property
    def bearer(self) -> dict[str, str]:
        """The API's header for the same account."""
        return {"Authorization": f"Bearer {self.token}"}

    def is_logged_in(self) -> bool:
        return self.http.get("/account").status_code == 200


def cookie_of(answer: httpx.Response, name: str) -> dict[str, str]:
    """A cookie that an answer sets: its attributes in lower case, its value as `value`."""
    [sent] = [line for line in answer.headers.get_list("set-cookie") if line.startswith(f"{name}=")]
    value, *attributes = sent.partition("=")[2].split("; ")
    pairs = (attribute.partition("=") for attribute in attributes)
    return {"value": value.strip('"')} | {key.lower(): setting.lower() for key, _, setting in pairs}


def text_of(answer: httpx.Response) -> str:
    """The text of a page, without markup."""
    main = answer.text.partition("<main")[2].partition("</main>")[0]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", f"<main{main}")).split())


def error_of(answer: httpx.Response, field: str) -> str:
    """The error at a field of a refused form. Asserts that it is tied to the field for screen readers."""
    [control] = re.findall(rf'<input id="{field}"[^>]*>', answer.text)
    assert 'aria-invalid="true"' in control, answer.text
    assert re.search(rf'aria-describedby="[^"]*\b{field}-error"', control), control
    [sentence] = re.findall(rf'<p class="error" id="{field}-error">(.*?)</p>', answer.text)
    assert f'<a href="#{field}">' in answer.text
    return unescape(re.sub(r"<span.*?</span>", "", sentence))
