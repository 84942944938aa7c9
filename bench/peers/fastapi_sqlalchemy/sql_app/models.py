"""The tables of bench/sql/baseline.sql as SQLAlchemy's models."""

from datetime import datetime

from sqlalchemy import ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from .database import Base


class Slot(Base):
    __tablename__ = "slot"
    __table_args__ = {"schema": "bench"}  # noqa: RUF012 - SQLAlchemy's way to say it

    id: Mapped[int] = mapped_column(primary_key=True)
    doctor_id: Mapped[int]
    start_time: Mapped[datetime]
    end_time: Mapped[datetime]
    total_seats: Mapped[int]
    available_seats: Mapped[int]
    status: Mapped[str] = mapped_column(server_default="OPEN")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class Booking(Base):
    __tablename__ = "booking"
    __table_args__ = {"schema": "bench"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)
    slot_id: Mapped[int] = mapped_column(ForeignKey("bench.slot.id"), index=True)
    user_name: Mapped[str]
    user_email: Mapped[str]
    seats_booked: Mapped[int]
    status: Mapped[str]
    expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
