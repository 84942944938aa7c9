"""Doctors, who offer slots."""

from datetime import datetime
from functools import lru_cache
from typing import Protocol

from msgspec import Struct

from slotwise.domain.sort_key import SortKey, sort_key


class Doctor(Struct, frozen=True):
    id: int
    name: str
    specialization: str | None
    active: bool
    created_at: datetime
    updated_at: datetime


class Named(Protocol):
    """A doctor, in full or as a choice."""

    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...


def place_by_name(doctor: Named) -> tuple[SortKey, int]:
    """The doctor's place in a list by name."""
    return _key_of(doctor.name), doctor.id


@lru_cache(maxsize=4096)
def _key_of(doctor_name: str) -> SortKey:
    """Kept, because each list sorts the same names. Only of doctors, whose names are public."""
    return sort_key(doctor_name)
