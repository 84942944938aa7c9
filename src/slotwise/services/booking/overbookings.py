"""Overbooking: the desk books one more patient into a slot that is full."""

from slotwise.db.pool import Database
from slotwise.db.statements import Statement
from slotwise.domain.bookings import Overbooking
from slotwise.domain.errors import AnsweredMeanwhile
from slotwise.domain.users import User, actor_of
from slotwise.observability import metrics
from slotwise.services.booking.batches import Held, HoldRow, outcome_of
from slotwise.services.booking.bookings import held_or_raise
from slotwise.services.core.audit import request_id
from slotwise.services.core.clinics import require_desk_of_slot
from slotwise.services.core.expiry import count_expired
from slotwise.services.core.idempotency import KEEP_SECONDS, IdempotencyKey
from slotwise.services.core.manage_tokens import ManageToken, ManageTokens
from slotwise.services.core.seat_events import SeatsChanged, ignore_changes

OVERBOOK_SEATS = Statement("booking/overbookings.overbook_seats", HoldRow)


class Overbookings:
    """`writers` are the connections for changes of the desk. Not batched, because overbooking is rare."""

    def __init__(
        self, writers: Database, manage_tokens: ManageTokens, seats_changed: SeatsChanged = ignore_changes
    ) -> None:
        self._writers = writers
        self._manage_tokens = manage_tokens
        self._seats_changed = seats_changed

    async def overbook_seats(self, account: User, wanted: Overbooking, key: IdempotencyKey | None = None) -> Held:
        """Make a confirmed booking, and add the seats that the slot lacks for it.

        Adds none if enough are free. Raises a `Refusal` and `KeyReused`; `SlotFull` only if the slot would have more
        than a million seats; `NotAllowed` for the desk of other clinics.
        """
        await require_desk_of_slot(self._writers, account, wanted.slot_id)
        token = self._manage_tokens.new()
        row = await self._written(account, wanted, key, token)
        count_expired(row.expired_holds, "booking")
        if row.outcome == "held" and not row.replayed:
            metrics.HOLDS.labels("CONFIRMED").inc()
        self._seats_changed([wanted.slot_id])
        return held_or_raise(outcome_of(row, token, self._manage_tokens))

    async def _written(
        self, account: User, wanted: Overbooking, key: IdempotencyKey | None, token: ManageToken
    ) -> HoldRow:
        while True:
            try:
                async with self._writers.effect() as connection:
                    return await OVERBOOK_SEATS.one(
                        connection,
                        slot_id=wanted.slot_id,
                        seats=wanted.seats,
                        user_name=wanted.user_name,
                        user_email=wanted.user_email,
                        reason=wanted.reason,
                        manage_token_hash=token.digest,
                        actor=actor_of(account),
                        caller=key and key.caller,
                        route=key and key.route,
                        key_hash=key and key.key_hash,
                        body_hash=key and key.body_hash,
                        new_nonce=token.nonce,
                        request_id=request_id(),
                        keep_seconds=KEEP_SECONDS,
                    )
            except AnsweredMeanwhile:
                continue
