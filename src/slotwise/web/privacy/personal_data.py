"""The data that is kept about a person: they see, download and erase it themselves."""

from typing import Any

from litestar import Controller, MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.response import Stream

from slotwise.domain.errors import InvalidCredentials, LastAdmin, TooManyLogins
from slotwise.domain.users import actor_of
from slotwise.services.accounts.users import Users
from slotwise.services.privacy.personal_data import Person, PersonalData
from slotwise.web.accounts.log_in import leave, show_again
from slotwise.web.kit.access import ACCOUNT, PageRequest, account_in, page_for
from slotwise.web.kit.downloads import download
from slotwise.web.kit.forms import Form
from slotwise.web.kit.rendering import Renderer

ERASED = "Your account is deleted, and your upcoming appointments are cancelled. Your name is removed everywhere."


class PersonalDataController(Controller):
    path = "/account"

    @get("/data", **page_for(ACCOUNT))
    async def show_what_is_kept(self, request: PageRequest, renderer: NamedDependency[Renderer]) -> Response[Any]:
        return renderer.answer(request, "privacy/data.html", user=account_in(request))

    @get("/data.json", **page_for(ACCOUNT))
    async def export_personal_data(self, request: PageRequest, personal_data: NamedDependency[PersonalData]) -> Stream:
        user = account_in(request)
        pieces = personal_data.export_personal_data(Person(user.id), actor_of(user))
        return await download("my-data.json", MediaType.JSON, pieces)

    @get("/delete", **page_for(ACCOUNT))
    async def ask_before_erasing(self, request: PageRequest, renderer: NamedDependency[Renderer]) -> Response[Any]:
        return renderer.answer(request, "privacy/delete.html", form=Form(), user=account_in(request))

    @post("/delete", **page_for(ACCOUNT))
    async def erase_personal_data(
        self,
        request: PageRequest,
        renderer: NamedDependency[Renderer],
        users: NamedDependency[Users],
        personal_data: NamedDependency[PersonalData],
    ) -> Response[Any]:
        user, form = account_in(request), await Form.of(request)
        try:
            password_hash = await users.require_password(user, form.exactly("password"))
            await personal_data.erase_personal_data(Person(user.id), actor_of(user), password_hash)
        except (InvalidCredentials, TooManyLogins, LastAdmin) as error:
            return show_again(request, renderer, "privacy/delete.html", form, error, current="password", user=user)
        return leave(request, ERASED)
