"""A real pgbouncer in front of the test's PostgreSQL, with its default configuration except what a test sets."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from harness.watchdog import temporary_folder, watch

from tests.clinic import PATIENCE_SECONDS

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def pgbouncer(url: str, **settings: object) -> Iterator[str]:
    """The URL of `url`'s database behind pgbouncer. It runs as the user that may open the server's socket."""
    assert PGBOUNCER is not None
    parts = urlsplit(url)
    sockets = Path(parse_qs(parts.query)["host"][0])
    port = _free_port()
    lines = {"listen_addr": "127.0.0.1", "listen_port": port, "unix_socket_dir": "", "auth_type": "any", **settings}
    owner = sockets.stat()
    as_owner = {} if os.getuid() else {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    with temporary_folder("pgbouncer-") as folder:
        config = folder / "pgbouncer.ini"
        config.write_text(
            f"[databases]\n* = host={sockets} user={parts.username}\n[pgbouncer]\n"
            + "".join(f"{name} = {value}\n" for name, value in lines.items())
        )
        folder.chmod(0o755)
        process = subprocess.Popen(
            [PGBOUNCER, str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_owner
        )  # type: ignore[call-overload]
        watch(process.pid)
        try:
            _await_port(port, process)
            yield f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}"
        finally:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _await_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"pgbouncer did not start: {process.poll()}")
