"""The sampling mask, drawn so that each line is seen, with what it comes to in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QEvent, QRect, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QImage, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from app import theme

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST = 80
"""Height of a pattern in two axes: the panel shows all its fields without scrolling in a window of 800 pixels."""


class MaskPreview(QWidget):
    """Preview of a sampling mask (object name ``maskPreview``).

    Setters: ``set_mask(mask, caption)``, ``set_error(text)``, ``clear()``.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("maskPreview")
        self.setAccessibleName("Sampling mask")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._mask: NDArray[np.bool_] | None = None
        self._caption = ""
        self._error = ""

    def set_mask(self, mask: NDArray[np.bool_] | None, caption: str = "") -> None:
        """Show a mask ``(x,)``, ``(1, x)`` or ``(y, x)`` and a line such as ``R 3.9 effective · 26 centre lines``."""
        if mask is not None:
            mask = np.atleast_2d(np.asarray(mask, dtype=bool))
            if mask.ndim != 2:
                raise ValueError(f"a mask has one or two axes, this array has the shape {mask.shape}")
            if mask.shape[0] > 1 and bool((mask == mask[:1]).all()):
                mask = mask[:1]
        self._mask = mask
        self._caption = caption
        self._error = ""
        self._refresh()

    def set_error(self, text: str) -> None:
        """Say why there is no mask; the last one is no longer shown."""
        self._mask = None
        self._caption = ""
        self._error = text
        self._refresh()

    def clear(self) -> None:
        """Show nothing."""
        self.set_mask(None)

    def shown_mask(self) -> NDArray[np.bool_] | None:
        """Mask shown, two axes."""
        return self._mask

    def text(self) -> str:
        """Caption or error shown."""
        return self._error or self._caption

    def is_error(self) -> bool:
        """Whether an error is shown."""
        return bool(self._error)

    def hasHeightForWidth(self) -> bool:
        """A mask in two axes takes the height of its shape."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Height of the picture and its caption."""
        return self._picture_height(width) + 4 + self._text_height(width)

    def sizeHint(self) -> QSize:
        """Size in a narrow dock."""
        return QSize(220, self.heightForWidth(220))

    def minimumSizeHint(self) -> QSize:
        """Smallest useful size."""
        return QSize(120, self.heightForWidth(120))

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the mask and the caption."""
        colours = theme.colours()
        painter = QPainter(self)
        height = self._picture_height(self.width())
        frame = QRect(0, 0, self.width(), height)
        painter.fillRect(frame, QColor(colours.well))
        painter.setFont(theme.small_font(self.font()))
        if self._mask is not None:
            ratio = self.devicePixelRatioF()
            is_lines = self._mask.shape[0] == 1
            width = round((self.width() - 4) * ratio)
            if is_lines:
                picture = _picture(coverage(self._mask[0], width)[None, :])
                painter.drawImage(QRect(2, 2, self.width() - 4, height - 4), picture)
            else:
                rows = round((height - 4) * ratio)
                columns = round(rows * self._mask.shape[1] / self._mask.shape[0])
                if columns > width:
                    columns, rows = width, round(width * self._mask.shape[0] / self._mask.shape[1])
                grid = coverage_2d(self._mask, max(1, rows), max(1, columns))
                picture = _picture(grid)
                picture.setDevicePixelRatio(ratio)
                left = round((self.width() - columns / ratio) / 2)
                painter.drawImage(left, round((height - rows / ratio) / 2), picture)
        elif not self.text():
            painter.setPen(QColor(colours.well_muted))
            painter.drawText(frame, Qt.AlignmentFlag.AlignCenter, "no mask")
        if self._error:
            painter.setPen(QPen(QColor(colours.error), 1))
            painter.drawRect(frame.adjusted(0, 0, -1, -1))
        painter.setPen(QColor(colours.error if self._error else colours.muted))
        where = QRect(0, height + 4, self.width(), max(0, self.height() - height - 4))
        flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop
        painter.drawText(where, int(flags) | int(Qt.TextFlag.TextWordWrap), self.text())
        painter.end()

    def changeEvent(self, event: QEvent) -> None:
        """Repaint in the colours of a new theme."""
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange):
            self._refresh()
        super().changeEvent(event)

    def _picture_height(self, width: int) -> int:
        if self._mask is None or self._mask.shape[0] == 1:
            return 44
        return max(44, min(round(width * self._mask.shape[0] / self._mask.shape[1]), _MOST))

    def _text_height(self, width: int) -> int:
        metrics = QFontMetrics(theme.small_font(self.font()))
        flags = int(Qt.AlignmentFlag.AlignLeft) | int(Qt.TextFlag.TextWordWrap)
        return max(metrics.height(), metrics.boundingRect(QRect(0, 0, width, 1000), flags, self.text()).height()) + 1

    def _refresh(self) -> None:
        self.setAccessibleDescription(self.text())
        self.setToolTip(self.text())
        self.updateGeometry()
        self.update()


def coverage(lines: NDArray[np.bool_], n_pixels: int) -> NDArray[np.float32]:
    """Share of each screen pixel that is sampled: exact bars, whether there are more pixels or more lines."""
    sampled = np.concatenate([[0.0], np.cumsum(lines, dtype=np.float64)])
    edges = np.linspace(0, len(lines), max(1, n_pixels) + 1)
    lines_per_pixel = len(lines) / max(1, n_pixels)
    return np.diff(np.interp(edges, np.arange(len(lines) + 1), sampled) / lines_per_pixel).astype(np.float32)


def coverage_2d(mask: NDArray[np.bool_], n_rows: int, n_columns: int) -> NDArray[np.float32]:
    """As `coverage`, along both axes."""
    columns = np.stack([coverage(row, n_columns) for row in mask])
    sums = np.concatenate([np.zeros((1, n_columns)), np.cumsum(columns, axis=0, dtype=np.float64)])
    edges = np.linspace(0, mask.shape[0], n_rows + 1)
    below = np.floor(edges).astype(int).clip(0, mask.shape[0] - 1)
    values = sums[below] + (edges - below)[:, None] * (sums[below + 1] - sums[below])
    return (np.diff(values, axis=0) / (mask.shape[0] / n_rows)).astype(np.float32)


def _picture(shares: NDArray[np.float32]) -> QImage:
    grey = np.ascontiguousarray(np.clip(12 + shares * 220, 0, 255).astype(np.uint8))
    height, width = grey.shape
    return QImage(grey.data, width, height, width, QImage.Format.Format_Grayscale8).copy()
