"""The choice among the results of a session, by names that are often longer than their box."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QStyle, QStyleOptionComboBox, QStylePainter, QWidget

from app.output import count

if TYPE_CHECKING:
    from PySide6.QtGui import QPaintEvent

    from app.results import Result

_ELIDE = Qt.TextElideMode.ElideMiddle


class ResultChoice(QComboBox):
    """A box whose current data is a result; a long name loses its middle, since volumes of one file differ at its end.

    Parameters
    ----------
    results, current
        What can be chosen, and what is in view.
    """

    def __init__(self, results: list[Result], current: Result | None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.view().setTextElideMode(_ELIDE)
        for row, result in enumerate(results):
            words = result_words(result)
            self.addItem(words, result)
            self.setItemData(row, words, Qt.ItemDataRole.ToolTipRole)
        if current in results:
            self.setCurrentIndex(results.index(current))

    def shown_text(self) -> str:
        """Return the name as it fits into the box."""
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        field = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self
        )
        # The style keeps a pixel on either side of the text.
        return self.fontMetrics().elidedText(self.currentText(), _ELIDE, field.width() - 4)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the box as the style does, with a name that fits."""
        painter = QStylePainter(self)
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        option.currentText = self.shown_text()
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


def result_words(result: Result) -> str:
    """Return what a list of results calls one, such as ``#2 · PC-RNN · Random lines 4× · 3 slices · brain``."""
    return f"{result.title} · {count(len(result.finished), 'slice')} · {result.series.title}"
