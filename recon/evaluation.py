"""Evaluation: volumes × models × masks × accelerations, each scored against its fully sampled reference.

A `Task` is one volume and one request. Its row, one line of a `recon.journal.Journal`, holds every score of the volume
and of its slices; `recon.export.evaluation` makes the tables from the rows. A task whose row is there is not done
again; anything that changes a result (request, data, weights, program) changes the key of the row.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recon import __version__
from recon.batch import Collection, SliceList, collect, explain
from recon.errors import RequestError
from recon.frequency_bands import BandShape, centre_region
from recon.journal import Journal
from recon.masks import MaskSpec
from recon.request import Grid, Maps, Precision, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from recon.batch import Show, Volume
    from recon.data import Series
    from recon.stage import Stage

logger = logging.getLogger(__name__)

# Raised when rows hold something else, so that older ones are made anew.
_ROW_VERSION = 1
_JOURNAL = "parts"
_JOB = "evaluation.json"
# Side of the block of k-space whose coils' sensitivities say where there is tissue.
_N_CALIBRATION = 24


@dataclass(frozen=True)
class Evaluation:
    """What is compared, and how.

    Attributes
    ----------
    models
        Presets or weights files.
    masks
        Kinds of sampling patterns, see `recon.masks.MaskSpec`.
    accelerations
        For each mask.
    center_fraction
        Share of the columns in the centre; None takes fastMRI's for each acceleration.
    seeds
        One pattern for each; scores of one volume are averaged over them before volumes are compared.
    coils
        Numbers of virtual coils; None leaves the choice to the model.
    slices
        Such as ``0:10``; None means all. The data range of PSNR and SSIM is the maximum of the slices taken.
    grid, device, precision, maps
        See `recon.request.Request`.
    masked
        Score also inside the support of the coils' sensitivities alone, as PC-RNN does.
    band_radius, band_shape
        What counts as low frequency, see `recon.frequency_bands.centre_region`.
    coil_study
        Numbers of virtual coils at which the fully sampled reference itself is compressed and compared, and the
        methods are scored where they have weights (PC-RNN, tables III and IV).
    pair_by
        What is a sample for the paired tests: ``volume`` or ``slice``.
    """

    models: tuple[str, ...]
    masks: tuple[str, ...] = ("equispaced-fraction",)
    accelerations: tuple[float, ...] = (4.0,)
    center_fraction: float | None = None
    seeds: tuple[int | str, ...] = ("filename",)
    coils: tuple[int | None, ...] = (None,)
    slices: str | None = None
    grid: Grid = "cropped"
    device: str = "auto"
    precision: Precision = "auto"
    maps: Maps = "espirit"
    masked: bool = True
    band_radius: float = 0.25
    band_shape: BandShape = "disc"
    coil_study: tuple[int, ...] = ()
    pair_by: str = "volume"

    def __post_init__(self) -> None:
        for name in ("models", "masks", "accelerations", "seeds", "coils", "coil_study"):
            object.__setattr__(self, name, tuple(dict.fromkeys(getattr(self, name))))
            if not getattr(self, name) and name != "coil_study":
                raise RequestError(f"the evaluation names no {name}; name at least one.")
        if self.pair_by not in ("volume", "slice"):
            raise RequestError(f"pairs are made by {self.pair_by!r}; choose volume or slice.")
        if self.slices is not None:
            SliceList(self.slices)
        if any(number < 1 for number in self.coil_study):
            raise RequestError(f"the coil study names {min(self.coil_study)} coils; at least one is needed.")
        centre_region((8, 8), self.band_radius, self.band_shape)
        self.requests()

    def patterns(self) -> list[MaskSpec]:
        """Return every sampling pattern; one without a nominal acceleration comes once."""
        specs = []
        for kind, acceleration, seed in product(self.masks, self.accelerations, self.seeds):
            if kind == "none" or kind.startswith("file:"):
                specs.append(MaskSpec(kind, 1.0))
            else:
                specs.append(MaskSpec(kind, acceleration, self.center_fraction, seed))
        return list(dict.fromkeys(specs))

    def requests(self) -> list[Request]:
        """Return what is asked of each volume, in the order of the tables.

        Raises
        ------
        RequestError
            If a value is impossible.
        """
        numbers = tuple(dict.fromkeys((*self.coils, *self.coil_study)))
        return [
            Request(
                model=model,
                mask=mask,
                coils=n_coils,
                grid=self.grid,
                device=self.device,
                precision=self.precision,
                maps=self.maps,
            )
            for mask, model, n_coils in product(self.patterns(), self.models, numbers)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Evaluation:
        """Build an evaluation from plain values.

        Raises
        ------
        RequestError
            If a name is unknown or a value is impossible.
        """
        known = {item.name for item in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise RequestError(f"an evaluation has no field {unknown[0]!r}; it has {', '.join(sorted(known))}.")
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**plain)


@dataclass(frozen=True, eq=False)
class Task:
    """One row to make.

    Attributes
    ----------
    key
        Changes with everything that changes the result.
    names
        What identifies the row for a reader: volume, sequence, model, mask, acceleration, seed, coils, ….
    request
        None for the compression of the reference to ``n_virtual`` coils.
    """

    key: str
    names: Mapping[str, Any]
    volume: Volume | None
    request: Request | None = None
    n_virtual: int | None = None
    problem: str = ""
    exit_status: int = 0


class EvaluationWork:
    """Evaluate volumes into a folder; see `recon.batch.Work`.

    Parameters
    ----------
    evaluation
        What is compared.
    paths
        Files and folders.
    out
        Folder of the tables and of the journal.
    """

    def __init__(self, evaluation: Evaluation, paths: tuple[Path, ...], out: Path) -> None:
        self.evaluation = evaluation
        self.paths = paths
        self.out = out
        self.collection: Collection = collect(paths)
        self.journal = Journal(out / _JOURNAL)
        self.tasks = _plan(evaluation, self.collection)
        self._items: list[list[Task]] = [
            [task for task in self.tasks if task.volume is volume] for volume in self.collection.volumes
        ]
        self._rows = self.journal.read()
        self._device: str | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EvaluationWork:
        """Build the work that `to_dict` describes."""
        paths = tuple(Path(path) for path in values["paths"])
        return cls(Evaluation.from_dict(values["evaluation"]), paths, Path(values["out"]))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold: the job."""
        return {
            "kind": "evaluate",
            "program": __version__,
            "paths": [str(path) for path in self.paths],
            "out": str(self.out),
            "evaluation": self.evaluation.to_dict(),
        }

    def save(self) -> Path:
        """Write the job beside its results."""
        from recon.export.atomic import atomic_file

        path = self.out / _JOB
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(self.to_dict(), indent=2), "utf-8")
        return path

    @property
    def costs(self) -> list[float]:
        """Slices that are still to be reconstructed, of each volume."""
        return [
            float(sum(_n_slices(task, self.evaluation) for task in tasks if not self._is_done(task)))
            for tasks in self._items
        ]

    @property
    def n_reused(self) -> int:
        """Tasks whose rows an earlier run left."""
        return sum(self._is_done(task) for task in self.tasks)

    def begin(self, part: int, device: str | None) -> None:
        """See `recon.batch.Work`."""
        self._device = device
        self.journal.part = part
        if part:
            return
        for task in self.tasks:
            if task.volume is None and not self._is_done(task):
                self._record(_failed(task, task.problem, task.exit_status))
        for path, error in self.collection.errors:
            logger.error("error: %s", error if str(path) in str(error) else f"{path}: {error}")
        for declined in self.collection.declined:
            logger.error("error: %s: %s", declined.path, declined.reason)

    def process(self, item: int, show: Show) -> None:
        """See `recon.batch.Work`; a task that fails leaves a row with its reason."""
        tasks = [task for task in self._items[item] if not self._is_done(task)]
        total = sum(_n_slices(task, self.evaluation) for task in tasks) or 1
        support = Support(self.collection.volumes[item].series)
        done = 0
        for task in tasks:
            n_slices = _n_slices(task, self.evaluation)
            label = f"{task.names['volume']} · {task.names['method']} · {task.names['mask']}"

            def report(stage: Stage, done: int = done, n_slices: int = n_slices, label: str = label) -> None:
                show(label, (done + stage.progress * n_slices) / total)

            show(label, done / total)
            try:
                row = _evaluate(task, self.evaluation, support, self._device, report)
            except Exception as error:  # one bad volume must not stop a night's batch
                row = _failed(task, *explain(error))
                where = f"{task.names['volume']}, {task.names['method']}, {task.names['mask']}"
                text = f"{where}: {row['reason']}"
                logger.error("error: %s", text, exc_info=logger.isEnabledFor(logging.DEBUG))
            self._record(row)
            done += n_slices

    def finish(self) -> int:
        """Write the tables from the rows of all processes; see `recon.batch.Work`."""
        from recon.export.evaluation import write

        rows = self.rows()
        write(self.out, self.evaluation, rows)
        status = max([0, *(int(row.get("exit_status", 0)) for row in rows)])
        if not any(row["status"] == "done" for row in rows):
            status = max(status, 2)
        return status

    def outcome(self) -> list[dict[str, Any]]:
        """Return the rows."""
        return self.rows()

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows that are done, in the order of the plan, whichever process made them."""
        found = self.journal.read()
        # What a row is called may have changed since it was made, such as the number of a second file of one name.
        return [found[task.key] | dict(task.names) for task in self.tasks if task.key in found]

    def _record(self, row: dict[str, Any]) -> None:
        self.journal.append(row)
        self._rows[row["key"]] = row

    def _is_done(self, task: Task) -> bool:
        # What failed may succeed now: memory is free again, weights were installed.
        return self._rows.get(task.key, {}).get("status") in ("done", "skipped")


# ---- what there is to do ------------------------------------------------------------------------------------------


def _plan(evaluation: Evaluation, collection: Collection) -> list[Task]:
    requests = evaluation.requests()
    methods = method_names(requests)
    tasks = []
    for volume in collection.volumes:
        series = volume.series
        names = {"volume": volume.stem, "sequence": sequence(series), "simulated": series.is_simulated}
        identity = {"data": _identity(series), "slices": evaluation.slices}
        for n_virtual in evaluation.coil_study:
            about = {"compress": n_virtual, "grid": evaluation.grid, "masked": evaluation.masked}
            row = {"kind": "compression", "method": "compression", "mask": "none", "coils": n_virtual}
            tasks.append(Task(_key(identity, about), names | row, volume, n_virtual=n_virtual))
        for request, method in zip(requests, methods, strict=True):
            about = _about(evaluation, request, series)
            tasks.append(Task(_key(identity, about), names | _names(request, method), volume, request))
    unreadable = [(path.name, str(error), error.exit_status) for path, error in collection.errors]
    unreadable += [(item.path.name, f"{item.path}: {item.reason}", 2) for item in collection.declined]
    for name, reason, status in unreadable:
        for request, method in zip(requests, methods, strict=True):
            key = _key({"unreadable": reason}, request.to_dict())
            row = {"volume": name, "sequence": "", "simulated": False} | _names(request, method)
            tasks.append(Task(key, row, None, request, problem=reason, exit_status=status))
    return tasks


def method_names(requests: list[Request]) -> list[str]:
    """Return what each request's method is called in tables: the model, and its coils where they are varied."""
    stems = {request.model: Path(request.model).stem for request in requests if _is_file(request.model)}
    varied = len({request.coils for request in requests}) > 1
    names = []
    for request in requests:
        name = stems.get(request.model, request.model)
        if list(stems.values()).count(name) > 1:
            name = request.model
        if varied:
            name += " (own coils)" if request.coils is None else f" ({request.coils} coils)"
        names.append(name)
    return names


def _is_file(model: str) -> bool:
    return model.endswith(".safetensors")


def _names(request: Request, method: str) -> dict[str, Any]:
    mask = request.mask
    return {
        "kind": "scores",
        "method": method,
        "model": request.model,
        "mask": mask.kind if not mask.kind.startswith("file:") else mask.label,
        "acceleration": mask.acceleration,
        "center_fraction": None if mask.kind == "none" or mask.kind.startswith("file:") else mask.fraction,
        "seed": mask.seed,
        "coils": request.coils,
    }


def sequence(series: Series) -> str:
    """Return the name of a scan's sequence, by which tables are divided."""
    header = series.header
    return header.acquisition or header.protocol or header.sequence_type or "unknown"


def _key(*parts: Mapping[str, Any]) -> str:
    text = json.dumps([_ROW_VERSION, __version__, *parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _about(evaluation: Evaluation, request: Request, series: Series) -> dict[str, Any]:
    from recon import models
    from recon.errors import MRIError

    try:
        weights = models.fit_coils(request.model, series.n_coils, request.coils).weights
    except MRIError:  # the task will fail, and say why
        weights = None
    mask_file = Path(request.mask.kind.removeprefix("file:"))
    return {
        "request": request.to_dict(),
        "weights": None if weights is None else weights.sha256,
        "mask_file": _stamp(mask_file) if request.mask.kind.startswith("file:") else None,
        "masked": evaluation.masked,
        "band": [evaluation.band_radius, evaluation.band_shape],
    }


def _identity(series: Series) -> dict[str, Any]:
    """Return what tells a scan from others and from itself before it was changed."""
    files = series.instances or (series.path,)
    simulation = None if series.simulation is None else series.simulation.to_dict()
    shape = [series.n_slices, series.n_coils, *series.matrix, *series.recon_size]
    return {"files": [_stamp(path) for path in files], "title": series.title, "shape": shape, "simulated": simulation}


def _stamp(path: Path) -> list[Any]:
    try:
        found = path.stat()
    except OSError:
        return [str(path)]
    return [str(path.resolve()), found.st_size, found.st_mtime_ns]


def _n_slices(task: Task, evaluation: Evaluation) -> int:
    """How many slices a task has; slices that do not exist cost nothing, their task fails at once."""
    if task.volume is None:
        return 0
    try:
        return len(_indices(task.volume.series, evaluation))
    except RequestError:
        return 1


def _indices(series: Series, evaluation: Evaluation) -> tuple[int, ...]:
    return tuple(range(series.n_slices)) if evaluation.slices is None else SliceList(evaluation.slices).resolve(series)


# ---- doing it -----------------------------------------------------------------------------------------------------


def _failed(task: Task, reason: str, status: int) -> dict[str, Any]:
    return {"key": task.key, "status": "failed", "reason": reason, "exit_status": status, **task.names}


def _skipped(task: Task, reason: str) -> dict[str, Any]:
    return {"key": task.key, "status": "skipped", "reason": reason, **task.names}


def _evaluate(task: Task, evaluation: Evaluation, support: Support, device: str | None, report: Any) -> dict[str, Any]:
    from recon import models, pipeline
    from recon.device import resolve
    from recon.errors import ModelError
    from recon.peak_memory import PeakMemory

    assert task.volume is not None
    series = task.volume.series
    if not series.has_reference:
        return _skipped(task, f"{series.name} has no fully sampled reference, so nothing can be scored.")
    indices = _indices(series, evaluation)
    if task.request is None:
        return _score_compression(task, evaluation, support, indices)
    request = replace(task.request, slices=indices, device=device or task.request.device)
    if request.coils in evaluation.coil_study and request.coils not in evaluation.coils:
        try:
            models.fit_coils(request.model, series.n_coils, request.coils)
        except ModelError as error:  # the study takes the coils for which there are weights
            return _skipped(task, str(error))
    n_parameters = pipeline.Plan(series, request).model.n_parameters
    with PeakMemory(str(resolve(request.device))) as memory:
        result = pipeline.run(series, request, callback=report, keep="none")
    if result.reference is None or not result.reference.any():
        return _skipped(task, f"the reference of {series.name} is zero everywhere, so nothing can be scored.")
    return {
        "key": task.key,
        "status": "done",
        **task.names,
        **score(result.reference, result.final, evaluation, support, indices),
        "slices": list(result.indices),
        "grid": result.grid,
        "effective_acceleration": result.mask.acceleration,
        "n_coils": series.n_coils,
        "n_virtual_coils": result.n_virtual_coils,
        "weights_sha256": result.weights_sha256,
        "warnings": list(result.warnings),
        "seconds": result.seconds,
        "peak_memory_gb": memory.gigabytes,
        "device": result.device,
        "precision": result.precision,
        "n_parameters": n_parameters,
    }


def score(
    reference: NDArray[Any],
    image: NDArray[Any],
    evaluation: Evaluation,
    support: Support,
    indices: tuple[int, ...],
) -> dict[str, Any]:
    """Return every score of a volume: whole, masked, and of each frequency band.

    Parameters
    ----------
    reference, image
        Magnitudes ``(slices, y, x)``.
    evaluation
        Whether to mask, and what the bands are.
    support
        Where the coils see something.
    indices
        Slices of the series that the arrays hold.
    """
    from recon import frequency_bands

    row: dict[str, Any] = {"whole": _score(reference, image), "masked": None, "masked_reason": ""}
    row["bands"] = frequency_bands.score(reference, image, evaluation.band_radius, evaluation.band_shape)
    if evaluation.masked:
        mask, row["masked_reason"] = support.volume(indices)
        if mask is not None and not (reference * mask).any():
            row["masked_reason"] = "the reference is zero inside the support of the coils"
        elif mask is not None:
            row["masked"] = _score(reference * mask, image * mask)
    else:
        row["masked_reason"] = "not asked for"
    return row


def _score(reference: NDArray[Any], image: NDArray[Any]) -> dict[str, Any]:
    from recon import metrics

    return metrics.score(reference, image) | {"hfen": metrics.score_edges(reference, image)}


class Support:
    """Where the coils of a scan see tissue: the support of their sensitivity maps.

    The maps come from the fully sampled scan, so that every method, mask and acceleration is scored on the same pixels.
    ESPIRiT's maps have a root sum of squares of 1 inside and 0 outside; the threshold of 0.5 has nothing to decide.

    References
    ----------
    Chen et al., PC-RNN, IEEE TMI 2022, section IV-C.
    """

    def __init__(self, series: Series) -> None:
        self._series = series
        self._slices: dict[int, NDArray[np.bool_]] = {}
        self._reason = ""
        if series.n_coils == 1:
            self._reason = "a single coil has no sensitivity maps to tell tissue from background"

    def volume(self, indices: tuple[int, ...]) -> tuple[NDArray[np.bool_] | None, str]:
        """Return the support ``(slices, y, x)``, or None and the reason why there is none."""
        if self._reason:
            return None, self._reason
        try:
            return np.stack([self._slice(index) for index in indices]), ""
        except RequestError as error:
            self._reason = f"no sensitivity maps: {error}"
            return None, self._reason

    def _slice(self, index: int) -> NDArray[np.bool_]:
        if index not in self._slices:
            import torch

            from recon import coils, fourier
            from recon.pipeline import on_grid

            series = self._series
            kspace = on_grid(series.read(index).kspace, series, native=series.acquired_mask is not None)
            with torch.inference_mode():
                maps = coils.espirit(kspace, _N_CALIBRATION)
                inside = coils.root_sum_of_squares(maps, dim=-3) > 0.5
            self._slices[index] = fourier.centre_crop(inside, series.recon_size).numpy()
        return self._slices[index]


def _score_compression(
    task: Task, evaluation: Evaluation, support: Support, indices: tuple[int, ...]
) -> dict[str, Any]:
    """Compare the fully sampled image of virtual coils with that of all coils, without any undersampling."""
    import torch

    from recon import coils, fourier
    from recon.pipeline import on_grid

    assert task.volume is not None and task.n_virtual is not None
    series = task.volume.series
    if series.acquired_mask is not None:
        return _skipped(task, f"{series.name} is undersampled; the study needs a fully sampled scan.")
    if task.n_virtual >= series.n_coils:
        return _skipped(task, f"{series.name} has {series.n_coils} coils; {task.n_virtual} would compress nothing.")
    pairs = []
    with torch.inference_mode():
        for index in indices:
            kspace = on_grid(series.read(index).kspace, series, native=evaluation.grid == "native")
            compressed, _ = coils.compress(kspace, task.n_virtual)
            images = [coils.root_sum_of_squares(fourier.ifft2c(one), dim=-3) for one in (kspace, compressed)]
            pairs.append([fourier.centre_crop(image, series.recon_size).numpy() for image in images])
    reference, image = (np.stack(volume) for volume in zip(*pairs, strict=True))
    return {
        "key": task.key,
        "status": "done",
        **task.names,
        **score(reference, image, evaluation, support, indices),
        "slices": list(indices),
        "grid": evaluation.grid,
        "n_coils": series.n_coils,
        "n_virtual_coils": task.n_virtual,
    }
