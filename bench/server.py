"""`slotwise serve` and other servers as separate processes on free loopback ports."""

import http.client
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from subprocess import Popen
from typing import NamedTuple
from urllib.parse import urlsplit

import psutil
from harness.watchdog import Command

from bench.processes import ToolFailed, serving

START_SECONDS = 60
SLOTWISE = Path(sys.executable).with_name("slotwise")
PROJECT = Path(__file__).resolve().parents[1]


class Memory(NamedTuple):
    """The memory of one worker in megabytes. The proportional size divides shared pages among the workers."""

    resident: float
    proportional: float


class Server(NamedTuple):
    url: str
    process: "Popen[bytes]"

    def workers(self) -> list[psutil.Process]:
        """The processes that answer: the supervisor's workers, or the only process."""
        own = psutil.Process(self.process.pid)
        return [child for child in own.children() if "spawn_main" in " ".join(child.cmdline())] or [own]

    def resident_megabytes(self) -> float:
        """The resident size of the largest worker."""
        return max(worker.memory_info().rss for worker in self.workers()) / 1e6

    def memory(self) -> Memory:
        """The memory of the largest worker. Without a proportional size, the resident size is used for it too."""
        sizes = [worker.memory_full_info() for worker in self.workers()]
        return Memory(
            max(size.rss for size in sizes) / 1e6, max(getattr(size, "pss", size.rss) for size in sizes) / 1e6
        )


def slotwise_server(settings: Mapping[str, str], folder: Path) -> AbstractContextManager[Server]:
    return running_server([SLOTWISE, "serve"], settings, folder)


def baseline_server(app: str, settings: Mapping[str, str], folder: Path) -> AbstractContextManager[Server]:
    """`bench.<app>` under the same uvicorn, with the options of `slotwise serve`."""
    arguments = {
        "--host": settings["HOST"],
        "--workers": settings["WORKERS"],
        "--app-dir": str(PROJECT),
        "--loop": "uvloop",
        "--http": "httptools",
        "--ws": "none",
        "--log-level": "warning",
        "--backlog": "2048",
        "--timeout-keep-alive": "75",
    }
    flags = ["--factory", "--no-access-log", "--no-server-header", "--no-proxy-headers"]
    options = [word for pair in arguments.items() for word in pair]
    program = [sys.executable, "-m", "uvicorn", f"bench.{app}:create_app"]
    return running_server([*program, *flags, *options], settings, folder)


@contextmanager
def running_server(command: Command, settings: Mapping[str, str], folder: Path) -> Iterator[Server]:
    """A server that takes its port from `--port` or from `PORT`."""
    port = _free_port()
    log = folder / f"server-{port}.log"
    environment = {"PATH": os.environ["PATH"], **settings, "PORT": str(port)}
    ported = [*command, "--port", str(port)]
    with serving(ported, environment, folder, log) as process:
        server = Server(f"http://127.0.0.1:{port}", process)
        _await_first_answer(server, log)
        yield server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _await_first_answer(server: Server, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while server.process.poll() is None and time.monotonic() < deadline:
        if _answers(server.url):
            return
        time.sleep(0.05)
    raise ToolFailed(f"the server did not start:\n{log.read_text()[-2000:]}")


def _answers(url: str) -> bool:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        connection.request("GET", "/health")
        connection.getresponse().read()
    except OSError:
        return False
    else:
        return True
    finally:
        connection.close()
