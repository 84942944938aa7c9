"""The command `slotwise`."""


def run_command() -> None:
    """The console script. Worker processes import it again but run no command, so the commands are imported here."""
    from slotwise.cli.main import app  # noqa: PLC0415 - see above

    app()
