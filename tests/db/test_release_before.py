"""A server of the release before, here the commit before, serves beside this one on the schema of this one."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from slotwise.db.schema import sources
from tests.architecture.sources import ROOT
from tests.clinic import Clinic, RunningServer, holder, rows, slotwise
from tests.conftest import fresh_database, running_server

PROJECT = ROOT.parent.parent
FUNCTIONS = "src/slotwise/sql/functions"
# Loaded by every interpreter with the folder in its PYTHONPATH: the release that this commit is going to be.
LATER_RELEASE = 'import slotwise\n\nslotwise.__version__ = "1000.0"\n'
# Manage tokens are made from it, and both servers give the same.
SECRET = "0123456789abcdefghijklmnopqrstuvwxyz"

pytestmark = pytest.mark.slow(reason="starts two servers, one of them from the sources of another commit")


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=PROJECT, capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def sources_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as the commit before had it."""
    try:
        git("cat-file", "-e", f"HEAD^:{FUNCTIONS}")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there is no commit before that has one current source of its functions")
    folder = tmp_path_factory.mktemp("before")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=git("archive", "HEAD^", "src"), check=True)
    return folder / "src"


@pytest.fixture(scope="module")
def pair(
    postgres_url: str, sources_before: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[RunningServer]]:
    """The server of the commit before, which made the schema, and this one, which changed it since."""
    later = Path(shutil.copytree(ROOT.parent, tmp_path_factory.mktemp("later") / "src"))
    (later / "sitecustomize.py").write_text(LATER_RELEASE)
    # Each view, function and trigger is made anew beside the server that uses it.
    for source in sources():
        if not source.is_migration:
            (later / "slotwise" / "sql" / source.name).write_text(f"{source.text}\n-- Later.\n")
    with (
        fresh_database(postgres_url, "template1") as url,
        running_server(url, {"PYTHONPATH": str(sources_before), "JWT_SECRET": SECRET}) as before,
        running_server(url, {"PYTHONPATH": str(later), "JWT_SECRET": SECRET}) as now,
    ):
        yield [before, now]


@pytest.mark.parametrize("place", [0, 1], ids=["before", "now"])
def test_each_of_both_holds_confirms_and_cancels(pair: list[RunningServer], place: int) -> None:
    with Clinic(pair[place]) as clinic, Clinic(pair[1 - place]) as other:
        assert clinic.http.get("/health/ready").json()["status"] == "ready"
        slot_id = clinic.slot(3)["id"]
        hold = clinic.hold(slot_id)
        theirs = other.hold(slot_id)
        path = f"/api/bookings/{hold['id']}"
        assert other.http.post(f"{path}/confirm", headers=holder(hold)).json()["status"] == "CONFIRMED"
        assert clinic.http.delete(path, headers=holder(hold)).json()["status"] == "CANCELLED"
        assert clinic.http.get(f"/api/bookings/{theirs['id']}", headers=holder(theirs)).json()["status"] == "PENDING"
        assert clinic.free_seats(slot_id) == other.free_seats(slot_id) == 2


def test_a_retry_at_the_other_gets_the_same_answer(pair: list[RunningServer]) -> None:
    with Clinic(pair[0]) as before, Clinic(pair[1]) as now:
        slot_id = before.slot(3)["id"]
        for first, second in ((before, now), (now, before)):
            key = {"Idempotency-Key": str(uuid4())}
            assert first.book(slot_id, key).json() == second.book(slot_id, key).json()
        assert before.free_seats(slot_id) == 1


def test_all_that_both_did_keeps_the_invariants(pair: list[RunningServer]) -> None:
    url = pair[0].database_url
    assert rows(url, "SELECT 1 FROM schema_history WHERE release = '1000.0'")
    done = slotwise(url, "check-invariants")
    assert done.returncode == 0, done.stdout + done.stderr
