"""A visitor without a screen: follows links, sends forms as a browser does, and keeps cookies."""

import re
from html.parser import HTMLParser
from typing import Any, Self

import httpx

from tests.clinic import PATIENCE_SECONDS, RunningServer
from tests.described import application


def routes() -> set[str]:
    """Every method and path that a module of `slotwise.web` answers."""
    handlers = application().route_handler_method_map
    return {
        f"{method} {path.replace(':int', '').replace(':str', '')}"
        for path, methods in handlers.items()
        for method, handler in methods.items()
        if getattr(handler, "fn", handler).__module__.startswith("slotwise.web.")
    }


class _Fields(HTMLParser):
    """The forms of a page: the action and the preset values of each."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if tag == "form":
            self.forms.append((given.get("action", ""), {}))
        elif given.get("type") in {"checkbox", "radio"} and "checked" not in given:
            return
        elif tag == "input" and self.forms and "name" in given:
            self.forms[-1][1][given["name"]] = given.get("value", "")


class Visitor:
    """`page` is the latest answer."""

    def __init__(self, server: RunningServer, **options: Any) -> None:
        self.http = httpx.Client(
            base_url=server.url, timeout=PATIENCE_SECONDS, verify=False, follow_redirects=True, **options
        )
        self.page: httpx.Response

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    @property
    def heading(self) -> str:
        found = re.search(r"<h1[^>]*>(.*?)</h1>", self.page.text, re.DOTALL)
        assert found, self.page.text
        return re.sub(r"<[^>]+>", "", found[1]).strip()

    @property
    def url(self) -> str:
        return f"{self.page.url.path}{'?' + self.page.url.query.decode() if self.page.url.query else ''}"

    def open(self, url: str, **headers: str) -> httpx.Response:
        self.page = self.http.get(url, headers={"Accept": "text/html", **headers})
        return self.page

    def send(self, action: str, /, **fields: object) -> httpx.Response:
        """Sends a form of this site, even if no page showed it. A list is sent as several fields of one name."""
        headers = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
        data = {name: [*map(str, value)] if isinstance(value, list) else str(value) for name, value in fields.items()}
        self.page = self.http.post(action, data=data, headers=headers)
        return self.page

    def submit(self, action: str, /, **typed: object) -> httpx.Response:
        """Sends the form of the page whose action matches, with its preset values and what is typed."""
        where, values = self.form(action)
        return self.send(where, **{**values, **typed})

    def form(self, action: str) -> tuple[str, dict[str, str]]:
        """Action and preset values of the form of the page whose action matches."""
        parser = _Fields()
        parser.feed(self.page.text)
        return next((where, values) for where, values in parser.forms if re.fullmatch(action, where))

    def hold(self, slot_id: int, seats: int = 1) -> str:
        """Hold a time; returns the URL of its page."""
        self.send("/hold", slot=slot_id, seats=seats)
        assert self.heading == "Confirm your appointment", self.page.text
        return self.url

    def confirm(self, **typed: object) -> httpx.Response:
        person = {"user_name": "Ada Lovelace", "user_email": "ada@example.org"}
        return self.submit("/bookings/[0-9]+/confirm", **{**person, **typed})
