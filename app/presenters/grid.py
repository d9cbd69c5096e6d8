"""Shows the current slice in the image grid: what is shown where, and what is said where nothing is."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from app.comparison import ZERO_FILLED, compared, shown_step
from app.messages import sentence
from app.presenters.settling import Settling
from app.presenters.words import HINTS, hint, score_text, shown_name
from app.views import levels
from app.views.annotation import Annotation
from app.views.component import Component, Picture
from app.views.image_grid import PanelSpec
from app.views.layer import Wipe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from app.comparison import Comparison, Contender
    from app.results import Result, SliceResult, Step
    from app.session import Session
    from app.views.image_grid import ImageGrid

NO_PHASE = "No phase is known of this image"


class GridPresenter(Settling):
    """Shows the current slice in the image grid; `refreshed` tells when other images may be there."""

    refreshed = Signal()

    def __init__(self, session: Session, grid: ImageGrid, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._grid = grid
        self._shown: dict[str, tuple[Picture | None, Picture | None, Any, Component, bool]] = {}
        self._component = Component.MAGNITUDE
        self._has_signed_errors = False
        self._has_errors = False
        self._viewed: Result | None = None
        self._contended: set[str] = set()
        for signal in (
            session.series_changed, session.slice_changed, session.preview_changed, session.result_changed,
            session.step_arrived, session.position_changed, session.job_changed, session.view.options_changed,
            session.progress_changed, session.results_changed,
        ):  # fmt: skip
            signal.connect(self._later)
        session.series_changed.connect(self._change_series)
        session.view.levels_changed.connect(self._apply_levels)
        session.view.error_gain_changed.connect(grid.set_error_gain)
        session.view.options_changed.connect(self._apply_options)
        session.view.options_changed.connect(self._apply_wipe)
        session.view.wipe_changed.connect(self._apply_wipe)
        grid.set_error_gain(session.view.error_gain)
        grid.sliceStep.connect(session.step_slice)
        grid.iterationStep.connect(session.step_position)
        grid.levelsChanged.connect(session.view.set_levels)
        grid.levelsReset.connect(lambda: session.apply_preset(session.view.usual_preset))
        grid.errorGainChanged.connect(session.view.set_error_gain)
        grid.panelMaximised.connect(self._view_maximised)
        grid.wipeMoved.connect(session.view.set_wipe)
        grid.probeMoved.connect(session.view.set_crosshair)
        grid.probeLeft.connect(session.view.clear_crosshair)
        # The session may be older than the window.
        self._change_series()
        self._apply_levels()
        self._later()

    # ---------------------------------------------------------------- columns

    def columns(self) -> list[PanelSpec]:
        """Return the columns for the current series, result and layout."""
        session = self._session
        comparison = compared(session)
        if comparison is None:
            names = ["zero-filled"]
            if session.view.layout != "result" and session.result is not None:
                names += session.result.expected_modules
            if session.result is None or not session.result.is_zero_filled:
                names.append("final")
            specs = [PanelSpec(name, shown_name(name), hint(name)) for name in names]
        else:
            specs = [PanelSpec("zero-filled", comparison.zero_filled_title, hint("zero-filled"))]
            others = (one for one in comparison.contenders if one.key != ZERO_FILLED)
            specs += [PanelSpec(one.key, one.title, one.result.title) for one in others]
        series = session.series
        if series is not None and series.has_reference:
            specs.append(PanelSpec("reference", "Reference", HINTS["reference"], is_reference=True))
        return specs

    def _change_series(self) -> None:
        series = self._session.series
        self._shown.clear()
        self._has_errors = False
        self._viewed = None
        self._grid.clear()
        self._grid.zoom_to_fit()
        if series is not None:
            rows_mm, columns_mm = series.geometry.pixel_spacing_mm
            self._grid.set_flip(series.geometry.flip_rows)
            self._grid.set_pixel_aspect(rows_mm / columns_mm if columns_mm > 0 else 1.0)

    def refresh(self) -> None:
        """Show the current slice."""
        self._fill()
        self.refreshed.emit()

    def _fill(self) -> None:
        session, grid = self._session, self._grid
        if session.series is None:
            return
        specs, enlarged = self.columns(), grid.maximised()
        if [grid.panel(key).spec for key in grid] != specs:
            self._shown.clear()
        grid.set_panels(specs)
        grid.set_slice(session.slice_index, session.series.n_slices)
        preview, item = session.preview, session.slice_result
        truth = None if preview is None else preview.reference
        reference = None if preview is None or truth is None else Picture(truth, preview.reference_phase)
        if preview is not None:
            self._has_errors = truth is not None and truth.shape == preview.zero_filled.shape
        # While a slice is read the row stays as it was: images that change their size are hard to follow.
        grid.set_error_row(session.view.shows_errors and self._has_errors)
        if truth is not None:
            grid.set_data_range(float(truth.max()))
        if preview is None and item is None and not session.previews.problem:
            self._apply_options()
            return  # the picture of the slice before stays until the new one is read, a blink of an eye later
        # Window and colours change with the images: a magnitude is never seen in the colours of a phase.
        self._component, self._has_signed_errors = session.view.component, session.view.has_signed_errors
        self._apply_levels()
        self._apply_options()
        step = session.step
        comparison = compared(session)
        contenders = {} if comparison is None else {one.key: one for one in comparison.contenders}
        for spec in specs:
            if spec.is_reference:
                self._put(spec.key, reference, None, None)
                if preview is None:
                    grid.set_message(spec.key, "Not read" if session.previews.problem else "Reading …")
            elif spec.key == "zero-filled":
                self._put_zero_filled(reference)
            elif comparison is not None and spec.key in contenders:
                self._put_contender(contenders[spec.key], comparison, reference)
            else:
                self._put_module(spec.key, item, step, reference)
        active = step.module if step is not None and (session.is_running or session.position is not None) else None
        active = next((key for key, one in contenders.items() if one.result is session.result), active)
        grid.set_active(active)
        if session.result is not self._viewed and active in contenders and enlarged in self._contended:
            # What comes into view fills the grid: from one result to the next the eye sees what changes.
            grid.maximise(active)
        self._viewed, self._contended = session.result, set(contenders)
        self._apply_wipe()

    def _view_maximised(self, key: str) -> None:
        """Bring the result whose column the user enlarged into view, for scrubber and keys to go on from it."""
        session = self._session
        comparison = compared(session)
        chosen = None if comparison is None else next((one for one in comparison.contenders if one.key == key), None)
        if chosen is not None and chosen.result is not session.result and session.slice_index in chosen.result.slices:
            session.show_result(chosen.result)

    def _put_zero_filled(self, reference: Picture | None) -> None:
        preview, item = self._session.preview, self._session.slice_result
        step = item.last_of("zero-filled") if item is not None else None
        if step is not None:
            self._put("zero-filled", _picture(step), reference, step.scores)
        elif preview is not None:
            picture = Picture(preview.zero_filled, preview.zero_filled_phase)
            self._put("zero-filled", picture, reference, preview.scores)
        elif self._session.previews.problem:
            self._put("zero-filled", None, None, None)
            self._grid.set_message("zero-filled", sentence(self._session.previews.problem))

    def _put_contender(self, contender: Contender, comparison: Comparison, reference: Picture | None) -> None:
        step = shown_step(contender.result, self._session)
        if step is None:
            self._put(contender.key, None, None, None)
            self._grid.set_message(contender.key, self._absent(contender.result))
        else:
            self._put(contender.key, _picture(step), reference, comparison.scores(contender, step))
        place = "" if step is None or step.is_final else step.title
        self._grid.set_title(contender.key, contender.title, place)

    def _absent(self, result: Result | None) -> str:
        """Why a result shows nothing of the slice in view."""
        session = self._session
        if result is session.runner.result and session.slice_index in session.pending:
            return "Waiting"
        # While another slice is computed, this one would have to wait for it, and this says so.
        has_begun = result is not None and session.slice_index in result.slices
        return session.runner.sentence or ("Cancelled" if has_begun else "Not reconstructed yet")

    def _put_module(self, name: str, item: SliceResult | None, current: Step | None, reference: Picture | None) -> None:
        session = self._session
        # The scrubber's iteration stands in the column of its module; the other columns keep their last output.
        is_here = current is not None and current.module == name
        step = current if is_here else (None if item is None else item.last_of(name))
        if step is None:
            self._put(name, None, None, None)
            self._grid.set_message(name, self._absent(session.result))
            self._grid.set_title(name, shown_name(name))
            return
        assert item is not None
        place = ""
        last = item.last_of(name)
        if step.iteration is not None and last is not None:
            # Solvers show every n-th iterate: what counts is the number of the last one, not how many came out.
            if item.final is None:
                place = str(step.iteration)
            elif step is not last:
                place = f"{step.iteration}/{last.iteration}"
        self._grid.set_title(name, shown_name(name), place)
        self._put(name, _picture(step), reference, step.scores)

    def _put(
        self,
        key: str,
        picture: Picture | None,
        reference: Picture | None,
        scores: dict[str, float] | None,
    ) -> None:
        component, is_signed = self._component, self._has_signed_errors
        shown = self._shown.get(key)
        is_same = shown is not None and _is_same(shown[0], picture) and _is_same(shown[1], reference)
        if shown is not None and is_same and shown[2:] == (scores, component, is_signed):
            return
        self._shown[key] = (picture, reference, scores, component, is_signed)
        image = component.of(picture)
        self._grid.set_image(key, image, score_text(scores))
        if picture is not None and image is None:
            self._grid.set_message(key, NO_PHASE)
        error = None
        if picture is not None and reference is not None and reference.magnitude.shape == picture.magnitude.shape:
            error = component.error(picture, reference, is_signed=is_signed)
        similarity = math.nan if scores is None or error is None else scores["ssim"]
        self._grid.set_error(key, error, f"SSIM {similarity:.3f}" if math.isfinite(similarity) else "")

    # ---------------------------------------------------------------- looks

    def _apply_levels(self) -> None:
        view = self._session.view
        if view.levels is not None and view.component is self._component:
            self._grid.set_levels(*view.levels)

    def _apply_options(self) -> None:
        view = self._session.view
        table = _table(self._component, view.colours, view.is_inverted)
        is_signed, component = self._has_signed_errors, self._component
        title, hint = component.error_title(is_signed=is_signed), component.error_hint(is_signed=is_signed)
        self._grid.set_error_kind(title, hint, is_signed=is_signed and component.has_signed_errors)
        for key in tuple(self._grid.keys()):
            self._grid.panel(key).well.set_table(table)
        if not view.has_crosshair:
            self._grid.clear_probe()
        elif view.crosshair is not None and self._grid.probe() is None:
            self._grid.set_probe(*view.crosshair)
        series = self._session.series
        self._grid.set_annotation(
            Annotation.of(series.geometry) if series is not None and view.has_annotations else None
        )

    def _apply_wipe(self) -> None:
        view, grid = self._session.view, self._grid
        if not view.has_wipe or "zero-filled" not in grid:
            grid.set_wipe(None)
            return
        # Beside other results the zero-filled image tells what each of them gained; each alone is held to the truth.
        panel = grid.panel("reference" if "reference" in grid and not self._contended else "zero-filled")
        image = panel.well.image
        grid.set_wipe(None if image is None else Wipe(image, panel.spec.title, view.wipe))


@cache
def _table(component: Component, colours: str, is_inverted: bool) -> NDArray[np.uint32]:
    return levels.packed(component.colours(colours)[:: -1 if is_inverted else 1])


def _picture(step: Step) -> Picture | None:
    return None if step.image is None else Picture(step.image, step.phase)


def _is_same(first: Picture | None, second: Picture | None) -> bool:
    return first is second or (first is not None and first.is_same(second))
