"""Between the window and its session files: asks for a file, and carries over what part of the images is in view."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QFileDialog, QMessageBox

from app.session_file import SUFFIX, is_session_file
from app.views.image_canvas import View

if TYPE_CHECKING:
    from app.main_window import MainWindow
    from app.session_file import ViewOptions

_FILTER = f"Sessions (*{SUFFIX})"


class SessionDesk(QObject):
    """Opens the dialogs of a window, and makes its banner do what a session file offers.

    Parameters
    ----------
    window
        The window.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._keeping = window.session.keeping
        self._keeping.restored.connect(self._look)
        window.banner.acted.connect(self._act)

    def ask(self) -> None:
        """Ask for a session and open it."""
        name, _ = QFileDialog.getOpenFileName(
            self._window, "Open a session", self._window.last_folder(), f"{_FILTER};;All files (*)"
        )
        if name:
            self._keeping.open(name)

    def save(self) -> None:
        """Ask where to save the session, and save it."""
        path = self._keeping.path
        proposed = str(path or Path(self._window.last_folder()) / f"session{SUFFIX}")
        name, _ = QFileDialog.getSaveFileName(self._window, "Save the session", proposed, _FILTER)
        if not name:
            return
        wanted = name if is_session_file(name) else name.removesuffix(".json").removesuffix(".mriws") + SUFFIX
        # The dialog asked about the file that was typed, not about this one.
        if wanted != name and Path(wanted).exists() and not self._may_replace(wanted):
            return
        view = self._window.grid.view()
        self._keeping.save(wanted, view.zoom, (view.x, view.y))

    def _may_replace(self, name: str) -> bool:
        text = f"{Path(name).name} is there already. Replace it?"
        return QMessageBox.question(self._window, "Save the session", text) == QMessageBox.StandardButton.Yes

    def _look(self, options: ViewOptions) -> None:
        self._window.grid.set_view(View(options.zoom, *options.centre))
        self._window.status.refresh()

    def _act(self, action: str, _target: str) -> None:
        if action == "reconstruct-results":
            self._keeping.reconstruct()
