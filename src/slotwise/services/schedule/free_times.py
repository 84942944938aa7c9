"""How a person finds a time: the free times of one day, the days around it, and alternatives if there are none.

A time is free if `hold_seats` would accept it: of a patient in `find_times`, of the desk in `list_next_times`. Days are
in the zone of the query's clinic; twice a year one has 23 or 25 hours.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from slotwise.db.pool import Database
from slotwise.db.search_patterns import equal_to
from slotwise.db.statements import RowId, Statement
from slotwise.domain.clinics import ClinicBook
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME, MAX_ID
from slotwise.domain.name_order import ENGLISH, NameOrder
from slotwise.domain.search_form import has_same_words
from slotwise.domain.slots import Slot
from slotwise.domain.visit_types import VisitType
from slotwise.services.schedule.doctors import list_specializations
from slotwise.services.schedule.slot_lists import Position, SlotQuery
from slotwise.services.schedule.slots import Slots
from slotwise.services.schedule.visit_types import LIST_VISIT_TYPES, MOST_CHOOSABLE, without_secrets

MOST_TIMES = 36
DAYS_OF_STRIP = 14
# The count of a day ends here, and then means that many or more. It also ends when `MOST_LOOKED_AT` slots are read:
# most of a day's slots may have too few free seats.
MOST_COUNTED = 100
MOST_LOOKED_AT = 500
# A search for the next day with enough seats ends after this many slots, a fraction of a second, and can continue.
FARTHEST_SEARCH = 20_000
MOST_SPECIALIZATIONS = 100
MOST_DOCTORS = 100
MOST_OTHERS = 5
# The last day of a query: the midnight after it, and the one after its strip, are still readable in every zone.
LAST_DAY = (LAST_READABLE_TIME - timedelta(days=2 * DAYS_OF_STRIP)).date()


class TimeQuery(Struct, frozen=True):
    """What a person searches for; `after` is the last time of the day that they have already seen.

    `within` are the clinics that the person may book at; None for all.
    """

    specialization: str | None = None
    doctor_id: int | None = None
    day: date | None = None
    seats: int = 1
    after: Position | None = None
    clinic_id: int | None = None
    visit_type_id: int | None = None
    within: frozenset[int] | None = None

    @property
    def clinic_ids(self) -> frozenset[int] | None:
        """The clinics to search at; None for all."""
        return self.within if self.clinic_id is None else frozenset({self.clinic_id})


class Ignored(StrEnum):
    """The parts of a query that could not be met, and so were ignored."""

    SPECIALIZATION = "specialization"
    DOCTOR = "doctor"
    VISIT_TYPE = "visit_type"
    DAY = "day"
    AFTER = "after"


class Why(StrEnum):
    """Why a day has no free time: all times are taken, or none is published, on that day or from now on."""

    DAY_TAKEN = "day_taken"
    DAY_UNPUBLISHED = "day_unpublished"
    ALL_TAKEN = "all_taken"
    UNPUBLISHED = "unpublished"


class ChoosableDoctor(Struct, frozen=True):
    id: int
    name: str
    specialization: str | None


class OtherDoctor(Struct, frozen=True):
    id: int
    name: str
    start_time: datetime


class Day(Struct, frozen=True):
    """If the count is not whole, there may be more. So 0 then does not mean that there are none."""

    date: date
    times: int
    whole: bool = True


class Nothing(Struct, frozen=True):
    """Why there is no free time, and what there is instead.

    `nearest` is the next free time after the day, otherwise the first of all. If the search for it ended early,
    `looked_to` is the day on which it ended. If that is before the day itself, then the search from now on ended
    there, and there is nothing after the day: to continue from there would lead back to it. `for_one` is the
    first free time for one person, if several seats were asked for and no time was found.
    """

    why: Why
    nearest: Slot | None
    looked_to: date | None
    for_one: Slot | None
    others: list[OtherDoctor]


class Choices(Struct, frozen=True):
    """What a query can choose from. If there are very many doctors, only the first by name, with `more_doctors`."""

    specializations: list[str]
    doctors: list[ChoosableDoctor]
    more_doctors: bool
    today: date
    visit_types: list[VisitType] = []


class FreeDay(Struct, frozen=True):
    """`query` is the query as it was understood. `nothing` is None if there are times."""

    query: TimeQuery
    ignored: frozenset[Ignored]
    choices: Choices
    doctor: ChoosableDoctor | None
    day: date
    times: list[Slot]
    more: bool
    strip: list[Day]
    nothing: Nothing | None

    @property
    def today(self) -> date:
        return self.choices.today

    @property
    def earlier(self) -> date | None:
        """The first day of the strip before; None if it is past."""
        before = self.strip[0].date - timedelta(days=DAYS_OF_STRIP)
        return before if before >= self.today else None

    @property
    def later(self) -> date | None:
        after = self.strip[-1].date + timedelta(days=1)
        return after if after <= LAST_DAY else None


class NextTimes(Struct, frozen=True):
    """Free times from a day on, over as many days as it takes. `query` is the query as it was understood.

    `rest` is where to continue: after the last time of the page or, if the search ended early, where it ended, which
    is on the day `looked_to`.
    """

    query: TimeQuery
    ignored: frozenset[Ignored]
    choices: Choices
    times: list[Slot]
    rest: Position | None
    looked_to: date | None


class _Understood(Struct, frozen=True):
    """A query without the parts that were ignored, and the chosen doctor, if any."""

    query: TimeQuery
    ignored: frozenset[Ignored]
    doctor: ChoosableDoctor | None


class _DoctorNow(Struct, frozen=True):
    """`now` is the database's clock."""

    id: int
    name: str
    specialization: str | None
    name_sort_key: bytes
    now: datetime


class _Counted(Struct, frozen=True):
    place: int
    times: int
    whole: bool


class _Reach(Struct, frozen=True):
    start_time: datetime | None


class _Search(Struct, frozen=True):
    """The first free time. If there is none, `ended` is where the search ended early; None if it saw all slots."""

    first: Slot | None
    ended: datetime | None = None


class _Published(Struct, frozen=True):
    on_day: bool
    ahead: bool


LIST_CHOOSABLE_DOCTORS = Statement("schedule/free_times.list_choosable_doctors", _DoctorNow)
COUNT_FREE_TIMES = Statement("schedule/free_times.count_free_times", _Counted)
COUNT_FREE_TIMES_OF_CLINICS = Statement("schedule/free_times.count_free_times_of_clinics", _Counted)
COUNT_FREE_TIMES_OF_DOCTORS = Statement("schedule/free_times.count_free_times_of_doctors", _Counted)
FIND_REACH = Statement("schedule/free_times.find_reach", _Reach)
FIND_REACH_OF_CLINICS = Statement("schedule/free_times.find_reach_of_clinics", _Reach)
FIND_REACH_OF_SPECIALIZATION = Statement("schedule/free_times.find_reach_of_specialization", _Reach)
FIND_CLINICS_WITH_TIMES = Statement("schedule/free_times.find_clinics_with_times", RowId)
LIST_OTHER_DOCTORS = Statement("schedule/free_times.list_other_doctors", OtherDoctor)
LOOK_FOR_PUBLISHED = Statement("schedule/free_times.look_for_published", _Published)


class FreeTimes:
    def __init__(
        self,
        database: Database,
        clinics: ClinicBook,
        farthest_search: int = FARTHEST_SEARCH,
        order: NameOrder = ENGLISH,
    ) -> None:
        self._database = database
        self._order = order
        self._clinics = clinics
        self._farthest_search = farthest_search
        self._slots = Slots(database)

    async def find_times(self, query: TimeQuery) -> FreeDay | None:
        """The day of the query, or the first with a free time. None if no doctor takes appointments.

        Parts of the query that cannot be met, such as a past day, are ignored.
        """
        query = self._at_known_clinic(query)
        read = await self._read_query(query)
        if read is None:
            return None
        understood, choices = read
        times = await self._list_times(understood.query)
        if not times and understood.query.after:
            # The times after that position are taken by now.
            understood = _without_after(understood)
            times = await self._list_times(understood.query)
        return await self._describe(understood, choices, times)

    async def list_next_times(self, query: TimeQuery) -> NextTimes | None:
        """A page of times that the desk can book, from `query.day` on, or from now on.

        None if no doctor takes appointments.
        """
        query = self._at_known_clinic(query)
        read = await self._read_query(replace(query, after=None), for_desk=True)
        if read is None:
            return None
        understood, choices = read
        starts_from = self._start_of(query, understood.query.day) if understood.query.day else FIRST_TIME
        after = max(query.after or (FIRST_TIME, 0), (starts_from, 0))
        reach = await self._find_reach(understood.query, after[0])
        slot_query = _slot_query(understood.query, starts_from, _just_after(reach))
        times = await self._slots.list_slots(replace(slot_query, by_desk=True), MOST_TIMES + 1, after)
        ended = reach if len(times) <= MOST_TIMES else None
        return NextTimes(
            query=replace(understood.query, after=query.after),
            ignored=understood.ignored,
            choices=_of_specialization(choices, understood.query),
            times=times[:MOST_TIMES],
            rest=_end_of_page(times) if ended is None else (ended, MAX_ID),
            looked_to=None if ended is None else self._date_of(query, ended),
        )

    async def find_clinics_with_times(self, clinic_ids: frozenset[int]) -> frozenset[int]:
        """Those of the clinics at which a patient can book a time now."""
        async with self._database.connection() as connection:
            found = await FIND_CLINICS_WITH_TIMES.all(connection, clinic_ids=clinic_ids)
        return frozenset(clinic.id for clinic in found)

    def _at_known_clinic(self, query: TimeQuery) -> TimeQuery:
        """Without a clinic where there is one only, or where that one cannot be chosen.

        A person who may book at one clinic only need not choose.
        """
        if not self._clinics.several:
            return replace(query, clinic_id=None)
        choices = [one.id for one in self._clinics.active if query.within is None or one.id in query.within]
        chosen = query.clinic_id if query.clinic_id in choices else None
        return replace(query, clinic_id=choices[0] if len(choices) == 1 else chosen)

    async def _read_query(self, query: TimeQuery, *, for_desk: bool = False) -> tuple[_Understood, Choices] | None:
        """The query without what cannot be met, and the choices. None if there is no doctor to choose."""
        choices = await self._list_choices(query, for_desk=for_desk)
        asked = query
        if choices is None or not _is_chosen_from(choices, query.specialization):
            query = replace(query, specialization=None)
            choices = await self._list_choices(query, for_desk=for_desk)
        return None if choices is None else (self._understand(asked, query, choices), choices)

    async def _list_choices(self, query: TimeQuery, *, for_desk: bool) -> Choices | None:
        """None if there is no doctor to choose."""
        async with self._database.connection() as connection:
            specializations = await list_specializations(connection, MOST_SPECIALIZATIONS, self._order)
            visit_types = await LIST_VISIT_TYPES.all(connection, after_id=0, limit=MOST_CHOOSABLE, for_desk=for_desk)
            doctors = await LIST_CHOOSABLE_DOCTORS.all(
                connection,
                doctor_id=query.doctor_id,
                specialization=equal_to(query.specialization),
                clinic_ids=query.clinic_ids,
                limit=MOST_DOCTORS + 1,
            )
        if not doctors:
            return None
        # The chosen doctor came first, in order to be among those that are shown.
        shown = sorted(doctors[:MOST_DOCTORS], key=lambda row: (row.name_sort_key, row.id))
        return Choices(
            specializations,
            [ChoosableDoctor(row.id, row.name, row.specialization) for row in shown],
            len(doctors) > MOST_DOCTORS,
            self._date_of(query, doctors[0].now),
            [without_secrets(one) for one in visit_types if one.active],
        )

    def _understand(self, asked: TimeQuery, query: TimeQuery, choices: Choices) -> _Understood:
        asked_for = next((doctor for doctor in choices.doctors if doctor.id == query.doctor_id), None)
        chosen = asked_for if asked_for is not None and _is_of(asked_for, query.specialization) else None
        day = query.day if query.day is not None and choices.today <= query.day <= LAST_DAY else None
        after = query.after if query.after is not None and self._date_of(query, query.after[0]) == day else None
        offered = {one.id for one in choices.visit_types}
        understood = TimeQuery(
            _as_spelled(choices, query.specialization),
            chosen.id if chosen else None,
            day,
            query.seats,
            after,
            query.clinic_id,
            query.visit_type_id if query.visit_type_id in offered else None,
            query.within,
        )
        return _Understood(understood, _ignored(asked, understood), chosen)

    async def _list_times(self, query: TimeQuery) -> list[Slot]:
        """A page of times and one more, of one day or of any."""
        day, starts_from, starts_before = query.day, FIRST_TIME, LAST_READABLE_TIME
        if day is None and query.seats > 1:
            first = (await self._search(query, FIRST_TIME)).first
            if first is None:
                return []
            day = self._date_of(query, first.start_time)
        if day is not None:
            starts_from, starts_before = self._start_of(query, day), self._start_of(query, day + timedelta(days=1))
        slot_query = _slot_query(query, starts_from, starts_before)
        return await self._slots.list_slots(slot_query, MOST_TIMES + 1, query.after or (FIRST_TIME, 0))

    async def _describe(self, understood: _Understood, choices: Choices, found: list[Slot]) -> FreeDay:
        query, today = understood.query, choices.today
        day = query.day or (self._date_of(query, found[0].start_time) if found else today)
        times = [slot for slot in found if self._date_of(query, slot.start_time) == day]
        strip_from = today + (day - today) // timedelta(DAYS_OF_STRIP) * timedelta(DAYS_OF_STRIP)
        return FreeDay(
            query=query,
            ignored=understood.ignored,
            choices=_of_specialization(choices, query),
            doctor=understood.doctor,
            day=day,
            times=times[:MOST_TIMES],
            more=len(times) > MOST_TIMES,
            strip=[
                _as_listed(each, query, times) if each.date == day else each
                for each in await self._count_times(query, strip_from)
            ],
            nothing=None if times else await self._explain(understood, day),
        )

    async def _count_times(self, query: TimeQuery, first: date) -> list[Day]:
        days = [first + timedelta(days=number) for number in range(DAYS_OF_STRIP + 1)]
        starts = [self._start_of(query, day) for day in days]
        async with self._database.connection() as connection:
            if query.doctor_id is not None or query.specialization is not None:
                counted = await COUNT_FREE_TIMES_OF_DOCTORS.all(
                    connection,
                    days_from=starts[:-1],
                    days_to=starts[1:],
                    min_seats=query.seats,
                    visit_type_id=query.visit_type_id,
                    most_looked_at=MOST_LOOKED_AT,
                    limit=MOST_COUNTED,
                    doctor_id=query.doctor_id,
                    specialization=equal_to(query.specialization),
                    clinic_ids=query.clinic_ids,
                )
            elif query.clinic_ids is not None:
                counted = await COUNT_FREE_TIMES_OF_CLINICS.all(
                    connection,
                    days_from=starts[:-1],
                    days_to=starts[1:],
                    min_seats=query.seats,
                    visit_type_id=query.visit_type_id,
                    most_looked_at=MOST_LOOKED_AT,
                    limit=MOST_COUNTED,
                    clinic_ids=query.clinic_ids,
                )
            else:
                counted = await COUNT_FREE_TIMES.all(
                    connection,
                    days_from=starts[:-1],
                    days_to=starts[1:],
                    min_seats=query.seats,
                    visit_type_id=query.visit_type_id,
                    most_looked_at=MOST_LOOKED_AT,
                    limit=MOST_COUNTED,
                )
        return [Day(days[row.place - 1], row.times, row.whole) for row in counted]

    async def _explain(self, understood: _Understood, day: date) -> Nothing:
        query = understood.query
        search = await self._find_nearest(query, day)
        for_one = None
        if search.first is None and query.seats > 1:
            for_one = (await self._search(replace(query, seats=1), FIRST_TIME)).first
        others = await self._list_others(understood, day) if understood.doctor else []
        looked_to = None if search.ended is None else self._date_of(query, search.ended)
        return Nothing(await self._find_reason(query, day, search), search.first, looked_to, for_one, others)

    async def _find_nearest(self, query: TimeQuery, day: date) -> _Search:
        """Without a day in the query, search from now on: a time may have become free since the list was read."""
        if query.day is None:
            return await self._search(query, FIRST_TIME)
        later = await self._search(query, self._start_of(query, day + timedelta(days=1)))
        if later.first or later.ended:
            return later
        first = await self._search(query, FIRST_TIME)
        # Everything after the day was just searched. So if this search reached the day, nothing was left out.
        whole = first.ended is None or first.ended >= self._start_of(query, day)
        return _Search(first.first) if whole else first

    async def _search(self, query: TimeQuery, starts_from: datetime) -> _Search:
        reach = await self._find_reach(query, starts_from)
        found = await self._slots.list_slots(_slot_query(query, starts_from, _just_after(reach)), 1)
        return _Search(found[0]) if found else _Search(None, reach)

    async def _find_reach(self, query: TimeQuery, starts_from: datetime) -> datetime | None:
        """Where a search ends early; None if it never does.

        Only slots with too few free seats can be many. One doctor has few slots, and one seat fits into any free slot.
        """
        if query.seats == 1 or query.doctor_id is not None:
            return None
        async with self._database.connection() as connection:
            if query.specialization is not None:
                reach = await FIND_REACH_OF_SPECIALIZATION.one(
                    connection,
                    starts_from=starts_from,
                    most_looked_at=self._farthest_search,
                    specialization=equal_to(query.specialization),
                    clinic_ids=query.clinic_ids,
                )
            elif query.clinic_ids is not None:
                reach = await FIND_REACH_OF_CLINICS.one(
                    connection,
                    starts_from=starts_from,
                    most_looked_at=self._farthest_search,
                    clinic_ids=query.clinic_ids,
                )
            else:
                reach = await FIND_REACH.one(
                    connection,
                    starts_from=starts_from,
                    most_looked_at=self._farthest_search,
                    min_seats=query.seats,
                )
        return reach.start_time

    async def _list_others(self, understood: _Understood, day: date) -> list[OtherDoctor]:
        doctor, query = understood.doctor, understood.query
        if doctor is None or doctor.specialization is None:
            return []
        async with self._database.connection() as connection:
            return await LIST_OTHER_DOCTORS.all(
                connection,
                doctor_id=doctor.id,
                specialization=equal_to(doctor.specialization),
                clinic_ids=query.clinic_ids,
                min_seats=query.seats,
                visit_type_id=query.visit_type_id,
                starts_from=self._start_of(query, day),
                limit=MOST_OTHERS,
            )

    async def _find_reason(self, query: TimeQuery, day: date, search: _Search) -> Why:
        async with self._database.connection() as connection:
            published = await LOOK_FOR_PUBLISHED.one(
                connection,
                doctor_id=query.doctor_id,
                specialization=equal_to(query.specialization),
                clinic_ids=query.clinic_ids,
                visit_type_id=query.visit_type_id,
                day_from=self._start_of(query, day),
                day_to=self._start_of(query, day + timedelta(days=1)),
            )
        if search.first is None and search.ended is None:
            return Why.ALL_TAKEN if published.ahead else Why.UNPUBLISHED
        return Why.DAY_TAKEN if published.on_day else Why.DAY_UNPUBLISHED

    def _start_of(self, query: TimeQuery, day: date) -> datetime:
        """Midnight at the clinic, in UTC. If the clock skips midnight, the moment of that change."""
        return datetime.combine(day, time(), self._clinics.zone_of(query.clinic_id)).astimezone(UTC)

    def _date_of(self, query: TimeQuery, moment: datetime) -> date:
        return moment.astimezone(self._clinics.zone_of(query.clinic_id)).date()


def _slot_query(query: TimeQuery, starts_from: datetime, starts_before: datetime) -> SlotQuery:
    return SlotQuery(
        query.doctor_id,
        query.specialization,
        starts_from,
        starts_before,
        query.seats,
        query.clinic_ids,
        query.visit_type_id,
    )


def _just_after(reach: datetime | None) -> datetime:
    """Include the slots that start at the end of the search, so that every search makes progress."""
    return LAST_READABLE_TIME if reach is None else reach + timedelta(microseconds=1)


def _end_of_page(times: Sequence[Slot]) -> Position | None:
    """None if the page has all times."""
    last = times[MOST_TIMES - 1] if len(times) > MOST_TIMES else None
    return (last.start_time, last.id) if last else None


def _as_listed(counted: Day, query: TimeQuery, times: Sequence[Slot]) -> Day:
    """The count of the listed day, corrected by its list, which was read at another moment and saw every slot.

    If no day was found to list, the count stays as it is.
    """
    if query.day is None and not times:
        return counted
    if query.after is None and len(times) <= MOST_TIMES:
        return Day(counted.date, len(times))
    return Day(counted.date, max(counted.times, len(times)), counted.whole and len(times) <= counted.times)


def _is_of(doctor: ChoosableDoctor, specialization: str | None) -> bool:
    if specialization is None:
        return True
    return doctor.specialization is not None and has_same_words(doctor.specialization, specialization)


def _is_chosen_from(choices: Choices, specialization: str | None) -> bool:
    """A doctor whom the query names by id is among the choices, whatever the specialization."""
    return specialization is None or any(_is_of(doctor, specialization) for doctor in choices.doctors)


def _of_specialization(choices: Choices, query: TimeQuery) -> Choices:
    return replace(choices, doctors=[each for each in choices.doctors if _is_of(each, query.specialization)])


def _as_spelled(choices: Choices, specialization: str | None) -> str | None:
    if specialization is None:
        return None
    spelled = (known for known in choices.specializations if has_same_words(known, specialization))
    return next(spelled, specialization)


def _ignored(asked: TimeQuery, understood: TimeQuery) -> frozenset[Ignored]:
    """An ignored `after` is not reported: the list then begins with the day again."""
    ignored = {
        Ignored.SPECIALIZATION: asked.specialization is not None and understood.specialization is None,
        Ignored.DOCTOR: asked.doctor_id != understood.doctor_id,
        Ignored.DAY: asked.day != understood.day,
        Ignored.VISIT_TYPE: asked.visit_type_id != understood.visit_type_id,
    }
    return frozenset(what for what, so in ignored.items() if so)


def _without_after(understood: _Understood) -> _Understood:
    return replace(
        understood, query=replace(understood.query, after=None), ignored=understood.ignored | {Ignored.AFTER}
    )
