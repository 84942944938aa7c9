"""Checks the messages of commits: a short subject that says what changes, and a body that says why.

    python scripts/commits.py            every commit after the one that introduced this file
    python scripts/commits.py main..     the commits of a range, as `git log` takes it

Without git or without a repository there is nothing to check, which is said and is no failure. A shallow clone has only
its newest commits, and those are checked.
"""
# ruff: noqa: T201, S603 - it prints, and runs a fixed program

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LONGEST_SUBJECT = 72
# A change of so few lines, added and removed (so ten lines that differ), may be explained by its subject alone.
TRIVIAL_LINES = 20

_SUBJECT = re.compile(r"[a-z][a-z0-9_/-]*(?:, [a-z][a-z0-9_/-]*)*: (?P<verb>[A-Z][a-z]+)(?: .+)?")
_NO_VERBS = {
    "A", "All", "An", "Any", "Each", "Every", "Everybody", "How", "It", "Its", "No", "Nobody", "Nothing", "Now", "One",
    "Only", "Some", "That", "The", "There", "These", "This", "Those", "What", "When", "Where", "Whether", "Who",
    "Whoever",
}  # fmt: skip
_PAST_OR_GERUND = re.compile(r"\w{2,}(?:ed|ing)")
_VERBS_LIKE_THAT = {"Bring", "Embed", "Exceed", "Feed", "Need", "Ping", "Proceed", "Seed", "Shed", "Speed", "Succeed"}
_TRAILER = re.compile(r"[A-Z][A-Za-z-]+: .+")
_FIELD, _END = "\x1f", "\x1e"


class Commit(NamedTuple):
    """`lines` are those that it added and removed."""

    id: str
    subject: str
    body: str
    lines: int


def faults(commit: Commit) -> Iterator[str]:
    if len(commit.subject) > LONGEST_SUBJECT:
        yield f"the subject has {len(commit.subject)} characters, at most {LONGEST_SUBJECT} are wanted"
    found = _SUBJECT.fullmatch(commit.subject)
    if found is None:
        yield "the subject has not the form `area: Verb ...`"
    elif not _is_verb(found["verb"]):
        yield f"{found['verb']!r} is not a verb in the present tense, such as Add, Keep or Show"
    elif commit.subject.endswith("."):
        yield "the subject ends with a full stop"
    if commit.lines > TRIVIAL_LINES and not _explains(commit.body):
        yield f"no body says why, and the change has {commit.lines} lines"


def _is_verb(word: str) -> bool:
    return word not in _NO_VERBS and (word in _VERBS_LIKE_THAT or not _PAST_OR_GERUND.fullmatch(word))


def _explains(body: str) -> bool:
    return any(line.strip() and not _TRAILER.fullmatch(line.strip()) for line in body.splitlines())


def read_commits(root: Path, commits: str) -> list[Commit]:
    shown = _git(
        root, "log", "--no-merges", "--numstat", f"--format={_END}%h{_FIELD}%s{_FIELD}%b{_FIELD}", commits, "--"
    )
    return [_commit_of(entry) for entry in shown.split(_END)[1:]]


def _commit_of(entry: str) -> Commit:
    name, subject, body, numbers = entry.split(_FIELD)
    counts = re.findall(r"^(\d+)\t(\d+)\t", numbers, re.MULTILINE)
    return Commit(name, subject, body, sum(int(added) + int(removed) for added, removed in counts))


def introduced(root: Path) -> str | None:
    """The commit that added this file; in a shallow clone, where it is older, the oldest commit there is."""
    found = _git(root, "log", "--diff-filter=A", "--format=%H", "--", f"scripts/{Path(__file__).name}").split()
    return found[-1] if found else None


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=True).stdout


def has_history(root: Path) -> bool:
    """Whether this folder is the top of a repository: a copy inside another one has none of its own."""
    try:
        return Path(_git(root, "rev-parse", "--show-toplevel").strip()).resolve() == root.resolve()
    except (OSError, subprocess.CalledProcessError):
        return False


def main(arguments: list[str], root: Path = ROOT) -> int:
    if not has_history(root):
        print("Commit messages are not checked: there is no git history here.")
        return 0
    base = introduced(root)
    if not arguments and base is None:
        print("Commit messages are not checked: the check itself is not committed yet.")
        return 0
    commits = read_commits(root, arguments[0] if arguments else f"{base}..HEAD")
    found = [f"{commit.id} {commit.subject}\n    {fault}" for commit in commits for fault in faults(commit)]
    print("\n".join([*found, f"Commit messages: {len(commits)} checked, {len(found)} faults"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
