"""The query of a list in its URL: the fields to search by, and where the page begins."""

import re
from collections.abc import Iterable
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, TypeVar
from urllib.parse import urlencode

from litestar.params import PathParameter

from slotwise.domain.errors import InvalidInput
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME, MAX_ID
from slotwise.web.kit.access import PageRequest
from slotwise.web.kit.calendar_days import parse_day
from slotwise.web.kit.forms import Form
from slotwise.web.kit.times import ClinicTime

Choice = TypeVar("Choice", bound=StrEnum)
Id = Annotated[int, PathParameter(ge=1, le=MAX_ID)]

MAX_TEXT_CHARACTERS = 200
_ID = re.compile(r"[0-9]{1,18}", re.ASCII)


def query_form(request: PageRequest, *names: str) -> Form:
    """The named fields of the URL's query as a form, so that they can be shown again with their errors."""
    return Form({name: request.query_params.get(name, "") for name in names})


def text_in(form: Form, name: str) -> str | None:
    text = form.text(name)
    if "\x00" in text or len(text) > MAX_TEXT_CHARACTERS:
        raise InvalidInput.of(name, f"must have at most {MAX_TEXT_CHARACTERS} characters, all of them visible")
    return text or None


def id_in(form: Form, name: str) -> int | None:
    return form.number(name, 1, 10**18 - 1) if form.text(name) else None


def ids_in(texts: Iterable[str]) -> list[int]:
    """Those of the texts that can be ids, in their order."""
    return [int(text) for text in texts if _ID.fullmatch(text)]


def choice_in(form: Form, name: str, choices: type[Choice]) -> Choice | None:
    text = form.text(name)
    try:
        return choices(text) if text else None
    except ValueError as error:
        raise InvalidInput.of(name, "must be one of the choices") from error


def day_in(form: Form, name: str) -> date | None:
    text = form.text(name)
    return parse_day(name, text) if text else None


def period_in(form: Form, time: ClinicTime) -> tuple[datetime, datetime]:
    """From the start of the day `from` to the end of the day `to`. Either may be missing."""
    first, last = day_in(form, "from"), day_in(form, "to")
    if first and last and last < first:
        raise InvalidInput.of("to", "must not be before the first day")
    begins = time.bounds(first)[0] if first else FIRST_TIME
    return begins, time.bounds(last)[1] if last else LAST_READABLE_TIME


def before_in(request: PageRequest) -> int:
    """The page begins below this id. The newest page if the URL has no readable id."""
    text = request.query_params.get("before", "")
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < len(str(MAX_ID)) else MAX_ID


def link(path: str, form: Form, more: Iterable[tuple[str, object]] = ()) -> str:
    """The URL of the same list with the same query."""
    fields = [(name, value) for name, value in form.values.items() if value]
    query = urlencode([*fields, *more])
    return f"{path}?{query}" if query else path
