"""The operations on doctors: add, change, read, list."""

from http import HTTPStatus
from typing import Annotated, Protocol

import msgspec
from litestar import Controller, Response, get, patch, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from slotwise.batching.shared_reads import SharedReads
from slotwise.domain.doctors import FIRST_DOCTOR, Doctor, DoctorPosition
from slotwise.domain.errors import DoctorNotFound, OutcomeUnknown
from slotwise.domain.fields import Instant
from slotwise.http.kit.access import ADMIN, ANYONE, RECOGNIZED, ApiRequest, account_of
from slotwise.http.kit.direct import JSON, ApiCall, answered, direct
from slotwise.http.kit.fields import NAME
from slotwise.http.kit.operations import operation
from slotwise.http.kit.paging import DEFAULT_LIMIT, Cursor, Limit, NamePosition, Page, decode_cursor, page_of
from slotwise.http.kit.parameters import Id, Text, clean_text
from slotwise.server.direct import Answer, KnownQueries
from slotwise.services.schedule.doctors import Doctors

Name = Annotated[
    str, Meta(description="1 to 200 characters after trimming", examples=["Dr. Grace Hopper"], extra_json_schema=NAME)
]
Specialization = Annotated[str, Meta(examples=["Cardiology"], extra_json_schema=NAME)]

FIRST = NamePosition(*FIRST_DOCTOR)


class NewDoctor(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    name: Name
    specialization: Specialization | None = None


class DoctorPatch(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Absent fields stay unchanged; `specialization: null` clears it."""

    name: Name | UnsetType = UNSET
    specialization: Specialization | UnsetType | None = UNSET
    active: bool | UnsetType = UNSET


class DoctorView(Struct, frozen=True, rename="camel"):
    id: int
    name: str
    specialization: str | None
    active: bool
    created_at: Instant
    updated_at: Instant

    @classmethod
    def of(cls, doctor: Doctor) -> "DoctorView":
        return cls(doctor.id, doctor.name, doctor.specialization, doctor.active, doctor.created_at, doctor.updated_at)


class DoctorListQuery(Struct, frozen=True):
    specialization: str | None
    text: str | None
    limit: int
    after: NamePosition
    with_inactive: bool = False


class DoctorLists:
    """One read and one encoding serve all requests that want the same page at the same time."""

    def __init__(self, doctors: Doctors) -> None:
        self._doctors = doctors
        self._reads = SharedReads(self._read)

    async def list_doctors(self, query: DoctorListQuery) -> bytes:
        return await self._reads.read(query)

    async def _read(self, query: DoctorListQuery) -> bytes:
        found = await self._doctors.list_doctors(
            DoctorPosition(query.after.sort_key, query.after.id),
            query.limit + 1,
            query.specialization,
            query.text,
            query.with_inactive,
        )
        page = page_of(found, query.limit, DoctorView.of, lambda doctor: NamePosition(*doctor.position))
        return msgspec.json.encode(page)


_KNOWN_QUERIES: KnownQueries[DoctorListQuery] = KnownQueries()


class HasDoctorLists(Protocol):
    @property
    def doctor_lists(self) -> DoctorLists: ...


async def _list_doctors(api: HasDoctorLists, call: ApiCall[DoctorListQuery]) -> Answer:
    query = replace(call.data, with_inactive=call.caller.at_desk)
    return Answer(HTTPStatus.OK, JSON, await api.doctor_lists.list_doctors(query))


class DoctorController(Controller):
    path = "/api/doctors"

    @post("/", **operation("create_doctor", ADMIN, "Add a doctor", OutcomeUnknown, sends=("Location",)))
    async def create_doctor(
        self, request: ApiRequest, data: JSONBody[NewDoctor], doctors: NamedDependency[Doctors]
    ) -> Response[DoctorView]:
        doctor = await doctors.create_doctor(account_of(request), data.name, data.specialization)
        return Response(DoctorView.of(doctor), headers={"Location": f"/api/doctors/{doctor.id}"})

    @get(
        "/",
        **direct(_list_doctors, _KNOWN_QUERIES.read),
        **operation(
            "list_doctors",
            RECOGNIZED,
            "List doctors",
            description="Active doctors by name; staff and admins also get inactive ones. `q` searches in name and "
            "specialization: every word, in any order, whatever the accents and punctuation.",
        ),
    )
    async def list_doctors(
        self,
        request: ApiRequest,
        specialization: Text = None,
        q: Text = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Response[Page[DoctorView]]:  # its bytes are prepared: DoctorLists
        query = DoctorListQuery(
            clean_text("specialization", specialization), clean_text("q", q), limit, decode_cursor(cursor, FIRST)
        )
        _KNOWN_QUERIES.remember(request.scope["query_string"], query)
        return await answered(request, data=query)

    @get("/{doctor_id:int}", **operation("get_doctor", ANYONE, "Read a doctor", DoctorNotFound))
    async def get_doctor(self, doctor_id: Id, doctors: NamedDependency[Doctors]) -> DoctorView:
        return DoctorView.of(await doctors.get_doctor(doctor_id))

    @patch("/{doctor_id:int}", **operation("update_doctor", ADMIN, "Change a doctor", OutcomeUnknown, DoctorNotFound))
    async def update_doctor(
        self, request: ApiRequest, doctor_id: Id, data: JSONBody[DoctorPatch], doctors: NamedDependency[Doctors]
    ) -> DoctorView:
        doctor = await doctors.update_doctor(
            account_of(request),
            doctor_id,
            name=None if data.name is UNSET else data.name,
            specialization=None if data.specialization is UNSET else data.specialization,
            clear_specialization=data.specialization is None,
            active=None if data.active is UNSET else data.active,
        )
        return DoctorView.of(doctor)
