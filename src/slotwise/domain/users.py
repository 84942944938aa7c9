"""Who uses Slotwise, and who may do what."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct


class Role(StrEnum):
    ADMIN = "admin"
    STAFF = "staff"
    DOCTOR = "doctor"
    PATIENT = "patient"


DESK = frozenset({Role.ADMIN, Role.STAFF})
"""The roles that run a clinic's day: they see every patient and act on every booking."""


class User(Struct, frozen=True):
    id: int
    email: str
    name: str
    role: Role
    active: bool
    token_version: int
    created_at: datetime
    updated_at: datetime
    # At any time, and so may have made bookings for others.
    was_desk: bool = False

    @property
    def at_desk(self) -> bool:
        return self.role in DESK

    def owns(self, user_id: int | None, user_email: str | None) -> bool:
        """Whether a booking is this person's: of their account and, where that was at the desk, with their address."""
        books_for_others = self.was_desk or self.at_desk
        return user_id == self.id and (not books_for_others or (user_email or "").lower() == self.email.lower())


def actor_of(user: User | None) -> str:
    """How ledger, audit log and idempotency keys name a caller: never by a personal name."""
    return "guest" if user is None else f"user:{user.id}"
