"""Scores of each stage against the reference, for the slice in view and for the whole volume."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, QSize, Qt
from PySide6.QtGui import QAction, QColor, QFont, QGuiApplication, QKeySequence
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLabel,
    QMenu,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app import theme

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Metric:
    """A column: how a score is called, written and judged."""

    key: str
    title: str
    decimals: int
    is_higher_better: bool
    hint: str


METRICS = (
    Metric(
        "psnr",
        "PSNR dB",
        2,
        True,
        "Peak signal-to-noise ratio in dB: 10 log10(range² / mean squared error).\n"
        "The range is the maximum of the reference in the slices that were reconstructed. Higher is better.",
    ),
    Metric(
        "ssim",
        "SSIM",
        4,
        True,
        "Structural similarity, 7 × 7 uniform window, sample covariance.\n"
        "The range is the maximum of the reference in the slices that were reconstructed. 1 is perfect.",
    ),
    Metric(
        "nmse",
        "NMSE",
        4,
        False,
        "Squared error divided by the energy of the reference. Lower is better, 0 is perfect.",
    ),
)


@dataclass(frozen=True)
class MetricsRow:
    """Scores of one stage; None or NaN where there is none.

    Attributes
    ----------
    title
        ``zero-filled``, a module, or ``final``.
    psnr, ssim, nmse
        Scores; PSNR in dB.
    """

    title: str
    psnr: float | None = None
    ssim: float | None = None
    nmse: float | None = None


class MetricsTable(QTableWidget):
    """Table of scores (object name ``metricsTable``); the best of each block is bold, and all that read the same.

    Setters: ``set_rows(slice_rows, volume_rows, slice_title)``, ``set_message(text)``, ``clear_rows()``.
    Ctrl+C copies it as tab-separated text; the context menu offers both forms.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 1 + len(METRICS), parent)
        self.setObjectName("metricsTable")
        self.setAccessibleName("Scores against the reference")
        self._blocks: list[tuple[str, list[MetricsRow]]] = []
        self.setHorizontalHeaderLabels(["", *(metric.title for metric in METRICS)])
        for column, metric in enumerate(METRICS, start=1):
            item = self.horizontalHeaderItem(column)
            assert item is not None
            item.setToolTip(metric.hint)
            item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(40)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in range(1, 1 + len(METRICS)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        header.setHighlightSections(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 4)
        self.setShowGrid(False)
        self.setFrameShape(QTableWidget.Shape.NoFrame)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setTabKeyNavigation(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._open_menu)
        self._copy = QAction("Copy", self)
        self._copy.setShortcut(QKeySequence(QKeySequence.StandardKey.Copy))
        self._copy.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        self._copy.triggered.connect(lambda: self.copy("\t"))
        self.addAction(self._copy)
        self._empty = QLabel("Scores appear here once there is a reference", self.viewport())
        self._empty.setProperty("muted", True)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setWordWrap(True)
        layout = QVBoxLayout(self.viewport())
        layout.addWidget(self._empty)
        theme.notifier().changed.connect(self._fill)
        self._fill()

    def set_rows(
        self,
        slice_rows: Sequence[MetricsRow],
        volume_rows: Sequence[MetricsRow] = (),
        slice_title: str = "Slice",
        volume_title: str = "Volume",
    ) -> None:
        """Show the scores of the slice in view and of the volume; an empty block is left out."""
        blocks = [(slice_title, list(slice_rows)), (volume_title, list(volume_rows))]
        self._blocks = [(title, rows) for title, rows in blocks if rows]
        self._fill()

    def set_message(self, text: str) -> None:
        """Say why there are no scores."""
        self._empty.setText(text)

    def clear_rows(self) -> None:
        """Remove all scores."""
        self.set_rows([])

    def as_text(self, separator: str = "\t") -> str:
        """Whole table with its header, one line a row; numbers in full width."""
        lines = [separator.join(["block", "stage", *(metric.key for metric in METRICS)])]
        for title, rows in self._blocks:
            for row in rows:
                scores = [self._score(row, metric) for metric in METRICS]
                cells = ["" if score is None else f"{score:.6g}" for score in scores]
                lines.append(separator.join([_quoted(title, separator), _quoted(row.title, separator), *cells]))
        return "\n".join(lines) + "\n"

    def copy(self, separator: str = "\t") -> None:
        """Put the table on the clipboard."""
        QGuiApplication.clipboard().setText(self.as_text(separator))

    def sizeHint(self) -> QSize:
        """Room for eight rows."""
        return QSize(240, 10 * (self.fontMetrics().height() + 6))

    def minimumSizeHint(self) -> QSize:
        """Room for a few rows, with every score in full and names as far as they are of usual length."""
        header = self.horizontalHeader()
        longest = 2 * self.fontMetrics().horizontalAdvance("Zero-filled")
        widths = [
            max(self.sizeHintForColumn(column), header.sectionSizeHint(column)) for column in range(len(METRICS) + 1)
        ]
        width = min(widths[0], longest) + sum(widths[1:]) + self.verticalScrollBar().sizeHint().width()
        width += 2 * theme.SPACE  # between a name and its scores
        return QSize(max(200, width), 4 * (self.fontMetrics().height() + 6))

    def _fill(self) -> None:
        # The title of the first block stands in the head of the table: a small pane has no row to spare.
        n_rows = sum(1 + len(rows) for _, rows in self._blocks) - bool(self._blocks)
        self.clearSpans()
        self.setRowCount(n_rows)
        self._empty.setVisible(not n_rows)
        self.horizontalHeader().setVisible(bool(n_rows))
        line = 0
        for number, (title, rows) in enumerate(self._blocks):
            heading = QTableWidgetItem(title)
            if number == 0:
                heading.setTextAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
                self.setHorizontalHeaderItem(0, heading)
            else:
                heading.setFlags(Qt.ItemFlag.NoItemFlags)
                heading.setForeground(QColor(theme.colours().muted))
                self.setItem(line, 0, heading)
                self.setSpan(line, 0, 1, 1 + len(METRICS))
                line += 1
            best = {metric.key: self._best(rows, metric) for metric in METRICS}
            for row in rows:
                name = QTableWidgetItem(row.title)
                name.setToolTip(row.title)
                self.setItem(line, 0, name)
                for column, metric in enumerate(METRICS, start=1):
                    self.setItem(line, column, self._cell(row, metric, best[metric.key]))
                line += 1
        self.updateGeometry()

    def _cell(self, row: MetricsRow, metric: Metric, best: float | None) -> QTableWidgetItem:
        score = self._score(row, metric)
        item = QTableWidgetItem("–" if score is None else f"{score:.{metric.decimals}f}")
        item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        item.setToolTip(metric.hint)
        font = theme.number_font(self.font())
        if score is not None and best is not None and item.text() == f"{best:.{metric.decimals}f}":
            font.setWeight(QFont.Weight.Bold)
            item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{item.text()}, best")
        item.setFont(font)
        return item

    def _best(self, rows: Sequence[MetricsRow], metric: Metric) -> float | None:
        scores = [score for row in rows if (score := self._score(row, metric)) is not None]
        if len(scores) < 2:
            return None
        return max(scores) if metric.is_higher_better else min(scores)

    @staticmethod
    def _score(row: MetricsRow, metric: Metric) -> float | None:
        score = getattr(row, metric.key)
        return None if score is None or math.isnan(score) else float(score)

    def _open_menu(self, position: QPoint) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction("Copy as tab-separated text", lambda: self.copy("\t"))
        menu.addAction("Copy as CSV", lambda: self.copy(","))
        menu.popup(self.viewport().mapToGlobal(position))


def _quoted(text: str, separator: str) -> str:
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if separator in text or '"' in text else text
