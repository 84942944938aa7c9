"""What every command shares: settings, the database, and errors printed as one line."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from slotwise.db.embedded import DataDirInUse, EmbeddedServer, EmbeddedServerError
from slotwise.db.migrator import MigrationFailed, migrate
from slotwise.db.pool import Database
from slotwise.db.readiness import UnsuitableDatabase, wait_for_server
from slotwise.domain.errors import SlotwiseError
from slotwise.observability.log_output import forget_reader
from slotwise.observability.logs import configure_logs
from slotwise.settings import InvalidSettings, Settings, load_settings

OPERATOR_CONNECTIONS = 2
OPERATOR_STATEMENT_SECONDS = 3600.0

Result = TypeVar("Result")


class Screen(Console):
    """Standard error, for a person. The server keeps running when the terminal or pipe is closed."""

    def on_broken_pipe(self) -> None:
        forget_reader()


screen = Screen(stderr=True, highlight=False, soft_wrap=True)


class CommandFailed(Exception):
    """The command ends with this message alone."""


@contextmanager
def plain_errors() -> Iterator[None]:
    """End the process with status 1 and one line for each error that the operator can fix."""
    try:
        yield
    except InvalidSettings as error:
        fail(f"setting {error}")
    except UnsuitableDatabase as error:
        fail(f"database: {error}")
    except MigrationFailed as error:
        fail(f"migration failed: {error}")
    except SlotwiseError as error:
        fail(error.detail)
    except (CommandFailed, EmbeddedServerError, DataDirInUse) as error:
        fail(str(error))


def read_settings() -> Settings:
    settings = load_settings()
    configure_logs(settings.log_level if settings.production else "warning", json_lines=settings.production)
    return settings


def run(work: Callable[[Database], Coroutine[Any, Any, Result]]) -> Result:
    """Run `work` on the installation's database, after migrating it, and return its result."""
    with plain_errors():
        return asyncio.run(_on_database(read_settings(), work))


async def _on_database(settings: Settings, work: Callable[[Database], Coroutine[Any, Any, Result]]) -> Result:
    async with operator_database(settings, screen.print) as database:
        return await work(database)


def embedded_server(settings: Settings, report: Callable[[str], None]) -> EmbeddedServer:
    """The PostgreSQL that comes with Slotwise. It runs as long as any process is inside its context."""
    return EmbeddedServer(settings.data_dir, settings.postgres_bin, report)


@asynccontextmanager
async def operator_database(settings: Settings, report: Callable[[str], None]) -> AsyncIterator[Database]:
    """A checked and migrated database for a command; `report` gets messages while it waits for the server."""
    async with AsyncExitStack() as stack:
        url = settings.database_url or stack.enter_context(embedded_server(settings, report)).url
        await wait_for_server(url, settings.database_wait_seconds, report)
        for name in await migrate(url, report):
            report(f"Applied migration {name}")
        database = await Database.connect(url, OPERATOR_CONNECTIONS, statement_seconds=OPERATOR_STATEMENT_SECONDS)
        stack.push_async_callback(database.close)
        yield database


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function to call with how much is done and the total. Only a terminal shows it."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def fail(message: str) -> NoReturn:
    screen.print("error:", message, style="red", markup=False)
    raise typer.Exit(1)
