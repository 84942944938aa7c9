"""Doctors, who offer slots."""

from datetime import datetime

from msgspec import Struct


class Doctor(Struct, frozen=True):
    id: int
    name: str
    specialization: str | None
    active: bool
    created_at: datetime
    updated_at: datetime
