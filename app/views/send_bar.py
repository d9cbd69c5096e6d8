"""What goes to a PACS at the moment: a count, a bar and a way to stop, in the status bar while there is something."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QToolButton, QWidget

from app import theme
from app.views.named import named

_BAR_WIDTH = 72
_BAR_HEIGHT = 8


class SendBar(QWidget):
    """Hidden while nothing is sent.

    Signals
    -------
    cancel_wanted
        The user pressed the cross.
    """

    cancel_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("sendBar")
        self._destination = ""
        self.text = named("sendText", QLabel())
        self.text.setFont(theme.number_font(self.font()))
        self.bar = named("sendProgress", QProgressBar(textVisible=False))
        self.bar.setFixedSize(_BAR_WIDTH, _BAR_HEIGHT)
        self.bar.setAccessibleName("Images that were sent")
        self.cancel = named("sendCancel", QToolButton())
        self.cancel.setAccessibleName("Stop sending")
        self.cancel.setToolTip("Stop sending; images that are stored stay stored")
        theme.set_icon(self.cancel, "close")
        self.cancel.clicked.connect(self._cancel)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.GAP)
        for widget in (self.text, self.bar, self.cancel):
            layout.addWidget(widget)
        self.hide()

    def begin(self, destination: str) -> None:
        """Appear, for a destination."""
        self._destination = destination
        self.setToolTip(f"Sending to {destination}")
        self._say("sending …")
        self.bar.setRange(0, 0)
        self.cancel.setEnabled(True)
        self.show()

    def advance(self, n_sent: int, n_images: int, seconds_left: float | None) -> None:
        """Show how far it is."""
        left = f", {seconds_left:.0f} s left" if seconds_left is not None and seconds_left >= 1 else ""
        self.setToolTip(f"Sending to {self._destination}{left}")
        if self.cancel.isEnabled():
            self._say(f"sending {n_sent}/{n_images}")
        self.bar.setRange(0, n_images)
        self.bar.setValue(n_sent)

    def end(self) -> None:
        """Disappear."""
        self.hide()

    def _cancel(self) -> None:
        self.cancel.setEnabled(False)
        self._say("stopping …")
        self.cancel_wanted.emit()

    def _say(self, text: str) -> None:
        self.text.setText(text)
        # A status bar gives its texts no more room than they had, so this one asks for it; it never shrinks, and what
        # stands beside it keeps its place while the numbers grow.
        self.text.setMinimumWidth(max(self.text.minimumWidth(), self.text.sizeHint().width()))
