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

    @property
    def at_desk(self) -> bool:
        return self.role in DESK


def actor_of(user: User | None) -> str:
    """How ledger, audit log and idempotency keys name a caller: never by a personal name."""
    return "guest" if user is None else f"user:{user.id}"
