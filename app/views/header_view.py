"""What the scanner wrote about the scan, as a list of names and values."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from app.views.study_browser import sampling_text, shape_text

if TYPE_CHECKING:
    from PySide6.QtGui import QResizeEvent

    from recon.data import Series

_UNITS = {"_ms": " ms", "_mm": " mm", "_t": " T", "_hz": " Hz", "_deg": "°"}


def _words(name: str, value: Any) -> tuple[str, str]:
    unit = ""
    for suffix, text in _UNITS.items():
        if name.endswith(suffix):
            name, unit = name.removesuffix(suffix), text
    if isinstance(value, tuple):
        value = " × ".join(f"{item:g}" for item in value)
    elif isinstance(value, float):
        value = f"{value:.6g}"
    return name.replace("_", " ").capitalize().replace("fov", "FOV"), f"{value}{unit}"


def header_rows(series: Series) -> list[tuple[str, str]]:
    """Return everything that is known about a series, in reading order."""
    geometry = series.geometry
    spacing = " × ".join(f"{item:g}" for item in geometry.pixel_spacing_mm)
    rows = [
        ("File", series.path.name),
        ("Folder", str(series.path.parent)),
        ("Shape", shape_text(series)),
        ("Image", " × ".join(map(str, series.recon_size))),
        ("Sampling", sampling_text(series)[0]),
        ("Pixel spacing", f"{spacing} mm{', assumed' if geometry.spacing_is_assumed else ''}"),
        (
            "Slice thickness",
            f"{geometry.slice_thickness_mm:g} mm{', assumed' if geometry.thickness_is_assumed else ''}",
        ),
        ("Orientation", "not in the file, assumed" if geometry.is_synthetic else "from the file"),
    ]
    for item in fields(series.header):
        value = getattr(series.header, item.name)
        if item.name != "extra" and value is not None:
            rows.append(_words(item.name, value))
    rows += [(str(key), str(value)) for key, value in series.header.extra.items()]
    rows += [("Note", note) for note in series.notes]
    return rows


class HeaderView(QTableWidget):
    """Two columns, read-only, to be selected and copied."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 2, parent)
        self.setObjectName("headerView")
        self.setAccessibleName("Header of the scan")
        self.setHorizontalHeaderLabels(["Field", "Value"])
        self.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Interactive)
        self.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self._name_width = self.fontMetrics().horizontalAdvance("Inversion time of scan")
        self._fitted_width = self._name_width
        self.setColumnWidth(0, self._name_width)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.horizontalHeader().setHighlightSections(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 6)
        self.setShowGrid(False)
        self.setFrameShape(QTableWidget.Shape.NoFrame)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep half of a narrow pane for the values."""
        super().resizeEvent(event)
        # A width that the user gave the column stays.
        if self.columnWidth(0) == self._fitted_width:
            self._fitted_width = min(self._name_width, self.viewport().width() // 2)
            self.setColumnWidth(0, self._fitted_width)

    def set_series(self, series: Series | None) -> None:
        """Show what is known about a series."""
        rows = [] if series is None else header_rows(series)
        self.setRowCount(len(rows))
        for row, (name, value) in enumerate(rows):
            for column, text in enumerate((name, value)):
                item = QTableWidgetItem(text)
                item.setToolTip(text)
                self.setItem(row, column, item)
