"""The words of the glossary are in use: each occurs in the code or on the pages."""

import re
from collections.abc import Iterable

import pytest

from tests.architecture.sources import ROOT
from tests.architecture.test_docs import ROOT as PROJECT
from tests.architecture.test_docs import table

GLOSSARY = PROJECT / "docs" / "glossary.md"
HEADINGS = ("## What people do", "## What the code speaks of")
# DESIGN.md, "Words": these must not be missing.
AT_LEAST = {"appointment", "booking", "client IP", "desk", "e-mail", "hold", "seat", "slot", "specialization", "time"}


def texts_in_use() -> str:
    files = (path for kind in ("py", "sql", "html") for path in ROOT.rglob(f"*.{kind}"))
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def unused(words: Iterable[str], text: str) -> list[str]:
    """Words that do not occur as people or identifiers write them: `dry run`, `dry_run`, `DryRun`, `dry runs`."""
    return [word for word in words if not _as_written(word).search(text)]


def _as_written(word: str) -> re.Pattern[str]:
    pieces = re.split(r"[ -]", word)
    return re.compile(rf"(?<![a-z]){'[ _-]?'.join(pieces)}(?:e?s|e?d)?(?![a-z])", re.IGNORECASE)


@pytest.mark.parametrize("heading", HEADINGS)
def test_every_word_is_in_use_and_explained_once_in_one_line(heading: str) -> None:
    rows = table(GLOSSARY, heading)
    words = [row[0] for row in rows]
    assert all(len(row) == 2 and row[1] for row in rows)
    assert words == sorted(set(words), key=str.lower)
    assert unused(words, texts_in_use()) == []


def test_the_words_of_the_design_are_there() -> None:
    words = {row[0] for heading in HEADINGS for row in table(GLOSSARY, heading)}
    assert words >= AT_LEAST


def test_a_word_that_nothing_uses_is_noticed() -> None:
    text = "def dry_run(): ...\nclass GroupCommit: ...\nslots"
    assert unused(["dry run", "group commit", "slot", "waitlist entry"], text) == ["waitlist entry"]
