"""Install what `make bench-peers` compares Slotwise with, in .venv/peers, with the versions of their lock files.

A peer that cannot be installed is left out, with the reason. Fails only if none is left.
"""
# ruff: noqa: T201 - it prints

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bootstrap import ROOT, VENV, BootstrapError, run

SOURCES = ROOT / "bench" / "peers"
PLACE = VENV / "peers"
# In the folder of each peer: a copy of the lock file that its packages were installed from.
STAMP = "installed"
FAILURE = "its packages could not be installed"


class Peer(NamedTuple):
    """`folder` is the one of its source in bench/peers, and of its packages. `programs` are needed beside Python."""

    name: str
    folder: str
    lock: str
    install: Callable[[Path, Path], None]
    programs: tuple[str, ...] = ()


def install_from_pypi(source: Path, place: Path) -> None:
    """Make a virtual environment for it, with the Python and the uv of .venv."""
    environment = {
        "UV_PROJECT_ENVIRONMENT": str(place / "venv"),
        "UV_PYTHON": str(VENV / "bin" / "python"),
        "UV_PYTHON_DOWNLOADS": "never",
    }
    uv = str(VENV / "bin" / "uv")
    run([uv, "sync", "--locked", "--no-cache", "--project", str(source)], FAILURE, environment)


def install_from_npm(source: Path, place: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(source / name, place)
    options = ["--prefix", str(place), "--no-audit", "--no-fund", "--ignore-scripts"]
    run([shutil.which("npm") or "npm", "ci", *options], FAILURE)


PEERS = (
    Peer("FastAPI + SQLAlchemy", "fastapi_sqlalchemy", "uv.lock", install_from_pypi),
    Peer("Express + pg", "express_pg", "package-lock.json", install_from_npm, ("node", "npm")),
)


def ensure(peer: Peer) -> None:
    """Install its packages, if those of another lock file or none are there. Raises `BootstrapError` if it cannot."""
    missing = [program for program in peer.programs if shutil.which(program) is None]
    if missing:
        raise BootstrapError(f"this needs {' and '.join(missing)}, which were not found (apt install nodejs npm)")
    wanted, place = SOURCES / peer.folder / peer.lock, PLACE / peer.folder
    stamp = place / STAMP
    if stamp.exists() and stamp.read_bytes() == wanted.read_bytes():
        return
    print(f"peers: installing {peer.name}", flush=True)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    peer.install(wanted.parent, place)
    shutil.copy(wanted, stamp)


def main() -> int:
    left_out = 0
    for peer in PEERS:
        try:
            ensure(peer)
        except (BootstrapError, OSError) as error:
            print(f"peers: {peer.name} is left out: {error}", file=sys.stderr)
            left_out += 1
    return int(left_out == len(PEERS))


if __name__ == "__main__":
    sys.exit(main())
