"""Programs of others: where they are, and running one so that it ends with the work that asked for it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Self

from recon.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

# A program that was asked to end gets this long before it is ended.
_PATIENCE_S = 2.0
# One that is asked for its version gets this long to answer.
_ANSWER_S = 10.0
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def find(name: str) -> Path | None:
    """Return where a program is, or None.

    ``$NAME_TOOLBOX_PATH`` goes before the ``PATH``: who sets it means that copy (``BART_TOOLBOX_PATH``), and gets no
    other.
    """
    if chosen_folder(name) is not None:
        found = next(filter(None, (shutil.which(name, path=str(place.parent)) for place in _chosen_places(name))), None)
    else:
        found = shutil.which(name)
    return None if found is None else Path(found).absolute()


def missing(name: str, install: str, who: str = "this") -> str:
    """Return the sentence for a program that is not there, with what to do about it; empty when it is."""
    if find(name) is not None:
        return ""
    folder = chosen_folder(name)
    if folder is None:
        return (
            f"{who} needs the program {name}, which is neither on the PATH nor in ${_variable(name)}; install it "
            f"(`{install}`) and try again."
        )
    # os.access only ever answers; pathlib raises where a folder may not be looked into.
    there = next((place for place in _chosen_places(name) if os.access(place, os.F_OK)), None)
    if not os.access(folder, os.F_OK):
        problem = "which does not exist"
    elif not folder.is_dir():
        problem = "which is no folder"
    elif there is not None:
        problem = f"where {there} is no program that may be run"
    else:
        problem = f"where there is no {name}"
    return (
        f"{who} needs the program {name}, and ${_variable(name)} is {folder}, {problem}; correct it, or unset it to "
        f"use the {name} that is on the PATH."
    )


def chosen_folder(name: str) -> Path | None:
    """Return the folder that ``$NAME_TOOLBOX_PATH`` names, or None where it is not set."""
    folder = os.environ.get(_variable(name))
    # Absolute: programs work in folders of their own.
    return Path(folder).absolute() if folder else None


def version(program: Path, *arguments: str) -> str:
    """Return the first line of what a program answers to these arguments, asked once; empty where it does not."""
    try:
        return _answer(program, program.stat().st_mtime_ns, arguments)
    except OSError:
        return ""


@lru_cache(maxsize=8)
def _answer(program: Path, changed_ns: int, arguments: tuple[str, ...]) -> str:  # noqa: ARG001  another file, another answer
    try:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWER_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return ""
    return next(iter(done.stdout.strip().splitlines()), "") if done.returncode == 0 else ""


def _variable(name: str) -> str:
    return f"{name.upper()}_TOOLBOX_PATH"


def _chosen_places(name: str) -> tuple[Path, ...]:
    folder = chosen_folder(name)
    return () if folder is None else (folder / name, folder / "bin" / name)


class Running:
    """A program at work, with everything that it starts; leaving the ``with`` block ends it.

    Parameters
    ----------
    command
        Program and arguments.
    folder
        Where it works; its messages are kept there.

    Raises
    ------
    ModelError
        If it cannot be started.
    """

    def __init__(self, command: Sequence[str | Path], folder: Path) -> None:
        self._messages = folder / "messages.txt"
        try:
            with self._messages.open("wb") as messages:
                self._process = subprocess.Popen(
                    [str(part) for part in command],
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=messages,
                    # A group of its own, so that what it starts ends with it.
                    start_new_session=True,
                )
        except OSError as error:
            raise ModelError(f"{command[0]} cannot be started ({error.strerror or error}).") from None

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def wait(self, seconds: float) -> bool:
        """Wait that long at most; True when the program has ended."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def problem(self) -> str:
        """Return why a program that has ended failed: the last line that it wrote to stderr. Empty if it did not."""
        code = self._process.returncode
        if code == 0:
            return ""
        text = _COLOURS.sub("", self._messages.read_text("utf-8", errors="replace"))
        lines = [line.strip() for line in text.splitlines()]
        # BART ends with a bare word, and lets perror continue a line that it began.
        lines = [line for line in lines if line and line not in ("ERROR:", "WARN:")]
        if len(lines) > 1 and lines[-1].startswith(":"):
            lines[-1] = f"{lines[-2]}{lines[-1]}"
        if lines:
            return lines[-1].rstrip(".")
        return f"exit status {code}" if code > 0 else f"ended by {signal.Signals(-code).name}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is not None:
            return
        self._tell(signal.SIGTERM)
        self.wait(_PATIENCE_S)
        # Sent even when the program itself has ended by now: what it started may not have listened.
        self._tell(signal.SIGKILL)
        self.wait(_PATIENCE_S)

    def _tell(self, order: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, order)
        except ProcessLookupError:
            return
