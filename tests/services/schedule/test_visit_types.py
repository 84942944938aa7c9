"""What is computed about visit types both in the database and in Python is the same."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

import asyncpg
from hypothesis import given, settings
from hypothesis import strategies as st

from slotwise.domain.errors import InvalidInput
from slotwise.services.schedule.visit_types import NO_TYPES, require_visit_types
from tests.depth import many
from tests.model import VisitRules
from tests.services.booking.test_visit_rules import new_kind, running
from tests.workers import NOW, Worker

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
INSTANT = timedelta(microseconds=1)
# Minutes and buffer.
LENGTHS = ((5, 0), (20, 15), (30, 0), (30, 240), (45, 1), (1440, 30))
RULES = (
    VisitRules(),
    VisitRules(notice=timedelta()),
    VisitRules(notice=90 * MINUTE),
    VisitRules(notice=DAY, horizon=DAY),
    VisitRules(horizon=2 * DAY),
    VisitRules(notice=365 * DAY, horizon=3650 * DAY),
)
BOUNDS = sorted({bound for rules in RULES for bound in (rules.notice, rules.horizon) if bound is not None})

chosen = st.lists(st.integers(0, 5), max_size=4)
near_bounds = st.builds(lambda bound, by: bound + by * INSTANT, st.sampled_from(BOUNDS), st.integers(-1, 1))
some_day = st.timedeltas(min_value=-DAY, max_value=4000 * DAY)


class Taken(NamedTuple):
    """Whether the types fit into a time, and until when its doctor is busy then."""

    fits: bool
    busy_until: object


def test_types_fit_and_keep_the_doctor_busy_alike_in_the_database_and_here(database_url: str) -> None:
    with running(database_url) as (runner, worker, connection):
        kinds = runner.run(_new_lengths(connection))

        @settings(max_examples=many(30, 300), deadline=None)
        @given(chosen, st.integers(5, 1440))
        def agree(places: list[int], minutes: int) -> None:
            ids = [kinds[place] for place in places]
            here, there = runner.run(_taken(worker, ids, minutes)), runner.run(_taken_there(connection, ids, minutes))
            assert here.fits == there.fits
            assert not here.fits or here.busy_until == there.busy_until

        agree()


async def _new_lengths(connection: "asyncpg.Connection[asyncpg.Record]") -> list[int]:
    query = "INSERT INTO visit_types (name, minutes, buffer_minutes) VALUES ('Visit', $1, $2) RETURNING id"
    return [await connection.fetchval(query, *length) for length in LENGTHS]


async def _taken(worker: Worker, ids: Sequence[int], minutes: int) -> Taken:
    async with worker.database.connection() as connection:
        try:
            types = await require_visit_types(connection, ids, minutes)
        except InvalidInput:
            return Taken(False, None)
    assert ids or types == NO_TYPES
    return Taken(True, types.busy_until(NOW))


async def _taken_there(connection: "asyncpg.Connection[asyncpg.Record]", ids: Sequence[int], minutes: int) -> Taken:
    query = "SELECT NOT outlast($1, $2), coalesce(busy_until_of($3, $1), $3)"
    return Taken(*await connection.fetchrow(query, ids, minutes * MINUTE, NOW) or ())


def test_notice_and_horizon_are_kept_to_the_microsecond_as_the_model_does(database_url: str) -> None:
    """By the rule for patients, also under the name that the release before uses. The desk may always book."""
    with running(database_url) as (runner, _, connection):
        kinds = [runner.run(new_kind(connection, rules)) for rules in RULES]

        @settings(max_examples=many(30, 300), deadline=None)
        @given(near_bounds | some_day)
        def agree(ahead: timedelta) -> None:
            rows = runner.run(connection.fetch(CHECK, kinds, NOW + ahead, NOW))
            refusals = [rules.refusal_at(ahead) for rules in RULES]
            said = [None if refusal is None else refusal.code.replace("-", "_") for refusal in refusals]
            assert [tuple(row) for row in rows] == [(refusal, refusal, None) for refusal in said]

        agree()


CHECK = (
    "SELECT t.refusal, b.refusal AS before, d.refusal AS at_desk FROM check_types($1, $2, $3, FALSE) AS t"
    " JOIN check_visit_types($1, $2, $3) AS b USING (id) JOIN check_types($1, $2, $3, TRUE) AS d USING (id) ORDER BY id"
)
