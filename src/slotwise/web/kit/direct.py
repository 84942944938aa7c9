"""Pages that the connection may answer itself. See `server/direct.py`."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, cast

from litestar import Litestar
from litestar.types import Scope

from slotwise.domain.errors import SlotwiseError
from slotwise.observability.request_meters import REQUEST_METERS
from slotwise.server.direct import Answer, Binding, Call, DirectRoute, Read
from slotwise.server.refusals import Written
from slotwise.web.kit.errors import write_defect, write_refusal
from slotwise.web.kit.visitors import Visitor

# The first argument is what the page needs of the parts of the pages.
ShowPage: TypeAlias = Callable[[Any, Call], Awaitable[Answer]]


def direct_page(show: ShowPage, read: Read) -> dict[str, Any]:
    """Keyword arguments of the handler of a page that looks the same for everybody without cookies."""

    def bind(application: Litestar, method: str, template: str) -> DirectRoute:
        def refuse(error: SlotwiseError, call: Call) -> Answer:
            return _written(write_refusal(error, _scope_of(application, template, call)))

        async def answer(call: Call) -> Answer:
            try:
                return await show(cast("Any", application).web, call)
            except SlotwiseError as error:
                REQUEST_METERS.count_refusal(error.code)
                return refuse(error, call)
            except Exception as error:  # a defect: the connection must answer and go on
                return _written(write_defect(error, _scope_of(application, template, call)))

        return DirectRoute(method, template, answer, refuse, read)

    return {Binding.KEY: Binding(bind)}


def _scope_of(application: Litestar, path: str, call: Call) -> Scope:
    """Of a visitor without cookies."""
    place = {"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": []}
    visit = {"server": None, "client": None, "scheme": call.origin.scheme, "state": {"visitor": Visitor()}}
    owner = {"litestar_app": application, "app": application}
    return cast("Scope", {"type": "http", "method": "GET", "http_version": "1.1", **place, **visit, **owner})


def _written(page: Written) -> Answer:
    return Answer(page.status, page.media_type, page.body, dict(page.headers))
