"""The pane of statistics: choice of score and baseline, the table, and the plots beside or below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import (
    QBoxLayout,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.views.fields import KeepsKeys
from app.views.named import named
from app.views.segmented import Segmented
from app.views.statistics_plot import StatisticsPlot
from app.views.statistics_table import DECIMALS, MARK, StatisticsTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QResizeEvent, QShowEvent

    from app.views.statistics_table import StatisticsRow

EMPTY_TEXT = "Statistics over slices appear here."
DEPENDENCE = "p speaks of this scan only: its slices are not independent."
_METRICS = tuple(DECIMALS)
_LEAST_PLOT = 260
_TALL = 340
"""From this height on the plots find room below the table."""
_LOW = 110
"""Below this height the sentence gives way to the numbers; they say it in their hints, too."""


class StatisticsView(QWidget):
    """Shows the statistics (object name ``statisticsView``) as its room allows: table and plot, or one of them.

    Setters: ``set_message(text)``, ``set_baselines(titles, place)``, ``set_rows(metric, rows)``, ``set_slice(index)``.

    Signals
    -------
    metric_chosen
        ``psnr``, ``ssim`` or ``nmse``.
    baseline_chosen
        Place of a baseline in the list that was set.
    slice_chosen
        Index of a slice.
    shown
        The pane came into sight; what it shows may be out of date.
    """

    metric_chosen = Signal(str)
    baseline_chosen = Signal(int)
    slice_chosen = Signal(int)
    shown = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("statisticsView")
        self.setAccessibleName("Statistics over slices")
        self._message = QLabel(EMPTY_TEXT, wordWrap=True)
        self._message.setProperty("muted", True)
        self._message.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._message.setMargin(theme.GAP)
        self.table = StatisticsTable()
        self.plot = StatisticsPlot()
        self.plot.slice_chosen.connect(self.slice_chosen)
        self._note = named("statisticsNote", QLabel(wordWrap=True))
        self._note.setProperty("muted", True)
        self._note.setFont(theme.small_font(self.font()))
        self._body = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._body.setSpacing(theme.SPACE)
        self._body.addWidget(self.table, 0)
        self._body.addWidget(self.plot, 1)
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(theme.SPACE, theme.SPACE, 0, theme.SPACE)
        column.setSpacing(theme.SPACE)
        column.addLayout(self._make_choices())
        column.addLayout(self._body, 1)
        column.addWidget(self._note)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self._message)
        self._stack.addWidget(page)

    def _make_choices(self) -> QHBoxLayout:
        self.score = _segmented("statisticsMetric", [metric.upper() for metric in _METRICS], "Score")
        self.score.chosen.connect(lambda _: self.metric_chosen.emit(_METRICS[self.score.index()]))
        self.part = _segmented("statisticsPart", ("Table", "Plot"), "Show")
        self.part.chosen.connect(lambda _: self._arrange())
        self._against = QLabel("against")
        self._against.setProperty("muted", True)
        self.baseline = named("statisticsBaseline", QComboBox())
        self.baseline.setAccessibleName("Baseline")
        self.baseline.setToolTip("The result that the others are compared with")
        self.baseline.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.baseline.setMinimumContentsLength(2)
        self.baseline.setMaximumWidth(320)
        self.baseline.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.baseline.activated.connect(self.baseline_chosen)
        self._keeper = KeepsKeys(self)
        self._keeper.watch(self.baseline)
        row = QHBoxLayout()
        row.setSpacing(theme.GAP)
        row.addWidget(self.score)
        row.addWidget(self._against)
        row.addWidget(self.baseline, 1)
        row.addStretch(0)
        row.addWidget(self.part)
        return row

    # ---------------------------------------------------------------- what is shown

    def set_message(self, text: str) -> None:
        """Say why there is nothing."""
        self._message.setText(text)
        self.table.set_rows(_METRICS[self.score.index()], [])
        self._stack.setCurrentIndex(0)

    def message(self) -> str:
        """What is said instead of numbers; empty where there are numbers."""
        return self._message.text() if self._stack.currentIndex() == 0 else ""

    def set_baselines(self, titles: Sequence[str], place: int) -> None:
        """Offer baselines, of which one is chosen."""
        if [self.baseline.itemText(number) for number in range(self.baseline.count())] != list(titles):
            self.baseline.clear()
            self.baseline.addItems(list(titles))
        self.baseline.setCurrentIndex(place)

    def set_rows(self, metric: str, rows: Sequence[StatisticsRow]) -> None:
        """Show the statistics of a score."""
        self.score.set_index(_METRICS.index(metric))
        self.table.set_rows(metric, rows)
        self.plot.set_rows(metric, rows)
        self._note.setText(_note(rows))
        self._stack.setCurrentIndex(1)
        self._arrange()

    def set_slice(self, index: int) -> None:
        """Mark the slice in view."""
        self.plot.set_slice(index)

    # ---------------------------------------------------------------- room

    def sizeHint(self) -> QSize:
        """As the other tables."""
        return QSize(400, 10 * (self.fontMetrics().height() + 6))

    def minimumSizeHint(self) -> QSize:
        """What its neighbours ask for, too: a tab that nobody looks at widens no pane."""
        return QSize(200, 3 * (self.fontMetrics().height() + 6))

    def showEvent(self, event: QShowEvent) -> None:
        """Tell that numbers are wanted."""
        super().showEvent(event)
        self.shown.emit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show as much as there is room for."""
        super().resizeEvent(event)
        self._arrange()

    def _arrange(self) -> None:
        """Beside each other, below each other, or the numbers or the plot with the names that are its legend."""
        has_numbers, full = True, self.table.full_width()
        is_wide, is_tall = self.width() >= full + _LEAST_PLOT, self.height() >= _TALL
        is_alone = not (is_wide or is_tall)
        if is_alone:
            has_numbers = self.part.index() == 0
        self._body.setDirection(
            QBoxLayout.Direction.TopToBottom if is_tall and not is_wide else QBoxLayout.Direction.LeftToRight
        )
        self.table.set_numbers_shown(has_numbers)
        self.plot.setVisible(not (is_alone and has_numbers))
        # The table takes what its columns need, and the plot the rest.
        width = full if is_wide else self.table.names_width() if not has_numbers else self.width()
        self.table.setFixedWidth(min(width, self.width()))
        self.part.setVisible(is_alone)
        self._note.setVisible(self.height() >= _LOW)
        self._against.setVisible(self.width() >= 3 * self.score.width())


def _segmented(name: str, labels: Sequence[str], what: str) -> Segmented:
    choice = named(name, Segmented(labels, what))
    choice.setFixedWidth(choice.one_row_width())
    choice.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
    return choice


def _note(rows: Sequence[StatisticsRow]) -> str:
    n_corrected = sum(row.comparison is not None and row.comparison.p_holm is not None for row in rows)
    parts = [DEPENDENCE]
    if n_corrected:
        parts.append(f"Corrected for {n_corrected} comparisons (Holm).")
    remarks = dict.fromkeys(row.remark for row in rows if row.remark)
    parts += [f"{MARK} {remark}" for remark in remarks]
    return " ".join(parts)
