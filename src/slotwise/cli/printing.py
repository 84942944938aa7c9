"""The command `openapi`, which alone needs the whole application."""

import json

import typer

from slotwise.app import build
from slotwise.cli.running import plain_errors, read_settings
from slotwise.http.api_document import openapi_document


@plain_errors()
def print_openapi() -> None:
    typer.echo(json.dumps(openapi_document(build(read_settings())), indent=2))
