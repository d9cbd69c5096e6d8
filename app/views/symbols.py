"""Marks of curves, by which they are told apart also where colours are not."""

from __future__ import annotations

import math

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPainterPath, QPixmap, QPolygonF

from app import theme

_SIZE = 10
# In two densities, for screens of either.
_SCALES = (1, 2)


def _star(n_points: int, inner: float = 1.0, turn: float = 0.0) -> QPainterPath:
    """Polygon with points half a unit from the middle, and corners between them at a share of that."""
    radii = [0.5, 0.5 * inner] * n_points
    angles = [math.radians(turn - 90) + number * math.pi / n_points for number in range(2 * n_points)]
    path = QPainterPath()
    path.addPolygon(
        QPolygonF(
            [
                QPointF(radius * math.cos(angle), radius * math.sin(angle))
                for radius, angle in zip(radii, angles, strict=True)
            ]
        )
    )
    path.closeSubpath()
    return path


def _circle() -> QPainterPath:
    path = QPainterPath()
    path.addEllipse(QRectF(-0.42, -0.42, 0.84, 0.84))
    return path


_SQUARE, _DIAMOND = _star(4, math.sqrt(0.5), 45), _star(4, math.sqrt(0.5))
_UP, _DOWN = _star(3, 0.5), _star(3, 0.5, 180)
_SHAPES = (_circle(), _SQUARE, _UP, _DIAMOND, _star(4, 0.4), _DOWN, _star(4, 0.4, 45), _star(5, 0.42))


def symbol(number: int) -> QPainterPath:
    """Return the mark of a curve by its place, about one unit high around the origin; the first eight differ."""
    return _SHAPES[number % len(_SHAPES)]


def colour(number: int) -> str:
    """Return the colour of a curve by its place. Together with the marks, 24 curves differ."""
    series = theme.colours().series
    return series[number % len(series)]


def icon(number: int) -> QIcon:
    """Return the mark of a curve in its colour, to stand before its name."""
    result = QIcon()
    for scale in _SCALES:
        pixmap = QPixmap(scale * _SIZE, scale * _SIZE)
        pixmap.setDevicePixelRatio(scale)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.translate(0.5 * _SIZE, 0.5 * _SIZE)
        painter.scale(_SIZE, _SIZE)
        painter.fillPath(symbol(number), QColor(colour(number)))
        painter.end()
        result.addPixmap(pixmap)
    return result
