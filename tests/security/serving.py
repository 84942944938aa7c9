"""A server of its own for a test that brings its application."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from slotwise.http.connections import BoundedConnection


@contextmanager
def serving(application: Any, protocol: type[BoundedConnection]) -> Iterator[tuple[str, int]]:
    """On the event loop of production, because what it keeps back of an answer is its own business."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(application, http=protocol, loop="uvloop", lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            server.should_exit = True
            thread.join()
