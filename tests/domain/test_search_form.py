"""The normal form of text for search."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotwise.domain.search_form import has_same_words, search_form

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
    ("#7", "#7"),
    (" ... ", ""),
]


@pytest.mark.parametrize(("text", "form"), ALIKE)
def test_case_accents_punctuation_and_compatible_forms_make_no_difference(text: str, form: str) -> None:
    assert search_form(text) == form


@given(st.text(max_size=60))
def test_the_form_is_its_own_form_and_the_same_for_every_normal_form_of_a_text(text: str) -> None:
    form = search_form(text)
    assert search_form(form) == form
    for kind in ("NFC", "NFD"):
        assert search_form(unicodedata.normalize(kind, text)) == form


def test_words_are_the_same_in_any_order() -> None:
    assert has_same_words("Ear, Nose & Throat", "throat EAR nose")
    assert has_same_words("Ear-Nose-Throat", "Nose ear throat")
    assert not has_same_words("Cardiology", "Pediatric Cardiology")
