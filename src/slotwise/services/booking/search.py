"""How the desk finds bookings among millions: by slot if the query selects few, otherwise by a limited walk."""

from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from slotwise.db.pool import Connection
from slotwise.db.search_patterns import containing
from slotwise.db.statements import Statement
from slotwise.domain.bookings import Booking, BookingStatus
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME, MAX_ID
from slotwise.domain.slots import MAX_DURATION_MINUTES

# A search takes a tenth of a second at most: it reads at most this many slots, or walks over this many booking ids in
# each step. Bookings of one status have an index, so a walk over them gets further in the same time.
MOST_SLOTS = 30_000
STEPS = (10_000, 90_000)
STEPS_OF_STATUS = (10_000, 90_000, 900_000)
# Where released holds are found or left out, it reads at most this many pages of this many bookings.
MOST_PAGES = 10
PAGE_LIMIT = 500
LONGEST_SLOT = timedelta(minutes=MAX_DURATION_MINUTES)


class BookingQuery(Struct, frozen=True):
    """What the desk searches for. The period of starts is half-open. `during` is another way to ask for a period.

    Each word of `text` is searched for inside name and e-mail address.

    The booking with the id `number` comes first, if it matches everything but `text`. Holds that were given up before
    they were confirmed are CANCELLED, but were never appointments: `released` finds only these or, if false, leaves
    them out.
    """

    status: BookingStatus | None = None
    doctor_id: int | None = None
    slot_id: int | None = None
    starts_from: datetime = FIRST_TIME
    starts_before: datetime = LAST_READABLE_TIME
    text: str | None = None
    number: int | None = None
    released: bool | None = None
    ends_after: datetime = FIRST_TIME
    clinic_ids: frozenset[int] | None = None

    @property
    def of_period(self) -> bool:
        return (self.starts_from, self.starts_before) != (FIRST_TIME, LAST_READABLE_TIME)

    def within(self, clinic_ids: frozenset[int] | None) -> "BookingQuery":
        """For a reader who works for these clinics only; None for all."""
        if clinic_ids is None:
            return self
        return replace(self, clinic_ids=clinic_ids if self.clinic_ids is None else clinic_ids & self.clinic_ids)

    def finds(self, booking: Booking) -> bool:
        """Whether it matches what no index knows."""
        return self.released in {None, booking.released} and (
            self.clinic_ids is None or booking.clinic_id in self.clinic_ids
        )

    def during(self, begins: datetime, ends: datetime) -> "BookingQuery":
        """For appointments that take place in a half-open period, in part or as a whole."""
        return replace(self, starts_from=max(FIRST_TIME, begins - LONGEST_SLOT), starts_before=ends, ends_after=begins)

    def outline(self) -> dict[str, object]:
        """What is set, for the audit log. A text may be a name, so only its presence is recorded."""
        filters = {
            "status": self.status,
            "released": self.released,
            "doctor_id": self.doctor_id,
            "slot_id": self.slot_id,
            "clinic_ids": None if self.clinic_ids is None else sorted(self.clinic_ids),
            # `during` makes it of `ends_after`.
            "starts_from": self.starts_from if self.ends_after == FIRST_TIME != self.starts_from else None,
            "ends_after": None if self.ends_after == FIRST_TIME else self.ends_after,
            "starts_before": None if self.starts_before == LAST_READABLE_TIME else self.starts_before,
            "text": True if self.text else None,
        }
        return {name: value for name, value in filters.items() if value is not None}


class FoundBookings(Struct, frozen=True):
    """Newest first. If the walk ended early, `walked_to` is the id below which there may be more; otherwise None.

    `numbered` is the booking with the query's number, on the first page only, whether or not the list has it.
    """

    bookings: list[Booking]
    walked_to: int | None = None
    number: int | None = None
    numbered: Booking | None = None

    def first(self, count: int) -> list[Booking]:
        """The first `count` of the list, after the booking with the number, which comes only once."""
        others = [booking for booking in self.bookings[:count] if booking.id != self.number]
        return others if self.numbered is None else [self.numbered, *others]


class Counted(Struct, frozen=True):
    slots: int


class Span(Struct, frozen=True):
    """Ids of bookings; zero if there is none."""

    newest: int
    oldest: int


LIST_BOOKINGS = Statement("booking/search.list_bookings", Booking)
LIST_BOOKINGS_OF_STATUS = Statement("booking/search.list_bookings_of_status", Booking)
LIST_BOOKINGS_OF_SLOTS = Statement("booking/search.list_bookings_of_slots", Booking)
COUNT_SLOTS_OF_PERIOD = Statement("booking/search.count_slots_of_period", Counted)
FIND_SPAN = Statement("booking/search.find_span", Span)


async def find_bookings(connection: Connection, query: BookingQuery, before_id: int, limit: int) -> FoundBookings:
    is_indexed = query.released is None and query.clinic_ids is None
    find = _find_by_text if is_indexed else _find_by_reading
    found = await find(connection, query, before_id, limit)
    if query.number is None:
        return found
    is_first_page = before_id >= MAX_ID
    numbered = await _find_numbered(connection, query, query.number) if is_first_page else None
    return replace(found, number=query.number, numbered=numbered)


async def _find_by_reading(connection: Connection, query: BookingQuery, before_id: int, limit: int) -> FoundBookings:
    """No index tells released holds from cancelled appointments, or bookings of one clinic from those of others. So
    this reads on until the page is full.
    """
    found: list[Booking] = []
    for _ in range(MOST_PAGES):
        page = await _find_by_text(connection, query, before_id, PAGE_LIMIT)
        found += [booking for booking in page.bookings if query.finds(booking)]
        if len(found) >= limit:
            return FoundBookings(found[:limit])
        if len(page.bookings) < PAGE_LIMIT:
            return FoundBookings(found, page.walked_to)
        before_id = page.bookings[-1].id
    return FoundBookings(found, before_id)


async def _find_by_text(connection: Connection, query: BookingQuery, before_id: int, limit: int) -> FoundBookings:
    if await _has_few_slots(connection, query):
        return FoundBookings(await _list_of_slots(connection, query, before_id, limit))
    return await _walk(connection, query, before_id, limit)


async def _find_numbered(connection: Connection, query: BookingQuery, number: int) -> Booking | None:
    """`_list_all` does not select by doctor or slot, so both are checked here."""
    for booking in await _list_all(connection, replace(query, text=None), number, number + 1, 1):
        if not query.finds(booking):
            continue
        if query.doctor_id in {None, booking.doctor_id} and query.slot_id in {None, booking.slot_id}:
            return booking
    return None


async def _has_few_slots(connection: Connection, query: BookingQuery) -> bool:
    if query.slot_id is not None or query.doctor_id is not None:
        return True
    if not query.of_period:
        return False
    counted = await COUNT_SLOTS_OF_PERIOD.one(
        connection, starts_from=query.starts_from, starts_before=query.starts_before, limit=MOST_SLOTS + 1
    )
    return counted.slots <= MOST_SLOTS


async def _walk(connection: Connection, query: BookingQuery, before_id: int, limit: int) -> FoundBookings:
    """Walk back from an id in steps, until enough bookings are found, or no bookings or steps are left."""
    list_between, steps = (_list_of_status, STEPS_OF_STATUS) if _has_index(query) else (_list_all, STEPS)
    span = await FIND_SPAN.one(connection, before_id=before_id)
    found: list[Booking] = []
    before = span.newest + 1
    for step in steps:
        if len(found) >= limit or before <= span.oldest:
            break
        floor = max(before - step, span.oldest)
        found += await list_between(connection, query, floor, before, limit - len(found))
        before = floor
    return FoundBookings(found, before if len(found) < limit and before > span.oldest else None)


def _has_index(query: BookingQuery) -> bool:
    return query.status not in {None, BookingStatus.CONFIRMED}


async def _list_all(connection: Connection, query: BookingQuery, floor: int, before: int, limit: int) -> list[Booking]:
    return await LIST_BOOKINGS.all(
        connection,
        status=query.status,
        pattern=containing(query.text),
        any_start=not query.of_period,
        starts_from=query.starts_from,
        starts_before=query.starts_before,
        ends_after=query.ends_after,
        floor_id=floor,
        before_id=before,
        limit=limit,
    )


async def _list_of_status(
    connection: Connection, query: BookingQuery, floor: int, before: int, limit: int
) -> list[Booking]:
    return await LIST_BOOKINGS_OF_STATUS.all(
        connection,
        status=query.status,
        pattern=containing(query.text),
        any_start=not query.of_period,
        starts_from=query.starts_from,
        starts_before=query.starts_before,
        ends_after=query.ends_after,
        floor_id=floor,
        before_id=before,
        limit=limit,
    )


async def _list_of_slots(connection: Connection, query: BookingQuery, before_id: int, limit: int) -> list[Booking]:
    return await LIST_BOOKINGS_OF_SLOTS.all(
        connection,
        slot_id=query.slot_id,
        doctor_id=query.doctor_id,
        starts_from=query.starts_from,
        starts_before=query.starts_before,
        ends_after=query.ends_after,
        status=query.status,
        pattern=containing(query.text),
        before_id=before_id,
        limit=limit,
    )
