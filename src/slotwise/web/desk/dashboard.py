"""The clinic's day: what the desk has open all day long."""

from datetime import date
from typing import Any

from litestar import Controller, Response, get
from litestar.di import NamedDependency

from slotwise.services.desk.dashboard import Dashboard
from slotwise.web.kit.access import DESK, PageRequest, account_in, page
from slotwise.web.kit.pages import HEADERS, Pages
from slotwise.web.kit.queries import day_in, query_of
from slotwise.web.kit.times import ONE_DAY

# Of the chart; the others stand below it, folded away.
MOST_BARS = 12


class TodayController(Controller):
    path = "/admin"

    @get("/", **page(DESK))
    async def show_today(
        self, request: PageRequest, pages: NamedDependency[Pages], dashboard: NamedDependency[Dashboard]
    ) -> Response[Any]:
        day = day_in(query_of(request, "day"), "day") or pages.time.today()
        board = await _board(pages, dashboard, day)
        is_today = day == pages.time.today()
        latest = await dashboard.list_latest_bookings(account_in(request)) if is_today else None
        live = is_today and request.query_params.get("live") != "off"
        return pages.answer(
            request, "desk/dashboard/dashboard.html", latest=latest, live=live, is_today=is_today, **board
        )

    @get("/today/board", **page(DESK))
    async def show_board(
        self, request: PageRequest, pages: NamedDependency[Pages], dashboard: NamedDependency[Dashboard]
    ) -> Response[Any]:
        """What of the page names nobody, to be put in the place of what was there."""
        board = await _board(pages, dashboard, pages.time.today())
        return pages.answer(request, "desk/dashboard/board.html", live=True, is_today=True, **board)

    @get("/today/latest", **page(DESK))
    async def show_latest_bookings(
        self, request: PageRequest, pages: NamedDependency[Pages], dashboard: NamedDependency[Dashboard]
    ) -> Response[Any]:
        """Nothing while they are those that the mark stands for: each showing is on record."""
        latest = await dashboard.list_latest_bookings(account_in(request), request.query_params.get("mark", ""))
        if latest is None:
            return Response(None, status_code=204, headers=HEADERS)
        return pages.answer(request, "desk/dashboard/latest.html", latest=latest, live=True)


async def _board(pages: Pages, dashboard: Dashboard, day: date) -> dict[str, Any]:
    found = await dashboard.get_day(*pages.time.bounds(day))
    return {
        "day": day,
        "day_before": day - ONE_DAY,
        "day_after": day + ONE_DAY,
        "count": found.count,
        "total": found.total,
        "bars": found.utilisation[:MOST_BARS],
        "more_bars": found.utilisation[MOST_BARS:],
        "nearly_full": found.nearly_full,
        "expiring_holds": found.expiring_holds,
    }
