"""Liveness, readiness and metrics."""

from typing import Annotated, Any, Literal

from litestar import Controller, Request, Response, get
from litestar.di import NamedDependency
from msgspec import Meta, Struct
from prometheus_client import CONTENT_TYPE_LATEST

from slotwise.db.pool import Database
from slotwise.db.readiness import READ_SERVER_FACTS, index_warnings, problems_of
from slotwise.db.schema import SchemaCheck
from slotwise.db.time_zones import ZoneCheck
from slotwise.domain.errors import SlotwiseError
from slotwise.domain.time_zones import EDITION
from slotwise.http.kit.access import OPEN, ApiRequest
from slotwise.http.kit.direct import UNIDENTIFIED, ApiCall, answered, direct, json_answer
from slotwise.http.kit.operations import answer, operation
from slotwise.observability.metrics_report import MetricsReport
from slotwise.server.direct import Answer
from slotwise.server.worker import is_draining
from slotwise.services.desk.evening_lists import EveningLists

# A load balancer waits only a few seconds for an answer; without one it takes the server for dead.
READINESS_SECONDS = 2.0


class HealthView(Struct, frozen=True):
    status: Literal["ok"]


class ReadinessView(Struct, frozen=True):
    """`problems` says why the server is not ready. `database` has the database's version and settings.

    `tzdata` is the edition of the time zone database that local times are computed with. `warnings` says where
    PostgreSQL's differs, which indexes are not valid, and which of tomorrow's lists are not written. These do not
    keep the server from being ready.
    """

    status: Literal["ready", "unsafe", "unavailable", "draining"]
    problems: list[str]
    database: dict[str, str]
    warnings: list[str]
    tzdata: Annotated[str, Meta(examples=["2026f"])]


async def _get_health(_: object, __: ApiCall[None]) -> Answer:
    return json_answer(HealthView("ok"))


class HealthController(Controller):
    path = "/"

    @get(
        "/health",
        **direct(_get_health, callers=UNIDENTIFIED),
        **operation("get_health", OPEN, "Check that the process answers, without the database", needs_database=False),
    )
    async def get_health(self, request: ApiRequest) -> Response[HealthView]:
        return await answered(request)

    @get(
        "/health/ready",
        **operation(
            "get_readiness",
            OPEN,
            "Check that bookings can be made: database, durability settings, schema",
            also_answers={503: answer(ReadinessView, "Not ready, with the reasons")},
            needs_database=False,
        ),
    )
    async def get_readiness(
        self,
        request: Request[Any, Any, Any],
        database: NamedDependency[Database],
        schema_check: NamedDependency[SchemaCheck],
        zone_check: NamedDependency[ZoneCheck],
        evening_lists: NamedDependency[EveningLists],
    ) -> Response[ReadinessView]:
        if is_draining(request.scope):
            return _not_ready(ReadinessView("draining", ["the server is shutting down"], {}, [], EDITION))
        try:
            view = await _readiness(database, schema_check, zone_check, evening_lists)
        except SlotwiseError as error:
            view = ReadinessView("unavailable", [error.detail], {}, [], EDITION)
        if view.status == "ready":
            return Response(view)
        return _not_ready(view)

    @get(
        "/metrics",
        media_type="text/plain",
        **operation(
            "get_metrics", OPEN, "Read the metrics of all workers in Prometheus' text format", needs_database=False
        ),
    )
    async def get_metrics(self, metrics_report: NamedDependency[MetricsReport]) -> Response[bytes]:
        return Response(metrics_report.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _not_ready(view: ReadinessView) -> Response[ReadinessView]:
    return Response(view, status_code=503, headers={"Retry-After": "1"})


async def _readiness(
    database: Database, schema_check: SchemaCheck, zone_check: ZoneCheck, evening_lists: EveningLists
) -> ReadinessView:
    async with database.connection(READINESS_SECONDS) as connection:
        facts = await READ_SERVER_FACTS.one(connection)
        problems = problems_of(facts) + await schema_check.problems(connection)
        own = [*await zone_check.warnings(connection), *await index_warnings(connection)]
        warnings = [*own, *evening_lists.warnings()]
    settings = {
        "version": facts.version_name,
        "fsync": facts.fsync,
        "fullPageWrites": facts.full_page_writes,
        "synchronousCommit": facts.synchronous_commit,
    }
    return ReadinessView("unsafe" if problems else "ready", problems, settings, warnings, EDITION)
