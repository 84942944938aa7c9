"""The limits of fields in the API document: no client that checks them refuses what the server accepts."""

import re
from typing import Any

import pytest
from msgspec.json import schema

from slotwise.domain.errors import InvalidInput
from slotwise.domain.fields import clean_email, clean_name, clean_password
from slotwise.domain.time_zones import MAX_ZONE_CHARACTERS, known_names
from slotwise.http.kit.fields import Email, Password, PersonName

NAME, EMAIL, PASSWORD = schema(PersonName), schema(Email), schema(Password)


def allows(limits: dict[str, Any], value: str) -> bool:
    assert "format" not in limits or limits["format"] == "password"
    return limits["minLength"] <= len(value) <= limits["maxLength"] and bool(re.search(limits["pattern"], value))


@pytest.mark.parametrize(
    "email",
    [
        "ada@example.org",
        " ada@example.org\n",
        "o'hara+x@example.org",
        "zoë@exämple.org",
        "用户@例え.jp",
        "a@localhost.x",
    ],
)
def test_an_address_that_the_server_accepts_is_allowed(email: str) -> None:
    assert clean_email("email", email)
    assert allows(EMAIL, email)


@pytest.mark.parametrize("name", ["Ada", " Ada ", "李", "1", "O\u2019Hara", "\u0645\u0631\u064a\u0645", "-"])
def test_a_name_that_the_server_accepts_is_allowed(name: str) -> None:
    assert clean_name("name", name)
    assert allows(NAME, name)


@pytest.mark.parametrize("blank", ["", " ", "\u00a0\u2003", "\n\t", " " * 9])
def test_nothing_visible_is_neither_a_name_nor_a_password(blank: str) -> None:
    for clean, limits in ((clean_name, NAME), (clean_password, PASSWORD)):
        assert not allows(limits, blank)
        with pytest.raises(InvalidInput):
            clean("field", blank)


def test_the_name_of_every_time_zone_is_allowed() -> None:
    assert max(map(len, known_names())) <= MAX_ZONE_CHARACTERS
