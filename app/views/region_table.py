"""What is measured in the region of all images in view."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QSize

from app.views.number_table import NumberTable, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtWidgets import QWidget

    from app.views.region import Measures

_COLUMNS = (
    ("Mean", "Mean of the voxels in the region, in the unit of the data."),
    ("SD", "Standard deviation of the voxels in the region: noise, where the tissue is uniform."),
    ("SNR", "Mean divided by standard deviation: the signal-to-noise ratio, where the tissue is uniform."),
    ("Error", "Root of the mean squared difference from the reference in the region, in the unit of the data."),
)
_RATIO = 2


class RegionRow(NamedTuple):
    """An image and what was measured in it."""

    title: str
    measures: Measures


class RegionTable(NumberTable):
    """Table of the region (object name ``regionTable``)."""

    def __init__(self, parent: QWidget | None = None) -> None:
        titles, hints = zip(*_COLUMNS, strict=True)
        super().__init__(titles, hints, "Shift + drag over an image measures a region in all of them.", parent)
        self.setObjectName("regionTable")
        self.setAccessibleName("Measures of the region")
        self._rows: list[RegionRow] = []
        self._title = ""
        self.set_rows("", [])

    def set_rows(self, title: str, rows: Sequence[RegionRow], unit: str = "") -> None:
        """Show what was measured, under a title that says where; what fits of it is its beginning, with the unit."""
        self._title, self._rows = title, list(rows)
        self._set_length(len(self._rows))
        values = [row.measures for row in self._rows]
        exponent = _exponent([value for row in values for column, value in enumerate(row) if column != _RATIO])
        exponent = 0 if unit else exponent
        unit = unit or (f"1e{exponent}" if exponent else "")
        self._set_heading(f"{title.split(' voxels')[0]}{f', in {unit}' if unit else ''}", title)
        for line, (row, numbers) in enumerate(zip(self._rows, values, strict=True)):
            self._set_name(line, row.title)
            for column, value in enumerate(numbers):
                text = _text(value, 0, 2) if column == _RATIO else _text(value, exponent, 3)
                self.setItem(line, column + 1, self._number(text, _COLUMNS[column][1]))

    def as_text(self, separator: str = "\t") -> str:
        """Whole table with its header, one line an image; numbers in full width."""
        lines = [separator.join(["region", "image", "mean", "sd", "snr", "rms_error"])]
        for row in self._rows:
            cells = ["" if math.isnan(value) else f"{value:.6g}" for value in row.measures]
            lines.append(separator.join([quoted(self._title, separator), quoted(row.title, separator), *cells]))
        return "\n".join(lines) + "\n"

    def sizeHint(self) -> QSize:
        """Room for eight rows."""
        return QSize(240, 10 * (self.fontMetrics().height() + 6))


def _exponent(values: Sequence[float]) -> int:
    """Power of ten that leaves the largest value between 1 and 1000: data are often 1e-4, and digits are few."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    if largest == 0 or 1 <= largest < 1000:
        return 0
    return math.floor(math.log10(largest))


def _text(value: float, exponent: int, decimals: int) -> str:
    return "–" if math.isnan(value) else f"{value / 10.0**exponent:.{decimals}f}"
