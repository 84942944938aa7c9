"""Kinds of fields in bodies. The limits are those that `domain.fields` checks, after trimming where it trims."""

from typing import Annotated, Any

from msgspec import Meta

from slotwise.domain.fields import (
    MAX_EMAIL_CHARACTERS,
    MAX_ID,
    MAX_NAME_CHARACTERS,
    MAX_PASSWORD_CHARACTERS,
    MIN_PASSWORD_CHARACTERS,
)
from slotwise.domain.slots import MAX_DURATION_MINUTES, MAX_SEATS

# msgspec documents these limits and leaves the check to the domain, which has better words for what is wrong.
NAME: dict[str, Any] = {"minLength": 1, "maxLength": MAX_NAME_CHARACTERS}
_EMAIL: dict[str, Any] = {"format": "email", "minLength": 3, "maxLength": MAX_EMAIL_CHARACTERS}
_PASSWORD: dict[str, Any] = {
    "format": "password",
    "minLength": MIN_PASSWORD_CHARACTERS,
    "maxLength": MAX_PASSWORD_CHARACTERS,
}

Id = Annotated[int, Meta(ge=1, le=MAX_ID)]
PersonName = Annotated[
    str,
    Meta(
        description=f"1 to {MAX_NAME_CHARACTERS} characters after trimming",
        examples=["Ada Lovelace"],
        extra_json_schema=NAME,
    ),
]
Email = Annotated[str, Meta(examples=["ada@example.org"], extra_json_schema=_EMAIL)]
Password = Annotated[
    str,
    Meta(
        description=f"{MIN_PASSWORD_CHARACTERS} to {MAX_PASSWORD_CHARACTERS} characters",
        examples=["correct horse battery"],
        extra_json_schema=_PASSWORD,
    ),
]
Seats = Annotated[int, Meta(ge=1, le=MAX_SEATS)]
Minutes = Annotated[int, Meta(ge=1, le=MAX_DURATION_MINUTES)]
