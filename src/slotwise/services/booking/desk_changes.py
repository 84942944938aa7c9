"""What the desk changes about bookings: as a batch does, for one request, with a note in the audit log.

Change and note are one statement, and so are both there or neither. Others' bookings share neither a batch nor a
connection with it and are noted nowhere but in the ledger, so they pay nothing for it.
"""

from collections.abc import Sequence

from slotwise.db.pool import Connection
from slotwise.db.statements import Statement
from slotwise.services.booking.batches import (
    Cancelled,
    CancelRequest,
    Confirmed,
    ConfirmRequest,
    HoldRequest,
    HoldRow,
    Writing,
)
from slotwise.services.core.audit import request_id
from slotwise.services.core.idempotency import KEEP_SECONDS
from slotwise.services.core.manage_tokens import ManageToken

HOLD_SEATS = Statement("booking/desk_changes.hold_seats", HoldRow)
CONFIRM_BOOKING = Statement("booking/desk_changes.confirm_booking", Confirmed)
CANCEL_BOOKING = Statement("booking/desk_changes.cancel_booking", Cancelled)


async def hold_seats(
    connection: Connection, requests: Sequence[HoldRequest], tokens: Sequence[ManageToken], hold_seconds: int
) -> list[HoldRow]:
    """Of a batch of one, as are the others here."""
    [(request, token)] = zip(requests, tokens, strict=True)
    wanted, key = request.wanted, request.key
    return await HOLD_SEATS.all(
        connection,
        slot_id=wanted.slot_id,
        seats=wanted.seats,
        user_id=wanted.user_id,
        user_name=wanted.user_name,
        user_email=wanted.user_email,
        confirmed=wanted.confirm,
        manage_token_hash=token.digest,
        actor=request.actor,
        caller=key and key.caller,
        route=key and key.route,
        key_hash=key and key.key_hash,
        body_hash=key and key.body_hash,
        manage_nonce=key and token.nonce,
        hold_seconds=hold_seconds,
        keep_seconds=KEEP_SECONDS,
        request_id=request_id(),
    )


async def confirm_booking(connection: Connection, requests: Sequence[ConfirmRequest]) -> list[Confirmed]:
    [request] = requests
    return await CONFIRM_BOOKING.all(
        connection,
        booking_id=request.booking_id,
        user_name=request.user_name,
        user_email=request.user_email,
        actor=request.actor,
        request_id=request_id(),
    )


async def cancel_booking(connection: Connection, requests: Sequence[CancelRequest]) -> list[Cancelled]:
    [request] = requests
    return await CANCEL_BOOKING.all(
        connection,
        booking_id=request.booking_id,
        reason=request.reason,
        actor=request.actor,
        only_hold=request.only_hold,
        request_id=request_id(),
    )


NOTED = Writing(hold_seats, confirm_booking, cancel_booking)
