"""A row of joined buttons of which one is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QSizePolicy, QToolButton, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence


class Segmented(QWidget):
    """Choice among a few short labels, all in sight.

    Parameters
    ----------
    labels
        Texts of the buttons.
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
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        self._buttons: list[QToolButton] = []
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        for index, label in enumerate(labels):
            button = QToolButton(self)
            button.setText(label)
            button.setCheckable(True)
            button.setProperty("segment", True)
            button.setAccessibleName(f"{name} {label}")
            button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            self._group.addButton(button, index)
            self._buttons.append(button)
            layout.addWidget(button)
        self._group.idClicked.connect(self._choose)
        if labels:
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
