"""What the scores of slices say together: of each result its spread, and how far it lies from one of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QHeaderView, QTableWidgetItem

from app import theme
from app.views import symbols
from app.views.number_table import NumberTable, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from PySide6.QtGui import QResizeEvent
    from PySide6.QtWidgets import QWidget

    from recon.statistics import Comparison, Shift

MARK = "†"
"""After the name of a result of other data than the one it is compared with."""
DECIMALS = {"psnr": 2, "ssim": 4, "nmse": 4}
TITLES = {"psnr": "PSNR dB", "ssim": "SSIM", "nmse": "NMSE"}
_COLUMNS = (
    ("n", "Slices that this result shares with the baseline; all numbers are over these."),
    ("Median", "Median of the slices."),
    ("Quartiles", "A quarter of the slices lies below the first, a quarter above the second."),
    (
        "Difference",
        "This result − baseline, slice by slice: Hodges and Lehmann's estimate, the median of the means of every two\n"
        "differences. It belongs to the test, as the median of the differences does not quite.",
    ),
    (
        "95 % CI",
        "Confidence interval of the difference: the shifts that the signed-rank test would not reject.\n"
        "It speaks of slices like those of this scan.",
    ),
    (
        "p",
        "Two-sided Wilcoxon signed-rank test of the differences, exact for up to 50 slices.\n"
        "Slices of one scan are not independent: it speaks of this scan only.",
    ),
)
_N, _DIFFERENCE, _INTERVAL, _P = 1, 4, 5, 6
_HOLM = "\nCorrected for the number of results that are compared with the baseline (Holm)."
_CSV = (
    *("metric", "baseline", "result", "n", "median", "quartile_1", "quartile_3", "hodges_lehmann", "ci_low", "ci_high"),
    *("median_difference", "n_zero", "p", "p_holm", "note"),
)
_SIDES = 28
_MOST_ROWS = 12


@dataclass(frozen=True)
class StatisticsRow:
    """One result.

    Attributes
    ----------
    title
        What sets it apart from the others.
    scores
        Of each slice, finite.
    shared
        Slices that the baseline has, too; of the baseline all.
    quartiles
        First quartile, median and third quartile of these; None where nothing is compared.
    comparison, shift
        Its test against the baseline, and how far it lies above that; None of the baseline itself.
    is_baseline
        True where the others are compared with it.
    reason
        Why nothing is compared; empty where something is.
    remark
        What else the comparison is about besides the method; empty where nothing.
    """

    title: str
    scores: Mapping[int, float] = field(default_factory=dict)
    shared: tuple[int, ...] = ()
    quartiles: tuple[float, float, float] | None = None
    comparison: Comparison | None = None
    shift: Shift | None = None
    is_baseline: bool = False
    reason: str = ""
    remark: str = ""

    @property
    def p(self) -> float | None:
        """What the test says: corrected, where there are several; None where it cannot say anything."""
        if self.comparison is None or self.shift is None or self.shift.low is None:
            return None
        return self.comparison.p if self.comparison.p_holm is None else self.comparison.p_holm


class StatisticsTable(NumberTable):
    """Table of the statistics (object name ``statisticsTable``), the legend of the curves at the same time."""

    def __init__(self, parent: QWidget | None = None) -> None:
        titles, hints = zip(*_COLUMNS, strict=True)
        super().__init__(titles, hints, "", parent)
        self.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Fixed)
        self.setObjectName("statisticsTable")
        self.setAccessibleName("Statistics over slices")
        self._rows: list[StatisticsRow] = []
        self._metric = "psnr"
        self._numbers_width = 0
        theme.notifier().changed.connect(self._fill)
        self._fill()

    @property
    def rows(self) -> list[StatisticsRow]:
        """What is shown."""
        return self._rows

    def set_rows(self, metric: str, rows: Sequence[StatisticsRow]) -> None:
        """Show the statistics of a metric, ``psnr``, ``ssim`` or ``nmse``."""
        self._metric, self._rows = metric, list(rows)
        self._fill()

    def set_numbers_shown(self, is_shown: bool) -> None:
        """Show all columns, or names alone."""
        self._hide_numbers(not is_shown)
        self._fit_names()

    def as_text(self, separator: str = "\t") -> str:
        """Whole table with its header, one line a result; numbers in full width."""
        baseline = next((row.title for row in self._rows if row.is_baseline), "")
        lines = [separator.join(_CSV)]
        for row in self._rows:
            low, median, high = row.quartiles or (None, None, None)
            test, shift = row.comparison, row.shift
            numbers = [
                *(median, low, high),
                *((None,) * 3 if shift is None else (shift.estimate, shift.low, shift.high)),
                *((None,) * 4 if test is None else (test.median_difference, test.n_zero, test.p, test.p_holm)),
            ]
            cells = [self._metric, quoted(baseline, separator), quoted(row.title, separator), str(len(row.shared))]
            cells += ["" if number is None else f"{number:.6g}" for number in numbers]
            note = "; ".join(filter(None, (row.reason, row.remark, "" if test is None else test.note)))
            lines.append(separator.join([*cells, quoted(note, separator)]))
        return "\n".join(lines) + "\n"

    def full_width(self) -> int:
        """Width at which all numbers and names of usual length are read."""
        return self._numbers_width + self.names_width() + self.verticalScrollBar().sizeHint().width()

    def names_width(self) -> int:
        """Width at which names of usual length are read."""
        longest = _SIDES + 2 * self.fontMetrics().horizontalAdvance("Zero-filled")
        return min(longest, max(self.sizeHintForColumn(0), self._least_names()))

    def sizeHint(self) -> QSize:
        """Room for all rows, up to a dozen."""
        return QSize(240, (2 + min(max(len(self._rows), 4), _MOST_ROWS)) * (self.fontMetrics().height() + 6))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Give the names what the numbers leave."""
        super().resizeEvent(event)
        self._fit_names()

    def _hide_numbers(self, is_hidden: bool) -> None:
        for column in range(1, self.columnCount()):
            self.setColumnHidden(column, is_hidden)

    def _measure(self) -> None:
        """Note what the numbers take; columns that are hidden would tell nothing."""
        is_hidden = self.isColumnHidden(_N)
        self._hide_numbers(False)
        head, columns = self.horizontalHeader(), range(1, self.columnCount())
        self._numbers_width = sum(max(self.sizeHintForColumn(one), head.sectionSizeHint(one)) for one in columns)
        self._hide_numbers(is_hidden)

    def _least_names(self) -> int:
        return _SIDES + self.fontMetrics().horizontalAdvance("Zero-filled")

    def _fit_names(self) -> None:
        """Names give way to numbers, but not so far that nobody can tell them apart; then the table scrolls."""
        room = self.viewport().width() - (0 if self.isColumnHidden(_N) else self._numbers_width)
        self.setColumnWidth(0, max(room, self._least_names()))

    def _fill(self) -> None:
        self.clearSpans()
        self.clearContents()
        self._set_length(len(self._rows))
        self._set_heading(TITLES[self._metric])
        is_corrected = any(row.comparison is not None and row.comparison.p_holm is not None for row in self._rows)
        head = self.horizontalHeaderItem(_P)
        assert head is not None
        head.setText("p (Holm)" if is_corrected else "p")
        head.setToolTip(_COLUMNS[_P - 1][1] + (_HOLM if is_corrected else ""))
        for line, row in enumerate(self._rows):
            self._set_name(line, f"{row.title} {MARK}" if row.remark else row.title)
            name = self.item(line, 0)
            assert name is not None
            name.setIcon(symbols.icon(line))
            name.setToolTip("\n".join(filter(None, (row.title, row.reason, row.remark))))
            if row.quartiles is None:
                self._say(line, _N, row.reason)
            else:
                self._fill_row(line, row, row.quartiles)
        self._measure()
        self._fit_names()
        self.updateGeometry()

    def _fill_row(self, line: int, row: StatisticsRow, quartiles: tuple[float, float, float]) -> None:
        decimals = DECIMALS[self._metric]
        low, median, high = (f"{value:.{decimals}f}" for value in quartiles)
        texts = [str(len(row.shared)), median, f"{low}–{high}"]
        note = "" if row.comparison is None else row.comparison.note
        for column, text in enumerate(texts, start=1):
            self.setItem(line, column, self._number(text, _hint(column, note if column == _N else "")))
        if row.is_baseline:
            item = self._number("baseline", _hint(_DIFFERENCE))
            item.setForeground(QColor(theme.colours().muted))
            self.setItem(line, _DIFFERENCE, item)
        if row.shift is None:
            return
        self.setItem(
            line, _DIFFERENCE, self._number(_signed(row.shift.estimate, decimals), _hint(_DIFFERENCE, row.remark))
        )
        if row.shift.low is None or row.shift.high is None:
            self._say(line, _INTERVAL, "n is too small for a test")
            return
        interval = f"{_signed(row.shift.low, decimals)} … {_signed(row.shift.high, decimals)}"
        self.setItem(line, _INTERVAL, self._number(interval, _hint(_INTERVAL, row.remark)))
        self.setItem(line, _P, self._number("–" if row.p is None else p_text(row.p), _hint(_P, self._whole_p(row))))

    @staticmethod
    def _whole_p(row: StatisticsRow) -> str:
        test = row.comparison
        if test is None:
            return ""
        uncorrected = "" if test.p is None or test.p_holm is None else f"Uncorrected: {p_text(test.p)}."
        return "\n".join(filter(None, (uncorrected, test.note)))

    def _say(self, line: int, column: int, text: str) -> None:
        """Write words over the rest of a row."""
        item = QTableWidgetItem(text)
        item.setForeground(QColor(theme.colours().muted))
        item.setToolTip(text)
        item.setTextAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.setItem(line, column, item)
        if column < self.columnCount() - 1:
            self.setSpan(line, column, 1, self.columnCount() - column)


def p_text(p: float) -> str:
    """Return a p as it is read: two digits, and no more zeros than mean something."""
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}" if p < 0.01 else f"{p:.3f}"


def _signed(value: float, decimals: int) -> str:
    """Return a difference with its sign, a true minus, and none before what is written as zero."""
    text = f"{abs(value):.{decimals}f}"
    return text if float(text) == 0 else f"{'−' if value < 0 else '+'}{text}"


def _hint(column: int, more: str = "") -> str:
    return "\n".join(filter(None, (_COLUMNS[column - 1][1], more)))
