"""Rooms have the same names in every layer, and the documents name every package."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT

PROJECT = ROOT.parent.parent
ROOMS = {"booking", "schedule", "accounts", "privacy", "desk"}
# Beside the rooms: what the rooms of a layer share, and what is no room.
LAYERS = {
    "services": {"core"},
    "http": {"kit", "static"},
    "web": {"kit", "static", "templates"},
    "web/templates": {"kit"},
    "sql": {"core", "database", "functions", "migrations"},
}
TESTED_LAYERS = {"services", "http", "web"}


def rooms_of(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir() and path.name != "__pycache__"}


def strangers(found: Iterable[str], beside: Iterable[str]) -> set[str]:
    return set(found) - ROOMS - set(beside)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_has_no_other_rooms_than_the_rest(layer: str) -> None:
    assert not strangers(rooms_of(ROOT / layer), LAYERS[layer])


@pytest.mark.parametrize("layer", sorted(TESTED_LAYERS))
def test_tests_have_the_rooms_of_what_they_test(layer: str) -> None:
    assert rooms_of(PROJECT / "tests" / layer) <= rooms_of(ROOT / layer) - {"static", "templates"}


def test_every_room_is_in_every_layer_that_needs_it() -> None:
    assert rooms_of(ROOT / "services") >= ROOMS
    assert rooms_of(ROOT / "web") >= ROOMS
    assert rooms_of(ROOT / "sql") >= ROOMS
    assert rooms_of(ROOT / "http") >= ROOMS - {"desk"}  # the desk's operations are those of bookings


def test_a_room_of_another_name_is_noticed() -> None:
    assert strangers({"booking", "kit", "appointments"}, {"kit"}) == {"appointments"}


def test_no_use_case_and_no_page_stands_outside_the_rooms() -> None:
    assert {path.name for path in (ROOT / "services").glob("*.py")} == {"__init__.py"}
    assert {path.name for path in (ROOT / "web").glob("*.py")} == {"__init__.py", "parts.py", "routes.py"}
    assert not list((ROOT / "web" / "templates").glob("*.html"))


def packages() -> list[str]:
    """Such as `batching/`, and the rooms as `services/booking/` in one of the layers."""
    return sorted(f"{path.name}/" for path in ROOT.iterdir() if (path / "__init__.py").exists())


@pytest.mark.parametrize("page", ["README.md", "docs/SYSTEM_DESIGN.md"])
def test_a_page_names_every_package_and_room(page: str) -> None:
    text = (PROJECT / page).read_text(encoding="utf-8")
    assert [package for package in packages() if package not in text] == []
    assert [room for room in sorted(ROOMS) if room not in text] == []
