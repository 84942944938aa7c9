"""What is read from the database and written to it."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from . import models, schemas

HOLD = timedelta(minutes=2)


def lock_slot(db: Session, slot_id: int) -> models.Slot | None:
    """Read the slot with `SELECT ... FOR UPDATE`."""
    return db.scalars(select(models.Slot).where(models.Slot.id == slot_id).with_for_update()).one_or_none()


def create_booking(db: Session, slot: models.Slot, booking: schemas.BookingCreate) -> models.Booking:
    slot.available_seats -= booking.seats_booked
    db_booking = models.Booking(**booking.model_dump(), status="PENDING", expires_at=datetime.now(UTC) + HOLD)
    db.add(db_booking)
    db.commit()
    db.refresh(db_booking)
    return db_booking
