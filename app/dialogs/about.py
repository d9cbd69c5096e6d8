"""What the program is, what it may be used for, what it is made of."""

from __future__ import annotations

import importlib.metadata
import platform

from PySide6.QtCore import Qt, qVersion
from PySide6.QtGui import QFont
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QLabel, QVBoxLayout, QWidget

from app import theme
from app.views.start_page import RESEARCH_USE
from recon import __version__

PARTS = (
    ("PySide6-Essentials", "PySide6 (Qt)", "LGPL-3.0"),
    ("torch", "PyTorch", "BSD-3-Clause"),
    ("numpy", "NumPy", "BSD-3-Clause"),
    ("h5py", "h5py", "BSD-3-Clause"),
    ("pydicom", "pydicom", "MIT"),
    ("pyqtgraph", "pyqtgraph", "MIT"),
    ("matplotlib", "Matplotlib", "Matplotlib licence"),
    ("QtAwesome", "QtAwesome, Material Design icons", "MIT, Apache-2.0"),
)


class AboutDialog(QDialog):
    """Name, version, research use, licences."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("aboutDialog")
        self.setWindowTitle("About MRI workstation")
        title = QLabel(f"MRI workstation {__version__}")
        font = QFont(self.font())
        font.setPointSizeF(font.pointSizeF() * 1.5)
        font.setWeight(QFont.Weight.DemiBold)
        title.setFont(font)
        research = QLabel(RESEARCH_USE, wordWrap=True)
        research.setProperty("heading", True)
        licence = QLabel("Apache License 2.0. The demo scans are MIT-licensed; their README says where they come from.")
        licence.setWordWrap(True)
        table = QGridLayout()
        table.setHorizontalSpacing(3 * theme.GAP)
        table.setVerticalSpacing(theme.SPACE)
        rows = [("Python", platform.python_version(), "PSF-2.0"), ("Qt", qVersion(), "LGPL-3.0")]
        rows += [(words, version, licence_name) for name, words, licence_name in PARTS if (version := _version(name))]
        for row, texts in enumerate(rows):
            for column, text in enumerate(texts):
                label = QLabel(text)
                label.setProperty("muted", column > 0)
                table.addWidget(label, row, column)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*[2 * theme.MARGIN] * 4)
        layout.setSpacing(theme.MARGIN)
        for widget in (title, research, licence):
            widget.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            layout.addWidget(widget)
        layout.addLayout(table)
        layout.addWidget(buttons)
        self.setMinimumWidth(480)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
