"""A server for a test with its own application."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import uvicorn

from slotwise.server.connections import BoundedConnection


@contextmanager
def serving(
    application: Any,
    protocol: type[BoundedConnection],
    host: str = "127.0.0.1",
    lifespan: Literal["on", "off"] = "off",
    grace_seconds: int | None = None,
) -> Iterator[tuple[str, int]]:
    """Uses the event loop of production, because buffering of answers depends on the event loop."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family, dualstack_ipv6=host == "::") as listener:
        config = uvicorn.Config(
            application,
            http=protocol,
            loop="uvloop",
            lifespan=lifespan,
            log_config=None,
            timeout_graceful_shutdown=grace_seconds,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield ("127.0.0.1", listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()
