"""Changing one's own password."""

from typing import Any

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency

from slotwise.domain.errors import InvalidCredentials, InvalidInput, TooManyLogins
from slotwise.services.accounts.users import Users
from slotwise.web.accounts.log_in import enter_with, show_again
from slotwise.web.kit.access import ACCOUNT, PageRequest, account_in, page_for
from slotwise.web.kit.forms import Form
from slotwise.web.kit.rendering import Renderer

CHANGED = "Your password is changed. You are logged out on all other devices."


class AccountController(Controller):
    path = "/account"

    @get("/password", **page_for(ACCOUNT))
    async def ask_for_new_password(self, request: PageRequest, renderer: NamedDependency[Renderer]) -> Response[Any]:
        return renderer.answer(request, "accounts/password.html", form=Form(), user=account_in(request))

    @post("/password", **page_for(ACCOUNT))
    async def change_password(
        self, request: PageRequest, renderer: NamedDependency[Renderer], users: NamedDependency[Users]
    ) -> Response[Any]:
        user, form = account_in(request), await Form.of(request)
        new = form.exactly("new_password")
        try:
            await users.change_password(user, form.exactly("current_password"), new)
        except (InvalidInput, InvalidCredentials, TooManyLogins) as error:
            return show_again(
                request, renderer, "accounts/password.html", form, error, current="current_password", user=user
            )
        return await enter_with(request, users, user, new, CHANGED, "/account")
