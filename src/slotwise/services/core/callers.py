"""Who calls a use case, and how they prove that a booking is theirs."""

from typing import NoReturn

from msgspec import Struct

from slotwise.db.statements import Statement
from slotwise.domain.errors import NotAllowed, NotAuthenticated
from slotwise.domain.users import User, actor_of
from slotwise.services.core.manage_tokens import proves


class Claim(Struct, frozen=True):
    """What a caller must match to prove that a booking is theirs."""

    user_id: int | None
    user_email: str | None
    manage_token_hash: bytes
    clinic_id: int


class ClaimOfBooking(Claim, frozen=True):
    booking_id: int


READ_CLAIMS = Statement("core/callers.read_claims", ClaimOfBooking)


class Caller(Struct, frozen=True):
    """Who calls: an account, the holder of a manage token, both, or a stranger with neither."""

    user: User | None = None
    manage_token: str | None = None

    @property
    def actor(self) -> str:
        return actor_of(self.user)

    @property
    def is_stranger(self) -> bool:
        return self.user is None and self.manage_token is None

    @property
    def at_desk(self) -> bool:
        return self.user is not None and self.user.at_desk

    def sees_all_of(self, clinic_id: int) -> bool:
        """Whether the caller is at the desk of that clinic: then they see its patients, and may change its bookings."""
        return self.user is not None and self.user.at_desk and self.user.works_at(clinic_id)

    def may_manage(self, claim: Claim) -> bool:
        owns = self.user is not None and self.user.owns(claim.user_id, claim.user_email)
        return owns or self.sees_all_of(claim.clinic_id) or proves(self.manage_token, claim.manage_token_hash)

    def proven_for(self, booking_id: int, claim: Claim) -> "ProvenCaller | None":
        """This caller with the proof that they may manage the booking; None if they may not."""
        if not self.may_manage(claim):
            return None
        return ProvenCaller(self.user, self.manage_token, booking_id=booking_id)


class ProvenCaller(Caller, frozen=True, kw_only=True):
    """A caller who has proved that they may manage this booking, so that a use case need not look again."""

    booking_id: int


def require_desk_of(user: User, clinic_id: int) -> None:
    """Raise `NotAllowed` for an account that works for other clinics only. The one place for what the desk does."""
    if not user.works_at(clinic_id):
        raise NotAllowed(elsewhere=True)


def refuse(caller: Caller) -> NoReturn:
    """Raise `NotAuthenticated` for a stranger, `NotAllowed` for a caller with an account or a manage token."""
    if caller.is_stranger:
        raise NotAuthenticated
    raise NotAllowed
