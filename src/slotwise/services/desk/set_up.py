"""How far a clinic is set up."""

from msgspec import Struct

from slotwise.db.pool import Database
from slotwise.db.statements import Statement


class SetUp(Struct, frozen=True):
    """`accounts` are those at the desk."""

    first_doctor_id: int | None
    has_times: bool
    has_visit_types: bool
    accounts: int


GET_SET_UP = Statement("desk/set_up.get_set_up", SetUp)


class SettingUp:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get_set_up(self) -> SetUp:
        async with self._database.connection() as connection:
            return await GET_SET_UP.one(connection)
