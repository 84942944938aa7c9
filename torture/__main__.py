"""`python -m torture`."""

from torture.cli import app

app()
