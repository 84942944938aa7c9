"""What the operations on bookings do with a call, whichever way it came."""

from http import HTTPStatus

from slotwise.http.booking.idempotency import idempotency_key
from slotwise.http.booking.views import (
    BookingView,
    Confirmation,
    NewBooking,
    booker_of,
    clean_person,
    either_of,
    offer_request,
    seat_request,
)
from slotwise.http.kit.direct import ApiCall, json_answer
from slotwise.http.kit.parts import ApiParts
from slotwise.server.direct import Answer
from slotwise.services.booking.batches import Held
from slotwise.services.core.callers import Caller
from slotwise.services.core.idempotency import IdempotencyKey


async def hold_seats(api: ApiParts, call: ApiCall[NewBooking]) -> Answer:
    api.booking_rate.admit(call.client)
    user = call.caller.user
    key = idempotency_key(call.header(b"idempotency-key"), user, "POST /api/bookings", call.data)
    held = await _hold(api, Caller(user), call.data, key)
    view = BookingView.of(held.booking, held.manage.token)
    return json_answer(view, HTTPStatus.CREATED, {"Location": f"/api/bookings/{held.booking.id}"})


async def _hold(api: ApiParts, caller: Caller, data: NewBooking, key: IdempotencyKey | None) -> Held:
    """A slot, or a time that was offered."""
    wanted, booker = either_of(data), booker_of(data, caller.user)
    if isinstance(wanted, int):
        held = await api.services.bookings.hold_seats(caller, seat_request(data, wanted, booker), key)
        api.crash_points.reach("hold_seats", "before_answer")
    else:
        held = await api.services.offered_times.hold_offered(caller, offer_request(data, wanted), booker, key)
        api.crash_points.reach("hold_times", "before_answer")
    return held


def may_hold_seats(api: ApiParts) -> bool:
    return api.services.bookings.has_room()


async def confirm_booking(api: ApiParts, call: ApiCall[Confirmation]) -> Answer:
    name, email = clean_person(call.data.user_name, call.data.user_email)
    confirmed = await api.services.bookings.confirm_booking(call.caller, call.numbers[0], name, email)
    api.crash_points.reach("confirm_booking", "before_answer")
    return json_answer(BookingView.of(confirmed.booking, visit=confirmed.visit))


async def cancel_booking(api: ApiParts, call: ApiCall[None]) -> Answer:
    booking = await api.services.bookings.cancel_booking(call.caller, call.numbers[0])
    api.crash_points.reach("cancel_booking", "before_answer")
    return json_answer(BookingView.of(booking))


async def get_booking(api: ApiParts, call: ApiCall[None]) -> Answer:
    read = await api.services.bookings.get_booking(call.caller, call.numbers[0])
    return json_answer(BookingView.of(read.booking, visit=read.visit))
