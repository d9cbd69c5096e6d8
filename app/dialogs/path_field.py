"""A path in a form, with buttons that ask for it."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QWidget

from app import theme


class PathField(QWidget):
    """A file or folder.

    Parameters
    ----------
    text
        Path to start with.
    title
        Title of the file dialog, and the name for screen readers.
    takes_file, takes_folder
        What can be chosen; a button for each.
    """

    changed = Signal(str)

    def __init__(self, text: str, title: str, *, takes_file: bool, takes_folder: bool) -> None:
        super().__init__()
        self._title = title
        self.edit = QLineEdit(text, placeholderText="not set")
        self.edit.setAccessibleName(title)
        self.edit.textChanged.connect(self.changed)
        self.setFocusProxy(self.edit)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE)
        layout.addWidget(self.edit, 1)
        is_both = takes_file and takes_folder
        for is_offered, label, ask in (
            (takes_file, "File…" if is_both else "Choose…", self._ask_file),
            (takes_folder, "Folder…" if is_both else "Choose…", self._ask_folder),
        ):
            if is_offered:
                button = QPushButton(label)
                button.setAutoDefault(False)
                button.setAccessibleName(f"{title}: {label}")
                button.clicked.connect(ask)
                layout.addWidget(button)

    def text(self) -> str:
        """Path as it stands."""
        return self.edit.text().strip()

    def _ask_file(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(self, self._title, self.text(), "HDF5 files (*.h5 *.hdf5)")
        if chosen:
            self.edit.setText(chosen)

    def _ask_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, self._title, self.text())
        if chosen:
            self.edit.setText(chosen)
