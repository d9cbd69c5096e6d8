"""A quiet, read-only table of names and numbers that says why it is empty and can be copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QAction, QGuiApplication, QKeySequence, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLabel,
    QMenu,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app import theme

if TYPE_CHECKING:
    from collections.abc import Sequence


class NumberTable(QTableWidget):
    """Table whose first column holds names and gives way to the numbers in the others.

    Ctrl+C copies it as tab-separated text; the context menu offers CSV, too.

    Parameters
    ----------
    titles, hints
        Heads of the columns of numbers, and what they mean.
    empty
        What stands there while there is nothing.
    """

    def __init__(self, titles: Sequence[str], hints: Sequence[str], empty: str, parent: QWidget | None = None) -> None:
        super().__init__(0, 1 + len(titles), parent)
        self.setHorizontalHeaderLabels(["", *titles])
        header = self.horizontalHeader()
        header.setMinimumSectionSize(40)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column, hint in enumerate(hints, start=1):
            item = self.horizontalHeaderItem(column)
            assert item is not None
            item.setToolTip(hint)
            item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        header.setHighlightSections(False)
        header.sectionResized.connect(self._give_way)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 4)
        self.setShowGrid(False)
        self.setFrameShape(QTableWidget.Shape.NoFrame)
        self.setWordWrap(False)
        # Names of one method, with other parameters or patterns, differ at their ends.
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setTabKeyNavigation(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._open_menu)
        self._copy = QAction("Copy", self)
        self._copy.setShortcut(QKeySequence(QKeySequence.StandardKey.Copy))
        self._copy.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        self._copy.triggered.connect(lambda: self.copy("\t"))
        self.addAction(self._copy)
        self._empty = QLabel(empty, self.viewport())
        self._empty.setProperty("muted", True)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setWordWrap(True)
        layout = QVBoxLayout(self.viewport())
        layout.addWidget(self._empty)

    def set_message(self, text: str) -> None:
        """Say why there is nothing."""
        self._empty.setText(text)

    def as_text(self, separator: str = "\t") -> str:
        """Whole table with its header, one line a row; numbers in full width."""
        raise NotImplementedError

    def copy(self, separator: str = "\t") -> None:
        """Put the table on the clipboard."""
        QGuiApplication.clipboard().setText(self.as_text(separator))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Let the names give way to the numbers."""
        super().resizeEvent(event)
        self._give_way()

    def _give_way(self) -> None:
        header = self.horizontalHeader()
        if header.sectionResizeMode(0) != QHeaderView.ResizeMode.Stretch:
            return
        names, least = header.sectionSize(0), header.minimumSectionSize()
        # Qt leaves a column that stretches as wide as it was where the others alone need all that there is.
        if names > least and header.length() - names >= header.viewport().width():
            header.resizeSection(0, least)

    def _set_heading(self, text: str, hint: str = "") -> None:
        """Write into the head of the first column: a small pane has no row to spare."""
        heading = QTableWidgetItem(text)
        heading.setToolTip(hint)
        heading.setTextAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.setHorizontalHeaderItem(0, heading)

    def _set_length(self, n_rows: int) -> None:
        self.setRowCount(n_rows)
        self._empty.setVisible(not n_rows)
        self.horizontalHeader().setVisible(bool(n_rows))

    def _set_name(self, line: int, name: str) -> None:
        item = QTableWidgetItem(name)
        item.setToolTip(name)
        self.setItem(line, 0, item)

    def _number(self, text: str, hint: str) -> QTableWidgetItem:
        """Return the cell of a number, whose digits stand under those of its neighbours."""
        item = QTableWidgetItem(text)
        item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        item.setToolTip(hint)
        item.setFont(theme.number_font(self.font()))
        return item

    def _open_menu(self, position: QPoint) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction("Copy as tab-separated text", lambda: self.copy("\t"))
        menu.addAction("Copy as CSV", lambda: self.copy(","))
        menu.popup(self.viewport().mapToGlobal(position))


def quoted(text: str, separator: str) -> str:
    """Return a cell of a text table, in quotation marks where it needs them."""
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if separator in text or '"' in text else text
