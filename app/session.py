"""Session: all state, all signals, all commands of the window. Drives everything without a widget.

Views read the session and call its commands; they never talk to each other. What takes time runs in a worker thread
and comes back by signal.
"""

from __future__ import annotations

import logging
import os
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from app import engine as default_engine
from app import settings as settings_file
from app.job import Worker
from app.messages import Message, explain
from app.previews import Previews
from app.results import Result
from app.runner import Runner
from app.training_run import TrainingRun
from app.viewstate import ViewState
from recon.errors import MRIError, RequestError
from recon.masks import MaskSpec
from recon.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import ModuleType

    import numpy as np
    from numpy.typing import NDArray

    from app.engine import Preview
    from app.results import SliceResult, Step
    from recon.data import Series, Study
    from recon.masks import SamplingMask
    from recon.simulate import SimulationSpec

log = logging.getLogger(__name__)

_MASK_FIELDS = {item.name for item in fields(MaskSpec)}
_REQUEST_FIELDS = {item.name for item in fields(Request)}


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
    exported = Signal(object)

    def __init__(self, config: Path | None = None, engine: ModuleType | Any | None = None) -> None:
        super().__init__()
        self._engine = default_engine if engine is None else engine
        self._config = config or settings_file.default_file()
        self.settings, self._settings_problem = settings_file.load(self._config)
        self.view = ViewState(self.settings.error_gain, self)
        self.training = TrainingRun(self)
        self.studies: list[Study] = []
        self.opening: list[Path] = []
        self.series: Series | None = None
        self.slice_index = 0
        self.request = Request(device=self.settings.device, precision=self.settings.precision)  # type: ignore[arg-type]
        self.request_problem = ""
        self.is_refused = False
        """Whether the last change was refused, so that the request is not what the user asked for."""
        self.models: list[Any] = []
        self.devices: tuple[str, ...] = ("auto", "cpu")
        self.results: list[Result] = []
        self.result: Result | None = None
        self.position: int | None = None
        self._is_following = False
        self._n_results = 0
        self._last_slices: tuple[int, ...] | None = None
        self._filer = Worker(self)
        self._previews = Previews(self._engine, self)
        self._runner = Runner(self._engine, self)
        self._connect()

    def _connect(self) -> None:
        self.training.failed.connect(lambda text, details: self.say("error", text, details))
        self.training.succeeded.connect(lambda text: self.say("success", text))
        self._previews.mask_changed.connect(self.mask_changed)
        self._previews.preview_changed.connect(self._show_preview)
        self._previews.kspace_changed.connect(self.kspace_changed)
        self._previews.thumbnail_changed.connect(self.thumbnail_changed)
        self._previews.failed.connect(self.report)
        self._runner.stage_added.connect(self._take_stage)
        self._runner.progressed.connect(self.progress_changed)
        self._runner.ended.connect(self._end_job)

    # ---------------------------------------------------------------- start and end

    def start(self) -> None:
        """Do what can wait until the window is on the screen: list the models, import torch."""
        if self._settings_problem:
            self.say("warning", self._settings_problem)
            self._settings_problem = ""
        self._file("models", self._engine.list_models, self._take_models, "listing the models")
        self._file("warm-up", self._engine.warm_up, self._take_devices, "preparing the device")

    def close(self) -> None:
        """Cancel what runs and end the threads."""
        self._runner.stop()
        self.training.stop()
        self._previews.stop()
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
            Files and folders; a file that is open already is read again.
        simulation
            How k-space is made for magnitude images; None takes the default.
        is_shown
            Show the first study that opens; otherwise it only joins the list, unless the list is empty.
        """
        items = [paths] if isinstance(paths, (str, Path)) else list(paths)
        for number, item in enumerate(items):
            path = Path(item).expanduser().absolute()
            self.opening.append(path)
            self._filer.submit(
                f"open {path}",
                partial(self._engine.open_study, path, simulation),
                partial(self._take_study, path, is_shown and number == 0),
                partial(self._miss_study, path),
            )
        self.opening_changed.emit()

    def open_demo(self) -> None:
        """Open the demo study: the bundled scans at once, the phantom when it is generated."""
        self.open(self._engine.demo_scans())
        self._file("phantom", self._engine.demo_phantom, self._open_phantom, "making the phantom")

    def _open_phantom(self, path: Path) -> None:
        self.open([path], is_shown=False)

    def close_study(self, study: Study) -> None:
        """Forget a study and its results, also the one that is being made."""
        self._forget(study)
        self.results_changed.emit()
        self.studies_changed.emit()
        if self.series in study.series:
            first = next((series for item in self.studies for series in item.series), None)
            if first is not None:
                self.select(first)
            else:
                self.series, self.result = None, None
                self.series_changed.emit()

    def _forget(self, study: Study) -> None:
        self.studies = [item for item in self.studies if item is not study]
        for series in study.series:
            self._previews.forget(series)
        self.results = [result for result in self.results if result.series not in study.series]
        running = self._runner.result
        if running is not None and running.series in study.series:
            self.cancel()

    def select(self, series: Series | None = None, index: int | None = None) -> None:
        """Show a series (None: the current one) and one of its slices (None: the middle one of a new series)."""
        if series is not None and series is not self.series:
            self._show_series(series, index)
        elif self.series is not None and index is not None and self._clamp(index) != self.slice_index:
            self._is_following = False
            self._show_slice(self._clamp(index))

    def step_slice(self, by: int) -> None:
        """Go some slices on."""
        self.select(index=self.slice_index + by)

    def _show_series(self, series: Series, index: int | None) -> None:
        self.series = series
        self.slice_index = series.n_slices // 2 if index is None else self._clamp(index)
        self.position = None
        self.view.forget_levels()
        self.view.clear_crosshair()
        self.result = self._newest_result(series)
        self._validate()
        self.series_changed.emit()
        self.result_changed.emit()
        self._show_slice(self.slice_index)

    def _show_slice(self, index: int) -> None:
        self.slice_index = index
        self.slice_changed.emit(index)
        self._previews.look(self.series, index, self.request)

    def _clamp(self, index: int) -> int:
        assert self.series is not None
        return max(0, min(index, self.series.n_slices - 1))

    def _take_study(self, path: Path, is_shown: bool, study: Study) -> None:
        self._opened(path)
        if study.declined:
            lines = [f"{declined.path.name}: {declined.reason}" for declined in study.declined]
            more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
            self.say("warning", f"Not opened: {lines[0]}{more}", "\n".join(lines) if more else "")
        if not study.series:
            if not study.declined:
                self.say("error", f"{path}: nothing in it can be reconstructed.")
            return
        for old in [item for item in self.studies if item.path == study.path]:
            self._forget(old)
        self.studies.append(study)
        notes = dict.fromkeys(note for series in study.series for note in series.notes)
        if notes:
            self.say("info", f"{study.title}: {' '.join(notes)}")
        self.change_settings(recent=self.settings.with_recent(path).recent)
        self.studies_changed.emit()
        is_orphan = self.series is not None and all(self.series not in item.series for item in self.studies)
        if is_shown or self.series is None or is_orphan:
            self.select(study.series[0])
        for series in study.series:
            self._previews.want_thumbnail(series)

    def _miss_study(self, path: Path, error: BaseException, details: str) -> None:
        self._opened(path)
        self.report(error, details, f"opening {path.name}")

    def _opened(self, path: Path) -> None:
        if path in self.opening:
            self.opening.remove(path)
        self.opening_changed.emit()

    # ---------------------------------------------------------------- preview

    @property
    def preview(self) -> Preview | None:
        """Zero-filled image, mask and reference of the current slice; None until they are read."""
        return self._previews.current

    @property
    def mask(self) -> SamplingMask | None:
        """Pattern of the current request on the current series; None while it is impossible."""
        return self._previews.mask

    @property
    def is_drawing_mask(self) -> bool:
        """Whether `mask` is still that of the request before."""
        return self._previews.is_drawing

    @property
    def mask_problem(self) -> str:
        """Why there is no mask."""
        return self._previews.mask_problem

    @property
    def thumbnails(self) -> dict[Series, NDArray[np.float32]]:
        """Small pictures of the series, as far as they are made."""
        return self._previews.thumbnails

    def request_kspace(self) -> None:
        """Read the k-space of the current slice; `kspace_changed` brings it."""
        self._previews.want_kspace()

    def apply_preset(self, name: str) -> None:
        """Set window and level from the data of the current slice."""
        preview = self.preview
        if preview is not None:
            self.view.apply_preset(name, preview.zero_filled, preview.reference)

    def _show_preview(self, index: int) -> None:
        preview = self.preview
        if preview is not None and self.view.levels is None:
            self.apply_preset("auto" if preview.reference is None else "matched")
        self.preview_changed.emit(index)

    # ---------------------------------------------------------------- request

    def set_request(self, request: Request | None = None, **changes: Any) -> bool:
        """Change what the next reconstruction does.

        Parameters
        ----------
        request
            A whole request, or None to change the current one.
        changes
            Fields of Request or of its MaskSpec: ``model``, ``device``, ``kind``, ``acceleration``, ``seed``, …

        Returns
        -------
        accepted
            False when the values are impossible; `request_problem` says why and the last valid request stays.
        """
        base = self.request if request is None else request
        try:
            unknown = sorted(set(changes) - _MASK_FIELDS - _REQUEST_FIELDS)
            if unknown:
                raise RequestError(f"a request has no field {unknown[0]!r}.")
            mask_changes = {name: value for name, value in changes.items() if name in _MASK_FIELDS}
            if mask_changes:
                base = replace(base, mask=replace(base.mask, **mask_changes))
            base = replace(base, **{name: value for name, value in changes.items() if name in _REQUEST_FIELDS})
        except MRIError as error:
            self.refuse_request(str(error))
            return False
        self.request, self.is_refused = base, False
        self._validate()
        self.request_changed.emit()
        if self.series is not None:
            self._previews.look(self.series, self.slice_index, self.request)
        return True

    def refuse_request(self, problem: str) -> None:
        """Note that what the user typed is no request; the last valid one stays."""
        self.request_problem, self.is_refused = problem, True
        self.request_changed.emit()

    def find_model(self, name: str) -> Any | None:
        """Return the card of a preset or alias, or None."""
        return self._engine.find_model(self.models, name)

    def model_problem(self, card: Any) -> str:
        """Return why a model cannot be used with the current series, or an empty string."""
        problem: str = self._engine.model_problem(card, self.series, self.request)
        return problem

    @property
    def has_own_mask(self) -> bool:
        """True when the scanner undersampled: its pattern is used, whatever the request says."""
        return self.series is not None and self.series.acquired_mask is not None

    @property
    def problem(self) -> str:
        """Why Reconstruct is disabled; empty when it is not."""
        if self.series is None:
            return "Open a study first."
        if self.is_running:
            return "A reconstruction is running."
        return self.request_problem or self.mask_problem

    def _validate(self) -> None:
        card = self.find_model(self.request.model)
        self.request_problem = "" if card is None or self.series is None else self.model_problem(card)

    def _take_models(self, models: list[Any]) -> None:
        self.models = models
        self._validate()
        self.models_changed.emit()

    def _take_devices(self, devices: tuple[str, ...]) -> None:
        self.devices = devices
        self.devices_changed.emit()

    # ---------------------------------------------------------------- reconstruction

    @property
    def is_running(self) -> bool:
        """True while a reconstruction runs."""
        return self._runner.is_running

    @property
    def pending(self) -> tuple[int, ...]:
        """Slices that the running reconstruction has not finished."""
        return self._runner.pending

    def reconstruct(self, slices: Sequence[int] | str | None = None) -> bool:
        """Start a reconstruction.

        Parameters
        ----------
        slices
            None: the current slice; ``"volume"``: all; otherwise indices.

        Returns
        -------
        started
            False when something stands in the way; a message says what.
        """
        if self.problem:
            self.say("warning", self.problem)
            return False
        series = self.series
        assert series is not None
        if slices is None:
            indices: tuple[int, ...] = (self.slice_index,)
        elif isinstance(slices, str):
            indices = tuple(range(series.n_slices))
        else:
            indices = tuple(slices)
        request = replace(self.request, slices=indices)
        card = self.find_model(request.model)
        self._n_results += 1
        result = Result(
            self._n_results,
            series,
            request,
            request.model if card is None else card.title,
            announced=() if card is None else self._engine.announced_modules(card),
        )
        self.results.append(result)
        del self.results[: -self.settings.n_results]
        self.result, self.position = result, None
        # The view goes along with a volume until the user looks at another slice.
        self._is_following = len(indices) > 1
        self._runner.start(result)
        self.results_changed.emit()
        self.result_changed.emit()
        self.job_changed.emit()
        self.progress_changed.emit(0.0, None)
        return True

    def cancel(self) -> None:
        """Stop the reconstruction; slices that are finished stay."""
        self._runner.cancel()

    def use_cpu(self) -> None:
        """Repeat the last reconstruction on the CPU, after the device ran out of memory."""
        slices = self._last_slices
        if self.set_request(device="cpu"):
            self.reconstruct(slices)

    def _take_stage(self, result: Result, index: int) -> None:
        if result is not self.result:
            return
        if self._is_following and index != self.slice_index:
            self._show_slice(index)
        self.step_arrived.emit(index)

    def _end_job(self, result: Result, state: str, error: BaseException | None, details: str) -> None:
        self._last_slices = result.request.slices
        if not result.slices:
            # Closing a study forgets its results, also the one that is being made.
            self.results = [item for item in self.results if item is not result]
            if self.result is result:
                self.result = self._newest_result(result.series)
        self.results_changed.emit()
        self.result_changed.emit()
        self.job_changed.emit()
        if error is not None:
            self.report(error, details, "reconstructing")
        elif state == "partial":
            kept, total = len(result.finished), len(result.request.slices or ())
            self.say("info", f"Cancelled. {kept} of {total} slices were finished" + (" and are kept." if kept else "."))
        self.job_finished.emit(state)

    # ---------------------------------------------------------------- results

    @property
    def slice_result(self) -> SliceResult | None:
        """Steps of the current slice in the current result, or None."""
        return None if self.result is None else self.result.slices.get(self.slice_index)

    @property
    def step(self) -> Step | None:
        """The step that the scrubber stands on: the newest one unless the user went back."""
        item = self.slice_result
        if item is None or not item.steps:
            return None
        return item.steps[-1 if self.position is None else min(self.position, len(item.steps) - 1)]

    def set_position(self, position: int | None) -> None:
        """Put the scrubber on a step of the current slice; None follows the newest."""
        item = self.slice_result
        n_steps = 0 if item is None else len(item.steps)
        if position is not None:
            position = max(0, position)
            # On the last step the scrubber follows what is still to come.
            position = position if position < n_steps - 1 else None
        if position != self.position:
            self.position = position
            self.position_changed.emit()

    def step_position(self, by: int) -> None:
        """Go some iterations on."""
        item = self.slice_result
        if item is not None:
            self.set_position((len(item.steps) - 1 if self.position is None else self.position) + by)

    def show_result(self, result: Result) -> None:
        """Show a stored result and the series it belongs to."""
        if result.series is not self.series:
            self.select(result.series, min(result.slices, default=0))
        self.result, self.position = result, None
        if result.slices and self.slice_index not in result.slices:
            self.select(index=min(result.slices))
        self.result_changed.emit()

    def step_result(self, by: int) -> None:
        """Show the previous or next stored result of this series."""
        own = [result for result in self.results if result.series is self.series]
        if self.result in own:
            self.show_result(own[(own.index(self.result) + by) % len(own)])

    def _newest_result(self, series: Series) -> Result | None:
        return next((result for result in reversed(self.results) if result.series is series), None)

    def export(
        self, folder: Path | str, formats: Iterable[str], *, stages: bool = False, result: Result | None = None
    ) -> bool:
        """Write a result in a worker thread; `exported` brings the files.

        Parameters
        ----------
        folder
            Where the files go.
        formats
            Some of ``hdf5``, ``dicom``, ``png``.
        stages
            Write the stages too, where the format can hold them.
        result
            The result; None takes the current one.

        Returns
        -------
        started
            False when there is nothing to export; a message says so.
        """
        result = self.result if result is None else result
        if result is None or result.reconstruction is None:
            self.say("warning", "There is no finished result to export; reconstruct a slice first.")
            return False
        folder = Path(folder).expanduser().absolute()
        self.say("info", f"Exporting to {folder} …")
        work = partial(result.reconstruction.save, folder, list(formats), stages=stages)
        self._file(f"export {result.number}", work, partial(self._take_files, folder), "exporting")
        return True

    def _take_files(self, folder: Path, files: list[Path]) -> None:
        self.change_settings(export_folder=str(folder))
        names = ", ".join(path.name for path in files)
        self.say("success", f"Exported to {folder}: {names}", action="open-folder", target=str(folder))
        self.exported.emit(files)

    # ---------------------------------------------------------------- settings, training

    def change_settings(self, **values: Any) -> None:
        """Change settings and write them.

        Raises
        ------
        ValueError
            If a name is unknown or a value is outside its limits.
        """
        self.settings = self.settings.changed(**values)
        try:
            settings_file.save(self.settings, self._config)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            self.say("warning", f"Settings could not be written to {self._config}: {reason}.")
        self.settings_changed.emit()

    def train(self, config: Path | str | dict[str, Any], output: Path | str | None = None) -> bool:
        """Start training in a process of its own; `training` reports.

        Parameters
        ----------
        config
            A TOML file, or the values of one.
        output
            Run folder; None takes the one of the settings.
        """
        output = output or self.settings.training_output
        if not output:
            self.say("warning", "Choose a run folder for the training first.")
            return False
        return self.training.start(config, Path(output).expanduser().absolute())
