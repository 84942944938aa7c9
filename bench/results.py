"""The run as JSON, for whoever compares runs."""

from pathlib import Path

import msgspec

from bench.run import Run


def write_results(path: Path, run: Run) -> None:
    """The machine, the plan, and each figure with what every round read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n")


def read_results(path: Path) -> Run:
    return msgspec.json.decode(path.read_bytes(), type=Run)
