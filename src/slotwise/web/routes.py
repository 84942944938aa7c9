"""The controllers of all pages, for the composition root."""

from litestar.types import ControllerRouterHandler

from slotwise.web.accounts.account import AccountController
from slotwise.web.accounts.log_in import SessionController
from slotwise.web.accounts.users import UserController
from slotwise.web.booking.appointment import AppointmentController
from slotwise.web.booking.holding import HoldController
from slotwise.web.booking.my_bookings import MyBookingController
from slotwise.web.desk.audit_log import AuditController
from slotwise.web.desk.bookings import BookingController
from slotwise.web.desk.dashboard import DashboardController
from slotwise.web.desk.day_sheets import DaySheetController
from slotwise.web.desk.overbookings import OverbookingController
from slotwise.web.desk.phone_booking import PhoneBookingController
from slotwise.web.desk.set_up import SetUpController
from slotwise.web.kit.assets import AssetController
from slotwise.web.privacy.personal_data import PersonalDataController
from slotwise.web.schedule.clinics import ClinicController
from slotwise.web.schedule.closures import ClosureController
from slotwise.web.schedule.doctors import DoctorController
from slotwise.web.schedule.explanations import ExplanationController
from slotwise.web.schedule.free_times import FindController
from slotwise.web.schedule.hours import HoursController
from slotwise.web.schedule.patients_to_tell import PatientsToTellController
from slotwise.web.schedule.previews import PreviewController
from slotwise.web.schedule.slots import SlotController
from slotwise.web.schedule.visit_types import VisitTypeController

PAGE_CONTROLLERS: list[ControllerRouterHandler] = [
    AccountController,
    MyBookingController,
    PersonalDataController,
    AssetController,
    AuditController,
    AppointmentController,
    ClosureController,
    ClinicController,
    DoctorController,
    DaySheetController,
    BookingController,
    ExplanationController,
    FindController,
    HoldController,
    HoursController,
    OverbookingController,
    PatientsToTellController,
    PhoneBookingController,
    PreviewController,
    SessionController,
    SetUpController,
    SlotController,
    DashboardController,
    UserController,
    VisitTypeController,
]
