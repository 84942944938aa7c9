"""A folder of lists with patients' names. A file is complete or not there, and only its owner can read it."""

import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import NamedTuple

ENDINGS = ("html", "csv")
_NAME = re.compile(r"clinic-([0-9]+)-([0-9]{4}-[0-9]{2}-[0-9]{2})\.(html|csv)", re.ASCII)
_UNFINISHED = re.compile(r"\.clinic-[0-9]+-.*\.unfinished", re.ASCII)
# A file that nobody has finished for so long was left by a process that was killed.
UNFINISHED_SECONDS = 3600


class ListOfClinic(NamedTuple):
    """What a file is about. Its names tell that, so that nothing else has to remember which lists are written."""

    clinic_id: int
    day: date

    def name(self, ending: str) -> str:
        return f"clinic-{self.clinic_id}-{self.day}.{ending}"


class UnfinishedFile(NamedTuple):
    path: Path
    final: Path


class ListFolder:
    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def path(self) -> Path:
        return self._path

    def problem(self) -> str | None:
        """Why no file can be written here; None if one can."""
        try:
            with tempfile.TemporaryFile(dir=self._path):
                return None
        except OSError as error:
            return error.strerror

    def has(self, written: ListOfClinic) -> bool:
        return all((self._path / written.name(ending)).exists() for ending in ENDINGS)

    def prepare(self, written: ListOfClinic, contents: Mapping[str, str]) -> list[UnfinishedFile]:
        """Write the contents, by ending, to the disk. The files get their names with `finish`. Raises `OSError`."""
        files: list[UnfinishedFile] = []
        try:
            for ending in ENDINGS:
                files.append(self._prepare(written.name(ending), contents[ending]))
        except OSError:
            self.discard(files)
            raise
        return files

    def _prepare(self, name: str, content: str) -> UnfinishedFile:
        # Only its owner can read what mkstemp makes.
        descriptor, unfinished = tempfile.mkstemp(prefix=f".{name}-", suffix=".unfinished", dir=self._path)
        file = UnfinishedFile(Path(unfinished), self._path / name)
        try:
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(content.encode())
                opened.flush()
                os.fsync(descriptor)
        except OSError:
            self.discard([file])
            raise
        return file

    def finish(self, files: list[UnfinishedFile]) -> None:
        """Give the files their names, in place of older ones. Raises `OSError`."""
        for file in files:
            file.path.replace(file.final)
        folder = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def discard(self, files: list[UnfinishedFile]) -> None:
        for file in files:
            with suppress(OSError):  # otherwise it is deleted later, with the old lists
                file.path.unlink()

    def delete_before(self, first_day: date) -> int:
        """Delete the lists of earlier days, and what killed processes have left. Other files stay.

        One that cannot be deleted keeps no other: raises the first `OSError` at the end.
        """
        old = sorted([*self._lists_before(first_day), *self._left_over()])
        errors: list[OSError] = []
        for path in old:
            try:
                path.unlink(missing_ok=True)  # another process may be quicker
            except OSError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return len(old)

    def _lists_before(self, first_day: date) -> Iterator[Path]:
        for path in self._path.iterdir():
            named = _NAME.fullmatch(path.name)
            if named and named[2] < first_day.isoformat():
                yield path

    def _left_over(self) -> Iterator[Path]:
        for path in self._path.iterdir():
            with suppress(FileNotFoundError):
                if _UNFINISHED.fullmatch(path.name) and time.time() - path.stat().st_mtime > UNFINISHED_SECONDS:
                    yield path
