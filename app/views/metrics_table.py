"""Scores of each stage against the reference, for the slice in view and for the whole volume."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QColor, QFont
from PySide6.QtWidgets import QTableWidgetItem, QWidget

from app import theme
from app.views.number_table import NumberTable, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Metric:
    """A column: how a score is called, written and judged; None for what is not judged."""

    key: str
    title: str
    decimals: int
    is_higher_better: bool | None
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
    Metric(
        "residual",
        "Data",
        3,
        None,
        "Data residual ‖A x − y‖ / ‖y‖: how far the image is from what was measured, with what compressing the coils\n"
        "dropped. No score: it needs no reference, and the zero-filled image has none. 0 where a method puts the\n"
        "samples of all coils back.",
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
    residual
        Data residual.
    """

    title: str
    psnr: float | None = None
    ssim: float | None = None
    nmse: float | None = None
    residual: float | None = None


class MetricsTable(NumberTable):
    """Table of scores (object name ``metricsTable``); the best of each block is bold, and all that read the same.

    Setters: ``set_rows(slice_rows, volume_rows, slice_title)``, ``set_message(text)``, ``clear_rows()``.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(
            [metric.title for metric in METRICS],
            [metric.hint for metric in METRICS],
            "Scores appear here",
            parent,
        )
        self.setObjectName("metricsTable")
        self.setAccessibleName("Scores against the reference, and data residuals")
        self._blocks: list[tuple[str, list[MetricsRow]]] = []
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
                lines.append(separator.join([quoted(title, separator), quoted(row.title, separator), *cells]))
        return "\n".join(lines) + "\n"

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
        return QSize(max(200, width), 3 * (self.fontMetrics().height() + 6))

    def _fill(self) -> None:
        n_rows = sum(1 + len(rows) for _, rows in self._blocks) - bool(self._blocks)
        self.clearSpans()
        self._set_length(n_rows)
        line = 0
        for number, (title, rows) in enumerate(self._blocks):
            if number == 0:
                self._set_heading(title)
            else:
                heading = QTableWidgetItem(title)
                heading.setFlags(Qt.ItemFlag.NoItemFlags)
                heading.setForeground(QColor(theme.colours().muted))
                self.setItem(line, 0, heading)
                self.setSpan(line, 0, 1, 1 + len(METRICS))
                line += 1
            best = {metric.key: self._best(rows, metric) for metric in METRICS}
            for row in rows:
                self._set_name(line, row.title)
                for column, metric in enumerate(METRICS, start=1):
                    self.setItem(line, column, self._cell(row, metric, best[metric.key]))
                line += 1
        self.updateGeometry()

    def _cell(self, row: MetricsRow, metric: Metric, best: float | None) -> QTableWidgetItem:
        score = self._score(row, metric)
        item = self._number("–" if score is None else f"{score:.{metric.decimals}f}", metric.hint)
        font = item.font()
        if score is not None and best is not None and item.text() == f"{best:.{metric.decimals}f}":
            font.setWeight(QFont.Weight.Bold)
            item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{item.text()}, best")
        item.setFont(font)
        return item

    def _best(self, rows: Sequence[MetricsRow], metric: Metric) -> float | None:
        scores = [score for row in rows if (score := self._score(row, metric)) is not None]
        if len(scores) < 2 or metric.is_higher_better is None:
            return None
        return max(scores) if metric.is_higher_better else min(scores)

    @staticmethod
    def _score(row: MetricsRow, metric: Metric) -> float | None:
        score = getattr(row, metric.key)
        return None if score is None or math.isnan(score) else float(score)
