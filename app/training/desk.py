"""What the window does about trainings: its dialogs, the pane, and the folders that the user asks for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QFileDialog

from app.presenters.training import TrainingPresenter, progress_text

if TYPE_CHECKING:
    from PySide6.QtWidgets import QLabel

    from app.main_window import MainWindow

LEAST_WIDTH = 330
_SHARE_OF_WIDTH = 0.26


class TrainingDesk(QObject):
    """Connects the monitor with the window around it.

    Parameters
    ----------
    window
        The window.
    status
        Label of the status bar that says how far the run is.
    """

    def __init__(self, window: MainWindow, status: QLabel) -> None:
        super().__init__(window)
        self._window = window
        self._session = window.session
        self._status = status
        self.presenter = TrainingPresenter(window.session, window.training, self)
        monitor, run = window.training, window.session.training
        monitor.train_wanted.connect(lambda: window.ask_training())
        monitor.open_wanted.connect(self.ask_run)
        monitor.folder_wanted.connect(self.open_folder)
        monitor.compare_other_wanted.connect(self.ask_comparison)
        run.found.connect(self._show_found)
        run.state_changed.connect(self._show_status)
        run.updated.connect(self._show_status)
        self._show_status()

    def _show_found(self, _text: str) -> None:
        if self._session.training.is_running:
            self.show_pane()

    def start(self) -> None:
        """Start a training with the settings, and show it."""
        if self._session.train():
            self.show_pane()

    def show_pane(self) -> None:
        """Bring the pane to the front, wide enough for its curves."""
        window = self._window
        dock = window.docks["training"]
        is_new = dock.isHidden()
        dock.show()
        dock.raise_()
        if is_new and not dock.isFloating():
            width = max(LEAST_WIDTH, round(_SHARE_OF_WIDTH * window.width()))
            window.panes.widen("training", width)

    def ask_run(self) -> None:
        """Ask for the folder of a run, and follow it."""
        run = self._session.training
        if run.is_running or run.is_publishing:
            self._session.say("info", "A training is running; Compare draws other runs beside it.")
            return
        name = QFileDialog.getExistingDirectory(self._window, "Open the folder of a training run", self._near())
        if name:
            run.adopt(Path(name))

    def ask_comparison(self) -> None:
        """Ask for the folder of a run, and draw its curves beside those of the run that is followed."""
        name = QFileDialog.getExistingDirectory(self._window, "Compare with a training run", self._near())
        if name:
            self.presenter.compare(Path(name))

    def open_folder(self) -> None:
        """Open the run folder with the desktop's file manager."""
        folder = self._session.training.folder
        if folder is not None and folder.is_dir():
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))
        else:
            self._session.say("warning", f"The run folder {folder} is gone.")

    def close(self) -> None:
        """End the threads."""
        self.presenter.close()

    def _near(self) -> str:
        folder = self._session.training.folder
        return str(folder.parent) if folder is not None else self._session.settings.training_output

    def _show_status(self) -> None:
        run = self._session.training
        text = f"training {progress_text(run.record, is_running=True)}".strip() if run.is_running else ""
        self._status.setText(text)
        self._status.setVisible(bool(text))
