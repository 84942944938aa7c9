"""The normal form of text for search."""

import re
import unicodedata
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotwise.domain.search_form import BLANK, IGNORED, SEPARATOR, has_same_words, search_form

ALIKE = [
    ("Zoë", "zoe"),
    ("O\u2019Hara", "ohara"),
    ("O\u02bcHara", "ohara"),
    ("STRASSE Straße STRAẞE", "strasse strasse strasse"),
    ("\u0130pek Işık", "ipek isik"),
    ("Łukasz Ørsted Đặng", "lukasz orsted dang"),
    ("\uff21da \u2460", "ada 1"),
    ("ﬁne Æsop", "fine aesop"),
    ("ΣΊΣΥΦΟΣ", "σισυφοσ"),
    ("Ёлкин", "елкин"),
    ("\u1100\u1161\u11a8", "각"),
    ("Ear-Nose\u2013Throat x\u207b1", "ear nose throat x1"),
    ("Ear/Nose & Throat_A+B\u00b7C", "ear nose throat a b c"),
    ("\uffa1\uffdc\uffb1\uffb1\uffdc\uffa4\uffb5\uffd3 ㄱㅏㄱ \uffa1\uffc2\uffa1\uffc2", "김민수 각 가가"),
    ("ㅋㅋ 크ㅋㅋ", "\u110f\u110f 킄\u110f"),
    ("#7", "#7"),
    (" ... ", ""),
]


@pytest.mark.parametrize(("text", "form"), ALIKE)
def test_case_accents_punctuation_and_compatible_forms_make_no_difference(text: str, form: str) -> None:
    assert search_form(text) == form


def test_exactly_the_characters_without_a_form_are_ignored_or_divide_words() -> None:
    """Of all of Unicode but Chinese characters and Korean syllables."""
    parts = (range(0x09, 0x0E), range(0x20, 0x3400), range(0xA000, 0xAC00), range(0xE000, 0x17000))
    rare = (range(0x18D00, 0x20000), range(0x2F800, 0x2FA20), range(0xE0000, 0xE1000))
    characters = [*map(chr, chain(*parts, *rare))]
    left_out = set(re.findall(f"[{IGNORED}{BLANK}{SEPARATOR}]", "".join(characters)))
    assert left_out == {character for character in characters if not search_form(character)}


@given(st.text(max_size=60))
def test_the_form_is_its_own_form_and_the_same_for_every_normal_form_of_a_text(text: str) -> None:
    form = search_form(text)
    assert search_form(form) == form
    for kind in ("NFC", "NFD"):
        assert search_form(unicodedata.normalize(kind, text)) == form


def test_words_are_the_same_in_any_order() -> None:
    assert has_same_words("Ear, Nose & Throat", "throat EAR nose")
    assert has_same_words("Ear/Nose-Throat", "Nose ear throat")
    assert has_same_words("OBGYN", "Ob/Gyn")
    assert not has_same_words("OBGYN", "Gyn/Ob")
    assert not has_same_words("Cardiology", "Pediatric Cardiology")
