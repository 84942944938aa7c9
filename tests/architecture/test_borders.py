"""What only one place may do: read the environment, hold SQL, know the clock, own a transaction."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping

import pytest

from tests.architecture.sources import ROOT, Source, functions, sources, texts

MAY_READ_THE_ENVIRONMENT = {
    "__init__.py",  # keeps the machine's time zones from the processes that it starts
    "settings.py",  # the one reader
    "cli/serving.py",  # sets what prometheus-client reads in the workers
    "db/migrator.py",  # hands it on to dbmate, with the database's address
    "db/cluster.py",  # hands it on to PostgreSQL's programs, without what would mislead them
}
MAY_HOLD_SQL = {
    "db/cluster.py",  # CREATE DATABASE, for a server that has none to read statements for
}

_SQL = re.compile(
    r"\bselect\b.+\bfrom\b|^\s*select\b|\binsert\s+into\b|\bupdate\b.+\bset\b|\bdelete\s+from\b|\btruncate\s+"
    r"|^\s*(create|alter|drop)\s+(table|index|database|extension|role|type|view|function)\b|^\s*set\s+(local|session)\b",
    re.IGNORECASE | re.DOTALL,
)
MAY_FOLD_CASE = {
    "domain/fields.py",  # e-mail addresses, for comparison
    "domain/search_form.py",  # names, for search
    "sql/core/open_time.sql",  # none: the bounds of ranges have these names
    "sql/migrations/0001_tables.sql",  # two indexes of the release before
    "sql/migrations/0002_email_key.sql",  # as in domain/fields.py
}

# In SQL all of it depends on the database's locale. In Python `lower` is for words of ASCII, such as those of a header.
_FOLDS_IN_SQL = re.compile(r"\b(lower|upper|initcap|casefold)\s*\(|\bILIKE\b|~\*", re.IGNORECASE)
_FOLDS = {"lower", "upper", "casefold", "swapcase", "title", "capitalize"}
_COMMENT = re.compile("--.*")
_ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
_CLOCKS = {"now", "utcnow", "today", "time", "monotonic"}
_ACQUIRERS = {"connection", "transaction", "effect"}


def readers_of_the_environment(found: Iterable[Source]) -> set[str]:
    return {source.path for source in found for node in ast.walk(source.tree) if _names_environment(node)}


def _names_environment(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in _ENVIRONMENT and ast.unparse(node.value) == "os"
    return isinstance(node, ast.ImportFrom) and node.module == "os" and any(a.name in _ENVIRONMENT for a in node.names)


def holders_of_sql(found: Iterable[Source]) -> set[str]:
    return {source.path for source in found for text in texts(source) if _SQL.search(str(text.value))}


def folders_of_case(found: Iterable[Source], statements: Mapping[str, str]) -> set[str]:
    """Where all of Unicode is folded, or the case of an e-mail address or a name."""
    in_python = {source.path for source in found for node in ast.walk(source.tree) if _folds(node)}
    return in_python | {path for path, text in statements.items() if _FOLDS_IN_SQL.search(_COMMENT.sub("", text))}


def _folds(node: ast.AST) -> bool:
    if not isinstance(node, ast.Attribute) or node.attr not in _FOLDS:
        return False
    of = ast.unparse(node.value)
    return node.attr == "casefold" or "email" in of or "speciali" in of or of.endswith((".name", "_name"))


def readers_of_the_clock(found: Iterable[Source]) -> set[str]:
    return {
        source.path
        for source in found
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CLOCKS
    }


def nested_acquisitions(found: Iterable[Source]) -> list[str]:
    """Functions that ask for a connection inside a block that holds one."""
    return [
        f"{source.path}: {function.name}"
        for source in found
        for function in functions(source.tree)
        for outer in ast.walk(function)
        if isinstance(outer, ast.AsyncWith) and any(_acquires(item.context_expr) for item in outer.items)
        for inner in (node for statement in outer.body for node in ast.walk(statement))
        if _acquires(inner)
    ]


def effects(found: Iterable[Source]) -> Iterator[tuple[str, ast.AsyncWith]]:
    """Each block of `effect()`, and where it stands."""
    for source in found:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.AsyncWith) and ast.unparse(node.items[0].context_expr).endswith(".effect()"):
                yield f"{source.path}:{node.lineno}", node


def longer_effects(found: Iterable[Source]) -> list[str]:
    """Effects that are not one plain statement, awaited once."""
    return [place for place, block in effects(found) if len(block.body) != 1 or _awaits(block.body[0]) != 1]


def _awaits(statement: ast.stmt) -> int:
    """How often something is awaited; a block of any kind may do so any number of times."""
    blocks = (ast.For, ast.While, ast.If, ast.Try, ast.With, ast.AsyncFor, ast.AsyncWith)
    kinds = [type(node) for node in ast.walk(statement)]
    return -1 if isinstance(statement, blocks) else kinds.count(ast.Await)


def _acquires(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _ACQUIRERS


def test_only_the_settings_read_the_environment() -> None:
    assert readers_of_the_environment(sources()) == MAY_READ_THE_ENVIRONMENT


@pytest.mark.parametrize("text", ["import os\nport = os.environ['PORT']", "from os import getenv"])
def test_a_second_reader_of_the_environment_is_noticed(text: str) -> None:
    assert readers_of_the_environment([Source.of("http/schedule/slots.py", text)]) == {"http/schedule/slots.py"}


def test_sql_is_written_in_sql_files_only() -> None:
    assert holders_of_sql(sources()) == MAY_HOLD_SQL


@pytest.mark.parametrize(
    "text",
    [
        'rows = connection.fetch("SELECT 1")',
        'rows = connection.fetch(f"select id from {table}")',
        'connection.execute("""\n    INSERT INTO users (email) VALUES ($1)""")',
        'connection.execute("UPDATE users AS u SET name = $1")',
        'connection.execute("SET LOCAL lock_timeout = 0")',
    ],
)
def test_sql_in_python_is_noticed(text: str) -> None:
    assert holders_of_sql([Source.of("services/schedule/slots.py", text)]) == {"services/schedule/slots.py"}


def test_a_docstring_may_talk_about_sql() -> None:
    assert not holders_of_sql(
        [Source.of("services/schedule/slots.py", '"""Why SELECT ... FROM slots FOR UPDATE waits."""')]
    )


def test_case_is_folded_in_one_place_for_each_purpose() -> None:
    """`email_key` folds A to Z alone, so that no e-mail address opens another one's data; search folds all."""
    statements = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "sql").rglob("*.sql")}
    assert folders_of_case(sources(), statements) == MAY_FOLD_CASE


@pytest.mark.parametrize(
    "text", ["same = a.email.lower() == email", "key = str.casefold(text)", "specialization.upper()", "d.name.lower()"]
)
def test_another_fold_in_python_is_noticed(text: str) -> None:
    assert folders_of_case([Source.of("services/accounts/users.py", text)], {}) == {"services/accounts/users.py"}


@pytest.mark.parametrize("text", ["WHERE lower(u.email) = 'a'", "WHERE u.name ILIKE 'a'", "WHERE name ~* 'a'"])
def test_another_fold_in_sql_is_noticed(text: str) -> None:
    assert folders_of_case([], {"sql/accounts/users.sql": text}) == {"sql/accounts/users.sql"}
    assert not folders_of_case([], {"sql/accounts/users.sql": f"-- {text}"})


def test_the_domain_knows_no_clock() -> None:
    domain = [source for source in sources() if source.path.startswith("domain/")]
    assert not readers_of_the_clock(domain)
    planted = Source.of("domain/slots.py", "started = slot.start_time <= datetime.now(UTC)")
    assert readers_of_the_clock([planted]) == {"domain/slots.py"}


def test_no_function_asks_for_a_connection_while_it_holds_one() -> None:
    """That deadlocks a pool at exactly pool-size concurrent requests. tests/db/test_pool.py shows it happen."""
    outside = [source for source in sources() if source.path != "db/pool.py"]
    assert not nested_acquisitions(outside)
    planted = """
async def get_slot(self):
    async with self._database.transaction() as connection:
        async with self._database.effect() as other:
            pass
"""
    assert nested_acquisitions([Source.of("services/schedule/slots.py", planted)]) == [
        "services/schedule/slots.py: get_slot"
    ]


def test_an_effect_is_one_statement() -> None:
    """It has no transaction around it: of two statements, the second could be lost and the first done."""
    assert len(list(effects(sources()))) >= 3
    assert not longer_effects(sources())
    planted = """
async def cancel(self):
    async with self._writers.effect() as connection:
        await CANCEL_BOOKINGS.all(connection)
        await RECORD_ACTION.run(connection)
"""
    assert longer_effects([Source.of("services/schedule/slots.py", planted)]) == ["services/schedule/slots.py:3"]
    looped = """
async def cancel(self):
    async with self._writers.effect() as connection:
        for booking_id in booking_ids:
            await CANCEL_BOOKINGS.all(connection)
"""
    assert longer_effects([Source.of("services/schedule/slots.py", looped)]) == ["services/schedule/slots.py:3"]
