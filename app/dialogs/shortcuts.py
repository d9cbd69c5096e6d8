"""The sheet of all keys and mouse gestures, made from the table of commands."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app import theme
from app.command_list import COMMANDS, LEVELS, MENUS, MOUSE


class ShortcutsDialog(QDialog):
    """Three columns that fit on a small screen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("shortcutsDialog")
        self.setWindowTitle("Keyboard and mouse")
        blocks = [("Mouse in the images", list(MOUSE))]
        for menu in MENUS:
            rows = [
                (
                    "  ".join(
                        QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText) for key in command.keys
                    ),
                    command.text,
                )
                for command in COMMANDS
                if command.menu == menu and command.keys
            ]
            blocks.append((menu, rows))
        columns = QHBoxLayout()
        columns.setSpacing(4 * theme.GAP)
        by_title = dict(blocks)
        for titles in (("Mouse in the images", "File"), ("View",), ("Edit", LEVELS, "Reconstruct", "Help")):
            column = QVBoxLayout()
            column.setSpacing(theme.GAP)
            for title in titles:
                heading = QLabel(title)
                heading.setProperty("heading", True)
                column.addWidget(heading)
                column.addLayout(_table(by_title[title]))
                column.addSpacing(theme.GAP)
            column.addStretch()
            columns.addLayout(column)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*[2 * theme.MARGIN] * 4)
        layout.addLayout(columns)
        layout.addWidget(buttons)
        # By itself a dialog becomes as tall as texts of one line need.
        width = self.sizeHint().width()
        self.resize(width, layout.totalHeightForWidth(width))


def _table(rows: list[tuple[str, str]]) -> QGridLayout:
    table = QGridLayout()
    table.setHorizontalSpacing(2 * theme.GAP)
    table.setVerticalSpacing(theme.SPACE)
    for row, (keys, text) in enumerate(rows):
        label = QLabel(keys)
        label.setProperty("muted", True)
        table.addWidget(label, row, 0, Qt.AlignmentFlag.AlignTop)
        words = QLabel(text, wordWrap=True)
        words.setMinimumWidth(170)
        table.addWidget(words, row, 1)
    table.setColumnStretch(1, 1)
    return table
