"""Generators make typed clients from the API document, and these pass a whole visit."""

import os
import shutil
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest
from harness.watchdog import run

from tests.architecture.sources import ROOT as PACKAGE
from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, PATIENCE_SECONDS, Clinic

HERE = Path(__file__).parent
PROJECT = PACKAGE.parents[1]
CACHE = PROJECT / ".venv" / "clients-mypy"
PACKAGES = PROJECT / ".venv" / "clients" / "node_modules"
PROGRAMS = PACKAGES / ".bin"
NODE = shutil.which("node")


def succeeds(command: Sequence[str | Path], folder: Path) -> None:
    environment = os.environ | {"MYPYPATH": str(folder), "PYTHONPATH": str(folder)}
    done = run([str(word) for word in command], PATIENCE_SECONDS, environment, folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def folder(clinic: Clinic, tmp_path: Path) -> Path:
    """Has the document."""
    document = clinic.http.get("/api-docs/openapi.json")
    (tmp_path / "openapi.json").write_bytes(document.content)
    return tmp_path


def arguments(clinic: Clinic) -> list[str]:
    """Of a flow: the server, an account, and the name of a doctor who has a slot with three seats."""
    name = f"Dr. {uuid.uuid4().hex}"
    doctor = clinic.http.post("/api/doctors", json={"name": name}, headers=clinic.admin).json()
    clinic.slot(seats=3, doctorId=doctor["id"])
    return [clinic.server.url, ADMIN_EMAIL, ADMIN_PASSWORD, name]


@pytest.mark.slow(reason="a client is made and its types are checked")
def test_a_python_client_passes_a_whole_visit_and_a_strict_check_of_types(clinic: Clinic, folder: Path) -> None:
    (folder / "config.yml").write_text("post_hooks: []\n")
    shutil.copy(HERE / "python_flow.py", folder)
    made = (
        "generate --path openapi.json --output-path slotwise_client --meta none --config config.yml --fail-on-warning"
    )
    succeeds([sys.executable, "-m", "openapi_python_client", *made.split()], folder)
    checked = ["--strict", "--config-file=", f"--cache-dir={CACHE}", "python_flow.py"]
    succeeds([sys.executable, "-m", "mypy", *checked], folder)
    succeeds([sys.executable, "python_flow.py", *arguments(clinic)], folder)


@pytest.mark.skipif(
    NODE is None or not PROGRAMS.exists(), reason="needs Node, and scripts/clients.py to have run with npm's registry"
)
def test_a_typescript_client_passes_a_whole_visit_and_a_strict_check_of_types(clinic: Clinic, folder: Path) -> None:
    for name in ("typescript_flow.ts", "tsconfig.json", "process.d.ts", "package.json"):
        shutil.copy(HERE / name, folder)
    (folder / "node_modules").symlink_to(PACKAGES)
    succeeds([PROGRAMS / "openapi-typescript", "openapi.json", "-o", "schema.d.ts"], folder)
    succeeds([PROGRAMS / "tsc", "-p", "."], folder)
    succeeds([NODE or "", "typescript_flow.js", *arguments(clinic)], folder)
