"""The filters on the screen while a person chooses a time. The choice sends them along.

Between a change of a filter and the next list, the screen shows times that the new filters exclude.
"""

from collections.abc import Mapping
from urllib.parse import urlencode

from slotwise.domain.search_form import has_same_words
from slotwise.domain.slots import Slot
from slotwise.web.kit.rendering import Renderer
from slotwise.web.kit.times import ClinicTime

FILTERS = ("clinic", "speciality", "doctor", "day")
EXCLUDED = "That time does not fit your search, so we did not take it. These are the times for your search."


def filters_in(values: Mapping[str, str]) -> dict[str, str]:
    """Those that are set, by name."""
    return {name: values[name].strip() for name in FILTERS if values.get(name, "").strip()}


def excludes(filters: Mapping[str, str], slot: Slot, time: ClinicTime, *, with_later_days: bool = False) -> bool:
    """Whether a filter excludes the slot. `with_later_days` if the filter `day` also includes the days after it."""
    specialization, day = slot.specialization or "", time.day_of(slot.start_time).isoformat()
    first = filters.get("day", day)
    return (
        not has_same_words(filters.get("speciality", specialization), specialization)
        or filters.get("clinic", str(slot.clinic_id)) != str(slot.clinic_id)
        or filters.get("doctor", str(slot.doctor_id)) != str(slot.doctor_id)
        or (day < first if with_later_days else day != first)
    )


def is_excluded(renderer: Renderer, filters: Mapping[str, str], slot: Slot, *, with_later_days: bool = False) -> bool:
    """By the clock of the slot's clinic."""
    return excludes(filters, slot, renderer.time_of(slot.clinic_id), with_later_days=with_later_days)


def url_with(filters: Mapping[str, str], seats: str, path: str = "/") -> str:
    """The page with the times for these filters."""
    given = {**filters, **({"seats": seats} if seats else {})}
    return f"{path}?{urlencode(given)}"
