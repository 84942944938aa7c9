r"""The normal form of text for search. Two texts that people take for the same one have the same form.

Unicode normal form KC, case folded, without accents and punctuation. So `Zoë`, `ZOE` and `Zoe` with a combining accent
are one, and so are `O\u2019Hara` and `O'Hara`.
"""

import re
import unicodedata
from functools import lru_cache

# What is ignored, as ranges inside a bracket expression of `re` and of PostgreSQL: punctuation, symbols, combining
# accents, invisible characters. Not the number sign, with which the desk searches for a booking's number.
IGNORED = (
    "\u0021\u0022\u0024\u0025\u0027-\u0029\u002e\u003c-\u0040\\[\\]\\^\u0060\u007b\u007d\u00a1-\u00a5\u00a7-\u00a9"
    "\u00ab-\u00b1\u00b4\u00b6\u00b8\u00bb\u00bf\u00d7\u00f7\u02b9-\u02df\u02e5-\u036f\u0374\u0375\u037a"
    "\u0384\u0385\u0482-\u0489\u055a-\u055f\u0589\u058b-\u058f\u0591-\u05bd\u05bf-\u05c7\u05f3\u05f4\u0600-\u060b"
    "\u060d-\u061a\u061c-\u061f\u0640\u064b-\u065f\u066a-\u066d\u0670\u06d4\u06d6-\u06ed\u0964\u0965\u115f\u1160"
    "\u180b-\u180f\u1ab0-\u1aff\u1dc0-\u1dff\u1fbd\u1fbf-\u1fc1\u1fcd-\u1fcf\u1fdd-\u1fdf\u1fed-\u1fef\u1ffd\u1ffe"
    "\u200b-\u200f\u2016-\u2021\u2024-\u2026\u202a-\u202e\u2030-\u205e\u2060-\u206f\u207a-\u207e"
    "\u208a-\u208e\u20a0-\u20ff\u2140\u2190-\u2211\u2213\u2214\u2216-\u2218\u221a-\u22c4\u22c6-\u245f\u2500-\u2bff"
    "\u2e00-\u2e16\u2e18\u2e19\u2e1b-\u2e39\u2e3c-\u2e3f\u2e41-\u2e5c\u2e5e-\u2e7f\u3002-\u3004\u3008-\u301b"
    "\u301d-\u3020\u302a-\u302f\u3036\u3099-\u309c\u3164\ufb29\ufc5e-\ufc63\ufcf2-\ufcf4\ufe00-\ufe30\ufe33-\ufe4f"
    "\ufe52\ufe53\ufe56\ufe57\ufe59-\ufe5f\ufe64-\ufe67\ufe69-\ufe72\ufe74\ufe76-\ufe7f\ufeff\uff01-\uff05"
    "\uff07-\uff09\uff0e\uff1c-\uff20\uff3b\uff3d\uff3e\uff40\uff5b\uff5d\uff5f-\uff63\uff9e-\uffa0\uffe0-\uffe6"
    "\uffe8-\uffee\U00010781\U00010782\U0001d6c1\U0001d6db\U0001d6fb\U0001d715\U0001d735\U0001d74f\U0001d76f"
    "\U0001d789\U0001d7a9\U0001d7c3\U000e0000-\U000e0fff"
)
# Between words, in the same notation.
BLANK = "\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
# As good as a blank, or as nothing: `Ear/Nose-Throat` has the same words as `Ear Nose Throat`.
SEPARATOR = (
    "\u0026\u002a-\\-\u002f\u003a\u003b\\\\\u005f\u007c\u007e\u00a6\u00b7\u037e\u0387\u058a\u05be\u060c\u061b\u1400"
    "\u1806\u2010-\u2015\u2022\u2023\u2027\u2212\u2215\u2219\u22c5\u2e17\u2e1a\u2e3a\u2e3b\u2e40\u2e5d\u3001"
    "\u301c\u3030\u30a0\u30fb\ufe31\ufe32\ufe50\ufe51\ufe54\ufe55\ufe58\ufe60-\ufe63\ufe68\uff06\uff0a-\uff0d\uff0f"
    "\uff1a\uff1b\uff3c\uff3f\uff5c\uff5e\uff64\uff65\U00010ead"
)
# Letters that Unicode does not take for another one with an accent, but people do.
_ALIKE = str.maketrans(dict(zip("øłđðħŧıæœþ", ["o", "l", "d", "d", "h", "t", "i", "ae", "oe", "th"], strict=True)))

# Longer texts are the same only if they are divided into the same words.
MOST_LETTERS_OF_ONE_WORD = 40

_IGNORED = re.compile(f"[{IGNORED}{SEPARATOR}]")
_DIVIDERS = re.compile(f"[{BLANK}{SEPARATOR}]+")
# In Unicode, a consonant at the end of a Korean syllable is another character than the same one at its beginning. Those
# of half width and those that stand alone have only one, which becomes that of the beginning.
_AT_BEGINNING = "\u1100\u1101\u1102\u1103\u1105\u1106\u1107\u1109\u110a\u110b\u110c\u110e\u110f\u1110\u1111\u1112"
_AT_END = "\u11a8\u11a9\u11ab\u11ae\u11af\u11b7\u11b8\u11ba\u11bb\u11bc\u11bd\u11be\u11bf\u11c0\u11c1\u11c2"
FINAL_CONSONANTS = dict(zip(_AT_BEGINNING, _AT_END, strict=True))
_FINAL = re.compile(f"(?<=[\u1100-\u1112][\u1161-\u1175])[{_AT_BEGINNING}](?![\u1161-\u1175])")


def search_form(text: str) -> str:
    """The words of a text in normal form, with one blank between them; empty if it has no letters or digits."""
    return " ".join(" ".join(map(_folded, _DIVIDERS.split(text))).split())


def has_same_words(text: str, other: str) -> bool:
    """Whether two texts consist of the same words, in any order, or of the same letters: `OBGYN` and `OB-GYN`."""
    return not forms_of_words(text).isdisjoint(forms_of_words(other))


@lru_cache(maxsize=1024)
def forms_of_words(text: str) -> frozenset[tuple[str, ...]]:
    """Two texts that share one of them have the same words: all words, sorted, and all letters as one word.

    A text without words has only itself.
    """
    words = search_form(text).split()
    letters = "".join(words)
    joined = [(letters,)] if len(letters) <= MOST_LETTERS_OF_ONE_WORD else []
    return frozenset([tuple(sorted(words)), *joined] if words else [(text,)])


def _folded(word: str) -> str:
    """Decomposed twice: before the case is folded, and what folding made. Then composed, as syllables of Korean are."""
    folded = unicodedata.normalize("NFKD", _IGNORED.sub("", word)).casefold()
    letters = _IGNORED.sub("", unicodedata.normalize("NFKD", folded).translate(_ALIKE))
    return unicodedata.normalize("NFC", _FINAL.sub(lambda found: FINAL_CONSONANTS[found[0]], letters))
