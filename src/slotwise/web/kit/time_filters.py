"""The filters that are on the screen while a person chooses a time: they are sent along with the choice.

Between a change of a filter and the next list, the screen shows times that the new filters exclude.
"""

from collections.abc import Mapping
from urllib.parse import urlencode

from slotwise.domain.search_form import has_same_words
from slotwise.domain.slots import Slot
from slotwise.web.kit.times import ClinicTime

FILTERS = ("speciality", "doctor", "day", "seats")
EXCLUDED = "You changed the search, so the time that you chose was not taken. These are the times for your search."


def filters_in(values: Mapping[str, str]) -> dict[str, str]:
    """What is set of them, by name."""
    return {name: values[name].strip() for name in FILTERS if values.get(name, "").strip()}


def excludes(filters: Mapping[str, str], slot: Slot, time: ClinicTime) -> bool:
    """Whether the filters exclude the slot. Its seats are checked when it is held."""
    own_day = time.day_of(slot.start_time).isoformat()
    return (
        not has_same_words(filters.get("speciality", slot.specialization or ""), slot.specialization or "")
        or filters.get("doctor", str(slot.doctor_id)) != str(slot.doctor_id)
        or filters.get("day", own_day) != own_day
    )


def url_with(filters: Mapping[str, str]) -> str:
    return f"/?{urlencode(filters)}"
