"""Finding a time."""

from typing import Any

from litestar import Controller, Response, get
from litestar.di import NamedDependency

from slotwise.web.access import ANYBODY, PageRequest, page
from slotwise.web.pages import Pages


class FindController(Controller):
    path = "/"

    @get("/", **page(ANYBODY))
    async def show_free_times(self, request: PageRequest, pages: NamedDependency[Pages]) -> Response[Any]:
        return pages.answer(request, "find.html")
