"""Connects the recipe panel to the session."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer

from app.library import can_simulate
from app.messages import sentence

if TYPE_CHECKING:
    from app.session import Session
    from app.views.mask_preview import MaskPreview
    from app.views.recipe_panel import RecipePanel

DRAWING_MS = 400


class RecipePresenter(QObject):
    """Shows the request, its mask and the running job; hands on what the user changes."""

    def __init__(
        self, session: Session, panel: RecipePanel, mask_preview: MaskPreview, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._panel = panel
        self._mask_preview = mask_preview
        self._progress: tuple[float, Any] = (0.0, None)
        # Most patterns are there at once; a Poisson disc takes seconds, and the old pattern would look like the new.
        self._drawing = QTimer(self, singleShot=True, interval=DRAWING_MS)
        self._drawing.timeout.connect(self._show_drawing)
        panel.changed.connect(lambda changes: session.set_request(**changes))
        panel.refused.connect(session.recipe.refuse)
        panel.parameters.changed.connect(session.recipe.set_parameter)
        panel.parameters.reset_wanted.connect(session.recipe.reset_parameters)
        panel.simulation_wanted.connect(session.simulate)
        panel.corrected.connect(lambda text: session.say("warning", text))
        panel.reconstruct_wanted.connect(session.reconstruct)
        panel.cancel_wanted.connect(session.cancel)
        session.request_changed.connect(self.refresh)
        session.slice_changed.connect(self._drawing.start)
        session.request_changed.connect(self._drawing.start)
        session.models_changed.connect(self._show_models)
        session.series_changed.connect(self._show_models)
        session.series_changed.connect(self.refresh)
        session.parameters_changed.connect(self._show_parameters)
        session.models_changed.connect(self._show_parameters)
        for signal in (session.series_changed, session.job_changed, session.opening_changed):
            signal.connect(self._show_simulation)
        session.devices_changed.connect(self._show_devices)
        session.mask_changed.connect(self._show_mask)
        session.job_changed.connect(self._show_job)
        session.result_changed.connect(self._show_job)
        session.queue.changed.connect(self._show_waiting)
        session.progress_changed.connect(self._show_progress)
        self._show_models()
        self._show_parameters()
        self._show_simulation()
        self._show_devices()
        self._show_mask()
        self._show_job()
        self._show_waiting()

    def refresh(self) -> None:
        """Show the request and what stands in its way."""
        session = self._session
        card = session.recipe.card
        # The list holds presets; an alias stands for one of them.
        request = session.request if card is None else replace(session.request, model=card.name)
        self._panel.set_request(request, keeps_text=session.recipe.is_refused)
        self._panel.set_weights(request.model, session.recipe.weights, session.request.model)
        self._panel.sampling.set_own_mask(session.has_own_mask)
        recipe = session.recipe
        # What runs comes before what the card says of the paper's network.
        note = sentence(recipe.size_note)
        self._panel.set_summary("" if card is None else f"{note} {card.summary}".strip())
        self._panel.set_coil_by_coil(
            is_so=recipe.is_coil_by_coil, needs_maps=card is not None and bool(card.needs_maps)
        )
        self._panel.set_overrides(request.overrides, recipe.refused_parameter, recipe.problem)
        self._show_problem()

    def _show_problem(self) -> None:
        session = self._session
        problem = session.problem
        # What is plain to see, or said beside the field, needs no sentence.
        is_plain = session.series is None or bool(session.recipe.refused_parameter)
        self._panel.set_problem("" if is_plain else problem, can_start=not problem)
        self._panel.set_note("" if problem else session.recipe.memory_note)

    def _show_models(self) -> None:
        session = self._session
        cards = [(card, session.recipe.model_problem(card)) for card in session.models]
        groups = [(name, list(entries)) for name, entries in groupby(cards, key=lambda entry: str(entry[0].group))]
        card = session.recipe.card
        self._panel.set_models(groups, session.request.model if card is None else card.name)
        self.refresh()

    def _show_parameters(self) -> None:
        recipe = self._session.recipe
        self._panel.set_method(recipe.parameters, recipe.request)
        self.refresh()

    def _show_simulation(self) -> None:
        session = self._session
        series = session.series
        spec = series.simulation if series is not None and can_simulate(series) else None
        self._panel.set_simulation(spec, is_busy=session.is_running or bool(session.opening))

    def _show_devices(self) -> None:
        self._panel.set_devices(self._session.devices)
        self.refresh()

    def _show_drawing(self) -> None:
        if self._session.previews.is_drawing:
            self._mask_preview.set_mask(None, "Drawing the pattern …")

    def _show_mask(self) -> None:
        mask, problem = self._session.mask, self._session.previews.mask_problem
        if mask is None:
            self._mask_preview.set_error("no pattern" if problem else "")
        else:
            centre = f"{mask.n_low_frequency} centre " + ("lines" if mask.is_line_mask else "points wide")
            words = f"{mask.acceleration:.2f}× effective · {centre}"
            self._mask_preview.set_mask(mask.mask, "All samples are kept." if mask.mask.all() else words)
        self._show_problem()

    def _show_job(self) -> None:
        self._panel.set_running(self._session.is_running)
        if not self._session.is_running:
            self._panel.set_progress(0.0, self._last_words())
        self._show_problem()

    def _show_waiting(self) -> None:
        self._panel.set_waiting([item.line for item in self._session.queue.waiting])
        if self._session.is_running:
            self._show_progress(*self._progress)

    def _last_words(self) -> str:
        result = self._session.result
        if result is None or not result.seconds:
            return ""
        count = len(result.finished)
        if not count:
            return f"cancelled after {duration(result.seconds)}"
        return f"{count} slice{'s' if count != 1 else ''} in {duration(result.seconds)}"

    def _show_progress(self, share: float, remaining_s: Any) -> None:
        self._progress = (share, remaining_s)
        # The one that runs, which need not be in view.
        result = self._session.runner.result
        total = 1 if result is None or result.request.slices is None else len(result.request.slices)
        words = [f"{share:.0%}"]
        # There is room for one count; the status bar says which slice it is, too.
        if total > 1 and result is not None and not self._session.queue.waiting:
            words.append(f"slice {min(len(result.finished) + 1, total)} of {total}")
        if remaining_s is not None:
            words.append(f"{duration(remaining_s)} left")
        self._panel.set_progress(share, " · ".join(words))


def duration(seconds: float) -> str:
    """Return a time in words: ``0.8 s``, ``12 s``, ``3 min 20 s``, ``1 h 05 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
