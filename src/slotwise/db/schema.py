"""Checks that a database has this version's schema: by the recorded texts that were applied, and by its objects.

A server that runs beside a later release finds texts that it does not know. That is no error, because a later
release's schema must still work for the earlier one. Then nothing is written and the objects are not compared.
"""

import hashlib
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files

import asyncpg
import msgspec
import structlog

from slotwise import __version__
from slotwise.db.pool import Connection
from slotwise.db.statements import NoRow, Statement

# How many problems a message names; a database with a completely different schema has hundreds.
MOST_SAID = 3
# The name of the record with which a release begins its changes.
ANNOUNCED = "release "
REMEDY = (
    "Run the Slotwise that made this database, or give this one an empty database: another DATABASE_URL or"
    " SLOTWISE_DATA_DIR. docs/operating.md, 'A database of another Slotwise', says how to move the data"
)

log = structlog.get_logger()


class Source(msgspec.Struct, frozen=True):
    """A file whose text creates a part of the schema. `name` is its path below `sql/`."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def is_migration(self) -> bool:
        """Applied once. Any other source is applied whenever its text changed."""
        return self.name.startswith("migrations/")

    @property
    def number(self) -> str:
        """The number by which dbmate knows a migration."""
        return self.name.rpartition("/")[2].partition("_")[0]


class Record(msgspec.Struct, frozen=True):
    """A source that was applied: the checksum of its text, and the release that applied it."""

    name: str
    checksum: str
    release: str


class History(msgspec.Struct, frozen=True):
    """The records as columns. `state` is different after any change of an object of the schema."""

    names: list[str]
    checksums: list[str]
    releases: list[str]
    state: str

    @property
    def records(self) -> list[Record]:
        return [Record(*row) for row in zip(self.names, self.checksums, self.releases, strict=True)]


class Applied(msgspec.Struct, frozen=True):
    version: str


class SchemaObject(msgspec.Struct, frozen=True):
    """`object` is its kind and name, such as `column users.was_desk`."""

    object: str
    definition: str


READ_HISTORY = Statement("database/schema.read_history", History)
LIST_APPLIED = Statement("database/schema.list_applied", Applied)
RECORD_SOURCE = Statement("database/schema.record_source", NoRow)
FORGET_SOURCES = Statement("database/schema.forget_sources", NoRow)
READ_CATALOGUE = Statement("database/schema.read_catalogue", SchemaObject)

Catalogue = Mapping[str, str]


@cache
def sources() -> tuple[Source, ...]:
    """All that makes the schema, in the order in which it is applied: each may need those before it."""
    names = [*_names_in("migrations"), "views.sql", *_names_in("functions"), "triggers.sql"]
    return tuple(Source(name, source_text(name)) for name in names)


def migrations() -> list[Source]:
    return [source for source in sources() if source.is_migration]


def source_text(name: str) -> str:
    return (files("slotwise.sql") / name).read_text(encoding="utf-8")


def _names_in(folder: str) -> list[str]:
    names = (entry.name for entry in (files("slotwise.sql") / folder).iterdir())
    return sorted(f"{folder}/{name}" for name in names if name.endswith(".sql"))


@cache
def expected_catalogue() -> Catalogue:
    """What the sources make. A test compares the file with them."""
    lines = source_text("catalogue.txt").splitlines()
    return dict(line.split(" | ", 1) for line in lines)


async def read_catalogue(connection: Connection) -> Catalogue:
    rows = await READ_CATALOGUE.all(connection)
    return dict(sorted((row.object, row.definition) for row in rows))


async def read_records(connection: Connection) -> list[Record]:
    """The records of the applied sources; none if no version has written any yet."""
    try:
        async with _savepoint(connection):
            return (await READ_HISTORY.one(connection)).records
    except asyncpg.UndefinedTableError:
        return []


async def read_applied(connection: Connection) -> set[str]:
    """The numbers of the applied migrations, whether or not they have records."""
    try:
        async with _savepoint(connection):
            return {row.version for row in await LIST_APPLIED.all(connection)}
    except asyncpg.UndefinedTableError:
        return set()


@asynccontextmanager
async def _savepoint(connection: Connection) -> AsyncIterator[None]:
    """A savepoint for reading: a missing table does not end the transaction, and no table lock stays.

    A lock that stayed would be a deadlock: dbmate's session waits for the lock, and this transaction for dbmate.
    """
    savepoint = connection.transaction()
    await savepoint.start()
    try:
        yield
    finally:
        await savepoint.rollback()


async def announce_release(connection: Connection) -> None:
    """Record that this release is about to change the schema, so that servers of an earlier release know the reason.

    Each migration commits separately, and the other records are written only after all migrations.
    """
    await RECORD_SOURCE.run(connection, name=f"{ANNOUNCED}{__version__}", checksum="", release=__version__)


async def record_sources(connection: Connection) -> None:
    """All that is applied now. A source that this release does not have any more was dropped by a migration."""
    for source in sources():
        await RECORD_SOURCE.run(connection, name=source.name, checksum=source.checksum, release=__version__)
    await FORGET_SOURCES.run(connection, kept=[source.name for source in sources()], announced=f"{ANNOUNCED}%")


def changed_sources(records: Iterable[Record]) -> list[Source]:
    """The sources other than migrations whose text is not the one that was applied last, in their order."""
    applied = {record.name: record.checksum for record in records}
    return [source for source in sources() if not source.is_migration and applied.get(source.name) != source.checksum]


def release_order(release: str) -> tuple[int, ...]:
    """A sort key: 0.10 comes after 0.9, and 1.0 equals 1."""
    numbers = [int(part) for part in release.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def later_release(records: Iterable[Record], release: str = __version__) -> str | None:
    """The latest release that has applied anything, if it is later than this one."""
    latest = max((record.release for record in records), key=release_order, default=release)
    return latest if release_order(latest) > release_order(release) else None


def text_problems(
    records: Collection[Record], ours: Collection[Source] | None = None, release: str = __version__
) -> list[str]:
    """Sources that were not applied, and sources that this release or an earlier one applied with another text."""
    ours = sources() if ours is None else ours
    known = {source.name: source for source in ours}
    applied = {record.name for record in records}
    missing = [f"{source.name} was not applied" for source in ours if source.name not in applied]
    different = [
        f"{record.name} was applied by release {record.release} "
        + ("with another text" if record.name in known else f"and is no part of this {release}")
        for record in records
        if not record.name.startswith(ANNOUNCED)
        and release_order(record.release) <= release_order(release)
        and (record.name not in known or known[record.name].checksum != record.checksum)
    ]
    return missing + different


def catalogue_problems(found: Catalogue, expected: Catalogue, *, with_indexes: bool) -> list[str]:
    """In which objects a database differs from what the sources make.

    Additional objects do not matter, unless they could refuse a write or be called in place of ours. Indexes that
    enforce no rule are only for speed: an operator may replace them.
    """
    lost = {name for name in expected if name.startswith(("table ", "view ")) and name not in found}
    looked_at = [
        name
        for name in expected
        if f"table {_table_of(name)}" not in lost and (with_indexes or not name.startswith("index "))
    ]
    return [
        *(f"{_short(name)} is missing" for name in looked_at if name not in found),
        *(
            f"{_short(name)} is not as Slotwise makes it"
            for name in looked_at
            if found.get(name, expected[name]) != expected[name]
        ),
        *(f"{_short(name)} is no part of Slotwise" for name in found if _in_the_way(name, found, expected)),
    ]


def _short(name: str) -> str:
    """The name without a function's parameters."""
    return name.partition("(")[0]


def _table_of(name: str) -> str:
    """The table of a column, constraint, index or trigger; empty for other objects."""
    return name.rpartition(" ")[2].rpartition(".")[0]


def _in_the_way(name: str, found: Catalogue, expected: Catalogue) -> bool:
    if name in expected:
        return False
    kind, _, rest = name.partition(" ")
    if kind == "function":
        return any(ours.startswith(f"function {rest.partition('(')[0]}(") for ours in expected)
    if f"table {_table_of(name)}" not in expected:
        return False
    if kind == "column":
        definition = found[name]
        filled = "IDENTITY" in definition or "GENERATED" in definition
        return "NOTNULL" in definition and not filled and definition.removesuffix("NOTSAMPLED").endswith("DEFAULT")
    # An index that is still being built, as by REINDEX CONCURRENTLY, is INVALID and refuses nothing.
    return kind in {"constraint", "trigger", "unique"} and not found[name].endswith("INVALID")


def sentence(problems: list[str]) -> str:
    """The first few problems as one text."""
    more = len(problems) - MOST_SAID
    return ", ".join(problems[:MOST_SAID]) + (f" and {more} more" if more > 0 else "")


class SchemaCheck:
    """The schema's part of the readiness check: compares texts every time, and objects only after one has changed."""

    def __init__(self) -> None:
        self._compared: tuple[str, list[str]] | None = None
        self._said_later: str | None = None

    async def problems(self, connection: Connection) -> list[str]:
        """The problems, as sentences that say what to do; none if this version can work with the schema."""
        try:
            history = await READ_HISTORY.one(connection)
        except asyncpg.UndefinedTableError:
            return ["the database has no record of its schema: run `slotwise migrate`, which says what to do"]
        except asyncpg.SyntaxOrAccessError as error:
            return [f"the records of the schema, in the table schema_history, cannot be read: {error}"]
        later = later_release(history.records)
        self._say(later)
        problems = text_problems(history.records)
        if problems:
            return [f"the schema is not this version's: {sentence(problems)}. {_text_remedy(problems)}"]
        if later:
            return []
        return await self._object_problems(connection, history.state)

    async def _object_problems(self, connection: Connection, state: str) -> list[str]:
        if self._compared is None or self._compared[0] != state:
            found = await read_catalogue(connection)
            self._compared = (state, catalogue_problems(found, expected_catalogue(), with_indexes=False))
        problems = self._compared[1]
        return [changed_by_hand(problems)] if problems else []

    def _say(self, later: str | None) -> None:
        if later not in {None, self._said_later}:
            log.warning("schema_of_a_later_release", release=later, own_release=__version__)
        self._said_later = later


def _text_remedy(problems: list[str]) -> str:
    if all(problem.endswith("was not applied") for problem in problems):
        return "Run `slotwise migrate` of this version"
    return REMEDY


def changed_by_hand(problems: list[str]) -> str:
    return (
        f"the schema was changed by other means than `slotwise migrate`: {sentence(problems)}."
        " Undo that change; slotwise/sql says how it was"
    )
