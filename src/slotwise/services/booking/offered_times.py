"""Booking what was offered: a published slot, or a part of a window."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from slotwise.batching.batched_reads import BatchedReads
from slotwise.db.pool import Database
from slotwise.db.statements import Statement
from slotwise.domain.bookings import Booker, SeatRequest, TimeRequest
from slotwise.domain.errors import (
    InvalidInput,
    SlotClosed,
    SlotStarted,
    TimeGone,
    TooEarlyToBook,
    TooLateToBook,
    VisitTypeNotOffered,
)
from slotwise.domain.offered_times import OfferedTime
from slotwise.observability import metrics
from slotwise.services.booking.batches import Held
from slotwise.services.booking.bookings import Bookings
from slotwise.services.core.callers import Caller
from slotwise.services.core.idempotency import IdempotencyKey
from slotwise.services.core.time_ids import TimeIds

# A refusal of what was offered longer ago than this says little: its notice may have passed, or the hours have changed.
# An id has the minute in which it was made.
JUST_OFFERED = timedelta(minutes=2)
# No window has this id.
_NO_WINDOW = 0


class OfferRequest(Struct, frozen=True):
    """`visit_type_id` may repeat the one of the time."""

    time_id: str
    seats: int = 1
    visit_type_id: int | None = None


class SlotPeriod(Struct, frozen=True):
    id: int
    start_time: datetime
    end_time: datetime


class WindowOfDoctor(Struct, frozen=True):
    """Whose open time it is."""

    doctor_id: int
    doctor_name: str
    specialization: str | None
    clinic_id: int


class OpenTime(Struct, frozen=True):
    """A time in open time that a person chose, with what a page says about it. It is for one person."""

    time_id: str
    offered: OfferedTime
    doctor_id: int
    doctor_name: str
    specialization: str | None
    clinic_id: int
    start_time: datetime
    end_time: datetime
    visit_type_id: int
    gone: bool

    @property
    def visit_type_ids(self) -> list[int]:
        return [self.visit_type_id]

    @property
    def duration_minutes(self) -> int:
        return round((self.end_time - self.start_time) / timedelta(minutes=1))


READ_WINDOW = Statement("booking/offered_times.read_window", WindowOfDoctor)
READ_PERIODS = Statement("booking/offered_times.read_periods", SlotPeriod)


def now_in_utc() -> datetime:
    return datetime.now(UTC)


class OfferedTimes:
    def __init__(
        self, database: Database, bookings: Bookings, time_ids: TimeIds, clock: Callable[[], datetime] = now_in_utc
    ) -> None:
        self._database = database
        self._bookings = bookings
        self._time_ids = time_ids
        self._clock = clock
        self._periods = BatchedReads(self._read_periods)

    async def hold_offered(
        self, caller: Caller, wanted: OfferRequest, booker: Booker, key: IdempotencyKey | None = None
    ) -> Held:
        """Hold seats of an offered time, or book them at once. Raises what `hold_seats` raises, and `TimeGone`.

        Raises `InvalidInput` for a forged id, for another visit type, and for several seats in a window.
        """
        time = self._time_ids.read(wanted.time_id)
        if wanted.visit_type_id not in {None, time.visit_type_id}:
            raise InvalidInput.of("visit_type_id", "must be that of the `timeId`, or left out")
        if time.slot_id is None and wanted.seats > 1:
            raise InvalidInput.of("seats_booked", "must be 1: this time is for one person")
        try:
            return await self._hold(caller, time, wanted.seats, booker, key)
        except (SlotClosed, SlotStarted, TimeGone, TooEarlyToBook, TooLateToBook, VisitTypeNotOffered) as refusal:
            if self._was_offered(caller, time):
                metrics.OFFERED_REFUSALS.labels(refusal.code).inc()
            raise

    async def get_open_time(self, time_id: str) -> OpenTime:
        """The time with this id; `gone` if it was offered too long ago.

        Raises `TimeGone` for a text that is not the id of a time in open time, for example of another secret.
        """
        try:
            offered = self._time_ids.read(time_id)
        except InvalidInput as error:
            raise TimeGone from error
        if offered.window_id is None or offered.visit_type_id is None:
            raise TimeGone
        async with self._database.connection() as connection:
            window = await READ_WINDOW.first(connection, window_id=offered.window_id)
        if window is None:
            raise TimeGone
        return OpenTime(
            time_id,
            offered,
            window.doctor_id,
            window.doctor_name,
            window.specialization,
            window.clinic_id,
            offered.start_time,
            offered.end_time,
            offered.visit_type_id,
            offered.is_old(self._clock()),
        )

    async def _hold(
        self, caller: Caller, time: OfferedTime, seats: int, booker: Booker, key: IdempotencyKey | None
    ) -> Held:
        if time.slot_id is None or not await self._is_there(time):
            return await self._bookings.hold_time(caller, self._wanted_time(time, booker), key)
        wanted = SeatRequest(
            time.slot_id,
            seats,
            booker.user_id,
            booker.user_name,
            booker.user_email,
            booker.confirm,
            time.visit_type_id,
        )
        return await self._bookings.hold_seats(caller, wanted, key)

    def _wanted_time(self, time: OfferedTime, booker: Booker) -> TimeRequest:
        """A time that is gone is asked for in no window: if its key has an answer, the client gets that one."""
        return TimeRequest(
            _NO_WINDOW if time.window_id is None or time.is_old(self._clock()) else time.window_id,
            time.start_time,
            time.end_time,
            time.visit_type_id or _NO_WINDOW,
            booker.user_id,
            booker.user_name,
            booker.user_email,
            booker.confirm,
        )

    async def _is_there(self, time: OfferedTime) -> bool:
        """Whether a slot still takes place when it did. One that is moved right after this is booked as it is then."""
        if time.slot_id is None or time.is_old(self._clock()):
            return False
        period = await self._periods.read(time.slot_id)
        return period is not None and (period.start_time, period.end_time) == (time.start_time, time.end_time)

    async def _read_periods(self, slot_ids: list[int]) -> dict[int, SlotPeriod]:
        async with self._database.connection() as connection:
            return {read.id: read for read in await READ_PERIODS.all(connection, slot_ids=slot_ids)}

    def _was_offered(self, caller: Caller, time: OfferedTime) -> bool:
        """Whether this caller could expect to get it: the desk is offered more than patients."""
        return self._clock() - time.issued_at < JUST_OFFERED and (caller.at_desk or not time.for_desk)
