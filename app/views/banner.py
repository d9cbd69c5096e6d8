"""A line above the images that says what happened: never a dialog, never a storm of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QToolButton, QWidget

from app import theme
from app.views.named import named

if TYPE_CHECKING:
    from PySide6.QtCore import QEvent

INFO_MS = 9000
_ICONS = {
    "info": ("information-outline", "accent"),
    "success": ("check-circle-outline", "good"),
    "warning": ("alert-outline", "warning"),
    "error": ("alert-circle-outline", "error"),
}
_ACTIONS = {
    "use-cpu": "Run on the CPU",
    "open-folder": "Open folder",
    "show-training": "Show",
    "reconstruct-results": "Reconstruct {target}",
}


class Banner(QFrame):
    """Shows one message at a time; equal ones are counted, others wait behind it.

    Signals
    -------
    acted
        The user pressed the button of a message: its action and target.
    details_wanted
        The user wants to see the traceback.
    """

    acted = Signal(str, str)
    details_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("banner")
        self._messages: list[Any] = []
        self._counts: list[int] = []
        self._symbol = QLabel()
        self._text = QLabel(wordWrap=True)
        self._text.setObjectName("bannerText")
        self._text.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self._text.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self._more = QLabel()
        self._more.setProperty("muted", True)
        self._action = named("bannerAction", QPushButton())
        self._action.setAccessibleName("Remedy")
        self._action.setToolTip("Do what the message suggests")
        self._details = named("bannerDetails", QPushButton("Details"))
        self._details.setToolTip("Show the traceback in the log")
        self._close = named("bannerClose", QToolButton())
        self._close.setToolTip("Dismiss")
        self._close.setAccessibleName("Dismiss message")
        theme.set_icon(self._close, "close")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(theme.MARGIN, theme.SPACE, theme.GAP, theme.SPACE)
        layout.setSpacing(theme.GAP)
        layout.addWidget(self._symbol)
        layout.addWidget(self._text, 1)
        for widget in (self._more, self._action, self._details, self._close):
            layout.addWidget(widget)
        self._timer = QTimer(self, singleShot=True, interval=INFO_MS)
        self._timer.timeout.connect(self.dismiss)
        self._action.clicked.connect(self._act)
        self._details.clicked.connect(lambda: self.details_wanted.emit(self._messages[-1].details))
        self._close.clicked.connect(self.dismiss)
        theme.notifier().changed.connect(self._refresh)
        self.hide()

    @property
    def text(self) -> str:
        """What the banner says now; empty when it is hidden."""
        return self._messages[-1].text if self._messages else ""

    def show_message(self, message: Any) -> None:
        """Show a message; one that is shown already is only counted."""
        for place, other in enumerate(self._messages):
            if (other.level, other.text) == (message.level, message.text):
                self._messages.append(self._messages.pop(place))
                self._counts.append(self._counts.pop(place) + 1)
                break
        else:
            # News push earlier news aside; warnings and errors stay until they are dismissed.
            keep = [n for n, other in enumerate(self._messages) if other.level in ("warning", "error")]
            self._messages = [self._messages[n] for n in keep] + [message]
            self._counts = [self._counts[n] for n in keep] + [1]
        self._refresh()

    def dismiss(self) -> None:
        """Take the message away and show the one behind it."""
        if self._messages:
            self._messages.pop()
            self._counts.pop()
        self._refresh()

    def withdraw(self, topic: str) -> None:
        """Take the messages on a topic away, wherever they wait."""
        kept = [n for n, message in enumerate(self._messages) if message.topic != topic]
        if len(kept) < len(self._messages):
            self._messages = [self._messages[n] for n in kept]
            self._counts = [self._counts[n] for n in kept]
            self._refresh()

    def clear(self) -> None:
        """Take all messages away."""
        self._messages, self._counts = [], []
        self._refresh()

    def _act(self) -> None:
        message = self._messages[-1]
        self.dismiss()
        self.acted.emit(message.action, message.target)

    def _refresh(self) -> None:
        self._timer.stop()
        if not self._messages:
            self.hide()
            return
        message, count = self._messages[-1], self._counts[-1]
        name, role = _ICONS[message.level]
        self._symbol.setPixmap(theme.icon(name, role).pixmap(theme.ICON_SIZE, theme.ICON_SIZE))
        self._symbol.setAccessibleName(message.level)
        self._text.setText(message.text + (f"  (×{count})" if count > 1 else ""))
        self._more.setText(f"+{len(self._messages) - 1} more" if len(self._messages) > 1 else "")
        self._more.setToolTip("\n".join(other.text for other in reversed(self._messages[:-1])))
        self._more.setVisible(len(self._messages) > 1)
        self._action.setVisible(message.action in _ACTIONS)
        self._action.setText(_ACTIONS.get(message.action, "").format(target=message.target))
        self._action.setAccessibleName(self._action.text() or "Remedy")
        self._details.setVisible(bool(message.details))
        colours = theme.colours()
        edge = getattr(colours, role)
        self.setStyleSheet(f"#banner {{ background: {colours.raised}; border: none; border-left: 3px solid {edge}; }}")
        self.show()
        if message.level in ("info", "success") and not message.action:
            self._timer.start()

    def enterEvent(self, event: QEvent) -> None:
        """Whoever points at a message is reading it: it stays."""
        self._timer.stop()
        super().enterEvent(event)  # type: ignore[arg-type]
