"""The docs cannot go stale: what they name exists, what exists is named, and their shell blocks run as printed."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import prometheus_client
import pytest
import typer

from slotwise.app import build
from slotwise.cli.main import app
from slotwise.domain.errors import SlotwiseError
from slotwise.domain.reasons import Cause, reason_of
from slotwise.domain.users import Role
from slotwise.http.api_document import openapi_document
from slotwise.http.kit.problems import status_of
from slotwise.observability import metrics
from slotwise.settings import Settings, load_settings
from tests.clinic import PATIENCE_SECONDS, RunningServer, eventually
from tests.conftest import fresh_database, running_server

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "slotwise"
README = ROOT / "README.md"
API_GUIDE = ROOT / "docs" / "api.md"
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
# Their shell blocks run in the tests below.
RUN_PAGES = (README, API_GUIDE)
LONGEST_README = 200
# `slotwise serve` sets it for the processes it starts, whatever an operator says.
NOT_FOR_OPERATORS = {"PROMETHEUS_MULTIPROC_DIR"}
DEFAULTS_OF_THE_MACHINE = {"WORKERS": "the number of cores", "CLINIC_TIME_ZONE": "the machine's"}
# The last are values in the API.
OTHER_NAMES = {"POSTGRESQL_URI", "HTTPS_PROXY", "SLOTWISE_CI_POSTGRES", *Cause}
EDGE_ERRORS = {
    ("404", "not-found"),
    ("405", "method-not-allowed"),
    ("413", "body-too-large"),
    ("500", "internal-error"),
}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def code_of(page: Path) -> list[str]:
    """Every piece of code on a page: lines of its fenced blocks but SQL, and what stands between backticks."""
    # SQL goes first: with it left out of the search, the end of its block would be taken for the start of one.
    text = re.sub(r"^```sql\n.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks(text, r"\w*") for line in block.splitlines()]
    prose = re.sub(r"^```\w*\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [*lines, *re.findall(r"`([^`\n]+)`", prose)]


def table(page: Path, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    _, _, rest = f"\n{page.read_text(encoding='utf-8')}".partition(f"\n{heading}\n")
    assert rest, f"{page.name} has no heading {heading}"
    rows = re.search(r"(?:^\|.*\n)+", rest, re.MULTILINE)
    assert rows, f"{page.name} has no table under {heading}"
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[0].splitlines()[2:]]


# Commands


class Use(NamedTuple):
    words: list[str]
    options: list[str]


def uses_of_slotwise(code: str) -> Iterator[Use]:
    for said in re.finditer(r"(?<![\w/.:@-])(?:\.venv/bin/)?slotwise(?![\w/.:@-])((?: [^\s;|)]+)*)", code):
        words = said[1].split()
        names = [word for word in words if re.fullmatch(r"[a-z][a-z-]*", word)]
        yield Use(names, [word for word in words if word.startswith("--")])


@each_page
def test_every_slotwise_command_and_option_that_a_page_names_exists(page: Path) -> None:
    for code in code_of(page):
        for use in uses_of_slotwise(code):
            command: Any = typer.main.get_command(app)
            for word in use.words:
                if not hasattr(command, "commands"):
                    break
                assert word in command.commands, f"{code}: no such command"
                command = command.commands[word]
            known = {"--help", *(option for parameter in command.params for option in parameter.opts)}
            assert known.issuperset(use.options), f"{code}: no such option"


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join(("slotwise", *path, name))


def test_the_reference_lists_every_slotwise_command() -> None:
    listed = {row[0].strip("`") for row in table(REFERENCE / "commands.md", "## slotwise")}
    assert listed == set(commands(typer.main.get_command(app)))


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_reference_lists_every_make_target() -> None:
    listed = {row[0].strip("`") for row in table(REFERENCE / "commands.md", "## make")}
    assert listed == {f"make {target}" for target in make_targets()}


@each_page
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    named = {target for code in code_of(page) for target in re.findall(r"(?<![\w-])make ([a-z][a-z-]*)", code)}
    assert named <= make_targets()


# Settings


def defaults() -> dict[str, str]:
    """What each variable is by itself; empty where that is nothing, or depends on the machine."""
    plain = {}
    for field in msgspec.structs.fields(Settings):
        if field.encode_name in NOT_FOR_OPERATORS:
            continue
        nothing = field.default is msgspec.NODEFAULT or field.default is None
        plain[field.encode_name] = "" if nothing else str(field.default)
    return plain


def in_words(name: str, default: str) -> str:
    """A default as the table of the reference has it. Two depend on APP_ENV."""
    production = Settings(app_env="production")
    derived = {
        "RATE_LIMIT_BOOKINGS": (Settings().booking_rate or "off", production.booking_rate or "off"),
        "SEED_DEMO": ("on" if Settings().seeds_demo else "off", "on" if production.seeds_demo else "off"),
    }
    if name in derived:
        development, other = derived[name]
        return f"`{development}`; in production `{other}`"
    if name in DEFAULTS_OF_THE_MACHINE:
        return DEFAULTS_OF_THE_MACHINE[name]
    return f"`{default}`" if default else "unset"


def test_the_reference_lists_every_setting_with_its_default() -> None:
    listed = {row[0].strip("`"): row[1].partition(": ")[0] for row in table(REFERENCE / "settings.md", "# Settings")}
    assert listed == {name: in_words(name, default) for name, default in defaults().items()}


def test_the_example_file_lists_every_setting_with_its_default() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert dict(re.findall(r"^# ([A-Z_]+)=(.*)$", text, re.MULTILINE)) == defaults()
    assert all(line.startswith("#") for line in text.splitlines() if line), "the example file sets something"


def test_the_example_file_with_every_line_uncommented_changes_nothing(tmp_path: Path) -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    uncommented = tmp_path / ".env"
    uncommented.write_text(re.sub(r"^# (?=[A-Z_]+=)", "", text, flags=re.MULTILINE), encoding="utf-8")
    assert load_settings({}, uncommented) == load_settings({}, tmp_path / "none")


@each_page
def test_every_environment_variable_that_a_page_names_is_a_setting(page: Path) -> None:
    named = {match[0] for code in code_of(page) if (match := re.match(r"[A-Z]+_[A-Z_]+\b", code))}
    assert named <= {*defaults(), *OTHER_NAMES}


# The API


def test_the_guide_lists_the_causes_of_explanations_with_their_codes() -> None:
    """In the order in which they count."""
    rows = table(API_GUIDE, "## Why a time is not offered")
    listed = [(row[0].strip("`"), row[2].partition(";")[0].strip("`")) for row in rows]
    assert listed == [(cause.value, reason_of(cause).code or "null") for cause in Cause]


def test_the_reference_lists_every_route_of_the_openapi_document_and_no_other() -> None:
    """Who may call it too: no security of an operation, or `{}` in it, says that anyone may."""
    documented = {}
    for path, item in openapi_document(build(Settings()))["paths"].items():
        for method, operation in item.items():
            ways = operation["security"]
            who = "anyone" if not ways or {} in ways else "holder" if {"bookingToken": []} in ways else "account"
            documented[f"{method.upper()} {nameless(path)}"] = who
    listed = {}
    for route, who, _ in table(REFERENCE / "routes.md", "# Routes"):
        kind = "anyone" if who.startswith("anyone") else "holder" if "manage token" in who else "account"
        listed[nameless(route.strip("`"))] = kind
    assert listed == documented


def nameless(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def test_the_reference_lists_every_error_code_with_its_status() -> None:
    rows = table(REFERENCE / "errors.md", "# Errors")
    listed = {(status, code) for status, codes, _ in rows for code in re.findall(r"`(.+?)`", codes)}
    assert listed == {(str(status_of(kind)), kind.code) for kind in kinds(SlotwiseError)} | EDGE_ERRORS


def kinds(base: type[SlotwiseError]) -> Iterator[type[SlotwiseError]]:
    for kind in base.__subclasses__():
        if "code" in vars(kind):
            yield kind
        yield from kinds(kind)


def test_the_reference_lists_every_role() -> None:
    listed = {row[0].strip("`") for row in table(REFERENCE / "roles.md", "# Roles")}
    assert listed == {"no account", *Role}


def test_the_guide_for_operators_lists_every_metric_with_its_labels() -> None:
    exported = {}
    for metric in vars(metrics).values():
        if isinstance(metric, prometheus_client.metrics.MetricWrapperBase):
            suffix = "_total" if isinstance(metric, prometheus_client.Counter) else ""
            exported[f"{next(iter(metric.describe())).name}{suffix}"] = list(metric._labelnames)
    rows = table(ROOT / "docs" / "operating.md", "## Metrics")
    assert {row[0].strip("`"): re.findall(r"`(\w+)`", row[1]) for row in rows} == exported


# Links and paths


@each_page
def test_every_link_within_the_repository_resolves(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = page if not path else (page.parent / path).resolve()
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@each_page
def test_every_path_of_the_repository_that_a_page_names_exists(page: Path) -> None:
    for code in code_of(page):
        if re.fullmatch(r"(?:src|tests|docs|scripts|\.ci)/[\w./-]*", code):
            assert (ROOT / code).exists(), code


def missing_sources(code: Iterable[str]) -> list[str]:
    """Files named by their path inside the package, such as `db/pool.py`, that are not there."""
    layers = "|".join(sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()))
    named = re.compile(rf"(?:{layers})/[\w./-]+\.\w+")
    return [path for path in code if named.fullmatch(path) and not (PACKAGE / path).exists()]


@each_page
def test_every_file_of_the_package_that_a_page_names_exists(page: Path) -> None:
    assert not missing_sources(code_of(page))


def test_a_file_that_is_not_in_the_package_is_noticed() -> None:
    assert missing_sources(["db/pool.py", "db/lake.py", "docs/lake.md"]) == ["db/lake.py"]


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= LONGEST_README


# The shell blocks of the README and of the guide to the API


# Every run begins with these; tests add some of the others.
FIRST_BLOCKS = ("prepare", "ask", "log-in")

Told = Mapping[str, list[str]]
RunBlocks = Callable[..., Told]


@pytest.fixture(scope="module")
def started_first(postgres_url: str, migrated_template: str) -> Iterator[tuple[RunningServer, str]]:
    """A server at its first start, and the password of the admin that it made."""
    settings = {"ADMIN_EMAIL": "", "ADMIN_PASSWORD": "", "SEED_DEMO": "on"}
    with fresh_database(postgres_url, migrated_template) as url, running_server(url, settings) as server:
        yield server, password_printed_by(server)


def password_printed_by(server: RunningServer) -> str:
    line = re.compile(r"^Admin +admin@slotwise\.example +password +(\S+)$", re.MULTILINE)
    # The greeting follows the first answer of a worker, on a busy machine by some time.
    eventually(lambda: line.search(server.log.read_text()) is not None)
    printed = line.search(server.log.read_text())
    assert printed, "the first start printed no admin"
    return printed[1]


@pytest.fixture
def run_blocks(started_first: tuple[RunningServer, str], tmp_path: Path) -> RunBlocks:
    """Runs blocks of the README and of the guide to the API in one bash, as a newcomer pastes them.

    Only the URL differs from what is printed. Gives the lines that each block printed.
    """
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("the examples need bash and curl")
    server, password = started_first

    def run(*names: str) -> Told:
        script = "\n".join(f"echo '=== {name}'\n{marked_block(name)}" for name in (*FIRST_BLOCKS, *names))
        assert script.count("BASE=http://localhost:3000\n") == 1
        done = subprocess.run(
            ["bash", "-c", script.replace("BASE=http://localhost:3000\n", f"BASE={server.url}\n")],
            input=f"{password}\n", capture_output=True, text=True, cwd=tmp_path, timeout=PATIENCE_SECONDS, check=False,
        )  # fmt: skip
        assert done.stderr == ""
        _, *parts = re.split(r"=== (.+)\n", done.stdout.replace("Admin password: ", ""))
        return {name: told.splitlines() for name, told in zip(parts[::2], parts[1::2], strict=True)}

    return run


def marked_block(name: str) -> str:
    text = "\n".join(page.read_text(encoding="utf-8") for page in RUN_PAGES)
    found = re.findall(rf"^<!-- run: {name} -->\n```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"{len(found)} blocks are marked {name}"
    return str(found[0])


def marks(page: Path) -> list[str]:
    return re.findall(r"^<!-- run: ([\w-]+) -->\n```bash$", page.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("page", RUN_PAGES, ids=lambda page: page.name)
def test_every_shell_block_is_marked_to_be_run(page: Path) -> None:
    assert len(blocks(page.read_text(encoding="utf-8"), "bash")) == len(marks(page))


def test_every_marked_block_is_run_by_a_test() -> None:
    calls = re.findall(r"= run_blocks\((.+)\)", Path(__file__).read_text(encoding="utf-8"))
    run = {*FIRST_BLOCKS, *(name for call in calls for name in re.findall(r'"([\w-]+)"', call))}
    assert run == {mark for page in RUN_PAGES for mark in marks(page)}


def test_a_newcomer_follows_the_readme_from_log_in_to_a_confirmed_and_a_cancelled_booking(
    run_blocks: RunBlocks,
) -> None:
    told = run_blocks("three-calls", "confirm", "cancel", "search")
    (account,) = told["log-in"]
    assert msgspec.json.decode(account)["role"] == "admin"
    (held,) = map(msgspec.json.decode, told["three-calls"])
    assert (held["status"], held["seatsBooked"], held["slot"]["doctorName"]) == ("PENDING", 2, "Dr. Grace Hopper")
    assert held["manageToken"]
    confirmed, free = told["confirm"]
    assert msgspec.json.decode(confirmed)["status"] == "CONFIRMED"
    assert free == "1"
    cancelled, free = told["cancel"]
    assert msgspec.json.decode(cancelled)["status"] == "CANCELLED"
    assert free == "3"
    (found,) = msgspec.json.decode(told["search"][0])["items"]
    assert found["specialization"] == "Cardiology"


def test_ten_people_book_five_seats_as_the_readme_says(run_blocks: RunBlocks) -> None:
    expected = next(block for block in blocks(README.read_text(encoding="utf-8"), "text") if "availableSeats" in block)
    told = run_blocks("concurrency")["concurrency"]
    assert [line.split() for line in told] == [line.split() for line in expected.splitlines()]
    assert [line.split() for line in told] == [["5", "201"], ["5", "409", '"availableSeats":0']]


def test_a_request_sent_twice_gives_one_booking_as_the_guide_says(run_blocks: RunBlocks) -> None:
    told = run_blocks("idempotency")["idempotency"]
    assert told == ["one booking, the same answer twice", "idempotency-key-reused"]
