"""The peers of `make bench-peers`: how they are installed, chosen and checked, and that they book as they should."""

import importlib.util
import json
import re
import shutil
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from bench.baseline import Baseline, new_baseline
from bench.cli import chosen
from bench.database import execute
from bench.installation import SETTINGS, Installation
from bench.lab import Lab
from bench.load import wrk
from bench.peers.kinds import EXPRESS, FASTAPI, KINDS, PACKAGES, SOURCES, STAMP, Kind, installed_kinds
from bench.peers.peer import Peer
from bench.plan import Plan
from bench.processes import ToolFailed
from bench.readings import CheckFailed
from bench.scenarios.peers import measure_peers
from bench.server import PROJECT, Server
from harness.watchdog import run

from tests.bench.sample import NO_INSTALLATION
from tests.bench.test_command import bench, needs_wrk
from tests.clinic import PATIENCE_SECONDS

SCRIPT = PROJECT / "scripts" / "peers.py"
LOCKS = {"fastapi_sqlalchemy": "uv.lock", "express_pg": "package-lock.json"}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """scripts/peers.py, which installs into a temporary folder and finds Node."""
    monkeypatch.syspath_prepend(SCRIPT.parent)
    spec = importlib.util.spec_from_file_location("peers_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PLACE == PACKAGES
    monkeypatch.setattr(module, "PLACE", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    return module


def pretend_installed(place: Path, *folders: str) -> None:
    for folder in folders:
        (place / folder).mkdir(parents=True)
        shutil.copy(SOURCES / folder / LOCKS[folder], place / folder / STAMP)


def test_what_the_script_installs_is_what_the_scenario_runs(script: ModuleType) -> None:
    assert script.STAMP == STAMP
    assert [(peer.name, peer.folder) for peer in script.PEERS] == [(kind.name, kind.folder) for kind in KINDS]


def test_without_node_express_is_left_out_and_the_script_says_so(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend_installed(tmp_path, "fastapi_sqlalchemy", "express_pg")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert script.main() == 0
    said = capsys.readouterr().err
    assert "Express + pg is left out: this needs node and npm" in said
    assert "FastAPI" not in said


def test_without_any_peer_the_script_fails_with_the_reasons(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(*_: object) -> None:
        raise script.BootstrapError("the package index cannot be reached")

    monkeypatch.setattr(script, "run", unreachable)
    assert script.main() == 1
    assert capsys.readouterr().err.count("is left out: the package index cannot be reached") == len(KINDS)
    assert not list(tmp_path.rglob(STAMP))


def test_a_peer_is_installed_once_and_again_after_its_versions_have_changed(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(script, "run", lambda command, *_: commands.append(command))
    assert (script.main(), script.main(), len(commands)) == (0, 0, len(KINDS))
    (tmp_path / "express_pg" / STAMP).write_text("{}")
    assert (script.main(), len(commands)) == (0, len(KINDS) + 1)
    assert commands[-1][1] == "ci"


def test_the_lock_files_pin_what_is_declared_and_name_no_other_registry() -> None:
    """Otherwise a peer could not be installed, and would be left out."""
    package, lock = (json.loads((SOURCES / "express_pg" / f"package{end}.json").read_text()) for end in ("", "-lock"))
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in package["dependencies"].values())
    assert lock["packages"][""]["dependencies"] == package["dependencies"]
    assert "resolved" not in (SOURCES / "express_pg" / "package-lock.json").read_text()
    declared = tomllib.loads((SOURCES / "fastapi_sqlalchemy" / "pyproject.toml").read_text())["project"]
    locked = tomllib.loads((SOURCES / "fastapi_sqlalchemy" / "uv.lock").read_text())["package"]
    [own] = [one for one in locked if one["name"] == declared["name"]]
    wanted = {re.sub(r"\[.*?\]", "", each) for each in declared["dependencies"]}
    assert wanted == {one["name"] + one["specifier"] for one in own["metadata"]["requires-dist"]}
    assert {one["source"]["registry"] for one in locked if one is not own} == {"https://pypi.org/simple"}


def test_peers_are_measured_only_if_they_are_named() -> None:
    assert [scenario.name for scenario in chosen(["peers"])] == ["peers"]
    named = {scenario.name for scenario in chosen(None)}
    assert "peers" not in named
    assert "hot-slot" in named
    recipe = (PROJECT / "Makefile").read_text().partition("\nbench-peers:")[2].partition("\n\n")[0]
    assert "--only peers " in recipe


def test_only_installed_peers_take_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("bench.peers.kinds.PACKAGES", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    assert installed_kinds() == ()
    pretend_installed(tmp_path, "fastapi_sqlalchemy", "express_pg")
    assert installed_kinds() == KINDS
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "node" else name)
    assert installed_kinds() == (FASTAPI,)


def test_without_an_installed_peer_the_scenario_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("bench.peers.kinds.PACKAGES", tmp_path)
    lab = Lab(Plan(workers=1), NO_INSTALLATION, lambda *_: None)
    with pytest.raises(ToolFailed, match="make bench-peers"):
        list(measure_peers(lab))


@pytest.mark.parametrize(
    ("acknowledged", "rows", "seats", "failure"),
    [
        (10, 10, 10, None),
        (10, 14, 14, None),  # four of them were not heard
        (10, 9, 9, "10 bookings were acknowledged and 9 rows"),
        (10, 15, 15, "up to 4 may have been booked unheard"),
        (10, 10, 9, "10 bookings took 9 seats"),
    ],
)
def test_a_peer_that_loses_or_invents_bookings_or_seats_is_refused(
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    acknowledged: int,
    rows: int,
    seats: int,
    failure: str | None,
) -> None:
    tables = new_baseline(database_url)

    def load(_url: str, load: wrk.Load, *_: int) -> wrk.Answers:
        slot = load.values["first"]
        execute(
            database_url,
            "INSERT INTO bench.booking (slot_id, user_name, user_email, seats_booked, status)"
            f" SELECT {slot}, 'Ada', 'ada@example.org', 1, 'PENDING' FROM generate_series(1, {rows})",
            f"UPDATE bench.slot SET available_seats = available_seats - {seats} WHERE id = {slot}",
        )
        return wrk.Answers(1_000_000, {201: acknowledged}, 0, 1000, 2000, 0, 0)

    monkeypatch.setattr(wrk, "run", load)
    peer = Peer(Server("http://nowhere", None), tables)  # type: ignore[arg-type]  # nothing is started
    if failure is None:
        assert peer.book(slots=1, connections=4, seconds=1).rate == acknowledged
    else:
        with pytest.raises(CheckFailed, match=failure):
            peer.book(slots=1, connections=4, seconds=1)


@pytest.fixture(scope="module")
def installed() -> None:
    """The real peers, with packages from PyPI and npm."""
    done = run([sys.executable, SCRIPT], PATIENCE_SECONDS, None, PROJECT)
    if done.returncode != 0:
        pytest.skip(f"NOT TESTED: the peers, which need PyPI or npm: {done.stderr[-500:]}")


@pytest.fixture
def tables(database_url: str) -> Baseline:
    return new_baseline(database_url)


@pytest.fixture
def peer(request: pytest.FixtureRequest, installed: None, tables: Baseline, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a peer with two processes."""
    kind: Kind = request.param
    if not kind.installed:
        pytest.skip(f"NOT TESTED: {kind.name}: its packages could not be installed")
    settings = SETTINGS | {"WORKERS": "2", "TMPDIR": str(tmp_path)}
    server = kind.serve(Installation(tables.url, tmp_path, settings), tables.url)
    with server as it, httpx.Client(base_url=it.url, timeout=PATIENCE_SECONDS) as client:
        yield client


def hold(peer: httpx.Client, **fields: object) -> httpx.Response:
    whole = {"slotId": 1, "userName": "Ada Lovelace", "userEmail": "ada@example.org"}
    return peer.post("/api/bookings", json=whole | fields)


@pytest.mark.slow  # three CPU seconds for a server of its own
@pytest.mark.parametrize("peer", [pytest.param(kind, id=kind.folder) for kind in (FASTAPI, EXPRESS)], indirect=True)
def test_a_peer_checks_the_body_and_never_books_more_seats_than_there_are(peer: httpx.Client, tables: Baseline) -> None:
    slots = range(1, 11)
    execute(tables.url, f"UPDATE bench.slot SET total_seats = 5, available_seats = 5 WHERE id <= {slots[-1]}")
    wrong = ({"slotId": "x"}, {"userName": ""}, {"userEmail": "nowhere"}, {"seatsBooked": 0})
    assert {hold(peer, **fields).status_code for fields in wrong} <= {400, 422}
    assert hold(peer, slotId=1_000_000).status_code == 404
    assert hold(peer, seatsBooked=6).status_code == 409
    for slot in slots:
        answers = at_once(12, partial(hold, peer, slotId=slot))
        assert Counter(answer.status_code for answer in answers) == {201: 5, 409: 7}
        booked = [answer.json() for answer in answers if answer.status_code == 201]
        assert len({booking["id"] for booking in booked}) == 5
        assert all((booking["slotId"], booking["status"]) == (slot, "PENDING") for booking in booked)
    tables.require_bookings(slots, acknowledged=5 * len(slots), unheard=0)


def at_once(count: int, request: Callable[[], httpx.Response]) -> list[httpx.Response]:
    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(request) for _ in range(count)]]


@needs_wrk
@pytest.mark.slow  # half a minute of CPU for three services under load
def test_peers_are_measured_from_start_to_table(installed: None, tmp_path: Path) -> None:
    files: list[str | Path] = ["--json", tmp_path / "peers.json", "--svg", tmp_path / "peers.svg"]
    done = bench("--quick", "--only", "peers", "--workers", "2", "--directory", tmp_path / "run", *files)
    assert done.returncode == 0, done.stdout + done.stderr
    [result] = json.loads((tmp_path / "peers.json").read_text())["results"]
    names = {finding["what"] for finding in result["findings"]}
    for kind in installed_kinds():
        assert {f"one slot, times {kind.name}", f"1,000 slots, times {kind.name}"} <= names
    assert all(finding["series"]["values"][0] > 0 for finding in result["findings"])
    assert list((tmp_path / "run").iterdir()) == []
