"""Regular expressions of PostgreSQL that find stored text by its normal form for search (`domain/search_form.py`).

The text is compared as it is stored: neither a column nor an index is kept for search, so a booking costs nothing more,
and nothing must be written again when Unicode changes. Each letter of the normal form becomes the set of all characters
that have it. So the result does not depend on the database's locale either.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import chain, pairwise

from slotwise.domain.errors import InvalidInput
from slotwise.domain.fields import clean_email, email_key
from slotwise.domain.search_form import (
    BLANK,
    FINAL_CONSONANTS,
    IGNORED,
    MOST_LETTERS_OF_ONE_WORD,
    SEPARATOR,
    search_form,
)

# More words and letters than these do not make a search narrower.
MOST_WORDS = 12
MOST_LETTERS = 200
# Texts of more letters are spelled without ligatures: each letter of a ligature stands in several ways to spell it.
MOST_LETTERS_WITH_LIGATURES = 40
_RANGES = re.compile(r"\\?(.)(?:-\\?(.))?", re.DOTALL)
_BLANKS = re.compile(f"[{BLANK}]+")
# Between two parts of a word, not at its ends.
_SEPARATORS = re.compile(f"(?<=[^{SEPARATOR}])[{SEPARATOR}]+(?=[^{SEPARATOR}])")
# Alphabets with cases, accents, compatible forms or ligatures. The last ones: Deseret to Vithkuqi, small Latin letters,
# Old Hungarian to Garay, Warang Citi, Medefaidrin, mathematical letters, small Cyrillic letters, Adlam, mathematical
# letters of Arabic, letters and words in squares, digits of displays, Chinese characters that stand in Unicode twice.
_ALPHABETS = (
    *(range(0x21, 0x3400), range(0xA640, 0xAC00), range(0xF900, 0xFFFE)),
    *(range(0x10400, 0x105C0), range(0x10780, 0x107C0), range(0x10C80, 0x10D90), range(0x118A0, 0x118E0)),
    *(range(0x16E40, 0x16E80), range(0x1D400, 0x1D800), range(0x1E030, 0x1E070), range(0x1E900, 0x1E944)),
    *(range(0x1EE00, 0x1EF00), range(0x1F100, 0x1F260), range(0x1FBF0, 0x1FBFA), range(0x2F800, 0x2FA20)),
)
# What surrounds an e-mail address in a letter or in a list of addresses.
_AROUND_EMAIL = "<>()[]{},;:.!?\\\"'\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb\u2039\u203a"
_LONGEST_LIGATURE = 4
# A run of letters that may be ligatures is spelled in all ways. A longer one is searched as several of them.
_LONGEST_RUN = 7
# How people write letters that their keyboard does not have: `Mueller` for `Müller`. No normal form has these letters,
# so each stands for itself and its capital.
_IN_TWO_LETTERS = {"ae": "äÄ", "oe": "öÖøØ", "ue": "üÜ", "aa": "åÅ"}
# These have a meaning inside a bracket expression.
_SPECIAL_IN_SET = frozenset("]^-[\\")
# In Korean, a syllable is one character.
_FIRST_SYLLABLE, _LAST_SYLLABLE = "\uac00", "\ud7a3"
_AT_BEGINNING = {final: first for first, final in FINAL_CONSONANTS.items()}
# A range of fewer characters than this is no shorter than the characters.
_SHORTEST_RANGE = 3
# PostgreSQL counts no further.
_MOST_TIMES = 255


def _set(points: Iterable[int]) -> str:
    """A bracket expression, with ranges where they are shorter."""
    ranges: list[list[int]] = []
    for point in sorted(points):
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return f"[{''.join(_range(first, last) for first, last in ranges)}]"


def _range(first: int, last: int) -> str:
    if last - first < _SHORTEST_RANGE:
        return "".join(_in_set(point) for point in range(first, last + 1))
    return f"{_in_set(first)}-{_in_set(last)}"


def _in_set(point: int) -> str:
    character = chr(point)
    return f"\\{character}" if character in _SPECIAL_IN_SET else character


def _class(*parts: str, but: bool = False) -> str:
    """One bracket expression of several in the notation of `domain/search_form.py`: it has fewer ranges than all."""
    ranges = (found for part in parts for found in _RANGES.finditer(part))
    points = chain.from_iterable(range(ord(found[1]), ord(found[2] or found[1]) + 1) for found in ranges)
    return ("[^" if but else "[") + _set({*points})[1:]


# What may stand between two letters of a word, between those of a word that is typed, and between words.
_NOTHING = f"{_class(IGNORED)}*"
_NO_BLANK = f"{_class(IGNORED, SEPARATOR)}*"
_EDGE = _class(IGNORED, SEPARATOR, BLANK)
_DIVIDER = _class(SEPARATOR, BLANK)
# A word, and a gap between two words.
_ANY_WORD = f"{_class(IGNORED, SEPARATOR, BLANK, but=True)}{_class(SEPARATOR, BLANK, but=True)}*"
_ANY_GAP = f"{_DIVIDER}{_EDGE}*"


def containing(text: str | None) -> str | None:
    """Matches a text that has every word of `text` in it, in any order; None for no text."""
    if not text:
        return None
    words = [(word, form) for word in _words(text) if (form := _form(word))]
    if not words:
        return re.escape(text)
    forms = _within_limits([form for _, form in words])
    ligatures = _are_few(forms)
    typed = [_typed(word, form, ligatures=ligatures) for (word, _), form in zip(words, forms, strict=False)]
    return typed[0] if len(typed) == 1 else "^" + "".join(f"(?=.*{word})" for word in typed)


@lru_cache(maxsize=256)
def equal_to(text: str | None) -> str | None:
    """Matches a text that has the same words as `text`, in any order; None for no text.

    That has each word at least as often as `text`, and no more words; or the same letters, however divided into words.
    """
    if not text:
        return None
    words = search_form(text).split()
    if not words:
        return f"^{re.escape(text)}$"
    counts = Counter(words)
    distinct = list(counts)
    forms = _within_limits(distinct)
    ligatures = _are_few(forms)
    each = "".join(
        f"(?=(?:(?:.*{_DIVIDER})?{_whole(word, form, ligatures=ligatures)}){_times(counts[word])})"
        for word, form in zip(distinct, forms, strict=False)
    )
    in_any_order = f"{each}{_EDGE}*{_ANY_WORD}(?:{_ANY_GAP}{_ANY_WORD}){_times(len(words) - 1)}(?:{_ANY_GAP})?$"
    letters = "".join(words)
    if len(letters) > MOST_LETTERS_OF_ONE_WORD:
        return f"^{in_any_order}"
    joined = _joined(letters, ligatures=len(letters) <= MOST_LETTERS_WITH_LIGATURES // 2)
    return f"^(?:{in_any_order}|{_EDGE}*{joined}{_EDGE}*$)"


def _joined(letters: str, *, ligatures: bool) -> str:
    """Matches the letters, however they are divided into words."""
    return _spelled(letters, f"{_EDGE}*", ligatures=ligatures, may_go_on=False)


def _times(count: int) -> str:
    return f"{{{count}}}" if count <= _MOST_TIMES else f"{{{_MOST_TIMES},}}"


def _within_limits(words: Sequence[str]) -> list[str]:
    """The first words, with the first letters of all of them."""
    left, within = MOST_LETTERS, []
    for word in words[:MOST_WORDS]:
        if left > 0:
            within.append(word[:left])
        left -= len(word)
    return within


def _are_few(forms: Iterable[str]) -> bool:
    return sum(map(len, forms)) <= MOST_LETTERS_WITH_LIGATURES


def _whole(word: str, form: str, *, ligatures: bool) -> str:
    """Matches the word, or what begins with the letters of it that are within the limits."""
    is_cut = form != word
    spelled = _NOTHING + _spelled(form, _NOTHING, ligatures=ligatures, may_go_on=is_cut)
    return spelled if is_cut else f"{spelled}{_NOTHING}(?:{_DIVIDER}|$)"


def _words(text: str) -> Iterator[str]:
    for word in _BLANKS.split(unicodedata.normalize("NFC", text)):
        yield from [word.strip(_AROUND_EMAIL)] if "@" in word else _SEPARATORS.split(word)


def _form(word: str) -> str:
    """In normal form, with a blank for punctuation inside the word: `O'Hara` finds `O Hara` too."""
    return search_form("".join(" " if _is_punctuation(character) else character for character in word))


def _typed(word: str, form: str, *, ligatures: bool) -> str:
    """A part of a word, or whole words without what is between them: `OBGYN` finds `OB GYN`.

    Punctuation at an end of a typed word says that the word has its end there.
    """
    if "@" in word:
        return _email(word)
    before = f"(?:^|{_EDGE})" if _is_punctuation(word[0]) else ""
    after = f"(?:{_EDGE}|$)" if _is_punctuation(word[-1]) and form == _form(word) else ""
    spellings = [form, *_other_spellings(word, form)] if ligatures else [form]
    ways = [_spelled(each, _NO_BLANK, ligatures=ligatures, may_go_on=not after) for each in spellings]
    part = before + _one_of(ways) + after
    letters = form.replace(" ", "")
    if len(letters) == 1 or not ligatures:
        return part
    joined = _joined(letters, ligatures=len(letters) <= MOST_LETTERS_WITH_LIGATURES // 2)
    return f"(?:{part}|(?:^|{_EDGE}){joined}(?:{_EDGE}|$))"


def _other_spellings(word: str, form: str) -> Iterator[str]:
    """`Müller` as `mueller`, and `mueller` with that letter, which is none of a normal form."""
    in_full, short = word, form
    for letters, characters in _IN_TWO_LETTERS.items():
        in_full = re.sub(f"[{characters}]", letters, in_full)
        short = short.replace(letters, characters[0])
    yield from dict.fromkeys(other for other in (_form(in_full), short) if other != form)


def _is_punctuation(character: str) -> bool:
    """Not an accent or an invisible character, which belongs to the letter before it."""
    return not search_form(character) and unicodedata.category(character)[0] in "PS"


def _email(word: str) -> str:
    """Matches an e-mail address, or a part of it, by `email_key`: what looks like it may be another person's."""
    try:
        key = email_key(clean_email("text", word))
    except InvalidInput:
        key = email_key(word)
    return "".join(f"[{c}{c.upper()}]" if c.isascii() and c.isalpha() else re.escape(c) for c in key)


def _spelled(form: str, between: str, *, ligatures: bool, may_go_on: bool) -> str:
    """Matches every spelling of a word in normal form, with `between` between its letters, and anything at its blanks.

    If the word may go on, its last letter may be the first of a ligature.
    """
    letters, gaps = form.replace(" ", ""), _gaps(form, between)
    spelled = []
    for start, end in _runs(letters) if ligatures else pairwise(range(len(letters) + 1)):
        run = _run(letters[start:end], gaps[start:end], is_last=may_go_on and end == len(letters))
        spelled += [gaps[start], run]
    return "".join(spelled[1:])


def _gaps(form: str, between: str) -> list[str]:
    """What may stand before each letter."""
    return [gap for word in form.split() for gap in [f"{_EDGE}*", *[between] * (len(word) - 1)]]


def _runs(letters: str) -> Iterator[tuple[int, int]]:
    """Where each piece of the word starts and ends, so that no ligature could stand for letters of two of them."""
    start = 0
    for end in range(1, len(letters) + 1):
        if end == len(letters) or end - start == _LONGEST_RUN or not _is_inside_a_ligature(letters, end):
            yield start, end
            start = end


def _is_inside_a_ligature(form: str, place: int) -> bool:
    return any(True for _ in _ligatures_across(form, place))


def _ligatures_across(form: str, place: int) -> Iterator[tuple[int, int]]:
    """Where each ligature that could stand for letters on both sides of a place starts and ends."""
    for begin in range(max(0, place - _LONGEST_LIGATURE + 1), place):
        for end in range(place + 1, min(len(form), begin + _LONGEST_LIGATURE) + 1):
            if form[begin:end] in _characters():
                yield begin, end


def _run(letters: str, gaps: Sequence[str], *, is_last: bool) -> str:
    """All ways to spell a run, letter by letter or with ligatures. The last one may go on after the word.

    Either no ligature stands across the middle of the run, or one of a few. One way after the other, it would be twice
    as long with every two letters.
    """
    if not letters:
        return ""
    if len(letters) == 1:
        return _set_of(letters, is_last=is_last)
    middle = len(letters) // 2
    ways = [
        _run(letters[:middle], gaps[:middle], is_last=False)
        + gaps[middle]
        + _run(letters[middle:], gaps[middle:], is_last=is_last)
    ]
    for begin, end in _ligatures_across(letters, middle):
        before = _run(letters[:begin], gaps[:begin], is_last=False)
        after = _run(letters[end:], gaps[end:], is_last=is_last)
        ligature = _set_of(letters[begin:end], is_last=is_last and not after)
        ways.append((before and before + gaps[begin]) + ligature + (after and gaps[end] + after))
    return _one_of(ways)


def _one_of(ways: Sequence[str]) -> str:
    return ways[0] if len(ways) == 1 else f"(?:{'|'.join(ways)})"


@lru_cache(maxsize=4096)
def _set_of(letters: str, *, is_last: bool) -> str:
    """The characters that have this normal form, or also those that begin with it."""
    if _FIRST_SYLLABLE <= letters <= _LAST_SYLLABLE:
        return _syllable(letters)
    known = _characters()
    found = set(known.get(letters, ())) | ({letters} if len(letters) == 1 else set())
    if is_last:
        found.update(chain.from_iterable(known[form] for form in known if form.startswith(letters)))
    return _set(map(ord, found))


def _syllable(syllable: str) -> str:
    """Matches a syllable of Korean as one character, or as letters of half width or that stand alone."""
    [first, vowel, *final] = list(unicodedata.normalize("NFD", syllable))
    letters = [_set_of(first, is_last=False), _set_of(vowel, is_last=False)]
    if final:
        without = _set([ord(unicodedata.normalize("NFC", first + vowel))])
        ends = [_set_of(letter, is_last=False) for letter in (final[0], _AT_BEGINNING.get(final[0])) if letter]
        letters = [f"(?:{without}|{''.join(letters)})", f"(?:{'|'.join(ends)})"]
    whole = _set(map(ord, [syllable, *_characters().get(syllable, ())]))
    return f"(?:{whole}|{''.join(letters)})"


@cache
def _characters() -> dict[str, list[str]]:
    """Characters by their normal form. Made by the first search, in a tenth of a second."""
    found = defaultdict(list)
    for character in map(chr, chain.from_iterable(_ALPHABETS)):
        form = search_form(character)
        if len(form) == 1 or _is_ligature(character, form):
            found[form].append(character)
    return dict(found) | {characters[0]: list(characters) for characters in _IN_TWO_LETTERS.values()}


def _is_ligature(character: str, form: str) -> bool:
    """Not those of Arabic, which has hundreds: they stand in old documents, and every name would have many of them."""
    return 1 < len(form) <= _LONGEST_LIGATURE and character.isalnum() and character < "\ufb50"
