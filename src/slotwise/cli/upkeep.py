"""What an operator does to the database: migrate it, fill it with demo data, expire holds, find it."""

from datetime import datetime, timedelta

import typer

from slotwise.cli.running import plain_errors, progress_bar, read_settings, run
from slotwise.db.embedded import EmbeddedServer
from slotwise.db.pool import Database
from slotwise.services.core.expiry import sweep_holds
from slotwise.services.core.seat_events import EVERY_SLOT, announcing_changes
from slotwise.services.schedule.demo import DemoPlan, Seeded, seed_demo


def migrate_database() -> None:
    async def work(_: Database) -> None:
        typer.echo("The database has this version's schema.")

    run(work)


def add_demo_data(doctors: int, days: int, first_day: datetime | None, random_seed: int) -> None:
    settings = read_settings()
    zone = settings.time_zone
    first = first_day.date() if first_day else (datetime.now(zone) + timedelta(days=1)).date()
    plan = DemoPlan(doctors, days, first, zone, random_seed, settings.name_order, with_schedules=True)

    async def work(database: Database) -> Seeded:
        async with announcing_changes(database) as seats_changed:
            with progress_bar("Seeding slots") as progress:
                seeded = await seed_demo(database, plan, progress)
            seats_changed([EVERY_SLOT])
        return seeded

    seeded = run(work)
    typer.echo(f"Added {doctors} doctors and {seeded.slots} slots from {first} on.")
    made = seeded.schedules
    after = first + timedelta(days=days)
    typer.echo(
        f"Added {made.visit_types} visit types, open time of the first doctor on {made.evenings} evenings a week,"
        f" and from {after} on {made.rules} weekly hours and {made.closures} closures."
    )


def expire() -> None:
    async def work(database: Database) -> int:
        async with announcing_changes(database) as seats_changed:
            return await sweep_holds(database, by="command", seats_changed=seats_changed)

    typer.echo(f"Expired {run(work)} holds.")


@plain_errors()
def print_url() -> None:
    settings = read_settings()
    typer.echo(settings.database_url or EmbeddedServer(settings.data_dir, settings.postgres_bin).url)
