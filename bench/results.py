"""The run as JSON, to compare runs."""

from pathlib import Path

import msgspec

from bench.run import Run


def write_results(path: Path, run: Run) -> None:
    """Write the machine, the plan, and each figure with the values of all rounds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n")


def read_results(path: Path) -> Run:
    return msgspec.json.decode(path.read_bytes(), type=Run)
