"""Single values: names, e-mails, passwords and periods."""

import sys
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from slotwise.domain.errors import InvalidInput
from slotwise.domain.fields import LAST_READABLE_TIME, clean_email, clean_name, clean_password, clean_period, email_key


@given(st.text(max_size=250))
def test_a_clean_name_is_trimmed_normal_storable_and_stays_as_it_is(text: str) -> None:
    try:
        name = clean_name("name", text)
    except InvalidInput:
        return
    assert 1 <= len(name) <= 200
    assert name == name.strip() == unicodedata.normalize("NFC", name)
    assert not {unicodedata.category(character) for character in name} & {"Cc", "Cs", "Zl", "Zp"}
    assert clean_name("name", name) == name
    name.encode()


@given(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=60))
def test_letters_and_digits_of_any_script_make_a_name(text: str) -> None:
    assert clean_name("name", f"  {text}\n") == unicodedata.normalize("NFC", text)


def test_a_name_is_measured_after_it_was_put_in_normal_form() -> None:
    assert len(clean_name("name", "e\u0301" * 200)) == 200
    with pytest.raises(InvalidInput):
        clean_name("name", "e\u0301" * 201)


@pytest.mark.parametrize(
    "bad", [*map(chr, range(0x20)), "\x7f", "\x85", "\u2028", "\u2029", "\u202a", "\u202e", "\u2066", "\ud800"]
)
def test_controls_and_reordering_inside_a_name_are_refused(bad: str) -> None:
    with pytest.raises(InvalidInput):
        clean_name("name", f"a{bad}b")


@given(st.text(max_size=80))
def test_no_text_breaks_the_check_of_an_email(text: str) -> None:
    try:
        email = clean_email("email", text)
    except InvalidInput:
        return
    assert email.count("@") >= 1
    assert not any(character.isspace() for character in email)


@given(st.emails(domains=st.just("example.org")))
def test_the_normal_form_of_an_email_is_stable(text: str) -> None:
    try:
        email = clean_email("email", f" {text} ")
    except InvalidInput:  # RFC 5322 has quoted and commented forms, which are not used in practice
        return
    assert clean_email("email", email) == email


@pytest.mark.parametrize(("length", "right"), [(7, False), (8, True), (128, True), (129, False)])
def test_a_password_has_8_to_128_characters(length: int, right: bool) -> None:
    if right:
        assert clean_password("password", "ü" * length) == "ü" * length
    else:
        with pytest.raises(InvalidInput):
            clean_password("password", "ü" * length)


@given(
    st.datetimes(timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))),
    st.integers(1, 1440),
)
def test_a_clean_period_is_in_utc_and_readable(start: datetime, minutes: int) -> None:
    try:
        begins, ends = clean_period("start_time", start, minutes)
    except InvalidInput:
        return
    assert begins.tzinfo is ends.tzinfo is UTC
    assert (begins, ends - begins) == (start, timedelta(minutes=minutes))
    assert ends < LAST_READABLE_TIME


@pytest.mark.parametrize("start", [datetime.max.replace(tzinfo=UTC), datetime(9998, 12, 31, 23, 59, tzinfo=UTC)])
def test_a_period_past_the_readable_years_is_refused(start: datetime) -> None:
    with pytest.raises(InvalidInput):
        clean_period("start_time", start, 30)


@pytest.mark.parametrize(("start", "hours"), [("9999-12-31T23:59:59", -23), ("0001-01-01T00:00:00", 23)])
def test_a_period_that_overflows_in_utc_is_refused(start: str, hours: int) -> None:
    with pytest.raises(InvalidInput) as error:
        clean_period("start_time", datetime.fromisoformat(f"{start}{hours:+03}:00"), 30)
    assert [fault.field for fault in error.value.errors] == ["start_time"]


LOCAL_PARTS = st.one_of(
    st.text(st.sampled_from("aZ9._+-@ \"'é"), max_size=70),
    st.sampled_from(["ada.lovelace", "Ada+1", "a" * 64, "Postmaster", "INFO", "..", "用户"]),
)
DOMAINS = st.one_of(
    st.lists(st.text(st.sampled_from("abZ9-_é㌖"), min_size=1, max_size=12), min_size=1, max_size=14).map(".".join),
    st.sampled_from(
        ["example.org", "EXAMPLE.Org", "example.org.", "localhost", "xn--fiqs8s.com", "[127.0.0.1]", "a.test"]
    ),
)


@given(LOCAL_PARTS, DOMAINS)
@example("b" * 15, ".".join(["㌖"] * 12 + ["a" * 8, "de"]))
@example("Postmaster", "example.org")
def test_an_email_is_judged_as_the_library_judges_it(local: str, domain: str) -> None:
    """Few e-mails are passed to the library as a whole, so the result must be the same."""
    text = f"{local}@{domain}"
    try:
        expected = validate_email(text.strip(), check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError:
        with pytest.raises(InvalidInput):
            clean_email("email", text)
    else:
        assert clean_email("email", text) == expected


@pytest.mark.parametrize("clean", [clean_name, clean_email])
def test_a_very_long_text_is_refused_before_it_is_normalised(
    clean: Callable[[str, str], str],
) -> None:
    """Time for normal form C grows with the square of the length: 64 KiB of combining marks take seconds."""
    with pytest.raises(InvalidInput):
        clean("field", "ada@example.org" + " " * 2000)


def test_no_email_becomes_another_one_in_ascii() -> None:
    """Unicode normal form C turns three characters into ASCII: the sign of Kelvin, a grave accent, a question mark."""
    odd = [chr(point) for point in range(0x80, sys.maxunicode) if unicodedata.normalize("NFC", chr(point)).isascii()]
    assert "\u212a" in odd
    for character in odd:
        for place in ("{}ate@example.org", "kat{}@example.org"):
            with pytest.raises(InvalidInput):
                clean_email("email", place.format(character))


def test_emails_are_compared_without_the_case_of_the_letters_a_to_z_alone() -> None:
    assert email_key("Ada.LOVELACE+x@example.org") == "ada.lovelace+x@example.org"
    kept = "\u0130\u00cb\u1e9e\u03a3\u017f\u212a@example.org"
    assert email_key(kept) == kept
