"""Parameters shared by several operations."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar.params import HeaderParameter, PathParameter, QueryParameter

from slotwise.domain.errors import InvalidInput
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME, MAX_ID
from slotwise.domain.slots import MAX_SEATS

Id = Annotated[int, PathParameter(ge=1, le=MAX_ID)]
DoctorId = Annotated[int | None, QueryParameter(name="doctorId", ge=1, le=MAX_ID)]
ClinicId = Annotated[int | None, QueryParameter(name="clinicId", ge=1, le=MAX_ID)]
SlotId = Annotated[int | None, QueryParameter(name="slotId", ge=1, le=MAX_ID)]
VisitTypeId = Annotated[int | None, QueryParameter(name="visitTypeId", ge=1, le=MAX_ID)]
MinSeats = Annotated[int, QueryParameter(name="minSeats", ge=1, le=MAX_SEATS, description="Fewest free seats")]
Text = Annotated[str | None, QueryParameter(min_length=1, max_length=200)]

IfNoneMatch = Annotated[
    str | None,
    HeaderParameter(name="If-None-Match", description="The `ETag` of an earlier answer: 304 if it is still true"),
]

MAX_TIME_CHARACTERS = 40
_AwareTime = Annotated[datetime, msgspec.Meta(tz=True)]


def _time(name: str, description: str) -> Any:
    return QueryParameter(
        name=name,
        description=description,
        schema_extra={"format": "date-time", "maxLength": MAX_TIME_CHARACTERS},
    )


FromTime = Annotated[str | None, _time("from", "Start at or after this time, RFC 3339 with an offset")]
ToTime = Annotated[str | None, _time("to", "Start before this time, RFC 3339 with an offset")]
OneTime = Annotated[str | None, _time("time", "Explain this one time, RFC 3339 with an offset")]


def parse_time(field: str, text: str | None, default: datetime) -> datetime:
    """A time in UTC. Reads a space as `+`, because an unescaped `+` in a URL becomes a space."""
    if text is None:
        return default
    if len(text) > MAX_TIME_CHARACTERS:
        raise InvalidInput.of(field, "must be a time such as 2030-01-31T09:00:00Z")
    try:
        time = msgspec.convert(text.replace(" ", "+"), _AwareTime).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError) as error:
        raise InvalidInput.of(field, "must be a time such as 2030-01-31T09:00:00Z") from error
    if not datetime(2, 1, 1, tzinfo=UTC) < time < LAST_READABLE_TIME:
        raise InvalidInput.of(field, "is out of range")
    return time


def parse_period(from_time: str | None, to_time: str | None) -> tuple[datetime, datetime]:
    """The parameters `from` and `to`, in UTC. Either may be missing; together they must be in order."""
    begins = parse_time("from", from_time, FIRST_TIME)
    ends = parse_time("to", to_time, LAST_READABLE_TIME)
    if from_time is not None and to_time is not None and begins > ends:
        raise InvalidInput.of("to", "must not be before `from`")
    return begins, ends


def clean_text(field: str, text: str | None) -> str | None:
    if text is not None and "\x00" in text:
        raise InvalidInput.of(field, "must not contain control characters")
    return text
