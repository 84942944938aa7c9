"""Doctors, who offer slots."""

from datetime import datetime
from typing import NamedTuple

from msgspec import Struct


class DoctorPosition(NamedTuple):
    """A place in the list of doctors: by the sort key of the name (`domain.name_order`), then by id."""

    name_sort_key: bytes
    id: int


FIRST_DOCTOR = DoctorPosition(b"", 0)


class Doctor(Struct, frozen=True):
    id: int
    name: str
    specialization: str | None
    active: bool
    created_at: datetime
    updated_at: datetime
    name_sort_key: bytes

    @property
    def position(self) -> DoctorPosition:
        return DoctorPosition(self.name_sort_key, self.id)
