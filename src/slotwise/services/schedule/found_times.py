"""What a person searches for on the pages to find a time, and what they find."""

from datetime import date, datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from slotwise.domain.fields import LAST_READABLE_TIME
from slotwise.domain.visit_types import VisitType
from slotwise.services.schedule.choosable_times import ChoosableTime
from slotwise.services.schedule.slot_lists import Position

DAYS_OF_STRIP = 14
# The last day of a query: the midnight after it, and the one after its strip, are still readable in every zone.
LAST_DAY = (LAST_READABLE_TIME - timedelta(days=2 * DAYS_OF_STRIP)).date()


class TimeQuery(Struct, frozen=True):
    """What a person searches for; `after` is the last time of the day that they have already seen.

    `within` are the clinics that the person may book at; None for all. `any_visit` if they choose none of the kinds of
    visits. `user_id` is the account whose visits count for the rules of the kind that is wanted.
    """

    specialization: str | None = None
    doctor_id: int | None = None
    day: date | None = None
    seats: int = 1
    after: Position | None = None
    clinic_id: int | None = None
    visit_type_id: int | None = None
    within: frozenset[int] | None = None
    any_visit: bool = False
    user_id: int | None = None

    @property
    def has_filters(self) -> bool:
        """Apart from the clinic and the kind of visit."""
        return self.seats > 1 or any((self.specialization, self.doctor_id, self.day))

    @property
    def clinic_ids(self) -> frozenset[int] | None:
        """The clinics to search at; None for all."""
        return self.within if self.clinic_id is None else frozenset({self.clinic_id})


class OpenVisit(Struct, frozen=True):
    """A visit of a kind in open time, and the account that wants it."""

    visit_type_id: int
    start_time: datetime
    user_id: int | None = None


class Ignored(StrEnum):
    """The parts of a query that could not be met, and so were ignored."""

    SPECIALIZATION = "specialization"
    DOCTOR = "doctor"
    VISIT_TYPE = "visit_type"
    DAY = "day"
    AFTER = "after"


class Why(StrEnum):
    """Why a day has no free time: all times are taken, or none is published, on that day or from now on.

    Or the person cannot book that kind of visit.
    """

    DAY_TAKEN = "day_taken"
    DAY_UNPUBLISHED = "day_unpublished"
    ALL_TAKEN = "all_taken"
    UNPUBLISHED = "unpublished"
    REFUSED = "refused"


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
    nearest: ChoosableTime | None
    looked_to: date | None
    for_one: ChoosableTime | None
    others: list[OtherDoctor]


class Choices(Struct, frozen=True):
    """What a query can choose from. If there are very many doctors, only the first by name, with `more_doctors`."""

    specializations: list[str]
    doctors: list[ChoosableDoctor]
    more_doctors: bool
    today: date
    visit_types: list[VisitType] = []

    def kind_of(self, query: TimeQuery) -> VisitType | None:
        return next((one for one in self.visit_types if one.id == query.visit_type_id), None)


class KindsToChoose(Struct, frozen=True):
    """The person must say first what they need. `query` is the query as it was understood."""

    query: TimeQuery
    ignored: frozenset[Ignored]
    choices: Choices


class FreeDay(Struct, frozen=True):
    """`query` is the query as it was understood. `nothing` is None if there are times.

    `rest` is where to continue the day, if it has more times than these.
    """

    query: TimeQuery
    ignored: frozenset[Ignored]
    choices: Choices
    doctor: ChoosableDoctor | None
    day: date
    times: list[ChoosableTime]
    rest: Position | None
    strip: list[Day]
    nothing: Nothing | None

    @property
    def more(self) -> bool:
        return self.rest is not None

    @property
    def kind(self) -> VisitType | None:
        """What the times are for; None if they are for visits of any kind."""
        return self.choices.kind_of(self.query)

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
    times: list[ChoosableTime]
    rest: Position | None
    looked_to: date | None
