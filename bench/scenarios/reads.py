"""Reads: what the framework alone would do with two of them, and the tails of all that many people read."""

from collections.abc import Iterator, Mapping
from functools import partial

from bench.clinic import Clinic
from bench.findings import Finding, at_least, at_most
from bench.lab import Case, Lab
from bench.load import wrk
from bench.readings import Measured, Reading
from bench.scenarios.scenario import Scenario
from bench.server import Server

CLIENTS = 32
OK = 200
SLOTS = 1000
ORDINARY = "the ordinary way"
FRAMEWORK = "the framework alone"
# What the ordinary way may add to the framework.
SHARE = {"health": at_least(0.65), "a slot": at_least(0.6)}


def measure_reads(lab: Lab) -> Iterator[Finding]:
    with (
        lab.clinic() as clinic,
        clinic.serve(WORKERS="1") as server,
        clinic.serve_baseline("framework", WORKERS="1") as framework,
    ):
        paths = _paths(clinic.open_slots(SLOTS, seats=5)[0])
        read = partial(_read, lab, clinic)
        cases: dict[str, Case] = {name: partial(read, server, {"path": path}) for name, path in paths.items()}
        for name in SHARE:
            cases[f"{name}, {ORDINARY}"] = partial(read, server, {"path": paths[name], "way": "ordinary"})
            cases[f"{name}, {FRAMEWORK}"] = partial(read, framework, {"path": paths[name]})
        measured = lab.measure(cases)
    yield from _findings(measured, paths)


def _paths(slot_id: int) -> dict[str, str]:
    return {
        "health": "/health",
        "a slot": f"/api/slots/{slot_id}",
        "slots": "/api/slots",
        "doctors": "/api/doctors",
        "the start page": "/",
    }


def _findings(measured: Measured, paths: Mapping[str, str]) -> Iterator[Finding]:
    for name in paths:
        yield Finding(name, "/s", measured.rate(name))
        yield Finding(f"{name}, p99, times the median", "x", measured.p99(name).over(measured.p50(name)), at_most(3))
        if (target := SHARE.get(name)) is not None:
            ordinary, alone = measured.rate(f"{name}, {ORDINARY}"), measured.rate(f"{name}, {FRAMEWORK}")
            yield Finding(f"{name}, {ORDINARY}", "/s", ordinary)
            yield Finding(f"{name}, {FRAMEWORK}", "/s", alone)
            yield Finding(f"{name}, {ORDINARY}, times {FRAMEWORK}", "x", ordinary.over(alone), target)


def _read(lab: Lab, clinic: Clinic, server: Server, values: Mapping[str, str]) -> Reading:
    answers = wrk.run(server.url, wrk.Load("get", dict(values)), CLIENTS, lab.plan.seconds)
    answers.require(OK)
    clinic.await_idle()
    return answers.reading(OK)


READS = Scenario(
    "reads",
    "What many people read, and two reads beside the framework alone, on one worker with 32 connections",
    measure_reads,
)
