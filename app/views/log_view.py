"""The log: what the program said, with tracebacks, to read and to copy."""

from __future__ import annotations

import logging

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QFontDatabase, QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from app import theme
from app.views.named import named

N_LINES = 5000


class _Bridge(QObject):
    """Carries log records from any thread to the window's."""

    line = Signal(str)


class Handler(logging.Handler):
    """Hands records to a `LogView`; may be called in any thread."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.bridge = _Bridge()
        self.setFormatter(logging.Formatter("%(asctime)s  %(levelname)-7s  %(message)s", "%H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        """Format and hand over."""
        self.bridge.line.emit(self.format(record))


class LogView(QWidget):
    """Read-only text with a copy button."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("logView")
        self._text = named(
            "logText", QPlainTextEdit(readOnly=True, lineWrapMode=QPlainTextEdit.LineWrapMode.WidgetWidth)
        )
        self._text.setMaximumBlockCount(N_LINES)
        self._text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self._text.setMinimumWidth(40)
        self._text.setFrameShape(QPlainTextEdit.Shape.NoFrame)
        self._text.setAccessibleName("Log")
        self._text.setPlaceholderText("What the program does is noted here.")
        copy = QPushButton("Copy all")
        copy.setToolTip("Copy the log to the clipboard")
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self.text()))
        clear = QPushButton("Clear")
        clear.setToolTip("Forget the lines shown here")
        clear.clicked.connect(self._text.clear)
        buttons = QVBoxLayout()
        buttons.addWidget(copy)
        buttons.addWidget(clear)
        buttons.addStretch()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(theme.GAP, 0, theme.GAP, theme.GAP)
        layout.addWidget(self._text, 1)
        layout.addLayout(buttons)

    def add(self, line: str) -> None:
        """Append lines at the end."""
        self._text.appendPlainText(line)

    def text(self) -> str:
        """Everything in the log."""
        return self._text.toPlainText()
