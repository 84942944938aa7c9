"""What a process does without when it starts: each of these would be a visible part of the time until its first answer.

The times are those of one core. A new name on these lists needs none; taking one off needs a figure.
"""

import subprocess
import sys
from typing import NamedTuple

import pytest

SEEN = "import sys; print(*sys.modules)"


class Start(NamedTuple):
    """What a process runs until it is there for its user, and the modules that it leaves to others or to later."""

    code: str
    left_out: frozenset[str]


STARTS = {
    # 0.2 s in place of 0.7 s.
    "slotwise --help": Start(
        "import sys; sys.argv = ['slotwise', '--help']\n"
        "from contextlib import redirect_stdout, suppress; from io import StringIO\n"
        "from slotwise.cli import run_command\n"
        "with suppress(SystemExit), redirect_stdout(StringIO()): run_command()",
        frozenset(
            {
                "argon2", "asyncpg", "jinja2", "litestar", "prometheus_client", "structlog", "uvicorn",
                "slotwise.app", "slotwise.db", "slotwise.services", "slotwise.settings",
            }
        ),
    ),
    # 0.4 s in place of 0.6 s, before the workers begin.
    "the supervisor": Start(
        "import slotwise.cli.main, slotwise.cli.serving",
        frozenset(
            {"icalendar", "jinja2", "limits", "litestar", "zxcvbn", "slotwise.app", "slotwise.http", "slotwise.web"}
        ),
    ),
    # 0.8 s in place of 1.0 s where pydantic is installed.
    "a worker": Start(
        "from slotwise.app import build; from slotwise.settings import Settings; build(Settings())",
        frozenset({"icalendar", "limits", "pydantic", "typer", "zxcvbn", "slotwise.cli"}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STARTS)
def test_a_start_imports_only_what_it_needs(name: str) -> None:
    start = STARTS[name]
    ran = subprocess.run(
        [sys.executable, "-c", f"{start.code}\n{SEEN}"], capture_output=True, text=True, check=False, cwd="/"
    )
    assert ran.returncode == 0, ran.stderr
    imported = set(ran.stdout.split())
    assert "slotwise" in imported
    assert imported & start.left_out == set()
