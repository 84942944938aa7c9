"""Every operation and form is part of the load, or of a list that says why not."""

import re

from torture.roads import DRIVEN, LEFT_OUT

from tests.described import document
from tests.web.visiting import routes


def ways_in() -> set[str]:
    """Each operation of the OpenAPI document by its id, and each form of the pages by its method and path."""
    operations = {way["operationId"] for ways in document()["paths"].values() for way in ways.values()}
    return operations | {route.rstrip("/") for route in routes() if route.startswith("POST ")}


def test_every_way_in_is_driven_or_left_out_for_a_reason() -> None:
    driven = {road.name for road in DRIVEN}
    assert not driven & set(LEFT_OUT), "driven, and left out"
    missing = ways_in() - driven - set(LEFT_OUT)
    assert not missing, "drive these in torture/, or list them in torture/roads.py with the reason"


def test_what_is_driven_or_left_out_exists() -> None:
    gone = ({road.name for road in DRIVEN} | set(LEFT_OUT)) - ways_in()
    assert not gone, "take these out of torture/roads.py"


def test_a_driven_road_has_the_path_that_the_program_answers() -> None:
    paths = {
        way["operationId"]: (method.upper(), _without_names(path))
        for path, ways in document()["paths"].items()
        for method, way in ways.items()
    }
    driven = {road.name: (road.method, _without_names(road.path)) for road in DRIVEN if road.name in paths}
    assert driven
    assert driven.items() <= paths.items()


def _without_names(path: str) -> str:
    """Clients and server have each their own spelling of a parameter's name."""
    return re.sub(r"{\w+}", "{}", path)


def test_every_reason_says_something() -> None:
    assert all(len(reason.split()) >= 5 for reason in LEFT_OUT.values())
