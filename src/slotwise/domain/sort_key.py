"""The order of names for people: by letters, then by accents, then by case. Ä stands with A, not after Z."""

import unicodedata
from typing import TypeAlias

from slotwise.domain.search_form import search_form

SortKey: TypeAlias = tuple[str, str, str]


def sort_key(name: str) -> SortKey:
    """Compares as the Unicode collation algorithm does, in three levels, with punctuation ignored in the first.

    Within a script letters have the order of their code points, and scripts too. That is the order of most alphabets.
    Letters that one language alone puts elsewhere, as Swedish does with Ä, stand with their base letters.
    """
    return search_form(name), unicodedata.normalize("NFKD", name).casefold(), name.swapcase()
