"""Shows the steps of the current slice in the scrubber, and their scores in the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.comparison import ZERO_FILLED, compared, shown_step
from app.presenters.settling import Settling
from app.presenters.words import shown_name
from app.views.metrics_table import MetricsRow

if TYPE_CHECKING:
    from PySide6.QtCore import QObject

    from app.comparison import Comparison
    from app.results import SliceResult, Step
    from app.session import Session
    from app.views.metrics_table import MetricsTable
    from app.views.stage_scrubber import StageScrubber


class StagePresenter(Settling):
    """Shows the steps of the current slice in the scrubber, and their scores in the table."""

    def __init__(
        self, session: Session, scrubber: StageScrubber, table: MetricsTable, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._scrubber = scrubber
        self._table = table
        self._shown: SliceResult | None = None
        self._n_shown = 0
        for signal in (
            session.series_changed, session.slice_changed, session.result_changed, session.step_arrived,
            session.preview_changed, session.position_changed, session.job_changed, session.progress_changed,
            session.results_changed, session.view.options_changed,
        ):  # fmt: skip
            signal.connect(self._later)
        scrubber.positionChanged.connect(session.set_position)
        scrubber.rateChosen.connect(session.view.set_rate)
        session.view.rate_changed.connect(scrubber.set_rate)
        scrubber.set_score_name("PSNR", "dB")
        self.refresh()

    def refresh(self) -> None:
        """Show the steps and scores of the current slice."""
        item = self._session.slice_result
        steps = [] if item is None else item.steps
        if item is not self._shown or len(steps) < self._n_shown:
            self._scrubber.set_stages([_entry(step) for step in steps])
            self._scrubber.set_scores([_psnr(step) for step in steps])
        else:
            for step in steps[self._n_shown :]:
                self._scrubber.append(_entry(step), _psnr(step))
        self._shown, self._n_shown = item, len(steps)
        self._scrubber.set_message(self._session.runner.sentence or "No stages yet: press Reconstruct")
        # Of a series with a result every slice has the same room: images that change their size are hard to follow.
        self._scrubber.set_collapsed(self._session.result is None)
        self._scrubber.set_lacking(place for place, step in enumerate(steps) if step.image is None)
        current = self._session.step
        if current is not None:
            self._scrubber.set_position(steps.index(current))
        self._show_scores(item)

    def _show_scores(self, item: SliceResult | None) -> None:
        session = self._session
        series = session.series
        if series is None:
            self._table.clear_rows()
            self._table.set_message("Scores appear here.")
            return
        comparison = compared(session)
        rows, volume, n_done = self._rows_of_modules(item) if comparison is None else self._rows_of(comparison)
        if not rows and not series.has_reference:
            self._table.set_message("This scan has no fully sampled reference to compare with.")
        title = "Volume" if n_done == series.n_slices else f"{n_done} of {series.n_slices} slices"
        self._table.set_rows(rows, volume, f"Slice {session.slice_index + 1}", title)
        result = session.result
        n_ranged = 1 if result is None else len(result.request.slices or range(series.n_slices))
        where = "this slice" if n_ranged == 1 else f"{n_ranged} of {series.n_slices} slices"
        if n_ranged == series.n_slices:
            where = "the volume"
        self._table.setToolTip(f"PSNR and SSIM are relative to the largest value of the reference in {where}.")

    def _rows_of_modules(self, item: SliceResult | None) -> tuple[list[MetricsRow], list[MetricsRow], int]:
        """Scores of what came out of each module on this slice, of the volume, and of how many slices that is."""
        preview, result = self._session.preview, self._session.result
        rows = []
        if item is not None:
            for module in item.modules:
                step = item.last_of(module)
                is_doubled = module == "final" and result is not None and result.is_zero_filled
                if step is not None and (step.scores or step.residual is not None) and not is_doubled:
                    rows.append(_row(shown_name(module), step.scores, step.residual))
        elif preview is not None and preview.scores:
            rows.append(MetricsRow(shown_name("zero-filled"), **preview.scores))
        volume, n_done = [], 0
        if result is not None and result.reconstruction is not None and len(result.finished) > 1:
            done, n_done = result.reconstruction, len(result.finished)
            volume += _of_volume(shown_name("zero-filled"), done.zero_filled_metrics)
            if not result.is_zero_filled:
                volume += _of_volume(shown_name("final"), done.metrics)
        return rows, volume, n_done

    def _rows_of(self, comparison: Comparison) -> tuple[list[MetricsRow], list[MetricsRow], int]:
        """The same of the contenders; of the volume only where they finished the same slices as the result in view."""
        session = self._session
        rows, volume = [], []
        step = None if session.slice_result is None else session.slice_result.last_of("zero-filled")
        preview = session.preview
        scores = step.scores if step is not None else None if preview is None else preview.scores
        if scores or step is not None:
            rows.append(_row(comparison.zero_filled_title, scores, None if step is None else step.residual))
        finished = () if session.result is None else session.result.finished
        for contender in comparison.contenders:
            step, done = shown_step(contender.result, session), contender.result.reconstruction
            scores = None if step is None else comparison.scores(contender, step)
            if step is not None and contender.key != ZERO_FILLED and (scores or step.residual is not None):
                rows.append(_row(contender.title, scores, step.residual))
            if done is not None and len(finished) > 1 and contender.result.finished == finished:
                volume += _of_volume(contender.title, done.metrics)
        return rows, volume, len(finished)


def _row(title: str, scores: dict[str, float] | None, residual: float | None) -> MetricsRow:
    return MetricsRow(title, **(scores or {}), residual=residual)


def _of_volume(title: str, metrics: dict[str, dict[str, Any]] | None) -> list[MetricsRow]:
    if metrics is None:
        return []
    return [MetricsRow(title, **{key: scores["volume"] for key, scores in metrics.items()})]


def _entry(step: Step) -> tuple[str, str, int | None]:
    return shown_name(step.title), shown_name(step.module), step.iteration


def _psnr(step: Step) -> float | None:
    return None if step.scores is None else step.scores["psnr"]
