"""How a person finds a time: the free times of one day, the days around it, and alternatives if there are none.

A time is free if it can be held: by a patient in `find_times`, by the desk in `list_next_times`. Days are in the zone
of the query's clinic; twice a year one has 23 or 25 hours.

Where a clinic has kinds of visits, a person says first which one they need: only then it is known when a visit can
begin in open time, and how long it takes. Lists without a kind have published slots only.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

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
from slotwise.services.schedule.choosable_times import ChoosableTime, Listed, TimesOfKind
from slotwise.services.schedule.doctors import list_specializations
from slotwise.services.schedule.found_times import (
    DAYS_OF_STRIP,
    LAST_DAY,
    Choices,
    ChoosableDoctor,
    Day,
    FreeDay,
    Ignored,
    KindsToChoose,
    NextTimes,
    Nothing,
    OpenVisit,
    OtherDoctor,
    TimeQuery,
    Why,
)
from slotwise.services.schedule.slot_lists import Position, SlotQuery
from slotwise.services.schedule.slot_searches import MOST_COUNTED, count_slots, find_reach
from slotwise.services.schedule.slots import Slots
from slotwise.services.schedule.time_searches import TimesQuery
from slotwise.services.schedule.times import Times
from slotwise.services.schedule.visit_types import LIST_VISIT_TYPES, MOST_CHOOSABLE, without_secrets

MOST_TIMES = 36
# A search for the next day with enough seats ends after this many slots, a fraction of a second, and can continue.
FARTHEST_SEARCH = 20_000
MOST_SPECIALIZATIONS = 100
MOST_DOCTORS = 100
MOST_OTHERS = 5
# No account has this id. It stands for one without visits, which can also book what guests cannot.
NEW_ACCOUNT = 0


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


class _Search(Struct, frozen=True):
    """The first free time. If there is none, `ended` is where the search ended early; None if it saw all times."""

    first: ChoosableTime | None
    ended: datetime | None = None


class _Published(Struct, frozen=True):
    on_day: bool
    ahead: bool


LIST_CHOOSABLE_DOCTORS = Statement("schedule/free_times.list_choosable_doctors", _DoctorNow)
FIND_CLINICS_WITH_TIMES = Statement("schedule/free_times.find_clinics_with_times", RowId)
LIST_OTHER_DOCTORS = Statement("schedule/free_times.list_other_doctors", OtherDoctor)
LOOK_FOR_OPEN_TIME = Statement("schedule/free_times.look_for_open_time", _Published)
LOOK_FOR_PUBLISHED = Statement("schedule/free_times.look_for_published", _Published)


class FreeTimes:
    def __init__(
        self,
        database: Database,
        clinics: ClinicBook,
        times: Times,
        farthest_search: int = FARTHEST_SEARCH,
        order: NameOrder = ENGLISH,
    ) -> None:
        self._database = database
        self._order = order
        self._clinics = clinics
        self._farthest_search = farthest_search
        self._slots = Slots(database)
        self._times = times
        self._of_kind = TimesOfKind(times)

    async def find_times(self, query: TimeQuery) -> FreeDay | KindsToChoose | None:
        """The day of the query, or the first with a free time. None if no doctor takes appointments.

        Parts of the query that cannot be met, such as a past day, are ignored.
        """
        query = self._at_known_clinic(query)
        read = await self._read_query(query)
        if read is None:
            return None
        understood, choices = read
        if await self._asks_kind(understood.query, choices):
            return _kinds_to_choose(understood, choices)
        listed = await self._list_times(understood.query)
        if not listed.times and understood.query.after:
            # The times after that position are taken by now.
            understood = _without_after(understood)
            listed = await self._list_times(understood.query)
        return await self._describe(understood, choices, listed)

    async def list_next_times(self, query: TimeQuery) -> NextTimes | KindsToChoose | None:
        """A page of times that the desk can book, from `query.day` on, or from now on.

        None if no doctor takes appointments.
        """
        query = self._at_known_clinic(query)
        read = await self._read_query(replace(query, after=None), for_desk=True)
        if read is None:
            return None
        understood, choices = read
        if await self._asks_kind(understood.query, choices):
            return _kinds_to_choose(understood, choices)
        starts_from = self._start_of(query, understood.query.day) if understood.query.day else FIRST_TIME
        after = max(query.after or (FIRST_TIME, 0), (starts_from, 0))
        listed = await self._list_for_desk(understood.query, starts_from, after)
        ended = listed.ended if len(listed.times) < MOST_TIMES else None
        return NextTimes(
            query=replace(understood.query, after=query.after),
            ignored=understood.ignored,
            choices=_of_specialization(choices, understood.query),
            times=listed.times,
            rest=listed.ended,
            looked_to=None if ended is None else self._date_of(query, ended[0]),
        )

    async def find_clinics_with_times(self, clinic_ids: frozenset[int]) -> frozenset[int]:
        """Those of the clinics at which a patient can book a time now."""
        async with self._database.connection() as connection:
            slots = await FIND_CLINICS_WITH_TIMES.all(connection, clinic_ids=clinic_ids)
        found = {clinic.id for clinic in slots}
        return frozenset(found | {one for one in clinic_ids - found if await self._has_open_time(one)})

    async def find_open_time(self, doctor_id: int, clinic_id: int, visit: OpenVisit) -> ChoosableTime | None:
        """The doctor's open time for a visit that begins then, if it is free."""
        query = TimesQuery(
            doctor_id,
            clinic_ids=frozenset({clinic_id}),
            visit_type_id=visit.visit_type_id,
            starts_from=visit.start_time,
            starts_before=_just_after(visit.start_time),
            user_id=visit.user_id,
        )
        listed = await self._of_kind.list_times(query, 1)
        return next((time for time in listed.times if time.time_id is not None), None)

    async def _has_open_time(self, clinic_id: int) -> bool:
        """Whether a guest or a new account can book in open time there. Only asked of clinics without a free slot."""
        query = TimesQuery(clinic_ids=frozenset({clinic_id}), starts_before=LAST_READABLE_TIME)
        of_guests = await self._times.list_times(query, 1)
        return bool(of_guests.times or (await self._times.list_times(replace(query, user_id=NEW_ACCOUNT), 1)).times)

    async def _asks_kind(self, query: TimeQuery, choices: Choices) -> bool:
        """Whether the person must choose a kind of visit: to begin with, and where times are missing without it.

        Open time is for one person.
        """
        if not choices.visit_types or query.visit_type_id is not None or query.any_visit:
            return False
        if not query.has_filters:
            return True
        return query.seats == 1 and (await self._look_for_open_time(query, choices.today)).ahead

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
        understood = replace(
            query,
            specialization=_as_spelled(choices, query.specialization),
            doctor_id=chosen.id if chosen else None,
            day=day,
            after=after,
            visit_type_id=query.visit_type_id if query.visit_type_id in offered else None,
            any_visit=query.any_visit and bool(offered),
        )
        return _Understood(understood, _ignored(asked, understood), chosen)

    async def _list_times(self, query: TimeQuery) -> Listed:
        """A page of times, of one day or of any."""
        day, starts_from, starts_before = query.day, FIRST_TIME, LAST_READABLE_TIME
        if day is None and query.seats > 1:
            first = (await self._search(query, FIRST_TIME)).first
            if first is None:
                return Listed()
            day = self._date_of(query, first.start_time)
        if day is not None:
            starts_from, starts_before = self._start_of(query, day), self._start_of(query, day + timedelta(days=1))
        if query.visit_type_id is not None:
            times_query = _times_query(query, starts_from, starts_before)
            return await self._of_kind.list_times(times_query, MOST_TIMES, query.after)
        slot_query = _slot_query(query, starts_from, starts_before)
        return _page_of(await self._slots.list_slots(slot_query, MOST_TIMES + 1, query.after or (FIRST_TIME, 0)))

    async def _list_for_desk(self, query: TimeQuery, starts_from: datetime, after: Position) -> Listed:
        if query.visit_type_id is not None:
            times_query = replace(_times_query(query, starts_from, LAST_READABLE_TIME), by_desk=True)
            return await self._of_kind.list_times(times_query, MOST_TIMES, after)
        reach = await self._find_reach(query, after[0])
        slot_query = replace(_slot_query(query, starts_from, _just_after(reach)), by_desk=True)
        page = _page_of(await self._slots.list_slots(slot_query, MOST_TIMES + 1, after))
        return page if page.ended or reach is None else replace(page, ended=(reach, MAX_ID))

    async def _describe(self, understood: _Understood, choices: Choices, listed: Listed) -> FreeDay:
        query, today, found = understood.query, choices.today, listed.times
        day = query.day or (self._date_of(query, found[0].start_time) if found else today)
        times = [time for time in found if self._date_of(query, time.start_time) == day]
        rest = listed.ended if self._continues(query, day, listed) else None
        strip_from = today + (day - today) // timedelta(DAYS_OF_STRIP) * timedelta(DAYS_OF_STRIP)
        return FreeDay(
            query=query,
            ignored=understood.ignored,
            choices=_of_specialization(choices, query),
            doctor=understood.doctor,
            day=day,
            times=times,
            rest=rest,
            strip=[
                _as_listed(each, query, times, rest) if each.date == day else each
                for each in await self._count_times(query, strip_from)
            ],
            nothing=None if times else await self._explain(understood, day),
        )

    def _continues(self, query: TimeQuery, day: date, listed: Listed) -> bool:
        """Whether there may be more times of the day after those of the list."""
        last = listed.following or (listed.ended and listed.ended[0])
        return last is not None and self._date_of(query, last) == day

    async def _count_times(self, query: TimeQuery, first: date) -> list[Day]:
        days = [first + timedelta(days=number) for number in range(DAYS_OF_STRIP + 1)]
        starts = [self._start_of(query, day) for day in days]
        if query.visit_type_id is not None:
            of_kind = await self._of_kind.count_times(_times_query(query, starts[0], starts[-1]), starts, MOST_COUNTED)
            return [Day(day, each.times, each.whole) for day, each in zip(days, of_kind, strict=False)]
        async with self._database.connection() as connection:
            counted = await count_slots(connection, _slot_query(query, starts[0], starts[-1]), starts)
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
        if query.visit_type_id is not None:
            listed = await self._of_kind.list_times(_times_query(query, starts_from, LAST_READABLE_TIME), 1)
            return _Search(listed.times[0]) if listed.times else _Search(None, listed.ended and listed.ended[0])
        reach = await self._find_reach(query, starts_from)
        found = await self._slots.list_slots(_slot_query(query, starts_from, _just_after(reach)), 1)
        return _Search(ChoosableTime.of_slot(found[0])) if found else _Search(None, reach)

    async def _find_reach(self, query: TimeQuery, starts_from: datetime) -> datetime | None:
        """Where a search ends early; None if it never does.

        Only slots with too few free seats can be many. One doctor has few slots, and one seat fits into any free slot.
        """
        if query.seats == 1 or query.doctor_id is not None:
            return None
        async with self._database.connection() as connection:
            return await find_reach(connection, _slot_query(query, starts_from), self._farthest_search)

    async def _list_others(self, understood: _Understood, day: date) -> list[OtherDoctor]:
        doctor, query = understood.doctor, understood.query
        if doctor is None or doctor.specialization is None:
            return []
        if query.visit_type_id is not None:
            times_query = _times_query(query, self._start_of(query, day), LAST_READABLE_TIME)
            times_query = replace(times_query, specialization=doctor.specialization)
            first = await self._of_kind.list_other_doctors(times_query, doctor.id, MOST_OTHERS)
            return [OtherDoctor(time.doctor_id, time.doctor_name, time.start_time) for time in first]
        async with self._database.connection() as connection:
            return await LIST_OTHER_DOCTORS.all(
                connection,
                doctor_id=doctor.id,
                specialization=equal_to(doctor.specialization),
                clinic_ids=query.clinic_ids,
                min_seats=query.seats,
                starts_from=self._start_of(query, day),
                limit=MOST_OTHERS,
            )

    async def _find_reason(self, query: TimeQuery, day: date, search: _Search) -> Why:
        if query.visit_type_id is not None and not await self._of_kind.can_book(_times_query(query)):
            return Why.REFUSED
        published = await self._look_for_published(query, day)
        if search.first is None and search.ended is None:
            return Why.ALL_TAKEN if published.ahead else Why.UNPUBLISHED
        return Why.DAY_TAKEN if published.on_day else Why.DAY_UNPUBLISHED

    async def _look_for_published(self, query: TimeQuery, day: date) -> _Published:
        """Of open time too, where times in it are listed."""
        open_time = _Published(on_day=False, ahead=False)
        if query.visit_type_id is not None and query.seats == 1:
            open_time = await self._look_for_open_time(query, day)
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
        return _Published(published.on_day or open_time.on_day, published.ahead or open_time.ahead)

    async def _look_for_open_time(self, query: TimeQuery, day: date) -> _Published:
        async with self._database.connection() as connection:
            return await LOOK_FOR_OPEN_TIME.one(
                connection,
                doctor_id=query.doctor_id,
                specialization=equal_to(query.specialization),
                clinic_ids=query.clinic_ids,
                visit_type_id=query.visit_type_id,
                day_from=self._start_of(query, day),
                day_to=self._start_of(query, day + timedelta(days=1)),
            )

    def _start_of(self, query: TimeQuery, day: date) -> datetime:
        """Midnight at the clinic, in UTC. If the clock skips midnight, the moment of that change."""
        return datetime.combine(day, time(), self._clinics.zone_of(query.clinic_id)).astimezone(UTC)

    def _date_of(self, query: TimeQuery, moment: datetime) -> date:
        return moment.astimezone(self._clinics.zone_of(query.clinic_id)).date()


def _slot_query(query: TimeQuery, starts_from: datetime, starts_before: datetime = LAST_READABLE_TIME) -> SlotQuery:
    return SlotQuery(
        query.doctor_id,
        query.specialization,
        starts_from,
        starts_before,
        query.seats,
        query.clinic_ids,
    )


def _times_query(
    query: TimeQuery, starts_from: datetime = FIRST_TIME, starts_before: datetime = LAST_READABLE_TIME
) -> TimesQuery:
    return TimesQuery(
        query.doctor_id,
        query.specialization,
        query.clinic_ids,
        query.visit_type_id,
        starts_from,
        starts_before,
        query.seats,
        query.user_id,
    )


def _kinds_to_choose(understood: _Understood, choices: Choices) -> KindsToChoose:
    return KindsToChoose(understood.query, understood.ignored, _of_specialization(choices, understood.query))


def _just_after(reach: datetime | None) -> datetime:
    """Include the slots that start at the end of the search, so that every search makes progress."""
    return LAST_READABLE_TIME if reach is None else reach + timedelta(microseconds=1)


def _page_of(slots: Sequence[Slot]) -> Listed:
    """Of one slot more than the page has: if it is there, there are more."""
    times = [ChoosableTime.of_slot(slot) for slot in slots]
    if len(times) <= MOST_TIMES:
        return Listed(times)
    return Listed(times[:MOST_TIMES], times[MOST_TIMES - 1].position, times[MOST_TIMES].start_time)


def _as_listed(counted: Day, query: TimeQuery, times: Sequence[ChoosableTime], rest: Position | None) -> Day:
    """The count of the listed day, corrected by its list, which was read at another moment and saw every time.

    If no day was found to list, the count stays as it is.
    """
    if query.day is None and not times:
        return counted
    if query.after is None and rest is None:
        return Day(counted.date, len(times))
    more = len(times) + (rest is not None)
    return Day(counted.date, max(counted.times, more), counted.whole and more <= counted.times)


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
