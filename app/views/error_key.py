"""What the colours of the error maps mean, in the unit of the data, and how far they are turned up."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QEvent, QRect, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from app import theme
from app.views import levels
from app.views.segmented import Segmented

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PySide6.QtGui import QResizeEvent

GAINS = (1.0, 2.0, 5.0, 10.0, 20.0)
DEFAULT_GAIN = 5.0
_SPACING = theme.SPACE + 2


class ErrorGain(Segmented):
    """Chooser of the error gain (object name ``errorGain``)."""

    gainChanged = Signal(float)
    """Gain that the user chose."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__([f"×{gain:g}" for gain in GAINS], "Error gain", parent)
        self.setObjectName("errorGain")
        self.setToolTip("How far the error maps are turned up before they are coloured")
        self.set_gain(DEFAULT_GAIN)
        self.chosen.connect(lambda index: self.gainChanged.emit(GAINS[index]))

    def set_gain(self, gain: float) -> None:
        """Show a gain; one that is not offered leaves no button pressed."""
        self.set_index(GAINS.index(gain) if gain in GAINS else -1)

    def gain(self) -> float:
        """Gain shown, 0 if it is none of those offered."""
        index = self.index()
        return GAINS[index] if index >= 0 else 0.0


class ColourBar(QWidget):
    """Horizontal ramp with the values at its ends, and of errors with a sign in its middle."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._maximum = 1.0
        self._is_signed = False
        self._table = _table(is_signed=False)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Colour bar of the error maps")

    def set_scale(self, maximum: float, *, is_signed: bool = False) -> None:
        """Set the value of the last colour, and whether the first one is as far below zero."""
        self._maximum, self._is_signed = maximum, is_signed
        self._table = _table(is_signed=is_signed)
        end = levels.format_value(maximum, 3)
        below = f", the brightest blue is −{end}" if is_signed else ""
        self.setAccessibleDescription(
            f"black is 0, the brightest {'orange' if is_signed else 'colour'} is {end}{below}"
        )
        self.update()

    def maximum(self) -> float:
        """Value of the last colour."""
        return self._maximum

    def sizeHint(self) -> QSize:
        """Ramp over one line of text."""
        return QSize(96, 10 + 2 + QFontMetrics(theme.small_font(self.font())).height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint ramp and numbers."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        bar = QRect(0, 0, self.width(), 10)
        row = np.ascontiguousarray(self._table[None, :])
        painter.drawImage(bar, QImage(row.data, 256, 1, 1024, QImage.Format.Format_RGB32))
        painter.setPen(QColor(theme.colours().line))
        painter.drawRect(bar.adjusted(0, 0, -1, -1))
        painter.setFont(theme.small_font(self.font()))
        painter.setPen(QColor(theme.colours().muted))
        text = self.rect().adjusted(0, 12, 0, 0)
        end = levels.format_value(self._maximum, 3)
        marks = {Qt.AlignmentFlag.AlignLeft: f"−{end}" if self._is_signed else "0", Qt.AlignmentFlag.AlignRight: end}
        if self._is_signed and QFontMetrics(painter.font()).horizontalAdvance(f"−{end} 0 −{end}") < self.width():
            marks[Qt.AlignmentFlag.AlignHCenter] = "0"
        for place, mark in marks.items():
            painter.drawText(text, place | Qt.AlignmentFlag.AlignTop, mark)
        painter.end()

    def changeEvent(self, event: QEvent) -> None:
        """Repaint in the colours of a new theme."""
        if event.type() == QEvent.Type.PaletteChange:
            self.update()
        super().changeEvent(event)


class ErrorKey(QWidget):
    """Title, colour bar and gain; fills the cell below the reference, which has no error.

    In a low cell whole parts are left out, since nothing is read of a button that is cut through.
    """

    gainChanged = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._data_range = 1.0
        self._gain = DEFAULT_GAIN
        self._error, self._hint = "|error|", "Magnitude of image − reference"
        self._is_signed = False
        self.title = QLabel(self)
        self.bar = ColourBar(self)
        self.chooser = ErrorGain(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, theme.SPACE, 0, 0)
        layout.setSpacing(_SPACING)
        layout.addWidget(self.title)
        layout.addWidget(self.bar)
        layout.addWidget(self.chooser)
        layout.addStretch(1)
        self.chooser.gainChanged.connect(self._choose)
        self._show()

    def set_gain(self, gain: float) -> None:
        """Show a gain."""
        self._gain = gain
        self.chooser.set_gain(gain)
        self._show()

    def set_data_range(self, data_range: float) -> None:
        """Set the maximum of the reference, which is the brightest error at a gain of 1."""
        self._data_range = data_range
        self._show()

    def set_error(self, title: str, hint: str, *, is_signed: bool = False) -> None:
        """Say what the maps show."""
        self._error, self._hint, self._is_signed = title, hint, is_signed
        self._show()

    def limits(self) -> levels.Limits:
        """Errors that have the first and the last colour."""
        maximum = self._data_range / self._gain
        return -maximum if self._is_signed else 0.0, maximum

    def table(self) -> NDArray[np.uint32]:
        """Packed colours of the maps."""
        return _table(is_signed=self._is_signed)

    def gain(self) -> float:
        """Gain in use."""
        return self._gain

    def data_range(self) -> float:
        """Maximum of the reference."""
        return self._data_range

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave out what does not fit: first the title, then the buttons, whose choice the title says."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        parts = (self.title, self.bar, self.chooser)
        for shown in (parts, (self.bar, self.chooser), (self.title, self.bar), (self.bar,)):
            if self._height_of(shown) <= self.height():
                break
        for part in parts:
            part.setVisible(part in shown)

    def _height_of(self, parts: Sequence[QWidget]) -> int:
        heights = (
            self.chooser.height_at(self.width()) if part is self.chooser else part.sizeHint().height() for part in parts
        )
        return theme.SPACE + sum(heights) + _SPACING * (len(parts) - 1)

    def _choose(self, gain: float) -> None:
        self.set_gain(gain)
        self.gainChanged.emit(gain)

    def _show(self) -> None:
        self.title.setText(f"{self._error} ×{self._gain:g}")
        self.title.setFont(theme.small_font(self.font()))
        maximum = levels.format_value(self._data_range / self._gain, 3)
        self.title.setToolTip(
            f"{self._hint}. The brightest colour is {maximum} in the unit of the data: "
            f"the maximum of the reference divided by {self._gain:g}."
        )
        self.bar.set_scale(self._data_range / self._gain, is_signed=self._is_signed)


@cache
def _table(*, is_signed: bool) -> NDArray[np.uint32]:
    return levels.packed(levels.diverging_table() if is_signed else levels.inferno_table())
