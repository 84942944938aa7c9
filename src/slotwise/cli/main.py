"""The commands and their options. Each command calls one service and prints the result."""

import json
from datetime import datetime, timedelta
from typing import Annotated, NoReturn

import typer

from slotwise import __version__
from slotwise.app import build, operator_users
from slotwise.cli.checking import check
from slotwise.cli.privacy import privacy
from slotwise.cli.running import fail, plain_errors, progress_bar, read_settings, run
from slotwise.cli.serving import serve_forever
from slotwise.db.embedded import EmbeddedServer
from slotwise.db.pool import Database
from slotwise.domain.users import Role, User
from slotwise.http.api_document import openapi_document
from slotwise.services.core.expiry import sweep_holds
from slotwise.services.core.seat_events import EVERY_SLOT, announcing_changes
from slotwise.services.schedule.demo import DemoPlan, seed_demo

app = typer.Typer(
    help="Doctor-appointment booking server. Settings come from the environment and .env; see .env.example.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
admin = typer.Typer(help="Manage admins.", no_args_is_help=True)
user = typer.Typer(help="Manage accounts.", no_args_is_help=True)
db = typer.Typer(help="Look at the database.", no_args_is_help=True)
app.add_typer(admin, name="admin")
app.add_typer(user, name="user")
app.add_typer(db, name="db")
app.add_typer(privacy, name="privacy")

Email = Annotated[str, typer.Argument(help="The account's e-mail address.")]
Password = Annotated[
    str,
    typer.Option(prompt=True, confirmation_prompt=True, hide_input=True, help="Prompted for if not given."),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"slotwise {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False,
) -> None:
    pass


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Host to listen on. Overrides HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on. Overrides PORT.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Number of processes. Overrides WORKERS.")] = None,
) -> None:
    """Start the server. Prepares the database first: migrations, first admin, demo data."""
    with plain_errors():
        serve_forever(host, port, workers)


@app.command()
def migrate() -> None:
    """Migrate the database to this version's schema. `serve` does this at every start."""

    async def work(_: Database) -> None:
        typer.echo("The database has this version's schema.")

    run(work)


@app.command()
def seed(
    doctors: Annotated[int, typer.Option(min=1, max=10_000, help="How many doctors.")] = 12,
    days: Annotated[int, typer.Option(min=1, max=730, help="How many days of slots.")] = 28,
    first_day: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day. Default: tomorrow.")
    ] = None,
    random_seed: Annotated[int, typer.Option("--seed", help="The same seed and first day give the same data.")] = 1,
) -> None:
    """Add demo doctors and slots."""
    settings = read_settings()
    zone = settings.time_zone
    first = first_day.date() if first_day else (datetime.now(zone) + timedelta(days=1)).date()
    plan = DemoPlan(doctors, days, first, zone, random_seed, settings.name_order)

    async def work(database: Database) -> int:
        async with announcing_changes(database) as seats_changed:
            with progress_bar("Seeding slots") as progress:
                slots = await seed_demo(database, plan, progress)
            seats_changed([EVERY_SLOT])
        return slots

    typer.echo(f"Added {doctors} doctors and {run(work)} slots from {first} on.")


@app.command()
def expire() -> None:
    """Expire overdue holds now. The server does this every SWEEP_SECONDS."""

    async def work(database: Database) -> int:
        async with announcing_changes(database) as seats_changed:
            return await sweep_holds(database, by="command", seats_changed=seats_changed)

    typer.echo(f"Expired {run(work)} holds.")


@app.command()
def check_invariants(
    slot: Annotated[int | None, typer.Option(help="Check only this slot and show its ledger.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Check that no slot is oversold and no booking is lost. Exit status 1: a rule is broken; 2: could not finish."""
    check(slot, as_json)


@app.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    with plain_errors():
        typer.echo(json.dumps(openapi_document(build(read_settings())), indent=2))


@db.command("url")
def db_url() -> None:
    """Print the database's URL, for psql and other tools."""
    with plain_errors():
        settings = read_settings()
        typer.echo(settings.database_url or EmbeddedServer(settings.data_dir, settings.postgres_bin).url)


@admin.command("create")
def create_admin(
    email: Annotated[str, typer.Option(prompt=True, help="The admin's e-mail address.")],
    password: Password,
    name: Annotated[str, typer.Option(help="The admin's name.")] = "Administrator",
) -> None:
    """Create an admin account, which may do everything."""
    _create(name, email, password, Role.ADMIN)


@user.command("create")
def create_user(
    email: Annotated[str, typer.Option(prompt=True, help="The account's e-mail address.")],
    name: Annotated[str, typer.Option(prompt=True, help="The person's name.")],
    role: Annotated[Role, typer.Option(help="What the account may do.")],
    password: Password,
) -> None:
    """Create an account with any role."""
    _create(name, email, password, role)


@user.command("set-role")
def set_role(email: Email, role: Role) -> None:
    """Change an account's role. Revokes its tokens."""
    changed = _change(email, role=role)
    typer.echo(f"{changed.email} now has the role {changed.role}.")


@user.command()
def deactivate(email: Email) -> None:
    """Deactivate an account: it can no longer log in. Revokes its tokens; its bookings stay."""
    typer.echo(f"{_change(email, active=False).email} can no longer log in.")


@user.command()
def activate(email: Email) -> None:
    """Activate an account again: it can log in."""
    typer.echo(f"{_change(email, active=True).email} can log in.")


@user.command("set-password")
def set_password(email: Email, password: Password) -> None:
    """Set an account's password. Revokes its tokens."""

    async def work(database: Database) -> bool:
        users = operator_users(database)
        found = await users.find_user(email)
        return found is not None and await users.reset_password("operator", found.id, password)

    if not run(work):
        _no_account(email)
    typer.echo(f"{email} has a new password.")


def _create(name: str, email: str, password: str, role: Role) -> None:
    created = run(lambda database: operator_users(database).register(name, email, password, role, "operator"))
    typer.echo(f"Created {created.role} {created.email}.")


def _change(email: str, role: Role | None = None, active: bool | None = None) -> User:
    async def work(database: Database) -> User | None:
        users = operator_users(database)
        found = await users.find_user(email)
        return await users.change_rights("operator", found.id, role, active) if found else None

    changed = run(work)
    return changed if changed is not None else _no_account(email)


def _no_account(email: str) -> NoReturn:
    fail(f"there is no account with the e-mail address {email}")
