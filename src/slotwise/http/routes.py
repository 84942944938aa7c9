"""The API's handlers, for the composition root."""

from litestar.types import ControllerRouterHandler

from slotwise.http.accounts.auth import AuthController
from slotwise.http.api_docs import ApiDocsController
from slotwise.http.booking.bookings import BookingController
from slotwise.http.booking.overbookings import OverbookingController
from slotwise.http.health import HealthController
from slotwise.http.privacy.personal_data import PersonalDataController
from slotwise.http.schedule.clinics import ClinicController
from slotwise.http.schedule.doctors import DoctorController
from slotwise.http.schedule.explanations import ExplanationController
from slotwise.http.schedule.schedules import ScheduleController
from slotwise.http.schedule.seat_events import SeatEventController
from slotwise.http.schedule.slots import SlotController
from slotwise.http.schedule.times import TimeController
from slotwise.http.schedule.visit_types import VisitTypeController

API: list[ControllerRouterHandler] = [
    AuthController,
    PersonalDataController,
    ClinicController,
    DoctorController,
    SlotController,
    TimeController,
    ExplanationController,
    VisitTypeController,
    ScheduleController,
    SeatEventController,
    BookingController,
    OverbookingController,
    HealthController,
    ApiDocsController,
]
