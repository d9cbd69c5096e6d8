"""The page of the settings that starts a training: data and its check, recipe, what replaces its values, where to."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QProcess, Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QSpacerItem,
    QSpinBox,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.dialogs.path_field import PathField
from app.settings import Settings
from app.training.launch import module_process
from app.training.recipe import MASK_KINDS, inspection_text, list_recipes, read_accelerations, read_recipe, told
from app.views.fields import form, muted
from app.views.named import named

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtCore import QSizeF
    from PySide6.QtGui import QResizeEvent

RESEARCH = "Weights that are published from a run tell in their card what they were trained on. Research use only."
_N_MASK_COLUMNS = 3


class Report(QTextEdit):
    """Text to read and copy, as tall as it is: what surrounds it scrolls."""

    def __init__(self) -> None:
        super().__init__(readOnly=True, tabChangesFocus=True, acceptRichText=False)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.document().setDocumentMargin(theme.SPACE)
        self.document().documentLayout().documentSizeChanged.connect(self._grow)

    def _grow(self, size: QSizeF) -> None:
        self.setFixedHeight(math.ceil(size.height()) + 2 * self.frameWidth())


class Summary(QLabel):
    """Quiet text as tall as it is at its width: a form that has to guess squeezes the row above it."""

    def __init__(self) -> None:
        super().__init__(wordWrap=True)
        self.setProperty("muted", True)

    def setText(self, text: str) -> None:
        """Show another text."""
        super().setText(text)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Wrap anew."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self.setFixedHeight(self.heightForWidth(self.width()))


class TrainingPage(QWidget):
    """Form of the training settings, which scrolls, above what starts it, which does not.

    Parameters
    ----------
    settings
        Values to start with.
    models
        Names and titles of the methods that can be trained.
    devices
        Devices of this machine, such as ``("auto", "cpu", "cuda:0")``.

    Signals
    -------
    start_wanted
        The user wants to train with what the page says.
    grown
        The form got longer.
    """

    start_wanted = Signal()
    grown = Signal()

    def __init__(self, settings: Settings, models: Sequence[tuple[str, str]], devices: Sequence[str]) -> None:
        super().__init__()
        self._meta = {item.name: item.metadata for item in fields(Settings)}
        # Those that learn in minutes come first.
        self._recipes = sorted(list_recipes(), key=lambda one: ("minutes" not in one.values, one.name))
        self._key = settings.training_key
        self._process: QProcess | None = None
        self.read: dict[str, Callable[[], Any]] = {}
        self.data = PathField(settings.training_data, "Data of the training", takes_file=True, takes_folder=True)
        self.output = PathField(settings.training_output, "Output folder", takes_file=False, takes_folder=True)
        self.recipe = self._combo([(one.name, one.name) for one in self._recipes], settings.training_recipe)
        self.summary = Summary()
        self.model = self._combo([(name, _label(name, title)) for name, title in models], settings.training_model)
        self.device = self._combo([(name, name) for name in _devices(devices)], settings.training_device)
        self.accelerations = QLineEdit(settings.training_accelerations)
        self.coils = self._spin("training_coils", settings.training_coils)
        self.minutes = self._spin("training_minutes", settings.training_minutes)
        self.licence = QLineEdit(settings.training_licence)
        self.masks = {kind: named(f"mask-{kind}", QCheckBox(kind)) for kind in MASK_KINDS}
        for kind in settings.training_masks.split(","):
            if kind in self.masks:
                self.masks[kind].setChecked(True)
        self._lay_out()
        self._declare(settings)
        self.recipe.activated.connect(self._take_recipe)
        self.data.changed.connect(self._forget_check)
        self._show_recipe()
        if self.recipe.currentData() != settings.training_recipe and self._add_recipe(settings.training_recipe):
            self._show_recipe()

    # ---------------------------------------------------------------- construction

    def _lay_out(self) -> None:
        self.check = named("checkTrainingData", QPushButton("Check"))
        self.check.setToolTip("Say what the data holds: volumes, coils, sizes, and what cannot be used and why")
        self.check.setAutoDefault(False)
        self.check.clicked.connect(self._check)
        self.report = named("trainingDataReport", Report())
        self.report.setAccessibleName("What the data holds")
        self.report.document().documentLayout().documentSizeChanged.connect(lambda _size: self.grown.emit())
        self.start = named("startTraining", QPushButton("Start training"))
        self.start.setProperty("primary", True)
        self.start.setAutoDefault(False)
        self.start.clicked.connect(self.start_wanted)
        self._form = QWidget()
        rows = form(self._form)
        rows.setContentsMargins(*[2 * theme.GAP] * 4)
        rows.setHorizontalSpacing(2 * theme.GAP)
        rows.setVerticalSpacing(theme.GAP)
        rows.addRow("Data", _column(_row(self.data, self.check), self._hint("training_data")))
        rows.addRow("", self.report)
        rows.setRowVisible(self.report, False)
        self._rows = rows
        self.own_recipe = named("ownRecipe", QPushButton("File…"))
        self.own_recipe.setToolTip("Take a recipe of your own, a TOML file")
        self.own_recipe.setAccessibleName("Recipe: File…")
        self.own_recipe.setAutoDefault(False)
        self.own_recipe.clicked.connect(self._ask_recipe)
        rows.addRow("Recipe", _column(_row(self.recipe, self.own_recipe), self.summary))
        rows.addRow("Method", self.model)
        kinds = QWidget()
        grid = QGridLayout(kinds)
        grid.setContentsMargins(0, 2, 0, 0)
        grid.setVerticalSpacing(theme.SPACE)
        for place, box in enumerate(self.masks.values()):
            grid.addWidget(box, *divmod(place, _N_MASK_COLUMNS))
            grid.setColumnStretch(place % _N_MASK_COLUMNS, 1)
            box.toggled.connect(self._show_masks)
        self.masks_said = named("trainingMasksSaid", muted(""))
        self.masks_said.setWordWrap(True)
        rows.addRow("Masks", _column(kinds, self.masks_said))
        rows.addRow("Accelerations", self.accelerations)
        rows.addRow("Virtual coils", _row(self.coils, muted("Budget"), self.minutes, muted("Device"), self.device))
        rows.addRow("Licence", _column(self.licence, self._hint("training_licence")))
        rows.addRow("Output folder", _column(self.output, self._hint("training_output")))
        # A dialog with more room than the form needs leaves it below, not between the rows.
        rows.addItem(QSpacerItem(0, 0, QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Expanding))
        self.area = QScrollArea(widgetResizable=True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setWidget(self._form)
        last = QLabel(RESEARCH, wordWrap=True)
        last.setProperty("muted", True)
        foot = _row(last, self.start, stretch_first=True)
        foot.setContentsMargins(2 * theme.GAP, 0, 2 * theme.GAP, 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, theme.GAP)
        layout.addWidget(self.area, 1)
        layout.addWidget(foot)

    def n_hidden_pixels(self) -> int:
        """Return how much of the form lies below the fold."""
        view = self.area.viewport()
        return self._rows.totalHeightForWidth(view.width()) - view.height()

    def _declare(self, settings: Settings) -> None:
        for name, widget, read in (
            ("training_data", self.data, self.data.text),
            ("training_key", None, lambda: self._key),
            ("training_recipe", self.recipe, self.recipe.currentData),
            ("training_model", self.model, self.model.currentData),
            ("training_masks", None, self._mask_text),
            ("training_accelerations", self.accelerations, lambda: self.accelerations.text().strip()),
            ("training_coils", self.coils, self.coils.value),
            ("training_device", self.device, self.device.currentData),
            ("training_minutes", self.minutes, self.minutes.value),
            ("training_licence", self.licence, lambda: self.licence.text().strip()),
            ("training_output", self.output, self.output.text),
        ):
            self.read[name] = _or(read, getattr(settings, name))
            if widget is not None:
                widget.setObjectName(f"setting-{name}")
                widget.setToolTip(self._meta[name]["help"])
                widget.setAccessibleName(self._meta[name]["label"])
        for kind, box in self.masks.items():
            box.setToolTip(f"Undersample with {kind}. {self._meta['training_masks']['help']}")

    def _combo(self, choices: Sequence[tuple[str, str]], value: str) -> QComboBox:
        combo = QComboBox()
        for data, text in choices:
            combo.addItem(text, data)
        combo.setCurrentIndex(max(0, combo.findData(value)))
        return combo

    def _spin(self, name: str, value: int) -> QSpinBox:
        limits = self._meta[name]
        spin = QSpinBox(minimum=limits["minimum"], maximum=limits["maximum"], value=value)
        spin.setSpecialValueText(limits["zero"])
        spin.setSuffix(limits.get("unit", ""))
        spin.lineEdit().setTextMargins(3, 0, 0, 0)
        return spin

    def _hint(self, name: str) -> QLabel:
        hint = muted(self._meta[name]["help"])
        hint.setWordWrap(True)
        return hint

    # ---------------------------------------------------------------- values

    def problem(self) -> str:
        """Say why a training cannot start yet; empty when it can."""
        if not self.data.text() or not self.output.text():
            return "Choose the data and an output folder first."
        if not Path(self.data.text()).expanduser().exists():
            return f"There is no {self.data.text()}; choose the data again."
        try:
            read_accelerations(self.accelerations.text())
        except ValueError as error:
            return str(error)
        return ""

    def _mask_text(self) -> str:
        return ",".join(kind for kind, box in self.masks.items() if box.isChecked())

    def _ask_recipe(self) -> None:
        """Let the user choose a recipe of their own."""
        folder = str(Path(self.recipe.currentData() or "").parent)
        chosen, _ = QFileDialog.getOpenFileName(self, "Recipe of a training", folder, "Recipes (*.toml)")
        if chosen and self._add_recipe(chosen):
            self._take_recipe()

    def _add_recipe(self, file: str) -> bool:
        """Offer the recipe in a file and choose it; where it cannot be read, say why and leave the choice as it is."""
        try:
            recipe = read_recipe(Path(file).expanduser())
        except ValueError as error:
            self.summary.setText(f"{error}\n{self._summary()}")
            return False
        self._recipes = [one for one in self._recipes if one.name != recipe.name] + [recipe]
        place = self.recipe.findData(recipe.name)
        if place < 0:
            self.recipe.addItem(Path(file).name, recipe.name)
            place = self.recipe.count() - 1
            self.recipe.setItemData(place, recipe.name, Qt.ItemDataRole.ToolTipRole)
        self.recipe.setCurrentIndex(place)
        return True

    def _take_recipe(self) -> None:
        """Choose what the recipe was made for; the rest is left to it."""
        values = self._values()
        if self.model.findData(values.get("model")) >= 0:
            self.model.setCurrentIndex(self.model.findData(values["model"]))
        self.coils.setValue(0)
        self.minutes.setValue(round(values.get("minutes", 0)))
        self._show_recipe()

    def _show_recipe(self) -> None:
        values = self._values()
        self.summary.setText(self._summary())
        self.accelerations.setPlaceholderText(f"as the recipe says: {told(values, 'accelerations')}")
        self.licence.setPlaceholderText(f"as the recipe says: {values.get('licence') or 'not stated'}")
        self._show_masks()

    def _show_masks(self) -> None:
        said = told(self._values(), "mask_kinds")
        self.masks_said.setText(f"{'instead of what' if self._mask_text() else 'as'} the recipe says: {said}")

    def _summary(self) -> str:
        return next((one.summary for one in self._recipes if one.name == self.recipe.currentData()), "")

    def _values(self) -> dict[str, Any]:
        return dict(next((one.values for one in self._recipes if one.name == self.recipe.currentData()), {}))

    # ---------------------------------------------------------------- check

    def _check(self) -> None:
        """Let the training look at the data, in a process of its own."""
        if not self.data.text():
            self._report("Choose the data first.")
            return
        self._forget_check()
        process = module_process(self)
        process.finished.connect(lambda code, _status: self._take_check(process, code))
        process.errorOccurred.connect(self._fail_check)
        self._process = process
        self.check.setEnabled(False)
        self._report("Looking …")
        folder = str(Path(self.data.text()).expanduser())
        process.start(sys.executable, ["-P", "-m", "app.cli", "train", "--check", folder, "--json"])

    def _take_check(self, process: QProcess, code: int) -> None:
        if process is not self._process:
            return
        output = bytes(process.readAllStandardOutput().data()).decode(errors="replace")
        errors = bytes(process.readAllStandardError().data()).decode(errors="replace").strip()
        self._end_check()
        try:
            report = json.loads(output)
        except ValueError:
            report = None
        if isinstance(report, dict):
            self._key = str(report.get("key") or "")
            self._report(inspection_text(report))
        else:
            said = errors.removeprefix("mri-workstation: error: ") or f"The check ended with status {code}."
            self._report(said)

    def _fail_check(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self._end_check()
            self._report(f"The check could not be started with {sys.executable}.")

    def _report(self, text: str) -> None:
        self.report.setPlainText(text)
        self._rows.setRowVisible(self.report, True)

    def _forget_check(self) -> None:
        self._end_check()
        self._key = ""
        self._rows.setRowVisible(self.report, False)

    def _end_check(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            if process.state() != QProcess.ProcessState.NotRunning:
                process.kill()
                process.waitForFinished(3000)
            process.deleteLater()
        self.check.setEnabled(True)

    def close_check(self) -> None:
        """End a check that runs, before the page goes."""
        self._end_check()


def _or(read: Callable[[], Any], present: Any) -> Callable[[], Any]:
    """Read a field; one without a choice, such as a list of models that is not there yet, keeps what is set."""

    def value() -> Any:
        found = read()
        return present if found is None else found

    return value


def _label(name: str, title: str) -> str:
    return title if title.casefold() == name.casefold() else f"{title}  ·  {name}"


def _devices(devices: Sequence[str]) -> list[str]:
    n_gpus = sum(name.startswith("cuda:") for name in devices)
    return ["auto", "cpu", *map(str, range(1, n_gpus + 1))]


def _row(*widgets: QWidget, stretch_first: bool = False) -> QWidget:
    frame = QWidget()
    layout = QHBoxLayout(frame)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(theme.GAP)
    for place, widget in enumerate(widgets):
        is_fixed = isinstance(widget, (QLabel, QPushButton)) and not (stretch_first and place == 0)
        layout.addWidget(widget, 0 if is_fixed else 1)
    layout.setAlignment(Qt.AlignmentFlag.AlignVCenter)
    return frame


def _column(*widgets: QWidget) -> QWidget:
    frame = QWidget()
    layout = QVBoxLayout(frame)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(2)
    for widget in widgets:
        layout.addWidget(widget)
    return frame
