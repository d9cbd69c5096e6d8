"""Numbers beside the curves of a training: at least two a plot, short enough for the room that there is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pyqtgraph

from app.views.ticks import log_ticks, ticks, written

if TYPE_CHECKING:
    from collections.abc import Sequence

_GAP_PIXELS = {"left": 22.0, "bottom": 45.0}
_MARGIN_PIXELS = {"left": 8.0, "bottom": 16.0}
"""Nearer to the end of the axis a number would be cut."""


class NumberAxis(pyqtgraph.AxisItem):
    """Axis whose numbers are those of `ticks` and `written`."""

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        """Return the numbers that are written, as the library wants them: one level of them."""
        low, high = sorted((low, high))
        if not math.isfinite(high - low) or high <= low or size <= 0:
            return []
        each = (high - low) / size
        find = log_ticks if self.logMode else ticks
        found = find(low, high, _GAP_PIXELS[self.orientation] * each, _MARGIN_PIXELS[self.orientation] * each)
        return [(high - low, found)]

    def tickStrings(self, values: Sequence[float], _scale: float, _spacing: float) -> list[str]:
        """Return how the numbers are written."""
        if self.logMode:
            return [written([10.0**value])[0] for value in values]
        return written(values)
