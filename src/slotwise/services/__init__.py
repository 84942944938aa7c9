"""The use cases. They take domain values, own the transactions and know neither HTTP nor HTML."""

from msgspec import Struct

from slotwise.services.accounts.users import Users
from slotwise.services.booking.bookings import Bookings
from slotwise.services.booking.calendars import Calendars
from slotwise.services.booking.clinic_changes import ClinicChanges
from slotwise.services.booking.my_bookings import MyBookings
from slotwise.services.booking.offered_times import OfferedTimes
from slotwise.services.booking.overbookings import Overbookings
from slotwise.services.booking.page_holds import PageHolds
from slotwise.services.core.audit import AuditLog
from slotwise.services.core.clinics import ClinicDirectory
from slotwise.services.core.seat_events import SeatEvents
from slotwise.services.desk.dashboard import Dashboard
from slotwise.services.desk.day_sheets import DaySheets
from slotwise.services.desk.export import BookingExport
from slotwise.services.desk.history import BookingHistory
from slotwise.services.desk.set_up import SettingUp
from slotwise.services.privacy.personal_data import PersonalData
from slotwise.services.schedule.clinics import Clinics
from slotwise.services.schedule.doctors import Doctors
from slotwise.services.schedule.explanations import Explanations
from slotwise.services.schedule.free_times import FreeTimes
from slotwise.services.schedule.schedules import Schedules
from slotwise.services.schedule.slots import Slots
from slotwise.services.schedule.times import Times
from slotwise.services.schedule.visit_types import VisitTypes


class Services(Struct, frozen=True):
    """All use cases of one worker, for its edges."""

    audit_log: AuditLog
    booking_export: BookingExport
    booking_history: BookingHistory
    bookings: Bookings
    calendars: Calendars
    clinic_changes: ClinicChanges
    clinics: Clinics
    dashboard: Dashboard
    directory: ClinicDirectory
    day_sheets: DaySheets
    doctors: Doctors
    explanations: Explanations
    free_times: FreeTimes
    my_bookings: MyBookings
    offered_times: OfferedTimes
    overbookings: Overbookings
    page_holds: PageHolds
    personal_data: PersonalData
    schedules: Schedules
    seat_events: SeatEvents
    setting_up: SettingUp
    slots: Slots
    times: Times
    users: Users
    visit_types: VisitTypes
