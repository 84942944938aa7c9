"""The shape of the code: short functions, short files, names that say something, modules that say what they are for."""

import ast
import re
import statistics
from collections.abc import Callable, Iterable

import pytest

from tests.architecture.sources import Function, Source, bench_sources, docstring_of, functions, sources

LONGEST_FILE = 500
MEDIAN_FUNCTION = 10
LONG_FUNCTION = 45
EMPTY_WORDS = {"util", "utils", "utility", "utilities", "helper", "helpers", "manager", "common", "misc", "stuff"}


def length_of_file(source: Source) -> int:
    """Lines that are not blank."""
    return sum(1 for line in source.text.splitlines() if line.strip())


def length_of_function(function: Function, source: Source) -> int:
    """Lines from `def` on that are neither blank nor the docstring: what there is to follow, not what explains it."""
    lines = source.text.splitlines()
    docstring = docstring_of(function)
    explained = range(docstring.lineno, (docstring.end_lineno or 0) + 1) if docstring else range(0)
    own = range(function.lineno, (function.end_lineno or 0) + 1)
    return sum(1 for number in own if number not in explained and lines[number - 1].strip())


def nameless_modules(found: Iterable[Source]) -> list[str]:
    """Modules and classes that are named for being useful and not for what they do."""
    return [
        name
        for source in found
        for name in [*source.path.removesuffix(".py").split("/"), *classes_of(source)]
        if EMPTY_WORDS & words_of(name)
    ]


def words_of(name: str) -> set[str]:
    """The words of a snake_case or CamelCase name."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def classes_of(source: Source) -> list[str]:
    return [node.name for node in source.tree.body if isinstance(node, ast.ClassDef)]


def undocumented_modules(found: Iterable[Source]) -> list[str]:
    """Modules without a docstring. A file that is empty only marks a directory as a package."""
    return [source.path for source in found if source.text.strip() and docstring_of(source.tree) is None]


def test_no_file_is_too_long_to_read_at_once() -> None:
    lengths = {source.path: length_of_file(source) for source in (*sources(), *bench_sources())}
    long = {path: length for path, length in lengths.items() if length > LONGEST_FILE}
    assert not long


@pytest.mark.parametrize("found", [sources, bench_sources])
def test_functions_fit_on_a_screen(found: Callable[[], Iterable[Source]]) -> None:
    lengths = [length_of_function(function, source) for source in found() for function in functions(source.tree)]
    assert statistics.median(lengths) <= MEDIAN_FUNCTION
    assert statistics.quantiles(lengths, n=20)[-1] <= LONG_FUNCTION


def test_the_measure_counts_neither_blank_lines_nor_the_docstring() -> None:
    source = Source.of("planted.py", 'def planted():\n    """Says\n    much."""\n\n    first()\n\n    second()\n')
    assert [length_of_function(function, source) for function in functions(source.tree)] == [3]


def test_no_module_and_no_class_is_named_for_being_useful() -> None:
    assert not nameless_modules([*sources(), *bench_sources()])
    planted = [Source.of("db/utils.py", ""), Source.of("services/schedule/slots.py", "class SlotManager: pass")]
    assert nameless_modules(planted) == ["utils", "SlotManager"]


def test_every_module_says_what_it_is_for() -> None:
    assert not undocumented_modules([*sources(), *bench_sources()])
    assert undocumented_modules([Source.of("db/silent.py", "answer = 42")]) == ["db/silent.py"]
