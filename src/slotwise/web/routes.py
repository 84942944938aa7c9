"""The pages' handlers, for the composition root."""

from litestar.types import ControllerRouterHandler

from slotwise.web.account import AccountController
from slotwise.web.assets import AssetController
from slotwise.web.booking import BookingPages
from slotwise.web.doctors import DoctorPagesController
from slotwise.web.find import FindController
from slotwise.web.sessions import SessionController
from slotwise.web.slots import SlotPagesController
from slotwise.web.today import TodayController

PAGES: list[ControllerRouterHandler] = [
    AccountController,
    AssetController,
    BookingPages,
    DoctorPagesController,
    FindController,
    SessionController,
    SlotPagesController,
    TodayController,
]
