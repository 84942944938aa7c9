"""The pages' handlers, for the composition root."""

from litestar.types import ControllerRouterHandler

from slotwise.web.account import AccountController
from slotwise.web.assets import AssetController
from slotwise.web.audit import AuditController
from slotwise.web.booking import BookingPages
from slotwise.web.day_sheet import DaySheetController
from slotwise.web.desk_bookings import DeskBookingController
from slotwise.web.desk_new_booking import NewBookingController
from slotwise.web.doctors import DoctorPagesController
from slotwise.web.find import FindController
from slotwise.web.holding import HoldController
from slotwise.web.sessions import SessionController
from slotwise.web.slots import SlotPagesController
from slotwise.web.today import TodayController
from slotwise.web.users import UserController

PAGES: list[ControllerRouterHandler] = [
    AccountController,
    AssetController,
    AuditController,
    BookingPages,
    DoctorPagesController,
    DaySheetController,
    DeskBookingController,
    FindController,
    HoldController,
    NewBookingController,
    SessionController,
    SlotPagesController,
    TodayController,
    UserController,
]
