"""Settings: a form made from the fields of `app.settings.Settings`, beside the page that starts a training."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.dialogs.path_field import PathField
from app.dialogs.training_page import TrainingPage
from app.settings import Settings
from app.views.named import named

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtGui import QShowEvent


_HEIGHT = 640
_SHARE_OF_SCREEN = 0.9


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
        self,
        settings: Settings,
        models: Sequence[tuple[str, str]],
        page: str = "General",
        parent: QWidget | None = None,
        devices: Sequence[str] = ("auto", "cpu"),
    ) -> None:
        super().__init__(parent)
        self.setObjectName("settingsDialog")
        self.setWindowTitle("Settings")
        self.hindrance: Callable[[], str] = str
        """Says why no training can start now, whatever the page holds; empty when one can."""
        self._settings = settings
        self._read: dict[str, Callable[[], Any]] = {}
        self.tabs = QTabWidget()
        forms: dict[str, QFormLayout] = {}
        for item in fields(Settings):
            if item.metadata.get("hidden") or item.metadata["page"] == "Training":
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
            field.setAccessibleName(item.metadata["label"])
            field.setToolTip(item.metadata["help"])
            hint = QLabel(item.metadata["help"], wordWrap=True)
            hint.setProperty("muted", True)
            block = QVBoxLayout()
            block.setSpacing(2)
            block.addWidget(field)
            block.addWidget(hint)
            forms[name].addRow(item.metadata["label"], block)
        self.training = TrainingPage(settings, models, devices)
        self.training.start_wanted.connect(self._train)
        self._read.update(self.training.read)
        self.tabs.addTab(self.training, "Training")
        for number in range(self.tabs.count()):
            if self.tabs.tabText(number) == page:
                self.tabs.setCurrentIndex(number)
        self.problem = QLabel(wordWrap=True)
        theme.dress(self.problem, colour="error")
        self.problem.hide()
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Save | QDialogButtonBox.StandardButton.Cancel)
        self.save_button = named("saveSettings", buttons.button(QDialogButtonBox.StandardButton.Save))
        self.tabs.currentChanged.connect(self._emphasise)
        self._emphasise()
        buttons.accepted.connect(self._save)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*[theme.MARGIN] * 4)
        layout.addWidget(self.tabs)
        layout.addWidget(self.problem)
        layout.addWidget(buttons)
        self.setMinimumWidth(700)
        self.resize(self.minimumWidth(), _HEIGHT)
        self._forgive_changes()
        # Queued: what has grown is laid out first.
        self.training.grown.connect(self._fit, Qt.ConnectionType.QueuedConnection)

    def showEvent(self, event: QShowEvent) -> None:
        """Be as tall as the form of the training needs."""
        super().showEvent(event)
        self._fit()

    def _emphasise(self) -> None:
        # The page of the training has a button of its own for what it is there for.
        theme.dress(self.save_button, primary=self.tabs.currentWidget() is not self.training)

    def _fit(self) -> None:
        """Grow until the training's form needs no scrolling, within the screen."""
        most = round(_SHARE_OF_SCREEN * self.screen().availableGeometry().height())
        n_hidden = self.training.n_hidden_pixels()
        if self.tabs.currentWidget() is self.training and n_hidden > 0 and self.height() < most:
            self.resize(self.width(), min(most, self.height() + n_hidden))
            room = self.screen().availableGeometry()
            self.move(self.x(), max(room.top(), min(self.y(), room.bottom() - self.frameGeometry().height())))

    def _forgive_changes(self) -> None:
        """Take back what was said of a field as soon as any is changed."""
        for kind, signal in (
            (QLineEdit, "textChanged"), (QSpinBox, "valueChanged"), (QComboBox, "currentIndexChanged"),
            (QCheckBox, "toggled"),
        ):  # fmt: skip
            for field in self.findChildren(kind):
                getattr(field, signal).connect(lambda _value: self.problem.hide())

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
        choices = limits.get("choices", ())
        if choices:
            combo = QComboBox()
            for choice in choices:
                combo.addItem(f"×{choice}" if name == "error_gain" else str(choice), choice)
            combo.setCurrentIndex(max(0, combo.findData(value)))
            self._read[name] = combo.currentData
            return combo
        if limits.get("kind") == "folder":
            path = PathField(value, limits["label"], takes_file=False, takes_folder=True)
            self._read[name] = path.text
            return path
        if isinstance(value, int):
            spin = QSpinBox(minimum=limits["minimum"], maximum=limits["maximum"], value=value)
            spin.lineEdit().setTextMargins(3, 0, 0, 0)
            self._read[name] = spin.value
            return spin
        edit = QLineEdit(str(value))
        self._read[name] = lambda: edit.text().strip()
        return edit

    def _save(self) -> bool:
        try:
            self._settings.changed(**self.values())
        except ValueError as error:
            self._refuse(str(error))
            return False
        self.saved.emit(self.values())
        self.accept()
        return True

    def _refuse(self, problem: str) -> None:
        self.problem.setText(problem)
        self.problem.show()

    def _train(self) -> None:
        problem = self.training.problem() or self.hindrance()
        if problem:
            self._refuse(problem)
            return
        if self._save():
            self.training_wanted.emit()

    def done(self, result: int) -> None:
        """End a check of data that runs, then close."""
        self.training.close_check()
        super().done(result)
