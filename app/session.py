"""Session: all state, all signals, all commands of the window. Drives everything without a widget.

Views read the session and call its commands; they never talk to each other. What takes time runs in a worker thread
and comes back by signal.
"""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from app import engine as default_engine
from app import settings as settings_file
from app.job import Job, Worker
from app.results import Result
from app.training_run import TrainingRun
from app.viewstate import ViewState
from recon.errors import DeviceError, MRIError, RequestError
from recon.masks import MaskSpec
from recon.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import ModuleType

    import numpy as np
    from numpy.typing import NDArray

    from app.engine import Preview
    from app.results import SliceResult, State, Step
    from recon.data import Series, Study
    from recon.masks import SamplingMask
    from recon.simulate import SimulationSpec
    from recon.stage import Stage

log = logging.getLogger(__name__)

N_CACHED_PREVIEWS = 48
_MASK_FIELDS = {item.name for item in fields(MaskSpec)}
_REQUEST_FIELDS = {item.name for item in fields(Request)}


@dataclass(frozen=True)
class Message:
    """Something the user should read.

    Attributes
    ----------
    level
        ``info``, ``success``, ``warning`` or ``error``.
    text
        One or two sentences.
    details
        Traceback or other text to copy; empty when there is none.
    action
        What a button on the banner does: ``use-cpu``, ``open-folder`` or empty.
    target
        What the action acts on, such as a folder.
    """

    level: str
    text: str
    details: str = ""
    action: str = ""
    target: str = ""


class Session(QObject):
    """The state behind the window.

    Parameters
    ----------
    config
        Settings file; None takes the user's.
    engine
        What reconstructs; tests hand in another.
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
        self.engine = default_engine if engine is None else engine
        self._config = config or settings_file.default_file()
        self.settings, self._settings_problem = settings_file.load(self._config)
        self.view = ViewState(self.settings.error_gain, self)
        self.training = TrainingRun(self)
        self.training.failed.connect(lambda text, details: self.say("error", text, details))
        self.training.succeeded.connect(lambda text: self.say("success", text))

        self.studies: list[Study] = []
        self.opening: list[Path] = []
        self.series: Series | None = None
        self.slice_index = 0
        self.request = Request(device=self.settings.device, precision=self.settings.precision)  # type: ignore[arg-type]
        self.request_problem = ""
        self.mask: SamplingMask | None = None
        self.mask_problem = ""
        self.models: list[Any] = []
        self.devices: tuple[str, ...] = ("auto", "cpu")
        self.thumbnails: dict[Series, NDArray[np.float32]] = {}
        self.results: list[Result] = []
        self.result: Result | None = None
        self.position: int | None = None
        self._previews: OrderedDict[Any, Preview] = OrderedDict()
        self._job: Job | None = None
        self._job_result: Result | None = None
        self._run: Any = None
        self._is_following = False
        self._n_results = 0
        self._looker = Worker(self)
        self._filer = Worker(self)

    # ---------------------------------------------------------------- start and end

    def start(self) -> None:
        """Do what can wait until the window is on the screen: list the models, import torch."""
        if self._settings_problem:
            self.say("warning", self._settings_problem)
            self._settings_problem = ""
        self._filer.submit("models", self.engine.list_models, self._take_models, self._fail("listing the models"))
        self._filer.submit("warm-up", self.engine.warm_up, self._take_devices, self._fail("preparing the device"))

    def close(self) -> None:
        """Cancel what runs and end the threads."""
        if self._job is not None:
            self._job.cancel()
            self._job.wait()
        self.training.stop()
        self._looker.stop()
        self._filer.stop()

    def say(self, level: str, text: str, details: str = "", action: str = "", target: str = "") -> None:
        """Tell the user something; it also goes into the log."""
        log.log({"error": logging.ERROR, "warning": logging.WARNING}.get(level, logging.INFO), "%s", text)
        if details:
            log.debug("%s", details)
        self.message.emit(Message(level, text, details, action, target))

    def report(self, error: BaseException, details: str, doing: str) -> None:
        """Turn an exception into a message; errors of ours are already written for the reader."""
        if isinstance(error, DeviceError) and error.out_of_memory and self.request.device != "cpu":
            self.say("error", str(error), details, action="use-cpu")
        elif isinstance(error, MRIError):
            self.say("error", str(error))
        else:
            self.say("error", f"Something unexpected happened while {doing}: {type(error).__name__}: {error}", details)

    def _fail(self, doing: str) -> Any:
        return lambda error, details: self.report(error, details, doing)

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
                partial(self.engine.open_study, path, simulation),
                partial(self._take_study, path, is_shown and number == 0),
                partial(self._miss_study, path),
            )
        self.opening_changed.emit()

    def open_demo(self) -> None:
        """Open the demo study: the bundled scans at once, the phantom when it is generated."""
        self.open(self.engine.demo_scans())
        self._filer.submit("phantom", self.engine.demo_phantom, self._open_phantom, self._fail("making the phantom"))

    def _open_phantom(self, path: Path) -> None:
        self.open([path], is_shown=False)

    def close_study(self, study: Study) -> None:
        """Forget a study and its results."""
        self.studies = [item for item in self.studies if item is not study]
        for series in study.series:
            self.thumbnails.pop(series, None)
        self.results = [result for result in self.results if result.series not in study.series]
        self.results_changed.emit()
        self.studies_changed.emit()
        if self.series in study.series:
            first = next((series for item in self.studies for series in item.series), None)
            if first is not None:
                self.select(first)
            else:
                self.series, self.result = None, None
                self.series_changed.emit()

    def select(self, series: Series | None = None, index: int | None = None) -> None:
        """Show a series (None: the current one) and one of its slices (None: the middle one of a new series)."""
        if series is not None and series is not self.series:
            self.series = series
            self.slice_index = series.n_slices // 2 if index is None else self._clamp(index)
            self.position = None
            self.view.forget_levels()
            self._drop_cache()
            own = [result for result in self.results if result.series is series]
            self.result = own[-1] if own else None
            self._validate()
            self.series_changed.emit()
            self.result_changed.emit()
            self._refresh_mask()
        elif self.series is None or index is None or self._clamp(index) == self.slice_index:
            return
        else:
            self._is_following = False
            self.slice_index = self._clamp(index)
        self.slice_changed.emit(self.slice_index)
        self._refresh_preview()

    def step_slice(self, by: int) -> None:
        """Go some slices on."""
        if self.series is not None:
            self.select(index=self.slice_index + by)

    def _clamp(self, index: int) -> int:
        assert self.series is not None
        return max(0, min(index, self.series.n_slices - 1))

    def _take_study(self, path: Path, is_shown: bool, study: Study) -> None:
        self._opened(path)
        self.studies = [item for item in self.studies if item.path != study.path]
        for declined in study.declined:
            self.say("warning", f"Not opened: {declined.path.name}: {declined.reason}")
        if not study.series:
            if not study.declined:
                self.say("error", f"{path}: nothing in it can be reconstructed.")
            return
        self.studies.append(study)
        for note in dict.fromkeys(note for series in study.series for note in series.notes):
            self.say("info", note)
        self.change_settings(recent=self.settings.with_recent(path).recent)
        self.studies_changed.emit()
        if is_shown or self.series is None:
            self.select(study.series[0])
        for series in study.series:
            self._looker.submit(
                f"thumbnail {id(series)}",
                partial(self.engine.thumbnail, series),
                partial(self._take_thumbnail, series),
                # A picture that cannot be made is no news: opening the slice says why.
                lambda error, details: log.debug("no thumbnail: %s\n%s", error, details),
            )

    def _miss_study(self, path: Path, error: BaseException, details: str) -> None:
        self._opened(path)
        self.report(error, details, f"opening {path.name}")

    def _opened(self, path: Path) -> None:
        if path in self.opening:
            self.opening.remove(path)
        self.opening_changed.emit()

    def _take_thumbnail(self, series: Series, image: NDArray[np.float32]) -> None:
        self.thumbnails[series] = image
        self.thumbnail_changed.emit(series)

    def _take_models(self, models: list[Any]) -> None:
        self.models = models
        self.models_changed.emit()

    def _take_devices(self, devices: tuple[str, ...]) -> None:
        self.devices = devices
        self.devices_changed.emit()

    # ---------------------------------------------------------------- request, mask, preview

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
        try:
            unknown = sorted(set(changes) - _MASK_FIELDS - _REQUEST_FIELDS)
            if unknown:
                raise RequestError(f"a request has no field {unknown[0]!r}.")
            base = self.request if request is None else request
            mask_changes = {name: value for name, value in changes.items() if name in _MASK_FIELDS}
            if mask_changes:
                base = replace(base, mask=replace(base.mask, **mask_changes))
            base = replace(base, **{name: value for name, value in changes.items() if name in _REQUEST_FIELDS})
        except MRIError as error:
            self.refuse_request(str(error))
            return False
        is_same_mask = self._mask_key(base) == self._mask_key(self.request) and not self.request_problem
        self.request, self.request_problem = base, ""
        self._validate()
        self.request_changed.emit()
        if not is_same_mask:
            self._refresh_mask()
            self._refresh_preview()
        return True

    def refuse_request(self, problem: str) -> None:
        """Note that what the user typed is no request; the last valid one stays."""
        self.request_problem = problem
        self.request_changed.emit()

    def model_problem(self, card: Any) -> str:
        """Return why a model cannot be used with the current series, or an empty string."""
        return self.engine.model_problem(card, self.series, self.request)

    def find_model(self, name: str) -> Any | None:
        """Return the card of a preset or alias, or None."""
        return self.engine.find_model(self.models, name)

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
        return self.request_problem or ("" if self.has_own_mask else self.mask_problem)

    def _validate(self) -> None:
        card = self.find_model(self.request.model)
        self.request_problem = "" if card is None or self.series is None else self.model_problem(card)

    @staticmethod
    def _mask_key(request: Request) -> Any:
        return request.mask, request.grid

    def _preview_request(self) -> Request:
        return replace(self.request, model="zero-filled", slices=None, device="cpu", coils=None, overrides={})

    def _refresh_mask(self) -> None:
        if self.series is None:
            return
        series, request = self.series, self._preview_request()
        self._looker.submit(
            "mask",
            partial(self.engine.sampling_mask, series, request),
            partial(self._take_mask, series, request),
            partial(self._miss_mask, series, request),
            urgent=True,
        )

    def _take_mask(self, series: Series, request: Request, mask: SamplingMask) -> None:
        if series is self.series and request == self._preview_request():
            self.mask, self.mask_problem = mask, ""
            self.mask_changed.emit()

    def _miss_mask(self, series: Series, request: Request, error: BaseException, details: str) -> None:
        if series is self.series and request == self._preview_request():
            self.mask, self.mask_problem = None, str(error)
            self.mask_changed.emit()
            if not isinstance(error, MRIError):
                self.report(error, details, "drawing the mask")

    def _drop_cache(self) -> None:
        self._looker.discard("preview")
        self._looker.discard("neighbour")

    @property
    def preview(self) -> Preview | None:
        """Zero-filled image, mask and reference of the current slice; None until they are read."""
        return self._previews.get(self._preview_key(self.slice_index))

    def _preview_key(self, index: int) -> Any:
        return id(self.series), index, self._mask_key(self.request)

    def _refresh_preview(self) -> None:
        if self.series is None:
            return
        self._looker.discard("neighbour")
        if self.preview is not None:
            self._show_preview(self.slice_index)
            return
        self._submit_preview("preview", self.slice_index, urgent=True)

    def _submit_preview(self, key: str, index: int, *, urgent: bool = False) -> None:
        assert self.series is not None
        cache_key = self._preview_key(index)
        if cache_key in self._previews:
            return
        self._looker.submit(
            key,
            partial(self.engine.preview, self.series, index, self._preview_request()),
            partial(self._take_preview, cache_key, index),
            partial(self._miss_preview, cache_key, index),
            urgent=urgent,
        )

    def _take_preview(self, key: Any, index: int, preview: Preview) -> None:
        self._previews[key] = preview
        while len(self._previews) > N_CACHED_PREVIEWS:
            self._previews.popitem(last=False)
        if key == self._preview_key(self.slice_index):
            self._show_preview(index)

    def _miss_preview(self, key: Any, index: int, error: BaseException, details: str) -> None:
        if key == self._preview_key(self.slice_index) and str(error) != self.mask_problem:
            self.report(error, details, f"reading slice {index + 1}")

    def _show_preview(self, index: int) -> None:
        preview = self.preview
        assert preview is not None and self.series is not None
        if self.view.levels is None:
            self.apply_preset("auto" if preview.reference is None else "matched")
        self.preview_changed.emit(index)
        # The wheel's next clicks: read them while the user looks.
        for distance in (1, -1, 2, -2):
            if 0 <= index + distance < self.series.n_slices:
                self._submit_preview(f"neighbour {distance}", index + distance)

    def apply_preset(self, name: str) -> None:
        """Set window and level from the data of the current slice."""
        preview = self.preview
        if preview is not None:
            self.view.apply_preset(name, preview.zero_filled, preview.reference)

    def request_kspace(self) -> None:
        """Read the k-space of the current slice; `kspace_changed` brings it."""
        if self.series is None:
            return
        self._looker.submit(
            "kspace",
            partial(self.engine.kspace, self.series, self.slice_index),
            self.kspace_changed.emit,
            lambda error, details: log.debug("no k-space: %s\n%s", error, details),
        )

    # ---------------------------------------------------------------- reconstruction

    @property
    def is_running(self) -> bool:
        """True while a reconstruction runs."""
        return self._job is not None

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
        self._n_results += 1
        card = self.find_model(request.model)
        announced = () if card is None else self.engine.announced_modules(card)
        result = Result(
            self._n_results, series, request, request.model if card is None else card.title, announced=announced
        )
        self._remember(result)
        scorer = self.engine.Scorer(series, indices)
        self._run = self.engine.Run(series, request)
        job = Job(self._run.stream, scorer, parent=self)
        # Bound methods of an object that lives in this thread: Qt then queues the calls instead of making them in the
        # thread of the job.
        job.stage.connect(self._take_stage)
        job.progress.connect(self.progress_changed)
        job.done.connect(self._finish_job)
        job.cancelled.connect(self._stop_job)
        job.failed.connect(self._fail_job)
        self._job, self._job_result = job, result
        self._is_following = len(indices) > 1
        self.job_changed.emit()
        self.progress_changed.emit(0.0, None)
        job.start()
        return True

    def cancel(self) -> None:
        """Stop the reconstruction; slices that are finished stay."""
        if self._job is not None:
            self._job.cancel()

    def use_cpu(self) -> None:
        """Repeat the last reconstruction on the CPU, after the device ran out of memory."""
        slices = self.result.request.slices if self.result is not None else None
        if self.set_request(device="cpu"):
            self.reconstruct(slices)

    def _remember(self, result: Result) -> None:
        self.results.append(result)
        while len(self.results) > self.settings.n_results:
            self.results.pop(0)
        self.result, self.position = result, None
        self.results_changed.emit()
        self.result_changed.emit()

    def _take_stage(self, stage: Stage, scores: dict[str, float] | None) -> None:
        result = self._job_result
        if result is None:
            return
        result.add(stage, scores)
        if result is not self.result:
            return
        if self._is_following and stage.slice_index != self.slice_index:
            self.slice_index = stage.slice_index
            self.slice_changed.emit(self.slice_index)
            self._refresh_preview()
        self.step_arrived.emit(stage.slice_index)

    def _finish_job(self) -> None:
        self._end_job("done")

    def _stop_job(self) -> None:
        assert self._job_result is not None
        kept, total = len(self._job_result.finished), len(self._job_result.request.slices or ())
        self._end_job("partial")
        self.say("info", f"Cancelled. {kept} of {total} slices were finished" + (" and are kept." if kept else "."))

    def _fail_job(self, error: BaseException, details: str) -> None:
        self._end_job("failed")
        self.report(error, details, "reconstructing")

    def _end_job(self, state: State) -> None:
        job, self._job = self._job, None
        result, self._job_result = self._job_result, None
        assert job is not None and result is not None
        job.wait()
        job.deleteLater()
        result.seconds = job.seconds
        result.state = state
        result.adopt(self._run.reconstruction)
        self._run = None
        if not result.slices:
            self.results = [item for item in self.results if item is not result]
            if self.result is result:
                own = [item for item in self.results if item.series is self.series]
                self.result = own[-1] if own else None
        self.results_changed.emit()
        self.result_changed.emit()
        self.job_changed.emit()
        self.job_finished.emit(state)

    @property
    def pending(self) -> tuple[int, ...]:
        """Slices that the running reconstruction has not finished."""
        result = self._job_result
        if result is None:
            return ()
        return tuple(index for index in result.request.slices or () if index not in result.finished)

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
        if item is None or not item.steps:
            position = None
        elif position is not None:
            position = max(0, min(position, len(item.steps) - 1))
            if position == len(item.steps) - 1:
                position = None
        if position != self.position:
            self.position = position
            self.position_changed.emit()

    def step_position(self, by: int) -> None:
        """Go some iterations on."""
        item = self.slice_result
        if item is not None and item.steps:
            current = len(item.steps) - 1 if self.position is None else self.position
            self.set_position(current + by)

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
        if self.result in own and own:
            self.show_result(own[(own.index(self.result) + by) % len(own)])

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
        reconstruction = result.reconstruction
        folder = Path(folder).expanduser().absolute()
        self._filer.submit(
            f"export {result.number}",
            partial(reconstruction.save, folder, list(formats), stages=stages),
            partial(self._take_files, folder),
            self._fail("exporting"),
        )
        return True

    def _take_files(self, folder: Path, files: list[Path]) -> None:
        self.change_settings(export_folder=str(folder))
        names = ", ".join(sorted({path.name for path in files})[:4])
        self.say("success", f"Exported to {folder}: {names}", action="open-folder", target=str(folder))
        self.exported.emit(files)

    # ---------------------------------------------------------------- settings, training

    def change_settings(self, **values: Any) -> None:
        """Change settings and write them."""
        self.settings = self.settings.changed(**values)
        try:
            settings_file.save(self.settings, self._config)
        except OSError as error:
            self.say("warning", f"Settings could not be written to {self._config}: {os.strerror(error.errno or 0)}.")
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
