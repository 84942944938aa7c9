"""The audit log: who did what to whom, and who was shown whose name, written before anybody is answered."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
import structlog
from msgspec import Struct

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import NoRow, Statement
from slotwise.domain.bookings import Booking
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME
from slotwise.domain.users import User, actor_of

_MICROSECOND = timedelta(microseconds=1)
_NUMBERED = re.compile(r"(user|booking|slot|doctor):[0-9]{1,19}")


class AuditEntry(Struct, frozen=True):
    """`details` is JSON. Only accounts have an `actor_name`."""

    id: int
    actor: str
    actor_name: str | None
    action: str
    subject: str
    details: str
    request_id: str | None
    created_at: datetime


class AuditQuery(Struct, frozen=True):
    """What an admin looks for; the period is half-open. `action` is none that somebody typed: it is noted as it is."""

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    noted_from: datetime = FIRST_TIME
    noted_before: datetime = LAST_READABLE_TIME


class AuditPosition(Struct, frozen=True):
    """Where a page ended: the next has what was noted before."""

    noted_at: datetime
    id: int

    @property
    def microseconds(self) -> int:
        """The time as a number of them since the first that there can be."""
        return (self.noted_at - FIRST_TIME) // _MICROSECOND

    @classmethod
    def of(cls, microseconds: int, entry_id: int) -> "AuditPosition":
        """The inverse of `microseconds`, no later than there can be a time."""
        longest = (LAST_READABLE_TIME - FIRST_TIME) // _MICROSECOND
        return cls(FIRST_TIME + min(microseconds, longest) * _MICROSECOND, entry_id)


class Move(Struct, frozen=True):
    """When the ledger has it, and the JSON that was noted of it."""

    moved_at: datetime
    details: str


RECORD_ACTION = Statement("core/audit.record_action", NoRow)
LIST_AUDIT = Statement("core/audit.list_audit", AuditEntry)
LIST_MOVES = Statement("core/audit.list_moves", Move)


class AuditLog:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_audit(
        self, reader: User, query: AuditQuery, position: AuditPosition | None, limit: int
    ) -> list[AuditEntry]:
        """Newest first. That somebody read the log is noted in it too: it has the names of colleagues."""
        start = position or AuditPosition(query.noted_before, 0)
        async with self._database.connection() as connection:
            found = await LIST_AUDIT.all(
                connection,
                actor=query.actor,
                action=query.action,
                subject=query.subject,
                noted_from=query.noted_from,
                before_time=start.noted_at,
                before_id=start.id,
                limit=limit,
            )
            await record_action(connection, actor_of(reader), "list_audit", "audit", _outline(query))
        return found

    async def list_moves(self, slot_id: int, moved_at: Sequence[datetime]) -> list[Move]:
        """What was noted of a slot's moves at those times of its ledger, which has no times of appointments itself.

        It names nobody, and so is no read to be recorded. Of moves that were noted without details there is none.
        """
        if not moved_at:
            return []
        async with self._database.connection() as connection:
            return await LIST_MOVES.all(connection, subject=f"slot:{slot_id}", moved_at=moved_at)


def _outline(query: AuditQuery) -> dict[str, object]:
    """Of a text that names nothing we number, which may be a person's name, only that there was one."""
    filters = {"actor": query.actor, "subject": query.subject}
    outline: dict[str, object] = {
        name: value if _NUMBERED.fullmatch(value) else True for name, value in filters.items() if value
    }
    return outline | ({"action": query.action} if query.action else {})


async def record_action(
    connection: Connection, actor: str, action: str, subject: str, details: Mapping[str, object] | None = None
) -> None:
    """`subject` is a kind and an id, such as 'slot:7'.

    `details` must not hold the name or address of anybody but a doctor, whose name is public.
    """
    await RECORD_ACTION.run(
        connection,
        actor=actor,
        action=action,
        subject=subject,
        details=encoded(details or {}),
        request_id=request_id(),
    )


def encoded(details: Mapping[str, object]) -> str:
    """As JSON."""
    return msgspec.json.encode(details).decode()


def changes(before: object, after: object, *fields: str) -> dict[str, object]:
    """Those of the fields that are different, each with what it was and what it is, for `details`."""
    pairs = ((field, getattr(before, field), getattr(after, field)) for field in fields)
    return {field: [was, now] for field, was, now in pairs if was != now}


def request_id() -> str | None:
    """Of the request that is being answered; None where there is none."""
    known: str | None = structlog.contextvars.get_contextvars().get("request_id")
    return known


def shows_others(reader: User | None, found: Sequence[Booking]) -> bool:
    """Whether these bookings tell somebody at the desk another's name or address: that is a read to be recorded.

    The desk makes bookings for others by telephone, so being of the reader's account does not make one the reader's.
    """
    return reader is not None and reader.at_desk and any(_is_of_another(reader, booking) for booking in found)


def _is_of_another(reader: User, booking: Booking) -> bool:
    if booking.user_name is None and booking.user_email is None:
        return False
    return not reader.owns(booking.user_id, booking.user_email)


def rows_shown(found: Sequence[Booking], limit: int) -> int:
    """How many of a page are given out: the last of a full one only shows that there is another page."""
    return min(len(found), limit - 1)
