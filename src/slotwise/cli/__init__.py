"""The command `slotwise`."""

import gc

# After how many new objects the youngest generation is collected. Imports make 100,000, and all of them stay.
GARBAGE_THRESHOLD = 50_000


def run_command() -> None:
    """The console script. Worker processes import it again but run no command, so the commands are imported here."""
    gc.set_threshold(GARBAGE_THRESHOLD)
    from slotwise.cli.main import app  # noqa: PLC0415 - see above

    app()
