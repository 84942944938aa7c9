"""The operations on schedules: rules, closures, what a change would do, and the change itself."""

from typing import Any

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from slotwise.domain.errors import (
    DoctorNotFound,
    InvalidInput,
    OutcomeUnknown,
    ScheduleChanged,
    ScheduleTooLarge,
    SlotOverlaps,
)
from slotwise.domain.schedule_changes import ScheduleChange
from slotwise.http.kit.access import DESK, ApiRequest, account_of
from slotwise.http.kit.operations import operation
from slotwise.http.kit.parameters import FromTime, Id, ToTime, parse_period
from slotwise.http.kit.problems import answer as answer_problem
from slotwise.http.schedule.schedule_bodies import AppliedBody, ChangeBody, in_words_of_body
from slotwise.http.schedule.schedule_views import (
    AppliedView,
    ClosuresView,
    ClosureView,
    PreviewView,
    RulesView,
    ScheduleProblem,
    TooLargeProblem,
)
from slotwise.services.schedule.schedules import Outlined, Schedules

WHO = DESK._replace(who="admins; staff for absences of doctors")


class ScheduleController(Controller):
    path = "/api"

    @get(
        "/doctors/{doctor_id:int}/rules",
        **operation(
            "list_rules",
            DESK,
            "List a doctor's schedule rules",
            DoctorNotFound,
            description="By id, each with how far it is published. `moved` has times that the clinic's clocks show "
            "differently since the server has a newer time zone database; a change of the "
            "rule with its id alone moves them.",
        ),
    )
    async def list_rules(self, doctor_id: Id, schedules: NamedDependency[Schedules]) -> RulesView:
        return RulesView.of(await schedules.list_rules(doctor_id))

    @get(
        "/closures",
        **operation(
            "list_closures",
            DESK,
            "List holidays and absences",
            description="Those that touch the period from `from` until `to`, by start; at most 10,000. For staff who "
            "work for some clinics, `reason` is null for absences at other clinics.",
        ),
    )
    async def list_closures(
        self,
        request: ApiRequest,
        schedules: NamedDependency[Schedules],
        from_time: FromTime = None,
        to_time: ToTime = None,
    ) -> ClosuresView:
        found = await schedules.list_closures(account_of(request), *parse_period(from_time, to_time))
        return ClosuresView([ClosureView.of(closure) for closure in found])

    @post(
        "/schedule/preview",
        status_code=200,
        **operation(
            "preview_schedule",
            WHO,
            "See what a change of schedules would do",
            DoctorNotFound,
            ScheduleTooLarge,
            SlotOverlaps,
            OutcomeUnknown,
            tells={ScheduleTooLarge: TooLargeProblem},
            description="Changes nothing. Send the same body with the `token` to `/api/schedule/apply`. An exception "
            "for a booking that the change does not concern is refused. A longer buffer that reaches into another time "
            "is refused with `slot-overlaps`; a change of too many slots with a `part` of it, which is small enough.",
        ),
    )
    async def preview_schedule(
        self, request: ApiRequest, data: JSONBody[ChangeBody], schedules: NamedDependency[Schedules]
    ) -> Response[PreviewView]:
        change = await _change(schedules, data)
        try:
            return Response(PreviewView.of(await schedules.preview_schedule(account_of(request), change)))
        except InvalidInput as error:
            raise in_words_of_body(error, data.places()) from error
        except ScheduleTooLarge as error:
            return _with_part(error, data)

    @post(
        "/schedule/apply",
        status_code=200,
        **operation(
            "apply_schedule",
            WHO,
            "Change schedules as previewed",
            DoctorNotFound,
            ScheduleTooLarge,
            ScheduleChanged,
            SlotOverlaps,
            OutcomeUnknown,
            tells={ScheduleChanged: ScheduleProblem},
            description="Does exactly what the preview said, in one transaction, or nothing. If something has changed "
            "since the preview, the answer is 409 `schedule-changed` with a new preview, and with what differs from "
            "the one before. Holds come and go without that; those of times that go are cancelled. An exception for a "
            "booking that neither preview lists is refused. A longer buffer that reaches into another time is refused "
            "with `slot-overlaps`.",
        ),
    )
    async def apply_schedule(
        self, request: ApiRequest, data: JSONBody[AppliedBody], schedules: NamedDependency[Schedules]
    ) -> Response[AppliedView]:
        change = await _change(schedules, data)
        try:
            return Response(AppliedView.of(await schedules.apply_schedule(account_of(request), change, data.token)))
        except InvalidInput as error:
            raise in_words_of_body(error, data.places()) from error
        except ScheduleTooLarge as error:
            return _with_part(error, data)
        except ScheduleChanged as error:
            return _with_preview(error)


def _with_part(error: ScheduleTooLarge, asked: ChangeBody) -> Response[Any]:
    """The problem, with a part of the change that can be made first."""
    return answer_problem(TooLargeProblem.with_part(error, asked))


def _with_preview(error: ScheduleChanged) -> Response[Any]:
    """The problem, with what the change would do now."""
    if not isinstance(error.outlined, Outlined):
        raise error
    return answer_problem(ScheduleProblem.of(error, error.outlined))


async def _change(schedules: Schedules, data: ChangeBody) -> ScheduleChange:
    rules = await schedules.get_rules([patch.id for patch in data.change_rules])
    closures = await schedules.get_closures([patch.id for patch in data.change_closures])
    return data.change(rules, closures)
