"""The operation that tells staff why times are not offered."""

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Meta, Struct

from slotwise.domain.errors import DoctorNotFound, InvalidInput, VisitTypeNotFound
from slotwise.domain.explanations import DayExplanation, TakenAway, TimeExplanation
from slotwise.domain.fields import FIRST_TIME, Instant
from slotwise.domain.reasons import CODES, Cause, Reason
from slotwise.domain.schedule_rules import MAX_STEP_MINUTES, MIN_STEP_MINUTES
from slotwise.domain.schedules import ClosureKind
from slotwise.http.kit.access import DESK, ApiRequest, account_of
from slotwise.http.kit.operations import operation
from slotwise.http.kit.paging import Cursor, IdPosition, Page, decode_cursor, page_of
from slotwise.http.kit.parameters import (
    ClinicId,
    DoctorId,
    FromTime,
    OneTime,
    ToTime,
    VisitTypeId,
    parse_time,
)
from slotwise.http.schedule.times import days_in
from slotwise.services.schedule.explanations import ExplainedDoctor, ExplainQuery, Explanations
from slotwise.services.schedule.time_searches import MAX_DAYS

MAX_LIMIT = 20
DEFAULT_LIMIT = 10

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Most doctors of a page")]


class Audience(StrEnum):
    DESK = "DESK"
    PATIENTS = "PATIENTS"


AudienceOf = Annotated[
    Audience | None,
    QueryParameter(
        name="audience",
        description="Whose times to explain: what patients can book, within notice and horizon; or what the desk can, "
        "which is the default",
    ),
]


class TakenView(Struct, frozen=True, rename="camel"):
    """What a cause took away: `times` is how many, each counted once, for the first of its causes.

    Rule, closure and slot are those of the cause, and null if it has none. The period is what the cause takes up: of a
    closure, of a visit with its buffer, until the notice ends, from the end of the horizon on.
    """

    cause: Annotated[Cause, Meta(examples=["CLOSURE"])]
    times: Annotated[int, Meta(ge=1, examples=[4])]
    rule_id: int | None
    closure_id: int | None
    closure_kind: ClosureKind | None
    slot_id: int | None
    start_time: Instant | None
    end_time: Instant | None

    @classmethod
    def of(cls, taken: TakenAway) -> "TakenView":
        reason = taken.reason
        return cls(
            reason.cause,
            taken.times,
            reason.rule_id,
            reason.closure_id,
            reason.closure_kind,
            reason.slot_id,
            reason.start_time,
            reason.end_time,
        )


class ExplainedDayView(Struct, frozen=True, rename="camel"):
    """A day at a clinic. `candidates` are the times that rules and slots have; those that are left are `offered`."""

    day: Annotated[date, Meta(description="By the clinic's clock", examples=["2030-01-07"])]
    clinic_id: int
    candidates: Annotated[int, Meta(ge=0, examples=[11])]
    offered: Annotated[int, Meta(ge=0, examples=[7])]
    taken: Annotated[list[TakenView], Meta(description="In the order in which causes count")]

    @classmethod
    def of(cls, day: DayExplanation) -> "ExplainedDayView":
        taken = [TakenView.of(each) for each in day.taken]
        return cls(day.day, day.clinic_id, day.candidates, len(day.left), taken)


class ReasonView(Struct, frozen=True, rename="camel"):
    """`code` is that of the 409 problem of a hold; null if no hold is refused for it: the time is no choice then.

    The period is as in `taken`; for `GAP`, the gap; for `NO_START` and `TOO_LONG`, the hours. There visits begin every
    `stepMinutes` from the hours' beginning, and at `freeAgain`, when the visit before is over with its buffer.
    """

    cause: Annotated[Cause, Meta(examples=["BOOKING"])]
    code: Annotated[str, Meta(examples=["slot-full"], extra_json_schema={"enum": CODES})] | None
    rule_id: int | None
    closure_id: int | None
    closure_kind: ClosureKind | None
    slot_id: int | None
    start_time: Instant | None
    end_time: Instant | None
    step_minutes: Annotated[int, Meta(ge=MIN_STEP_MINUTES, le=MAX_STEP_MINUTES)] | None
    free_again: Instant | None

    @classmethod
    def of(cls, reason: Reason) -> "ReasonView":
        return cls(
            reason.cause,
            reason.code,
            reason.rule_id,
            reason.closure_id,
            reason.closure_kind,
            reason.slot_id,
            reason.start_time,
            reason.end_time,
            reason.step_minutes,
            reason.free_again,
        )


class ExplainedTimeView(Struct, frozen=True, rename="camel"):
    """Whether the time is offered, and all reasons why it is not. `earlier` and `later` are the nearest that are."""

    start_time: Instant
    offered: bool
    reasons: list[ReasonView]
    earlier: Instant | None
    later: Instant | None

    @classmethod
    def of(cls, time: TimeExplanation) -> "ExplainedTimeView":
        reasons = [ReasonView.of(each) for each in time.reasons]
        return cls(time.start_time, time.offered, reasons, time.earlier, time.later)


class ExplainedDoctorView(Struct, frozen=True, rename="camel"):
    """`days` has no day without candidates, and is empty if one `time` was asked for; otherwise `time` is null."""

    doctor_id: int
    doctor_name: str
    specialization: str | None
    active: bool
    days: list[ExplainedDayView]
    time: ExplainedTimeView | None

    @classmethod
    def of(cls, doctor: ExplainedDoctor) -> "ExplainedDoctorView":
        return cls(
            doctor.id,
            doctor.name,
            doctor.specialization,
            doctor.active,
            [ExplainedDayView.of(each) for each in doctor.days],
            None if doctor.time is None else ExplainedTimeView.of(doctor.time),
        )


class ExplanationController(Controller):
    path = "/api/times/explain"

    @get(
        "/",
        **operation(
            "explain_times",
            DESK,
            "See why times are not offered",
            DoctorNotFound,
            VisitTypeNotFound,
            description="Of a doctor, or of all who have such times, by id, at a clinic or at all: how many times "
            "the hours of each day have, what took them away, and how many `GET /api/times` offers. A time is counted "
            "for the first of its causes, in the order of `cause`. With `time`, all reasons why a visit cannot begin "
            f"then, each with the `code` that a hold of it gets. `from` to `to` is at most {MAX_DAYS} days, and as "
            "long if `to` is missing; it begins now without `from`. Without `visitTypeId`, slots without types are "
            "explained. What a patient has booked before is not looked at. Staff who work for some clinics get the "
            "times there, and of other clinics only that the doctor is busy (`ELSEWHERE`).",
        ),
    )
    async def explain_times(
        self,
        request: ApiRequest,
        explanations: NamedDependency[Explanations],
        doctor_id: DoctorId = None,
        clinic_id: ClinicId = None,
        visit_type_id: VisitTypeId = None,
        from_time: FromTime = None,
        to_time: ToTime = None,
        time: OneTime = None,
        audience: AudienceOf = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[ExplainedDoctorView]:
        query = ExplainQuery(
            doctor_id,
            clinic_id,
            visit_type_id,
            *_period(from_time, to_time, time),
            for_patients=audience is Audience.PATIENTS,
        )
        after = decode_cursor(cursor, IdPosition(0))
        found = await explanations.explain_times(account_of(request), query, limit, after.id)
        return page_of(found, limit, ExplainedDoctorView.of, lambda doctor: IdPosition(doctor.id))


def _period(
    from_time: str | None, to_time: str | None, time: str | None
) -> tuple[datetime | None, datetime | None, datetime | None]:
    """From, to, and the one time."""
    if time is not None:
        if from_time is not None or to_time is not None:
            raise InvalidInput.of("time", "must be left out if `from` or `to` is given")
        return None, None, parse_time("time", time, FIRST_TIME)
    return *days_in(from_time, to_time), None
