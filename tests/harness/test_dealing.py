"""How tests are distributed to processes, and which tests `make test` leaves to `.ci/run`."""

import re
from pathlib import Path

from tests.architecture.sources import ROOT as PACKAGE
from tests.conftest import APART, GROUPS, scope_of

PROJECT = PACKAGE.parents[1]


def test_the_files_that_share_something_or_are_spread_exist() -> None:
    named = [path for paths in GROUPS.values() for path in paths] + list(APART)
    assert [path for path in named if not (PROJECT / path).exists()] == []


def test_a_file_goes_to_one_process_with_what_it_shares_and_mutants_go_to_all() -> None:
    one, other = "tests/http/schedule/test_slots.py::test_one", "tests/http/booking/test_bookings.py::test_other"
    assert scope_of(one) == scope_of(other) == "a server without a sweeper"
    assert scope_of("tests/http/accounts/test_auth.py::test_one[a::b]") == "tests/http/accounts/test_auth.py"
    assert scope_of(f"{APART[0]}::test_one[a]") != scope_of(f"{APART[0]}::test_one[b]")


def test_what_runs_only_in_ci_says_why() -> None:
    """In a comment on its line or on the one before, or as the mark's `reason`."""
    silent = [
        f"{path.relative_to(PROJECT)}:{number}"
        for path in (PROJECT / "tests").rglob("*.py")
        for number, lines in enumerate(_pairs_of_lines(path), 1)
        if "mark.slow" in lines[1] and path != Path(__file__) and not re.search("#|reason=", "".join(lines))
    ]
    assert silent == []


def _pairs_of_lines(path: Path) -> list[tuple[str, str]]:
    """Each line with the one before."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return list(zip(["", *lines], lines, strict=False))
