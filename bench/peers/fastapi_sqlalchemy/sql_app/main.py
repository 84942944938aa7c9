"""The app and its one path operation."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy.orm import Session

from . import crud, models, schemas
from .database import SessionLocal

app = FastAPI()


def get_db() -> Iterator[Session]:
    db = SessionLocal()
    try:
        yield db
    finally:
        db.close()


@app.post("/api/bookings", response_model=schemas.Booking, status_code=201)
def create_booking(booking: schemas.BookingCreate, db: Annotated[Session, Depends(get_db)]) -> models.Booking:
    slot = crud.lock_slot(db, booking.slot_id)
    if slot is None:
        raise HTTPException(status_code=404, detail="Slot not found")
    if slot.available_seats < booking.seats_booked:
        raise HTTPException(status_code=409, detail="Not enough seats are free")
    return crud.create_booking(db, slot, booking)
