"""Clinics in forms."""

import re

from slotwise.domain.clinics import ClinicBook
from slotwise.web.kit.forms import Form

_ID = re.compile(r"[0-9]{1,18}", re.ASCII)


def clinics_in(form: Form, clinics: ClinicBook) -> frozenset[int]:
    """The clinics that are ticked; empty for all of them, whether all are ticked or none."""
    ticked = frozenset(int(text) for text in form.all("clinics") if _ID.fullmatch(text))
    known = frozenset(clinic.id for clinic in clinics.all)
    active = frozenset(clinic.id for clinic in clinics.active)
    return frozenset() if active <= ticked else ticked & known
