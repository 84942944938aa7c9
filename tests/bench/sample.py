"""A machine and an installation that are nowhere."""

from pathlib import Path

from bench.installation import Installation
from bench.machine import Machine

MACHINE = Machine(
    slotwise="0.1.0",
    cores=2,
    memory_gigabytes=25.0,
    system="Linux",
    python="3.11.7",
    postgres="18.6",
    load=0.1,
    workers=2,
    settings={"LOG_LEVEL": "warning"},
)
NO_INSTALLATION = Installation("postgresql:///none", Path("/nonexistent"), {})
