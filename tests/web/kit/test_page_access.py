"""Who may open which page and send which form, who sees names there, and what is audited."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx
import pytest

from tests.clinic import Clinic, RunningServer, in_hours, object_of, rows, unique_email
from tests.conftest import fresh_database, running_server
from tests.security.people import PASSWORD, Headers, People, new_people
from tests.web.visiting import routes

# `owner` is the patient who has the booking and the account. `holder` has the manage token of that booking, `stray` the
# one of another booking. `stale` has an ended session of an admin. `away` is staff of another clinic only. `in` means:
# is asked to log in. A plus means: the answer has the owner's name or e-mail; without a plus it must not. A second row
# of a route, `missing`, asks for something that does not exist. A new route needs its row here, and its form in FORMS
# if it takes one.
TABLE = """
                                              nobody owner other doctor staff away  admin holder stray stale
GET  /                                          200   200   200   200    200   200   200   200    200   200
POST /hold                                      303   303   303   303    303   403   303   303    303   303
POST /hold                             missing  404   404   404   404    404   404   404   404    404   404
GET  /bookings/{booking_id}                     404   200+  404   404    200+  404   200+  200+   404   404
GET  /bookings/{booking_id}            missing  404   404   404   404    404   404   404   404    404   404
POST /bookings/{booking_id}/confirm             in    303   404   404    303   404   303   303    404   in
POST /bookings/{booking_id}/confirm    missing  in    404   404   404    404   404   404   404    404   in
POST /bookings/{booking_id}/seats               in    303   404   404    303   404   303   303    404   in
POST /bookings/{booking_id}/seats      missing  in    404   404   404    404   404   404   404    404   in
POST /bookings/{booking_id}/release             in    303   404   404    303   404   303   303    404   in
POST /bookings/{booking_id}/release    missing  in    404   404   404    404   404   404   404    404   in
GET  /bookings/{booking_id}/confirm             303   303   303   303    303   303   303   303    303   303
GET  /bookings/{booking_id}/confirm    missing  303   303   303   303    303   303   303   303    303   303
GET  /bookings/{booking_id}/seats               303   303   303   303    303   303   303   303    303   303
GET  /bookings/{booking_id}/seats      missing  303   303   303   303    303   303   303   303    303   303
GET  /bookings/{booking_id}/cancel              404   200+  404   404    200+  404   200+  200+   404   404
GET  /bookings/{booking_id}/cancel     missing  404   404   404   404    404   404   404   404    404   404
POST /bookings/{booking_id}/cancel              in    303   404   404    303   404   303   303    404   in
POST /bookings/{booking_id}/cancel     missing  in    404   404   404    404   404   404   404    404   in
GET  /bookings/{booking_id}/calendar.ics        404   200   404   404    200   404   200   200    404   404
GET  /bookings/{booking_id}/calendar.ics missing 404  404   404   404    404   404   404   404    404   404
GET  /log-in                                    200   303   303   303    303   303   303   200    200   200
POST /log-in                                    303   303   303   303    303   303   303   303    303   303
GET  /register                                  200   303   303   303    303   303   303   200    200   200
POST /register                                  303   303   303   303    303   303   303   303    303   303
POST /log-out                                   303   303   303   303    303   303   303   303    303   303
GET  /account                                   in    200+  200   200    200   200   200   in     in    in
GET  /account/password                          in    200+  200   200    200   200   200   in     in    in
POST /account/password                          in    303   303   303    303   303   303   in     in    in
GET  /account/data                              in    200+  200   200    200   200   200   in     in    in
GET  /account/data.json                         in    200+  200   200    200   200   200   in     in    in
GET  /account/delete                            in    200+  200   200    200   200   200   in     in    in
POST /account/delete                            in    303   303   303    303   303   303   in     in    in
GET  /admin                                     in    403   403   403    200+  200   200+  in     in    in
GET  /admin/today/board                     in    403   403   403    200   200   200   in     in    in
GET  /admin/today/latest                    in    403   403   403    200+  200   200+  in     in    in
GET  /admin/clinics                             in    403   403   403    403   403   200   in     in    in
GET  /admin/clinics/new                         in    403   403   403    403   403   200   in     in    in
POST /admin/clinics/new                         in    403   403   403    403   403   400   in     in    in
GET  /admin/clinics/{clinic_id}                 in    403   403   403    403   403   200   in     in    in
GET  /admin/clinics/{clinic_id}        missing  in    403   403   403    403   403   404   in     in    in
POST /admin/clinics/{clinic_id}                 in    403   403   403    403   403   303   in     in    in
POST /admin/clinics/{clinic_id}        missing  in    403   403   403    403   403   404   in     in    in
POST /admin/clinics/{clinic_id}/active          in    403   403   403    403   403   303   in     in    in
POST /admin/clinics/{clinic_id}/active missing  in    403   403   403    403   403   404   in     in    in
GET  /admin/set-up                              in    403   403   403    403   403   200   in     in    in
GET  /admin/doctors                             in    403   403   403    200   200   200   in     in    in
POST /admin/doctors                             in    403   403   403    403   403   303   in     in    in
GET  /admin/doctors/{doctor_id}                 in    403   403   403    200   200   200   in     in    in
GET  /admin/doctors/{doctor_id}        missing  in    403   403   403    404   404   404   in     in    in
GET  /admin/doctors/{doctor_id}/edit            in    403   403   403    403   403   200   in     in    in
GET  /admin/doctors/{doctor_id}/edit   missing  in    403   403   403    403   403   404   in     in    in
POST /admin/doctors/{doctor_id}/edit            in    403   403   403    403   403   303   in     in    in
POST /admin/doctors/{doctor_id}/edit   missing  in    403   403   403    403   403   404   in     in    in
POST /admin/doctors/{doctor_id}/clinics         in    403   403   403    403   403   303   in     in    in
POST /admin/doctors/{doctor_id}/clinics missing in    403   403   403    403   403   404   in     in    in
POST /admin/doctors/{doctor_id}/active          in    403   403   403    403   403   303   in     in    in
POST /admin/doctors/{doctor_id}/active missing  in    403   403   403    403   403   404   in     in    in
GET  /admin/doctors/{doctor_id}/slots/new       in    403   403   403    403   403   200   in     in    in
GET  /admin/doctors/{doctor_id}/slots/new missing in  403   403   403    403   403   404   in     in    in
POST /admin/doctors/{doctor_id}/slots/new       in    403   403   403    403   403   303   in     in    in
POST /admin/doctors/{doctor_id}/slots/new missing in  403   403   403    403   403   404   in     in    in
POST /admin/doctors/{doctor_id}/slots/one       in    403   403   403    403   403   303   in     in    in
POST /admin/doctors/{doctor_id}/slots/one missing in  403   403   403    403   403   404   in     in    in
GET  /admin/closures                            in    403   403   403    200   200   200   in     in    in
GET  /admin/closures/new                        in    403   403   403    200   200   200   in     in    in
POST /admin/closures/new                        in    403   403   403    403   403   200   in     in    in
POST /admin/closures/new               absence  in    403   403   403    200   200   200   in     in    in
GET  /admin/closures/public                     in    403   403   403    403   403   200   in     in    in
POST /admin/closures/public                     in    403   403   403    403   403   200   in     in    in
GET  /admin/closures/{closure_id}               in    403   403   403    200   200   200   in     in    in
GET  /admin/closures/{closure_id}      missing  in    403   403   403    404   404   404   in     in    in
POST /admin/closures/{closure_id}               in    403   403   403    403   403   200   in     in    in
POST /admin/closures/{closure_id}      missing  in    403   403   403    404   404   404   in     in    in
GET  /admin/closures/{closure_id}/patients      in    403   403   403    200   200   200   in     in    in
GET  /admin/closures/{closure_id}/patients missing in 403   403   403    404   404   404   in     in    in
POST /admin/closures/{closure_id}/patients      in    403   403   403    303   303   303   in     in    in
POST /admin/closures/{closure_id}/patients missing in 403   403   403    303   303   303   in     in    in
GET  /admin/doctors/{doctor_id}/hours           in    403   403   403    200   200   200   in     in    in
GET  /admin/doctors/{doctor_id}/hours  missing  in    403   403   403    404   404   404   in     in    in
GET  /admin/doctors/{doctor_id}/hours/new       in    403   403   403    403   403   200   in     in    in
GET  /admin/doctors/{doctor_id}/hours/new missing in  403   403   403    403   403   404   in     in    in
POST /admin/doctors/{doctor_id}/hours/new       in    403   403   403    403   403   200   in     in    in
POST /admin/doctors/{doctor_id}/hours/new missing in  403   403   403    403   403   404   in     in    in
GET  /admin/doctors/{doctor_id}/hours/{rule_id} in    403   403   403    403   403   200   in     in    in
GET  /admin/doctors/{doctor_id}/hours/{rule_id} missing in 403 403 403   403   403   404   in     in    in
POST /admin/doctors/{doctor_id}/hours/{rule_id} in    403   403   403    403   403   200   in     in    in
POST /admin/doctors/{doctor_id}/hours/{rule_id} missing in 403 403 403   403   403   404   in     in    in
GET  /admin/schedule                            in    403   403   403    303   303   303   in     in    in
POST /admin/schedule                            in    403   403   403    400   400   400   in     in    in
GET  /admin/slots/{slot_id}                     in    403   403   403    200   403   200   in     in    in
GET  /admin/slots/{slot_id}            missing  in    403   403   403    404   404   404   in     in    in
POST /admin/slots/{slot_id}                     in    403   403   403    403   403   303   in     in    in
POST /admin/slots/{slot_id}             status  in    403   403   403    303   403   303   in     in    in
POST /admin/slots/{slot_id}            missing  in    403   403   403    403   403   404   in     in    in
GET  /admin/visit-types                         in    403   403   403    200   200   200   in     in    in
GET  /admin/visit-types/new                     in    403   403   403    403   403   200   in     in    in
POST /admin/visit-types/new                     in    403   403   403    403   403   303   in     in    in
GET  /admin/visit-types/{visit_type_id}         in    403   403   403    403   403   200   in     in    in
GET  /admin/visit-types/{visit_type_id} missing in    403   403   403    403   403   404   in     in    in
POST /admin/visit-types/{visit_type_id}         in    403   403   403    403   403   303   in     in    in
POST /admin/visit-types/{visit_type_id} missing in    403   403   403    403   403   404   in     in    in
GET  /admin/slots/{slot_id}/overbook            in    403   403   403    200   403   200   in     in    in
GET  /admin/slots/{slot_id}/overbook   missing  in    403   403   403    404   404   404   in     in    in
POST /admin/slots/{slot_id}/overbook            in    403   403   403    303   403   303   in     in    in
POST /admin/slots/{slot_id}/overbook   missing  in    403   403   403    404   404   404   in     in    in
GET  /admin/bookings                            in    403   403   403    200+  200   200+  in     in    in
GET  /admin/bookings.csv                        in    403   403   403    200+  200   200+  in     in    in
GET  /admin/bookings/new                        in    403   403   403    200   403   200   in     in    in
GET  /admin/bookings/new/why                    in    403   403   403    200   200   200   in     in    in
POST /admin/bookings/new                        in    403   403   403    303   403   303   in     in    in
GET  /admin/bookings/{booking_id}               in    403   403   403    200+  403   200+  in     in    in
GET  /admin/bookings/{booking_id}      missing  in    403   403   403    404   404   404   in     in    in
GET  /admin/bookings/{booking_id}/slip          in    403   403   403    303   303   303   in     in    in
GET  /admin/bookings/{booking_id}/slip missing  in    403   403   403    303   303   303   in     in    in
POST /admin/bookings/{booking_id}/confirm       in    403   403   403    303   403   303   in     in    in
POST /admin/bookings/{booking_id}/confirm missing in  403   403   403    404   404   404   in     in    in
GET  /admin/bookings/{booking_id}/cancel        in    403   403   403    200+  403   200+  in     in    in
GET  /admin/bookings/{booking_id}/cancel missing in   403   403   403    404   404   404   in     in    in
POST /admin/bookings/{booking_id}/cancel        in    403   403   403    303   403   303   in     in    in
POST /admin/bookings/{booking_id}/cancel missing in   403   403   403    404   404   404   in     in    in
GET  /admin/day-sheet                           in    403   403   403    200+  200   200+  in     in    in
GET  /admin/audit                               in    403   403   403    403   403   200   in     in    in
GET  /admin/users                               in    403   403   403    403   403   200+  in     in    in
GET  /admin/users/new                           in    403   403   403    403   403   200   in     in    in
POST /admin/users/new                           in    403   403   403    403   403   303   in     in    in
GET  /admin/users/{user_id}                     in    403   403   403    403   403   200+  in     in    in
GET  /admin/users/{user_id}            missing  in    403   403   403    403   403   404   in     in    in
GET  /admin/users/{user_id}/password            in    403   403   403    403   403   200+  in     in    in
GET  /admin/users/{user_id}/password   missing  in    403   403   403    403   403   404   in     in    in
POST /admin/users/{user_id}/password            in    403   403   403    403   403   303   in     in    in
POST /admin/users/{user_id}/password   missing  in    403   403   403    403   403   404   in     in    in
POST /admin/users/{user_id}/clinics             in    403   403   403    403   403   303   in     in    in
POST /admin/users/{user_id}/clinics    missing  in    403   403   403    403   403   404   in     in    in
POST /admin/users/{user_id}/rights              in    403   403   403    403   403   303   in     in    in
POST /admin/users/{user_id}/rights     missing  in    403   403   403    403   403   404   in     in    in
GET  /static/{version}/{name}                   200   200   200   200    200   200   200   200    200   200
"""

CALLERS = TABLE.strip().splitlines()[0].split()
NAME = "Wanda Onlyforherself"
MISSING = 10**17
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
ENDED = ("disabled", "expired", "revoked")
_hours = itertools.count(300)

Fields = dict[str, Any]


class Target(NamedTuple):
    """What a request is about: made for this request, or missing."""

    doctor_id: int
    slot_id: int
    booking_id: int
    user_id: int
    owner_email: str
    visit_type_id: int = 0
    clinic_id: int = MISSING
    rule_id: int = 0
    closure_id: int = MISSING


def _no_query(_: Target) -> Fields:
    return {}


def _one_button(_: Target) -> Fields:
    return {"pressed": "yes"}


def _new_slot(_: Target) -> Fields:
    start = in_hours(24 * next(_hours))
    return {"day": start[:10], "time": start[11:16], "duration_minutes": 5, "total_seats": 1}


def _new_slots(_: Target) -> Fields:
    day = in_hours(24 * next(_hours))[:10]
    hours = {"weekdays": [1, 2, 3, 4, 5, 6, 7], "from_1": "06:00", "to_1": "07:00", "break_minutes": 0}
    return {"first_day": day, "last_day": day, **hours, "duration_minutes": 30, "total_seats": 1, "step": "create"}


HOURS = {
    "weekdays": 1, "from_1": "09:00", "to_1": "10:00", "first_day": "2035-01-01", "slot_minutes": 30,
    "break_minutes": 0, "total_seats": 1, "every_weeks": 1,
}  # fmt: skip
PERSON = {"user_name": "Nell New", "user_email": "nell@example.org"}
Form = Callable[[Target], Fields]
FORMS: dict[str, Form] = {
    "/hold": lambda target: {"slot": target.slot_id, "seats": 1},
    "/bookings/{booking_id}/confirm": lambda _: PERSON,
    "/bookings/{booking_id}/seats": lambda _: {"seats": 2},
    "/log-in": lambda target: {"email": target.owner_email, "password": PASSWORD},
    "/register": lambda _: {"name": "Nell New", "email": unique_email(), "password": PASSWORD},
    "/account/password": lambda _: {"current_password": PASSWORD, "new_password": "another fine secret"},
    "/account/delete": lambda _: {"password": PASSWORD},
    "/admin/clinics/new": lambda _: {"name": "", "time_zone": "UTC"},
    "/admin/clinics/{clinic_id}": lambda _: {"opening_note": "Closed on Sundays"},
    "/admin/clinics/{clinic_id}/active": lambda _: {"active": "yes"},
    "/admin/doctors/{doctor_id}/clinics": lambda _: {"clinics": 1},
    "/admin/users/{user_id}/clinics": lambda _: {"clinics": 1},
    "/admin/doctors": lambda _: {"name": "Dr. New"},
    "/admin/doctors/{doctor_id}/edit": lambda _: {"name": "Dr. Renamed"},
    "/admin/doctors/{doctor_id}/slots/new": _new_slots,
    "/admin/closures/new": lambda _: {"where": "all", "first_day": "2035-12-25"},
    "/admin/closures/new absence": lambda target: {"where": f"doctor:{target.doctor_id}", "first_day": "2035-12-25"},
    "/admin/closures/public": lambda _: {"country": "DE", "year": 2035, "where": "all", "day": "2035-12-25"},
    "/admin/closures/{closure_id}": lambda _: {"version": 1, "step": "undo"},
    "/admin/doctors/{doctor_id}/hours/new": lambda _: HOURS,
    "/admin/doctors/{doctor_id}/hours/{rule_id}": lambda _: {"version": 1, "step": "remove"},
    "/admin/doctors/{doctor_id}/slots/one": _new_slot,
    "/admin/slots/{slot_id}": lambda _: {"total_seats": 90},
    "/admin/slots/{slot_id} status": lambda _: {"status": "OPEN"},
    "/admin/slots/{slot_id}/overbook": lambda _: {"seats": 1, "reason": "In pain", **PERSON},
    "/admin/bookings/new": lambda target: {"slot": target.slot_id, "seats": 1, **PERSON},
    "/admin/visit-types/new": lambda _: {"name": "Check-up", "minutes": 30, "buffer_minutes": 0},
    "/admin/visit-types/{visit_type_id}": lambda _: {"active": "yes"},
    "/admin/users/new": lambda _: {"name": "N", "email": unique_email(), "role": "staff", "password": PASSWORD},
    "/admin/users/{user_id}/password": lambda _: {"password": "another fine secret", "version": 1},
    "/admin/users/{user_id}/rights": lambda _: {"role": "patient"},
}
QUERIES: dict[str, Form] = {
    "/admin/bookings": lambda target: {"slot": target.slot_id},
    "/admin/bookings.csv": lambda target: {"slot": target.slot_id},
    "/admin/bookings/new": lambda target: {"slot": target.slot_id},
    "/admin/day-sheet": lambda target: {"doctor": target.doctor_id, "day": in_hours(24)[:10]},
    "/admin/users": lambda target: {"who": target.owner_email},
}


class Row(NamedTuple):
    method: str
    path: str
    missing: bool
    cells: dict[str, str]
    # For a form that some visitors may send only in part: its fields are others.
    variant: str = ""

    @property
    def form(self) -> str:
        return f"{self.path} {self.variant}".strip()

    @property
    def shows_names_at_the_desk(self) -> bool:
        return self.path.startswith("/admin") and self.cells["admin"].endswith("+")


def table() -> list[Row]:
    found = []
    for line in TABLE.strip().splitlines()[1:]:
        method, path, *cells = line.split()
        word = cells.pop(0) if len(cells) > len(CALLERS) else ""
        missing = word == "missing"
        found.append(Row(method, path, missing, dict(zip(CALLERS, cells, strict=True)), "" if missing else word))
    return found


def test_every_route_of_the_pages_is_in_the_table() -> None:
    assert {f"{row.method} {row.path}" for row in table()} == routes()
    assert len(routes()) > 50


def test_every_route_with_an_id_is_also_tried_with_a_missing_id() -> None:
    about_one = {route for route in routes() if "_id}" in route}
    assert about_one <= {f"{row.method} {row.path}" for row in table() if row.missing}


@pytest.fixture(scope="module")
def server(postgres_url: str, migrated_template: str) -> Iterator[RunningServer]:
    """With one worker, which knows at once for which clinics an account works."""
    with fresh_database(postgres_url, migrated_template) as url, running_server(url, {"HOLD_SECONDS": "60"}) as server:
        yield server


class Place:
    """A slot with bookings of one patient, one for each caller, and accounts that nothing else uses."""

    def __init__(self, clinic: Clinic, confirmed: bool) -> None:
        self._clinic = clinic
        self.people: People = new_people(clinic.server, NAME)
        self._elsewhere(clinic)
        self._slot = clinic.slot(seats=60)
        visit_type = {"name": "First visit", "minutes": 30}
        self._visit_type = clinic.http.post("/api/visit-types", json=visit_type, headers=clinic.admin).json()["id"]
        self._rule, self._closure = self._new_rule(clinic), self._new_closure(clinic)
        self._stray = clinic.hold(self._slot["id"], userName="Nell New", userEmail="nell@example.org")
        self._bookings = [self._book(confirmed) for _ in CALLERS]
        self._owner_id = self._account_of(self.people.headers["owner"])

    def _elsewhere(self, clinic: Clinic) -> None:
        """Let `away` work for another clinic only."""
        given = {"name": "Elsewhere", "timeZone": "Asia/Tokyo"}
        other = object_of(clinic.http.post("/api/clinics", json=given, headers=clinic.admin))["id"]
        session = clinic.admin["Authorization"].removeprefix("Bearer ")
        headers = {**SAME_ORIGIN, "Cookie": f"slotwise-session={session}"}
        path = f"/admin/users/{self._account_of(self.people.headers['away'])}/clinics"
        assert clinic.http.post(path, data={"clinics": other}, headers=headers).status_code == 303

    def _new_rule(self, clinic: Clinic) -> int:
        """Hours of years to come, which have no times yet."""
        rule = {
            "doctorId": self._slot["doctorId"], "firstDay": "2035-01-01", "weekdays": [1], "durationMinutes": 30,
            "periods": [{"from": "09:00", "to": "10:00"}],
        }  # fmt: skip
        return int(self._apply(clinic, addRules=[rule])["ruleIds"][0])

    def _new_closure(self, clinic: Clinic) -> int:
        """A holiday of years to come."""
        closure = {"startTime": "2035-12-24T23:00:00Z", "endTime": "2035-12-25T23:00:00Z", "kind": "HOLIDAY"}
        return int(self._apply(clinic, addClosures=[closure])["closureIds"][0])

    @staticmethod
    def _apply(clinic: Clinic, **change: Any) -> dict[str, Any]:
        seen = clinic.http.post("/api/schedule/preview", json=change, headers=clinic.admin).json()
        body = {**change, "token": seen["token"]}
        return object_of(clinic.http.post("/api/schedule/apply", json=body, headers=clinic.admin))

    def _book(self, confirmed: bool) -> dict[str, Any]:
        owner = dict(self.people.headers["owner"])
        email = self.people.owner_email
        made = self._clinic.book(self._slot["id"], owner, userName=NAME, userEmail=email, confirm=confirmed)
        return object_of(made)

    def _account_of(self, headers: Headers) -> int:
        return int(object_of(self._clinic.http.get("/api/auth/me", headers=dict(headers)))["id"])

    def is_named_in(self, answer: httpx.Response) -> bool:
        """Not counting the header, which has the name of the logged-in account."""
        shown = answer.text.partition("<main")[2] or answer.text
        return any(text in shown for text in (NAME, "Onlyforherself", self.people.owner_email))

    def target(self, who: str, missing: bool = False) -> Target:
        booking_id = self._bookings[CALLERS.index(who)]["id"]
        if missing:
            return Target(MISSING, MISSING, MISSING, MISSING, self.people.owner_email, MISSING, MISSING, MISSING)
        doctor_id, slot_id = self._slot["doctorId"], self._slot["id"]
        email = self.people.owner_email
        return Target(
            doctor_id, slot_id, booking_id, self._owner_id, email, self._visit_type, 1, self._rule, self._closure
        )

    def actor_of(self, who: str) -> str:
        return f"user:{self._account_of(self.people.headers[who])}"

    def cookie_of(self, who: str) -> dict[str, str]:
        headers = self.people.headers.get("revoked" if who == "stale" else who)
        return {"Cookie": f"slotwise-session={headers['Authorization'].partition(' ')[2]}"} if headers else {}

    def _token_of(self, who: str) -> Fields:
        own = self._bookings[CALLERS.index(who)] if who in CALLERS else None
        held = {"holder": own, "stray": self._stray}.get(who)
        return {"token": held["manageToken"]} if held else {}

    def call(self, row: Row, who: str, form: Fields | None = None) -> httpx.Response:
        target = self.target(who, row.missing)
        token = self._token_of(who) if row.path.startswith("/bookings/") else {}
        path = row.path.format(**target._asdict(), version="any", name="slotwise.css")
        headers = {**SAME_ORIGIN, **self.cookie_of(who)}
        self._clinic.http.cookies.clear()
        if row.method == "GET":
            query = QUERIES.get(row.path, _no_query)(target)
            return self._clinic.http.get(path, params=query | token, headers=headers)
        fields = FORMS.get(row.form, _one_button)(target) if form is None else form
        return self._clinic.http.post(path, data=fields | token, headers=headers)


@pytest.fixture(scope="module")
def reading_room(server: RunningServer) -> Iterator[Place]:
    """For requests that only read."""
    with Clinic(server) as clinic:
        yield Place(clinic, confirmed=True)


def seen(answer: httpx.Response, place: Place) -> str:
    if answer.status_code == 303 and answer.headers["location"].startswith("/log-in"):
        return "in"
    return f"{answer.status_code}{'+' * place.is_named_in(answer)}"


@pytest.mark.parametrize("row", table(), ids=lambda row: f"{row.method} {row.form}{' missing' * row.missing}")
def test_every_visitor_gets_what_the_table_says(clinic: Clinic, reading_room: Place, row: Row) -> None:
    place = reading_room if row.method == "GET" or row.missing else Place(clinic, confirmed=False)
    for who, cell in row.cells.items():
        answer = place.call(row, who)
        assert seen(answer, place) == cell, (who, answer.url, answer.headers.get("location"))
        if (who, cell, row.cells["staff"] != "403") == ("away", "403", True):
            assert "This is at another clinic" in answer.text, "and not that it is for administrators"


FROM_ELSEWHERE: tuple[Headers, ...] = (
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "null"},
    {"Origin": "http://["},
    {},
)
NO_FORMS = (
    "text/plain",
    "multipart/form-data; boundary=x",
    "application/json",
    "application/x-www-form-urlencoded-not",
)
OVERRIDES = {"X-HTTP-Method-Override": "POST", "X-HTTP-Method": "POST", "X-Method-Override": "POST"}


def test_forms_of_other_sites_and_other_bodies_change_nothing(clinic: Clinic, reading_room: Place) -> None:
    """Tries every form with the cookie of an admin, who may send nearly all of them."""
    cookie = reading_room.cookie_of("admin")
    for row in table():
        path = row.path.format(**reading_room.target("admin")._asdict(), version="any", name="slotwise.css")
        if row.method == "GET":
            continue
        fields = FORMS.get(row.path, _one_button)(reading_room.target("admin"))
        for headers in FROM_ELSEWHERE:
            refused = clinic.http.post(path, data=fields, headers={**headers, **cookie})
            assert (refused.status_code, "slotwise-session" in refused.cookies) == (403, False), (path, headers)
        for kind in NO_FORMS if row.path != "/log-out" else ():  # it reads no form
            sent = {**SAME_ORIGIN, **cookie, "Content-Type": kind}
            assert clinic.http.post(path, content=b"pressed=yes", headers=sent).status_code == 415, (path, kind)
        overridden = clinic.http.get(path, params={"_method": "POST", **fields}, headers={**OVERRIDES, **cookie})
        assert overridden.status_code in {200, 303, 400, 405}, path
    assert clinic.http.get("/admin/users", headers=cookie).status_code == 200, "the session was ended on the way"
    assert (
        clinic.http.get("/api/bookings/" + str(reading_room.target("admin").booking_id)).json()["status"] == "CONFIRMED"
    )


@pytest.mark.parametrize("ended", ENDED)
def test_an_ended_session_opens_nothing(clinic: Clinic, reading_room: Place, ended: str) -> None:
    """The table has one of them. With any of them, pages that need an account stay closed, and other pages open."""
    for path, status in (("/account", 303), ("/admin", 303), ("/admin/users", 303), ("/", 200), ("/log-in", 200)):
        answer = clinic.http.get(path, headers=reading_room.cookie_of(ended))
        assert answer.status_code == status, path
        assert answer.headers.get("location", "/log-in").startswith("/log-in")
        assert "slotwise-session=" in answer.headers.get("set-cookie", "") or status == 303


# Forms shown again with errors, and questions before a change. These pages have names too.
ASKED_AGAIN: tuple[tuple[str, Fields], ...] = (
    ("/admin/slots/{slot_id}", {"status": "CLOSED"}),
    ("/admin/bookings/{booking_id}/confirm", {"user_name": "", "user_email": "x"}),
    ("/admin/bookings/{booking_id}/cancel", {"reason": "x" * 300}),
    ("/admin/users/{user_id}/rights", {"role": "king"}),
    ("/admin/users/{user_id}/password", {"password": "short", "version": 1}),
)


def desk_pages_with_names() -> list[tuple[Row, Fields | None]]:
    asked: list[tuple[Row, Fields | None]] = [(Row("POST", path, False, {}), form) for path, form in ASKED_AGAIN]
    shown: list[tuple[Row, Fields | None]] = [(row, None) for row in table() if row.shows_names_at_the_desk]
    # A patient's link, opened at the desk.
    others = [Row("GET", f"/bookings/{{booking_id}}{action}", False, {}) for action in ("", "/cancel")]
    return [*shown, *((row, None) for row in others), *asked]


def reads_of(server: RunningServer, actor: str) -> int:
    [(count,)] = rows(server.database_url, "SELECT count(*) FROM audit_log WHERE actor = $1", actor)
    return int(count)


@contextmanager
def no_room_for_notes_on(server: RunningServer, actor: str) -> Iterator[None]:
    """Audit rows of this reader fail with PostgreSQL's error of a full disk."""
    rows(
        server.database_url,
        "CREATE FUNCTION no_notes() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$",
    )
    rows(
        server.database_url,
        "CREATE TRIGGER no_notes BEFORE INSERT ON audit_log FOR EACH ROW"
        f" WHEN (new.actor = '{actor}') EXECUTE FUNCTION no_notes()",
    )
    try:
        yield
    finally:
        rows(server.database_url, "DROP FUNCTION no_notes() CASCADE")


def test_every_name_shown_at_the_desk_is_audited(clinic: Clinic, reading_room: Place) -> None:
    """Each read is audited. While that is impossible, no name is shown."""
    reader = reading_room.actor_of("admin")
    shown = desk_pages_with_names()
    assert len(shown) > 15
    for row, form in shown:
        before = reads_of(clinic.server, reader)
        assert reading_room.is_named_in(reading_room.call(row, "admin", form)), row.path
        assert reads_of(clinic.server, reader) > before, f"{row.method} {row.path} left no note"
    with no_room_for_notes_on(clinic.server, reader):
        for row, form in shown:
            refused = reading_room.call(row, "admin", form)
            assert (refused.status_code, reading_room.is_named_in(refused)) == (503, False), row.path
