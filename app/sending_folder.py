"""The folder that images lie in until a PACS has them: it names patients, so it goes however the program ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PREFIX = "mri-workstation-send-"
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
# Between its making and its lock a folder looks like one that was left behind.
_YOUNG_S = 60.0


@contextmanager
def folder_of_its_own() -> Iterator[Path]:
    """Give a temporary folder, and remove it; before, remove those that killed programs of this user left behind.

    It is locked while it is in use, and the lock goes with the process, however that ends.
    """
    _sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        descriptor = os.open(name, os.O_RDONLY)
        try:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield Path(name)
        finally:
            os.close(descriptor)


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            # Others may make links and folders here, too.
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                state = os.fstat(descriptor)
                if state.st_uid == os.getuid() and time.time() - state.st_mtime > _YOUNG_S:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


class EndGuard:
    """Tidies up before SIGTERM or SIGHUP ends the program, as at the end of a desktop session.

    Outside of `begin` and `end` these signals do what they did before. The event loop has to give Python a turn now and
    then, as the heartbeat of the window does.

    Parameters
    ----------
    tidy
        What is done before the end.
    """

    def __init__(self, tidy: Callable[[], None]) -> None:
        self._tidy = tidy
        self._heard: list[signal.Signals] = []

    def begin(self) -> None:
        """Listen; what is ignored, as under nohup, or heard by somebody else stays so."""
        if threading.current_thread() is threading.main_thread():
            self._heard = [one for one in _SIGNALS if signal.getsignal(one) is signal.SIG_DFL]
            for one in self._heard:
                signal.signal(one, self._leave)

    def end(self) -> None:
        """Listen no more."""
        for one in self._heard:
            signal.signal(one, signal.SIG_DFL)
        self._heard = []

    def _leave(self, number: int, frame: Any) -> None:  # noqa: ARG002  the signature of a handler
        # A second signal must not disturb the tidying up.
        for one in self._heard:
            signal.signal(one, signal.SIG_IGN)
        try:
            self._tidy()
        finally:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
