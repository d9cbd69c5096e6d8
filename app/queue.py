"""Queue: the reconstructions that were asked for while another one runs, in the order in which they were."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from app.results import method_of, pattern_of, title_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from recon.data import Series
    from recon.request import Request


@dataclass(frozen=True)
class Waiting:
    """What was asked for, as it was then: whatever is in view or in the recipe when it starts.

    Attributes
    ----------
    series
        The scan.
    request
        How, and which slices.
    card
        Card of the model, or None for a file of weights.
    """

    series: Series
    request: Request
    card: Any = field(default=None, compare=False)

    @property
    def slices(self) -> str:
        """Which slices, in words: ``slice 3``, ``all 5 slices``, ``2 of 5 slices``."""
        indices, total = self.request.slices or range(self.series.n_slices), self.series.n_slices
        if len(indices) == 1:
            return f"slice {indices[0] + 1}"
        return f"all {total} slices" if len(indices) == total else f"{len(indices)} of {total} slices"

    @property
    def name(self) -> str:
        """What it is in a sentence, such as ``CS-TV on b_brain, slice 3``."""
        return f"{title_of(self.card, self.request)} on {self.series.stem}, {self.slices}"

    @property
    def line(self) -> str:
        """What it is in a list, such as ``CS-TV, lambda 0.02 · b_brain, slice 3 · Random lines 4×``."""
        method = method_of(title_of(self.card, self.request), self.request)
        return f"{method} · {self.series.stem}, {self.slices} · {pattern_of(self.series, self.request)}"


class Queue(QObject):
    """Keeps what waits, the next one first.

    Signals
    -------
    changed
        Something joined or left.
    """

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.waiting: tuple[Waiting, ...] = ()

    def add(self, item: Waiting) -> bool:
        """Put one at the end; False where its equal waits already."""
        if item in self.waiting:
            return False
        self._set((*self.waiting, item))
        return True

    def take(self) -> Waiting | None:
        """Take the next one out; None where nothing waits."""
        first = next(iter(self.waiting), None)
        self._set(self.waiting[1:])
        return first

    def forget(self, series: Iterable[Series]) -> tuple[Waiting, ...]:
        """Take those of some series out and return them."""
        gone = tuple(series)
        dropped = tuple(item for item in self.waiting if item.series in gone)
        self._set(tuple(item for item in self.waiting if item.series not in gone))
        return dropped

    def clear(self) -> int:
        """Take all out and return how many there were."""
        count = len(self.waiting)
        self._set(())
        return count

    def _set(self, waiting: tuple[Waiting, ...]) -> None:
        if len(waiting) != len(self.waiting):
            self.waiting = waiting
            self.changed.emit()
