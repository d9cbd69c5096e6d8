"""Progress on a terminal: a bar with the time left; works without rich, plainly. Silent elsewhere, unless asked."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import argparse
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
    logs
        Write a line now and then where stderr is no terminal.
    """

    def __init__(self, enabled: bool | None = None, *, logs: bool = False) -> None:
        self._enabled = enabled
        self._logs = logs
        self._bar: _Bar | None = None

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Progress:
        """Return what a command shows: nothing with ``--quiet``; in a log, lines with ``-v`` and without ``--json``."""
        is_verbose, writes_json = getattr(arguments, "verbose", 0) > 0, getattr(arguments, "json", False)
        return cls(False if arguments.quiet else None, logs=is_verbose and not writes_json)

    def __enter__(self) -> Progress:
        if self._enabled or (self._enabled is None and sys.stderr.isatty()):
            self._bar = _make_bar()
        elif self._enabled is None and self._logs:
            self._bar = _Lines()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def update(self, text: str, share: float) -> None:
        """Draw the bar, or write a line that is due: what is being done, and the share of all work, 0 to 1."""
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


class _Lines:
    """A line every minute, for a log that is followed; work that takes seconds writes none."""

    _SECONDS_BEFORE = 30.0
    _SECONDS_BETWEEN = 60.0

    def __init__(self) -> None:
        self._due = time.monotonic() + self._SECONDS_BEFORE
        # What was done before, as by a run that goes on, took none of the time.
        self._begin: tuple[float, float] | None = None

    def show(self, text: str, share: float) -> None:
        now = time.monotonic()
        self._begin = self._begin or (now, share)
        if now < self._due:
            return
        self._due = now + self._SECONDS_BETWEEN
        start, before = self._begin
        left = f", {_duration((now - start) * (1 - share) / (share - before))} left" if share > before else ""
        sys.stderr.write(f"{100 * share:.0f} %, {text}{left}\n")
        sys.stderr.flush()

    def close(self) -> None:
        """Lines stay."""


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
