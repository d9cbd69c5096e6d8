"""Processes that the window starts for trainings: they find this program's modules, and hold none of its files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QProcess, QProcessEnvironment

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]
# The shell ends at once, so that the training is nobody's child; words are handed on as they are.
_LAUNCH = '"$@" >/dev/null 2>>"$0" </dev/null & echo $!'


def module_process(parent: QObject) -> QProcess:
    """Return a process that finds the modules of this program, and holds no file that the window has open."""
    process = QProcess(parent)
    environment = QProcessEnvironment.systemEnvironment()
    environment.insert("PYTHONPATH", _python_path())
    process.setProcessEnvironment(environment)
    process.setUnixProcessParameters(QProcess.UnixProcessFlag.CloseFileDescriptors)
    return process


def _python_path() -> str:
    return f"{ROOT}:{os.environ.get('PYTHONPATH', '')}".rstrip(":")


def launch_apart(command: Sequence[str], log: Path) -> int:
    """Start a process that outlives the window, and return its number.

    It gets none of the window's open files: HDF5 locks belong to whoever holds the file, and would last as long as the
    training.
    """
    done = subprocess.run(
        ["/bin/sh", "-c", _LAUNCH, str(log), *command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True, close_fds=True, check=True,
        env={**os.environ, "PYTHONPATH": _python_path(), "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"},
    )  # fmt: skip
    return int(done.stdout)
