"""The audit log as a page: in words, by who, what, about what and when."""

import ast
import re
from collections.abc import Iterator

import pytest

from slotwise.web.audit import ACTIONS
from tests.architecture.sources import functions, sources
from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, RunningServer
from tests.web.visiting import Visitor

LOG = "/admin/audit"


@pytest.fixture
def desk(server: RunningServer) -> Iterator[Visitor]:
    with Visitor(server) as visitor:
        visitor.send("/log-in", email=ADMIN_EMAIL, password=ADMIN_PASSWORD)
        yield visitor


def entries(visitor: Visitor, query: str) -> list[list[str]]:
    """The cells of each row."""
    page = visitor.open(f"{LOG}?{query}").text
    table = page.partition("<tbody")[2]
    return [
        [" ".join(re.sub(r"<[^>]+>", "", cell).split()) for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)]
        for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)
    ]


def test_what_somebody_did_is_found_by_each_filter_and_told_in_words(clinic: Clinic, desk: Visitor) -> None:
    booking = clinic.hold(clinic.slot()["id"])
    desk.open(f"/admin/bookings/{booking['id']}")
    for query in ("", f"&who={ADMIN_EMAIL}", "&who=user+1", "&action=list_story", "&from=2026-01-01&to=2099-01-01"):
        [entry] = entries(desk, f"about=booking+{booking['id']}{query}")
        assert entry[1:] == [
            "Administrator (user 1)",
            "Looked at a booking and its story",
            f"Booking {booking['id']}",
            "\N{EN DASH}",
        ]
    for query in ("&who=operator", "&who=2147483647", "&action=update_slot", "&to=2026-01-01"):
        assert entries(desk, f"about=booking+{booking['id']}{query}") == []
    assert "No entry fits" in desk.page.text


def test_the_log_is_paged_by_links_and_reading_it_is_in_it(desk: Visitor) -> None:
    for _ in range(51):
        desk.open(f"{LOG}?about=nothing")
    first = entries(desk, "action=list_audit")
    assert len(first) == 50
    assert first[0][2:] == ["Read this log", "Audit", "subject yes"], "what was typed may be a name"
    [older] = re.findall(r'rel="next" href="/admin/audit\?([^"]+)"', desk.page.text)
    rest = entries(desk, older.replace("&amp;", "&"))
    assert rest
    assert rest[0][0] <= first[-1][0]
    assert "Newest</a>" in desk.page.text


@pytest.mark.parametrize(
    ("query", "field"),
    [("who=nobody@example.org", "who"), ("from=x", "from"), ("about=%00", "about"), ("action=ada", "action")],
)
def test_a_filter_that_cannot_be_is_shown_again_with_what_is_wrong(desk: Visitor, query: str, field: str) -> None:
    assert desk.open(f"{LOG}?{query}").status_code == 400
    assert f'href="#{field}"' in desk.page.text


@pytest.mark.parametrize("before", ["x", "1-", "-1", "9" * 19 + "-1", "9" * 18 + "-1", "1-1"])
def test_a_place_in_the_log_that_somebody_made_up_breaks_nothing(desk: Visitor, before: str) -> None:
    assert desk.open(f"{LOG}?before={before}").status_code == 200


def test_every_action_has_words_and_no_words_are_left_over() -> None:
    """What the migrations' functions note, besides what Python does, is an erasure."""
    calls = [
        ast.literal_eval(call.args[2])
        for source in sources()
        for function in functions(source.tree)
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "record_action"
    ]
    assert set(ACTIONS) == {*calls, "erase_personal_data"}
