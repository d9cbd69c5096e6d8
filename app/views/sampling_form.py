"""How the scan is undersampled: the pattern, its numbers, the grid, and a picture of what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QFormLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from app import theme
from app.views.fields import Factor, KeepsKeys, YieldsUndo, align_labels, beside, choose, describe, form
from app.views.named import named
from recon.masks import KINDS, TITLES, default_center_fraction

if TYPE_CHECKING:
    from recon.request import Request

GRID_TITLES = {"cropped": "Cropped image (papers)", "native": "As measured (native)"}
FROM_FILE = "file"


class SamplingForm(QWidget):
    """Fields of the sampling pattern over its preview.

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
    """

    changed = Signal(dict)
    refused = Signal(str)
    corrected = Signal(str)
    mask_file_wanted = Signal()

    def __init__(self, preview: QWidget, label_width: int) -> None:
        super().__init__()
        self._is_setting = False
        self._has_own_mask = False
        self._preview = preview
        self.mask_type = named("maskType", QComboBox())
        for kind in KINDS:
            self.mask_type.addItem(TITLES[kind], kind)
        self.mask_type.addItem("From file…", FROM_FILE)
        self.acceleration = named("acceleration", Factor())
        self.center_fraction = named("centerFraction", QLineEdit())
        self.seed = named("seed", QLineEdit(placeholderText="file name"))
        self.grid = named("grid", QComboBox())
        for key, title in GRID_TITLES.items():
            self.grid.addItem(title, key)
        self.own_mask = named(
            "ownMask", QLabel("The scanner undersampled this series: its own pattern is used.", wordWrap=True)
        )
        self.own_mask.setProperty("muted", True)
        self._lay_out(label_width)
        self._describe()
        self._connect()

    def _lay_out(self, label_width: int) -> None:
        self._form: QFormLayout = form()
        self._form.addRow("Pattern", self.mask_type)
        row = beside(Acceleration=self.acceleration, Centre_fraction=self.center_fraction, Seed=self.seed)
        # Beside a scroll bar the words that stand for no seed need what the number under a long name does not.
        self.acceleration.setMinimumWidth(label_width)
        for place, stretch in enumerate((2, 2, 3)):
            row.setColumnStretch(place, stretch)
        self._form.addRow(row)
        self._form.addRow("Grid", self.grid)
        align_labels(self._form, label_width)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.SPACE + 2)
        column.addLayout(self._form)
        column.addWidget(self.own_mask)
        column.addWidget(self._preview)

    def _describe(self) -> None:
        describe(
            (self.mask_type, "Sampling pattern", "Which columns or points of k-space are kept"),
            (self.acceleration, "Acceleration", "How many times fewer samples are kept"),
            (self.center_fraction, "Centre fraction", "Share of the columns that is always kept in the centre"),
            (self.seed, "Seed", "A whole number; empty draws the pattern from the file name, as fastMRI does"),
            (self.grid, "Grid", "Cropped: crop the image first and mask its k-space. Native: mask what was measured"),
        )

    def _connect(self) -> None:
        KeepsKeys(self).watch(self.mask_type, self.acceleration, self.grid)
        YieldsUndo(self).watch(self.acceleration, self.center_fraction, self.seed)
        self.mask_type.activated.connect(self._choose_mask)
        self.acceleration.valueChanged.connect(lambda value: self._emit(acceleration=value))
        self.acceleration.corrected.connect(self.corrected)
        self.center_fraction.editingFinished.connect(self._read_fraction)
        self.seed.editingFinished.connect(self._read_seed)
        self.grid.currentIndexChanged.connect(lambda _index: self._emit(grid=self.grid.currentData()))

    @property
    def stops(self) -> tuple[QWidget, ...]:
        """Fields in the order of the Tab key."""
        return self.mask_type, self.acceleration, self.center_fraction, self.seed, self.grid

    # ---------------------------------------------------------------- from the user

    def _emit(self, **changes: Any) -> None:
        if not self._is_setting:
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

    # ---------------------------------------------------------------- to the user

    def set_request(self, request: Request, *, keeps_text: bool) -> None:
        """Show a request; see `RecipePanel.set_request`."""
        self._is_setting = True
        mask = request.mask
        is_file = mask.kind.startswith("file:")
        choose(self.mask_type, FROM_FILE if is_file else mask.kind)
        self.mask_type.setItemText(self.mask_type.count() - 1, f"File: {mask.kind[5:]}" if is_file else "From file…")
        self.acceleration.setValue(mask.acceleration)
        self.center_fraction.setPlaceholderText(f"auto ({default_center_fraction(mask.acceleration):.3g})")
        for field, text in (
            (self.center_fraction, "" if mask.center_fraction is None else f"{mask.center_fraction:g}"),
            (self.seed, "" if mask.seed == "filename" else str(mask.seed)),
        ):
            if not (keeps_text or (field.hasFocus() and field.isModified())):
                field.setText(text)
        choose(self.grid, request.grid)
        self._enable()
        self._is_setting = False

    def set_own_mask(self, has_own: bool) -> None:
        """Take away the fields of a scan that was undersampled by the scanner."""
        self._has_own_mask = has_own
        self.mask_type.setEnabled(not has_own)
        self.grid.setEnabled(not has_own)
        self._enable()
        for row in range(self._form.rowCount()):
            # Values that are not used would only mislead.
            self._form.setRowVisible(row, not has_own)
        self.own_mask.setVisible(has_own)

    def _enable(self) -> None:
        """Let only those numbers be set that decide the pattern: full sampling and a file have none."""
        is_drawn = not self._has_own_mask and self.mask_type.currentData() not in ("none", FROM_FILE)
        for widget in (self.acceleration, self.center_fraction, self.seed):
            widget.setEnabled(is_drawn)
