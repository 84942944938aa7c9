"""The order of names."""

import pytest

from slotwise.domain.sort_key import sort_key


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Ägidius", "Anna"),
        ("Émile", "Zoe"),
        ("Zoe", "Zoë"),
        ("zoe", "Zoe"),
        ("Øberg", "Ohm"),
        ("O\u2019Hara", "Oheim"),
        ("Müller", "Mullert"),
        ("Ann Z", "Anna A"),
        ("3rd floor", "Ada"),
        ("Zoe", "Жуков"),
        ("Ёлкин", "Жуков"),
    ],
)
def test_names_stand_as_people_sort_them(before: str, after: str) -> None:
    assert sort_key(before) < sort_key(after)


def test_names_that_differ_have_different_keys() -> None:
    names = ["Zoe", "zoe", "Zoë", "Zo\u00e9", "Z.oe", "Zoe ", "ZOE"]
    assert len({sort_key(name) for name in names}) == len(names)
