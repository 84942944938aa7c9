"""The commands and their options.

A command imports what does its work only when it runs: everything together takes ten times as long to import as this
module, and `slotwise --help` and a mistyped command need none of it.
"""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from slotwise import __version__
from slotwise.domain.users import Role

app = typer.Typer(
    help="Doctor-appointment booking server. Settings come from the environment and .env; see .env.example.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
admin = typer.Typer(help="Manage admins.", no_args_is_help=True)
user = typer.Typer(help="Manage accounts.", no_args_is_help=True)
db = typer.Typer(help="Look at the database.", no_args_is_help=True)
privacy = typer.Typer(help="Export or erase a person's data.", no_args_is_help=True)
imports = typer.Typer(
    name="import",
    help="Import doctors, then their timetables, then bookings from CSV files.",
    no_args_is_help=True,
)
app.add_typer(imports, name="import")
app.add_typer(admin, name="admin")
app.add_typer(user, name="user")
app.add_typer(db, name="db")
app.add_typer(privacy, name="privacy")

Email = Annotated[str, typer.Argument(help="The account's e-mail address.")]
Password = Annotated[
    str,
    typer.Option(prompt=True, confirmation_prompt=True, hide_input=True, help="Prompted for if not given."),
]
PersonEmail = Annotated[str, typer.Argument(help="The person's e-mail address.")]


ImportFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE.csv",
        help="CSV in UTF-8, with commas or semicolons. The first line names the columns, in any order.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")]
SkipFaulty = Annotated[bool, typer.Option("--skip-faulty", help="Leave faulty lines out. Otherwise, one stops all.")]


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
    from slotwise.cli.serving import serve_forever

    serve_forever(host, port, workers)


@app.command()
def migrate() -> None:
    """Migrate the database to this version's schema. `serve` does this at every start."""
    from slotwise.cli.upkeep import migrate_database

    migrate_database()


@app.command()
def seed(
    doctors: Annotated[int, typer.Option(min=1, max=10_000, help="How many doctors.")] = 12,
    days: Annotated[int, typer.Option(min=1, max=730, help="How many days of slots.")] = 28,
    first_day: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day. Default: tomorrow.")
    ] = None,
    random_seed: Annotated[int, typer.Option("--seed", help="The same seed and first day give the same data.")] = 1,
) -> None:
    """Add demo doctors and slots, visit types, and the weekly hours and closures of what comes after."""
    from slotwise.cli.upkeep import add_demo_data

    add_demo_data(doctors, days, first_day, random_seed)


@app.command()
def expire() -> None:
    """Expire overdue holds now. The server does this every SWEEP_SECONDS."""
    from slotwise.cli import upkeep

    upkeep.expire()


@app.command()
def check_invariants(
    slot: Annotated[int | None, typer.Option(help="Check only this slot and show its ledger.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Check that no slot is oversold and no booking is lost. Exit status 1: a rule is broken; 2: could not finish."""
    from slotwise.cli.checking import check

    check(slot, as_json)


@app.command()
def evening_list(
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Which day. Default: tomorrow at each clinic.")
    ] = None,
    directory: Annotated[
        Path | None,
        typer.Option(help="Where to write. Default: EVENING_LIST_DIR, for days whose lists are kept.", file_okay=False),
    ] = None,
    clinic: Annotated[
        int | None, typer.Option(help="Only this clinic, by its number. Default: all that want lists.")
    ] = None,
) -> None:
    """Write the list of tomorrow's appointments now, as a page to print and as CSV, readable only by you."""
    from slotwise.cli.evening_lists import write

    write(day.date() if day else None, directory, clinic)


@app.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    from slotwise.cli.printing import print_openapi

    print_openapi()


@db.command("url")
def db_url() -> None:
    """Print the database's URL, for psql and other tools."""
    from slotwise.cli.upkeep import print_url

    print_url()


@admin.command("create")
def create_admin(
    email: Annotated[str, typer.Option(prompt=True, help="The admin's e-mail address.")],
    password: Password,
    name: Annotated[str, typer.Option(help="The admin's name.")] = "Administrator",
) -> None:
    """Create an admin account, which may do everything."""
    from slotwise.cli.accounts import create_account

    create_account(name, email, password, Role.ADMIN)


@user.command("create")
def create_user(
    email: Annotated[str, typer.Option(prompt=True, help="The account's e-mail address.")],
    name: Annotated[str, typer.Option(prompt=True, help="The person's name.")],
    role: Annotated[Role, typer.Option(help="What the account may do.")],
    password: Password,
) -> None:
    """Create an account with any role."""
    from slotwise.cli.accounts import create_account

    create_account(name, email, password, role)


@user.command("set-role")
def set_role(email: Email, role: Role) -> None:
    """Change an account's role. Revokes its tokens."""
    from slotwise.cli.accounts import change_account

    changed = change_account(email, role=role)
    typer.echo(f"{changed.email} now has the role {changed.role}.")


@user.command()
def deactivate(email: Email) -> None:
    """Deactivate an account: it can no longer log in. Revokes its tokens; its bookings stay."""
    from slotwise.cli.accounts import change_account

    typer.echo(f"{change_account(email, active=False).email} can no longer log in.")


@user.command()
def activate(email: Email) -> None:
    """Activate an account again: it can log in."""
    from slotwise.cli.accounts import change_account

    typer.echo(f"{change_account(email, active=True).email} can log in.")


@user.command("set-password")
def set_password(email: Email, password: Password) -> None:
    """Set an account's password. Revokes its tokens."""
    from slotwise.cli.accounts import replace_password

    replace_password(email, password)
    typer.echo(f"{email} has a new password.")


@privacy.command("export")
def export_personal_data(
    email: PersonEmail,
    output: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="File to write, readable only by you. Default: standard output."),
    ] = None,
) -> None:
    """Print all data about a person as JSON, found by account and by e-mail address."""
    from slotwise.cli.privacy import export

    export(email, output)


@privacy.command("erase")
def erase_personal_data(
    email: PersonEmail, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> None:
    """Cancel a person's upcoming bookings and erase name and e-mail address for good."""
    from slotwise.cli.privacy import erase

    erase(email, ask=not yes)


@imports.command("doctors")
def import_doctors(file: ImportFile, dry_run: DryRun = False, skip_faulty: SkipFaulty = False) -> None:
    """Import doctors. One whose name is there already is left as it is.

    An example of a file:

    \b
    name,specialization
    Dr. Grace Hopper,Cardiology
    Dr. Katherine Johnson,

    The column specialization may be missing.
    """
    from slotwise.cli import importing

    importing.doctors(file, dry_run=dry_run, skip_faulty=skip_faulty)


@imports.command("timetables")
def import_timetables(file: ImportFile, dry_run: DryRun = False, skip_faulty: SkipFaulty = False) -> None:
    """Import times of doctors. A time of the doctor that starts at the same moment is left as it is.

    An example of a file:

    \b
    doctor,first_day,last_day,weekdays,from,to,duration_minutes,break_minutes,total_seats
    Dr. Grace Hopper,2031-02-03,2031-02-28,Mon Wed Fri,09:00,12:00,30,0,1
    Dr. Grace Hopper,2031-02-03,2031-02-28,2 4,14:00,17:00,20,10,1

    Days are included. Hours are the clinic's local time. The last three columns may be missing: 30, 0 and 1. Other
    columns: specialization, to tell doctors of one name apart, and clinic, the name of a clinic other than the first.
    """
    from slotwise.cli import importing

    importing.timetables(file, dry_run=dry_run, skip_faulty=skip_faulty)


@imports.command("bookings")
def import_bookings(file: ImportFile, dry_run: DryRun = False, skip_faulty: SkipFaulty = False) -> None:
    """Import confirmed bookings. One of the same time, name and e-mail address is left as it is, also if cancelled.

    An example of a file:

    \b
    doctor,day,time,name,email,people
    Dr. Grace Hopper,2031-02-03,09:30,Ada Lovelace,ada@example.org,1

    Day and time are the clinic's local time, and must be the start of a time that is there. The column people may be
    missing: 1. Other columns: specialization, to tell doctors of one name apart, and clinic, the name of a clinic other
    than the first.
    """
    from slotwise.cli import importing

    importing.bookings(file, dry_run=dry_run, skip_faulty=skip_faulty)
