"""Shows what the slices of a series say of its results, as long as somebody looks at the pane."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app import slice_statistics
from app.comparison import titles_of
from app.presenters.settling import Settling
from app.views.statistics_view import EMPTY_TEXT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtCore import QObject

    from app.results import Result
    from app.session import Session
    from app.views.statistics_view import StatisticsView

# Slices of a fast method come faster than anybody reads numbers, and scrolling must not wait for them.
_SETTLE_MS = 250
NO_REFERENCE = "This scan has no fully sampled reference to compare with."
ONE_SLICE = "This scan has one slice; statistics need several."
HOW = "Reconstruct the volume (Shift+F5) by two methods to compare them slice by slice."


class StatisticsPresenter(Settling):
    """Joins the results of a session and the view.

    Parameters
    ----------
    session
        Whose results they are.
    view
        Where the numbers go.
    """

    def __init__(self, session: Session, view: StatisticsView, parent: QObject | None = None) -> None:
        super().__init__(parent, _SETTLE_MS)
        self._session = session
        self._view = view
        self._metric = slice_statistics.METRICS[0]
        # Numbers of results, which are not kept for the sake of this pane; None is the result in view.
        self._baselines: list[int | None] = [None]
        self._chosen: int | None = None
        for signal in (session.series_changed, session.result_changed, session.results_changed):
            signal.connect(self._later)
        session.runner.stage_added.connect(self._take)
        session.slice_changed.connect(view.set_slice)
        view.slice_chosen.connect(lambda index: session.select(index=index))
        view.metric_chosen.connect(self._choose_metric)
        view.baseline_chosen.connect(self._choose_baseline)
        view.shown.connect(self.refresh)

    def refresh(self) -> None:
        """Show the statistics of the results of the series in view; numbers that nobody sees are not computed."""
        if not self._view.isVisible():
            return
        results = self._session.shelf.of(self._session.series)
        usable = slice_statistics.usable(results, self._metric)
        problem = self._problem(results, usable)
        if problem:
            self._view.set_message(problem)
            return
        chosen = next((result for result in usable if result.number == self._chosen), None)
        # A result of one slice has nothing to pair: while it is in view, the newest of the others stands for it.
        shown = self._session.result if self._session.result in usable else usable[-1]
        baseline = shown if chosen is None else chosen
        titles = dict(zip(results, titles_of(results), strict=True))
        self._baselines = [None, *(result.number for result in usable)]
        role = "in view" if shown is self._session.result else "newest"
        self._view.set_baselines(
            [f"{titles[shown]} ({role})", *(titles[result] for result in usable)],
            0 if chosen is None else self._baselines.index(chosen.number),
        )
        self._view.set_rows(self._metric, slice_statistics.compared(results, baseline, self._metric))
        self._view.set_slice(self._session.slice_index)

    def _problem(self, results: Sequence[Result], usable: Sequence[Result]) -> str:
        """Why there is nothing to compare; empty where there is."""
        series = self._session.series
        if series is None:
            return EMPTY_TEXT
        if not series.has_reference:
            return NO_REFERENCE
        if series.n_slices == 1:
            return ONE_SLICE
        if len(usable) > 1:
            return ""
        if len(usable) == 1 and len(results) == 1:
            return f"There is one result. {HOW}"
        return f"{'Only one result has' if usable else 'No result has'} scores of several slices. {HOW}"

    def _take(self, result: Result, index: int) -> None:
        if self._view.isVisible() and result.series is self._session.series and result.slices[index].steps[-1].is_final:
            self._later()

    def _choose_metric(self, metric: str) -> None:
        self._metric = metric
        self.refresh()

    def _choose_baseline(self, place: int) -> None:
        self._chosen = self._baselines[place]
        self.refresh()
