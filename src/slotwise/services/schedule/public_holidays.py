"""The public holidays of a country, as a proposal for a clinic's closures.

The library `holidays` knows them. It is imported when somebody asks, because that takes a second and few ever do.
"""

import asyncio
import re
from datetime import date

from msgspec import Struct

_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


class PublicHoliday(Struct, frozen=True):
    day: date
    name: str


class Region(Struct, frozen=True):
    """A part of a country with holidays of its own."""

    code: str
    name: str


async def list_countries() -> dict[str, str]:
    """Names of countries by their code (ISO 3166-1), in order of the names."""
    return await asyncio.to_thread(_countries)


async def list_regions(country: str) -> list[Region]:
    return await asyncio.to_thread(_regions, country)


async def list_public_holidays(country: str, region: str | None, year: int) -> list[PublicHoliday]:
    """By day. Names are in English where the library has them. The country and the region must be known ones."""
    return await asyncio.to_thread(_holidays, country, region, year)


def _countries() -> dict[str, str]:
    from holidays.registry import COUNTRIES  # noqa: PLC0415 - see above

    named = {names[1]: _WORDS.sub(" ", names[0]) for names in COUNTRIES.values()}
    return dict(sorted(named.items(), key=lambda item: item[1]))


def _regions(country: str) -> list[Region]:
    from holidays import country_holidays  # noqa: PLC0415 - see above

    kind = type(country_holidays(country))
    aliases = kind.get_subdivision_aliases()
    found = [Region(code, (aliases.get(code) or [code])[0]) for code in kind.subdivisions]
    return sorted(found, key=lambda region: region.name)


def _holidays(country: str, region: str | None, year: int) -> list[PublicHoliday]:
    from holidays import country_holidays  # noqa: PLC0415 - see above

    found = country_holidays(country, subdiv=region, years=year, language="en_US")
    return [PublicHoliday(day, name) for day, name in sorted(found.items()) if day.year == year]
