"""Workers under the real supervisor: they may start slowly, are replaced if they end or hang, but not if busy."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest
from harness.watchdog import watch

from slotwise.server.supervisor import Place
from tests.clinic import PATIENCE_SECONDS, at_most, eventually
from tests.conftest import free_port

PROJECT = Path(__file__).parents[2]


class Served:
    """A supervisor with one worker, and what it has printed."""

    def __init__(self, folder: Path, *start: str) -> None:
        self.port = free_port()
        self.log = folder / "log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.server.small", str(self.port), *start],
                cwd=PROJECT, stdout=output, stderr=output,
            )  # fmt: skip
        watch(self.process.pid)

    def get(self, path: str = "/", timeout: float = PATIENCE_SECONDS) -> str:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=timeout, verify=False).text

    def send(self, path: str) -> None:
        """Start a request that will not be answered in time."""
        with suppress(httpx.HTTPError):
            self.get(path, timeout=0.5)

    def has_said(self, words: str) -> bool:
        return words in self.log.read_text()

    def await_words(self, words: str) -> None:
        eventually(lambda: self.has_said(words))

    def end(self) -> None:
        if self.process.poll() is None:
            workers = psutil.Process(self.process.pid).children()
            self.process.kill()
            self.process.wait()
            for worker in workers:
                with suppress(psutil.NoSuchProcess):
                    worker.kill()


Start = Callable[..., Served]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Served] = []

    def begin(*what: str) -> Served:
        started.append(Served(tmp_path, *what))
        return started[-1]

    yield begin
    for served in started:
        served.end()


@pytest.fixture
def served(start: Start) -> Served:
    served = start("serve")
    served.await_words("serving")
    return served


@pytest.mark.slow(reason="two to five CPU seconds for a server of its own")
def test_a_silent_worker_is_replaced_and_the_log_says_why(served: Served) -> None:
    hung = int(served.get())
    os.kill(hung, signal.SIGSTOP)
    assert int(served.get()) != hung
    assert served.has_said("silent for 4 s")


@pytest.mark.slow(reason="two to five CPU seconds for a server of its own")
def test_a_worker_whose_event_loop_stands_still_is_replaced(served: Served) -> None:
    still = int(served.get())
    served.send("/still")
    assert int(served.get()) != still
    assert served.has_said("its event loop stood still for 4 s")


@pytest.mark.slow(reason="two to five CPU seconds for a server of its own")
def test_a_busy_worker_is_left_alone(served: Served) -> None:
    """It computes for six seconds, in pieces of 1.5 seconds. That is longer than the limit for a hung worker."""
    busy = served.get()
    for _ in range(4):
        assert served.get("/busy") == busy
    assert not served.has_said("worker_replaced")


def test_a_killed_worker_is_replaced_and_the_log_says_by_what(served: Served) -> None:
    killed = int(served.get())
    os.kill(killed, signal.SIGKILL)
    served.await_words("killed by SIGKILL")
    assert int(served.get()) != killed


@pytest.mark.slow(reason="two to five CPU seconds for a server of its own")
def test_a_supervisor_that_was_stopped_replaces_no_worker(served: Served) -> None:
    """As after Ctrl-Z: during that time it heard from no worker."""
    worker = served.get()
    os.kill(served.process.pid, signal.SIGSTOP)
    time.sleep(6)
    os.kill(served.process.pid, signal.SIGCONT)
    time.sleep(0.5)
    assert served.get() == worker
    assert not served.has_said("worker_replaced")


@pytest.mark.slow(reason="two to five CPU seconds for a server of its own")
def test_workers_killed_while_they_start_are_tried_again(start: Start, tmp_path: Path) -> None:
    """For example by the kernel, for lack of memory. The greeting waits for the first worker that serves."""
    tried = tmp_path / "tried"
    tried.mkdir()
    served = start("die", str(tried))
    served.await_words("serving")
    assert served.get().isdigit()
    assert len(list(tried.iterdir())) == 2
    said = served.log.read_text()
    assert said.rindex("killed by SIGKILL") < said.index("serving\n")


@pytest.mark.parametrize("number", [signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR1, signal.SIGWINCH])
def test_signals_of_a_terminal_change_nothing(served: Served, number: signal.Signals) -> None:
    """In uvicorn's own supervisor two of these signals add or remove a worker."""
    worker = served.get()
    served.process.send_signal(number)
    time.sleep(0.5)
    assert served.get() == worker
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(PATIENCE_SECONDS) == 0


def test_a_worker_that_cannot_start_for_a_night_is_still_tried_again() -> None:
    """The pause is doubled each time, up to a limit: otherwise the number would overflow."""
    place = Place.__new__(Place)
    place.failures = 5000
    began = time.monotonic()
    place.pause()
    assert began + 1 < place.empty_until < began + 60


def test_an_application_that_cannot_start_ends_the_server(start: Start) -> None:
    served = start("fail")
    assert served.process.wait(PATIENCE_SECONDS) != 0
    assert served.has_said("this application cannot start")
    assert not served.has_said("serving\n")


def test_requests_see_that_the_server_is_draining(served: Served) -> None:
    served.process.send_signal(signal.SIGTERM)
    eventually(lambda: served.get() == "draining")
    assert served.process.wait(PATIENCE_SECONDS) == 0


def test_a_second_sigterm_ends_the_draining(served: Served) -> None:
    served.process.send_signal(signal.SIGTERM)
    eventually(lambda: served.get() == "draining")
    served.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert served.process.wait(PATIENCE_SECONDS) == 0
    assert time.monotonic() - began < at_most(1)


@pytest.mark.parametrize("occupied", ["/slow", "/still"])
def test_workers_of_a_killed_supervisor_end_whatever_they_do(served: Served, occupied: str) -> None:
    [worker] = psutil.Process(served.process.pid).children()[-1:]
    served.send(occupied)
    served.process.kill()
    served.process.wait()
    _, alive = psutil.wait_procs([worker], timeout=PATIENCE_SECONDS)
    assert alive == []
