"""The audit log: who did what to whom, and who was shown whose name. Written before the answer is sent."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import NoRow, Statement
from slotwise.domain.bookings import Booking
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME
from slotwise.domain.users import User, actor_of
from slotwise.observability.logs import REQUEST_ID

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
    """What an admin searches for; the period is half-open. `action` is logged as it is, so it must not be free text."""

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    noted_from: datetime = FIRST_TIME
    noted_before: datetime = LAST_READABLE_TIME


class AuditPosition(Struct, frozen=True):
    """Where a page ended. The next page has older entries."""

    noted_at: datetime
    id: int

    @property
    def microseconds(self) -> int:
        """The time, in microseconds since `FIRST_TIME`."""
        return (self.noted_at - FIRST_TIME) // _MICROSECOND

    @classmethod
    def of(cls, microseconds: int, entry_id: int) -> "AuditPosition":
        """The inverse of `microseconds`, at most `LAST_READABLE_TIME`."""
        longest = (LAST_READABLE_TIME - FIRST_TIME) // _MICROSECOND
        return cls(FIRST_TIME + min(microseconds, longest) * _MICROSECOND, entry_id)


class Move(Struct, frozen=True):
    """A move of a slot: its time in the ledger, and its details in the audit log, as JSON."""

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
        """Newest first. Reading the log is recorded in it too, because it shows the names of colleagues."""
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
        """The audit log's entries on a slot's moves at these times of its ledger, which has no start times itself.

        They show no names, so the read is not recorded. A move without an entry is left out.
        """
        if not moved_at:
            return []
        async with self._database.connection() as connection:
            return await LIST_MOVES.all(connection, subject=f"slot:{slot_id}", moved_at=moved_at)


def _outline(query: AuditQuery) -> dict[str, object]:
    """What is set, for the audit log. A text without a kind and an id may be a name: only its presence is recorded."""
    filters = {"actor": query.actor, "subject": query.subject}
    outline: dict[str, object] = {
        name: value if _NUMBERED.fullmatch(value) else True for name, value in filters.items() if value
    }
    return outline | ({"action": query.action} if query.action else {})


async def record_action(
    connection: Connection, actor: str, action: str, subject: str, details: Mapping[str, object] | None = None
) -> None:
    """`subject` is a kind and an id, such as 'slot:7'.

    `details` must not have a name or an e-mail address. Only doctors' names are public.
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
    """The fields that differ, each with its old and its new value, for `details`."""
    pairs = ((field, getattr(before, field), getattr(after, field)) for field in fields)
    return {field: [was, now] for field, was, now in pairs if was != now}


def request_id() -> str | None:
    """The id of the request that is being answered; None outside of one."""
    return REQUEST_ID.get()


def shows_others(reader: User | None, found: Sequence[Booking]) -> bool:
    """Whether these bookings show the desk another person's name or e-mail address. Such a read must be recorded.

    The desk makes bookings for others by telephone, so a booking of the reader's account may be another person's.
    """
    return reader is not None and reader.at_desk and any(_is_of_another(reader, booking) for booking in found)


def _is_of_another(reader: User, booking: Booking) -> bool:
    if booking.user_name is None and booking.user_email is None:
        return False
    return not reader.owns(booking.user_id, booking.user_email)


def rows_shown(found: Sequence[Booking], limit: int) -> int:
    """How many rows of a page are shown. The last row of a full page only shows that there is another page."""
    return min(len(found), limit - 1)
