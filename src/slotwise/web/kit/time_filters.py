"""The filters on the screen while a person chooses a time. The choice sends them along.

Between a change of a filter and the next list, the screen shows times that the new filters exclude.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol
from urllib.parse import quote, urlencode

from slotwise.domain.search_form import has_same_words
from slotwise.web.kit.rendering import Renderer
from slotwise.web.kit.times import ClinicTime

FILTERS = ("clinic", "visit", "speciality", "doctor", "day")
# In place of a kind of visit, for times of any kind.
ANY_VISIT = "any"
EXCLUDED = "That time does not fit your search, so we did not take it. These are the times for your search."


class TimeOfDoctor(Protocol):
    """A slot, or a time in open time."""

    @property
    def start_time(self) -> datetime: ...
    @property
    def doctor_id(self) -> int: ...
    @property
    def specialization(self) -> str | None: ...
    @property
    def clinic_id(self) -> int: ...
    @property
    def visit_type_ids(self) -> list[int] | None: ...


def filters_in(values: Mapping[str, str]) -> dict[str, str]:
    """Those that are set, by name."""
    return {name: values[name].strip() for name in FILTERS if values.get(name, "").strip()}


def excludes(
    filters: Mapping[str, str], slot: TimeOfDoctor, time: ClinicTime, *, with_later_days: bool = False
) -> bool:
    """Whether a filter excludes the time. `with_later_days` if the filter `day` also includes the days after it."""
    specialization, day = slot.specialization or "", time.day_of(slot.start_time).isoformat()
    first = filters.get("day", day)
    return (
        not has_same_words(filters.get("speciality", specialization), specialization)
        or filters.get("clinic", str(slot.clinic_id)) != str(slot.clinic_id)
        or filters.get("doctor", str(slot.doctor_id)) != str(slot.doctor_id)
        or filters.get("visit", ANY_VISIT) not in {ANY_VISIT, *map(str, slot.visit_type_ids or ())}
        or (day < first if with_later_days else day != first)
    )


def is_excluded(
    renderer: Renderer, filters: Mapping[str, str], slot: TimeOfDoctor, *, with_later_days: bool = False
) -> bool:
    """By the clock of its clinic."""
    return excludes(filters, slot, renderer.time_of(slot.clinic_id), with_later_days=with_later_days)


def url_with(filters: Mapping[str, str], seats: str, path: str = "/") -> str:
    """The page with the times for these filters."""
    given = {**filters, **({"seats": seats} if seats else {})}
    return f"{path}?{urlencode(given)}"


def url_of_times(renderer: Renderer, clinic_id: int, path: str = "/", **filters: object) -> str:
    """The page with the times of a clinic, for these filters; those that are None are left out."""
    clinic = {"clinic": clinic_id} if renderer.clinics.several else {}
    given = {name: value for name, value in {**clinic, **filters}.items() if value is not None}
    return f"{path}?{urlencode(given, quote_via=quote)}" if given else path
