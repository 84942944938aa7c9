"""A client of the pages, which sends forms as a browser does. Each request is an attempt in the history too."""

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import Struct

from torture import roads
from torture.client import Caller, Connections, Held, Reply, held, outcome_of
from torture.history import Answer, Attempt, Change, Name, Offer, Outcome, Purpose, Visit
from torture.roads import Road

# Texts of pages that refuse, with the code that a problem document would have. The first match counts.
_REFUSALS = (
    # Before the others: the form of the desk says also that such a time may be taken.
    (re.compile(r"The clinic has changed its hours|<p>This time is no longer offered\."), "time-gone"),
    (re.compile(r"There is room for only (?P<free>\d+) "), "slot-full"),
    (re.compile(r"This time is no longer free"), "slot-full"),
    (re.compile(r"(?P<taken>\d+) seats are held or booked"), "seats-taken"),
    (re.compile(r"[Tt]he clinic has closed it|This time is closed for booking"), "slot-closed"),
    (re.compile(r"number of people can no longer be changed"), "slot-closed"),
    (re.compile(r"This kind of visit is not offered at this time"), "visit-type-not-offered"),
    (re.compile(r"It is too late to book this time"), "too-late-to-book"),
    (re.compile(r"It is too early to book this time"), "too-early-to-book"),
    (re.compile(r"<h1[^>]*>It is too late to cancel this appointment here"), "too-late-to-change"),
    (re.compile(r"You already have an appointment of this kind"), "booking-limit-reached"),
    (re.compile(r"This kind of visit is for new patients"), "for-new-patients-only"),
    (re.compile(r"This kind of visit is for patients who have been here before"), "for-returning-patients-only"),
    # Before the next: a page that says so begins with the words of an expired hold.
    (re.compile(r"The clinic (cancelled this appointment|released this hold)"), "booking-cancelled"),
    (re.compile(r"The hold was not confirmed before|This time is no longer held for you"), "hold-expired"),
    (re.compile(r"The hold expired before it was confirmed"), "booking-failed"),
    (re.compile(r"The booking was cancelled|This appointment is cancelled"), "booking-cancelled"),
    (re.compile(r"We do not know whether that worked"), "outcome-unknown"),
    (re.compile(r"We are very busy just now"), "unavailable"),
    (re.compile(r"Something has changed since you looked. Nothing was done"), "schedule-changed"),
    (re.compile(r"Somebody else has changed these hours meanwhile. Nothing was saved"), "changed-meanwhile"),
    (re.compile(r"in the meantime. Nothing was changed|with \d+\+? bookings?\?"), "asked-first"),
)
_HEADING = re.compile(r"<h1[^>]*>([^<]+)</h1>")
_LISTED = re.compile(r'name="listed" value="(\d+)"')
_SEALED = re.compile(r'name="(change|token)" value="([^"]+)"')
_OFFER = re.compile(r'data-slot="(\d+)" data-seats="(\d+)"')
_OPEN_OFFER = re.compile(r'name="time" value="([^"]+)"[^>]*><time datetime="([^"]+)"')
STAYS = "confirmed already"


class _Slip(Struct, frozen=True):
    booking_id: int
    token: str


class Browser:
    """Requests through the pages. It stores no cookies: each request says which ones it sends."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def hold(
        self, process: int, caller: Caller, slot_id: int, seats: int, click: str, marker: str,
        visit: Visit | None = None,
    ) -> Attempt:  # fmt: skip
        """Sending the same `click` again gives the same hold. A slot with several types asks which `visit` it is."""
        attempt = self._connections.attempt(process, "hold", slot_id, caller, seats=seats, marker=marker, visit=visit)
        form: dict[str, Any] = {"slot": slot_id, "seats": seats}
        if visit is not None:
            form["visit_type"] = self._connections.visit_types[visit]
        return await self._send(attempt, roads.HOLD_FORM, caller, form, _read_made, click=click)

    async def hold_offered(
        self, process: int, caller: Caller, offer: Offer, click: str, marker: str, purpose: Purpose = "flow"
    ) -> Attempt:
        """A time in open time. Sending the same `click` again gives the same hold."""
        attempt = self._connections.attempt(process, "hold", 0, caller, purpose, marker=marker, offer=offer)
        return await self._send(attempt, roads.HOLD_FORM, caller, {"time": offer.time_id}, _read_made, click=click)

    async def change_seats(self, hold: Attempt, booking: Held, seats: int, click: str) -> Attempt:
        """Replace this hold by one with so many seats."""
        attempt = self._of_booking("change_seats", hold, booking, seats=seats, marker=hold.marker)
        form = {"seats": seats, "token": booking.manage_token}
        return await self._send(attempt, roads.SEATS_FORM, None, form, _read_made, click=click)

    async def confirm(self, hold: Attempt, booking: Held, by: Caller | None = None) -> Attempt:
        attempt = self._of_booking("confirm", hold, booking, by)
        person = {"user_name": hold.marker, "user_email": hold.email}
        if by:
            return await self._send(attempt, roads.DESK_CONFIRM_FORM, by, person, _read_done)
        form = person | {"token": booking.manage_token, "seats": hold.seats}
        return await self._send(attempt, roads.CONFIRM_FORM, None, form, _read_done)

    async def cancel(self, hold: Attempt, booking: Held, by: Caller | None = None, *, asked: bool = False) -> Attempt:
        """`asked` if the desk ticks that the patient asked for it."""
        attempt = self._of_booking("cancel", hold, booking, by, asked=asked)
        if by:
            form = {"reason": "torture"} | ({"patient_asked": "yes"} if asked else {})
            return await self._send(attempt, roads.DESK_CANCEL_FORM, by, form, _read_done)
        return await self._send(attempt, roads.CANCEL_FORM, None, {"token": booking.manage_token}, _read_cancelled)

    async def release(self, hold: Attempt, booking: Held) -> Attempt:
        attempt = self._of_booking("release", hold, booking)
        return await self._send(attempt, roads.RELEASE_FORM, None, {"token": booking.manage_token}, _read_released)

    async def book_at_desk(self, process: int, desk: Caller, slot_id: int, seats: int, key: str) -> Attempt:
        attempt = self._connections.attempt(process, "hold", slot_id, desk, seats=seats, at_once=True)
        form = {
            "slot": slot_id, "seats": seats, "key": key,
            "user_name": attempt.marker, "user_email": attempt.email,
        }  # fmt: skip
        return await self._send(attempt, roads.DESK_BOOKING_FORM, desk, form, _read_slip)

    async def book_offered(
        self, process: int, desk: Caller, offer: Offer, key: str, marker: str, purpose: Purpose = "flow"
    ) -> Attempt:
        """A time in open time. Sending the same `key` again gives the same booking."""
        attempt = self._connections.attempt(
            process, "hold", 0, desk, purpose, marker=marker, at_once=True, offer=offer, click=key
        )
        form = {"time": offer.time_id, "key": key, "user_name": marker, "user_email": attempt.email}
        return await self._send(attempt, roads.DESK_BOOKING_FORM, desk, form, _read_slip)

    async def overbook(self, process: int, desk: Caller, slot_id: int, seats: int, key: str) -> Attempt:
        attempt = self._connections.attempt(process, "hold", slot_id, desk, seats=seats, at_once=True)
        form = {
            "seats": seats, "key": key, "reason": "torture",
            "user_name": attempt.marker, "user_email": attempt.email,
        }  # fmt: skip
        return await self._send(attempt, roads.OVERBOOKING_FORM, desk, form, _read_slip)

    async def change_slot(
        self, process: int, admin: Caller, slot_id: int, change: Change, listed: int = 0
    ) -> tuple[Attempt, int]:
        """Returns also the newest booking that the page lists if it asks for confirmation. Send it as `listed` to
        confirm."""
        attempt = self._connections.attempt(process, "change_slot", slot_id, admin, change=change)
        asked = 0

        def read(attempt: Attempt, reply: Reply) -> Outcome:
            nonlocal asked
            found = _LISTED.search(reply.content.decode()) if reply.status == 200 else None
            asked = int(found[1]) if found else 0
            return _read_done(attempt, reply)

        await self._send(attempt, roads.SLOT_FORM, admin, _slot_form(change, listed), read)
        return attempt, asked

    async def publish(self, process: int, admin: Caller, road: Road, form: dict[str, Any], **ids: int) -> Attempt:
        attempt = self._connections.attempt(process, "publish", 0, admin)
        return await self._send(attempt, road, admin, form, _read_done, ids=ids)

    async def preview_hours(
        self, process: int, admin: Caller, doctor_id: int, rule_id: int, form: dict[str, Any]
    ) -> dict[str, str]:
        """The fields of the preview's page; none if the hours were refused."""
        attempt = self._connections.attempt(process, "look_around", 0, admin)
        sealed: dict[str, str] = {}

        def read(attempt: Attempt, reply: Reply) -> Outcome:
            if reply.status != 200:
                return _read_done(attempt, reply)
            sealed.update(_SEALED.findall(reply.content.decode()))
            return "ok"

        await self._send(attempt, roads.HOURS_FORM, admin, form, read, ids={"doctor_id": doctor_id, "rule_id": rule_id})
        return sealed

    async def apply_schedule(self, process: int, admin: Caller, sealed: dict[str, str]) -> Attempt:
        attempt = self._connections.attempt(process, "apply_schedule", 0, admin)
        return await self._send(attempt, roads.SCHEDULE_FORM, admin, sealed, _read_done)

    def _of_booking(self, name: Name, hold: Attempt, booking: Held, by: Caller | None = None, **given: Any) -> Attempt:
        given = {"seats": hold.seats, "visit": hold.visit, "patient": hold.patient, **given}
        caller = by or Caller(hold.caller, {})
        return self._connections.attempt(hold.process, name, hold.slot_id, caller, booking_id=booking.id, **given)

    async def _send(
        self, attempt: Attempt, road: Road, caller: Caller | None, form: Mapping[str, Any], reading: Any, *,
        click: str = "", ids: Mapping[str, int] | None = None,
    ) -> Attempt:  # fmt: skip
        cookies = dict(caller.cookies if caller else {})
        if click:
            cookies["slotwise-attempt"] = attempt.click = click
        path = road.path.format(**{"booking_id": attempt.booking_id, "slot_id": attempt.slot_id, **(ids or {})})
        return await self._connections.send(
            attempt, road, reading, headers_of(cookies), path=path, data={name: str(form[name]) for name in form}
        )


def headers_of(cookies: Mapping[str, str]) -> dict[str, str]:
    """The headers that a browser sends with a form of this site."""
    sent = {"Sec-Fetch-Site": "same-origin"}
    if cookies:
        sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return sent


def offers_in(page: str) -> dict[int, int]:
    """The slots on a page of free times, with their free seats."""
    return {int(slot): int(seats) for slot, seats in _OFFER.findall(page)}


def open_offers_in(page: str) -> dict[str, float]:
    """The times in open time on a page of free times, each with its start in seconds since 1970."""
    return {time_id: datetime.fromisoformat(start).timestamp() for time_id, start in _OPEN_OFFER.findall(page)}


def held_somehow(attempt: Attempt) -> Held | None:
    """The booking that an attempt made, by the API or by a form."""
    return held(attempt) if attempt.road == roads.HOLD_SEATS.name else held_by_page(attempt)


def held_by_page(attempt: Attempt) -> Held | None:
    """The booking that a form made, as the browser knows it."""
    if attempt.booked is None or attempt.body is None:
        return None
    return Held(attempt.booked, None, attempt.body)


def _slot_form(change: Change, listed: int) -> dict[str, Any]:
    if change.total is not None:
        return {"total_seats": change.total}
    sure = {"listed": listed} if listed else {}
    if change.status is not None:
        return {"status": change.status, **sure}
    start = datetime.fromtimestamp(change.start or 0, UTC)
    return {"day": f"{start:%Y-%m-%d}", "time": f"{start:%H:%M}", "duration_minutes": 30, **sure}


def _read_made(attempt: Attempt, reply: Reply) -> Outcome:
    """A redirect leads to the new hold. If it leads to the old one, that was confirmed in between and stays."""
    if reply.status != 303:
        return _read_done(attempt, reply)
    url = urlsplit(reply.location)
    booking_id = int(url.path.rpartition("/")[2])
    if booking_id == attempt.booking_id:
        attempt.answer = Answer(code=STAYS)
        return "fail"
    attempt.answer = Answer(id=booking_id)
    attempt.body = parse_qs(url.query)["token"][0]
    return "ok"


def _read_slip(attempt: Attempt, reply: Reply) -> Outcome:
    if reply.status != 303:
        return _read_done(attempt, reply)
    slip = msgspec.json.decode(_decoded(reply.cookies["slotwise-slip"]), type=_Slip)
    attempt.answer, attempt.body = Answer(id=slip.booking_id), slip.token
    return "ok"


def _read_cancelled(attempt: Attempt, reply: Reply) -> Outcome:
    """An expired hold cannot be cancelled: then the redirect has no notice."""
    if reply.status == 303 and "slotwise-notice" not in reply.cookies:
        attempt.answer = Answer(code="booking-failed")
        return "fail"
    return _read_done(attempt, reply)


def _read_released(attempt: Attempt, reply: Reply) -> Outcome:
    if reply.status == 303 and b"stays" in _decoded(reply.cookies["slotwise-notice"]):
        attempt.answer = Answer(code=STAYS)
        return "fail"
    return _read_done(attempt, reply)


def _read_done(attempt: Attempt, reply: Reply) -> Outcome:
    """A redirect means that the form was accepted. A page as answer says what is wrong, and nothing was done."""
    if reply.status == 303:
        return "ok"
    attempt.answer = refusal_in(reply.content.decode())
    return outcome_of(max(reply.status, 400))


def refusal_in(page: str) -> Answer:
    """The refusal on a page, with the number of free or taken seats if the page says it."""
    for words, code in _REFUSALS:
        found = words.search(page)
        if found is not None:
            told = found.groupdict()
            free = int(told.get("free") or 0) if code == "slot-full" else None
            taken = int(told["taken"]) if told.get("taken") else None
            return Answer(code=code, available_seats=free, seats_taken=taken)
    heading = _HEADING.search(page)
    return Answer(heading=heading[1].strip() if heading else None)


def _decoded(cookie: str) -> bytes:
    return base64.urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4))
