"""Changes arrive faster than a screen can show them; they are gathered and painted once per turn of the event loop."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QObject, QTimer

SETTLE_MS = 12


class Settling(QObject):
    """Gathers changes that come close together, so that views are refreshed once for all of them."""

    def __init__(self, parent: QObject | None, interval_ms: int = SETTLE_MS) -> None:
        super().__init__(parent)
        self._timer = QTimer(self, singleShot=True, interval=interval_ms)
        self._timer.timeout.connect(self.refresh)

    def _later(self, *_: Any) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def flush(self) -> None:
        """Show now what waits to be shown."""
        if self._timer.isActive():
            self._timer.stop()
            self.refresh()

    def refresh(self) -> None:
        """Bring the views up to date."""
        raise NotImplementedError
