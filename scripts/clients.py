"""Install what `tests/clients` needs of npm in .venv/clients. If that fails, warn: one test is then skipped."""
# ruff: noqa: T201, S603 - it prints, and runs a fixed program

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "tests" / "clients"
PLACE = ROOT / ".venv" / "clients"
LISTS = ("package.json", "package-lock.json")
WITHOUT = "npm: NOT TESTED: the TypeScript client. This needs Node and npm's registry."


def is_current() -> bool:
    """Whether the packages of these lists are installed."""
    here = [PLACE / name for name in LISTS]
    return all(path.exists() and path.read_bytes() == (SOURCE / path.name).read_bytes() for path in here)


def install(npm: str) -> None:
    shutil.rmtree(PLACE, ignore_errors=True)
    building = PLACE.with_name("clients.new")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    for name in LISTS:
        shutil.copy(SOURCE / name, building)
    command = [npm, "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(command, check=True, stdout=sys.stderr, cwd=building, timeout=120)
    building.rename(PLACE)


def main() -> None:
    if is_current():
        return
    npm = shutil.which("npm")
    try:
        if npm is None:
            print(WITHOUT, file=sys.stderr)
        else:
            install(npm)
    except (subprocess.SubprocessError, OSError) as error:
        print(f"{WITHOUT} npm could not install it: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
