"""Accounts, as an operator makes and changes them."""

import secrets
from typing import NoReturn

import typer

from slotwise.cli.running import fail, run
from slotwise.db.pool import Database
from slotwise.domain.users import Role, User
from slotwise.services.accounts.passwords import Passwords
from slotwise.services.accounts.tokens import AccessTokens
from slotwise.services.accounts.users import Users


def operator_users(database: Database) -> Users:
    """Accounts for a command, which issues no tokens."""
    return Users(database, Passwords(), AccessTokens(secrets.token_urlsafe(), 60))


def create_account(name: str, email: str, password: str, role: Role) -> None:
    created = run(lambda database: operator_users(database).register(name, email, password, role, "operator"))
    typer.echo(f"Created {created.role} {created.email}.")


def change_account(email: str, role: Role | None = None, active: bool | None = None) -> User:
    """The changed account. Ends the process if there is none."""

    async def work(database: Database) -> User | None:
        users = operator_users(database)
        found = await users.find_user(email)
        return await users.change_rights("operator", found.id, role, active) if found else None

    changed = run(work)
    return changed if changed is not None else _no_account(email)


def replace_password(email: str, password: str) -> None:
    async def work(database: Database) -> bool:
        users = operator_users(database)
        found = await users.find_user(email)
        return found is not None and await users.reset_password("operator", found.id, password)

    if not run(work):
        _no_account(email)


def _no_account(email: str) -> NoReturn:
    fail(f"there is no account with the e-mail address {email}")
