"""Accounts, for admins: find, create, change the role, deactivate, set a password."""

from typing import Any

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException

from slotwise.domain.errors import InvalidInput, LastAdmin, SlotwiseError
from slotwise.domain.users import LIMITED_ROLES, Role, User, actor_of
from slotwise.services.accounts.passwords import random_password
from slotwise.services.accounts.users import UserQuery, Users
from slotwise.services.schedule.clinics import Clinics
from slotwise.web.kit.access import ADMIN, PageRequest, account_in, page_for
from slotwise.web.kit.clinics import clinics_in, clinics_to_tick
from slotwise.web.kit.errors import refuse
from slotwise.web.kit.forms import Form
from slotwise.web.kit.queries import Id, before_in, choice_in, link, query_form, text_in
from slotwise.web.kit.rendering import Renderer, see_other

LIST = "/admin/users"
# Admins change their own password here, with the current one.
OWN_ACCOUNT = "/account/password"
PAGE_SIZE = 50
MAX_VERSION = 2**31 - 1
CHANGED_SINCE = (
    "No password was set now: since you opened this form, the account got a new password or another role, or was "
    "logged out. If a new password was shown here, it is valid. Send the form again to set another one."
)


class UserController(Controller):
    path = LIST

    @get("/", **page_for(ADMIN))
    async def list_users(
        self, request: PageRequest, renderer: NamedDependency[Renderer], users: NamedDependency[Users]
    ) -> Response[Any]:
        form = query_form(request, "who", "role")
        try:
            query = UserQuery(choice_in(form, "role", Role), text_in(form, "who"))
        except InvalidInput as error:
            form.refuse(error)
            return renderer.answer(request, "accounts/users/list.html", 400, form=form, found=None)
        found = await users.list_users(account_in(request), query, before_in(request), PAGE_SIZE + 1)
        shown = found.users[:PAGE_SIZE]
        next_id = shown[-1].id if len(found.users) > PAGE_SIZE else found.walked_to
        return renderer.answer(
            request,
            "accounts/users/list.html",
            form=form,
            found=shown,
            newest="before" in request.query_params and link(LIST, form),
            older=next_id and link(LIST, form, [("before", next_id)]),
            looked_in_part=found.walked_to is not None,
        )

    @get("/new", **page_for(ADMIN))
    async def ask_for_user(self, request: PageRequest, renderer: NamedDependency[Renderer]) -> Response[Any]:
        form = Form({"name": "", "email": "", "role": Role.STAFF, "password": ""})
        return renderer.answer(request, "accounts/users/new.html", form=form)

    @post("/new", **page_for(ADMIN))
    async def register(
        self, request: PageRequest, renderer: NamedDependency[Renderer], users: NamedDependency[Users]
    ) -> Response[Any]:
        form = await Form.of(request)
        typed = form.exactly("password")
        password = typed or random_password()
        admin = account_in(request)
        try:
            role = choice_in(form, "role", Role) or Role.PATIENT
            made = await users.register(form.text("name"), form.text("email"), password, role, actor_of(admin))
        except SlotwiseError as error:
            status = refuse(form, error)
            return renderer.answer(request, "accounts/users/new.html", status, form=form)
        if typed:
            return see_other(
                request, f"{LIST}/{made.id}", notice="The account is created, with the password that you typed."
            )
        return renderer.answer(request, "accounts/users/password.html", user=made, password=password, is_new=True)

    @get("/{user_id:int}", **page_for(ADMIN))
    async def get_user(
        self,
        request: PageRequest,
        user_id: Id,
        renderer: NamedDependency[Renderer],
        users: NamedDependency[Users],
        clinics: NamedDependency[Clinics],
    ) -> Response[Any]:
        return await _show(request, renderer, clinics, await _found(request, users, user_id))

    @post("/{user_id:int}/rights", **page_for(ADMIN, form_on="/admin/users/{user_id}"))
    async def change_rights(
        self,
        request: PageRequest,
        user_id: Id,
        renderer: NamedDependency[Renderer],
        users: NamedDependency[Users],
        clinics: NamedDependency[Clinics],
    ) -> Response[Any]:
        form = await Form.of(request)
        admin = account_in(request)
        user = await _found(request, users, user_id)
        try:
            role, active = choice_in(form, "role", Role), _activity_in(form)
            if user.id == admin.id and form.text("sure") != "yes":
                return renderer.answer(request, "accounts/users/own_rights.html", user=user, form=form)
            await users.change_rights(actor_of(admin), user_id, role, active)
        except (InvalidInput, LastAdmin) as error:
            return await _show(request, renderer, clinics, user, form, refuse(form, error))
        if user.id == admin.id:
            return see_other(request, "/", notice="Your account is changed. You have been logged out.")
        return see_other(request, f"{LIST}/{user_id}", notice=_done_words(role, active))

    @post("/{user_id:int}/clinics", **page_for(ADMIN, form_on="/admin/users/{user_id}"))
    async def change_user_clinics(
        self,
        request: PageRequest,
        user_id: Id,
        renderer: NamedDependency[Renderer],
        users: NamedDependency[Users],
        clinics: NamedDependency[Clinics],
    ) -> Response[Any]:
        await _found(request, users, user_id)
        chosen = clinics_in(await Form.of(request), renderer.clinics)
        await clinics.change_user_clinics(account_in(request), user_id, chosen)
        which = "all clinics" if not chosen else "the clinics that you chose, and sees no others"
        return see_other(request, f"{LIST}/{user_id}", notice=f"The user works for {which}.")

    @get("/{user_id:int}/password", **page_for(ADMIN))
    async def ask_for_password(
        self, request: PageRequest, user_id: Id, renderer: NamedDependency[Renderer], users: NamedDependency[Users]
    ) -> Response[Any]:
        if _is_own(request, user_id):
            return see_other(request, OWN_ACCOUNT)
        user = await _found(request, users, user_id)
        form = Form({"password": "", "version": str(user.token_version)})
        return renderer.answer(request, "accounts/users/reset_password.html", user=user, form=form)

    @post("/{user_id:int}/password", **page_for(ADMIN))
    async def reset_password(
        self, request: PageRequest, user_id: Id, renderer: NamedDependency[Renderer], users: NamedDependency[Users]
    ) -> Response[Any]:
        """Not for one's own account: a person at an admin's open browser must not be able to lock the admin out.

        A form sets a password once. Reloading the page that shows the password sends the form again and sets no other.
        """
        form = await Form.of(request)
        if _is_own(request, user_id):
            return see_other(request, OWN_ACCOUNT)
        typed = form.exactly("password")
        password = typed or random_password()
        user = await _found(request, users, user_id)
        try:
            version = form.number("version", 0, MAX_VERSION)
            if not await users.reset_password(actor_of(account_in(request)), user_id, password, version):
                form.problem = CHANGED_SINCE
                form.values["version"] = str(user.token_version)
                return renderer.answer(request, "accounts/users/reset_password.html", 409, user=user, form=form)
        except SlotwiseError as error:
            status = refuse(form, error)
            return renderer.answer(request, "accounts/users/reset_password.html", status, user=user, form=form)
        if typed:
            notice = "The password is set. The user is logged out on all devices."
            return see_other(request, f"{LIST}/{user_id}", notice=notice)
        return renderer.answer(request, "accounts/users/password.html", user=user, password=password, is_new=False)


def _is_own(request: PageRequest, user_id: int) -> bool:
    return user_id == account_in(request).id


def _activity_in(form: Form) -> bool | None:
    return {"yes": True, "no": False}.get(form.text("active"))


def _done_words(role: Role | None, active: bool | None) -> str:
    match role, active:
        case _, False:
            return "The account is deactivated. Its bookings stay."
        case _, True:
            return "The account is active again."
        case _:
            return "The role is changed. The user must log in again."


async def _found(request: PageRequest, users: Users, user_id: int) -> User:
    user = await users.get_user(account_in(request), user_id)
    if user is None:
        raise NotFoundException
    return user


async def _show(
    request: PageRequest, renderer: Renderer, clinics: Clinics, user: User, form: Form | None = None, status: int = 200
) -> Response[Any]:
    works_for = await clinics.list_user_clinics(user.id) if user.role in LIMITED_ROLES else []
    asks_which = works_for or (user.role in LIMITED_ROLES and renderer.clinics.several)
    return renderer.answer(
        request,
        "accounts/users/user.html",
        status,
        user=user,
        own=user.id == account_in(request).id,
        form=form or Form({"role": user.role}),
        clinics=clinics_to_tick(renderer.clinics, works_for) if asks_which else [],
        works_for=works_for,
    )
