"""A person's own account: read it, export its data, erase it."""

from collections.abc import AsyncIterator
from typing import cast

from litestar import Controller, MediaType, Response, delete, get
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.response import Stream
from msgspec import Struct

from slotwise.domain.errors import InvalidCredentials, LastAdmin, OutcomeUnknown, TooManyLogins
from slotwise.domain.users import actor_of
from slotwise.http.accounts.auth import UserView
from slotwise.http.kit.access import ACCOUNT, ApiRequest, account_of
from slotwise.http.kit.fields import Password
from slotwise.http.kit.operations import operation
from slotwise.services.accounts.users import Users
from slotwise.services.privacy.personal_data import Person, PersonalData, PersonalDataDocument


class Erasure(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The password proves that it is you who asks."""

    password: Password


class PersonalDataController(Controller):
    path = "/api/auth/me"

    @get("/", **operation("get_account", ACCOUNT, "Read your own account"))
    async def get_account(self, request: ApiRequest) -> UserView:
        return UserView.of(account_of(request))

    @get(
        "/data",
        **operation(
            "export_personal_data",
            ACCOUNT,
            "Export your data",
            description="Your account and its bookings, with their history and which staff opened each of them. "
            "Without: who saw them in lists, and what you did to other people's bookings as staff. "
            "Bookings that others made with your e-mail address are not included, because it is not proven that the "
            "e-mail address is yours.",
        ),
    )
    async def export_personal_data(
        self, request: ApiRequest, personal_data: NamedDependency[PersonalData]
    ) -> Response[PersonalDataDocument]:
        account = account_of(request)
        pieces = personal_data.export_personal_data(Person(account.id), actor_of(account))
        # Most errors occur here, while the answer can still be an error.
        first = await anext(pieces)
        document = Stream(_joined(first, pieces), media_type=MediaType.JSON)
        return cast("Response[PersonalDataDocument]", document)

    @delete(
        "/",
        status_code=204,
        **operation(
            "erase_personal_data",
            ACCOUNT,
            "Erase your account",
            InvalidCredentials,
            TooManyLogins,
            LastAdmin,
            OutcomeUnknown,
            description="Cancels your upcoming bookings, removes your name and e-mail address from the account and "
            "all its bookings, and revokes all your access tokens. This cannot be undone. You can register again with "
            "the same e-mail address.",
        ),
    )
    async def erase_personal_data(
        self,
        request: ApiRequest,
        data: JSONBody[Erasure],
        users: NamedDependency[Users],
        personal_data: NamedDependency[PersonalData],
    ) -> None:
        account = account_of(request)
        password_hash = await users.require_password(account, data.password)
        await personal_data.erase_personal_data(Person(account.id), actor_of(account), password_hash)


async def _joined(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in others:
        yield piece
