"""Progress on a terminal: a bar with the time left. Silent when stderr is piped; works without rich, plainly."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from types import TracebackType


class _Bar(Protocol):
    def show(self, text: str, share: float) -> None: ...

    def close(self) -> None: ...


class Progress:
    """A progress bar on stderr.

    Parameters
    ----------
    enabled
        False keeps silent; None draws only on a terminal.
    """

    def __init__(self, enabled: bool | None = None) -> None:
        self._enabled = sys.stderr.isatty() if enabled is None else enabled
        self._bar: _Bar | None = None

    def __enter__(self) -> Progress:
        if self._enabled:
            self._bar = _make_bar()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def update(self, text: str, share: float) -> None:
        """Draw the bar: what is being done, and the share of all work that is done, 0 to 1."""
        if self._bar is not None:
            with suppress(OSError):  # a terminal that was closed shows nothing, and that stops no work
                self._bar.show(text, min(max(share, 0.0), 1.0))

    def clear(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            with suppress(OSError):
                self._bar.close()
            self._bar = None


def _make_bar() -> _Bar:
    try:
        return _RichBar()
    except ImportError:
        return _PlainBar()


class _RichBar:
    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: Any = self._progress.add_task("", total=1.0)
        self._progress.start()

    def show(self, text: str, share: float) -> None:
        self._progress.update(self._task, description=text, completed=share)

    def close(self) -> None:
        self._progress.stop()


class _PlainBar:
    """One line, redrawn ten times a second at most."""

    _SECONDS_BETWEEN = 0.1

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._drawn = 0.0
        self._width = 0

    def show(self, text: str, share: float) -> None:
        now = time.monotonic()
        if now - self._drawn < self._SECONDS_BETWEEN and share < 1.0:
            return
        self._drawn = now
        left = f", {(now - self._start) * (1 - share) / share:.0f} s left" if share > 0 else ""
        line = f"{text} {share:4.0%}{left}"
        sys.stderr.write("\r" + line.ljust(self._width))
        sys.stderr.flush()
        self._width = len(line)

    def close(self) -> None:
        sys.stderr.write("\r" + " " * self._width + "\r")
        sys.stderr.flush()
