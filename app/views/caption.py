"""A line of two texts, left and right, that never clips: what does not fit is elided and told by the tool tip."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRect, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app import theme

_INSET = 3
"""Keeps the texts of neighbouring columns apart."""


class Caption(QWidget):
    """Title at the left, numbers at the right; or, stacked, the numbers in a second line under the title.

    Parameters
    ----------
    is_heading
        Draw the left text in bold and, stacked, the right text at the left edge too.
    parent
        Owner.
    """

    def __init__(self, is_heading: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._left = ""
        self._end = ""
        self._right = ""
        self._hint = ""
        self._is_heading = is_heading
        self._is_stacked = False
        self._is_marked = False
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def set_texts(self, left: str | None = None, right: str | None = None, end: str = "") -> None:
        """Change one or both texts; where there is little room, the left one keeps its end."""
        left, end = (self._left, self._end) if left is None else (left, end)
        right = self._right if right is None else right
        if (left, end, right) != (self._left, self._end, self._right):
            self._left, self._end, self._right = left, end, right
            self.setAccessibleName(" ".join(part for part in (left, right) if part))
            self._update_hint()
            self.update()

    def set_hint(self, text: str) -> None:
        """Explain the line in its tool tip."""
        self._hint = text
        self._update_hint()

    def set_stacked(self, is_stacked: bool) -> None:
        """Use two lines."""
        if is_stacked != self._is_stacked:
            self._is_stacked = is_stacked
            self._update_hint()
            self.updateGeometry()
            self.update()

    def set_marked(self, is_marked: bool) -> None:
        """Draw the title in the accent colour: this is where something happens."""
        if is_marked != self._is_marked:
            self._is_marked = is_marked
            self.update()

    def texts(self) -> tuple[str, str]:
        """Left and right text, whole."""
        return self._left, self._right

    def shown_title(self) -> str:
        """The left text as it is painted."""
        metrics, width = QFontMetrics(self._left_font()), self._rectangles()[0].width()
        room = width - metrics.horizontalAdvance(self._end)
        # In the middle: names of one method, with other parameters or patterns, differ at their ends.
        if self._end and room > metrics.horizontalAdvance(self._left[:1] + "\u2026"):
            head = self._left.removesuffix(self._end)
            return metrics.elidedText(head, Qt.TextElideMode.ElideMiddle, room) + self._end
        return metrics.elidedText(self._left, Qt.TextElideMode.ElideMiddle, width)

    def one_line_width(self) -> int:
        """Width at which both texts stand side by side."""
        left, right = QFontMetrics(self._left_font()), QFontMetrics(self._right_font())
        between = theme.GAP if self._left and self._right else 0
        return left.horizontalAdvance(self._left) + between + right.horizontalAdvance(self._right) + 2 * _INSET + 2

    def height_of(self, is_stacked: bool) -> int:
        """Height with one or two lines."""
        first, second = QFontMetrics(self._left_font()).height(), QFontMetrics(self._right_font()).height()
        return first + second + 2 if is_stacked else max(first, second) + 3

    def sizeHint(self) -> QSize:
        """Size of the texts."""
        return QSize(self.one_line_width(), self.height_of(self._is_stacked))

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the texts."""
        painter = QPainter(self)
        colours = theme.colours()
        left_rect, right_rect = self._rectangles()
        painter.setFont(self._left_font())
        quiet = colours.text if self._is_heading else colours.muted
        painter.setPen(QColor(colours.accent if self._is_marked else quiet))
        align = Qt.AlignmentFlag.AlignVCenter
        painter.drawText(left_rect, align | Qt.AlignmentFlag.AlignLeft, self.shown_title())
        painter.setFont(self._right_font())
        painter.setPen(QColor(colours.muted if self._is_heading else colours.text))
        below_title = self._is_stacked and self._is_heading
        side = Qt.AlignmentFlag.AlignLeft if below_title else Qt.AlignmentFlag.AlignRight
        painter.drawText(right_rect, align | side, self._shown_numbers())
        painter.end()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Decide anew what needs the tool tip."""
        super().resizeEvent(event)
        self._update_hint()

    def changeEvent(self, event: QEvent) -> None:
        """Repaint in the colours of a new theme."""
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange):
            self.updateGeometry()
            self.update()
        super().changeEvent(event)

    def _left_font(self) -> QFont:
        font = theme.small_font(self.font())
        if self._is_heading:
            font.setWeight(QFont.Weight.DemiBold)
        return font

    def _right_font(self) -> QFont:
        return theme.small_font(self.font())

    def _rectangles(self) -> tuple[QRect, QRect]:
        width = max(0, self.width() - 2 * _INSET)
        if self._is_stacked:
            first = QFontMetrics(self._left_font()).height()
            return QRect(_INSET, 0, width, first + 1), QRect(_INSET, first + 1, width, self.height() - first - 1)
        right_width = QFontMetrics(self._right_font()).horizontalAdvance(self._right) if self._right else 0
        right_width = min(right_width + 1, width)
        left_width = max(0, width - right_width - (theme.GAP if self._right else 0))
        right = QRect(_INSET + width - right_width, 0, right_width, self.height())
        return QRect(_INSET, 0, left_width, self.height()), right

    def _shown_numbers(self) -> str:
        width = self._rectangles()[1].width()
        return QFontMetrics(self._right_font()).elidedText(self._right, Qt.TextElideMode.ElideRight, width)

    def _update_hint(self) -> None:
        is_cut = self.shown_title() != self._left or self._shown_numbers() != self._right
        whole = "  ".join(part for part in (self._left, self._right) if part)
        self.setToolTip("\n".join(part for part in (whole if is_cut else "", self._hint) if part))
