"""The operations on clinics: add, change, read, list."""

from typing import Annotated, Any

from litestar import Controller, Response, get, patch, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import UNSET, Meta, Struct, UnsetType

from slotwise.domain.clinics import MAX_CLINIC_NAME, MAX_NOTE, MAX_TELEPHONE, Clinic, ClinicChange
from slotwise.domain.errors import ChangedMeanwhile, ClinicInUse, ClinicNotFound, LastClinic, OutcomeUnknown
from slotwise.domain.fields import MAX_NAME_CHARACTERS, Instant
from slotwise.domain.time_zones import MAX_ZONE_CHARACTERS
from slotwise.http.kit.access import ADMIN, RECOGNIZED, ApiRequest, account_of
from slotwise.http.kit.operations import NOTHING_CHANGED, operation
from slotwise.http.kit.paging import DEFAULT_LIMIT, Cursor, IdPosition, Limit, Page, decode_cursor, page_of
from slotwise.http.kit.parameters import Id, IfNoneMatch
from slotwise.http.kit.versions import IfMatch, showing_present, versioned, versioned_unless_known, versions_in
from slotwise.services.schedule.clinics import Clinics


def _text(description: str, example: str, longest: int, **more: Any) -> Any:
    """A text whose limits the domain checks, with better words for what is wrong."""
    return Meta(description=description, examples=[example], extra_json_schema={"maxLength": longest, **more})


Name = Annotated[str, _text(f"1 to {MAX_CLINIC_NAME} characters", "North Clinic", MAX_CLINIC_NAME, minLength=1)]
TimeZone = Annotated[str, _text("An IANA name", "Europe/Berlin", MAX_ZONE_CHARACTERS)]
Address = Annotated[str, _text("In one line", "12 High Street, Springfield", MAX_NAME_CHARACTERS)]
Telephone = Annotated[
    str,
    _text(
        "As people dial it", "+44 20 7946 0000", MAX_TELEPHONE, pattern=r"^\s*$|^\s*\+?[0-9][0-9 ()/.-]+[0-9()/.-]\s*$"
    ),
]
ClinicEmail = Annotated[str, Meta(examples=["north@clinic.example"])]
Directions = Annotated[str, _text("How to get there; may have several lines", "Bus 7", MAX_NOTE)]
OpeningNote = Annotated[str, _text("May have several lines", "Closed on Sundays", MAX_NOTE)]
Colour = Annotated[
    str, _text("By which the desk tells clinics apart", "#1b6e8c", 7, pattern=r"^\s*$|^\s*#[0-9A-Fa-f]{6}\s*$")
]

EveningList = Annotated[
    bool,
    Meta(description="Whether tomorrow's list is written to a file each evening, if the server writes such lists"),
]


class NewClinic(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    name: Name
    time_zone: TimeZone
    address: Address | None = None
    telephone: Telephone | None = None
    email: ClinicEmail | None = None
    directions: Directions | None = None
    opening_note: OpeningNote | None = None
    colour: Colour | None = None
    active: bool = True
    evening_list: EveningList = True


class ClinicPatch(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Absent fields stay unchanged; null clears a field."""

    name: Name | UnsetType = UNSET
    time_zone: TimeZone | UnsetType = UNSET
    address: Address | UnsetType | None = UNSET
    telephone: Telephone | UnsetType | None = UNSET
    email: ClinicEmail | UnsetType | None = UNSET
    directions: Directions | UnsetType | None = UNSET
    opening_note: OpeningNote | UnsetType | None = UNSET
    colour: Colour | UnsetType | None = UNSET
    active: bool | UnsetType = UNSET
    evening_list: EveningList | UnsetType = UNSET


class ClinicView(Struct, frozen=True, rename="camel"):
    """`version` grows with each change, and is the `ETag`."""

    id: int
    name: str
    time_zone: str
    address: str | None
    telephone: str | None
    email: str | None
    directions: str | None
    opening_note: str | None
    colour: str | None
    active: bool
    evening_list: EveningList
    version: int
    created_at: Instant
    updated_at: Instant

    @classmethod
    def of(cls, clinic: Clinic) -> "ClinicView":
        return cls(**{field: getattr(clinic, field) for field in cls.__struct_fields__})


class ClinicController(Controller):
    path = "/api/clinics"

    @post("/", **operation("create_clinic", ADMIN, "Add a clinic", OutcomeUnknown, sends=("Location", "ETag")))
    async def create_clinic(
        self, request: ApiRequest, data: JSONBody[NewClinic], clinics: NamedDependency[Clinics]
    ) -> Response[ClinicView]:
        clinic = await clinics.create_clinic(account_of(request), _change_of(data))
        location = {"Location": f"/api/clinics/{clinic.id}"}
        return versioned(ClinicView.of(clinic), clinic.version, headers=location)

    @get(
        "/",
        **operation(
            "list_clinics",
            RECOGNIZED,
            "List clinics",
            description="Those that take appointments, by id; staff and admins also get the others.",
        ),
    )
    async def list_clinics(
        self,
        request: ApiRequest,
        clinics: NamedDependency[Clinics],
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[ClinicView]:
        after = decode_cursor(cursor, IdPosition(0))
        at_desk = request.user is not None and request.user.at_desk
        found = await clinics.list_clinics(after.id, limit + 1, with_inactive=at_desk)
        return page_of(found, limit, ClinicView.of, lambda clinic: IdPosition(clinic.id))

    @get(
        "/{clinic_id:int}",
        **operation(
            "get_clinic",
            RECOGNIZED,
            "Read a clinic",
            ClinicNotFound,
            sends=("ETag",),
            also_answers=NOTHING_CHANGED,
        ),
    )
    async def get_clinic(
        self, clinic_id: Id, clinics: NamedDependency[Clinics], known: IfNoneMatch = None
    ) -> Response[ClinicView]:
        clinic = await clinics.get_clinic(clinic_id)
        return versioned_unless_known(ClinicView.of(clinic), clinic.version, known)

    @patch(
        "/{clinic_id:int}",
        **operation(
            "update_clinic",
            ADMIN,
            "Change a clinic",
            OutcomeUnknown,
            ClinicNotFound,
            ClinicInUse,
            LastClinic,
            ChangedMeanwhile,
            description="Send the `ETag` that you have read as `If-Match`. If somebody else has changed the clinic "
            "since, nothing is done, and the answer is 412 with the clinic as it is now.",
            sends=("ETag",),
        ),
    )
    async def update_clinic(
        self,
        request: ApiRequest,
        clinic_id: Id,
        data: JSONBody[ClinicPatch],
        clinics: NamedDependency[Clinics],
        if_match: IfMatch = None,
    ) -> Response[ClinicView]:
        with showing_present(ClinicView.of):
            clinic = await clinics.update_clinic(
                account_of(request), clinic_id, _change_of(data), versions_in(if_match)
            )
        return versioned(ClinicView.of(clinic), clinic.version)


def _change_of(data: NewClinic | ClinicPatch) -> ClinicChange:
    return ClinicChange(**{field: getattr(data, field) for field in data.__struct_fields__})
