"""The proof that a page of a list is the right one."""

import httpx

from bench.readings import CheckFailed
from bench.server import Server


def require_items(server: Server, path: str, token: str | None, expected: list[int]) -> None:
    """Raise `CheckFailed` unless the page has just the items with these ids, in this order, and at least one."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = httpx.get(f"{server.url}{path}", headers=headers, timeout=30, verify=False)
    if answer.status_code != httpx.codes.OK:
        raise CheckFailed(f"{path} answered {answer.status_code}: {answer.text[:500]}")
    found = [item["id"] for item in answer.json()["items"]]
    if found != expected or not found:
        raise CheckFailed(f"{path} has {len(found)} items {found[:5]}..., not {len(expected)} items {expected[:5]}...")
