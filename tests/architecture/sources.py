"""The package's own source, as the architecture tests read it."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import slotwise

ROOT = Path(slotwise.__file__).parent

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Source(NamedTuple):
    """A module: its path inside the package, such as `db/pool.py`, its text and its tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def module(self) -> str:
        """The name to import it by."""
        parts = ["slotwise", *self.path.removesuffix(".py").split("/")]
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @classmethod
    def of(cls, path: str, text: str) -> "Source":
        return cls(path, text, ast.parse(text))


@cache
def sources() -> tuple[Source, ...]:
    return tuple(
        Source.of(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted(ROOT.rglob("*.py"))
    )


def statement_features() -> list[str]:
    """The files of named statements, such as `booking/bookings`."""
    files = sorted((ROOT / "sql").glob("*/*.sql"))
    names = [path.relative_to(ROOT / "sql").with_suffix("").as_posix() for path in files]
    return [name for name in names if not name.startswith(("functions/", "migrations/"))]


@cache
def bench_sources() -> tuple[Source, ...]:
    """The benchmarks, which are no part of the package and held to the same shape."""
    root = ROOT.parents[1] / "bench"
    return tuple(
        Source.of(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted(root.rglob("*.py"))
    )


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def docstring_of(node: Function | ast.ClassDef | ast.Module) -> ast.Expr | None:
    return node.body[0] if ast.get_docstring(node, clean=False) is not None else None  # type: ignore[return-value]  # a docstring is an Expr


def texts(source: Source) -> Iterator[ast.Constant]:
    """The string literals of a module, pieces of f-strings included, docstrings left out."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [docstring_of(node) for node in ast.walk(source.tree) if isinstance(node, documented)]
    left_out = {id(docstring.value) for docstring in docstrings if docstring is not None}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
            yield node
