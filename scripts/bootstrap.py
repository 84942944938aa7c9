"""Create .venv from uv.lock: `python3 scripts/bootstrap.py [--dev]`. Does nothing if it is up to date.

Uses only Python 3.5's grammar, so that an old Python says what to do instead of reporting a syntax error.
"""
# ruff: noqa: T201, S603, UP032 - it prints, runs fixed programs, and must not use f-strings

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "slotwise-bootstrap.json"
INPUTS = ("uv.lock", "pyproject.toml", "scripts/uv.txt", "scripts/bootstrap.py")
OLDEST = (3, 11)
CANDIDATES = ("python3.13", "python3.12", "python3.11", "python3.14", "python3")
PROBE = "import sys, venv, ensurepip; sys.exit(sys.version_info[:2] < (3, 11))"
# What `slotwise serve` and its workers run. Python keeps the bytecode of all that this imports.
SERVER = "import slotwise.app, slotwise.cli.main, slotwise.cli.serving, slotwise.server.direct_connection"
ADD_PIP = "import ensurepip; ensurepip.bootstrap()"
NETWORK = re.compile(
    r"dns error|name resolution|resolve host|connection|connect error|client error|timed? ?out|unreachable"
    r"|certificate|proxy|could not fetch|failed to fetch|no matching distribution",
    re.IGNORECASE,
)
CERTIFICATE = re.compile(r"certificate|UnknownIssuer|self.signed", re.IGNORECASE)
# Files with all certificates that a system trusts, including a company's own.
STORES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


class BootstrapError(Exception):
    """The environment cannot be created. The message says what to do."""


def version_problem(version: "tuple[int, ...]") -> "str | None":
    """What to do about a Python of this version; None if it is new enough."""
    if version[:2] >= OLDEST:
        return None
    return (
        "Slotwise needs Python 3.11 or newer; this is Python {}.{}.\n"
        "  Debian, Ubuntu:  sudo apt install python3.12 python3.12-venv   (or python3.11, depending on the release)\n"
        "  Fedora:          sudo dnf install python3.12\n"
        "  macOS:           brew install python@3.12\n"
        "Then run make again. To choose another Python: make run PYTHON=/path/to/python3.12"
    ).format(*version[:2])


def venv_problem(version: "tuple[int, ...]", missing: "list[str]") -> "str | None":
    """What to do about a Python without these modules of its standard library; None if none is missing."""
    if not missing:
        return None
    return (
        "This Python {0}.{1} lacks {2}, which virtual environments need.\n"
        "  Debian, Ubuntu:  sudo apt install python{0}.{1}-venv   (or python3-venv)\n"
        "Then run make again. To choose another Python: make run PYTHON=/path/to/python3.12"
    ).format(version[0], version[1], " and ".join(missing))


def missing_modules() -> "list[str]":
    """Which of venv and ensurepip this Python lacks; Debian has them in separate packages."""
    missing = []
    for name in ("venv", "ensurepip"):
        try:
            __import__(name)
        except ImportError:
            missing.append(name)
    return missing


def wanted_stamp(dev: bool) -> "dict[str, object]":
    """The stamp of a .venv that is up to date. Its scripts contain their path, so a moved checkout needs a new one."""
    digest = hashlib.sha256()
    for name in INPUTS:
        digest.update((ROOT / name).read_bytes())
    return {"root": str(ROOT), "inputs": digest.hexdigest(), "dev": dev}


def read_stamp() -> "dict[str, object]":
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def up_to_date(found: "dict[str, object]", wanted: "dict[str, object]") -> bool:
    """Whether .venv can be used. One with the development tools is also good if they are not wanted."""
    same = all(found.get(key) == wanted[key] for key in ("root", "inputs"))
    return same and bool(found.get("dev")) >= bool(wanted["dev"]) and runs(PYTHON, "import slotwise")


def runs(python: Path, code: str) -> bool:
    try:
        return subprocess.call([str(python), "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def use_suitable_python() -> None:
    """Return if this Python is suitable. Otherwise run this script with another one, or raise `BootstrapError`."""
    problem = version_problem(sys.version_info[:2]) or venv_problem(sys.version_info[:2], missing_modules())
    if problem is None:
        return
    for name in CANDIDATES:
        path = shutil.which(name)
        if path and runs(Path(path), PROBE):
            say("using {}".format(path))
            os.execv(path, [path, str(Path(__file__).resolve())] + sys.argv[1:])  # noqa: S606, RUF005
    raise BootstrapError(problem)


def make_venv(found: "dict[str, object]") -> None:
    """Make sure that .venv has a working pip. A .venv that is broken, moved or of an old Python is created again."""
    moved = found.get("root", str(ROOT)) != str(ROOT)
    if not moved and runs(PYTHON, PROBE) and (runs(PYTHON, "import pip._internal") or runs(PYTHON, ADD_PIP)):
        return
    say("creating .venv")
    run([sys.executable, "-m", "venv", "--clear", str(VENV)], "could not create {}".format(VENV))


def install_uv() -> None:
    say("installing uv")
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet", "install"]
    options = ["--no-cache-dir", "--only-binary=:all:", "--require-hashes", "-r", str(ROOT / "scripts" / "uv.txt")]
    run(pip + options, "could not install uv")


def sync(dev: bool) -> None:
    """Install the packages in uv.lock. Packages that are no longer needed stay."""
    say("installing the locked dependencies{}".format(" and the development tools" if dev else ""))
    # The cache is inside .venv, so that an interrupted download continues and files are linked instead of copied.
    cache = VENV / "uv-cache"
    environment = {"UV_PROJECT_ENVIRONMENT": str(VENV), "UV_PYTHON": str(PYTHON), "UV_PYTHON_DOWNLOADS": "never"}
    environment["UV_CACHE_DIR"] = str(cache)
    command = [str(VENV / "bin" / "uv"), "sync", "--locked", "--inexact"] + ([] if dev else ["--no-dev"])
    run(command, "could not install the dependencies", environment)
    shutil.rmtree(str(cache), ignore_errors=True)


def compile_server() -> None:
    """Compile what the server imports. Otherwise each start would do it, if bytecode may not be written then."""
    run([str(PYTHON), "-c", SERVER], "could not import Slotwise", {"PYTHONDONTWRITEBYTECODE": ""})


def run(command: "list[str]", failure: str, extra_environment: "dict[str, str] | None" = None) -> None:
    """Run `command` and show uv's progress lines. If it fails, raise `BootstrapError` with all its output."""
    environment = dict(os.environ, **(extra_environment or {}))
    trust_system(environment)
    for name in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_USER"):
        environment.pop(name, None)
    child = subprocess.Popen(
        command, cwd=str(ROOT), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
    )
    said = []
    for raw in child.stdout or ():
        line = raw.decode("utf-8", "replace").rstrip()
        said.append(line)
        if re.match(r" *(Downloading|Prepared|Installed) ", line):
            say("  " + line.strip())
    if child.wait() != 0:
        raise BootstrapError(explain(failure, "\n".join(said)))


def trust_system(environment: "dict[str, str]") -> None:
    """Let pip and uv trust the system's certificates instead of their own lists, unless the user has set one.

    On a system without certificates, such as a bare container, they keep their own lists.
    """
    told = [environment.get(name) for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")]
    store = environment.get("SSL_CERT_FILE") or next(filter(os.path.exists, STORES), None)
    if store and not any(told):
        environment["PIP_CERT"] = store
    if store or sys.platform == "darwin":
        environment.setdefault("UV_SYSTEM_CERTS", "true")


def explain(failure: str, output: str) -> str:
    lines = [failure + ":", output]
    if CERTIFICATE.search(output):
        lines.append(
            "This machine does not trust the certificate of the package index. If your company's authority signed\n"
            "it, add that authority to the system's certificates, or name a file with it:\n"
            "  SSL_CERT_FILE=/path/to/authority.pem make run"
        )
    elif NETWORK.search(output):
        lines.append("The package index cannot be reached: check the network (and HTTPS_PROXY), then run make again.")
    return "\n".join(lines)


def say(line: str) -> None:
    print("bootstrap: " + line, flush=True)


def bootstrap(dev: bool) -> None:
    wanted = wanted_stamp(dev)
    found = read_stamp()
    if up_to_date(found, wanted):
        return
    use_suitable_python()
    make_venv(found)
    if STAMP.exists():
        STAMP.unlink()
    install_uv()
    sync(dev)
    compile_server()
    wanted["dev"] = dev or bool(found.get("dev"))
    STAMP.write_text(json.dumps(wanted), encoding="utf-8")


def main() -> int:
    # If `make run` and `make test` run at once, the second waits instead of installing into the same directory.
    with Path(__file__).resolve().open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            bootstrap("--dev" in sys.argv[1:])
        except (BootstrapError, OSError) as error:
            print("bootstrap: {}".format(error), file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
