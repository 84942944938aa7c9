"""The arrows between the layers: the contracts of import-linter hold, and each of them bites."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT

PROJECT = ROOT.parent.parent

VIOLATIONS = {
    "Between rooms of the use cases, arrows lead one way": (
        "services/core/audit.py",
        "import slotwise.services.booking.calendars",
    ),
    "Between rooms of the API, arrows lead one way": ("http/kit/paging.py", "import slotwise.http.booking.views"),
    "Between rooms of the pages, arrows lead one way": ("web/kit/times.py", "import slotwise.web.schedule.free_times"),
    "The desk's use cases need those of bookings only": (
        "services/desk/export.py",
        "import slotwise.services.schedule.doctors",
    ),
    "Privacy's use cases need those of accounts only": (
        "services/privacy/personal_data.py",
        "import slotwise.services.booking.search",
    ),
    "Batching, observability and server know no use case and no edge": (
        "batching/group_commit.py",
        "import slotwise.services.core.audit",
    ),
    "Edges use services, services use the database, everything may use the domain": (
        "db/pool.py",
        "import slotwise.services.schedule.slots",
    ),
    "The domain does no I/O and knows no framework": ("domain/fields.py", "import socket"),
    "The driver is imported only inside db/": ("services/schedule/slots.py", "import asyncpg"),
    "The web framework stays at the web's edge": ("services/schedule/slots.py", "import litestar"),
    "Settings are handed down, never fetched": ("services/schedule/slots.py", "import slotwise.settings"),
    "The server knows nothing of its benchmarks and of what tortures it": (
        "services/schedule/slots.py",
        "import bench",
    ),
}


def lint_imports(project: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=project,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(project / "src"), "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def copied_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(PROJECT / "pyproject.toml", folder)
    shutil.copytree(ROOT, folder / "src" / "slotwise", ignore=shutil.ignore_patterns("static", "__pycache__"))
    return folder


def test_every_import_contract_holds() -> None:
    done = lint_imports(PROJECT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(VIOLATIONS)} kept, 0 broken" in done.stdout


def test_an_import_against_the_arrows_breaks_its_contract(copied_project: Path) -> None:
    for path, line in VIOLATIONS.values():
        module = copied_project / "src" / "slotwise" / path
        module.write_text(f"{module.read_text()}\n{line}\n")
    done = lint_imports(copied_project)
    assert done.returncode != 0
    broken = {line.removesuffix(" BROKEN") for line in done.stdout.splitlines() if line.endswith(" BROKEN")}
    assert broken == set(VIOLATIONS), done.stdout
