"""Kinds of fields, and their limits in the API document. `domain.fields` checks them, after trimming where it trims."""

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
from slotwise.http.kit.paging import MAX_CURSOR

# msgspec documents these limits and leaves the check to the domain, which has better words for what is wrong.
# Something of a name or a password must be visible.
NAME: dict[str, Any] = {"minLength": 1, "maxLength": MAX_NAME_CHARACTERS, "pattern": r"\S"}
# No `format: email`: programs that check it refuse addresses with letters outside of ASCII, which RFC 6531 allows.
_EMAIL: dict[str, Any] = {"minLength": 3, "maxLength": MAX_EMAIL_CHARACTERS, "pattern": "^[^@]+@[^@]+$"}
_PASSWORD: dict[str, Any] = {
    "format": "password",
    "minLength": MIN_PASSWORD_CHARACTERS,
    "maxLength": MAX_PASSWORD_CHARACTERS,
    "pattern": r"\S",
}

ID: dict[str, Any] = {"format": "int64", "minimum": 1, "maximum": MAX_ID}
# Signed; not a number.
TIME_ID: dict[str, Any] = {"minLength": 66, "maxLength": 300, "pattern": r"^[A-Za-z0-9_-]+\.[0-9a-f]{64}$"}
_SEATS: dict[str, Any] = {"minimum": 1, "maximum": MAX_SEATS}
# What answers keep to. A field of one name means the same in every answer.
_OF_ANSWERS = {
    **dict.fromkeys(("name", "userName", "doctorName", "specialization"), NAME),
    **dict.fromkeys(("email", "userEmail"), _EMAIL),
    **dict.fromkeys(("addedSeats", "seats", "seatsBooked", "seatsTaken", "totalSeats"), _SEATS),
    "availableSeats": _SEATS | {"minimum": 0},
    "durationMinutes": {"minimum": 1, "maximum": MAX_DURATION_MINUTES},
    "nextCursor": {"minLength": 1, "maxLength": MAX_CURSOR},
    "sequence": {"minimum": 1},
    "timeId": TIME_ID,
}


def limits_of(name: str) -> dict[str, Any]:
    """What every value of a field with this name keeps to."""
    return ID if is_id(name) else _OF_ANSWERS.get(name, {})


def is_id(name: str) -> bool:
    return name == "id" or (name.endswith("Id") and name != "timeId")


Id = Annotated[int, Meta(ge=1, le=MAX_ID)]
PersonName = Annotated[
    str,
    Meta(
        description=f"1 to {MAX_NAME_CHARACTERS} characters after trimming",
        examples=["Ada Lovelace"],
        extra_json_schema=NAME,
    ),
]
Email = Annotated[
    str,
    Meta(
        description="The syntax is checked (RFC 5321 and 6531), after trimming; no mail is sent",
        examples=["ada@example.org"],
        extra_json_schema=_EMAIL,
    ),
]
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
