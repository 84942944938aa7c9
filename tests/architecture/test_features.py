"""One feature, one name: the same file name in every layer, and one verb per operation from SQL to route."""

import ast
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pytest

from slotwise.app import build
from slotwise.db.statements import sql_of
from slotwise.server.guarding import Guarded
from slotwise.services.accounts.users import Users
from slotwise.services.booking.bookings import Bookings
from slotwise.services.privacy.personal_data import PersonalData
from slotwise.services.schedule.clinics import Clinics
from slotwise.services.schedule.doctors import Doctors
from slotwise.services.schedule.slots import Slots
from slotwise.settings import Settings
from slotwise.web.kit.access import ACCOUNT, ADMIN, ANYBODY, DESK
from tests.architecture.sources import ROOT, Function, Source, functions, sources, statement_features

SERVICES = {service.__name__: service for service in (Bookings, Clinics, Doctors, PersonalData, Slots, Users)}

NAMED_OTHERWISE = {
    "http/schedule/seat_events.py": "core/seat_events",  # which bookings, slots and privacy tell of changes
    "http/accounts/auth.py": "accounts/users",  # its routes are /api/auth; what they act on are users
    "sql/database/sessions.sql": "db/sessions.py",  # what each connection begins with
    "sql/database/schema.sql": "db/schema.py",  # the schema itself, which every service needs
    "sql/database/health.sql": "db/readiness.py",  # asked of the server before any service may trust it
    "sql/database/time_zones.sql": "db/time_zones.py",  # compares editions, which no service needs
}
WITHOUT_DATA = {
    "http/health.py",  # shows what db/readiness.py reads
    "http/api_docs.py",  # shows the API itself
}
BARE_ROUTES = {
    "slotwise.http.api_docs",  # files for browsers, which are no part of the API
    "slotwise.web.kit.assets",  # likewise
}
ROOMS_WITH_STATEMENTS = (
    ("booking", "bookings"),
    ("schedule", "clinics"),
    ("schedule", "doctors"),
    ("schedule", "slots"),
    ("privacy", "personal_data"),
)
OTHER_VERBS = {
    "register": "create_user",  # operators make accounts too, and do not register
    "export_personal_data": "read_kept_bookings",  # which it reads page by page, among other things
    "get_booking": "read_bookings",  # one statement reads some by id, for answers after a write too
}


class Operation(NamedTuple):
    """A route handler: its id, the name of its function, and the service methods it calls as `Service.method`."""

    id: str
    function: str
    calls: tuple[str, ...]


def controllers() -> list[Source]:
    return [
        source
        for source in sources()
        if source.path.startswith("http/") and any(_is_controller(node) for node in source.tree.body)
    ]


def _is_controller(node: ast.stmt) -> bool:
    return isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "Controller" for base in node.bases)


def operations(found: Iterable[Source]) -> Iterator[Operation]:
    for source in found:
        for function in functions(source.tree):
            ids = [_operation_id(decorator) for decorator in function.decorator_list]
            yield from (Operation(name, function.name, _service_calls(function)) for name in ids if name)


def _operation_id(decorator: ast.expr) -> str | None:
    for node in ast.walk(decorator):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "operation":
            return str(ast.literal_eval(node.args[0]))
    return None


def _service_calls(function: Function) -> tuple[str, ...]:
    arguments = [*function.args.args, *function.args.kwonlyargs]
    services = {argument.arg: ast.unparse(argument.annotation) for argument in arguments if argument.annotation}
    return tuple(
        f"{services[node.func.value.id]}.{node.func.attr}"
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and services.get(node.func.value.id) in SERVICES
    )


def misnamed_operations(found: Iterable[Source]) -> list[str]:
    """Operations whose function has another name, or that call services and none by their own name."""
    return [
        f"{operation.id}: {operation.function}, {operation.calls}"
        for operation in operations(found)
        if operation.function != operation.id
        or (operation.calls and operation.id not in {call.partition(".")[2] for call in operation.calls})
    ]


def test_every_controller_has_a_service_and_statements_of_the_same_name() -> None:
    for controller in controllers():
        if controller.path in WITHOUT_DATA:
            continue
        feature = NAMED_OTHERWISE.get(controller.path, controller.path.removeprefix("http/").removesuffix(".py"))
        assert (ROOT / "services" / f"{feature}.py").exists(), controller.path
        assert (ROOT / "sql" / f"{feature}.sql").exists(), controller.path


def test_every_file_of_statements_has_a_service_of_the_same_name() -> None:
    for feature in statement_features():
        user = NAMED_OTHERWISE.get(f"sql/{feature}.sql", f"services/{feature}.py")
        assert (ROOT / user).exists(), feature


def test_the_exceptions_are_still_needed() -> None:
    assert {source.path for source in controllers()} >= {*WITHOUT_DATA, "http/accounts/auth.py"}
    assert {*OTHER_VERBS} <= {operation.id for operation in operations(sources())}
    assert not (ROOT / "services/accounts/auth.py").exists()
    assert not (ROOT / "services/health.py").exists()


def test_an_operation_is_called_the_same_in_its_route_its_handler_and_its_service() -> None:
    assert len(list(operations(controllers()))) >= 20
    assert not misnamed_operations(controllers())


def test_an_operation_that_calls_its_service_by_another_name_is_noticed() -> None:
    planted = """
@post("/", **operation("create_slot", ADMIN, "Publish a slot"))
async def create_slot(self, data: NewSlot, slots: Slots) -> SlotView:
    return SlotView.of(await slots.add_slot(data))
"""
    assert misnamed_operations([Source.of("http/schedule/slots.py", planted)]) == [
        "create_slot: create_slot, ('Slots.add_slot',)"
    ]


@pytest.mark.filterwarnings("ignore::litestar.exceptions.LitestarDeprecationWarning")
def test_every_route_is_declared_as_an_operation() -> None:
    """Guards, documented errors and the strict reading of bodies come with `operation`: a bare route has none."""
    ours = [handler for handler in handlers_of_all_routes() if not handler.fn.__module__.startswith("slotwise.web.")]
    bare = {handler.fn.__module__ for handler in ours if handler.operation_id is None}
    assert {handler.operation_id for handler in ours} - {None} == {made.id for made in operations(sources())}
    assert bare <= BARE_ROUTES


@pytest.mark.filterwarnings("ignore::litestar.exceptions.LitestarDeprecationWarning")
def test_every_page_is_guarded_by_an_audience() -> None:
    """The guard is what keeps strangers and other sites' forms out; `page` gives it."""
    audiences = {audience.guard for audience in (ANYBODY, ACCOUNT, DESK, ADMIN)}
    pages = [handler for handler in handlers_of_all_routes() if handler.fn.__module__.startswith("slotwise.web.")]
    bare = [handler for handler in pages if not audiences & guards_of(handler)]
    assert pages
    assert {handler.fn.__module__ for handler in bare} <= BARE_ROUTES
    assert not [handler for handler in bare if "POST" in handler.http_methods]


def guards_of(handler: Any) -> set[object]:
    return {guard for one in handler.middleware or () if isinstance(one, Guarded) for guard in one.guards}


def handlers_of_all_routes() -> list[Any]:
    handlers = [handler for route in build(Settings()).routes for handler in getattr(route, "route_handlers", [])]
    return [handler for handler in handlers if handler.fn.__module__.startswith("slotwise.")]


def test_the_operations_of_a_room_are_called_the_same_in_sql() -> None:
    """A statement that works on sets has the plural: `confirm_bookings` does `confirm_booking` for a batch."""
    for room, controller in ROOMS_WITH_STATEMENTS:
        statements = statements_of(room)
        [source] = [source for source in controllers() if source.path == f"http/{room}/{controller}.py"]
        for operation in operations([source]):
            known = OTHER_VERBS.get(operation.id, operation.id)
            assert known in statements or f"{known}s" in statements, operation.id


def statements_of(room: str) -> set[str]:
    return {name for feature in statement_features() if feature.startswith(f"{room}/") for name in sql_of(feature)}


def test_what_the_audit_log_says_was_done_is_the_operation_that_did_it() -> None:
    actions = [
        (function.name, ast.literal_eval(call.args[2]))
        for source in sources()
        for function in functions(source.tree)
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) in {"record_action", "self._note_reading"}
        and isinstance(call.args[2], ast.Constant)
    ]
    assert actions
    assert all(action in {function, OTHER_VERBS.get(function)} for function, action in actions), actions
