"""A part of a form that opens and closes: its heading is a button, and says in few words what is set inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from app import theme
from app.views.named import named

if TYPE_CHECKING:
    from PySide6.QtGui import QResizeEvent

SEPARATOR = " · "
"""Between the parts of a summary."""


class _Elided(QLabel):
    """One line of parts; where there is little room, whole parts are left out: half a number would be another one."""

    def __init__(self) -> None:
        super().__init__()
        self._whole = ""
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

    def set_whole(self, text: str) -> None:
        self._whole = text
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def minimumSizeHint(self) -> QSize:
        return QSize(0, super().minimumSizeHint().height())

    def _fit(self) -> None:
        width = max(0, self.width() - 2)
        metrics = QFontMetrics(self.font())
        parts = self._whole.split(SEPARATOR)
        texts = [self._whole, *(SEPARATOR.join(parts[:n]) + " …" for n in range(len(parts) - 1, 0, -1))]
        self.setText(next((text for text in texts if metrics.horizontalAdvance(text) <= width), ""))


class Section(QWidget):
    """Heading with an arrow over a content that is closed at first.

    Parameters
    ----------
    title
        Heading.
    content
        What opens.
    name
        Object name of the button.
    hint
        What is inside, for the pointer.
    """

    opened = Signal(bool)
    """The user opened or closed it."""

    def __init__(self, title: str, content: QWidget, name: str, hint: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.content = content
        self._title = title
        self._hint = hint
        self.button = named(name, QToolButton())
        self.button.setText(title)
        self.button.setCheckable(True)
        self.button.setProperty("section", True)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.button.toggled.connect(self._toggle)
        self.summary = _Elided()
        theme.dress(self.summary, colour="muted")
        heading = QHBoxLayout()
        heading.setContentsMargins(0, 0, 0, 0)
        heading.setSpacing(theme.GAP)
        heading.addWidget(self.button)
        heading.addWidget(self.summary, 1)
        heading.addStretch(0)  # holds the heading at the left while there is no summary
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE + 2)
        layout.addLayout(heading)
        layout.addWidget(content)
        content.setVisible(False)
        self._show_state()

    def set_summary(self, text: str, *, is_changed: bool = False) -> None:
        """Say in few words what is set inside; what differs from the usual stands in the accent colour."""
        self.summary.set_whole(text)
        theme.dress(self.summary, colour="accent" if is_changed else "muted")
        self.summary.setToolTip(text)
        self.button.setAccessibleDescription(text)

    def is_open(self) -> bool:
        """Whether the content is shown."""
        return self.button.isChecked()

    def set_open(self, is_open: bool) -> None:
        """Open or close it."""
        self.button.setChecked(is_open)

    def changeEvent(self, event: QEvent) -> None:
        """Follow a new font."""
        if event.type() == QEvent.Type.FontChange:
            self._show_state()
        super().changeEvent(event)

    def _toggle(self, is_open: bool) -> None:
        self.content.setVisible(is_open)
        self.summary.setVisible(not is_open)
        self._show_state()
        self.opened.emit(is_open)

    def _show_state(self) -> None:
        is_open = self.is_open()
        theme.set_icon(self.button, "chevron-down" if is_open else "chevron-right", "muted")
        self.button.setAccessibleName(f"{self._title}, {'open' if is_open else 'closed'}")
        self.button.setToolTip(self._hint)
