"""A person's own account: their appointments, their password, and what is kept about them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from litestar import Controller, MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.response import Stream

from slotwise.domain.bookings import Booking
from slotwise.domain.errors import InvalidCredentials, InvalidInput, LastAdmin, TooManyLogins
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME, MAX_ID
from slotwise.domain.users import actor_of
from slotwise.services.my_bookings import FIRST, LAST, LOOKED_AT, MyBookings, Position
from slotwise.services.privacy import Person, Privacy
from slotwise.services.users import Users
from slotwise.web.access import ACCOUNT, PageRequest, account_in, page
from slotwise.web.downloads import download
from slotwise.web.forms import Form
from slotwise.web.pages import Pages
from slotwise.web.sessions import enter_with, leave, show_again
from slotwise.web.times import iso

PAGE = 20
CHANGED = "Your password is changed. Other devices that were logged in no longer are."
ERASED = "Your account is deleted, and your coming appointments are cancelled. Nothing here has your name any more."


class Part(NamedTuple):
    """Some of the appointments. `more` is the position from which a further part begins."""

    bookings: Sequence[Booking]
    more: str | None


class AccountController(Controller):
    path = "/account"

    @get("/", **page(ACCOUNT))
    async def show_my_bookings(
        self, request: PageRequest, pages: NamedDependency[Pages], my_bookings: NamedDependency[MyBookings]
    ) -> Response[Any]:
        """All that is coming and the past, or with a position in the address the rest of the one or the other."""
        user = account_in(request)
        after, before = _position(request, "after"), _position(request, "before")
        coming = past = None
        if before is None:
            coming = _part(await my_bookings.list_coming_bookings(user, PAGE + 1, after or FIRST))
        if after is None:
            past = _part(await my_bookings.list_past_bookings(user, PAGE + 1, before or LAST))
        return pages.answer(
            request,
            "account/appointments.html",
            coming=coming,
            past=past,
            user=user,
            now=pages.time.now(),
            looked_at=LOOKED_AT,
        )

    @get("/password", **page(ACCOUNT))
    async def ask_for_new_password(self, request: PageRequest, pages: NamedDependency[Pages]) -> Response[Any]:
        return pages.answer(request, "account/password.html", form=Form(), user=account_in(request))

    @post("/password", **page(ACCOUNT))
    async def change_password(
        self, request: PageRequest, pages: NamedDependency[Pages], users: NamedDependency[Users]
    ) -> Response[Any]:
        user, form = account_in(request), await Form.of(request)
        new = form.exactly("new_password")
        try:
            await users.change_password(user, form.exactly("current_password"), new)
        except (InvalidInput, InvalidCredentials, TooManyLogins) as error:
            return show_again(request, pages, "account/password.html", form, error, proof="current_password", user=user)
        return await enter_with(request, users, user, new, CHANGED, "/account")

    @get("/data", **page(ACCOUNT))
    async def show_what_is_kept(self, request: PageRequest, pages: NamedDependency[Pages]) -> Response[Any]:
        return pages.answer(request, "account/data.html", user=account_in(request))

    @get("/data.json", **page(ACCOUNT))
    async def export_personal_data(self, request: PageRequest, privacy: NamedDependency[Privacy]) -> Stream:
        user = account_in(request)
        pieces = privacy.export_personal_data(Person(user.id), actor_of(user))
        return await download("my-data.json", MediaType.JSON, pieces)

    @get("/delete", **page(ACCOUNT))
    async def ask_before_erasing(self, request: PageRequest, pages: NamedDependency[Pages]) -> Response[Any]:
        return pages.answer(request, "account/delete.html", form=Form(), user=account_in(request))

    @post("/delete", **page(ACCOUNT))
    async def erase_personal_data(
        self,
        request: PageRequest,
        pages: NamedDependency[Pages],
        users: NamedDependency[Users],
        privacy: NamedDependency[Privacy],
    ) -> Response[Any]:
        user, form = account_in(request), await Form.of(request)
        try:
            password_hash = await users.require_password(user, form.exactly("password"))
            await privacy.erase_personal_data(Person(user.id), actor_of(user), password_hash)
        except (InvalidCredentials, TooManyLogins, LastAdmin) as error:
            return show_again(request, pages, "account/delete.html", form, error, proof="password", user=user)
        return leave(request, ERASED)


def _part(found: Sequence[Booking]) -> Part:
    shown = found[:PAGE]
    last = Position.of(shown[-1]) if len(found) > PAGE else None
    return Part(shown, f"{iso(last.start_time)}.{last.booking_id}" if last else None)


def _position(request: PageRequest, name: str) -> Position | None:
    """As `_part` wrote it. Raises `InvalidInput` for anything else."""
    text = request.query_params.get(name)
    if text is None:
        return None
    moment, _, number = text.rpartition(".")
    try:
        start_time, booking_id = datetime.fromisoformat(moment), int(number)
        known = FIRST_TIME <= start_time < LAST_READABLE_TIME and 0 < booking_id <= MAX_ID
    except (ValueError, TypeError):
        known = False
    if not known:
        raise InvalidInput.of(name, "is not a place in this list")
    return Position(start_time, booking_id)
