"""The settings in force, and the file that keeps them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from app import settings

if TYPE_CHECKING:
    from pathlib import Path


class Preferences(QObject):
    """Holds the settings of a session.

    Parameters
    ----------
    file
        Where they are kept; None takes the user's file.

    Signals
    -------
    changed
        Other values.
    missed
        They could not be written, and hold for this session only: a sentence.
    """

    changed = Signal()
    missed = Signal(str)

    def __init__(self, file: Path | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._file = file or settings.default_file()
        self.values, self._problem = settings.load(self._file)

    def take_problem(self) -> str:
        """Return what was wrong with the file, the first time; else an empty string."""
        problem, self._problem = self._problem, None
        return problem or ""

    def change(self, **values: Any) -> None:
        """Change settings and write them.

        Raises
        ------
        ValueError
            If a name is unknown or a value is outside its limits.
        """
        self.values = self.values.changed(**values)
        try:
            settings.save(self.values, self._file)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            self.missed.emit(f"Settings could not be written to {self._file}: {reason}.")
        self.changed.emit()
