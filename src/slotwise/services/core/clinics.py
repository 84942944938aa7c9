"""What every worker knows of the clinics, so that no request has to ask the database."""

from collections import defaultdict

from msgspec import Struct

from slotwise.batching.shared_reads import SharedReads
from slotwise.db.pool import Database
from slotwise.db.statements import Statement
from slotwise.domain.clinics import UNNAMED_VERSION, Clinic, ClinicBook
from slotwise.domain.users import User
from slotwise.services.core.callers import require_desk_of

# How often a worker reads them anew. A change that it makes itself, it knows at once.
REFRESH_SECONDS = 1.0


class Place(Struct, frozen=True):
    """Where a slot is."""

    clinic_id: int


class Limit(Struct, frozen=True):
    user_id: int
    clinic_id: int


GET_PLACE = Statement("core/clinics.get_place", Place)
GET_PLACE_OF_WINDOW = Statement("core/clinics.get_place_of_window", Place)
READ_CLINICS = Statement("core/clinics.read_clinics", Clinic)
LIST_LIMITS = Statement("core/clinics.list_limits", Limit)


class ClinicDirectory(ClinicBook):
    """The clinics as they were at most a second or two ago.

    Until somebody has named the first clinic, it is as the settings say.
    """

    def __init__(self, database: Database, first: Clinic) -> None:
        super().__init__([first])
        self._database = database
        self._first = first
        self._reads = SharedReads(self._read)
        self._limits: dict[int, frozenset[int]] = {}

    def limits_of(self, user_id: int) -> frozenset[int] | None:
        """The clinics that an account works for; None for all."""
        return self._limits.get(user_id)

    async def refresh(self) -> None:
        """Know what was committed before this call."""
        await self._reads.read(None)

    async def _read(self, _: None) -> None:
        async with self._database.connection() as connection:
            clinics = await READ_CLINICS.all(connection)
            limits = await LIST_LIMITS.all(connection)
        known = [self._first if clinic.version == UNNAMED_VERSION else clinic for clinic in clinics]
        if known != self.all:
            self._keep(known)
        of_users = defaultdict(set)
        for limit in limits:
            of_users[limit.user_id].add(limit.clinic_id)
        self._limits = {user_id: frozenset(ids) for user_id, ids in of_users.items()}


async def require_desk_of_slot(database: Database, user: User, slot_id: int) -> None:
    """Raise `NotAllowed` for the desk of other clinics. Asks the database only for an account that has limits."""
    if user.clinic_ids is None:
        return
    async with database.connection() as connection:
        _require_desk_there(user, await GET_PLACE.first(connection, slot_id=slot_id))


async def require_desk_of_window(database: Database, user: User, window_id: int) -> None:
    """As `require_desk_of_slot`."""
    if user.clinic_ids is None:
        return
    async with database.connection() as connection:
        _require_desk_there(user, await GET_PLACE_OF_WINDOW.first(connection, window_id=window_id))


def _require_desk_there(user: User, place: Place | None) -> None:
    if place is not None:
        require_desk_of(user, place.clinic_id)
