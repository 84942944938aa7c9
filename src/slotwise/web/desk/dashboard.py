"""The dashboard: the day at the clinic, which the desk keeps open."""

from datetime import date
from typing import Any

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from msgspec.structs import replace

from slotwise.services.desk.dashboard import Dashboard, DoctorsOpenTime, LatestBookings
from slotwise.web.kit.access import DESK, PageRequest, account_in, page_for
from slotwise.web.kit.queries import day_in, query_form
from slotwise.web.kit.rendering import HEADERS, Renderer
from slotwise.web.kit.times import ONE_DAY

# Rows of the chart. The other doctors are folded away below it.
MOST_BARS = 12


class DashboardController(Controller):
    path = "/admin"

    @get("/", **page_for(DESK))
    async def show_dashboard(
        self, request: PageRequest, renderer: NamedDependency[Renderer], dashboard: NamedDependency[Dashboard]
    ) -> Response[Any]:
        day = day_in(query_form(request, "day"), "day") or renderer.time.today()
        board = await _board(request, renderer, dashboard, day)
        is_today = day == renderer.time.today()
        latest = await dashboard.list_latest_bookings(account_in(request)) if is_today else None
        live = is_today and request.query_params.get("live") != "off"
        return renderer.answer(
            request,
            "desk/dashboard/dashboard.html",
            latest=_at_clinics(renderer, latest),
            live=live,
            is_today=is_today,
            **board,
        )

    @get("/today/board", **page_for(DESK))
    async def show_board(
        self, request: PageRequest, renderer: NamedDependency[Renderer], dashboard: NamedDependency[Dashboard]
    ) -> Response[Any]:
        """The part of the page without names. It replaces the one that is shown."""
        board = await _board(request, renderer, dashboard, renderer.time.today())
        return renderer.answer(request, "desk/dashboard/board.html", live=True, is_today=True, **board)

    @get("/today/latest", **page_for(DESK))
    async def show_latest_bookings(
        self, request: PageRequest, renderer: NamedDependency[Renderer], dashboard: NamedDependency[Dashboard]
    ) -> Response[Any]:
        """No content while the mark in the URL is still that of the latest ones, because each showing is audited."""
        latest = await dashboard.list_latest_bookings(account_in(request), request.query_params.get("mark", ""))
        if latest is None:
            return Response(None, status_code=204, headers=HEADERS)
        return renderer.answer(request, "desk/dashboard/latest.html", latest=_at_clinics(renderer, latest), live=True)


async def _board(request: PageRequest, renderer: Renderer, dashboard: Dashboard, day: date) -> dict[str, Any]:
    found = await dashboard.get_day(*renderer.time.bounds(day), account_in(request).clinic_ids)
    return {
        "day": day,
        "day_before": day - ONE_DAY,
        "day_after": day + ONE_DAY,
        "count": found.count,
        "total": found.total,
        "bars": found.utilisation[:MOST_BARS],
        "more_bars": found.utilisation[MOST_BARS:],
        "open_time": [_open_time_at_clinics(renderer, each) for each in found.open_time],
        "more_open_time": found.more_open_time,
        "nearly_full": [renderer.at_clinic(slot) for slot in found.nearly_full],
        "expiring_holds": [renderer.at_clinic(hold) for hold in found.expiring_holds],
    }


def _open_time_at_clinics(renderer: Renderer, found: DoctorsOpenTime) -> DoctorsOpenTime:
    return replace(found, parts=[renderer.at_clinic(part) for part in found.parts])


def _at_clinics(renderer: Renderer, latest: LatestBookings | None) -> LatestBookings | None:
    """With the times of each booking in the zone of its clinic."""
    if latest is None:
        return None
    return replace(latest, bookings=[renderer.at_clinic(booking) for booking in latest.bookings])
