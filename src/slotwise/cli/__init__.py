"""The command `slotwise`."""

import gc

# How many new objects until garbage is collected. What imports make stays, and there are a hundred thousand of it.
GARBAGE_THRESHOLD = 50_000


def run_command() -> None:
    """The console script. Worker processes import it again but run no command, so the commands are imported here."""
    gc.set_threshold(GARBAGE_THRESHOLD)
    from slotwise.cli.main import app  # noqa: PLC0415 - see above

    app()
