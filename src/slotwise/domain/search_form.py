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
    "\u0021\u0022\u0024-\u002c\u002e\u002f\u003a-\u0040\\[-\u0060\u007b-\u007e\u00a1-\u00a9\u00ab-\u00b1\u00b4"
    "\u00b6-\u00b8\u00bb\u00bf\u00d7\u00f7\u02b9-\u02df\u02e5-\u036f\u0374\u0375\u037a\u037e\u0384\u0385\u0387"
    "\u0482-\u0489\u055a-\u055f\u0589\u058b-\u058f\u0591-\u05bd\u05bf-\u05c7\u05f3\u05f4\u0600-\u061f\u0640"
    "\u064b-\u065f\u066a-\u066d\u0670\u06d4\u06d6-\u06ed\u0964\u0965\u115f\u1160\u180b-\u180f\u1ab0-\u1aff"
    "\u1dc0-\u1dff\u1fbd\u1fbf-\u1fc1\u1fcd-\u1fcf\u1fdd-\u1fdf\u1fed-\u1fef\u1ffd\u1ffe\u200b-\u200f\u2016-\u2027"
    "\u202a-\u202e\u2030-\u205e\u2060-\u206f\u207a-\u207e\u208a-\u208e\u20a0-\u20ff\u2140\u2190-\u2211\u2213-\u245f"
    "\u2500-\u2bff\u2e00-\u2e16\u2e18\u2e19\u2e1b-\u2e39\u2e3c-\u2e3f\u2e41-\u2e5c\u2e5e-\u2e7f\u3001-\u3004"
    "\u3008-\u301b\u301d-\u3020\u302a-\u302f\u3036\u3099-\u309c\u30fb\u3164\ufb29\ufc5e-\ufc63\ufcf2-\ufcf4"
    "\ufe00-\ufe30\ufe33-\ufe57\ufe59-\ufe62\ufe64-\ufe72\ufe74\ufe76-\ufe7f\ufeff\uff01-\uff0c\uff0e\uff0f"
    "\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\uff9e-\uffa0\uffe0-\uffe6\uffe8-\uffee\U00010781\U00010782\U0001d6c1"
    "\U0001d6db\U0001d6fb\U0001d715\U0001d735\U0001d74f\U0001d76f\U0001d789\U0001d7a9\U0001d7c3\U000e0000-\U000e0fff"
)
# Between words, in the same notation: `Ear-Nose-Throat` has the same words as `Ear Nose Throat`.
BLANK = "\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
DASH = (
    "\\-\u058a\u05be\u1400\u1806\u2010-\u2015\u2212\u2e17\u2e1a\u2e3a\u2e3b\u2e40\u2e5d\u301c\u3030\u30a0\ufe31\ufe32"
    "\ufe58\ufe63\uff0d\U00010ead"
)
# Letters that Unicode does not take for another one with an accent, but people do.
_ALIKE = str.maketrans(dict(zip("øłđðħŧıæœþ", ["o", "l", "d", "d", "h", "t", "i", "ae", "oe", "th"], strict=True)))

_IGNORED = re.compile(f"[{IGNORED}{DASH}]")
_DIVIDERS = re.compile(f"[{BLANK}{DASH}]+")


def search_form(text: str) -> str:
    """The words of a text in normal form, with one blank between them; empty if it has no letters or digits."""
    return " ".join(" ".join(map(_folded, _DIVIDERS.split(text))).split())


def has_same_words(text: str, other: str) -> bool:
    """Whether two texts consist of the same words, in any order."""
    return words_in_order(text) == words_in_order(other)


@lru_cache(maxsize=1024)
def words_in_order(text: str) -> tuple[str, ...]:
    """The words of a text in normal form, sorted: equal if two texts have the same words. Without words, the text."""
    return tuple(sorted(search_form(text).split())) or (text,)


def _folded(word: str) -> str:
    """Decomposed twice: before the case is folded, and what folding made. Then composed, as syllables of Korean are."""
    folded = unicodedata.normalize("NFKD", _IGNORED.sub("", word)).casefold()
    letters = unicodedata.normalize("NFKD", folded).translate(_ALIKE)
    return unicodedata.normalize("NFC", _IGNORED.sub("", letters))
