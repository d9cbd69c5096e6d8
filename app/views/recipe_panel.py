"""The recipe: how the scan is undersampled, which model rebuilds it where, and the button that starts it."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QBrush, QColor, QFont, QKeyEvent, QStandardItem, QStandardItemModel, QValidator
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QStyledItemDelegate,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.messages import sentence
from app.views.named import named
from recon.masks import KINDS, default_center_fraction

if TYPE_CHECKING:
    from PySide6.QtCore import QModelIndex, QPersistentModelIndex
    from PySide6.QtWidgets import QStyleOptionViewItem

    from recon.request import Request

KIND_TITLES = {
    "random": "Random lines",
    "equispaced": "Equispaced lines",
    "equispaced-fraction": "Equispaced, exact share",
    "magic": "Magic lines",
    "magic-fraction": "Magic, exact share",
    "gaussian-2d": "Gaussian points (2-D)",
    "poisson-2d": "Poisson disc (2-D)",
    "none": "Fully sampled",
}
GRID_TITLES = {"cropped": "Cropped image (papers)", "native": "As measured (native)"}
PRECISION_TITLES = {"auto": "auto", "fp32": "fp32", "bf16": "bf16"}
FROM_FILE = "file"
N_SUMMARY = 68
_FIELD_KEYS = (
    Qt.Key.Key_Up,
    Qt.Key.Key_Down,
    Qt.Key.Key_PageUp,
    Qt.Key.Key_PageDown,
    Qt.Key.Key_Home,
    Qt.Key.Key_End,
)


def _shortened(text: str, n_characters: int) -> str:
    """First sentence of a text, cut between words where it is too long."""
    first = text.split(". ")[0].rstrip(".")
    return textwrap.shorten(first, n_characters, placeholder=" …") + ("." if len(first) <= n_characters else "")


class _KeepsKeys(QObject):
    """Lets a focused field keep the keys that it needs, which are shortcuts of the window everywhere else."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent) and event.key() in _FIELD_KEYS:
            event.accept()
            return True
        # A wheel over a field scrolls the panel; only a field that was clicked takes the wheel for itself.
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return super().eventFilter(watched, event)


class _Factor(QDoubleSpinBox):
    """An acceleration: whole numbers without decimals, others with."""

    corrected = Signal(str)

    def __init__(self) -> None:
        super().__init__(minimum=1, maximum=32, singleStep=1, decimals=2, value=4)
        self.setSuffix(" ×")
        self.setKeyboardTracking(False)
        self.lineEdit().setTextMargins(3, 0, 0, 0)

    def textFromValue(self, value: float) -> str:
        return f"{value:g}"

    def valueFromText(self, text: str) -> float:
        number = text.removesuffix("×").strip().replace(",", ".")
        try:
            return float(number)
        except ValueError:
            return self.value()

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        number = text.removesuffix("×").strip().replace(",", ".")
        try:
            is_number = self.minimum() <= float(number) <= self.maximum()
        except ValueError:
            is_number = False
        state = QValidator.State.Acceptable if is_number else QValidator.State.Intermediate
        return state, text, position

    def fixup(self, text: str) -> str:
        """Say why the last value comes back instead of what was typed."""
        typed = text.removesuffix("×").strip()
        limits = f"{self.minimum():g} to {self.maximum():g}"
        self.corrected.emit(f"Acceleration cannot be {typed!r}; give a number from {limits}.")
        return text


class _Entry(QStyledItemDelegate):
    """A model in the list, set in under its heading; in the closed box its name stands where all others do."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> None:
        super().initStyleOption(option, index)
        if index.data(Qt.ItemDataRole.UserRole) is not None:
            option.text = f"  {option.text}"


class RecipePanel(QWidget):
    """Form that changes the request.

    Signals
    -------
    changed
        The user changed something: fields and values for `Session.set_request`.
    refused
        The user typed something that is no value; a sentence. The text stays.
    corrected
        The same where the last value came back instead.
    mask_file_wanted
        The user wants a sampling pattern from a file.
    reconstruct_wanted
        None for the current slice, ``"volume"`` for all.
    cancel_wanted
        The user pressed Cancel.
    """

    changed = Signal(dict)
    refused = Signal(str)
    corrected = Signal(str)
    mask_file_wanted = Signal()
    reconstruct_wanted = Signal(object)
    cancel_wanted = Signal()

    def __init__(self, mask_preview: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("recipePanel")
        self._is_setting = False
        self._mask_preview = mask_preview
        self.mask_type = named("maskType", QComboBox())
        for kind in KINDS:
            self.mask_type.addItem(KIND_TITLES[kind], kind)
        self.mask_type.addItem("From file…", FROM_FILE)
        self.acceleration = _Factor()
        self.acceleration.setObjectName("acceleration")
        self.center_fraction = named("centerFraction", QLineEdit())
        self.seed = named("seed", QLineEdit(placeholderText="file name"))
        self.grid = named("grid", QComboBox())
        for key, title in GRID_TITLES.items():
            self.grid.addItem(title, key)
        self.own_mask = named(
            "ownMask", QLabel("The scanner undersampled this series: its own pattern is used.", wordWrap=True)
        )
        self.own_mask.setProperty("muted", True)
        self.model = named("modelChoice", QComboBox())
        self.model.setModel(QStandardItemModel(self.model))
        self.model.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.model.setMinimumContentsLength(12)
        self.model.setMaxVisibleItems(24)
        # Fusion's own delegate draws entries of a combo box as menu items, without the colours of the style sheet.
        self.model.setItemDelegate(_Entry(self.model))
        self.summary = named("modelSummary", QLabel(wordWrap=True))
        self.summary.setProperty("muted", True)
        self.coils = named("virtualCoils", QLineEdit(placeholderText="auto"))
        self.device = named("deviceChoice", QComboBox())
        self.precision = named("precision", QComboBox())
        for key, title in PRECISION_TITLES.items():
            self.precision.addItem(title, key)
        self.problem = named("recipeProblem", QLabel(wordWrap=True))
        self.reconstruct_button = named("reconstructButton", QPushButton("Reconstruct slice"))
        self.reconstruct_button.setProperty("primary", True)
        self.volume_button = named("volumeButton", QPushButton("Volume"))
        self.cancel_button = named("cancelButton", QPushButton("Cancel"))
        self.progress = named("progressBar", QProgressBar(textVisible=False, minimum=0, maximum=1000))
        self.progress.setFixedHeight(6)
        self.eta = named("eta", QLabel())
        self.eta.setProperty("muted", True)
        self._lay_out()
        self._describe()
        self._connect()
        self.set_devices(("auto", "cpu"))
        self.set_problem("", can_start=False)
        self.set_running(False)

    # ---------------------------------------------------------------- construction

    def _lay_out(self) -> None:
        def form() -> QFormLayout:
            layout = QFormLayout()
            layout.setContentsMargins(0, 0, 0, 0)
            layout.setHorizontalSpacing(theme.GAP)
            layout.setVerticalSpacing(theme.SPACE + 2)
            layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
            layout.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
            return layout

        def heading(text: str) -> QLabel:
            label = QLabel(text)
            label.setProperty("heading", True)
            return label

        def beside(**fields: QWidget) -> QGridLayout:
            """Put short fields side by side, each under its name."""
            layout = QGridLayout()
            layout.setHorizontalSpacing(theme.GAP)
            layout.setVerticalSpacing(2)
            for column, (name, field) in enumerate(fields.items()):
                label = QLabel(name.replace("_", " "))
                label.setProperty("muted", True)
                label.setBuddy(field)
                layout.addWidget(label, 0, column)
                layout.addWidget(field, 1, column)
                layout.setColumnStretch(column, 1)
            return layout

        sampling = form()
        sampling.addRow("Pattern", self.mask_type)
        sampling.addRow("Acceleration", self.acceleration)
        sampling.addRow("Grid", self.grid)
        self._sampling = sampling
        sampling.addRow(beside(Centre_fraction=self.center_fraction, Seed=self.seed))
        model = form()
        model.addRow("Model", self.model)
        model.addRow(self.summary)
        model.addRow(beside(Coils=self.coils, Device=self.device, Precision=self.precision))
        width = self.fontMetrics().horizontalAdvance("Acceleration") + 2
        for layout in (sampling, model):
            for row in range(layout.rowCount()):
                item = layout.itemAt(row, QFormLayout.ItemRole.LabelRole)
                label = None if item is None else item.widget()
                if label is not None:
                    label.setProperty("muted", True)
                    label.setMinimumWidth(width)

        fields = QWidget()
        inner = QVBoxLayout(fields)
        inner.setContentsMargins(theme.MARGIN, theme.SPACE, theme.MARGIN, theme.SPACE)
        inner.setSpacing(theme.SPACE + 2)
        inner.addWidget(heading("Sampling"))
        inner.addLayout(sampling)
        inner.addWidget(self.own_mask)
        inner.addWidget(self._mask_preview)
        inner.addSpacing(theme.SPACE)
        inner.addWidget(heading("Reconstruction"))
        inner.addLayout(model)
        inner.addStretch()
        scroll = QScrollArea(widgetResizable=True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(fields)

        bottom = QVBoxLayout()
        bottom.setContentsMargins(theme.MARGIN, theme.SPACE, theme.MARGIN, theme.GAP)
        bottom.setSpacing(theme.SPACE + 2)
        bottom.addWidget(self.problem)
        bottom.addWidget(self.reconstruct_button)
        others = QHBoxLayout()
        others.setSpacing(theme.GAP)
        others.addWidget(self.volume_button, 1)
        others.addWidget(self.cancel_button, 1)
        bottom.addLayout(others)
        bottom.addWidget(self.progress)
        bottom.addWidget(self.eta)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(scroll, 1)
        outer.addLayout(bottom)

    def _describe(self) -> None:
        for widget, name, hint in (
            (self.mask_type, "Sampling pattern", "Which columns or points of k-space are kept"),
            (self.acceleration, "Acceleration", "How many times fewer samples are kept"),
            (self.center_fraction, "Centre fraction", "Share of the columns that is always kept in the centre"),
            (self.seed, "Seed", "A whole number; empty draws the pattern from the file name, as fastMRI does"),
            (self.grid, "Grid", "Cropped: crop the image first and mask its k-space. Native: mask what was measured"),
            (self.model, "Model", "What rebuilds the image"),
            (self.coils, "Virtual coils", "Number of coils after compression; empty lets the model choose"),
            (self.device, "Device", "Where the network runs"),
            (self.precision, "Precision", "Number format of the network; Fourier transforms stay exact"),
            (self.reconstruct_button, "Reconstruct slice", "Rebuild the slice that is shown (F5)"),
            (self.volume_button, "Reconstruct volume", "Rebuild all slices (Shift+F5)"),
            (self.cancel_button, "Cancel", "Stop; finished slices stay (Esc)"),
            (self.progress, "Progress", "Share of the reconstruction that is done"),
        ):
            widget.setAccessibleName(name)
            widget.setToolTip(hint)
        theme.set_icon(self.reconstruct_button, "play", "on_accent")

    def _connect(self) -> None:
        keeper = _KeepsKeys(self)
        for widget in (self.mask_type, self.acceleration, self.grid, self.model, self.device, self.precision):
            widget.installEventFilter(keeper)
            widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.mask_type.activated.connect(self._choose_mask)
        self.acceleration.valueChanged.connect(lambda value: self._emit(acceleration=value))
        self.acceleration.corrected.connect(self.corrected)
        self.center_fraction.editingFinished.connect(self._read_fraction)
        self.seed.editingFinished.connect(self._read_seed)
        self.coils.editingFinished.connect(self._read_coils)
        for combo, field in (
            (self.grid, "grid"), (self.model, "model"), (self.device, "device"), (self.precision, "precision")
        ):  # fmt: skip
            combo.currentIndexChanged.connect(
                lambda _index, combo=combo, field=field: self._emit(**{field: combo.currentData()})
            )
        self.reconstruct_button.clicked.connect(lambda: self.reconstruct_wanted.emit(None))
        self.volume_button.clicked.connect(lambda: self.reconstruct_wanted.emit("volume"))
        self.cancel_button.clicked.connect(self.cancel_wanted)

    # ---------------------------------------------------------------- from the user

    def _emit(self, **changes: Any) -> None:
        if not self._is_setting and None not in (changes.get("model", ""), changes.get("device", "")):
            self.changed.emit(changes)

    def _choose_mask(self) -> None:
        kind = self.mask_type.currentData()
        if kind == FROM_FILE:
            self.mask_file_wanted.emit()
        else:
            self._emit(kind=kind)

    def _read_fraction(self) -> None:
        text = self.center_fraction.text().strip().replace(",", ".")
        try:
            self._emit(center_fraction=float(text) if text else None)
        except ValueError:
            self.refused.emit(f"Centre fraction is {text!r}; give a number between 0 and 1, or nothing.")

    def _read_seed(self) -> None:
        text = self.seed.text().strip()
        if text in ("", "filename", "file name"):
            self._emit(seed="filename")
        elif text.isdecimal():
            self._emit(seed=int(text))
        else:
            self.refused.emit(f"Seed is {text!r}; give a whole number from 0, or nothing for the file name.")

    def _read_coils(self) -> None:
        text = self.coils.text().strip()
        if text in ("", "auto"):
            self._emit(coils=None)
        elif text.isdecimal():
            self._emit(coils=int(text))
        else:
            self.refused.emit(f"Coils is {text!r}; give a whole number from 1, or nothing.")

    # ---------------------------------------------------------------- to the user

    def set_request(self, request: Request, *, keeps_text: bool = False) -> None:
        """Show a request. Fields that the user is typing in keep their text.

        Parameters
        ----------
        request
            What to show.
        keeps_text
            Leave all texts as they are: one of them was refused, and has to be seen beside the sentence that says why.
        """
        self._is_setting = True
        mask = request.mask
        is_file = mask.kind.startswith("file:")
        self._choose(self.mask_type, FROM_FILE if is_file else mask.kind)
        self.mask_type.setItemText(self.mask_type.count() - 1, f"File: {mask.kind[5:]}" if is_file else "From file…")
        self.acceleration.setValue(mask.acceleration)
        self.center_fraction.setPlaceholderText(f"auto ({default_center_fraction(mask.acceleration):g})")
        for field, text in (
            (self.center_fraction, "" if mask.center_fraction is None else f"{mask.center_fraction:g}"),
            (self.seed, "" if mask.seed == "filename" else str(mask.seed)),
            (self.coils, "" if request.coils is None else str(request.coils)),
        ):
            if not (keeps_text or field.hasFocus()):
                field.setText(text)
        self._choose(self.grid, request.grid)
        self._choose(self.device, request.device)
        self._choose(self.precision, request.precision)
        self._choose(self.model, request.model)
        self._is_setting = False

    def set_models(self, groups: list[tuple[str, list[tuple[Any, str]]]], current: str) -> None:
        """List the models under headings.

        Parameters
        ----------
        groups
            Heading, and for each of its models the card and why it cannot be used (empty when it can).
        current
            Name of the model to choose.
        """
        self._is_setting = True
        model = QStandardItemModel(self.model)
        colours = theme.colours()
        for heading, entries in groups:
            title = QStandardItem(heading)
            title.setFlags(Qt.ItemFlag.NoItemFlags)
            font = QFont(self.font())
            font.setWeight(QFont.Weight.DemiBold)
            title.setFont(font)
            title.setForeground(QBrush(QColor(colours.muted)))
            model.appendRow(title)
            for card, problem in entries:
                lacking = "no weights" if card.needs_training else "broken"
                item = QStandardItem(card.title + (f"  ({lacking})" if problem and not card.available else ""))
                item.setData(card.name, Qt.ItemDataRole.UserRole)
                item.setToolTip(problem or card.summary)
                if problem:
                    item.setFlags(Qt.ItemFlag.NoItemFlags)
                    item.setForeground(QBrush(QColor(colours.disabled)))
                model.appendRow(item)
        self.model.setModel(model)
        self._choose(self.model, current)
        self._is_setting = False

    def set_summary(self, text: str) -> None:
        """Say what the chosen model is: a line or two here, all of it where the pointer rests."""
        self.summary.setText(_shortened(text, N_SUMMARY))
        self.summary.setToolTip(text)
        self.summary.setVisible(bool(text))

    def set_devices(self, devices: tuple[str, ...]) -> None:
        """List the devices that this machine has."""
        self._is_setting = True
        current = self.device.currentData()
        self.device.clear()
        for name in devices:
            self.device.addItem(name, name)
        self._choose(self.device, current or "auto")
        self._is_setting = False

    def set_own_mask(self, has_own: bool) -> None:
        """Take away the sampling fields of a scan that was undersampled by the scanner."""
        for widget in (self.mask_type, self.acceleration, self.center_fraction, self.seed, self.grid):
            widget.setEnabled(not has_own)
        for row in range(self._sampling.rowCount()):
            # Values that are not used would only mislead.
            self._sampling.setRowVisible(row, not has_own)
        self.own_mask.setVisible(has_own)

    def set_problem(self, text: str, *, can_start: bool) -> None:
        """Say in place why Reconstruct is disabled."""
        self.problem.setText(sentence(text))
        self.problem.setVisible(bool(text))
        self.problem.setStyleSheet(f"color: {theme.colours().error};")
        self.reconstruct_button.setEnabled(can_start)
        self.volume_button.setEnabled(can_start)

    def set_running(self, is_running: bool) -> None:
        """Show that a reconstruction runs, or that it ended."""
        start, cancel = self.reconstruct_button, self.cancel_button
        # A button that goes grey would pass the focus on to any other pane.
        if is_running:
            cancel.setEnabled(True)
            if start.hasFocus() or self.volume_button.hasFocus():
                cancel.setFocus()
        else:
            if cancel.hasFocus():
                start.setEnabled(True)
                start.setFocus()
            cancel.setEnabled(False)
            self.progress.setValue(0)

    def set_progress(self, share: float, text: str) -> None:
        """Show how far the reconstruction is."""
        self.progress.setValue(round(share * self.progress.maximum()))
        self.eta.setText(text)

    @staticmethod
    def _choose(combo: QComboBox, value: Any) -> None:
        index = combo.findData(value)
        if index < 0 and combo.objectName() == "deviceChoice" and value:
            combo.addItem(str(value), value)
            index = combo.count() - 1
        combo.setCurrentIndex(index)
