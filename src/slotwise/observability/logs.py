"""Structured logs on standard error: JSON lines in production, readable lines in development."""

import logging
import os
import sys

import structlog
from structlog.types import EventDict, Processor, WrappedLogger


def configure_logs(level: str, json_lines: bool) -> None:
    """Log Slotwise's events from `level` on and its libraries' warnings, in one format."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _name_error,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer() if json_lines else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(_StandardError()),  # type: ignore[arg-type]  # as much of a file as it uses
        cache_logger_on_first_use=True,
    )
    libraries = logging.StreamHandler(sys.stderr)
    libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[libraries], force=True)


def forget_reader() -> None:
    """Redirect standard error to /dev/null after its reader has gone, as in `slotwise serve 2>&1 | head`."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stderr.fileno())
    os.close(nowhere)


class _StandardError:
    """A line that cannot be written is lost, so that the request is answered even if the log has no reader."""

    def write(self, line: str) -> None:
        try:
            sys.stderr.write(line)
        except OSError:
            forget_reader()

    def flush(self) -> None:
        try:
            sys.stderr.flush()
        except OSError:
            forget_reader()


def _name_error(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Log only an exception's type: its message may contain personal data."""
    error = event.pop("exc_info", None)
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
    return event
