"""The embedded PostgreSQL: created once, shared, stopped by its last user. It never loses a committed row."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import asyncpg
import psutil
import pytest

import slotwise.db.postmaster
from slotwise.db.cluster import advice_on
from slotwise.db.embedded import DataDirInUse, EmbeddedServer, EmbeddedServerError, StartGivenUp, claim_data_dir
from tests.clinic import PATIENCE_SECONDS, at_most

_given = os.environ.get("SLOTWISE_TEST_POSTGRES_BIN")
BIN_DIR = Path(_given) if _given else None

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts the server as another user")

USER_OF_THE_SERVER = """
import sys
from pathlib import Path
from slotwise.db.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2] else None)
print("URL", server.acquire(), flush=True)
sys.stdin.read()
server.release()
"""


class User(NamedTuple):
    """Another process that uses the server until its standard input closes."""

    process: subprocess.Popen[str]
    url: str

    def leave(self) -> None:
        self.process.communicate(timeout=PATIENCE_SECONDS)

    def die(self) -> None:
        self.process.kill()
        self.process.wait()


StartUser = Callable[[], User]


def new_server(data_dir: Path) -> EmbeddedServer:
    return EmbeddedServer(data_dir, BIN_DIR)


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])


def kill_postmaster(data_dir: Path) -> int:
    """Kill the server as a power failure would, and wait until the kernel has freed its memory."""
    pid = postmaster(data_dir)
    os.kill(pid, signal.SIGKILL)
    arguments = Path(f"/proc/{pid}/cmdline")
    while arguments.exists() and arguments.read_bytes():
        time.sleep(0.01)
    return pid


def runs(data_dir: Path) -> bool:
    return (data_dir / "postgres" / "postmaster.pid").exists()


def query(url: str, sql: str) -> object:
    async def ask() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(ask())


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cluster, stopped, which each test leaves stopped."""
    path = tmp_path_factory.mktemp("embedded") / "data"
    with new_server(path):
        return path


@pytest.fixture(autouse=True)
def stopped(data_dir: Path) -> Iterator[None]:
    yield
    if runs(data_dir):
        with new_server(data_dir):
            pass


@pytest.fixture
def start_user(data_dir: Path) -> Iterator[StartUser]:
    started: list[User] = []

    def start() -> User:
        process = subprocess.Popen(
            [sys.executable, "-c", USER_OF_THE_SERVER, str(data_dir), str(BIN_DIR or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(User(process, _read_url(process.stdout)))
        return started[-1]

    yield start
    for user in started:
        if user.process.poll() is None:
            user.die()


def _read_url(output: IO[str] | None) -> str:
    assert output is not None
    url = next((line.split()[1] for line in output if line.startswith("URL ")), None)
    assert url, "the other process did not acquire the server"
    return url


def test_a_second_process_uses_the_running_server_and_the_last_to_leave_stops_it(
    data_dir: Path, start_user: StartUser
) -> None:
    first, second = start_user(), start_user()
    server = postmaster(data_dir)
    assert first.url == second.url
    first.leave()
    assert postmaster(data_dir) == server
    assert query(second.url, "SELECT current_user") == "slotwise"
    second.leave()
    assert not runs(data_dir)


@pytest.mark.slow(reason="it starts a PostgreSQL of its own, or several")
def test_processes_that_start_and_leave_at_the_same_time_each_get_a_working_server(
    data_dir: Path, start_user: StartUser
) -> None:
    for _ in range(3):
        leaving = start_user()
        assert leaving.process.stdin
        leaving.process.stdin.close()
        staying = start_user()
        assert query(staying.url, "SELECT 1") == 1
        staying.leave()
        leaving.process.wait(timeout=PATIENCE_SECONDS)
    assert not runs(data_dir)


def test_a_user_killed_with_9_leaves_the_server_running_and_the_next_one_stops_it(
    data_dir: Path, start_user: StartUser
) -> None:
    killed = start_user()
    query(killed.url, "CREATE TABLE kept_after_user AS SELECT 42 AS answer")
    server = postmaster(data_dir)
    killed.die()
    with new_server(data_dir) as next_user:
        assert postmaster(data_dir) == server
        assert query(next_user.url, "SELECT answer FROM kept_after_user") == 42
    assert not runs(data_dir)


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(data_dir: Path) -> None:
    with new_server(data_dir):
        assert os.getsid(postmaster(data_dir)) != os.getsid(0)


def test_the_server_holds_none_of_the_locks(data_dir: Path) -> None:
    with new_server(data_dir):
        held = [str(path.readlink()) for path in Path(f"/proc/{postmaster(data_dir)}/fd").iterdir()]
    assert not [path for path in held if path.endswith((".users", ".lock"))]


def test_a_server_killed_with_9_recovers_every_committed_row(data_dir: Path) -> None:
    server = new_server(data_dir)
    query(server.acquire(), "CREATE TABLE kept_after_crash AS SELECT generate_series(1, 1000) AS n")
    kill_postmaster(data_dir)
    assert query(server.acquire(), "SELECT count(*) FROM kept_after_crash") == 1000
    server.release()
    assert not runs(data_dir)


def crash_in_recovery(url: str, data_dir: Path) -> int:
    """Kill a session that has written 100 MB, and return as soon as the server replays them; the rows written."""
    log = data_dir / "postgres.log"

    async def write_and_die() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE TABLE IF NOT EXISTS replayed (row text)")
        await connection.execute("INSERT INTO replayed SELECT repeat('x', 500) FROM generate_series(1, 150000)")
        os.kill(await connection.fetchval("SELECT pg_backend_pid()"), signal.SIGKILL)

    before = query(url, "SELECT count(*) FROM pg_tables WHERE tablename = 'replayed'")
    rows = int(str(query(url, "SELECT count(*) FROM replayed"))) if before else 0
    size = log.stat().st_size
    asyncio.run(write_and_die())
    while "redo starts" not in log.read_text()[size:]:
        time.sleep(0.001)
    return rows + 150000


def stop_in_recovery(data_dir: Path) -> bool:
    """Tell the server to stop while it replays. False if it was faster. What replays waits meanwhile."""
    server = psutil.Process(postmaster(data_dir))
    try:
        [replaying] = [child for child in server.children() if "startup" in " ".join(child.cmdline())]
        replaying.suspend()
    except (ValueError, psutil.NoSuchProcess):
        return False
    server.send_signal(signal.SIGINT)
    while "\nstopping" not in (data_dir / "postgres" / "postmaster.pid").read_text():
        time.sleep(0.001)
    replaying.resume()
    return True


@pytest.mark.slow(reason="it starts a PostgreSQL of its own, or several")
def test_a_stop_during_crash_recovery_does_not_stall_and_loses_nothing(data_dir: Path) -> None:
    """In PostgreSQL 18 a fast shutdown never ends if it is requested during recovery from a killed session."""
    server = new_server(data_dir)
    written = crash_in_recovery(server.acquire(), data_dir)
    began = time.monotonic()
    server.release()
    assert time.monotonic() - began < at_most(7)
    assert not runs(data_dir)
    with new_server(data_dir) as again:
        assert query(again.url, "SELECT count(*) FROM replayed") == written


@pytest.mark.slow(reason="it starts a PostgreSQL of its own, or several")
def test_a_server_left_in_a_stalled_stop_is_ended_and_started_again(data_dir: Path) -> None:
    said: list[str] = []
    server = new_server(data_dir)
    written = crash_in_recovery(server.acquire(), data_dir)
    while not stop_in_recovery(data_dir):
        written = crash_in_recovery(server.url, data_dir)
    stalled = postmaster(data_dir)
    with EmbeddedServer(data_dir, BIN_DIR, said.append) as again:
        assert query(again.url, "SELECT count(*) FROM replayed") == written
        assert postmaster(data_dir) != stalled
    assert f"PostgreSQL (process {stalled}) is still stopping; Slotwise will start it again" in said
    server.release()


@pytest.mark.slow(reason="it starts a PostgreSQL of its own, or several")
def test_a_server_that_does_not_hear_is_killed_and_loses_nothing(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slotwise.db.postmaster, "FAST_SECONDS", 0.1)
    monkeypatch.setattr(slotwise.db.postmaster, "IMMEDIATE_SECONDS", 0.1)
    server = new_server(data_dir)
    query(server.acquire(), "CREATE TABLE kept_after_kill AS SELECT 42 AS answer")
    os.kill(postmaster(data_dir), signal.SIGSTOP)
    server.release()
    with new_server(data_dir) as again:
        assert query(again.url, "SELECT answer FROM kept_after_kill") == 42


@pytest.mark.slow(reason="it starts a PostgreSQL of its own, or several")
def test_sessions_that_outlive_their_postmaster_do_not_keep_the_next_from_starting(data_dir: Path) -> None:
    """A session that is stopped cannot notice that its postmaster died."""

    async def stop_the_session() -> None:
        connection = await asyncpg.connect(server.acquire())
        os.kill(await connection.fetchval("SELECT pg_backend_pid()"), signal.SIGSTOP)
        connection.terminate()

    server = new_server(data_dir)
    asyncio.run(stop_the_session())
    kill_postmaster(data_dir)
    assert query(server.acquire(), "SELECT 1") == 1
    server.release()


def test_a_start_that_is_given_up_leaves_no_server_behind(data_dir: Path) -> None:
    given_up = threading.Event()
    given_up.set()
    with pytest.raises(StartGivenUp):
        new_server(data_dir).acquire(given_up)
    assert not runs(data_dir)


def test_a_stale_pid_that_now_belongs_to_another_process_does_not_stop_a_start(data_dir: Path) -> None:
    server = new_server(data_dir)
    server.acquire()
    pid_file = data_dir / "postgres" / "postmaster.pid"
    killed = kill_postmaster(data_dir)
    pid_file.write_text(pid_file.read_text().replace(str(killed), str(os.getpid()), 1))
    assert query(server.acquire(), "SELECT 1") == 1
    assert postmaster(data_dir) not in {killed, os.getpid()}
    server.release()


def test_the_database_is_utf8_durable_and_reached_only_through_a_private_socket(data_dir: Path) -> None:
    with new_server(data_dir) as server:
        settings = "lower('ÄÉ'), current_setting('server_encoding'), current_setting('fsync')"
        said = query(
            server.url, f"SELECT concat_ws(' ', {settings}, '<' || current_setting('listen_addresses') || '>')"
        )
        socket_dir = Path(str(query(server.url, "SELECT trim('\"' FROM current_setting('unix_socket_directories'))")))
    assert said == "äé UTF8 on <>"
    assert stat.S_IMODE(socket_dir.stat().st_mode) == 0o700


def test_dbmate_reaches_the_server_by_the_same_url(data_dir: Path) -> None:
    with new_server(data_dir) as server:
        dbmate = str(Path(sys.executable).with_name("dbmate"))
        done = subprocess.run(
            [dbmate, "--url", server.url, "--wait-timeout", "2s", "wait"], check=False, timeout=PATIENCE_SECONDS
        )
    assert done.returncode == 0


def test_a_long_path_with_spaces_and_a_comma_gets_its_socket_elsewhere(tmp_path: Path, data_dir: Path) -> None:
    deep = tmp_path / ("very long, indeed " * 7) / "data"
    shutil.copytree(data_dir / "postgres", deep / "postgres")
    (deep / "postgres").chmod(0o700)
    with new_server(deep) as server:
        assert query(server.url, "SELECT 1") == 1
        socket_dir = Path(server.url.partition("host=")[2])
        assert deep not in socket_dir.parents
        assert stat.S_IMODE(socket_dir.stat().st_mode) == 0o700
    assert not runs(deep)
    assert not socket_dir.exists()


def test_a_socket_directory_of_someone_else_is_refused(data_dir: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    (data_dir / "postgres.sock").rename(tmp_path / "aside")
    (data_dir / "postgres.sock").mkdir()
    os.chown(data_dir / "postgres.sock", 65534, 65534)
    with pytest.raises(EmbeddedServerError, match="belongs to user"):
        new_server(data_dir).acquire()
    (data_dir / "postgres.sock").rmdir()


def test_one_data_directory_serves_one_slotwise(tmp_path: Path) -> None:
    with claim_data_dir(tmp_path), pytest.raises(DataDirInUse, match=f"process {os.getpid()}") as refused:
        claim_data_dir(tmp_path)
    assert refused.value.pid == os.getpid()
    claim_data_dir(tmp_path).close()


def test_a_cluster_of_another_major_version_says_which_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("12\n")
    with pytest.raises(
        EmbeddedServerError, match=r"made by PostgreSQL 12.*version 1\d.*SLOTWISE_POSTGRES_BIN.*pg_dump"
    ):
        new_server(tmp_path).acquire()


def test_a_server_that_cannot_start_shows_the_end_of_its_log(data_dir: Path) -> None:
    configuration = data_dir / "postgres" / "postgresql.conf"
    sound = configuration.read_text()
    configuration.write_text(sound + "\nno_such_setting = 1\n")
    try:
        with pytest.raises(EmbeddedServerError, match="no_such_setting"):
            new_server(data_dir).acquire()
    finally:
        configuration.write_text(sound)


def test_missing_programs_are_named(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServerError, match="lacks the PostgreSQL server programs initdb, postgres"):
        EmbeddedServer(tmp_path / "data", tmp_path).acquire()


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedServerError, match=r"file/data: Not a directory"):
        new_server(tmp_path / "file" / "data").acquire()


@pytest.mark.slow(reason="it starts a PostgreSQL of its own, or several")
def test_an_initialisation_cut_short_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "postgres.new").mkdir()
    (tmp_path / "postgres.new" / "PG_VERSION").write_text("half-made")
    with new_server(tmp_path) as server:
        assert query(server.url, "SELECT current_database()") == "slotwise"
    assert not (tmp_path / "postgres.new").exists()


@as_root
def test_the_way_to_the_data_is_opened_for_search_alone(tmp_path: Path, data_dir: Path) -> None:
    barred = tmp_path / "barred"
    barred.mkdir(mode=0o700)
    shutil.copytree(data_dir / "postgres", barred / "data" / "postgres")
    (barred / "data").chmod(0o750)
    with new_server(barred / "data"):
        pass
    assert stat.S_IMODE(barred.stat().st_mode) == 0o701
    assert stat.S_IMODE((barred / "data").stat().st_mode) == 0o751


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        (
            'could not resize shared memory segment "/PostgreSQL.7" to 1048576 bytes: No space left on device',
            "/dev/shm",
        ),
        ("could not create shared memory segment: No space left on device", "ipcrm"),
        ("could not create semaphores: No space left on device", "ipcrm"),
        ('could not write to file "pg_wal/xlogtemp.7": No space left on device', "The disk is full"),
        ("database system is ready to accept connections", ""),
    ],
)
def test_missing_shared_memory_is_distinguished_from_a_full_disk(said: str, advice: str) -> None:
    assert advice in advice_on(said)
    assert bool(advice_on(said)) == bool(advice)


SMALL_SHARED_MEMORY = 'mount -t tmpfs -o size=64k tmpfs /dev/shm && exec "$@"'


@as_root
def test_a_container_without_shared_memory_gets_advice(tmp_path: Path) -> None:
    """Docker gives 64 MiB by default; other container systems give almost nothing."""
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine lets nothing be mounted apart")
    user = [sys.executable, "-c", USER_OF_THE_SERVER, str(tmp_path / "data"), str(BIN_DIR or "")]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", SMALL_SHARED_MEMORY, "sh", *user],
        check=False, capture_output=True, text=True, timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    assert "/dev/shm is too small: it has" in done.stderr
    assert "docker run --shm-size=64m" in done.stderr


MAKE_THE_USER = """
import sys
import slotwise.db.cluster as cluster
cluster.SERVER_USER = "slotwise_raced"
sys.stdin.readline()
print(cluster.server_user().uid)
"""


@as_root
def test_processes_that_start_at_once_on_a_new_machine_make_one_user() -> None:
    """Without a lock, a second useradd replaces the first one's user by one with another uid, and initdb fails."""
    command = [sys.executable, "-c", MAKE_THE_USER]
    makers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    try:
        for maker in makers:
            assert maker.stdin
            maker.stdin.write("\n")
            maker.stdin.flush()
        assert len({maker.communicate(timeout=PATIENCE_SECONDS)[0] for maker in makers}) == 1
    finally:
        subprocess.run(["userdel", "slotwise_raced"], check=False, capture_output=True)
