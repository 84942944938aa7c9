"""The operations on visit types: add, change, read, list."""

from typing import Annotated

from litestar import Controller, Response, get, patch, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import asdict

from slotwise.domain.errors import ChangedMeanwhile, OutcomeUnknown, SlotOverlaps, VisitTypeInUse, VisitTypeNotFound
from slotwise.domain.fields import Instant
from slotwise.domain.visit_types import (
    MAX_BUFFER_MINUTES,
    MAX_HORIZON_DAYS,
    MAX_INSTRUCTIONS_CHARACTERS,
    MAX_LIVE_PER_PATIENT,
    MAX_RULE_MINUTES,
    MAX_VIDEO_LINK_CHARACTERS,
    BookableBy,
    Patients,
    VisitMode,
    VisitType,
    VisitTypeChange,
    VisitTypeFields,
)
from slotwise.http.kit.access import ADMIN, RECOGNIZED, ApiRequest, account_of, caller_of
from slotwise.http.kit.fields import NAME, Minutes
from slotwise.http.kit.operations import NOTHING_CHANGED, operation
from slotwise.http.kit.paging import DEFAULT_LIMIT, Cursor, IdPosition, Limit, Page, decode_cursor, page_of
from slotwise.http.kit.parameters import Id, IfNoneMatch
from slotwise.http.kit.versions import IfMatch, showing_present, versioned, versioned_unless_known, versions_in
from slotwise.services.schedule.visit_types import VisitTypes, without_secrets

Name = Annotated[
    str, Meta(description="1 to 200 characters after trimming", examples=["First visit"], extra_json_schema=NAME)
]
Buffer = Annotated[int, Meta(ge=0, le=MAX_BUFFER_MINUTES, description="After a visit, before the doctor's next one")]
VideoLink = Annotated[
    str,
    Meta(
        description="An https or http link. Only those who have booked, staff and admins see it",
        examples=["https://video.example.org/room"],
        extra_json_schema={"maxLength": MAX_VIDEO_LINK_CHARACTERS, "pattern": "^$|^https?://[^/?#@]"},
    ),
]
Instructions = Annotated[
    str,
    Meta(
        description="What patients must know or bring",
        examples=["Please come without breakfast."],
        extra_json_schema={"maxLength": MAX_INSTRUCTIONS_CHARACTERS},
    ),
]
Notice = Annotated[int, Meta(ge=0, le=MAX_RULE_MINUTES, description="It can be booked until so long before its start")]
Horizon = Annotated[
    int, Meta(ge=1, le=MAX_HORIZON_DAYS, description="It can be booked at most so far ahead, in days of 24 hours")
]
Deadline = Annotated[
    int, Meta(ge=0, le=MAX_RULE_MINUTES, description="Patients can cancel it until so long before its start")
]
MostLive = Annotated[
    int, Meta(ge=1, le=MAX_LIVE_PER_PATIENT, description="How many coming visits of this type a patient may have")
]


class NewVisitType(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A rule that is not given does not apply."""

    name: Name
    minutes: Minutes
    buffer_minutes: Buffer = 0
    mode: VisitMode = VisitMode.IN_PERSON
    video_link: VideoLink | None = None
    instructions: Instructions | None = None
    min_notice_minutes: Notice | None = None
    horizon_days: Horizon | None = None
    change_deadline_minutes: Deadline | None = None
    max_live_per_patient: MostLive | None = None
    patients: Patients = Patients.ANY
    bookable_by: BookableBy = BookableBy.ANYONE
    active: bool = True


class VisitTypePatch(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Absent fields stay unchanged; null takes a rule away."""

    name: Name | UnsetType = UNSET
    minutes: Minutes | UnsetType = UNSET
    buffer_minutes: Buffer | UnsetType = UNSET
    mode: VisitMode | UnsetType = UNSET
    video_link: VideoLink | UnsetType | None = UNSET
    instructions: Instructions | UnsetType | None = UNSET
    min_notice_minutes: Notice | UnsetType | None = UNSET
    horizon_days: Horizon | UnsetType | None = UNSET
    change_deadline_minutes: Deadline | UnsetType | None = UNSET
    max_live_per_patient: MostLive | UnsetType | None = UNSET
    patients: Patients | UnsetType = UNSET
    bookable_by: BookableBy | UnsetType = UNSET
    active: bool | UnsetType = UNSET


class VisitTypeView(Struct, frozen=True, rename="camel"):
    """`videoLink` is null except for staff and admins."""

    id: int
    name: str
    minutes: int
    buffer_minutes: int
    mode: VisitMode
    video_link: str | None
    instructions: str | None
    min_notice_minutes: int | None
    horizon_days: int | None
    change_deadline_minutes: int | None
    max_live_per_patient: int | None
    patients: Patients
    bookable_by: BookableBy
    active: bool
    created_at: Instant
    updated_at: Instant

    @classmethod
    def of(cls, visit_type: VisitType) -> "VisitTypeView":
        values = asdict(visit_type)
        return cls(**{name: values[name] for name in cls.__struct_fields__})


class VisitTypeController(Controller):
    path = "/api/visit-types"

    @post(
        "/",
        **operation("create_visit_type", ADMIN, "Add a visit type", OutcomeUnknown, sends=("Location", "ETag")),
    )
    async def create_visit_type(
        self, request: ApiRequest, data: JSONBody[NewVisitType], visit_types: NamedDependency[VisitTypes]
    ) -> Response[VisitTypeView]:
        made = await visit_types.create_visit_type(account_of(request), VisitTypeFields(**asdict(data)))
        headers = {"Location": f"/api/visit-types/{made.id}"}
        return versioned(VisitTypeView.of(made), made.version, headers=headers)

    @get(
        "/",
        **operation(
            "list_visit_types",
            RECOGNIZED,
            "List visit types",
            description="Those that patients can book, by id; staff and admins get all.",
        ),
    )
    async def list_visit_types(
        self,
        request: ApiRequest,
        visit_types: NamedDependency[VisitTypes],
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[VisitTypeView]:
        after = decode_cursor(cursor, IdPosition(0))
        at_desk = caller_of(request).at_desk
        found = await visit_types.list_visit_types(after.id, limit + 1, for_desk=at_desk)
        return page_of(found, limit, lambda one: _view_for(one, at_desk=at_desk), lambda one: IdPosition(one.id))

    @get(
        "/{visit_type_id:int}",
        **operation(
            "get_visit_type",
            RECOGNIZED,
            "Read a visit type",
            VisitTypeNotFound,
            sends=("ETag",),
            also_answers=NOTHING_CHANGED,
        ),
    )
    async def get_visit_type(
        self,
        request: ApiRequest,
        visit_type_id: Id,
        visit_types: NamedDependency[VisitTypes],
        known: IfNoneMatch = None,
    ) -> Response[VisitTypeView]:
        found = await visit_types.get_visit_type(visit_type_id)
        public = VisitTypeView.of(without_secrets(found))
        if not caller_of(request).at_desk or public == (whole := VisitTypeView.of(found)):
            return versioned_unless_known(public, found.version, known)
        # What the client has of this version may be from before its log-in, without what only the desk sees.
        return versioned(whole, found.version)

    @patch(
        "/{visit_type_id:int}",
        **operation(
            "update_visit_type",
            ADMIN,
            "Change a visit type",
            OutcomeUnknown,
            VisitTypeNotFound,
            VisitTypeInUse,
            SlotOverlaps,
            ChangedMeanwhile,
            sends=("ETag",),
            description="Bookings and slots that have it keep their times. A changed length or a shorter buffer counts "
            "for slots that are made or changed afterwards, a longer buffer for all slots ahead at once: if it reaches "
            "into another slot of a doctor, nothing is changed and the code is `slot-overlaps`. If rules have the "
            "type, it is changed by `/api/schedule/preview` and `/api/schedule/apply`, with `changeLengths`.",
        ),
    )
    async def update_visit_type(
        self,
        request: ApiRequest,
        visit_type_id: Id,
        data: JSONBody[VisitTypePatch],
        visit_types: NamedDependency[VisitTypes],
        if_match: IfMatch = None,
    ) -> Response[VisitTypeView]:
        change = VisitTypeChange(**asdict(data))
        with showing_present(VisitTypeView.of):
            changed = await visit_types.update_visit_type(
                account_of(request), visit_type_id, change, versions_in(if_match)
            )
        return versioned(VisitTypeView.of(changed), changed.version)


def _view_for(visit_type: VisitType, *, at_desk: bool) -> VisitTypeView:
    return VisitTypeView.of(visit_type if at_desk else without_secrets(visit_type))
