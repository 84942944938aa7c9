"""The bodies of requests and answers. Their names are those of Slotwise's API, so that both get the same load."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, EmailStr, Field
from pydantic.alias_generators import to_camel


class BookingBase(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True)

    slot_id: int
    user_name: str = Field(min_length=1, max_length=200)
    user_email: EmailStr
    seats_booked: int = Field(default=1, ge=1)


class BookingCreate(BookingBase):
    pass


class Booking(BookingBase):
    id: int
    status: str
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime
