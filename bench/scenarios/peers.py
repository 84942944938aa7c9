"""Bookings beside services that a user would pick instead of Slotwise."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial

from bench.booking import book, warm_up
from bench.findings import Finding
from bench.lab import Case, Lab
from bench.peers.kinds import Kind, installed_kinds
from bench.processes import ToolFailed
from bench.readings import Measured
from bench.scenarios.booking_baselines import CLIENTS, PLACES
from bench.scenarios.scenario import Scenario
from bench.tools import WRK

SLOTWISE = "Slotwise"
# On a busy machine, a peer can need more than a second for the first answer on one slot.
FEWEST_SECONDS = 3


def measure_peers(lab: Lab) -> Iterator[Finding]:
    kinds = installed_kinds()
    if not kinds:
        raise ToolFailed("no peer is installed: make bench-peers installs them")
    measured = _measure(lab, kinds)
    for place in PLACES:
        yield from _findings(measured, place, [kind.name for kind in kinds])


def _measure(lab: Lab, kinds: Sequence[Kind]) -> Measured:
    seconds, most = max(lab.plan.seconds, FEWEST_SECONDS), max(PLACES.values())
    with ExitStack() as stack:
        clinic = stack.enter_context(lab.clinic())
        server = stack.enter_context(clinic.serve())
        peers = {kind.name: stack.enter_context(lab.peer(kind)) for kind in kinds}
        warm_up(clinic, server)
        for peer in peers.values():
            peer.book(most, CLIENTS, seconds)
        cases: dict[str, Case] = {}
        for place, slots in PLACES.items():
            cases[_named(place, SLOTWISE)] = partial(book, clinic, server, slots, CLIENTS, seconds)
            cases |= {_named(place, name): partial(peer.book, slots, CLIENTS, seconds) for name, peer in peers.items()}
        return lab.measure(cases)


def _findings(measured: Measured, place: str, peers: Sequence[str]) -> Iterator[Finding]:
    mine = measured.rate(_named(place, SLOTWISE))
    for name in (SLOTWISE, *peers):
        yield Finding(_named(place, name), "/s", measured.rate(_named(place, name)))
    for name in peers:
        yield Finding(f"{place}, times {name}", "x", mine.over(measured.rate(_named(place, name))))
    for name in (SLOTWISE, *peers):
        yield Finding(f"p99 of {_named(place, name)}", "ms", measured.p99(_named(place, name)))


def _named(place: str, service: str) -> str:
    return f"{place}, {service}"


PEERS = Scenario(
    "peers",
    "Bookings beside services as the tutorials of FastAPI and Express write them, with 64 connections",
    measure_peers,
    (WRK,),
    on_request=True,
)
