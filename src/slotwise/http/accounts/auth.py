"""Accounts: register, log in, log out, change the password."""

from typing import Annotated, Literal

from litestar import Controller, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct

from slotwise.domain.errors import EmailTaken, InvalidCredentials, OutcomeUnknown, TooManyLogins
from slotwise.domain.fields import Instant
from slotwise.domain.users import Role, User
from slotwise.http.kit.access import ACCOUNT, MAX_TOKEN_CHARACTERS, OPEN, ApiRequest, account_of
from slotwise.http.kit.fields import Email, Password, PersonName
from slotwise.http.kit.operations import operation
from slotwise.services.accounts.users import Session, Users
from slotwise.services.core.rate_limits import client_of


class Registration(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    name: PersonName
    email: Email
    password: Password


class LogIn(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    email: Email
    password: Password


class PasswordChange(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    current_password: Password
    new_password: Password


class UserView(Struct, frozen=True, rename="camel"):
    id: int
    email: str
    name: str
    role: Role
    created_at: Instant
    updated_at: Instant

    @classmethod
    def of(cls, user: User) -> "UserView":
        return cls(user.id, user.email, user.name, user.role, user.created_at, user.updated_at)


class SessionView(Struct, frozen=True, rename="camel"):
    """`expiresIn` is in seconds."""

    access_token: Annotated[str, Meta(max_length=MAX_TOKEN_CHARACTERS)]
    token_type: Literal["Bearer"]
    expires_in: Annotated[int, Meta(ge=1)]
    user: UserView

    @classmethod
    def of(cls, session: Session) -> "SessionView":
        return cls(session.access_token, "Bearer", session.expires_in, UserView.of(session.user))


class AuthController(Controller):
    path = "/api/auth"

    @post(
        "/register",
        **operation(
            "register",
            OPEN,
            "Register a patient's account",
            OutcomeUnknown,
            EmailTaken,
            sends=("Location",),
        ),
    )
    async def register(self, data: JSONBody[Registration], users: NamedDependency[Users]) -> Response[UserView]:
        user = await users.register(data.name, data.email, data.password)
        return Response(UserView.of(user), headers={"Location": "/api/auth/me"})

    @post(
        "/login",
        status_code=200,
        **operation(
            "log_in",
            OPEN,
            "Get an access token",
            OutcomeUnknown,
            InvalidCredentials,
            TooManyLogins,
            description="After ten failures in 15 minutes for one account from one client IP, further attempts from "
            "this IP to this account are refused for a while.",
        ),
    )
    async def log_in(self, request: ApiRequest, data: JSONBody[LogIn], users: NamedDependency[Users]) -> SessionView:
        client_ip = client_of(request.client.host) if request.client else ""
        return SessionView.of(await users.log_in(data.email, data.password, client_ip))

    @post(
        "/logout",
        status_code=204,
        **operation(
            "log_out",
            ACCOUNT,
            "Log out",
            OutcomeUnknown,
            description="Revokes all your access tokens, on every device.",
        ),
    )
    async def log_out(self, request: ApiRequest, users: NamedDependency[Users]) -> None:
        await users.log_out(account_of(request))

    @post(
        "/password",
        status_code=204,
        **operation(
            "change_password",
            ACCOUNT,
            "Change your password",
            OutcomeUnknown,
            InvalidCredentials,
            TooManyLogins,
            description="Revokes all your access tokens, also the one of this request. Log in again.",
        ),
    )
    async def change_password(
        self, request: ApiRequest, data: JSONBody[PasswordChange], users: NamedDependency[Users]
    ) -> None:
        await users.change_password(account_of(request), data.current_password, data.new_password)
