"""The audit log: who did what to whom, written in the action's own transaction."""

from collections.abc import Mapping

import msgspec
import structlog

from slotwise.db.pool import Connection
from slotwise.db.statements import NoRow, Statement

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
        request_id=structlog.contextvars.get_contextvars().get("request_id"),
    )
