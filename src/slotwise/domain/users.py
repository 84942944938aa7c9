"""Accounts and their roles."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import asdict

from slotwise.domain.fields import email_key


class Role(StrEnum):
    ADMIN = "admin"
    STAFF = "staff"
    DOCTOR = "doctor"
    PATIENT = "patient"


DESK = frozenset({Role.ADMIN, Role.STAFF})
"""The roles at the desk: they see all patients and may change all bookings."""
LIMITED_ROLES = frozenset({Role.STAFF, Role.DOCTOR})
"""The roles that may be limited to some clinics."""


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

    @property
    def clinic_ids(self) -> frozenset[int] | None:
        """The clinics whose bookings and times an account at the desk sees and changes; None for all."""
        return None

    @property
    def books_at(self) -> frozenset[int] | None:
        """The clinics at which the account may book; None for all. An account that is not at the desk is a patient."""
        return self.clinic_ids if self.at_desk else None

    def works_at(self, clinic_id: int) -> bool:
        return self.clinic_ids is None or clinic_id in self.clinic_ids

    def owns(self, user_id: int | None, user_email: str | None) -> bool:
        """Whether a booking is this person's own.

        An account at the desk also books for others, so its bookings count only if they have its e-mail address.
        """
        books_for_others = self.was_desk or self.at_desk
        return user_id == self.id and (not books_for_others or email_key(user_email or "") == email_key(self.email))


class LimitedUser(User, frozen=True, kw_only=True):
    """Staff or a doctor who works for some clinics only."""

    limits: frozenset[int]

    @property
    def clinic_ids(self) -> frozenset[int] | None:
        return self.limits

    @classmethod
    def of(cls, user: User, limits: frozenset[int] | None) -> User:
        """The account with its limits. An admin has none."""
        if limits is None or user.role not in LIMITED_ROLES:
            return user
        return cls(**asdict(user), limits=limits)


def actor_of(user: User | None) -> str:
    """The name of a caller in ledger, audit log and idempotency keys. It is never a person's name."""
    return "guest" if user is None else f"user:{user.id}"
