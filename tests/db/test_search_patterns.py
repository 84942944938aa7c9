"""What PostgreSQL finds by a pattern for search is what has the normal form that was typed."""

from typing import TypeAlias

import asyncpg
import pytest

from slotwise.db.search_patterns import containing, equal_to
from slotwise.domain.search_form import search_form

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# What is stored, and what is typed to find it.
FOUND = [
    ("Zoë Müller", "zoe\u0308"),
    ("Zoe\u0308 Müller", "ZOË"),
    ("Zoë Müller", "müller zoë"),
    ("Zoë Müller", "muller"),
    ("Conan O\u2019Hara", "o'hara"),
    ("Conan O'Hara", "O\u2019HARA"),
    ("Conan O'Hara", "ohara"),
    ("Conan O'Hara", "O Hara"),
    ("Anne-Marie Roy", "Anne Marie"),
    ("Anne Marie Roy", "Anne\u2010Marie"),
    ("Hans Groß", "GROSS"),
    ("Hans Gross", "groß"),
    ("HANS GROẞ", "gros"),
    ("İpek Işık", "ipek isik"),
    ("Łukasz Sørensen", "Sorensen Lukasz"),
    ("Ｆｕｌｌｗｉｄｔｈ", "fullwidth"),
    ("Ефим Ёлкин", "ЕЛКИН"),
    ("Νίκος", "ΝΙΚΟΣ"),
    ("مُحَمَّد", "محمد"),
    ("김민수", "\u1100\u1175\u11b7"),
    ("王小明", "小明"),
    ("efﬁe", "effie"),
    ("Room 7 ada@example.org", "ADA@EXAMPLE.ORG"),
    ("100%_sure", "100%"),
    ("%%%", "%"),
]
NOT_FOUND = [
    ("Zoë Müller", "zoex"),
    ("Zoë Müller", "zoe miller"),
    ("Name", "_ame"),
    ("Room 100", "Room_100"),
    ("Name", "%"),
    ("Name", "N.*e"),
    ("Name", "[a-z]"),
]


@pytest.mark.parametrize(("stored", "typed"), FOUND)
async def test_a_name_is_found_as_it_is_shown_or_typed(connection: Connection, stored: str, typed: str) -> None:
    assert await connection.fetchval("SELECT $1::text ~ $2::text", stored, containing(typed))


@pytest.mark.parametrize(("stored", "typed"), NOT_FOUND)
async def test_nothing_else_is_found(connection: Connection, stored: str, typed: str) -> None:
    assert not await connection.fetchval("SELECT $1::text ~ $2::text", stored, containing(typed))


async def test_every_character_is_found_by_its_normal_form_and_by_itself(connection: Connection) -> None:
    """Of Latin, Greek, Cyrillic, Hebrew, Arabic, Indic scripts, Georgian and Kana, every seventh."""
    characters = [character for character in map(chr, range(0x21, 0x3400, 7)) if len(search_form(character)) == 1]
    lost = await connection.fetch(
        "SELECT t.stored FROM unnest($1::text[], $2::text[]) AS t (stored, pattern) WHERE NOT t.stored ~ t.pattern",
        [f"x{character}y" for character in characters],
        [containing(f"x{search_form(character)}y") for character in characters],
    )
    assert [row["stored"] for row in lost] == []


async def test_the_longest_text_is_searched_for(connection: Connection) -> None:
    for typed in ("ss" * 100, "ß é" * 50, "a " * 100, "\u0301" * 200, "x" * 200):
        assert await connection.fetchval("SELECT $1::text ~ $2::text", typed, containing(typed))
        assert await connection.fetchval("SELECT $1::text ~ $2::text", typed, equal_to(typed))
    for typed in ("ﬃ" * 200, "\ufdfa" * 200):
        await connection.fetchval("SELECT $1::text ~ $2::text", typed, containing(typed))
        await connection.fetchval("SELECT $1::text ~ $2::text", typed, equal_to(typed))


@pytest.mark.parametrize(
    ("stored", "asked", "same"),
    [
        ("Médecine générale", "MEDECINE GENERALE", True),
        ("Médecine générale", "générale médecine", True),
        ("Ear, Nose & Throat", "ear nose throat", True),
        ("Ear Nose Throat", "Ear, Nose & Throat", True),
        ("Pediatric Cardiology", "Cardiology", False),
        ("Cardiology", "Pediatric Cardiology", False),
        ("Cardiology", "Cardio", False),
        ("C++", "++", False),
        ("++", "++", True),
    ],
)
async def test_a_specialization_is_the_same_with_the_same_words(
    connection: Connection, stored: str, asked: str, same: bool
) -> None:
    assert await connection.fetchval("SELECT $1::text ~ $2::text", stored, equal_to(asked)) is same
