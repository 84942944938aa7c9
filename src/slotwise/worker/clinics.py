"""Keeps what the worker knows of the clinics up to date."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from slotwise.domain.errors import Unavailable
from slotwise.services.core.clinics import REFRESH_SECONDS, ClinicDirectory
from slotwise.worker.housekeeping import every


@asynccontextmanager
async def refreshing(directory: ClinicDirectory) -> AsyncIterator[None]:
    """Read the clinics now, and again every second while the block runs."""
    with suppress(Unavailable):  # then the settings count until the database is back
        await directory.refresh()
    loop = asyncio.create_task(every(REFRESH_SECONDS, "refresh_clinics", directory.refresh))
    try:
        yield
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
