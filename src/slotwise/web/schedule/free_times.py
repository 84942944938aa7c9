"""Finding a time: the free times of a day. Visitors with the same query share one page."""

import gzip
from datetime import datetime, time
from http import HTTPStatus
from operator import attrgetter
from typing import Any, Protocol

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from msgspec import Struct
from msgspec.structs import replace

from slotwise.batching.shared_reads import SharedReads
from slotwise.domain.bookings import Booking, BookingStatus
from slotwise.domain.clinics import Clinic
from slotwise.domain.errors import BookingNotFound
from slotwise.domain.search_form import has_same_words
from slotwise.domain.users import User
from slotwise.server.direct import Answer, Call, KnownQueries
from slotwise.services.booking.bookings import Bookings
from slotwise.services.core.callers import Caller
from slotwise.services.schedule.choosable_times import ChoosableTime
from slotwise.services.schedule.found_times import FreeDay, KindsToChoose, TimeQuery
from slotwise.services.schedule.free_times import MOST_DOCTORS, FreeTimes
from slotwise.services.schedule.slot_lists import Position
from slotwise.web.kit.access import ANYBODY, PageRequest, page_for, visitor_in
from slotwise.web.kit.assets import accepts_gzip
from slotwise.web.kit.clinics import clinics_to_choose
from slotwise.web.kit.direct import direct_page
from slotwise.web.kit.rendering import HEADERS, HTML, Renderer, cookies_due, see_other
from slotwise.web.kit.visitors import Visitor, clear_cookie, first_attempt_cookie
from slotwise.web.schedule.free_times_query import (
    EMPTY_QUERY,
    MOST_SEATS,
    FindQuery,
    find_query_in,
    is_url_of,
    on,
    url_of,
)

TEMPLATE = "schedule/free_times/times.html"
PATH = "/"
# Rendered pages that are kept, of about 40 kB each.
MOST_MADE = 200
# Half-open, by the clinic's clock.
PARTS_OF_DAY = (("Morning", time(0), time(12)), ("Afternoon", time(12), time(17)), ("Evening", time(17), None))
# Nearly as small as the highest level, in a fifth of the time.
_GZIP_LEVEL = 4


class Offer(Struct, frozen=True):
    """A time on the page; `held` if this visitor is holding it. `key` names it on the page."""

    key: str
    position: Position
    slot_id: int | None
    time_id: str | None
    start_time: datetime
    doctor_name: str
    specialization: str | None
    total_seats: int
    available_seats: int
    held: bool = False


class PartOfDay(Struct, frozen=True):
    """`url` leads to its first time, on whichever page of the day that is."""

    name: str
    offers: list[Offer]
    url: str


class Found(Struct, frozen=True):
    """What a page shows. `day` is None also where the visitor has to choose a clinic first.

    `free_at` are the clinics with a time that a patient can book: of those to choose from or, where there is one only,
    that one if the page has no time.
    """

    day: FreeDay | KindsToChoose | None
    free_at: frozenset[int] = frozenset()


class SharedPage(Struct, frozen=True):
    """A page that looks the same for all visitors. It holds no secret, so it can be compressed safely."""

    body: bytes
    compressed: bytes


class FindPages:
    """Reads once for all visitors who want the same page at the same time, and renders it only if something changed."""

    def __init__(self, free_times: FreeTimes, bookings: Bookings, renderer: Renderer) -> None:
        self._bookings = bookings
        self._renderer = renderer
        self._days = SharedReads(free_times.find_times)
        self._free_at = SharedReads(free_times.find_clinics_with_times)
        self._shared = SharedReads(self._make)
        self._made: dict[FindQuery, tuple[object, SharedPage]] = {}

    async def shared_page(self, query: FindQuery) -> SharedPage:
        return await self._shared.read(query)

    async def own_page(self, request: PageRequest, query: FindQuery) -> Response[str]:
        """For a visitor with an account, or with a time that is held for them.

        Staff who work for some clinics see the times of these: at the others they cannot book with their account.
        """
        visitor = visitor_in(request)
        query = replace(query, times=_for(visitor.user, query.times))
        held = await self._held_by(visitor)
        found = await self._find(query)
        # A visitor whose hold has ended gets the shared page from the next request on.
        ended = visitor.hold is not None and held is None
        cookies = [clear_cookie(request, "hold")] if ended else []
        context = context_of(self._renderer, query, found, held)
        clinic_id = _clinic_of(query, found.day)
        return self._renderer.answer(request, TEMPLATE, cookies=cookies, clinic_id=clinic_id, **context)

    async def _find(self, query: FindQuery) -> Found:
        day = None if _asks_where(self._renderer, query) else await self._days.read(query.times)
        clinics = _choices(self._renderer, query)
        if not clinics and _is_without_times(day):
            clinics = [self._renderer.clinics.get(_clinic_of(query, day))]
        return Found(day, await self._free_at.read(frozenset(one.id for one in clinics)) if clinics else frozenset())

    async def _held_by(self, visitor: Visitor) -> Booking | None:
        """The hold that the browser remembers, if it is still live. Found by its token alone, so no name is read."""
        if visitor.hold is None:
            return None
        try:
            found = await self._bookings.get_managed_booking(Caller(None, visitor.hold.token), visitor.hold.booking_id)
        except BookingNotFound:
            return None
        return found.booking if found.booking.status is BookingStatus.PENDING else None

    async def _make(self, query: FindQuery) -> SharedPage:
        found = await self._find(query)
        # The words for days and for the zone change with the calendar.
        time = self._renderer.time_of(_clinic_of(query, found.day))
        shown = (found, time.today(), time.zone_words, self._renderer.clinics.active)
        before, made = self._made.get(query, (None, None))
        if made is None or before != shown:
            made = self._render(query, found)
            if len(self._made) >= MOST_MADE:
                self._made.clear()
            self._made[query] = shown, made
        return made

    def _render(self, query: FindQuery, found: Found) -> SharedPage:
        context = context_of(self._renderer, query, found, None)
        clinic_id = _clinic_of(query, found.day)
        body = self._renderer.render(TEMPLATE, clinic_id=clinic_id, visitor=Visitor(), path=PATH, **context).encode()
        return SharedPage(body, gzip.compress(body, _GZIP_LEVEL, mtime=0))


_KNOWN_QUERIES: KnownQueries[FindQuery] = KnownQueries()
_KNOWN_QUERIES.remember(b"", EMPTY_QUERY)


class HasFindPages(Protocol):
    @property
    def find_pages(self) -> FindPages: ...


async def _show_shared_page(web: HasFindPages, call: Call) -> Answer:
    """For a visitor without cookies."""
    shared = await web.find_pages.shared_page(call.data)
    cookie = first_attempt_cookie(secure=call.origin.scheme == "https")
    answer = _answer(call.header(b"accept-encoding") or "", shared)
    return replace(answer, headers={**answer.headers, "Set-Cookie": cookie.to_header(header="")})


class FindController(Controller):
    path = PATH

    @get("/", **direct_page(_show_shared_page, _KNOWN_QUERIES.read), **page_for(ANYBODY))
    async def find_times(self, request: PageRequest, find_pages: NamedDependency[FindPages]) -> Response[Any]:
        text = request.scope["query_string"].decode("latin-1")
        query = find_query_in(request.query_params) if text else EMPTY_QUERY
        if text and not query.unread and not is_url_of(query.times, text):
            # Without scripts, a form sends its empty fields too.
            return see_other(request, url_of(query.times))
        _KNOWN_QUERIES.remember(request.scope["query_string"], query)
        if not visitor_in(request).is_anybody:
            return await find_pages.own_page(request, query)
        answer = _answer(request.headers.get("accept-encoding", ""), await find_pages.shared_page(query))
        cookies = cookies_due(request)
        return Response(answer.body, headers=dict(answer.headers), cookies=cookies, media_type=HTML)


def _for(user: User | None, query: TimeQuery) -> TimeQuery:
    """What the account can book. The rules of a kind of visit depend on the visits that it has had."""
    if user is None:
        return query
    return replace(query, within=user.books_at, user_id=None if query.visit_type_id is None else user.id)


def _answer(accept_encoding: str, shared: SharedPage) -> Answer:
    """Browsers must not keep it: a visitor who goes back must see the time that they hold."""
    headers, body = {**HEADERS, "Vary": "Accept-Encoding"}, shared.body
    if accepts_gzip(accept_encoding):
        headers["Content-Encoding"], body = "gzip", shared.compressed
    return Answer(HTTPStatus.OK, f"{HTML}; charset=utf-8", body, headers)


def context_of(renderer: Renderer, query: FindQuery, page: Found, held: Booking | None) -> dict[str, Any]:
    """What the template shows."""
    found = page.day if isinstance(page.day, FreeDay) else None
    times = query.times if page.day is None else page.day.query
    contact = renderer.clinics.get(times.clinic_id)
    return {
        # Those without a free time come last.
        "clinics": sorted(_choices(renderer, query), key=lambda clinic: clinic.id not in page.free_at),
        "free_at": page.free_at,
        "contact": contact,
        "is_free_here": contact.id in page.free_at,
        "asks_where": _asks_where(renderer, query),
        "asks_what": page.day if isinstance(page.day, KindsToChoose) else None,
        "found": found,
        "kind": None if found is None else found.kind,
        "held": held,
        "unread": query.unread,
        "query": times,
        "parts": [] if found is None else parts_of(renderer, found, held),
        "long": found is not None and (found.more or times.after is not None),
        "more": None if found is None or not found.more else _url_after(found),
        "here": url_of(times),
        "clear": url_of(TimeQuery(clinic_id=times.clinic_id)),
        "most_doctors": MOST_DOCTORS,
        "most_seats": MOST_SEATS,
        "url_on": lambda day: url_of(on(times, day)),
        "url_with": lambda **change: url_of(replace(times, after=None, **change)),
    }


def _choices(renderer: Renderer, query: FindQuery) -> list[Clinic]:
    return clinics_to_choose(renderer.clinics, query.times.within)


def _asks_where(renderer: Renderer, query: FindQuery) -> bool:
    """Whether there is a choice between clinics, and the query names none of them."""
    choices = {clinic.id for clinic in _choices(renderer, query)}
    return bool(choices) and query.times.clinic_id not in choices


def _clinic_of(query: FindQuery, found: FreeDay | KindsToChoose | None) -> int | None:
    """The clinic that the page is about. What was found knows whether that of the query can be chosen."""
    return query.times.clinic_id if found is None else found.query.clinic_id


def _is_without_times(day: FreeDay | KindsToChoose | None) -> bool:
    return isinstance(day, KindsToChoose) or (day is not None and day.nothing is not None)


def _url_after(found: FreeDay) -> str:
    return url_of(replace(found.query, day=found.day, after=found.rest))


def parts_of(renderer: Renderer, found: FreeDay, held: Booking | None) -> list[PartOfDay]:
    """The parts of the day with times on this page; all parts if the day does not fit on one page."""
    offers = _offers(renderer, found, held)
    long = found.more or found.query.after is not None
    local = renderer.time_of(found.query.clinic_id).local
    parts = []
    for name, first, before in PARTS_OF_DAY:
        own = [offer for offer in offers if _is_within(local(offer.start_time).time(), first, before)]
        if own or long:
            parts.append(PartOfDay(name, own, _url_from(renderer, found, first)))
    return parts


def _is_within(clock: time, first: time, before: time | None) -> bool:
    return first <= clock and (before is None or clock < before)


def _url_from(renderer: Renderer, found: FreeDay, first: time) -> str:
    """Begins before the first time that starts then: ids begin at 1."""
    if first == time(0):
        return url_of(on(found.query, found.day))
    start = datetime.combine(found.day, first, renderer.time_of(found.query.clinic_id).zone)
    return url_of(replace(found.query, day=found.day, after=(start, 0)))


def _offers(renderer: Renderer, found: FreeDay, held: Booking | None) -> list[Offer]:
    """The free times and, in its place, the time that the visitor holds, which may no longer be free for others."""
    own = _own_offer(held, found) if held is not None and _fits(renderer, found, held) else None
    offers = [_offer(time) for time in found.times if own is None or time.slot_id != own.slot_id]
    return sorted([*offers, own], key=attrgetter("position")) if own is not None else offers


def _offer(time: ChoosableTime) -> Offer:
    return Offer(
        time.key,
        time.position,
        time.slot_id,
        time.time_id,
        time.start_time,
        time.doctor_name,
        time.specialization,
        time.total_seats,
        time.available_seats,
    )


def _own_offer(held: Booking, found: FreeDay) -> Offer:
    seats = held.seats_booked
    return Offer(
        str(held.slot_id),
        _position_of(held, found),
        held.slot_id,
        None,
        held.start_time,
        held.doctor_name,
        held.specialization,
        seats,
        seats,
        held=True,
    )


def _position_of(held: Booking, found: FreeDay) -> Position:
    """Where it would be in the list: see `ChoosableTime.position`."""
    return held.start_time, held.slot_id if found.kind is None else held.doctor_id


def _fits(renderer: Renderer, found: FreeDay, held: Booking) -> bool:
    """Whether the held time would be on this page if it were free."""
    query, position = found.query, _position_of(held, found)
    return (
        renderer.time_of(query.clinic_id).day_of(held.start_time) == found.day
        and query.clinic_id in {None, held.clinic_id}
        and query.visit_type_id in {None, held.visit_type_id}
        and query.doctor_id in {None, held.doctor_id}
        and (query.specialization is None or has_same_words(query.specialization, held.specialization or ""))
        and (query.after is None or query.after < position)
        and (found.rest is None or position <= found.rest)
    )
