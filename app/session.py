"""Session: all state, all signals, all commands of the window. Drives everything without a widget.

Views read the session and call its commands; they never talk to each other. What takes time runs in a worker thread
and comes back by signal. The state itself is kept by its parts: `Library` (studies), `Recipe` (what to do), `Shelf`
(results), `Previews` (what is seen before any model), `ViewState` (how images are looked at), `Preferences` (settings).
"""

from __future__ import annotations

import logging
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from app import engine as default_engine
from app import playing
from app.exports import Exports
from app.history import History
from app.job import Worker
from app.keeping import Keeping
from app.library import Library, can_simulate, counterpart
from app.messages import Message, explain, explain_declined, explain_lost, notes_text
from app.preferences import Preferences
from app.previews import Previews
from app.queue import Queue
from app.recipe import Recipe
from app.reconstructing import Reconstructing
from app.runner import Runner
from app.sending import Sending
from app.shelf import Shelf
from app.training.memory import TrainingMemory
from app.training.run import TrainingRun
from app.views import levels
from app.views.component import Component
from app.viewstate import ViewState
from recon.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import ModuleType

    from app.engine import Preview
    from app.library import Arrival
    from app.results import Result, SliceResult, Step
    from app.settings import Settings
    from recon.data import Series, Study
    from recon.export.pacs import Destination
    from recon.masks import SamplingMask
    from recon.simulate import SimulationSpec

log = logging.getLogger(__name__)


def _of(path: str) -> Any:
    """Make a property that is read from a part, such as ``"recipe.request"``."""
    return property(attrgetter(path))


class Session(QObject):
    """The state behind the window.

    Parameters
    ----------
    config
        Settings file; None takes the user's.
    engine
        What opens and reconstructs; tests hand in another.
    """

    message = Signal(object)
    studies_changed = Signal()
    opening_changed = Signal()
    series_changed = Signal()
    slice_changed = Signal(int)
    request_changed = Signal()
    parameters_changed = Signal()
    mask_changed = Signal()
    preview_changed = Signal(int)
    kspace_changed = Signal(object)
    thumbnail_changed = Signal(object)
    models_changed = Signal()
    devices_changed = Signal()
    job_changed = Signal()
    job_finished = Signal(str)
    progress_changed = Signal(float, object)
    step_arrived = Signal(int)
    results_changed = Signal()
    result_changed = Signal()
    position_changed = Signal()
    settings_changed = Signal()

    settings: Settings = _of("preferences.values")
    """What the user has set; see `change_settings`."""
    studies: list[Study] = _of("library.studies")
    """Studies that are open, in the order in which they came."""
    opening: list[Path] = _of("library.opening")
    """Paths that are being opened."""
    request: Request = _of("recipe.request")
    """What the next reconstruction does."""
    models: list[Any] = _of("recipe.models")
    """Cards of all models; empty until they are listed."""
    preview: Preview | None = _of("previews.current")
    """Zero-filled image, mask and reference of the current slice; None until they are read."""
    mask: SamplingMask | None = _of("previews.mask")
    """Pattern of the current request on the current series; None while it is impossible."""
    is_running: bool = _of("runner.is_running")
    """True while a reconstruction runs."""
    pending: tuple[int, ...] = _of("runner.pending")
    """Slices that the running reconstruction has not finished."""
    results: list[Result] = _of("shelf.results")
    """Results of this session, oldest first."""
    result: Result | None = _of("shelf.result")
    """The result in view."""
    position: int | None = _of("shelf.position")
    """Step of the current slice that the scrubber stands on; None follows the newest."""

    def __init__(self, config: Path | None = None, engine: ModuleType | Any | None = None) -> None:
        super().__init__()
        self._engine = default_engine if engine is None else engine
        self.preferences = Preferences(config, self)
        self.view = ViewState(self.settings.error_gain, self)
        self.training = TrainingRun(self)
        self.series: Series | None = None
        self.slice_index = 0
        self.devices: tuple[str, ...] = ("auto", "cpu")
        self._is_started = False
        self._notes: dict[Series, str] = {}
        self._filer = Worker(self)
        request = Request(device=self.settings.device, precision=self.settings.precision)  # type: ignore[arg-type]
        self.recipe = Recipe(request, self._engine, self._file, self)
        self.library = Library(self._engine, self._filer, self)
        self.shelf = Shelf(self)
        self.previews = Previews(self._engine, self)
        self.runner = Runner(self._engine, self)
        self.queue = Queue(self)
        self.reconstructing = Reconstructing(self, self._engine)
        self.exports = Exports(self, self._file)
        self.sending = Sending(self)
        self.keeping = Keeping(self, self._file)
        self.history = History(self)
        self._trainings = TrainingMemory(self)
        self.cine, self.flicker = playing.cine(self), playing.flicker(self)
        self._connect()
        self._take_settings()

    def _connect(self) -> None:
        self.preferences.changed.connect(self._take_settings)
        self.preferences.missed.connect(partial(self.say, "warning"))
        self.library.opening_changed.connect(self.opening_changed)
        self.library.arrived.connect(self._welcome)
        self.library.declined.connect(lambda study: self._tell(explain_declined(study)))
        self.library.missed.connect(self.report)
        self.recipe.changed.connect(self._change_request)
        self.recipe.models_changed.connect(self.models_changed)
        self.recipe.parameters_changed.connect(self.parameters_changed)
        self.shelf.results_changed.connect(self.results_changed)
        self.shelf.result_changed.connect(self.result_changed)
        self.shelf.position_changed.connect(self.position_changed)
        self.previews.mask_changed.connect(lambda: self.recipe.take_mask(self.mask))
        self.previews.mask_changed.connect(self.mask_changed)
        self.previews.preview_changed.connect(self._show_preview)
        self.previews.kspace_changed.connect(self.kspace_changed)
        self.previews.thumbnail_changed.connect(self.thumbnail_changed)
        self.previews.failed.connect(self.report)
        self.previews.told.connect(self._tell)
        self.runner.progressed.connect(self.progress_changed)
        self.view.rate_changed.connect(self.cine.set_rate)
        self.view.options_changed.connect(
            lambda: self.previews.want_phase(self.view.component is not Component.MAGNITUDE)
        )

    # ---------------------------------------------------------------- start and end

    def start(self) -> None:
        """Do what can wait until the window is on the screen, once: list the models, import torch."""
        if self._is_started:
            return
        self._is_started = True
        problem = self.preferences.take_problem()
        if problem:
            self.say("warning", problem)
        self._trainings.recall()
        self.list_models()
        self._file("warm-up", self._engine.warm_up, self._take_devices, "preparing the device")

    def list_models(self) -> None:
        """Read which models and weights there are."""
        self._file("models", self._engine.list_models, self.recipe.take_models, "listing the models")

    def close(self) -> None:
        """Cancel what runs and waits, and end the threads; a training goes on."""
        self.stop_playing()
        self.queue.clear()
        self.runner.stop()
        self.sending.stop()
        self.training.close()
        self.previews.stop()
        self.keeping.stop()
        self.history.stop()
        self._filer.stop()

    def say(self, level: str, text: str, details: str = "", action: str = "", target: str = "") -> None:
        """Tell the user something; it also goes into the log."""
        self._tell(Message(level, text, details, action, target))

    def report(self, error: BaseException, details: str, doing: str) -> None:
        """Tell the user about an exception."""
        self._tell(explain(error, details, doing, self.request.device))

    def _tell(self, message: Message) -> None:
        level = {"error": logging.ERROR, "warning": logging.WARNING}.get(message.level, logging.INFO)
        log.log(level, "%s", message.text)
        self.message.emit(message)

    def _file(self, key: str, work: Callable[[], Any], done: Callable[[Any], None], doing: str) -> None:
        self._filer.submit(key, work, done, lambda error, details: self.report(error, details, doing))

    # ---------------------------------------------------------------- studies

    def open(
        self,
        paths: Iterable[Path | str] | Path | str,
        simulation: SimulationSpec | None = None,
        *,
        is_shown: bool = True,
    ) -> None:
        """Open files and folders; each is read in a worker thread and appears as a study.

        Parameters
        ----------
        paths
            Files and folders; one that is open stays, unless it changed. Session files open what they name.
        simulation
            How k-space is made for magnitude images; None takes the default, or leaves it as it is.
        is_shown
            Show the first study that opens; otherwise it only joins the list, unless the list is empty.
        """
        scans = self.keeping.open_sessions([paths] if isinstance(paths, (str, Path)) else paths)
        self.library.open(scans, simulation, is_shown=is_shown)

    def open_demo(self) -> None:
        """Open the demo study: the bundled scans at once, the phantom when it is generated."""
        self.open(self._engine.demo_scans())
        show_later = partial(self.open, is_shown=False)
        self._file("phantom", self._engine.demo_phantom, show_later, "making the phantom")

    def simulate(self, simulation: SimulationSpec) -> bool:
        """Make the k-space of the current study of images anew; slice and recipe stay, results of the old one go.

        False when something stands in the way; a message says what.
        """
        study = self.library.study_of(self.series)
        if study is None or not can_simulate(self.series):
            problem = "Only k-space that is simulated from images, such as DICOM or NIfTI, can be simulated anew."
        elif self.is_running:
            problem = "A reconstruction is running; cancel it before its k-space is simulated anew."
        else:
            self.open([study.path], simulation)
            return True
        self.say("warning", problem)
        return False

    def close_study(self, study: Study) -> None:
        """Forget a study and its results, also the one that is being made."""
        self.library.remove(study)
        self._forget(study, "closed")
        self.results_changed.emit()
        self.studies_changed.emit()
        if self.series in study.series:
            first = self.library.first_series()
            if first is not None:
                self.select(first)
            else:
                self.series = None
                self.recipe.meet(None)
                self.shelf.show(None)
                self.series_changed.emit()

    def _forget(self, study: Study, reason: str) -> None:
        for series in study.series:
            self.previews.forget(series)
            self._notes.pop(series, None)
        self.shelf.forget(study.series)
        self.reconstructing.forget(study.series, reason)

    def select(self, series: Series | None = None, index: int | None = None) -> None:
        """Show a series (None: the current one) and one of its slices (None: the middle one of a new series)."""
        if series is not None and series is not self.series:
            self._show_series(series, index)
        elif self.series is not None and index is not None and self._clamp(index) != self.slice_index:
            self._show_slice(self._clamp(index))

    def step_slice(self, by: int) -> None:
        """Go some slices on."""
        self.select(index=self.slice_index + by)

    def stop_playing(self) -> bool:
        """End what changes by itself; False where nothing does."""
        is_playing = self.cine.is_on or self.flicker.is_on
        self.cine.stop()
        self.flicker.stop()
        return is_playing

    def _show_series(self, series: Series, index: int | None) -> None:
        self.series = series
        self.slice_index = series.n_slices // 2 if index is None else self._clamp(index)
        self.view.forget_levels(has_reference=series.has_reference)
        self.view.clear_marks()
        self.shelf.show(self.shelf.newest(series))
        self.recipe.meet(series)
        self.series_changed.emit()
        self.result_changed.emit()
        self._show_slice(self.slice_index)
        note = self._notes.pop(series, "")
        if note:
            self.say("info", note)

    def _show_slice(self, index: int) -> None:
        self.slice_index = index
        self.shelf.look(self.series, index)
        self.slice_changed.emit(index)
        self.previews.look(self.series, index, self.request)

    def _clamp(self, index: int) -> int:
        assert self.series is not None
        return max(0, min(index, self.series.n_slices - 1))

    def _welcome(self, arrival: Arrival) -> None:
        study, before = arrival.study, arrival.replaced
        if study is not before:
            if before is not None:
                n_lost = sum(bool(result.finished) for result in self.results if result.series in before.series)
                self._forget(before, "read again")
                if arrival.is_changed and n_lost:  # who simulates k-space anew was told before
                    self._tell(explain_lost(study, n_lost))
            # Said when the series comes into view: over the images of another it would be taken for theirs.
            self._notes |= {series: notes_text(series, study) for series in study.series if series.notes}
        self.change_settings(recent=self.settings.with_recent(arrival.path).recent)
        self.studies_changed.emit()
        same = counterpart(self.series, before, study)
        if same is not None:
            # Who reads a study again goes on looking at the same slice.
            self.select(same, self.slice_index)
        elif arrival.is_shown or self.library.study_of(self.series) is None:
            self.select(study.series[0])
        for series in study.series:
            self.previews.want_thumbnail(series)

    # ---------------------------------------------------------------- preview

    def apply_preset(self, name: str) -> None:
        """Set window and level from the data of the current slice."""
        preview = self.preview
        if preview is not None:
            self.view.apply_preset(name, preview.zero_filled, preview.reference)

    def keep_window(self) -> None:
        """Keep the window of the magnitudes in view as the user's, for scans of any scale."""
        preview, limits = self.preview, self.view.levels
        if preview is not None and limits is not None and self.view.component is Component.MAGNITUDE:
            image = preview.zero_filled if preview.reference is None else preview.reference
            kept = levels.Fraction.of(limits, image)
            self.change_settings(user_black=kept.black, user_white=kept.fraction)
            self.apply_preset("user")

    def _take_settings(self) -> None:
        white, black = self.settings.user_white, self.settings.user_black
        self.view.set_policy("user", levels.Fraction(white, black) if white > black else None)
        self.view.show_colours(self.settings.colours)
        self.settings_changed.emit()

    def _show_preview(self, index: int) -> None:
        preview = self.preview
        window = None if preview is None else preview.window
        self.view.set_policy("stored", None if window is None else levels.Manual(*window))
        if preview is not None and self.view.levels is None:
            self.apply_preset(self.view.usual_preset)
        self.preview_changed.emit(index)

    # ---------------------------------------------------------------- request

    def set_request(self, request: Request | None = None, **changes: Any) -> bool:
        """Change what the next reconstruction does: a whole request, or fields of it or of its mask; see `Recipe.set`.

        False when the values are impossible; ``recipe.problem`` says why and the last valid request stays.
        """
        return self.recipe.set(request, **changes)

    @property
    def has_own_mask(self) -> bool:
        """True when the scanner undersampled: its pattern is used, whatever the request says."""
        return self.series is not None and self.series.acquired_mask is not None

    @property
    def problem(self) -> str:
        """Why Reconstruct is disabled; empty when it is not. While one runs, the next may wait for its end."""
        if self.series is None:
            return "Open a study first."
        return self.recipe.problem or self.previews.mask_problem

    def _change_request(self) -> None:
        self.request_changed.emit()
        if self.series is not None and not self.recipe.is_refused:
            self.previews.look(self.series, self.slice_index, self.request)

    def _take_devices(self, devices: tuple[str, ...]) -> None:
        self.devices = devices
        self.devices_changed.emit()

    # ---------------------------------------------------------------- reconstruction

    def reconstruct(self, slices: Sequence[int] | str | None = None) -> bool:
        """Reconstruct the current slice, the ``"volume"`` or some, now or later; see `Reconstructing.start`."""
        return self.reconstructing.start(slices)

    def cancel(self) -> None:
        """Stop the reconstruction; slices that are finished stay, and the next one that waits starts."""
        self.runner.cancel()

    def cancel_all(self) -> None:
        """Stop the reconstruction and drop what waits for its end."""
        self.reconstructing.cancel_all()

    def use_cpu(self, number: str = "") -> None:
        """Repeat on the CPU what failed, after its device ran out of memory; see `Reconstructing.repeat_on`."""
        self.reconstructing.repeat_on("cpu", number)

    # ---------------------------------------------------------------- results

    @property
    def slice_result(self) -> SliceResult | None:
        """Steps of the current slice in the current result, or None."""
        return self.shelf.slice(self.slice_index)

    @property
    def step(self) -> Step | None:
        """The step that the scrubber stands on: the newest one unless the user went back."""
        return self.shelf.step(self.slice_index)

    def set_position(self, position: int | None) -> None:
        """Put the scrubber on a step of the current slice; None follows the newest."""
        self.shelf.set_position(self.slice_index, position)

    def step_position(self, by: int) -> None:
        """Go some iterations on."""
        self.shelf.step_position(self.slice_index, by)

    def show_result(self, result: Result) -> None:
        """Show a stored result and the series it belongs to."""
        if result.series is not self.series:
            self.select(result.series, min(result.slices, default=0))
        self.shelf.show(result)
        if result.slices and self.slice_index not in result.slices:
            self.select(index=min(result.slices, key=lambda index: abs(index - self.slice_index)))
        self.result_changed.emit()

    def step_result(self, by: int) -> None:
        """Show the previous or next stored result of this series."""
        result = self.shelf.before(by, self.series)
        if result is not None:
            self.show_result(result)

    def blink(self) -> None:
        """Show the result that was in view before this one."""
        before = self.shelf.seen_before(self.series)
        if before is not None:
            self.show_result(before)

    @property
    def can_flicker(self) -> bool:
        """Whether the slice in view is in the result that was in view before, too."""
        before = self.shelf.seen_before(self.series)
        return before is not None and self.slice_index in before.slices

    def send(self, destination: Destination | str, **how: Any) -> bool:
        """Send a result to a PACS as DICOM, see `Sending.send`; False when a message says what stands in the way."""
        return self.sending.send(destination, **how)

    # ---------------------------------------------------------------- settings, training

    def change_settings(self, **values: Any) -> None:
        """Change settings and write them.

        Raises
        ------
        ValueError
            If a name is unknown or a value is outside its limits.
        """
        self.preferences.change(**values)

    def export(self, folder: Path | str, formats: Iterable[str] = ("dicom",), **options: Any) -> bool:
        """Write a result to files; see `Exports.write`."""
        return self.exports.write(folder, formats, **options)

    def train(self, config: Path | str | dict[str, Any] | None = None, output: Path | str | None = None) -> bool:
        """Start training in a process of its own; `training` reports. See `TrainingMemory.start`."""
        return self._trainings.start(config, output)
