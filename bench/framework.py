"""Two reads as the framework alone answers them: a baseline for what Slotwise adds to it, or saves.

No guards, limits, problem documents, request ids, metrics or log. The statement and the pool are the same.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar, get
from litestar.datastructures import State
from msgspec import Struct

from slotwise.db.pool import Database
from slotwise.http.schedule.slots import SlotView
from slotwise.services.schedule.slots import GET_SLOT
from slotwise.settings import load_settings


class Health(Struct):
    status: str = "ok"


@get("/health", sync_to_thread=False)
def get_health() -> Health:
    return Health()


@get("/api/slots/{slot_id:int}")
async def get_slot(slot_id: int, state: State) -> SlotView:
    async with state.database.connection() as connection:
        return SlotView.of(await GET_SLOT.one(connection, slot_id=slot_id))


@asynccontextmanager
async def _connected(app: Litestar) -> AsyncIterator[None]:
    settings = load_settings()
    app.state.database = await Database.connect(str(settings.database_url), settings.db_pool_size)
    try:
        yield
    finally:
        await app.state.database.close()


def create_app() -> Litestar:
    """The app of a worker process. Reads the environment."""
    return Litestar([get_health, get_slot], lifespan=[_connected], openapi_config=None)
