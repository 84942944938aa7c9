"""The one tree of errors: each fact has a stable code, a title, and one status at the HTTP edge."""

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator

import slotwise.domain.errors
from slotwise.domain.errors import SlotwiseError
from slotwise.http.kit.problems import STATUS, status_of
from tests.architecture.sources import sources

VARIANTS = {
    "InvalidRequest",  # InvalidInput of the HTTP edge, whose fields are named as the client spelled them
    "UnreadableRequest",  # InvalidInput of the server, which no application hears of
}

# The domain knows no media types and no headers.
EDGE_ONLY = {
    "UnsupportedMediaType", "RequestTooSlow", "HeadTooLarge", "VersionUnsupported", "MethodUnknown",
    "ExpectationFailed", "BodyEncoded", "TransferCodingUnknown", "BodyTooLarge", "Defect"}  # fmt: skip

_CODE = re.compile(r"[a-z]+(-[a-z]+)*")


def kinds(root: type[SlotwiseError] = SlotwiseError) -> Iterator[type[SlotwiseError]]:
    """Every error of the package; a class that a test defines is none."""
    for kind in root.__subclasses__():
        if kind.__module__.startswith("slotwise."):
            yield kind
        yield from kinds(kind)


def facts() -> list[type[SlotwiseError]]:
    """The errors that mean something: not the bases, which have no code, nor an edge's variants of one of these."""
    return [kind for kind in kinds() if hasattr(kind, "code") and kind.__name__ not in VARIANTS]


def faults_of(found: Iterable[type[SlotwiseError]]) -> list[str]:
    """What is wrong with these errors: a code or title that is missing, malformed, inherited or used twice."""
    found = list(found)
    uses = Counter(vars(kind).get("code") for kind in found)
    faults = []
    for kind in found:
        code, title = vars(kind).get("code"), vars(kind).get("title")
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            faults.append(f"{kind.__name__} has the code {code!r}")
        elif uses[code] > 1:
            faults.append(f"{kind.__name__} shares the code {code}")
        if not isinstance(title, str) or not title or title.endswith("."):
            faults.append(f"{kind.__name__} has the title {title!r}")
    return faults


def test_every_error_has_a_code_and_a_title_of_its_own() -> None:
    assert len(facts()) > 20
    assert not faults_of(facts())


def test_a_code_that_is_missing_or_used_twice_is_noticed() -> None:
    class Nameless(SlotwiseError):
        title = "Nobody can tell this one from others"

    class Doubled(SlotwiseError):
        code = "slot-full"
        title = ""

    found = [slotwise.domain.errors.SlotFull, Nameless, Doubled]
    assert faults_of(found) == [
        "SlotFull shares the code slot-full",
        "Nameless has the code None",
        "Doubled shares the code slot-full",
        "Doubled has the title ''",
    ]


def test_a_base_of_errors_has_no_code_and_is_never_raised() -> None:
    bases = {kind.__name__ for kind in kinds() if not hasattr(kind, "code")} | {"SlotwiseError"}
    raised = {
        ast.unparse(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Raise) and node.exc is not None
    }
    assert bases == {"SlotwiseError", "NotFound", "Conflict", "Unavailable"}
    assert not raised & bases


def test_every_error_has_a_status_in_the_one_table() -> None:
    for kind in facts():
        assert 400 <= status_of(kind) < 600, kind.__name__


def test_every_row_of_the_table_is_needed() -> None:
    used = {next(base for base in kind.__mro__ if base in STATUS) for kind in facts()}
    assert used == set(STATUS)


def test_all_errors_live_in_one_module() -> None:
    inner = {kind.__module__ for kind in kinds() if kind.__name__ not in VARIANTS | EDGE_ONLY}
    assert inner == {"slotwise.domain.errors"}


def test_a_variant_answers_like_the_fact_it_is_of() -> None:
    variants = [kind for kind in kinds() if kind.__name__ in VARIANTS]
    assert {kind.__name__ for kind in variants} == VARIANTS
    assert not [kind for kind in variants if vars(kind).keys() & {"code", "title"}]
