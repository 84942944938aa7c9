"""How the API document shows answers: with their headers, and problems with an example for each code."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from slotwise.domain.errors import (
    ChangedMeanwhile,
    DatabaseBusy,
    DatabaseUnavailable,
    InvalidInput,
    Overloaded,
    ScheduleTooLarge,
    SeatsTaken,
    SlotFull,
    SlotwiseError,
    TooManyLogins,
    TooManyRequests,
)
from slotwise.http.kit.headers import OF_EVERY_ANSWER
from slotwise.http.kit.operations import OF_EVERY_BODY, Declared
from slotwise.http.kit.problems import MEDIA_TYPE, Problem, headers_of, problem_of, status_of

Answer = dict[str, Any]

# Errors that tell more than their code.
_EXAMPLES = {
    type(error): error
    for error in (
        ChangedMeanwhile({"id": 1, "version": 3}, 3),
        InvalidInput.of("slot_id", "is required"),
        ScheduleTooLarge(25_000, 20_000),
        SeatsTaken(2),
        SlotFull(1),
        TooManyLogins(60),
        TooManyRequests(60),
    )
}
# They always come together, and have one name as a component.
_UNAVAILABLE = {DatabaseBusy.code, DatabaseUnavailable.code, Overloaded.code}


def complete_answers(known: Mapping[str, Answer], said: Declared, *, has_body: bool) -> dict[str, Answer]:
    """The answers of an operation by their status: those that the framework knows, and the problems."""
    # The framework adds an error of its own to whatever has parameters.
    own = {status: answer for status, answer in known.items() if status != "400"}
    answers = {status: answer | {"headers": _references(said.sends)} for status, answer in own.items()}
    for kinds in _by_status((*said.refuses, *(OF_EVERY_BODY if has_body else ()))):
        status = str(status_of(kinds[0]))
        problem = _problem(kinds, _type_of(kinds, said))
        answers[status] = _either(answers[status], problem) if status in answers else problem
    return dict(sorted(answers.items()))


def share_problems(operations: Iterable[Mapping[str, Any]]) -> dict[str, Answer]:
    """Make components of the problems that several operations answer with, and put references in their place."""
    answers = [operation["responses"] for operation in operations]
    uses = Counter(_component_name(answer) for each in answers for answer in each.values() if _is_problem(answer))
    shared: dict[str, Answer] = {}
    for each in answers:
        for status, answer in each.items():
            if _is_problem(answer) and uses[name := _component_name(answer)] > 1:
                shared[name] = answer
                each[status] = {"$ref": f"#/components/responses/{name}"}
    return dict(sorted(shared.items()))


def _by_status(kinds: Iterable[type[SlotwiseError]]) -> Iterable[Sequence[type[SlotwiseError]]]:
    by_status: dict[int, list[type[SlotwiseError]]] = {}
    for kind in sorted(set(kinds), key=lambda kind: kind.code):
        by_status.setdefault(status_of(kind), []).append(kind)
    return by_status.values()


def _type_of(kinds: Sequence[type[SlotwiseError]], said: Declared) -> type[Problem]:
    """What an error tells beyond others may be missing, so it does for all that have its status."""
    return next((said.tells[kind] for kind in kinds if kind in said.tells), Problem)


def _problem(kinds: Sequence[type[SlotwiseError]], problem: type[Problem]) -> Answer:
    examples = {kind.code: _EXAMPLES[kind] if kind in _EXAMPLES else kind() for kind in kinds}
    return {
        "description": "; or ".join(f"{kind.title} (`{kind.code}`)" for kind in kinds),
        "headers": _references(name for error in examples.values() for name in headers_of(error)),
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": f"#/components/schemas/{problem.__name__}"},
                "examples": {
                    code: {"value": msgspec.to_builtins(problem_of(error))} for code, error in examples.items()
                },
            }
        },
    }


def _either(one: Answer, other: Answer) -> Answer:
    """Two kinds of answers with one status."""
    return {
        "description": f"{one['description']}; or {other['description']}",
        "headers": one["headers"] | other["headers"],
        "content": one["content"] | other["content"],
    }


def _references(headers: Iterable[str]) -> Answer:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*OF_EVERY_ANSWER, *headers)}


def _is_problem(answer: Answer) -> bool:
    return set(answer.get("content", ())) == {MEDIA_TYPE}


def _component_name(problem: Answer) -> str:
    """`SeatsTakenOrSlotOverlaps` for a problem with these two codes."""
    codes = problem["content"][MEDIA_TYPE]["examples"].keys()
    others = codes - _UNAVAILABLE if codes >= _UNAVAILABLE else codes
    names = ["".join(map(str.capitalize, code.split("-"))) for code in sorted(others)]
    return "Or".join(names + (["Unavailable"] if codes >= _UNAVAILABLE else []))
