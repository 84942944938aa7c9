"""The check of commit messages in `make check`: what it refuses, since when, and where it has nothing to check."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.architecture.test_docs import ROOT

SCRIPT = ROOT / "scripts" / "commits.py"
WHY = "Two clicks of one visitor made two holds, so one seat too few was shown."
IDENTITY = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "Ada"), ("EMAIL", "ada@example.org"))
}

Committing = Callable[..., None]


@pytest.fixture(scope="module")
def commits() -> ModuleType:
    spec = importlib.util.spec_from_file_location("commits", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("subject", "body", "lines", "fault"),
    [
        ("web: Keep one hold for two clicks", WHY, 40, None),
        ("web, services/booking: Keep one hold for two clicks", WHY, 40, None),
        ("web: Correct a word", "", 2, None),
        ("web: Need a name before confirming", WHY, 40, None),
        (f"web: Keep {'x' * 63}", WHY, 40, "73 characters"),
        ("Keep one hold for two clicks", WHY, 40, "form"),
        ("Web: Keep one hold for two clicks", WHY, 40, "form"),
        ("web: keep one hold for two clicks", WHY, 40, "form"),
        ("web: Whoever clicks twice keeps one hold", WHY, 40, "not a verb"),
        ("web: Kept one hold", WHY, 40, None),  # no list knows every irregular verb
        ("web: Fixed two clicks", WHY, 40, "not a verb"),
        ("web: Adding one hold", WHY, 40, "not a verb"),
        ("web: Keep one hold for two clicks.", WHY, 40, "full stop"),
        ("web: Keep one hold for two clicks", "", 21, "no body"),
        ("web: Keep one hold for two clicks", "Signed-off-by: Ada <ada@example.org>", 21, "no body"),
    ],
)
def test_a_message_is_accepted_or_its_fault_is_named(
    commits: ModuleType, subject: str, body: str, lines: int, fault: str | None
) -> None:
    found = list(commits.faults(commits.Commit("1234567", subject, body, lines)))
    assert len(found) == (fault is not None)
    assert fault is None or fault in found[0]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    if shutil.which("git") is None:
        pytest.skip("it needs git")
    folder = tmp_path / "repository"
    git("init", "--quiet", str(folder))
    commit(folder, "Whoever looks on is not led round in a circle", {"old.txt": "line\n" * 40})
    return folder


def git(*arguments: str) -> None:
    settings = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | IDENTITY
    subprocess.run(["git", *arguments], check=True, env=settings)


def commit(folder: Path, message: str, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    git("-C", str(folder), "add", "--all")
    git("-C", str(folder), "-c", "commit.gpgsign=false", "commit", "--quiet", "--no-verify", "-m", message)


def introduce(folder: Path) -> None:
    """From here on messages are checked."""
    commit(folder, "What the check came with", {"scripts/commits.py": SCRIPT.read_text()})


def check(folder: Path, *arguments: str) -> tuple[int, str]:
    script = folder / "scripts" / "commits.py"
    done = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_commits_before_the_check_are_left_alone_and_later_ones_are_not(repository: Path) -> None:
    introduce(repository)
    assert check(repository) == (0, "Commit messages: 0 checked, 0 faults\n")
    commit(repository, f"web: Keep one hold\n\n{WHY}", {"new.txt": "line\n" * 40})
    assert check(repository) == (0, "Commit messages: 1 checked, 0 faults\n")
    commit(repository, "One hold for two clicks", {"new.txt": "line\n"})
    status, told = check(repository)
    assert status == 1
    assert "One hold for two clicks\n    the subject has not the form" in told
    assert "no body says why, and the change has 39 lines" in told
    assert told.endswith("Commit messages: 2 checked, 2 faults\n")


def test_a_range_is_checked_as_it_is_given(repository: Path) -> None:
    introduce(repository)
    assert check(repository, "HEAD~1..")[0] == 1
    assert check(repository, "HEAD..") == (0, "Commit messages: 0 checked, 0 faults\n")


def test_a_shallow_clone_has_its_newest_commits_checked(repository: Path, tmp_path: Path) -> None:
    introduce(repository)
    for name in ("first", "second", "third"):
        commit(repository, f"web: Keep the {name} hold", {f"{name}.txt": "line\n"})
    shallow = tmp_path / "shallow"
    git("clone", "--quiet", "--depth", "3", f"file://{repository}", str(shallow))
    assert check(shallow) == (0, "Commit messages: 2 checked, 0 faults\n")


@pytest.mark.parametrize("inside_another", [False, True])
def test_a_folder_without_git_is_skipped_with_a_sentence(
    repository: Path, tmp_path: Path, *, inside_another: bool
) -> None:
    folder = (repository if inside_another else tmp_path) / "copy"
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(SCRIPT, folder / "scripts")
    assert check(folder) == (0, "Commit messages are not checked: there is no git history here.\n")


def test_before_it_is_committed_it_checks_nothing(repository: Path) -> None:
    (repository / "scripts").mkdir()
    shutil.copy(SCRIPT, repository / "scripts")
    assert check(repository) == (0, "Commit messages are not checked: the check itself is not committed yet.\n")


def test_make_check_runs_it() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\ncheck: ")[2].partition("\n\n")[0]
    assert "scripts/commits.py" in recipe
