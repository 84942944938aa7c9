"""After a holiday or an absence: the patients whose appointments were cancelled or went to a colleague, until each of
them is told."""

from typing import Any

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException

from slotwise.domain.bookings import BookingStatus
from slotwise.services.booking.clinic_changes import ClinicChanges
from slotwise.web.kit.access import DESK, PageRequest, account_in, page_for
from slotwise.web.kit.forms import Form
from slotwise.web.kit.queries import Id, ids_in
from slotwise.web.kit.rendering import Renderer, see_other
from slotwise.web.schedule.next_times import Looking, next_times


class PatientsToTellController(Controller):
    path = "/admin/closures/{closure_id:int}/patients"

    @get("/", **page_for(DESK))
    async def list_patients_to_tell(
        self,
        request: PageRequest,
        closure_id: Id,
        renderer: NamedDependency[Renderer],
        clinic_changes: NamedDependency[ClinicChanges],
    ) -> Response[Any]:
        found = await clinic_changes.list_patients_to_tell(account_in(request), closure_id)
        if found is None:
            raise NotFoundException("There is no such holiday or absence.")
        bookings = sorted(found.bookings, key=lambda booking: (booking.id in found.told, booking.start_time))
        waiting = [booking for booking in bookings if booking.id not in found.told]
        looking = (
            Looking(each.id, each.doctor_id, each.seats_booked, each.visit_type_id)
            for each in waiting
            if each.status is BookingStatus.CANCELLED
        )
        return renderer.answer(
            request,
            "schedule/closures/patients.html",
            closure_id=closure_id,
            bookings=[renderer.at_clinic(booking) for booking in bookings],
            told=found.told,
            waiting=len(waiting),
            cut_short=found.cut_short,
            offers=await next_times(request, renderer, looking),
        )

    @post("/", **page_for(DESK))
    async def note_patients_told(
        self, request: PageRequest, closure_id: Id, clinic_changes: NamedDependency[ClinicChanges]
    ) -> Response[Any]:
        """Those that are ticked."""
        form = await Form.of(request)
        ticked = set(ids_in(form.all("told")))
        noted = await clinic_changes.note_patients_told(account_in(request), closure_id, ticked)
        words = (
            f"Noted: {noted} {'patient is' if noted == 1 else 'patients are'} told." if noted else "Nobody was ticked."
        )
        return see_other(request, f"/admin/closures/{closure_id}/patients", notice=words)
