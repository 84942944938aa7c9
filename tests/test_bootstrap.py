"""`make` and `scripts/bootstrap.py`, which a newcomer runs first, and what is told about tests that cannot run."""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "bootstrap.py"


@pytest.fixture(scope="module")
def bootstrap() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_for_an_old_python_the_message_says_how_to_get_a_newer_one(bootstrap: ModuleType) -> None:
    problem = bootstrap.version_problem((3, 9, 2))
    assert "3.11 or newer; this is Python 3.9." in problem
    for remedy in ("apt install python3.12 python3.12-venv", "brew install python@3.12", "make run PYTHON="):
        assert remedy in problem


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 13, 1), (4, 0, 0)])
def test_a_python_from_3_11_on_will_do(bootstrap: ModuleType, version: tuple[int, int, int]) -> None:
    assert bootstrap.version_problem(version) is None


def test_for_a_python_without_ensurepip_the_message_names_the_exact_package(bootstrap: ModuleType) -> None:
    problem = bootstrap.venv_problem((3, 12, 4), ["ensurepip"])
    assert "lacks ensurepip" in problem
    assert "apt install python3.12-venv" in problem


def test_a_missing_standard_module_is_noticed(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    assert bootstrap.missing_modules() == ["ensurepip"]


def test_a_failed_download_is_explained_by_the_network(bootstrap: ModuleType) -> None:
    pip_said = (
        "NewConnectionError: Failed to establish a new connection: [Errno -3] Temporary failure in name resolution"
    )
    assert "check the network" in bootstrap.explain("could not install uv", pip_said)
    assert "check the network" not in bootstrap.explain(
        "could not install uv", "Resolved 9 packages\nNo space left on device"
    )


def test_a_certificate_that_is_not_trusted_is_explained(
    bootstrap: ModuleType,
) -> None:
    for said in (
        "SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed')",
        "error sending request for url: invalid peer certificate: UnknownIssuer",
    ):
        assert "SSL_CERT_FILE=" in bootstrap.explain("could not install uv", said)
    assert "SSL_CERT_FILE=" not in bootstrap.explain("could not install uv", "Temporary failure in name resolution")


def test_pip_and_uv_trust_the_systems_certificates_unless_others_are_set(bootstrap: ModuleType) -> None:
    environment: dict[str, str] = {"SSL_CERT_FILE": "/company.pem"}
    bootstrap.trust_system(environment)
    assert environment == {"SSL_CERT_FILE": "/company.pem", "UV_SYSTEM_CERTS": "true", "PIP_CERT": "/company.pem"}
    told = {"UV_SYSTEM_CERTS": "false", "PIP_CERT": "/other.pem", "SSL_CERT_FILE": "/company.pem"}
    environment = dict(told)
    bootstrap.trust_system(environment)
    assert environment == told


def test_a_system_without_certificates_leaves_pip_and_uv_the_ones_they_bring(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "STORES", ())
    monkeypatch.setattr(sys, "platform", "linux")
    environment: dict[str, str] = {}
    bootstrap.trust_system(environment)
    assert environment == {}


def test_an_environment_with_the_development_tools_also_serves_without_them(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "runs", lambda *_: True)
    made, wanted = bootstrap.wanted_stamp(dev=True), bootstrap.wanted_stamp(dev=False)
    assert bootstrap.up_to_date(made, wanted)
    assert not bootstrap.up_to_date(wanted, made)


def test_an_environment_that_was_moved_or_has_another_lock_file_is_created_again(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "runs", lambda *_: True)
    wanted = bootstrap.wanted_stamp(dev=False)
    assert not bootstrap.up_to_date({**wanted, "root": "/elsewhere"}, wanted)
    assert not bootstrap.up_to_date({**wanted, "inputs": "other"}, wanted)
    assert not bootstrap.up_to_date({}, wanted)


def test_what_the_server_imports_is_compiled_even_if_the_environment_forbids_to_write_bytecode(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(bootstrap, "SERVER", "import small")
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    (tmp_path / "small.py").touch()
    bootstrap.compile_server()
    assert len(list(tmp_path.rglob("small.*.pyc"))) == 1


def test_the_script_keeps_to_the_grammar_of_python_3_5() -> None:
    ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 5))


def test_uv_is_pinned_by_hash_and_names_no_index() -> None:
    requirements = (ROOT / "scripts" / "uv.txt").read_text()
    assert re.search(r"^uv==[\d.]+ \\$", requirements, re.MULTILINE)
    assert requirements.count("--hash=sha256:") > 10
    assert "index" not in requirements
    assert "://" not in requirements


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):(?!=)", makefile, re.MULTILINE))
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = {line.split()[1] for line in said.splitlines() if line.startswith("  make ")}
    assert listed == targets


def test_make_says_what_to_install_when_there_is_no_python() -> None:
    done = subprocess.run(
        ["make", "setup", "PYTHON=no-such-python"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "apt install python3 python3-venv" in done.stderr


def test_without_node_it_is_told_what_is_not_tested(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts/clients.py"), "clients", "linters"]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.splitlines() == [
        "npm: NOT TESTED: the TypeScript client. This needs Node and npm's registry.",
        "npm: NOT TESTED: the API document with the linters of OpenAPI. This needs Node and npm's registry.",
    ]


def test_ci_ends_with_what_was_not_tested(tmp_path: Path) -> None:
    """A stand-in for `make` says it at its beginning, and one for `scripts/postgres.py` between the runs of `make`."""
    told = "printf 'npm: NOT TESTED: a client.\\nall is well\\n' >&2"
    done = _ci(tmp_path, {"bin/make": told, ".venv/bin/python": "echo 'NOT TESTED: a 16.' >&2"})
    assert done.returncode == 0
    assert done.stdout.splitlines()[-2:] == ["NOT TESTED: a 16.", "npm: NOT TESTED: a client."]


def test_ci_names_the_jobs_for_which_a_slow_machine_has_no_time(tmp_path: Path) -> None:
    """A stand-in for `make` takes an hour by a stand-in for the clock."""
    clock = tmp_path / "clock"
    clock.write_text("0")
    done = _ci(
        tmp_path, {"bin/make": f"echo $1; echo 3600 >{clock}", "bin/date": f"cat {clock}", ".venv/bin/python": ""}
    )
    assert done.returncode == 0
    assert "NOT TESTED: the whole suite; the machine is too slow" in done.stdout.splitlines()
    assert done.stdout.splitlines().count("check") == 1
    assert "\ntest\n" not in done.stdout


def _ci(folder: Path, stand_ins: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """`.ci/run` with shell scripts in place of programs."""
    (folder / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", folder / ".ci" / "run")
    for name, script in stand_ins.items():
        stand_in = folder / name
        stand_in.parent.mkdir(parents=True, exist_ok=True)
        stand_in.write_text(f"#!/bin/sh\n{script}\n")
        stand_in.chmod(0o755)
    environment = os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    return subprocess.run(
        [folder / ".ci/run"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
