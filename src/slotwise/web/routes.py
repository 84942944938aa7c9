"""The pages' handlers, for the composition root."""

from litestar.types import ControllerRouterHandler

from slotwise.web.assets import AssetController
from slotwise.web.booking import BookingPages
from slotwise.web.find import FindController

PAGES: list[ControllerRouterHandler] = [AssetController, FindController, BookingPages]
