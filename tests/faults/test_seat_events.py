"""Clients that watch seats while the database restarts and when the server ends."""

import signal
import time
from contextlib import ExitStack

import pytest

from tests.clinic import PATIENCE_SECONDS, Clinic, at_most, eventually
from tests.conftest import running_server
from tests.postgres import own_postgres
from tests.streams import watching

LISTENERS = 50
# 20 for one client are the most.
CLIENTS = [f"127.0.0.{number}" for number in range(1, 6)]


@pytest.mark.slow  # an installation of its own
def test_listeners_outlive_a_restart_of_the_database_and_do_not_hold_up_the_end_of_the_server() -> None:
    with own_postgres() as postgres, running_server(postgres.url, {}) as server, Clinic(server) as clinic:
        slot_id = clinic.slot(seats=50)["id"]
        with ExitStack() as stack:
            watchers = [
                stack.enter_context(watching(server.url, CLIENTS[number % len(CLIENTS)])) for number in range(LISTENERS)
            ]
            clinic.hold(slot_id)
            for events in watchers:
                events.until_free(slot_id, 49)
            postgres.kill()
            postgres.start()
            for events in watchers:
                events.until("refresh")
            eventually(lambda: clinic.book(slot_id).status_code == 201)
            free = clinic.free_seats(slot_id)
            for events in watchers:
                events.until_free(slot_id, free)
            server.process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            for events in watchers:
                with pytest.raises(EOFError):
                    events.until("never")
            assert server.process.wait(PATIENCE_SECONDS) == 0
            assert time.monotonic() - began < at_most(5)
