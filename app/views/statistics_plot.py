"""Scores of results against the number of the slice, and a box of each beside them; a click on a point chooses it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF, QTransform
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from app import theme
from app.views import symbols
from app.views.statistics_table import DECIMALS, TITLES
from app.views.ticks import ticks, written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.views.statistics_table import StatisticsRow

_MARGIN = 6
_REACH = 10.0
"""Pixels from a point within which a click means it."""
_PADDING = 0.06
"""Share of the range of scores that is left free above and below."""
_MARK, _SMALL_MARK = 8.0, 5.0
_N_LARGE, _N_MARKED = 40, 150
"""Marks of curves that are longer are smaller; of still longer ones they would be one band."""
_BOX_WIDTH = 20
_MOST_OF_BOXES = 0.4
_TITLED = 150
"""From this height on there is room for titles; what is drawn is chosen above it anyway."""
_GAPS = (24.0, 40.0)
"""Least distance of numbers beside the scores, and below the slices."""


class StatisticsPlot(QWidget):
    """The plot (object name ``statisticsPlot``), painted by hand: it follows a run without holding up the images.

    Signals
    -------
    slice_chosen
        Index of the slice whose point was clicked.
    """

    slice_chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("statisticsPlot")
        self.setAccessibleName("Scores of each slice, and a box of each result")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMouseTracking(True)
        self._metric = "psnr"
        self._rows: list[StatisticsRow] = []
        self._slice = 0
        self._slices, self._scores = (0.5, 1.5), (0.0, 1.0)

    @property
    def rows(self) -> list[StatisticsRow]:
        """What is drawn."""
        return self._rows

    def set_rows(self, metric: str, rows: Sequence[StatisticsRow]) -> None:
        """Draw the scores of these results, all of them in view."""
        self._metric, self._rows = metric, list(rows)
        indices = [index for row in self._rows for index in row.scores]
        scores = [score for row in self._rows for score in row.scores.values()]
        if indices:
            room = _PADDING * ((max(scores) - min(scores)) or abs(min(scores)) or 1.0)
            self._slices = min(indices) + 0.5, max(indices) + 1.5
            self._scores = min(scores) - room, max(scores) + room
        self.update()

    def set_slice(self, index: int) -> None:
        """Mark the slice in view."""
        if index != self._slice:
            self._slice = index
            self.update()

    def position_of(self, index: int, score: float) -> QPointF:
        """Return where the score of a slice is drawn."""
        area = self._areas()[0]
        return QPointF(_along(index + 1, self._slices, area.left(), area.right()), self._height_of(score, area))

    def nearest(self, place: QPointF) -> tuple[int, int] | None:
        """Return row and slice of the point at a place; None where there is none."""
        area, found = self._areas()[0], (math.inf, 0, 0)
        for number, row in enumerate(self._rows):
            if row.scores:
                indices, scores = np.array(list(row.scores)), np.array(list(row.scores.values()))
                across = _along(indices + 1, self._slices, area.left(), area.right()) - place.x()
                apart = np.hypot(across, self._height_of(scores, area) - place.y())
                closest = int(apart.argmin())
                found = min(found, (float(apart[closest]), number, int(indices[closest])))
        return found[1:] if found[0] <= _REACH else None

    def sizeHint(self) -> QSize:
        """Room to read a curve."""
        return QSize(260, 120)

    def minimumSizeHint(self) -> QSize:
        """Room for axes and a little between them."""
        return QSize(120, 50)

    # ---------------------------------------------------------------- where things are

    def _areas(self) -> tuple[QRectF, QRectF]:
        """Return where curves and boxes are drawn."""
        metrics = self._metrics()
        left = 2 * _MARGIN + max(map(metrics.horizontalAdvance, written(self._score_ticks())), default=0)
        top = 2 * _MARGIN + (metrics.height() if self._has_titles() else 0)
        bottom = self.height() - metrics.height() - 2 * _MARGIN
        titles = metrics.horizontalAdvance(" quartiles ")
        boxes = min(max(titles, _BOX_WIDTH * (len(self._rows) + 1)), _MOST_OF_BOXES * self.width())
        split = max(left + 1.0, self.width() - boxes - _MARGIN)
        height = max(1.0, bottom - top)
        return QRectF(left, top, split - left, height), QRectF(split, top, self.width() - _MARGIN - split, height)

    def _metrics(self) -> QFontMetrics:
        return QFontMetrics(theme.small_font(self.font()))

    def _has_titles(self) -> bool:
        return self.height() >= _TITLED

    def _score_ticks(self) -> list[float]:
        return ticks(*self._scores, _GAPS[0] * (self._scores[1] - self._scores[0]) / max(self.height(), 1))

    def _height_of(self, score: Any, area: QRectF) -> Any:
        return _along(score, self._scores, area.bottom(), area.top())

    # ---------------------------------------------------------------- painting

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint axes, the slice in view, curves and boxes."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), QColor(theme.colours().base))
        painter.setFont(theme.small_font(self.font()))
        if self._rows:
            curves, boxes = self._areas()
            self._paint_axes(painter, curves, boxes)
            # The one that the others are compared with lies above them.
            for number, row in sorted(enumerate(self._rows), key=lambda pair: pair[1].is_baseline):
                self._paint_curve(painter, number, row)
                if row.quartiles is not None:
                    self._paint_box(painter, number, row, row.quartiles, boxes)
        painter.end()

    def _paint_axes(self, painter: QPainter, curves: QRectF, boxes: QRectF) -> None:
        colours, metrics = theme.colours(), painter.fontMetrics()
        line, muted = QColor(colours.line), QColor(colours.muted)
        line.setAlpha(130)
        values = self._score_ticks()
        right = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        for value, text in zip(values, written(values), strict=True):
            y = self._height_of(value, curves)
            painter.setPen(line)
            painter.drawLine(QPointF(curves.left(), y), QPointF(boxes.right(), y))
            painter.setPen(muted)
            where = QRectF(0, y - 0.5 * metrics.height(), curves.left() - _MARGIN, metrics.height())
            painter.drawText(where, right, text)
        span = self._slices[1] - self._slices[0]
        centre = int(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop)
        for value in ticks(*self._slices, max(1.0, _GAPS[1] * span / curves.width())):
            if value == round(value):
                x = _along(value, self._slices, curves.left(), curves.right())
                where = QRectF(x - _GAPS[1], curves.bottom() + _MARGIN, 2 * _GAPS[1], metrics.height())
                painter.drawText(where, centre, f"{value:.0f}")
        if self._has_titles():
            for area, title in ((curves, f"{TITLES[self._metric]} of each slice"), (boxes, "quartiles")):
                where = QRectF(area.left() - _GAPS[1], _MARGIN, area.width() + 2 * _GAPS[1], metrics.height())
                painter.drawText(where, centre, title)
        painter.setPen(QPen(QColor(colours.accent), 1, Qt.PenStyle.DashLine))
        x = self.position_of(self._slice, self._scores[0]).x()
        if curves.left() <= x <= curves.right():
            painter.drawLine(QPointF(x, curves.top()), QPointF(x, curves.bottom()))

    def _paint_curve(self, painter: QPainter, number: int, row: StatisticsRow) -> None:
        colour = QColor(symbols.colour(number))
        points = {index: self.position_of(index, score) for index, score in row.scores.items()}
        painter.setPen(QPen(colour, 2.2 if row.is_baseline else 1.2))
        piece: list[QPointF] = []
        # A slice that is not there breaks the line.
        for index, point in points.items():
            piece.append(point)
            if index + 1 not in points:
                painter.drawPolyline(QPolygonF(piece))
                piece = []
        if len(points) <= _N_MARKED:
            for point in points.values():
                _paint_mark(painter, number, point, _MARK if len(points) <= _N_LARGE else _SMALL_MARK)

    def _paint_box(
        self,
        painter: QPainter,
        number: int,
        row: StatisticsRow,
        quartiles: tuple[float, float, float],
        area: QRectF,
    ) -> None:
        """Paint quartiles, median, and whiskers to the last slices within 1.5 times the box, as an evaluation does."""
        low, median, high = quartiles
        reach = 1.5 * (high - low)
        inside = [row.scores[index] for index in row.shared if low - reach <= row.scores[index] <= high + reach]
        x = _along(number + 1.0, (0.5, len(self._rows) + 0.5), area.left(), area.right())
        half = min(0.35 * area.width() / len(self._rows), 0.4 * _BOX_WIDTH)
        colour = QColor(symbols.colour(number))
        fill = QColor(colour)
        fill.setAlpha(60)
        painter.setPen(QPen(colour, 1.2))
        for near, far in ((low, min([low, *inside])), (high, max([high, *inside]))):
            painter.drawLine(QPointF(x, self._height_of(near, area)), QPointF(x, self._height_of(far, area)))
        top, bottom = self._height_of(high, area), self._height_of(low, area)
        painter.fillRect(QRectF(x - half, top, 2 * half, bottom - top), fill)
        painter.drawRect(QRectF(x - half, top, 2 * half, bottom - top))
        middle = self._height_of(median, area)
        painter.setPen(QPen(colour, 2.2))
        painter.drawLine(QPointF(x - half, middle), QPointF(x + half, middle))
        _paint_mark(painter, number, QPointF(x, middle), _MARK)

    # ---------------------------------------------------------------- events

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the slice of the point."""
        found = self.nearest(event.position())
        if event.button() == Qt.MouseButton.LeftButton and found is not None:
            self.slice_chosen.emit(found[1])

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say what a point is."""
        found = self.nearest(event.position())
        self.setCursor(Qt.CursorShape.ArrowCursor if found is None else Qt.CursorShape.PointingHandCursor)
        if found is None:
            QToolTip.hideText()
            return
        row, index = self._rows[found[0]], found[1]
        text = f"{row.title}\nSlice {index + 1}: {row.scores[index]:.{DECIMALS[self._metric]}f}"
        QToolTip.showText(event.globalPosition().toPoint(), text, self)

    def changeEvent(self, event: QEvent) -> None:
        """Repaint in the colours of a new theme."""
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange):
            self.update()
        super().changeEvent(event)


def _paint_mark(painter: QPainter, number: int, point: QPointF, size: float) -> None:
    place = QTransform().translate(point.x(), point.y()).scale(size, size)
    painter.fillPath(place.map(symbols.symbol(number)), QColor(symbols.colour(number)))


def _along(value: Any, limits: tuple[float, float], first: float, last: float) -> Any:
    """Return where a value, or each of several, between two limits lies between two pixels."""
    return first + (value - limits[0]) / (limits[1] - limits[0]) * (last - first)
