"""A client of the API. Each request is an attempt in the history, whatever its outcome."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import aiohttp
import msgspec
from msgspec import Struct

from torture import roads
from torture.history import UNREADABLE, Answer, Attempt, Change, History, Name, Offer, Outcome, Purpose, Visit
from torture.roads import Road

# Longer than the server may take (L3), so that a slow answer is seen and not cut off.
PATIENCE_SECONDS = 20

_decode = msgspec.json.Decoder(Answer).decode


class Caller(NamedTuple):
    """A caller with its own idempotency keys; all guests share theirs. `cookies` are those of a logged-in browser."""

    name: str
    headers: dict[str, str]
    cookies: Mapping[str, str] = {}


GUEST = Caller("guest", {})


class Held(Struct, frozen=True, rename="camel"):
    """What a client remembers of a booking that it made."""

    id: int
    expires_at: str | None = None
    manage_token: str = ""


class Reply(NamedTuple):
    """An answer. `location` is the target of a redirect; `cookies` are those that the answer sets."""

    status: int
    content: bytes
    location: str
    cookies: Mapping[str, str]


# Copies what the history needs from a reply into the attempt, and returns the outcome.
Reading = Callable[[Attempt, Reply], Outcome]


class Connections:
    """A connection pool to `url`, which is the server's or its proxy's."""

    def __init__(self, history: History, url: str, numbers: "itertools.count[int]") -> None:
        self.history = history
        # The ids of the clinic's visit types, once it is open.
        self.visit_types: Mapping[Visit, int] = {}
        self._numbers = numbers
        self._session = aiohttp.ClientSession(
            url,
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        # Otherwise the library repeats GET and DELETE by itself, and the history would miss these requests.
        self._session._retry_connection = False

    async def close(self) -> None:
        await self._session.close()

    def new_marker(self) -> str:
        """A name for a request that will be sent more than once."""
        return f"patient{next(self._numbers)}"

    def attempt(
        self, process: int, name: Name, slot_id: int, caller: Caller, purpose: Purpose = "flow", **given: Any
    ) -> Attempt:
        number = next(self._numbers)
        return Attempt(
            number, process, name, slot_id, caller.name, given.pop("marker", f"patient{number}"), purpose=purpose,
            **given,
        )  # fmt: skip

    async def send(
        self, attempt: Attempt, road: Road, reading: Reading, headers: Mapping[str, str], *, path: str = "",
        **body: Any,
    ) -> Attempt:  # fmt: skip
        """`body` has the library's arguments: `json`, `data` or `params`. Redirects are not followed."""
        attempt.road = road.name
        self.history.invoke(attempt)
        outcome: Outcome = "info"
        try:
            async with self._session.request(
                road.method, path or road.path, headers=headers, allow_redirects=False, **body
            ) as answer:
                content = await answer.read()
                attempt.http_status = answer.status
                cookies = {name: morsel.value for name, morsel in answer.cookies.items()}
                outcome = reading(attempt, Reply(answer.status, content, answer.headers.get("Location", ""), cookies))
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            attempt.error = type(error).__name__
        except (msgspec.MsgspecError, ValueError, LookupError):
            attempt.error = UNREADABLE
        self.history.complete(attempt, outcome)
        return attempt


def outcome_of(http_status: int) -> Outcome:
    if http_status < 300:
        return "ok"
    return "fail" if http_status < 500 else "info"


def read_json(attempt: Attempt, reply: Reply) -> Outcome:
    attempt.answer = _decode(reply.content)
    return outcome_of(reply.status)


def read_hold(attempt: Attempt, reply: Reply) -> Outcome:
    attempt.body = reply.content.decode()
    outcome = read_json(attempt, reply)
    if outcome == "ok" and attempt.is_carving and attempt.answer:
        attempt.slot_id = attempt.answer.slot_id or 0
    return outcome


class Client:
    """Requests through the API."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self._attempt = connections.attempt
        self._send = connections.send

    def new_marker(self) -> str:
        return self.connections.new_marker()

    async def hold(
        self, process: int, caller: Caller, slot_id: int, *, seats: int = 1, at_once: bool = False,
        key: str | None = None, purpose: Purpose = "flow", marker: str | None = None, visit: Visit | None = None,
        patient: str | None = None,
    ) -> Attempt:  # fmt: skip
        attempt = self._attempt(
            process, "hold", slot_id, caller, purpose, seats=seats, at_once=at_once, key=key, visit=visit,
            patient=patient,
        )  # fmt: skip
        attempt.marker = marker or attempt.marker
        return await self._send_hold(attempt, caller)

    async def hold_offered(
        self, process: int, caller: Caller, offer: Offer, *, at_once: bool = False, key: str | None = None,
        purpose: Purpose = "flow",
    ) -> Attempt:  # fmt: skip
        attempt = self._attempt(
            process, "hold", offer.slot_id or 0, caller, purpose, at_once=at_once, key=key, offer=offer
        )
        return await self._send_hold(attempt, caller)

    async def repeat(self, first: Attempt, caller: Caller, purpose: Purpose = "retry") -> Attempt:
        """The same request again with its key; depending on `purpose`, with another body or by another caller."""
        # In open time, each answer tells the slot anew: another caller with this key asks for the same time.
        slot_id = 0 if first.is_carving else first.slot_id
        attempt = self._attempt(first.process, first.name, slot_id, caller, purpose, marker=first.marker)
        attempt.seats, attempt.at_once, attempt.key = first.seats, first.at_once, first.key
        attempt.booking_id, attempt.visit, attempt.patient = first.booking_id, first.visit, first.patient
        attempt.offer = first.offer
        if purpose == "other_body" and attempt.offer is not None:
            # A time in open time is for one person.
            attempt.at_once = not first.at_once
        elif purpose == "other_body":
            attempt.seats = first.seats + 1
        return await self._send_hold(attempt, caller)

    async def _send_hold(self, attempt: Attempt, caller: Caller) -> Attempt:
        headers = caller.headers if attempt.key is None else caller.headers | {"Idempotency-Key": attempt.key}
        time = {"timeId": attempt.offer.time_id} if attempt.offer else {"slotId": attempt.slot_id}
        body = time | {
            "userName": attempt.marker,
            "userEmail": attempt.email,
            "seatsBooked": attempt.seats,
            "confirm": attempt.at_once,
        }
        if attempt.visit is not None:
            body["visitTypeId"] = self.connections.visit_types[attempt.visit]
        return await self._send(attempt, roads.HOLD_SEATS, read_hold, headers, json=body)

    async def overbook(self, process: int, desk: Caller, slot_id: int, seats: int) -> Attempt:
        attempt = self._attempt(process, "hold", slot_id, desk, seats=seats, at_once=True)
        body = {
            "userName": attempt.marker,
            "userEmail": attempt.email,
            "seatsBooked": seats,
            "reason": "torture",
        }
        path = roads.OVERBOOK_SEATS.path.format(slot_id=slot_id)
        return await self._send(attempt, roads.OVERBOOK_SEATS, read_hold, desk.headers, path=path, json=body)

    async def confirm(self, hold: Attempt, booking: Held, by: Caller | None = None) -> Attempt:
        """Confirm with the booking's token, or as an account at the desk. A hold without a name gets its marker."""
        attempt = self._of_booking("confirm", hold, booking, by)
        name = {"userName": hold.marker, "userEmail": hold.email}
        return await self._send_for(attempt, roads.CONFIRM_BOOKING, booking, by, json=name if hold.nameless else None)

    async def cancel(self, hold: Attempt, booking: Held, by: Caller | None = None) -> Attempt:
        return await self._send_for(self._of_booking("cancel", hold, booking, by), roads.CANCEL_BOOKING, booking, by)

    async def read_booking(self, hold: Attempt, booking: Held, by: Caller | None = None) -> Attempt:
        return await self._send_for(self._of_booking("read_booking", hold, booking, by), roads.GET_BOOKING, booking, by)

    async def change_slot(
        self, process: int, admin: Caller, slot_id: int, change: Change, start: str, doctor: int | None = None
    ) -> Attempt:
        """`start` is the start in `change`, as text for the API."""
        attempt = self._attempt(process, "change_slot", slot_id, admin, change=change, doctor=doctor)
        wanted = {"totalSeats": change.total, "status": change.status, "startTime": start or None}
        body = {name: value for name, value in wanted.items() if value is not None}
        path = roads.UPDATE_SLOT.path.format(slot_id=slot_id)
        return await self._send(attempt, roads.UPDATE_SLOT, read_json, admin.headers, path=path, json=body)

    async def publish(self, process: int, admin: Caller, road: Road, body: dict[str, Any], **ids: int) -> Attempt:
        """Create or change a doctor, or publish slots. The attempt then names a created slot, so that it is judged."""
        attempt = self._attempt(process, "publish", 0, admin, doctor=body.get("doctorId"))
        await self._send(attempt, road, read_json, admin.headers, path=road.path.format(**ids), json=body)
        if road == roads.CREATE_SLOT and attempt.outcome == "ok" and attempt.answer:
            attempt.slot_id = attempt.answer.id or 0
        return attempt

    def _of_booking(self, name: Name, hold: Attempt, booking: Held, by: Caller | None) -> Attempt:
        caller = by or Caller(hold.caller, {})
        return self._attempt(
            hold.process, name, hold.slot_id, caller, booking_id=booking.id, seats=hold.seats, visit=hold.visit,
            patient=hold.patient,
        )  # fmt: skip

    async def _send_for(self, attempt: Attempt, road: Road, booking: Held, by: Caller | None, **body: Any) -> Attempt:
        path = road.path.format(booking_id=booking.id)
        headers = by.headers if by else {"Booking-Token": booking.manage_token}
        return await self._send(attempt, road, read_json, headers, path=path, **body)


def held(attempt: Attempt) -> Held | None:
    """The booking that an attempt made, as the client knows it."""
    if attempt.outcome != "ok" or attempt.body is None:
        return None
    return msgspec.json.decode(attempt.body, type=Held)
