"""The load of the list scenarios: reads one page again and again, and checks that it has the right items."""

import httpx

from bench.clinic import Clinic
from bench.load import wrk
from bench.readings import CheckFailed, Reading
from bench.server import Server

CLIENTS = 16
OK = 200


def read_page(
    clinic: Clinic, server: Server, path: str, seconds: int, token: str | None = None, clients: int = CLIENTS
) -> Reading:
    """Read the page, then wait until the server is idle: a slow statement would slow down the next case."""
    values = {"path": path, "token": token} if token else {"path": path}
    answers = wrk.run(server.url, wrk.Load("get", values), clients, seconds)
    answers.require(OK)
    clinic.await_idle()
    return answers.reading(OK)


def require_items(server: Server, path: str, token: str | None, expected: list[int]) -> None:
    """Raise `CheckFailed` unless the page has exactly the items with these ids in this order, and at least one."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = httpx.get(f"{server.url}{path}", headers=headers, timeout=30, verify=False)
    if answer.status_code != OK:
        raise CheckFailed(f"{path} answered {answer.status_code}: {answer.text[:500]}")
    found = [item["id"] for item in answer.json()["items"]]
    if found != expected or not found:
        raise CheckFailed(f"{path} has {len(found)} items {found[:5]}..., not {len(expected)} items {expected[:5]}...")
