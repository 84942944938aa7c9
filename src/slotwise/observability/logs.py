"""Structured logs on standard error: JSON lines in production, readable lines in development."""

import atexit
import logging
import sys
from contextvars import ContextVar
from typing import NamedTuple

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from slotwise.observability.log_output import LogOutput
from slotwise.observability.request_log import LogRequest, json_line, log_nothing, readable_line, request_log

# The id of the request that is being answered; every line about it has it.
REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)


class Logs(NamedTuple):
    """What logs requests, and standard error as all lines use it, which never waits for its reader."""

    log_request: LogRequest
    output: LogOutput


def configure_logs(level: str, json_lines: bool) -> Logs:
    """Log Slotwise's events from `level` on and its libraries' warnings, in one format."""
    output = LogOutput(sys.stderr.fileno())
    atexit.register(output.close)
    shared: list[Processor] = [
        _add_request_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _name_error,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer() if json_lines else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    lowest = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        logger_factory=structlog.WriteLoggerFactory(output),  # type: ignore[arg-type]  # as much of a file as it uses
        cache_logger_on_first_use=True,
    )
    libraries = logging.StreamHandler(output)
    libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[libraries], force=True)
    if lowest > logging.INFO:
        return Logs(log_nothing, output)
    line = json_line if json_lines else readable_line(colors=sys.stderr.isatty())
    return Logs(request_log(line, output.write_soon), output)


def _add_request_id(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if (request_id := REQUEST_ID.get()) is not None:
        event["request_id"] = request_id
    return event


def _name_error(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Log only an exception's type: its message may contain personal data."""
    error = event.pop("exc_info", None)
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
    return event
