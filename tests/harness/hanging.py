"""Not collected by default: a test that starts everything that tests start, and is then killed."""

import os
import time
from pathlib import Path

from tests.clinic import RunningServer
from tests.postgres import own_postgres


def test_hangs_with_servers_and_databases_of_its_own(server: RunningServer, tmp_path: Path) -> None:
    with own_postgres() as postgres:
        assert postgres.pid
        Path(os.environ["READY"]).write_text(str(tmp_path))
        time.sleep(900)
