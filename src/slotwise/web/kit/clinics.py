"""Clinics in forms."""

import re
from collections.abc import Collection

from slotwise.domain.clinics import Clinic, ClinicBook
from slotwise.domain.errors import InvalidInput
from slotwise.web.kit.forms import Form

_ID = re.compile(r"[0-9]{1,18}", re.ASCII)


def clinics_in(form: Form, clinics: ClinicBook) -> frozenset[int]:
    """The clinics that are ticked; empty for all of them, also later ones. So all of today are not the same as none.

    Raises `InvalidInput` for a clinic that is not known. If it were left out, nothing might be ticked, which means all.
    """
    ticked = frozenset(int(text) for text in form.all("clinics") if _ID.fullmatch(text))
    if ticked - {clinic.id for clinic in clinics.all}:
        raise InvalidInput.of("clinics", "are not all known here yet; try again in some seconds")
    return ticked


def clinics_to_choose(clinics: ClinicBook, within: Collection[int] | None = None) -> list[Clinic]:
    """Those that take appointments, of those that a person may book at; none if there is no choice between several."""
    choices = [clinic for clinic in clinics.active if within is None or clinic.id in within]
    return choices if len(choices) > 1 else []


def clinics_to_tick(clinics: ClinicBook, ticked: Collection[int]) -> list[Clinic]:
    """Those that take appointments, and ticked ones that take none: a form without them would remove their ticks."""
    return [clinic for clinic in clinics.all if clinic.active or clinic.id in ticked]
