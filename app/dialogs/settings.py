"""Settings: a form made from the fields of `app.settings.Settings`, and the page that starts a training."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.settings import Settings
from app.views.named import named

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class _PathField(QWidget):
    """A file or folder with a button that asks for it."""

    changed = Signal(str)

    def __init__(self, text: str, title: str, *, is_file: bool) -> None:
        super().__init__()
        self._title = title
        self._is_file = is_file
        self.edit = QLineEdit(text, placeholderText="not set")
        self.edit.textChanged.connect(self.changed)
        button = QPushButton("Choose…")
        button.clicked.connect(self._browse)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.edit, 1)
        layout.addWidget(button)

    def _browse(self) -> None:
        if self._is_file:
            chosen, _ = QFileDialog.getOpenFileName(self, self._title, self.edit.text(), "HDF5 files (*.h5 *.hdf5)")
        else:
            chosen = QFileDialog.getExistingDirectory(self, self._title, self.edit.text())
        if chosen:
            self.edit.setText(chosen)


class SettingsDialog(QDialog):
    """One page per group of settings; nothing changes until Save.

    Signals
    -------
    saved
        The values that were changed.
    training_wanted
        The user wants to train with the settings of the training page.
    """

    saved = Signal(dict)
    training_wanted = Signal()

    def __init__(
        self, settings: Settings, models: Sequence[str], page: str = "General", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName("settingsDialog")
        self.setWindowTitle("Settings")
        self._settings = settings
        self._models = tuple(models)
        self._read: dict[str, Callable[[], Any]] = {}
        self.tabs = QTabWidget()
        forms: dict[str, QFormLayout] = {}
        for item in fields(Settings):
            if item.metadata.get("hidden"):
                continue
            name = item.metadata["page"]
            if name not in forms:
                tab = QWidget()
                forms[name] = QFormLayout(tab)
                forms[name].setContentsMargins(*[2 * theme.GAP] * 4)
                forms[name].setHorizontalSpacing(2 * theme.GAP)
                forms[name].setVerticalSpacing(theme.MARGIN)
                forms[name].setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
                self.tabs.addTab(tab, name)
            field = self._field(item.name, item.metadata, getattr(settings, item.name))
            field.setObjectName(f"setting-{item.name}")
            field.setToolTip(item.metadata["help"])
            hint = QLabel(item.metadata["help"], wordWrap=True)
            hint.setProperty("muted", True)
            block = QVBoxLayout()
            block.setSpacing(2)
            block.addWidget(field)
            block.addWidget(hint)
            forms[name].addRow(item.metadata["label"], block)
        start = named("startTraining", QPushButton("Start training"))
        start.setProperty("primary", True)
        start.clicked.connect(self._train)
        forms["Training"].addRow("", start)
        for number in range(self.tabs.count()):
            if self.tabs.tabText(number) == page:
                self.tabs.setCurrentIndex(number)
        self.problem = QLabel(wordWrap=True)
        self.problem.setStyleSheet(f"color: {theme.colours().error};")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Save | QDialogButtonBox.StandardButton.Cancel)
        buttons.button(QDialogButtonBox.StandardButton.Save).setProperty("primary", True)
        buttons.accepted.connect(self._save)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*[theme.MARGIN] * 4)
        layout.addWidget(self.tabs)
        layout.addWidget(self.problem)
        layout.addWidget(buttons)
        self.setMinimumWidth(560)

    def propose(self, **values: str) -> None:
        """Choose other values in fields with choices; they count when the user saves."""
        for name, value in values.items():
            field = self.findChild(QComboBox, f"setting-{name}")
            if field is not None and field.findData(value) >= 0:
                field.setCurrentIndex(field.findData(value))

    def values(self) -> dict[str, Any]:
        """Return what differs from the present settings."""
        found = {name: read() for name, read in self._read.items()}
        return {name: value for name, value in found.items() if value != getattr(self._settings, name)}

    def _field(self, name: str, limits: Any, value: Any) -> QWidget:
        choices = limits.get("choices") or (self._models if limits.get("kind") == "model" else ())
        if choices:
            combo = QComboBox()
            for choice in choices:
                combo.addItem(f"×{choice}" if name == "error_gain" else str(choice), choice)
            combo.setCurrentIndex(max(0, combo.findData(value)))
            self._read[name] = combo.currentData
            return combo
        if limits.get("kind") in ("file", "folder"):
            path = _PathField(value, limits["label"], is_file=limits["kind"] == "file")
            self._read[name] = lambda: path.edit.text().strip()
            return path
        if isinstance(value, int):
            spin = QSpinBox(minimum=limits["minimum"], maximum=limits["maximum"], value=value)
            spin.lineEdit().setTextMargins(3, 0, 0, 0)
            self._read[name] = spin.value
            return spin
        edit = QLineEdit(str(value))
        self._read[name] = lambda: edit.text().strip()
        return edit

    def _save(self) -> None:
        try:
            self._settings.changed(**self.values())
        except ValueError as error:
            self.problem.setText(str(error))
            return
        self.saved.emit(self.values())
        self.accept()

    def _train(self) -> None:
        if not self._read["training_data"]() or not self._read["training_output"]():
            self.problem.setText("Choose the training images and a run folder first.")
            return
        self._save()
        self.training_wanted.emit()
