"""What a visitor sees if the server answers in place of a page that takes too long."""

import asyncio
from typing import Any
from zoneinfo import ZoneInfo

import httpx
from litestar import Litestar, Router, route

from slotwise.app import write_refusal
from slotwise.domain.clinics import ClinicBook
from slotwise.http.kit.problems import EXCEPTION_HANDLERS as PROBLEMS
from slotwise.server.requests import Requests
from slotwise.web.kit.errors import EXCEPTION_HANDLERS as ERROR_PAGES
from slotwise.web.kit.parts import PageParts
from slotwise.web.kit.rendering import HEADERS, Renderer
from tests.clinic import PATIENCE_SECONDS
from tests.security.serving import serving
from tests.security.test_connections import Hurried


class Rendering(PageParts, frozen=True):
    renderer: Renderer


class Late(Litestar):
    """A page and an operation that take longer than the server waits."""

    web: Rendering


@route("/page", http_method=["GET", "POST"], status_code=200)
async def late_page() -> str:
    await asyncio.sleep(2)
    return "late"


@route("/api/late", http_method=["GET", "POST"], status_code=200)
async def late_operation() -> str:
    await asyncio.sleep(2)
    return "late"


def late() -> Late:
    pages = Router("/", route_handlers=[late_page], exception_handlers=ERROR_PAGES)
    application = Late([pages, late_operation], exception_handlers=PROBLEMS, openapi_config=None, logging_config=None)
    nothing: Any = None
    renderer = Renderer(ClinicBook.of_one(ZoneInfo("Europe/Berlin")))
    application.web = Rendering(services=nothing, booking_rate=nothing, origin=None, seals=nothing, renderer=renderer)
    return application


async def test_a_late_page_is_an_error_page_and_a_late_operation_a_problem() -> None:
    with serving(Requests(late(), write_refusal, hsts=False), Hurried) as (host, port):
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=PATIENCE_SECONDS) as client:
            read, changed, head, problem = await asyncio.gather(
                client.get("/page"), client.post("/page"), client.head("/page"), client.post("/api/late")
            )
    for answer, words in ((read, "We are very busy just now"), (changed, "We do not know whether that worked")):
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
        assert answer.headers["retry-after"]
        assert f"<h1>{words}</h1>" in answer.text
    assert (head.status_code, head.content) == (503, b"")
    assert problem.json()["code"] == "outcome-unknown"
