"""Programs of others: where they are, and running one so that it ends with the work that asked for it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

from recon.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

# A program that was asked to end gets this long before it is ended.
_PATIENCE_S = 2.0
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def find(name: str) -> Path | None:
    """Return where a program is, or None.

    ``$NAME_TOOLBOX_PATH`` goes before the ``PATH``: who sets it means that copy (``BART_TOOLBOX_PATH``).
    """
    folder = os.environ.get(_variable(name))
    if folder:
        for candidate in (Path(folder) / name, Path(folder) / "bin" / name):
            if candidate.is_file() and os.access(candidate, os.X_OK):
                return candidate
    found = shutil.which(name)
    return None if found is None else Path(found)


def missing(name: str, install: str, who: str = "this") -> str:
    """Return the sentence for a program that is not there, with the command that installs it; empty when it is."""
    if find(name) is not None:
        return ""
    return (
        f"{who} needs the program {name}, which is neither on the PATH nor in ${_variable(name)}; install it "
        f"(`{install}`) and try again."
    )


def _variable(name: str) -> str:
    return f"{name.upper()}_TOOLBOX_PATH"


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
