"""From a template and values to an answer: one Jinja environment and one set of headers for all pages."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar, cast

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import Response
from litestar.datastructures import Cookie
from msgspec.structs import replace

from slotwise.domain.clinics import ClinicBook
from slotwise.web.kit.access import PageRequest, visitor_in
from slotwise.web.kit.assets import asset
from slotwise.web.kit.forms import Form
from slotwise.web.kit.kept_forms import kept_form_of, typist_field
from slotwise.web.kit.parts import PageParts
from slotwise.web.kit.status_words import booking_words, status_words
from slotwise.web.kit.times import ClinicTime, PageTime, iso, iso_at_clinic, length_words, minutes_words
from slotwise.web.kit.visitors import attempt_cookie, clear_cookie, notice_cookie

HTML = "text/html"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    # Only the host of a URL, also to pages of this site, because a URL may hold a manage token. Without any referrer,
    # browsers would not say that a form comes from this site; see `refuse_other_sites`.
    "Referrer-Policy": "strict-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

# The times of a row that are in the zone of its clinic.
_AT_CLINIC = ("start_time", "end_time")


class OfClinic(Protocol):
    """A row that is about a clinic."""

    @property
    def clinic_id(self) -> int: ...


Row = TypeVar("Row", bound=OfClinic)

SHOWN_AGAIN = (
    "You are logged in again. The form was not sent. What you typed is here again, except passwords. "
    "Check it, and press the button again."
)


class Renderer:
    """Renders templates into answers. `origin` is the public URL of the pages, if the settings have one.

    `brand` is the name of all clinics together, for when there are several.
    """

    def __init__(self, clinics: ClinicBook, origin: str | None = None, brand: str = "Slotwise") -> None:
        self.clinics = clinics
        self.origin = origin
        self._brand = brand
        self._times: dict[str, ClinicTime] = {}
        self._page_time = PageTime(lambda: clinics.main.zone)
        self._environment = _environment(clinics, self._page_time)

    @property
    def time(self) -> ClinicTime:
        """In the zone of the main clinic."""
        return self.time_of(None)

    def time_of(self, clinic_id: int | None) -> ClinicTime:
        """In the zone of a clinic."""
        zone = self.clinics.zone_of(clinic_id)
        return self._times.setdefault(zone.key, ClinicTime(zone))

    def at_clinic(self, row: Row) -> Row:
        """A booking or a slot of a list, with its times in the zone of its clinic."""
        zone = self.clinics.zone_of(row.clinic_id)
        if zone is self.clinics.main.zone:
            return row
        changed: Row = replace(
            cast("Any", row), **{name: getattr(row, name).astimezone(zone) for name in _AT_CLINIC if hasattr(row, name)}
        )
        return changed

    @property
    def brand(self) -> str:
        return self._brand if self.clinics.several else self.clinics.main.name

    def render(self, template: str, *, clinic_id: int | None = None, **context: Any) -> str:
        """`clinic_id` is the clinic that the page is about, if it is about one."""
        clinic = None if clinic_id is None else self.clinics.get(clinic_id)
        with self._page_time.of_page(None if clinic is None else clinic.zone):
            return self._environment.get_template(template).render(
                context, brand=self.brand, clinic=clinic, several_clinics=self.clinics.several
            )

    def answer(
        self,
        request: PageRequest,
        template: str,
        status: int = 200,
        *,
        cookies: Sequence[Cookie] = (),
        headers: Mapping[str, str] | None = None,
        clinic_id: int | None = None,
        **context: Any,
    ) -> Response[str]:
        """A page for this visitor, with their notice if they have one. `clinic_id` as for `render`."""
        visitor = visitor_in(request)
        form = context.get("form")
        told = _fill_kept_form(request, form) if form is not None else None
        if told is not None:
            visitor = replace(visitor, notice=told)
            cookies = [*cookies, clear_cookie(request, "kept")]
        html = self.render(
            template,
            clinic_id=clinic_id,
            visitor=visitor,
            path=request.scope["path"],
            typist_field=typist_field(request, visitor.user),
            **context,
        )
        return Response(
            html,
            status_code=status,
            media_type=HTML,
            headers={**HEADERS, **(headers or {})},
            cookies=[*cookies, *_without(cookies, cookies_due(request))],
        )


class RenderingParts(PageParts, frozen=True):
    renderer: Renderer


class Application(Protocol):
    @property
    def web(self) -> RenderingParts: ...


def renderer_of(request: PageRequest) -> Renderer:
    """For handlers of errors, which do not get parts by name."""
    return cast("Application", request.app).web.renderer


def _fill_kept_form(request: PageRequest, form: Form) -> str | None:
    """Fill in what the visitor typed on this page before, and return why. Done once: then the cookie is cleared."""
    kept = kept_form_of(request, visitor_in(request).user) if request.method == "GET" else None
    if kept is None or kept.page != url_of_request(request):
        return None
    form.fill(kept.fields)
    return kept.told or SHOWN_AGAIN


def url_of_request(request: PageRequest) -> str:
    """The path and the query, as they were sent."""
    query = request.scope["query_string"].decode("latin-1")
    return f"{request.scope['path']}?{query}" if query else str(request.scope["path"])


def cookies_due(request: PageRequest) -> list[Cookie]:
    """Clears cookies that this answer has used, and sets an attempt: two clicks on a time have the same attempt."""
    if request.state.get("visitor") is None:  # no guard has run
        return []
    visitor = visitor_in(request)
    due = [clear_cookie(request, "notice")] if visitor.notice else []
    if visitor.session_ended:
        due.append(clear_cookie(request, "session"))
    return due if visitor.attempt else [*due, attempt_cookie(request)]


def _without(given: Sequence[Cookie], due: Sequence[Cookie]) -> list[Cookie]:
    """The due cookies that the answer does not set itself."""
    keys = {cookie.key for cookie in given}
    return [cookie for cookie in due if cookie.key not in keys]


def see_other(
    request: PageRequest, path: str, *, notice: str | None = None, cookies: Sequence[Cookie] = ()
) -> Response[str]:
    """Redirect to `path` (RFC 9110, 15.4.4). `notice` is a sentence for the page there."""
    noted = [notice_cookie(request, notice)] if notice else []
    return Response(
        "", status_code=303, headers={**HEADERS, "Location": path}, media_type=HTML, cookies=[*cookies, *noted]
    )


def _environment(clinics: ClinicBook, time: PageTime) -> Environment:
    environment = Environment(
        loader=PackageLoader("slotwise.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )
    environment.globals |= {"clinic_words": partial(_clinic_words, clinics), "clinic_time": time, "asset": asset}
    environment.filters |= {
        "clock": time.clock,
        "clock_on": time.clock_on,
        "end_clock": time.end_clock,
        "day": time.day,
        "short_day": time.short_day,
        "moment": time.moment,
        "short_moment": time.short_moment,
        "to_the_second": time.to_the_second,
        "iso": iso,
        "iso_at_clinic": iso_at_clinic,
        "minutes_words": minutes_words,
        "length_words": length_words,
        "status_words": status_words,
        "booking_words": booking_words,
    }
    return environment


def _clinic_words(clinics: ClinicBook, clinic_id: int) -> str:
    """Beside a row of a list: its clinic, and its zone if that differs. Nothing where there is one clinic."""
    if not clinics.several:
        return ""
    clinic = clinics.get(clinic_id)
    zone = clinic.time_zone.replace("_", " ")
    return clinic.name if clinic.time_zone == clinics.main.time_zone else f"{clinic.name}, {zone}"
