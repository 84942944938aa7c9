"""The security page names tests: each of them exists, and every claim of the table names one or says why not."""

import ast
import re
from functools import cache

from tests.architecture.test_docs import ROOT, table

PAGE = ROOT / "docs" / "security.md"
ASVS = "## OWASP ASVS 5.0.0, level 2"


def named_tests(text: str) -> list[tuple[str, str]]:
    """Every `file::test` between backticks."""
    return re.findall(r"`(tests/[\w./]+\.py)::(\w+)`", text)


@cache
def names_in(path: str) -> frozenset[str]:
    file = ROOT / path
    if not file.exists():
        return frozenset()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def missing_tests(text: str) -> list[str]:
    return [f"{path}::{name}" for path, name in named_tests(text) if name not in names_in(path)]


def test_every_test_that_the_page_names_exists() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert len(named_tests(text)) > 80
    assert not missing_tests(text)


def test_a_test_that_is_not_there_is_noticed() -> None:
    planted = "`tests/nowhere.py::test_it` and `tests/architecture/test_security_page.py::test_that_is_not_there`"
    assert len(missing_tests(planted)) == 2


def test_what_looks_like_a_test_is_read_as_one() -> None:
    """A slip of the pen must not take a name out of the check."""
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("::") == len(named_tests(text))


def test_every_threat_names_its_test() -> None:
    threats = table(PAGE, "## Threat model")
    assert len(threats) > 15
    for threat, _, shown in threats:
        assert named_tests(shown) or shown == "the same", threat


def test_each_requirement_of_the_standard_has_one_row_in_its_order() -> None:
    ids = [name for row in table(PAGE, ASVS) for name in row[0].split(", ")]
    assert all(re.fullmatch(r"V\d+\.\d+\.\d+", name) for name in ids), ids
    assert ids == sorted(set(ids), key=lambda name: [int(part) for part in name[1:].split(".")])


def test_each_requirement_is_said_to_be_met_or_not() -> None:
    rows = table(PAGE, ASVS)
    assert {row[2] for row in rows} == {"yes", "part", "no", "proxy"}
    assert sum(bool(named_tests(row[3])) for row in rows if row[2] == "yes" and len(row) > 3) > 60
