"""Install what `tests/clients` needs of npm in .venv. If that fails, warn: the tests that need it are then skipped.

.venv/bin/python scripts/clients.py clients linters
"""
# ruff: noqa: T201, S603 - it prints, and runs a fixed program

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What is not tested without the packages of a name, and where their lists are.
TESTED = {
    "clients": ("the TypeScript client", "tests/clients"),
    "linters": ("the API document with the linters of OpenAPI", "tests/clients/linters"),
}
LISTS = ("package.json", "package-lock.json")


def is_current(source: Path, place: Path) -> bool:
    """Whether the packages of these lists are installed."""
    here = [place / name for name in LISTS]
    return all(path.exists() and path.read_bytes() == (source / path.name).read_bytes() for path in here)


def install(npm: str, source: Path, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    building = place.with_name(f"{place.name}.new")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    for name in LISTS:
        shutil.copy(source / name, building)
    command = [npm, "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(command, check=True, stdout=sys.stderr, cwd=building, timeout=300)
    building.rename(place)


def main(wanted: "list[str]") -> None:
    npm = shutil.which("npm")
    for name in wanted:
        tested, lists = TESTED[name]
        source, place = ROOT / lists, ROOT / ".venv" / name
        without = f"npm: NOT TESTED: {tested}. This needs Node and npm's registry."
        try:
            if npm is None or shutil.which("node") is None:
                print(without, file=sys.stderr)
            elif not is_current(source, place):
                install(npm, source, place)
        except (subprocess.SubprocessError, OSError) as error:
            print(f"{without} npm could not install it: {error}", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
