"""Reads server-sent events, whose stream does not end by itself."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx

EVENTS = "/api/slots/events"


class Event(NamedTuple):
    name: str
    data: Any


class Events:
    """The events of a stream, in order. Whoever waits for one that does not come fails after the client's timeout."""

    def __init__(self, client: httpx.Client, answer: httpx.Response) -> None:
        self._client = client
        self._lines = answer.iter_lines()

    def next(self) -> Event:
        name = ""
        for line in self._lines:
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                return Event(name, json.loads(value))
        raise EOFError("the stream has ended")

    def until(self, name: str) -> Event:
        """The next event of that name."""
        while (event := self.next()).name != name:
            pass
        return event

    def until_free(self, slot_id: int, seats: int) -> dict[str, Any]:
        """The next state of that slot in which so many seats are free. Each may be told twice, and none need be: a
        worker that has not listened for a while tells its clients to look for themselves."""
        while True:
            event = self.next()
            for told in [self._look(slot_id)] if event.name == "refresh" else event.data:
                if (told["slotId"], told["availableSeats"]) == (slot_id, seats):
                    state: dict[str, Any] = told
                    return state

    def _look(self, slot_id: int) -> dict[str, Any]:
        slot = self._client.get(f"/api/slots/{slot_id}").json()
        seats = {name: slot[name] for name in ("availableSeats", "totalSeats", "status")}
        return {"slotId": slot_id, "windowId": None} | seats


@contextmanager
def watching(url: str, source: str = "127.0.0.1", timeout: float = 10) -> Iterator[Events]:
    """A client at the address `source` that watches seats, after its greeting."""
    transport = httpx.HTTPTransport(local_address=source, verify=False)
    with (
        httpx.Client(base_url=url, timeout=timeout, transport=transport) as client,
        client.stream("GET", EVENTS) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        events = Events(client, answer)
        assert events.next().name == "hello"
        yield events
