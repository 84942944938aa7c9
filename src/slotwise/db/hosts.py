"""The hosts in DATABASE_URL, and which of them accepts writes now.

The driver accepts a list of hosts too, but tries them one after the other within one timeout. A first host that does
not answer at all, such as one without power, would use up the timeout of every connection.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
from asyncpg.connect_utils import SessionAttribute

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# How long to wait before trying the next host as well. After a refusal the next one is tried at once.
HEAD_START_SECONDS = 0.3
ROLE = "target_session_attrs"


class Hosts:
    """Connects to the first suitable host, beginning with the one that was suitable last."""

    def __init__(self, url: str) -> None:
        self._urls = each_host(url)
        # Slotwise cannot use a standby, so with several hosts read-write is the default.
        default = "read-write" if len(self._urls) > 1 else "any"
        self._role = SessionAttribute(dict(parse_qsl(urlsplit(url).query)).get(ROLE, default))

    @property
    def must_write(self) -> bool:
        """Whether read-only servers are skipped."""
        return self._role is SessionAttribute.read_write

    async def connect(self, dsn: str | None = None, **options: Any) -> Connection:  # noqa: ARG002 - a pool has none
        """A new connection; `options` are the driver's. If no host is suitable, raises the last one's error."""
        url, connection = await self._first_suitable(options)
        self._urls.sort(key=lambda known: known != url)
        return connection

    async def writable_url(self, seconds: float) -> str:
        """The URL of one suitable host, for a tool that accepts only one. Connects only if there are several hosts."""
        if len(self._urls) > 1:
            connection = await self.connect(timeout=seconds)
            connection.terminate()
        return self._urls[0]

    async def _first_suitable(self, options: dict[str, Any]) -> tuple[str, Connection]:
        left = list(self._urls)
        pending: set[asyncio.Task[tuple[str, Connection]]] = set()
        try:
            while True:
                if left:
                    pending.add(asyncio.create_task(self._ask(left.pop(0), options)))
                patience = HEAD_START_SECONDS if left else None
                done, pending = await asyncio.wait(pending, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                found = [task for task in done if task.exception() is None]
                if found:
                    pending |= set(found[1:])
                    return found[0].result()
                if done and not pending and not left:
                    return done.pop().result()
        finally:
            for task in pending:
                task.cancel()
                task.add_done_callback(_hang_up)

    async def _ask(self, url: str, options: dict[str, Any]) -> tuple[str, Connection]:
        return url, await asyncpg.connect(url, **options, target_session_attrs=self._role)


def _hang_up(task: "asyncio.Task[tuple[str, Connection]]") -> None:
    """Close a connection that came too late to be used."""
    if not task.cancelled() and task.exception() is None:
        task.result()[1].terminate()


def each_host(url: str) -> list[str]:
    """One URL per host, without `target_session_attrs`. Raises ValueError if hosts and ports do not match."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    login, at, named = parts.netloc.rpartition("@")
    hosts = (named or query.get("host", "")).split(",")
    if len(hosts) == 1 and ROLE not in query:
        return [url]
    query.pop(ROLE, None)
    if named:
        return [urlunsplit(parts._replace(netloc=login + at + host, query=urlencode(query))) for host in hosts]
    ports = _port_per_host(query.pop("port", ""), hosts)
    return [
        urlunsplit(parts._replace(query=urlencode(query | _host_and_port(host, port))))
        for host, port in zip(hosts, ports, strict=True)
    ]


def _port_per_host(ports: str, hosts: Sequence[str]) -> list[str]:
    given = ports.split(",")
    if len(given) not in {1, len(hosts)}:
        raise ValueError(f"{len(hosts)} hosts and {len(given)} ports")
    return given if len(given) == len(hosts) else given * len(hosts)


def _host_and_port(host: str, port: str) -> dict[str, str]:
    return {name: value for name, value in (("host", host), ("port", port)) if value}
