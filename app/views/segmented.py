"""Joined buttons of which one is chosen; they break into two rows where there is little room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QButtonGroup, QGridLayout, QSizePolicy, QToolButton, QWidget

from app import theme

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QResizeEvent

_PADDING = 10
"""Room for border and breath on both sides of a label together."""


class Segmented(QWidget):
    """Choice among a few short labels, all in sight.

    Parameters
    ----------
    labels
        Texts of the buttons, at least one.
    name
        What the choice is about, for screen readers.
    parent
        Owner.
    """

    chosen = Signal(int)
    """Index that the user chose."""

    def __init__(self, labels: Sequence[str], name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        self._buttons: list[QToolButton] = []
        self._n_columns = 0
        self._layout = QGridLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(0)
        for index, label in enumerate(labels):
            button = QToolButton(self)
            button.setText(label)
            button.setCheckable(True)
            button.setProperty("segment", True)
            button.setAccessibleName(f"{name} {label}")
            button.setToolTip(button.accessibleName())
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            self._group.addButton(button, index)
            self._buttons.append(button)
        self._place()
        self._group.idClicked.connect(self._choose)
        self.set_index(0)

    def set_index(self, index: int) -> None:
        """Choose without telling anybody; -1 chooses none."""
        if index >= 0:
            self._buttons[index].setChecked(True)
        else:
            self._group.setExclusive(False)
            for button in self._buttons:
                button.setChecked(False)
            self._group.setExclusive(True)
        self._route_focus()

    def index(self) -> int:
        """Index chosen, -1 for none."""
        return self._group.checkedId()

    def button(self, index: int) -> QToolButton:
        """Button at an index."""
        return self._buttons[index]

    def one_row_width(self) -> int:
        """Width at which all buttons, equally wide, show their labels side by side."""
        font = theme.small_font(self.font())
        font.setBold(True)
        metrics = QFontMetrics(font)
        return len(self._buttons) * (max(metrics.horizontalAdvance(b.text()) for b in self._buttons) + _PADDING)

    def height_at(self, width: int) -> int:
        """Height of the buttons, in one row or two, at a width."""
        n_rows = 1 if width >= self.one_row_width() else 2
        return n_rows * max(button.sizeHint().height() for button in self._buttons)

    def sizeHint(self) -> QSize:
        """One row."""
        return QSize(self.one_row_width(), self._layout.sizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Choose between one row and two."""
        super().resizeEvent(event)
        self._place()

    def changeEvent(self, event: QEvent) -> None:
        """Follow a new font."""
        if event.type() == QEvent.Type.FontChange:
            self._n_columns = 0
            self._place()
        super().changeEvent(event)

    def _place(self) -> None:
        n_buttons = len(self._buttons)
        n_columns = n_buttons if self.width() >= self.one_row_width() else (n_buttons + 1) // 2
        if n_columns == self._n_columns:
            return
        self._n_columns = n_columns
        font = theme.small_font(self.font())
        for index, button in enumerate(self._buttons):
            button.setFont(font)
            self._layout.addWidget(button, index // n_columns, index % n_columns)
        for column in range(n_buttons):
            self._layout.setColumnStretch(column, 1 if column < n_columns else 0)
        self.updateGeometry()

    def _choose(self, index: int) -> None:
        self._route_focus()
        self.chosen.emit(index)

    def _route_focus(self) -> None:
        """Let Tab stop once, at the chosen button; the arrow keys go on from there."""
        current = self._buttons[max(0, self.index())]
        for button in self._buttons:
            is_stop = button is current
            button.setFocusPolicy(Qt.FocusPolicy.StrongFocus if is_stop else Qt.FocusPolicy.ClickFocus)
        self.setFocusProxy(current)
