"""Shelf: the results of this session in order, the one that is in view, and the stage that the scrubber stands on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.results import Result, SliceResult, Step
    from recon.data import Series


class Shelf(QObject):
    """Keeps results. Setters change them, signals tell; which slice is looked at is for the caller to know."""

    results_changed = Signal()
    result_changed = Signal()
    position_changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.results: list[Result] = []
        self.result: Result | None = None
        self.position: int | None = None
        self._n_made = 0

    # ---------------------------------------------------------------- which results

    def next_number(self) -> int:
        """Return the number of a new result; numbers are never used twice."""
        self._n_made += 1
        return self._n_made

    def add(self, result: Result, n_kept: int) -> None:
        """Put a result at the end and show it; of more than `n_kept`, the oldest go."""
        self.results.append(result)
        del self.results[:-n_kept]
        self.show(result)
        self.results_changed.emit()

    def remove(self, result: Result) -> None:
        """Take a result away; one before it on the same series comes into view instead."""
        self.results = [item for item in self.results if item is not result]
        if self.result is result:
            self.result = self.newest(result.series)

    def forget(self, series: Iterable[Series]) -> None:
        """Take away all results of these series."""
        gone = tuple(series)
        self.results = [result for result in self.results if result.series not in gone]

    def of(self, series: Series | None) -> list[Result]:
        """Return the results of a series, oldest first."""
        return [result for result in self.results if result.series is series]

    def newest(self, series: Series | None) -> Result | None:
        """Return the last result of a series, or None."""
        return next(reversed(self.of(series)), None)

    def before(self, by: int, series: Series | None) -> Result | None:
        """Return the result some places after (or before) the one in view, around the end; None if it is not there."""
        own = self.of(series)
        return own[(own.index(self.result) + by) % len(own)] if self.result in own else None

    def modules_of(self, model: str) -> tuple[str, ...]:
        """Return the modules that a model showed when it last ran; they keep their columns from the start."""
        return next((tuple(item.modules) for item in reversed(self.results) if item.request.model == model), ())

    # ---------------------------------------------------------------- what is in view

    def show(self, result: Result | None) -> None:
        """Bring a result into view, at its newest stage."""
        self.result, self.position = result, None

    def slice(self, index: int) -> SliceResult | None:
        """Return the steps of a slice in the result in view, or None."""
        return None if self.result is None else self.result.slices.get(index)

    def step(self, index: int) -> Step | None:
        """Return the step of a slice that the scrubber stands on: the newest one unless the user went back."""
        item = self.slice(index)
        if item is None or not item.steps:
            return None
        return item.steps[-1 if self.position is None else min(self.position, len(item.steps) - 1)]

    def set_position(self, index: int, position: int | None) -> None:
        """Put the scrubber on a step of a slice; None follows the newest."""
        item = self.slice(index)
        n_steps = 0 if item is None else len(item.steps)
        if position is not None:
            position = max(0, position)
            # On the last step the scrubber follows what is still to come.
            position = position if position < n_steps - 1 else None
        if position != self.position:
            self.position = position
            self.position_changed.emit()

    def step_position(self, index: int, by: int) -> None:
        """Go some steps on."""
        item = self.slice(index)
        if item is not None:
            self.set_position(index, (len(item.steps) - 1 if self.position is None else self.position) + by)
