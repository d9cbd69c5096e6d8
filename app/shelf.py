"""Shelf: the results of this session in order, the one that is in view, and the stage that the scrubber stands on."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from app.results import Result, title_of
from recon.collector import is_thinned

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.results import SliceResult, Step
    from recon.data import Series
    from recon.request import Request


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
        # Its images are not kept for its sake.
        self._seen_before: weakref.ref[Result] | None = None
        self._n_made = 0

    # ---------------------------------------------------------------- which results

    def new(self, series: Series, request: Request, card: Any, announced: tuple[str, ...]) -> Result:
        """Make the empty result of a request; it is not on the shelf yet.

        Parameters
        ----------
        series, request
            What it is of.
        card
            Card of the model, or None for a file of weights.
        announced
            Modules that the card names; where it names none, those of the last run of the model keep their columns.
        """
        self._n_made += 1
        return Result(
            self._n_made, series, request, title_of(card, request), announced or self._modules_of(request.model),
            is_thinned=card is not None and is_thinned(card, len(request.slices or ())),
        )  # fmt: skip

    def add(self, result: Result, n_kept: int, *, is_shown: bool = True) -> None:
        """Put a result at the end, and into view; of more than `n_kept`, the oldest go, but for the one in view."""
        if is_shown:
            self.show(result)
        self.results.append(result)
        old = [item for item in self.results[:-1] if item is not self.result]
        surplus = old[: max(0, len(self.results) - n_kept)]
        self.results = [item for item in self.results if item not in surplus]
        self.results_changed.emit()

    def remove(self, result: Result) -> None:
        """Take a result away; one before it on the same series comes into view instead of one that shows nothing."""
        self.results = [item for item in self.results if item is not result]
        if self.result is result and not result.slices:
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

    def seen_before(self, series: Series | None) -> Result | None:
        """Return the result that was in view before this one; None if it is this one, of another series, or gone."""
        before = None if self._seen_before is None else self._seen_before()
        return before if before is not self.result and before in self.of(series) else None

    def _modules_of(self, model: str) -> tuple[str, ...]:
        return next((tuple(item.modules) for item in reversed(self.results) if item.request.model == model), ())

    # ---------------------------------------------------------------- what is in view

    def show(self, result: Result | None) -> None:
        """Bring a result into view, at its newest stage."""
        if result is not self.result:
            self._seen_before = None if self.result is None else weakref.ref(self.result)
        self.result, self.position = result, None

    def look(self, series: Series | None, index: int) -> None:
        """Say which slice is in view: of the others, results of solvers give up most iterates."""
        shown = self.result
        if shown is not None and shown not in self.results and index not in shown.slices:
            # What was cancelled stays in view only as long as it is looked at.
            self.show(self.newest(series))
            self.result_changed.emit()
        for result in self.results:
            result.thin(index if result.series is series else None)

    def slice(self, index: int) -> SliceResult | None:
        """Return the steps of a slice in the result in view, or None."""
        return None if self.result is None else self.result.slices.get(index)

    def step(self, index: int) -> Step | None:
        """Return the step of a slice that the scrubber stands on: the newest one unless the user went back."""
        item = self.slice(index)
        if item is None or not item.steps:
            return None
        return item.steps[-1 if self.position is None else item.shown_at(self.position)]

    def set_position(self, index: int, position: int | None, direction: int = 0) -> None:
        """Put the scrubber on a step of a slice; None follows the newest.

        A step whose image was given up gives way to the nearest that has one, or to the next in a direction, 1 or -1.
        """
        item = self.slice(index)
        n_steps = 0 if item is None else len(item.steps)
        if position is not None:
            position = 0 if item is None else item.shown_at(position, direction)
            # On the last step the scrubber follows what is still to come.
            position = position if position < n_steps - 1 else None
        if position != self.position:
            self.position = position
            self.position_changed.emit()

    def step_position(self, index: int, by: int) -> None:
        """Go some steps on."""
        item = self.slice(index)
        if item is not None:
            here = len(item.steps) - 1 if self.position is None else item.shown_at(self.position)
            self.set_position(index, here + by, 1 if by > 0 else -1)
