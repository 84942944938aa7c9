"""Rules for single values: name, e-mail, password, time. Each function returns the clean value."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated

from email_validator import EmailNotValidError, EmailSyntaxError, validate_email
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES
from msgspec import Meta

from slotwise.domain.errors import InvalidInput

MAX_NAME_CHARACTERS = 200
MAX_EMAIL_CHARACTERS = 254  # RFC 5321, 4.5.3.1.3, without the angle brackets
MIN_REASON_CHARACTERS = 3
MAX_REASON_CHARACTERS = 200
MIN_PASSWORD_CHARACTERS = 8
MAX_PASSWORD_CHARACTERS = 128
MAX_ID = 2**63 - 1
# Time for Unicode normal form C grows with the square of the length, and a body may have 64 KiB.
_LONGEST_WORTH_READING = 1000
# A dot-atom of RFC 5322, 3.2.3, in ASCII. The library checks everything else.
_PLAIN_LOCAL_PART = re.compile(r"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*")
_MAX_PLAIN_EMAIL = 64
# Unicode normal form C makes K, ` and ; of these, so that one mailbox would become another.
_NORMALIZED_TO_ASCII = re.compile("[\u037e\u1fef\u212a]")
FIRST_TIME = datetime(2000, 1, 1, tzinfo=UTC)
LAST_READABLE_TIME = datetime(9999, 1, 1, tzinfo=UTC)
# A time with an offset.
Instant = Annotated[datetime, Meta(tz=True)]


def clean_name(field: str, text: str) -> str:
    """Trimmed and in Unicode normal form C, 1 to 200 characters, free of control characters."""
    if len(text) > _LONGEST_WORTH_READING:
        raise InvalidInput.of(field, f"must have at most {MAX_NAME_CHARACTERS} characters")
    name = unicodedata.normalize("NFC", text).strip()
    if all(unicodedata.category(character) in _INVISIBLE for character in name):
        raise InvalidInput.of(field, "must not be empty")
    if len(name) > MAX_NAME_CHARACTERS:
        raise InvalidInput.of(field, f"must have at most {MAX_NAME_CHARACTERS} characters")
    if not name.isprintable() and any(_is_control(character) for character in name):
        raise InvalidInput.of(field, "must not contain control characters")
    return name


def clean_reason(field: str, text: str) -> str:
    """As a name, but of 3 to 200 characters."""
    reason = clean_name(field, text)
    if len(reason) < MIN_REASON_CHARACTERS:
        raise InvalidInput.of(field, f"must have {MIN_REASON_CHARACTERS} to {MAX_REASON_CHARACTERS} characters")
    return reason


def clean_email(field: str, text: str) -> str:
    """A syntactically valid e-mail address (RFC 5321 and 6531) in normal form. Makes no DNS look-up."""
    if len(text) > _LONGEST_WORTH_READING:
        raise InvalidInput.of(field, "must be a valid e-mail address")
    email = text.strip()
    local, _, domain = email.rpartition("@")
    try:
        if _is_plain(local, domain):
            return f"{local}@{_clean_domain(domain)}"
        return _normalized(email)
    except EmailNotValidError as error:
        raise InvalidInput.of(field, "must be a valid e-mail address") from error


def _is_plain(local: str, domain: str) -> bool:
    """Whether the part before the @ is in normal form already, for any part after it."""
    is_short = len(local) + len(domain) < _MAX_PLAIN_EMAIL and domain.isascii()
    return is_short and bool(_PLAIN_LOCAL_PART.fullmatch(local)) and local.lower() not in CASE_INSENSITIVE_MAILBOX_NAMES


@lru_cache(maxsize=4096)
def _clean_domain(domain: str) -> str:
    """The part after the @ in normal form. Cached: most e-mails have one of few domains, and a check takes 30 us."""
    return _normalized(f"x@{domain}").removeprefix("x@")


def _normalized(email: str) -> str:
    local, _, _ = email.rpartition("@")
    if _NORMALIZED_TO_ASCII.search(local):
        raise EmailSyntaxError("The local part has characters that stand for others.")
    return validate_email(email, check_deliverability=False, test_environment=True).normalized


def email_key(email: str) -> str:
    """What two e-mail addresses are compared by. `email_key` in the database is the same.

    Only A to Z are folded, as RFC 5321 leaves everything else to the receiving host. If all of Unicode were folded, two
    people could be taken for one: `lower` turns a dotted capital I into i.
    """
    return email.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def clean_password(field: str, text: str) -> str:
    """8 to 128 characters, unchanged."""
    if not MIN_PASSWORD_CHARACTERS <= len(text) <= MAX_PASSWORD_CHARACTERS:
        raise InvalidInput.of(field, f"must have {MIN_PASSWORD_CHARACTERS} to {MAX_PASSWORD_CHARACTERS} characters")
    if not text.strip():
        raise InvalidInput.of(field, "must not be blank")
    return text


def clean_period(field: str, start: datetime, duration_minutes: int) -> tuple[datetime, datetime]:
    """Start and end in UTC. Refuses years after 9998, which PostgreSQL stores but readers cannot show."""
    try:
        start = start.astimezone(UTC)
        end = start + timedelta(minutes=duration_minutes)
    except OverflowError as error:
        raise InvalidInput.of(field, "is out of range") from error
    if end >= LAST_READABLE_TIME:
        raise InvalidInput.of(field, "must be before the year 9999")
    return start, end


_INVISIBLE = frozenset({"Cf", "Zs", "Mn"})


def _is_control(character: str) -> bool:
    """A control (Cc), a surrogate (Cs), a line or paragraph separator, or a bidi override, which reorders a line."""
    return (
        unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
        or character in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )
