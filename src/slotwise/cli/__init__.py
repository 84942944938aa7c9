"""The command `slotwise`."""


def run_command() -> None:
    """The console script. Worker processes import the script again and need no command, so none is imported above."""
    from slotwise.cli.main import app  # noqa: PLC0415 - see above

    app()
