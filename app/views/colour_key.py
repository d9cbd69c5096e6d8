"""What the colours of the images mean: a ramp between the values at its ends."""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import QEvent, QRect, QSize, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app import theme
from app.views import levels
from app.views.component import Component

_RAMP = QSize(64, 10)


class ColourKey(QWidget):
    """Ramp of the colours of phases, and of magnitudes that are not grey (object name ``colourKey``)."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("colourKey")
        self.setAccessibleName("Colours of the images")
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        # The image looks into this array, which therefore has to live as long as it.
        self._row = np.empty((1, 256), np.uint32)
        self._ramp = QImage(self._row.data, 256, 1, 1024, QImage.Format.Format_RGB32)
        self._ends = ("", "")
        self.set_key(Component.PHASE, "grey", (-math.pi, math.pi), is_inverted=False)

    def set_key(self, component: Component, colours: str, limits: levels.Limits, *, is_inverted: bool) -> None:
        """Set what is shown, the colours of magnitudes, and the values of the first and the last colour."""
        is_phase = component is Component.PHASE
        write = _angle if is_phase else levels.format_value
        self._ends = low, high = write(limits[0], 3), write(limits[1], 3)
        self._row[0] = levels.packed(component.colours(colours)[:: -1 if is_inverted else 1])
        self.setAccessibleDescription(f"from {low} to {high}{' radians' if is_phase else ''}")
        self.setToolTip(
            "Phase in radians; its colours go around, since π and −π are the same angle"
            if is_phase
            else "Values of the first and the last colour. Drag an image with the right button to change them."
        )
        self.updateGeometry()
        self.update()

    @property
    def ends(self) -> tuple[str, str]:
        """What is written at the two ends."""
        return self._ends

    def sizeHint(self) -> QSize:
        """Ramp with a number on each side."""
        metrics = self.fontMetrics()
        texts = sum(metrics.horizontalAdvance(text) for text in self._ends)
        return QSize(_RAMP.width() + texts + 2 * theme.SPACE, metrics.height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint ramp and numbers."""
        painter = QPainter(self)
        painter.setPen(QColor(theme.colours().muted))
        left, right = (self.fontMetrics().horizontalAdvance(text) for text in self._ends)
        bar = QRect(left + theme.SPACE, (self.height() - _RAMP.height()) // 2, _RAMP.width(), _RAMP.height())
        middle = int(Qt.AlignmentFlag.AlignVCenter)
        painter.drawText(QRect(0, 0, left, self.height()), middle | int(Qt.AlignmentFlag.AlignLeft), self._ends[0])
        painter.drawText(
            QRect(self.width() - right, 0, right, self.height()),
            middle | int(Qt.AlignmentFlag.AlignRight),
            self._ends[1],
        )
        painter.drawImage(bar, self._ramp)
        painter.setPen(QColor(theme.colours().line))
        painter.drawRect(bar.adjusted(0, 0, -1, -1))
        painter.end()

    def changeEvent(self, event: QEvent) -> None:
        """Repaint in the colours of a new theme."""
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange):
            self.update()
        super().changeEvent(event)


def _angle(value: float, digits: int) -> str:
    if math.isclose(abs(value), math.pi, rel_tol=1e-6):
        return "π" if value > 0 else "−π"
    return levels.format_value(value, digits)
