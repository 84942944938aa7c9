"""A small application under the real supervisor, with short timeouts: `python -m tests.server.small PORT START`.

START says what a worker does when it starts: `serve`; `fail` ends it with an error; `die DIRECTORY` kills it, until
the directory has two files.
"""

import asyncio
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import uvicorn

from slotwise.server import supervisor, worker

supervisor.HUNG_SECONDS = 4.0
worker.ORPHAN_SECONDS = 1.0


def create_app() -> Any:
    what, *where = sys.argv[2:] or ["serve"]
    if what == "fail":
        raise RuntimeError("this application cannot start")
    if what == "die":
        tried = Path(*where)
        if len(list(tried.iterdir())) < 2:
            (tried / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return serve_small


async def serve_small(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for _ in range(2):
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
        return
    match scope["path"]:
        case "/busy":
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                pass
        case "/still":
            time.sleep(60)  # noqa: ASYNC251 - the event loop is to stand still
        case "/slow":
            await asyncio.sleep(60)
    said = "draining" if worker.is_draining(scope) else str(os.getpid())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": said.encode()})


def main() -> None:
    config = uvicorn.Config(
        "tests.server.small:create_app", factory=True, workers=1, log_config=None, timeout_graceful_shutdown=1
    )
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", int(sys.argv[1])))
        listener.listen()
        said = lambda: print("serving", flush=True)  # noqa: E731, T201
        supervisor.Supervisor(config, listener, 2.0, said, print).run()


if __name__ == "__main__":
    main()
