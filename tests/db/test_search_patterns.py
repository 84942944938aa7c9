"""What PostgreSQL finds by a pattern for search is what has the normal form that was typed."""

import unicodedata
from itertools import chain, islice
from typing import TypeAlias

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slotwise.db import search_patterns
from slotwise.db.search_patterns import MOST_LETTERS_WITH_LIGATURES, MOST_WORDS, containing, equal_to
from slotwise.domain.errors import InvalidInput
from slotwise.domain.fields import clean_name
from slotwise.domain.search_form import has_same_words, search_form

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

SEPARATORS = (
    " ",
    "/",
    "&",
    " & ",
    "\u00b7",
    "_",
    "+",
    "\\",
    "|",
    ",",
    "; ",
    ":",
    "*",
    "\u2022",
    "\u30fb",
    "\uff0f",
    "\uff06",
    "\uff65",
)
GYNECOLOGY = ("OB-GYN", "OBGYN", "OB GYN", "ob/gyn", "Ob&Gyn", "Ob.Gyn.", "OB\u2011GYN")
# The same as syllables, in half width, and as letters that stand alone.
KOREAN = ("김민수 각", "\uffa1\uffdc\uffb1\uffb1\uffdc\uffa4\uffb5\uffd3 \uffa1\uffc2\uffa1", "ㄱㅣㅁㅁㅣㄴㅅㅜ ㄱㅏㄱ")
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
    *(("Conan O Hara", typed) for typed in ("ohara", "conanohara", "O'Hara", "o\u2019hara", "O.Hara", "O-Hara")),
    *((stored, typed) for stored in ("St. John", "St.John", "St John") for typed in ("St.John", "St. John", "st john")),
    *(("Ann/Eve A\u00b7B", typed) for typed in ("Ann Eve", "Ann/Eve", "ann.eve", "A B", "ab")),
    *(
        (f"Dr. Who Ear{divider}Nose{divider}Throat", typed)
        for divider in SEPARATORS
        for typed in ("Ear Nose Throat", "throat ear/nose", "EarNoseThroat", f"Nose{divider}Ear")
    ),
    *((stored, typed) for stored in GYNECOLOGY for typed in GYNECOLOGY),
    *((stored, typed) for stored in KOREAN for typed in (*KOREAN, "\u1106\u1175\u11ab\u1109\u116e", "민")),
    ("مُ حَمَّد", "مُحَمَّد"),
    ("Anne-Marie Roy", "Annemarie"),
    ("Anne-Marie Roy", "Anne Marie"),
    ("Anne Marie Roy", "Anne\u2010Marie"),
    ("Hans Groß", "GROSS"),
    ("Hans Gross", "groß"),
    ("HANS GROẞ", "gros"),
    ("İpek Işık", "ipek isik"),
    ("Łukasz Sørensen", "Sorensen Lukasz"),
    ("Ｆｕｌｌｗｉｄｔｈ", "fullwidth"),
    *(("Zoë Müller", typed) for typed in ("mueller", "MUELLER", "Mueller Zoe", "mue")),
    *(("Zoë Mueller", typed) for typed in ("müller", "MÜLLER", "Mu\u0308ller", "mü")),
    ("Lars Sørensen", "soerensen"),
    ("Åse Krøger", "Kroeger Aase"),
    ("Ефим Ёлкин", "ЕЛКИН"),
    ("Νίκος", "ΝΙΚΟΣ"),
    ("مُحَمَّد", "محمد"),
    ("김민수", "\u1100\u1175\u11b7"),
    ("王小明", "小明"),
    ("efﬁe", "effie"),
    *(("F\ufb00\ufb00", typed) for typed in ("F\ufb00\ufb00", "fffff", "FFFFF", "fff\ufb00")),
    ("Fffff", "F\ufb00\ufb00"),
    *(("Henry Ⅷ", typed) for typed in ("henry viii", "ⅷ", "VIII Henry", "vi")),
    *(
        (stored, typed)
        for stored in ("Groß Mann", "Großmann", "GROSSMANN")
        for typed in ("Groß Mann", "großmann", "GROSSMANN")
    ),
    ("Room 7 ada@example.org", "ADA@EXAMPLE.ORG"),
    ("Zoë Müller zoe@example.org", "Muller ZOE@Example.org"),
    ("Jean anne-marie@müller.example", "ANNE-MARIE@MÜLLER.example"),
    ("Zoë zoe@example.org", "@exam"),
    *(
        ("Zoë zoe@example.org", pasted)
        for pasted in (
            "<zoe@example.org>",
            "zoe@example.org,",
            "Zoë (zoe@example.org);",
            "'zoe@example.org':",
            '"@exam"',
        )
    ),
    *(
        ("Zoë zoe@example.org", pasted)
        for pasted in ("\u201czoe@example.org\u201d", "zoe@example.org.", "[zoe@example.org]")
    ),
    ("Room ¾", "34"),
    ("Room 3/4", "\u00be"),
    ("Room \u00be", "3\u20444"),
    ("Andréas", "Andre\u0301"),
    ("x\u0302y", "x\u0302"),
    ("Zoella", "\u200bzoe\u200d"),
    ("ｶﾞｲﾄﾞ", "ガイ"),
    ("ガイド", "ｶﾞ"),
    ("葛\U000e0100城", "葛城"),
    ("葛城", "葛\U000e0100城"),
    ("\U0001d400\U0001d51e\U0001d7d9 \U0001f130", "aa1 a"),
    ("\U0001e900dlam", "\U0001e922dlam"),
    ("م\ufe77ح", "محَ"),
    ("a\uffe3b", "ab"),
    ("100%_sure", "100%"),
    ("%%%", "%"),
]
NOT_FOUND = [
    ("Zoë Müller", "zoex"),
    ("Joan Nolan", "ann"),
    ("Joan O Hara Smith", "oharas"),
    ("Johann Miller", "joe"),
    ("Zoe Muller", "mueller"),
    ("Andréas", "Andre\u0301."),
    ("Andréas", "\u201cdréas"),
    ("Zoë Müller", "zoe miller"),
    ("Iris \u0130@example.org", "i@example.org"),
    ("Zoe zoë@example.org", "zoe@example.org"),
    ("Zoe zoe@example.org", "<zoë@example.org>"),
    ("Name", "_ame"),
    ("Name", "%"),
    ("Name", "N.*e"),
    ("Name", "[a-z]"),
]

# Stored, asked for, and whether they are the same.
SAME = [
    ("Médecine générale", "MEDECINE GENERALE", True),
    ("Médecine générale", "générale médecine", True),
    ("Ear, Nose & Throat", "ear nose throat", True),
    ("Ear Nose Throat", "Ear, Nose & Throat", True),
    *(
        (f"Ear{divider}Nose{divider}Throat", f"Throat{other}Ear{other}Nose", True)
        for divider in " -\u2011"
        for other in ("-", " ", " \u2013 ", "\u2010")
    ),
    ("a a b", "a b b", False),
    ("a b", "a b b", False),
    ("b a b", "a b b", True),
    ("++", "--", False),
    *(
        (f"Ear{divider}Nose{divider}Throat", typed, True)
        for divider in SEPARATORS
        for typed in ("Ear Nose Throat", "throat, EAR & nose", "EarNoseThroat", "Ear.Nose.Throat")
    ),
    *((stored, typed, True) for stored in GYNECOLOGY for typed in GYNECOLOGY),
    *((stored, typed, True) for stored in KOREAN for typed in KOREAN),
    ("EarNose", "Nose-Ear", False),
    ("OB GYN", "OBGY", False),
    ("OBGYN", "OB GYN X", False),
    ("김민", "김미ㄴㅏ", False),
    ("Pediatric Cardiology", "Cardiology", False),
    ("Cardiology", "Pediatric Cardiology", False),
    ("Cardiology", "Cardio", False),
    ("C++", "++", False),
    ("++", "++", True),
]


async def matches(connection: Connection, pairs: list[tuple[str, str | None]]) -> list[bool]:
    """Whether PostgreSQL finds each text by its pattern. In one statement: a database for each pair takes a while."""
    rows = await connection.fetch(
        "SELECT t.stored ~ t.pattern AS found FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS t"
        " (stored, pattern, place) ORDER BY t.place",
        *zip(*pairs, strict=True),
    )
    return [row["found"] for row in rows]


async def test_a_name_is_found_as_it_is_shown_or_typed_and_nothing_else(connection: Connection) -> None:
    found = await matches(connection, [(stored, containing(typed)) for stored, typed in FOUND + NOT_FOUND])
    wrong = [pair for pair, is_found in zip(FOUND + NOT_FOUND, found, strict=True) if is_found is (pair in NOT_FOUND)]
    assert wrong == []


async def test_every_character_is_found_by_its_normal_form_and_by_itself(connection: Connection) -> None:
    """Of all scripts, every seventh that is not its own form, and every 99th."""
    several = chain(range(0x21, 0xD800, 99), range(0xE000, 0x20000, 99))
    changed = (
        c
        for c in chain(range(0x21, 0xAC00), range(0xF900, 0x20000), range(0x2F800, 0x2FA20))
        if search_form(chr(c)) != chr(c)
    )
    points = {*several, *islice(changed, 0, None, 7)}
    characters = [character for character in map(chr, points) if len(search_form(character)) == 1]
    found = await matches(connection, [(f"x{c}y", containing(f"x{search_form(c)}y")) for c in characters])
    assert [character for character, is_found in zip(characters, found, strict=True) if not is_found] == []


# Of all of Unicode, of Latin letters with accents, of letters that are more than one, and long ones of few letters.
NAMES = st.one_of(
    st.text(max_size=40),
    st.text(st.characters(max_codepoint=0x24F), max_size=40),
    st.text("aäßſIıİiﬁfﬀ\u2019'-. Łøœæ", max_size=20),
    st.text(max_size=2).map(lambda text: text * 60),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NAMES, NAMES)
async def test_any_text_is_a_pattern_that_finds_what_has_its_form(
    connection: Connection, name: str, typed: str
) -> None:
    try:
        stored = clean_name("name", name)
    except InvalidInput:
        return
    typed = typed.replace("\0", "")
    for text in (typed, stored, stored.swapcase(), unicodedata.normalize("NFD", stored)):
        row = await connection.fetchrow(
            "SELECT $1::text ~ $2::text, $1::text ~ $3::text", stored, containing(text), equal_to(text)
        )
        assert row is not None
        found, same = row
        words = search_form(stored).split()
        if (
            len(words) <= MOST_WORDS
            and sum(map(len, words)) <= MOST_LETTERS_WITH_LIGATURES
            and not _is_cut("".join(words))
        ):
            assert bool(same) is has_same_words(stored, text)
            assert found or not same or "@" in text


def _is_cut(letters: str) -> bool:
    """Whether so many ligatures follow one another that one of them may not be seen, as in five times f."""
    return any(end - start == search_patterns._LONGEST_RUN for start, end in search_patterns._runs(letters))


async def test_the_longest_text_is_searched_for(connection: Connection) -> None:
    for typed in ("ss" * 100, "ß é" * 50, "a " * 100, "\u0301" * 200, "x" * 200):
        assert await connection.fetchval("SELECT $1::text ~ $2::text", typed, containing(typed))
        assert await connection.fetchval("SELECT $1::text ~ $2::text", typed, equal_to(typed))
    for typed in ("ﬃ" * 200, "\ufdfa" * 200):
        await connection.fetchval("SELECT $1::text ~ $2::text", typed, containing(typed))
        await connection.fetchval("SELECT $1::text ~ $2::text", typed, equal_to(typed))


FEW_WORDS = st.lists(st.sampled_from(["a", "A,", "b", "b-a", "ss", "ß", "++", "-"]), min_size=1, max_size=5).map(
    " ".join
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(FEW_WORDS, FEW_WORDS), min_size=1, max_size=30))
async def test_the_pattern_and_the_comparison_of_words_agree(
    connection: Connection, pairs: list[tuple[str, str]]
) -> None:
    same = await matches(connection, [(stored, equal_to(asked)) for stored, asked in pairs])
    assert same == [has_same_words(stored, asked) for stored, asked in pairs]


# Texts of 200 characters at most: of letters that stand in many ligatures, or have many characters, in long and short
# words; of characters that are many letters; of e-mail addresses; of what has a meaning in a pattern.
LARGE = [
    " ".join(["s" * 16] * 12)[:200],
    *(letter * count for letter in "sfi1aex#" for count in (20, 40, 41, 200)),
    *(letters * count for letters in ("viii", "aeoeueaa", "aeiiiiii") for count in (2, 3, 5, 50)),
    *(" ".join([word] * 12) for word in ("ss", "sst", "fif", "ststss...", "iiii", "e" * 15, "\ufdfa" * 15)),
    *(
        "ﬃ" * 200,
        "\ufdfa" * 200,
        "ß é" * 66,
        "s-" * 100,
        "'s" * 100,
        "a " * 100,
        "\ufdfa " * 100,
        "ab@" * 66,
        "dzdž" * 10,
    ),
    "]^-[\\" * 40,
]
MOST_CHARACTERS = 71_000


async def test_the_pattern_of_no_text_is_large(connection: Connection) -> None:
    """Ten thousand doctors are compared with the largest in a tenth of a second."""
    patterns = {pattern for text in LARGE for pattern in (containing(text), equal_to(text)) if pattern is not None}
    assert max(map(len, patterns)) < MOST_CHARACTERS
    largest = max(patterns, key=len)
    counted = "SELECT count(*) FROM generate_series(1, 10000) AS d (i) WHERE 'Ear, Nose & Throat ' || d.i ~ $1"
    assert await connection.fetchval(counted, largest) == 0


async def test_every_character_in_a_set_stands_for_itself(connection: Connection) -> None:
    characters = [character for character in map(chr, range(0x20, 0x7F)) if search_form(character)]
    pairs = [(c, containing(t)) for c in map(chr, range(0x20, 0x7F)) for t in characters]
    expected = [search_form(c) == search_form(t) for c in map(chr, range(0x20, 0x7F)) for t in characters]
    assert await matches(connection, pairs) == expected


async def test_a_specialization_is_the_same_with_the_same_words(connection: Connection) -> None:
    same = await matches(connection, [(stored, equal_to(asked)) for stored, asked, _ in SAME])
    assert [case for case, is_same in zip(SAME, same, strict=True) if is_same is not case[2]] == []
    assert [has_same_words(stored, asked) for stored, asked, _ in SAME] == same
