"""What the colours of the error maps mean, in the unit of the data, and how far they are turned up."""

from __future__ import annotations

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
    """Horizontal ramp with the values at its ends."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._maximum = 1.0
        # The image looks into this array, which therefore has to live as long as it.
        self._row = np.ascontiguousarray(levels.packed(levels.inferno_table())[None, :])
        self._ramp = QImage(self._row.data, 256, 1, 1024, QImage.Format.Format_RGB32)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Colour bar of the error maps")

    def set_maximum(self, maximum: float) -> None:
        """Set the value of the last colour."""
        self._maximum = maximum
        self.setAccessibleDescription(f"black is 0, the brightest colour is {levels.format_value(maximum, 3)}")
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
        painter.drawImage(bar, self._ramp)
        painter.setPen(QColor(theme.colours().line))
        painter.drawRect(bar.adjusted(0, 0, -1, -1))
        painter.setFont(theme.small_font(self.font()))
        painter.setPen(QColor(theme.colours().muted))
        text = self.rect().adjusted(0, 12, 0, 0)
        painter.drawText(text, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop, "0")
        end = levels.format_value(self._maximum, 3)
        painter.drawText(text, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop, end)
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

    def set_error(self, title: str, hint: str) -> None:
        """Say what the maps show."""
        self._error, self._hint = title, hint
        self._show()

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
        self.bar.set_maximum(self._data_range / self._gain)
