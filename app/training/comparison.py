"""Other training runs whose curves are drawn beside the run that is followed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, Signal

from app.job import Worker
from app.training.events import EVENTS, Record, Tail

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

WATCH_MS = 3000


class TrainingComparison(QObject):
    """Reads the events of some run folders, as they grow.

    Signals
    -------
    changed
        Another set of runs, or one of them has grown.
    missed
        A folder that is no run: a sentence.
    """

    changed = Signal()
    missed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.records: dict[Path, Record] = {}
        self._tails: dict[Path, Tail] = {}
        self._worker = Worker(self)
        self._timer = QTimer(self, interval=WATCH_MS)
        self._timer.timeout.connect(self._read)

    def add(self, folders: Iterable[Path]) -> None:
        """Read the events of some run folders; those that have none are named by `missed`."""
        for folder in folders:
            if folder in self.records:
                continue
            if not (folder / EVENTS).is_file():
                self.missed.emit(f"{folder} holds no training run: there is no {EVENTS} in it.")
                continue
            self.records[folder], self._tails[folder] = Record(), Tail(folder / EVENTS)
        self._timer.start()
        self._read()
        self.changed.emit()

    def remove(self, folder: Path) -> None:
        """Forget a run."""
        self.records.pop(folder, None)
        self._tails.pop(folder, None)
        if not self.records:
            self._timer.stop()
        self.changed.emit()

    def close(self) -> None:
        """End the thread."""
        self._timer.stop()
        self._worker.stop()

    def _read(self) -> None:
        for folder, tail in self._tails.items():
            self._worker.submit(str(folder), tail.read, partial(self._take, folder, tail), self._ignore)

    def _take(self, folder: Path, tail: Tail, read: tuple[list[dict[str, Any]], bool, bool]) -> None:
        if self._tails.get(folder) is not tail:
            return
        events, has_more, is_anew = read
        if is_anew:
            self.records[folder] = Record()
        for event in events:
            self.records[folder].take(event)
        if has_more:
            self._worker.submit(str(folder), tail.read, partial(self._take, folder, tail), self._ignore)
        elif events or is_anew:
            self.changed.emit()

    def _ignore(self, error: BaseException, _details: str) -> None:
        self.missed.emit(f"A run that is compared cannot be read: {error}.")
