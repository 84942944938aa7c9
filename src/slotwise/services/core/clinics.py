"""What every worker knows of the clinics, so that no request has to ask the database."""

from collections import defaultdict

from msgspec import Struct

from slotwise.batching.shared_reads import SharedReads
from slotwise.db.pool import Database
from slotwise.db.statements import Statement
from slotwise.domain.clinics import FIRST_CLINIC, UNNAMED_VERSION, Clinic

# How often a worker reads them anew. A change that it makes itself, it knows at once.
REFRESH_SECONDS = 1.0


class Limit(Struct, frozen=True):
    user_id: int
    clinic_id: int


READ_CLINICS = Statement("core/clinics.read_clinics", Clinic)
LIST_LIMITS = Statement("core/clinics.list_limits", Limit)


class ClinicDirectory:
    """The clinics as they were at most a second or two ago.

    Until somebody has named the first clinic, it is as the settings say.
    """

    def __init__(self, database: Database, first: Clinic) -> None:
        self._database = database
        self._first = first
        self._reads = SharedReads(self._read)
        self._known = {FIRST_CLINIC: first}
        self._active = [first]
        self._limits: dict[int, frozenset[int]] = {}

    @property
    def active(self) -> list[Clinic]:
        """Those that take appointments, by id; never empty."""
        return self._active

    @property
    def all(self) -> list[Clinic]:
        """By id, also those that take no appointments."""
        return list(self._known.values())

    @property
    def main(self) -> Clinic:
        """The first that takes appointments. Its zone counts where no other clinic is meant."""
        return self._active[0]

    @property
    def several(self) -> bool:
        return len(self._active) > 1

    def get(self, clinic_id: int) -> Clinic:
        """The main clinic in place of one that another worker has added just now."""
        return self._known.get(clinic_id, self.main)

    def find(self, clinic_id: int | None) -> Clinic | None:
        return None if clinic_id is None else self._known.get(clinic_id)

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
        self._known = {clinic.id: clinic for clinic in known}
        self._active = [clinic for clinic in known if clinic.active] or [self._first]
        of_users = defaultdict(set)
        for limit in limits:
            of_users[limit.user_id].add(limit.clinic_id)
        self._limits = {user_id: frozenset(ids) for user_id, ids in of_users.items()}
