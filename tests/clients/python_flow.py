"""A whole visit with the client that openapi-python-client makes. Not collected: `test_generated_clients.py` runs it.

python python_flow.py URL EMAIL PASSWORD DOCTOR
"""

import sys
import uuid
from http import HTTPStatus
from typing import TypeVar

from slotwise_client import AuthenticatedClient, Client
from slotwise_client.api.accounts import get_account, log_in
from slotwise_client.api.bookings import cancel_booking, confirm_booking, get_booking, hold_seats
from slotwise_client.api.doctors import list_doctors
from slotwise_client.api.slots import get_slot, list_slots
from slotwise_client.models import (
    Booking,
    BookingStatus,
    Confirmation,
    DoctorPage,
    LogIn,
    NewBooking,
    Problem,
    ProblemCode,
    Session,
    Slot,
    SlotPage,
    User,
)

Answer = TypeVar("Answer")


def the(kind: type[Answer], answer: object) -> Answer:
    assert isinstance(answer, kind), answer
    return answer


def main(url: str, email: str, password: str, doctor_name: str) -> None:
    guest = Client(base_url=url)
    session = the(Session, log_in.sync(client=guest, body=LogIn(email=email, password=password)))
    client = AuthenticatedClient(base_url=url, token=session.access_token)
    assert the(User, get_account.sync(client=client)).email == email

    (doctor,) = the(DoctorPage, list_doctors.sync(client=client, q=doctor_name)).items
    found = list_slots.sync_detailed(client=guest, doctor_id=doctor.id, min_seats=2)
    slot = the(SlotPage, found.parsed).items[0]
    known = list_slots.sync_detailed(
        client=guest, doctor_id=doctor.id, min_seats=2, if_none_match=found.headers["ETag"]
    )
    assert known.status_code == HTTPStatus.NOT_MODIFIED

    wanted = NewBooking(slot_id=slot.id, user_name="Ada Lovelace", user_email="ada@example.org", seats_booked=2)
    key = str(uuid.uuid4())
    held, again = (hold_seats.sync_detailed(client=client, body=wanted, idempotency_key=key) for _ in range(2))
    booking = the(Booking, held.parsed)
    assert held.headers["Location"].endswith(f"/{booking.id}")
    assert the(Booking, again.parsed) == booking
    assert booking.status == BookingStatus.PENDING

    holder = client.with_headers({"Booking-Token": the(str, booking.manage_token)})
    sure = the(Booking, confirm_booking.sync(booking.id, client=holder))
    assert sure.status == BookingStatus.CONFIRMED
    assert sure.confirmed_at is not None
    assert the(Booking, confirm_booking.sync(booking.id, client=holder, body=Confirmation())) == sure
    full = the(Problem, hold_seats.sync(client=client, body=wanted, idempotency_key=str(uuid.uuid4())))
    assert (full.code, full.available_seats) == (ProblemCode.SLOT_FULL, slot.available_seats - 2)

    assert the(Booking, cancel_booking.sync(booking.id, client=holder)).status == BookingStatus.CANCELLED
    assert the(Booking, get_booking.sync(booking.id, client=holder)).cancelled_at is not None
    assert the(Slot, get_slot.sync(slot.id, client=guest)).available_seats == slot.available_seats
    assert the(Problem, get_slot.sync(2**62, client=guest)).code == ProblemCode.SLOT_NOT_FOUND


if __name__ == "__main__":
    main(*sys.argv[1:])
