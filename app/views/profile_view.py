"""Values along a row or a column of all images in view: how sharp an edge is, what a method makes of fine detail."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QAction, QColor, QGuiApplication, QKeySequence, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from app import theme
from app.views.levels import format_value
from app.views.named import named
from app.views.segmented import Segmented

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_MARGIN = 6
_LINE = 14
"""Length of the piece of line before a name."""
_N_TICKS = 5
_DIRECTIONS = ("row", "column")


class Profile(NamedTuple):
    """Values of one image along a line.

    Attributes
    ----------
    title
        Of the image.
    values
        From the first voxel of the line to the last, in the unit of the data.
    is_reference, is_start
        The image that others are measured against, and the one that they begin with: drawn apart from them.
    """

    title: str
    values: NDArray[np.float64]
    is_reference: bool = False
    is_start: bool = False


class ProfileView(QWidget):
    """Plot of profiles (object name ``profileView``) with the choice of the line. Ctrl+C copies the values.

    Signals
    -------
    direction_chosen
        ``row`` or ``column``.
    """

    direction_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("profileView")
        self.plot = _Plot()
        self.choice = named("profileDirection", Segmented([name.capitalize() for name in _DIRECTIONS], "Profile along"))
        # One above the other: the pane is low, and a curve wants height.
        self.choice.setFixedWidth(self.choice.one_row_width() * 2 // 3)
        self.choice.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.choice.chosen.connect(lambda _: self.direction_chosen.emit(self.direction))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(theme.SPACE, theme.SPACE, 0, 0)
        layout.setSpacing(theme.SPACE)
        layout.addWidget(self.choice, 0, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self.plot, 1)

    @property
    def direction(self) -> str:
        """``row`` or ``column``."""
        return _DIRECTIONS[self.choice.index()]

    def set_profiles(self, place: int | None, profiles: Sequence[Profile]) -> None:
        """Show profiles, and mark the voxel of the crosshair on them; None says that there is no crosshair."""
        self.plot.set_profiles(self.direction, place, profiles)


class _Plot(QWidget):
    """The lines, painted by hand: no plotting library has to be loaded before the window is there."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("profilePlot")
        self.setAccessibleName("Values along a line through all images")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self._direction = "row"
        self._place: int | None = None
        self._profiles: list[Profile] = []
        copy = QAction("Copy the values", self)
        copy.setShortcut(QKeySequence(QKeySequence.StandardKey.Copy))
        copy.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        copy.triggered.connect(lambda: QGuiApplication.clipboard().setText(self.as_text()))
        self.addAction(copy)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)

    @property
    def profiles(self) -> list[Profile]:
        """What is shown."""
        return self._profiles

    def set_profiles(self, direction: str, place: int | None, profiles: Sequence[Profile]) -> None:
        """Show profiles along a row or a column, and mark a voxel on them."""
        self._direction, self._place, self._profiles = direction, place, list(profiles)
        self.update()

    def as_text(self) -> str:
        """Return the values, one voxel a line, one column an image."""
        length = max((len(profile.values) for profile in self._profiles), default=0)
        lines = ["\t".join(["voxel", *(profile.title for profile in self._profiles)])]
        for place in range(length):
            values = [f"{p.values[place]:.6g}" if place < len(p.values) else "" for p in self._profiles]
            lines.append("\t".join([str(place), *values]))
        return "\n".join(lines) + "\n"

    def sizeHint(self) -> QSize:
        """Room to read a curve."""
        return QSize(240, 120)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint axes, curves and names."""
        colours = theme.colours()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), QColor(colours.base))
        painter.setFont(theme.small_font(self.font()))
        if self._place is None or not self._profiles:
            painter.setPen(QColor(colours.muted))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            text = "Click into an image: the values along its row or column appear here."
            painter.drawText(self.rect().adjusted(_MARGIN, _MARGIN, -_MARGIN, -_MARGIN), int(flags), text)
        else:
            self._paint_curves(painter, self._paint_names(painter))
        painter.end()

    def _pen(self, number: int, profile: Profile) -> QPen:
        colours = theme.colours()
        if profile.is_reference:
            return QPen(QColor(colours.text), 1.6)
        if profile.is_start:
            return QPen(QColor(colours.muted), 1.2, Qt.PenStyle.DotLine)
        return QPen(QColor(colours.series[number % len(colours.series)]), 1.4)

    def _paint_names(self, painter: QPainter) -> float:
        """Write the names in as many lines as they need; gives where the curves may begin."""
        metrics = painter.fontMetrics()
        x, y = float(_MARGIN), float(_MARGIN)
        for number, profile in enumerate(self._profiles):
            width = _LINE + _MARGIN + metrics.horizontalAdvance(profile.title) + 2 * _MARGIN
            if x > _MARGIN and x + width > self.width():
                x, y = float(_MARGIN), y + metrics.height()
            middle = y + 0.5 * metrics.height()
            painter.setPen(self._pen(number, profile))
            painter.drawLine(QPointF(x, middle), QPointF(x + _LINE, middle))
            painter.setPen(QColor(theme.colours().muted))
            painter.drawText(QPointF(x + _LINE + _MARGIN, y + metrics.ascent()), profile.title)
            x += width
        return y + metrics.height() + _MARGIN

    def _paint_curves(self, painter: QPainter, top: float) -> None:
        colours, metrics = theme.colours(), painter.fontMetrics()
        finite = [profile.values[np.isfinite(profile.values)] for profile in self._profiles]
        low = min(0.0, *(float(values.min()) for values in finite if values.size), 0.0)
        high = max((float(values.max()) for values in finite if values.size), default=0.0)
        high = high if high > low else low + 1.0
        length = max(len(profile.values) for profile in self._profiles)
        left = _MARGIN + metrics.horizontalAdvance("0.0e-10") + _MARGIN
        area = QRectF(left, top, max(1.0, self.width() - left - _MARGIN), 0.0)
        area.setBottom(max(top + 1.0, self.height() - metrics.height() - 2 * _MARGIN))

        def at(place: float, value: float) -> QPointF:
            across = (place + 0.5) / max(length, 1)
            return QPointF(
                area.left() + across * area.width(), area.bottom() - (value - low) / (high - low) * area.height()
            )

        painter.setPen(QColor(colours.muted))
        right = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        for value in (low, high):
            where = QRectF(0, at(0, value).y() - 0.5 * metrics.height(), left - _MARGIN, metrics.height())
            painter.drawText(where, right, format_value(value, 2))
        for place in np.unique(np.linspace(0, length - 1, _N_TICKS).round().astype(int)).tolist():
            width = float(metrics.horizontalAdvance(str(place)))
            begin = min(at(place, low).x() - 0.5 * width, self.width() - width - 1)
            painter.drawText(QPointF(begin, area.bottom() + _MARGIN + metrics.ascent()), str(place))
        painter.setPen(QPen(QColor(colours.line), 1))
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        painter.drawLine(area.topLeft(), area.topRight())
        assert self._place is not None
        painter.setPen(QPen(QColor(colours.accent), 1, Qt.PenStyle.DashLine))
        painter.drawLine(
            QPointF(at(self._place, low).x(), area.top()), QPointF(at(self._place, low).x(), area.bottom())
        )
        # What the others are measured against lies above them.
        for number, profile in sorted(enumerate(self._profiles), key=lambda pair: pair[1].is_reference):
            painter.setPen(self._pen(number, profile))
            points = [at(place, value) for place, value in enumerate(profile.values.tolist()) if np.isfinite(value)]
            painter.drawPolyline(QPolygonF(points))

    def changeEvent(self, event: QEvent) -> None:
        """Repaint in the colours of a new theme."""
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange):
            self.update()
        super().changeEvent(event)
