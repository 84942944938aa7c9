"""The audit log: who did what to whom, and who was shown whose name, written before anybody is answered."""

from collections.abc import Mapping, Sequence

import msgspec
import structlog

from slotwise.db.pool import Connection
from slotwise.db.statements import NoRow, Statement
from slotwise.domain.bookings import Booking
from slotwise.domain.users import User

RECORD_ACTION = Statement("audit.record_action", NoRow)


async def record_action(
    connection: Connection, actor: str, action: str, subject: str, details: Mapping[str, object] | None = None
) -> None:
    """`subject` is a kind and an id, such as 'slot:7'. `details` must not hold a name or an address."""
    await RECORD_ACTION.run(
        connection,
        actor=actor,
        action=action,
        subject=subject,
        details=msgspec.json.encode(details or {}).decode(),
        request_id=request_id(),
    )


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
