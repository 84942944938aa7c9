"""Accounts and their roles."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from slotwise.domain.fields import email_key


class Role(StrEnum):
    ADMIN = "admin"
    STAFF = "staff"
    DOCTOR = "doctor"
    PATIENT = "patient"


DESK = frozenset({Role.ADMIN, Role.STAFF})
"""The roles at the desk: they see all patients and may change all bookings."""


class User(Struct, frozen=True):
    id: int
    email: str
    name: str
    role: Role
    active: bool
    token_version: int
    created_at: datetime
    updated_at: datetime
    # Whether the account was ever at the desk. Then it may have made bookings for others.
    was_desk: bool = False

    @property
    def at_desk(self) -> bool:
        return self.role in DESK

    def owns(self, user_id: int | None, user_email: str | None) -> bool:
        """Whether a booking is this person's own.

        An account at the desk also books for others, so its bookings count only if they have its e-mail address.
        """
        books_for_others = self.was_desk or self.at_desk
        return user_id == self.id and (not books_for_others or email_key(user_email or "") == email_key(self.email))


def actor_of(user: User | None) -> str:
    """The name of a caller in ledger, audit log and idempotency keys. It is never a person's name."""
    return "guest" if user is None else f"user:{user.id}"
