"""The log's way out, with real pipes, sockets and files."""

import asyncio
import fcntl
import os
import resource
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slotwise.observability.log_output import MOST_WAITING_BYTES, LogOutput
from slotwise.observability.metrics import LOG_LINES_LOST

# More than a pipe or a socket holds, less than may wait.
MANY = [f"{number:06} {'x' * 200}\n" for number in range(4000)]


@pytest.fixture(params=["pipe", "socket"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """A reading and a writing end."""
    if request.param == "pipe":
        reading, writing = os.pipe()
    else:
        reading, writing = (end.detach() for end in socket.socketpair())
    yield reading, writing
    for end in (reading, writing):
        os.close(end)


def drain(fd: int, lines: int) -> list[str]:
    """Reads so many lines."""
    text = b""
    while text.count(b"\n") < lines:
        assert select.select([fd], [], [], 10)[0], f"only {len(text.splitlines())} lines came"
        text += os.read(fd, 1 << 16)
    return text.decode().splitlines(keepends=True)


async def test_a_slow_reader_gets_all_lines_in_order_and_stops_nobody(ends: tuple[int, int]) -> None:
    reading, writing = ends
    output = LogOutput(writing)
    for number, line in enumerate(MANY):
        if number % 3:
            output.write_soon(line.encode())
        else:
            output.write(line)
    assert await asyncio.to_thread(drain, reading, len(MANY)) == MANY


async def test_what_the_reader_does_not_take_in_time_is_lost_and_counted(ends: tuple[int, int]) -> None:
    reading, writing = ends
    output, lost = LogOutput(writing), _lost()
    lines = 3 * MOST_WAITING_BYTES // len(MANY[0])
    for number in range(lines):
        output.write(f"{number:06} {'x' * 200}\n")
    missing = int(_lost() - lost)
    assert missing > lines / 3
    kept = await asyncio.to_thread(drain, reading, lines - missing)
    assert kept == [f"{number:06} {'x' * 200}\n" for number in range(lines - missing)]
    output.write("again\n")
    assert await asyncio.to_thread(drain, reading, 1) == ["again\n"]


async def test_the_other_writers_of_a_pipe_still_wait_for_its_reader() -> None:
    """A pipe that became non-blocking for all would break programs that do not expect it."""
    reading, writing = os.pipe()
    output = LogOutput(writing)
    output.write("a line\n")
    assert not fcntl.fcntl(writing, fcntl.F_GETFL) & os.O_NONBLOCK
    os.close(reading)
    os.close(writing)


async def test_the_lines_of_a_turn_are_written_in_the_next_one(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("wb") as opened:
        output = LogOutput(opened.fileno())
        output.write_soon(b"one\n")
        output.write_soon(b"two\n")
        assert not file.read_bytes()
        await asyncio.sleep(0)
        assert file.read_bytes() == b"one\ntwo\n"
        output.write_soon(b"three\n")
        output.write("an error\n")
        assert file.read_bytes() == b"one\ntwo\nthree\nan error\n", "an event takes the waiting lines with it"


def test_closing_gives_a_slow_reader_a_moment(ends: tuple[int, int]) -> None:
    reading, writing = ends
    output = LogOutput(writing)
    for line in MANY:
        output.write(line)
    with ThreadPoolExecutor() as threads:
        read = threads.submit(drain, reading, len(MANY))
        output.close()
        assert read.result() == MANY


async def test_a_reader_that_has_gone_stops_nothing(ends: tuple[int, int]) -> None:
    reading, writing = ends
    output = LogOutput(writing)
    os.dup2(writing, reading)  # closes the reading end
    for line in MANY:
        output.write(line)
    output.close()


def test_lines_of_two_processes_do_not_mix() -> None:
    reading, writing = os.pipe()
    script = (
        "import asyncio, sys\n"
        "from slotwise.observability.log_output import LogOutput\n"
        "async def main():\n"
        "    output = LogOutput(2)\n"
        "    for _ in range(300):\n"
        "        for _ in range(30):\n"
        "            output.write_soon(sys.argv[1].encode() * 300 + b'\\n')\n"
        "        await asyncio.sleep(0.0001)\n"
        "    output.close()\n"
        "asyncio.run(main())\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, letter], stderr=writing) for letter in "ab"]
    os.close(writing)
    lines = drain(reading, 2 * 300 * 30)
    assert {writer.wait(30) for writer in writers} == {0}
    os.close(reading)
    assert set(lines) == {"a" * 300 + "\n", "b" * 300 + "\n"}


def test_a_full_disk_loses_lines_and_is_written_to_again_later() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        output, lost = LogOutput(full.fileno()), _lost()
        output.write("a line\n")
        assert _lost() == lost + 1


async def test_a_thread_may_write_while_the_loop_does(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("wb") as opened:
        output = LogOutput(opened.fileno())
        threads = [asyncio.to_thread(output.write, "".join(MANY[:500])) for _ in range(2)]
        running = asyncio.gather(*threads)
        while not running.done():
            output.write_soon(b"of the loop\n")
            await asyncio.sleep(0)
        output.close()
    written = file.read_text().splitlines(keepends=True)
    assert sorted(line for line in written if line[0] == "0") == sorted(MANY[:500] * 2)


def _lost() -> float:
    value: float = LOG_LINES_LOST._value.get()
    return value


def test_on_a_full_disk_half_a_line_stays_and_later_lines_stand_by_themselves(tmp_path: Path) -> None:
    """A limit of the file's size takes the place of the disk: it, too, first accepts a part and then nothing."""
    file = tmp_path / "log"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with file.open("ab") as opened:
        output, lost = LogOutput(opened.fileno()), _lost()
        output.write("a" * 79 + "\n")
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        try:
            output.write("b" * 79 + "\n")
            output.write("c" * 79 + "\n")
            assert _lost() - lost == 2
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        output.write("d" * 79 + "\n")
    assert file.read_text().splitlines() == ["a" * 79, "b" * 20, "d" * 79]


async def test_a_full_disk_disturbs_no_event_loop(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with (tmp_path / "log").open("ab") as opened:
        output = LogOutput(opened.fileno())
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        try:
            output.write("a" * 79 + "\n")
            output.close()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
