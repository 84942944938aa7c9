"""The linters of OpenAPI find nothing in the API document."""

import json
import os
import shutil
from pathlib import Path

import pytest
from harness.watchdog import run

from tests.architecture.sources import ROOT as PACKAGE
from tests.clinic import PATIENCE_SECONDS
from tests.described import document

RULES = Path(__file__).parent / "linters"
PROGRAMS = PACKAGE.parents[1] / ".venv" / "linters" / "node_modules" / ".bin"

pytestmark = [
    pytest.mark.slow,  # Node reads hundreds of packages
    pytest.mark.skipif(
        shutil.which("node") is None or not PROGRAMS.exists(),
        reason="needs Node, and scripts/clients.py to have run with npm's registry",
    ),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Has the document beside the rules, which name it."""
    for name in ("redocly.yaml", ".redocly.lint-ignore.yaml", "spectral.yaml"):
        shutil.copy(RULES / name, tmp_path)
    (tmp_path / "openapi.json").write_text(json.dumps(document()))
    return tmp_path


def test_spectral_finds_nothing(folder: Path) -> None:
    found = linted(folder, "spectral", "lint --quiet --fail-severity=hint --format=json openapi.json")
    assert json.loads(found) == []


def test_redocly_finds_nothing_but_two_paths_that_never_meet(folder: Path) -> None:
    found = json.loads(linted(folder, "redocly", "lint --format=json openapi.json"))
    assert found["totals"] == {"errors": 0, "warnings": 0, "ignored": 1}, found["problems"]


def linted(folder: Path, program: str, words: str) -> str:
    ruleset = ["--ruleset", "spectral.yaml"] if program == "spectral" else ["--config", "redocly.yaml"]
    environment = os.environ | {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    done = run([str(PROGRAMS / program), *words.split(), *ruleset], PATIENCE_SECONDS, environment, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
