"""A journal of finished work: one line of JSON each, appended whole, so that a stopped run goes on where it was.

Every process appends to a part file of its own. A line that a crash cut short is left out when the parts are read, and
closed before the next line is written.
"""

from __future__ import annotations

import json
import os
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from recon.export.atomic import describe
from recon.lock import is_abandoned, locked

if TYPE_CHECKING:
    from pathlib import Path


class Journal:
    """Rows by key, in a folder of part files.

    Parameters
    ----------
    folder
        Made when the first row is appended.
    part
        Number of the part that this process writes.
    """

    def __init__(self, folder: Path, part: int = 0) -> None:
        self.folder = folder
        self.part = part

    def append(self, row: dict[str, Any]) -> None:
        """Write one row; it is on the disk when this returns.

        Raises
        ------
        ExportError
            If the disk or the folder does not let it be written.
        """
        path = self.folder / f"part-{self.part:04d}.jsonl"
        line = (json.dumps(row) + "\n").encode()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                if not _ends_a_line(path):
                    line = b"\n" + line
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise describe(path, error) from error

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the rows of all parts by their key; a later row replaces an earlier one, but never a success.

        Raises
        ------
        ExportError
            If a part cannot be read.
        """
        rows: dict[str, dict[str, Any]] = {}
        for path in sorted(self.folder.glob("part-*.jsonl")):
            try:
                text = path.read_bytes()
            except OSError as error:
                raise describe(path, error) from error
            for line in text.split(b"\n"):
                row = _parse(line)
                if row is None:
                    continue
                former = rows.get(row["key"])
                if former is None or former.get("status") != "done" or row.get("status") == "done":
                    rows[row["key"]] = row
        return rows

    def remove(self) -> None:
        """Delete the parts and their folder, if nothing else is in it."""
        for path in self.folder.glob("*"):
            if path.name.startswith(("part-", "progress-")):
                path.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()


class RunJournal(Journal):
    """The rows of a run that begins anew after a stop, apart from those of others that write into the same folder.

    Parameters
    ----------
    out
        Folder of the results. A lock file beside the parts says that the run goes on.
    """

    _PREFIX = ".mri-workstation-parts-"

    def __init__(self, out: Path) -> None:
        super().__init__(out / f"{self._PREFIX}{uuid.uuid4().hex[:12]}")
        self._held = ExitStack()

    def open(self) -> str:
        """Begin, in the first process, and sweep up what runs that were killed left; returns what `join` needs.

        Raises
        ------
        ExportError
            If the disk or the folder does not let the lock be written.
        """
        for folder in {path.with_suffix("") for path in self.folder.parent.glob(f"{self._PREFIX}*")}:
            lock = folder.with_suffix(".lock")
            # The lock is there before the folder and after it: a folder without one is of a run that was interrupted.
            if is_abandoned(lock) or not lock.exists():
                Journal(folder).remove()
                lock.unlink(missing_ok=True)
        self._held.enter_context(locked(self.folder.with_suffix(".lock"), "reconstruct"))
        return self.folder.name

    def join(self, name: str, part: int) -> None:
        """Write a part of the run that the first process opened; nothing is written where that opened none."""
        self.folder, self.part = self.folder.with_name(name or self.folder.name), part

    def remove(self) -> None:
        """Delete the parts, their folder and the lock."""
        super().remove()
        self._held.close()


class MemoryJournal:
    """The rows of one process that begins anew after a stop: in memory, so that it leaves nothing; see `RunJournal`."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Any]] = {}

    def open(self) -> str:
        """Begin; nobody can join."""
        return ""

    def join(self, name: str, part: int) -> None:
        """Stay alone."""

    def append(self, row: dict[str, Any]) -> None:
        """Keep one row."""
        self._rows[row["key"]] = row

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the rows by their key."""
        return dict(self._rows)

    def remove(self) -> None:
        """Forget the rows."""
        self._rows.clear()


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:  # cut short by a crash, or half a letter
        return None
    return row if isinstance(row, dict) and isinstance(row.get("key"), str) else None


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
