"""How a client talks to the server: each request is an attempt in the history, whatever becomes of it."""

import itertools
from typing import Any, NamedTuple

import aiohttp
import msgspec
from msgspec import Struct

from torture.history import UNREADABLE, Answer, Attempt, History, Name, Outcome, Purpose

# Longer than the server may take (L3), so that a slow answer is seen and not cut off.
PATIENCE_SECONDS = 20

_decode = msgspec.json.Decoder(Answer).decode


class Caller(NamedTuple):
    """Somebody with keys of their own. Guests have no account and share one room for keys."""

    name: str
    headers: dict[str, str]


GUEST = Caller("guest", {})


class Held(Struct, frozen=True, rename="camel"):
    """What a client keeps of a booking it made."""

    id: int
    expires_at: str | None = None
    manage_token: str = ""


class Client:
    """One connection pool. `url` is the server's, or that of the proxy in front of it."""

    def __init__(self, history: History, url: str, numbers: "itertools.count[int]") -> None:
        self._history = history
        self._numbers = numbers
        self._session = aiohttp.ClientSession(
            url,
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS),
        )
        # Else the library sends GET and DELETE again by itself, and the history would not be what was sent.
        self._session._retry_connection = False

    async def close(self) -> None:
        await self._session.close()

    def new_marker(self) -> str:
        """A name for a request that is to be sent more than once."""
        return f"patient{next(self._numbers)}"

    async def hold(
        self, process: int, caller: Caller, slot_id: int, *, seats: int = 1, at_once: bool = False,
        key: str | None = None, purpose: Purpose = "flow", marker: str | None = None,
    ) -> Attempt:  # fmt: skip
        attempt = self._attempt(process, "hold", slot_id, caller, purpose)
        attempt.marker = marker or attempt.marker
        attempt.seats, attempt.at_once, attempt.key = seats, at_once, key
        return await self._send_hold(attempt, caller)

    async def repeat(self, first: Attempt, caller: Caller, purpose: Purpose = "retry") -> Attempt:
        """The same request again, with its key: or, as the purpose says, with another body or by another caller."""
        attempt = self._attempt(first.process, first.name, first.slot_id, caller, purpose)
        attempt.seats, attempt.at_once, attempt.key = first.seats, first.at_once, first.key
        attempt.booking_id = first.booking_id
        attempt.marker = first.marker
        if purpose == "other_body":
            attempt.seats = first.seats + 1
        return await self._send_hold(attempt, caller)

    async def _send_hold(self, attempt: Attempt, caller: Caller) -> Attempt:
        headers = caller.headers if attempt.key is None else caller.headers | {"Idempotency-Key": attempt.key}
        body = {
            "slotId": attempt.slot_id,
            "userName": attempt.marker,
            "userEmail": f"{attempt.marker}@torture.example",
            "seatsBooked": attempt.seats,
            "confirm": attempt.at_once,
        }
        return await self._send(attempt, "POST", "/api/bookings", headers, body)

    async def confirm(self, hold: Attempt, booking: Held) -> Attempt:
        attempt = self._of_booking("confirm", hold, booking)
        return await self._send(attempt, "POST", f"/api/bookings/{booking.id}/confirm", _token(booking))

    async def cancel(self, hold: Attempt, booking: Held) -> Attempt:
        attempt = self._of_booking("cancel", hold, booking)
        return await self._send(attempt, "DELETE", f"/api/bookings/{booking.id}", _token(booking))

    async def read_booking(self, hold: Attempt, booking: Held) -> Attempt:
        attempt = self._of_booking("read_booking", hold, booking)
        return await self._send(attempt, "GET", f"/api/bookings/{booking.id}", _token(booking))

    def _of_booking(self, name: Name, hold: Attempt, booking: Held) -> Attempt:
        attempt = self._attempt(hold.process, name, hold.slot_id, Caller(hold.caller, {}), "flow")
        attempt.booking_id, attempt.seats = booking.id, hold.seats
        return attempt

    def _attempt(self, process: int, name: Name, slot_id: int, caller: Caller, purpose: Purpose) -> Attempt:
        number = next(self._numbers)
        return Attempt(number, process, name, slot_id, caller.name, f"patient{number}", purpose=purpose)

    async def _send(
        self, attempt: Attempt, method: str, path: str, headers: dict[str, str], body: Any = None
    ) -> Attempt:
        self._history.invoke(attempt)
        outcome: Outcome = "info"
        try:
            async with self._session.request(method, path, headers=headers, json=body) as answer:
                content = await answer.read()
                attempt.http_status = answer.status
                attempt.answer = _decode(content)
                attempt.body = content.decode() if attempt.name == "hold" else None
                outcome = outcome_of(answer.status)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            attempt.error = type(error).__name__
        except msgspec.MsgspecError:
            attempt.error = UNREADABLE
        self._history.complete(attempt, outcome)
        return attempt


def outcome_of(http_status: int) -> Outcome:
    if http_status < 300:
        return "ok"
    return "fail" if http_status < 500 else "info"


def held(attempt: Attempt) -> Held | None:
    """The booking that an attempt made, as its client knows it."""
    if attempt.outcome != "ok" or attempt.body is None:
        return None
    return msgspec.json.decode(attempt.body, type=Held)


def _token(booking: Held) -> dict[str, str]:
    return {"Booking-Token": booking.manage_token}
