"""The order of names in lists."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotwise.domain.name_order import ENGLISH, MAX_KEY_BYTES, UnknownLanguage, name_order


@pytest.mark.parametrize(
    ("language", "names"),
    [
        ("en", ["3rd floor", "Ada", "Ägidius", "Anna", "Oberg", "Öberg", "Zebra", "zoe", "Zoe", "Zoë", "Жуков"]),
        ("sv", ["Anna", "Oberg", "Zebra", "Ångström", "Ägidius", "Öberg"]),
        ("da", ["Anna", "Zebra", "Ægir", "Ørsted", "Ågård"]),
        ("de-u-co-phonebk", ["Muders", "Mueller", "Müller", "Muller"]),
        ("es", ["Nuria", "Ñandu", "Ochoa"]),
        ("lt", ["Yla", "Iva", "Jonas"]),
        ("eu", ["Ane", "Ñandu", "Zuriñe"]),
    ],
)
def test_names_stand_as_people_of_a_language_sort_them(language: str, names: list[str]) -> None:
    order = name_order(language)
    assert sorted(names, key=order.key) == names
    assert language in order.edition


MALFORMED = (
    "de_DE",
    "de_DE.UTF-8",
    "C.UTF-8",
    "en-",
    "-en",
    "de--DE",
    " en",
    "en\n",
    "de,en",
    "de@collation=phonebook",
    "de-u-co",
)
WITHOUT_THAT_ORDER = ("de-u-co-nonsense", "en-u-co-phonebk", "de-DE-u-co-trad", "de-u-kn-nonsense", "x-private")


@pytest.mark.parametrize(
    "tag", ["de-DE", "DE-de", "zh-Hant-TW", "es-419", "zh-u-co-stroke", "de-u-co-standard", "de-u-kn"]
)
def test_a_tag_of_any_form_that_has_rules_is_accepted(tag: str) -> None:
    assert tag in name_order(tag).edition


@pytest.mark.parametrize("language", ["", "xx", "root", "C", "ä", "x" * 1000, *MALFORMED, *WITHOUT_THAT_ORDER])
def test_a_language_without_rules_is_refused(language: str) -> None:
    with pytest.raises(UnknownLanguage):
        name_order(language)


@given(st.text(max_size=300), st.text(max_size=300))
def test_two_names_have_one_key_only_if_they_are_the_same_to_unicode(name: str, other: str) -> None:
    same = unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", other)
    assert (ENGLISH.key(name) == ENGLISH.key(other)) is same
    assert ENGLISH.key(name) == ENGLISH.key(unicodedata.normalize("NFD", name))


def test_a_key_of_any_length_fits_and_is_of_one_name_only() -> None:
    long = [ENGLISH.key("Ä각" * 5000 + end) for end in "ab"] + [ENGLISH.key("\ufdfa" * 200)]
    assert [len(key) for key in long] == [MAX_KEY_BYTES] * 3
    assert ENGLISH.key("A") < long[0] != long[1] < ENGLISH.key("B")
    assert len(ENGLISH.key("\u1e69" * 100)) > MAX_KEY_BYTES - 100, "shorter ones are not cut"
