"""Evaluation: volumes × models × masks × accelerations, each to be scored against its fully sampled reference.

A `Task` is one volume and one request. Its row (`recon.evaluation_work`) holds every score of the volume and of its
slices; `recon.export.evaluation` makes the tables from the rows. A task whose row is there is not done again; anything
that changes a result (request, data, weights, program, plug-in) changes the key of the row.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon import __version__
from recon.batch import SliceList
from recon.errors import ModelError, MRIError, RequestError
from recon.frequency_bands import BandShape, centre_region
from recon.masks import MaskSpec
from recon.request import Grid, Maps, Precision, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recon.batch import Collection, Volume
    from recon.data import Series
    from recon.weights import Weights

# Raised when rows hold something else, so that older ones are made anew.
_ROW_VERSION = 2
PAIRS = ("volume", "slice", "pattern")
"""What the paired tests may take for a sample."""

# Counts up whenever `recon.joining` gives other numbers: rows from before are made anew.
_JOINING = 2


@dataclass(frozen=True)
class Evaluation:
    """What is compared, and how.

    Attributes
    ----------
    models
        Presets or weights files. A preset without weights may come with parameters, ``cs-tv:lambda=0.02``, and several
        times with others; see `split_model`.
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
    join_coils
        Score every network that takes the coils of a scan one by one a second time, its coils joined with this weight
        (`recon.request.Request`); None joins none.
    masked
        Score also inside the support of the coils' sensitivities alone, as PC-RNN does.
    band_radius, band_shape
        What counts as low frequency, see `recon.frequency_bands.centre_region`.
    coil_study
        Numbers of virtual coils at which the fully sampled reference itself is compressed and compared, and the
        methods are scored where they have weights (PC-RNN, tables III and IV).
    pair_by
        What is a sample for the paired tests: ``volume``, ``slice`` or ``pattern`` (`recon.statistics`).
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
    join_coils: float | None = None
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
        if self.pair_by not in PAIRS:
            raise RequestError(f"pairs are made by {self.pair_by!r}; choose {', '.join(PAIRS[:-1])} or {PAIRS[-1]}.")
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
        methods = [split_model(entry) for entry in self.models]
        joining = (None,) if self.join_coils is None else (None, self.join_coils)
        return [
            Request(
                model=model,
                mask=mask,
                coils=n_coils,
                grid=self.grid,
                device=self.device,
                precision=self.precision,
                maps=self.maps,
                join_coils=join_coils,
                overrides=overrides,
            )
            for mask, (model, overrides), n_coils, join_coils in product(self.patterns(), methods, numbers, joining)
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


def split_model(entry: str) -> tuple[str, dict[str, Any]]:
    """Return the model that an entry of `Evaluation.models` names, and the values that it gives to parameters.

    Parameters
    ----------
    entry
        ``NAME``, or ``NAME:parameter=value,…`` for a method without weights.

    Raises
    ------
    ModelError
        If the method has no such parameter, or it cannot be given; trained weights have theirs.
    """
    # A file's path may hold a colon, and so may a drive's; a setting has an equals sign after it.
    model, colon, texts = entry.rpartition(":")
    if not colon or "=" not in texts or entry.endswith(".safetensors"):
        return entry, {}
    from recon.models import get_card
    from recon.models.parameters import from_texts, parameters_of, unknown_parameter

    if model.endswith(".safetensors") or get_card(model).needs_training:
        raise ModelError(f"{entry}: {model} is a network, whose parameters are those of its weights; name it alone.")
    card = get_card(model)
    settings = {}
    for text in texts.split(","):
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise ModelError(f"{entry}: {text!r} sets nothing; write NAME=VALUE, such as cs-tv:lambda=0.02.")
        settings[name.strip()] = value
    known = [parameter.spoken for parameter in parameters_of(card)]
    for name in settings:
        if name.rstrip("_") not in known:
            raise ModelError(unknown_parameter(card, name, known))
    return model, from_texts(card, settings)


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
    problem
        What is in the way and known beforehand; empty where the task can be tried.
    exit_status
        Of the problem; 0 for one that is nobody's failure.
    """

    key: str
    names: Mapping[str, Any]
    volume: Volume | None
    request: Request | None = None
    n_virtual: int | None = None
    problem: str = ""
    exit_status: int = 0


def plan(evaluation: Evaluation, collection: Collection) -> list[Task]:
    """Return a task for each volume and request, in the order of the tables; files that cannot be read have theirs."""
    requests = evaluation.requests()
    methods = method_names(requests)
    plugin_of = cache(_plugin)
    tasks = []
    for volume in collection.volumes:
        series = volume.series
        names: dict[str, Any] = {"volume": volume.stem, "file": collection.places[series.path]}
        names |= {"sequence": sequence(series), "simulated": series.is_simulated, "n_coils": series.n_coils}
        identity = {"data": _identity(series), "slices": evaluation.slices}
        for n_virtual in evaluation.coil_study:
            about = {"compress": n_virtual, "grid": evaluation.grid} | _scored(evaluation)
            row = {"kind": "compression", "method": "compression", "mask": "none", "coils": n_virtual}
            problem = _of_scan(series) or _of_study(series, n_virtual)
            tasks.append(Task(_key(identity, about), names | row, volume, None, n_virtual, problem))
        for request, method in zip(requests, methods, strict=True):
            weights, problem, status, coil_by_coil = _fit(evaluation, request, series)
            if request.join_coils is not None and not coil_by_coil:
                # A network that could, on a scan that has nothing to join, is missing from the means: that is said.
                if problem or weights is None or weights.n_coils != 1:
                    continue
                problem = "there is one coil, so there is nothing to join."
            plugin = plugin_of(request.model if weights is None else weights.preset)
            key = _key(identity, _about(evaluation, request, weights, plugin))
            tasks.append(
                Task(key, names | _names(request, method), volume, request, problem=problem, exit_status=status)
            )
    unreadable = [(path, str(error), error.exit_status) for path, error in collection.errors]
    unreadable += [(item.path, f"{item.path}: {item.reason}", 2) for item in collection.declined]
    for path, reason, status in unreadable:
        for request, method in zip(requests, methods, strict=True):
            if request.join_coils is not None:
                continue
            key = _key({"unreadable": reason}, request.to_dict())
            row = {"volume": path.name, "file": collection.places[path], "sequence": "", "simulated": False}
            row |= _names(request, method)
            tasks.append(Task(key, row, None, request, problem=reason, exit_status=status))
    # A file that is named twice is evaluated once: it is not two samples.
    first: dict[str, Task] = {}
    for task in tasks:
        first.setdefault(task.key, task)
    return list(first.values())


def method_names(requests: list[Request]) -> list[str]:
    """Return what each request's method is called in tables: the model, its parameters where they were given, and its
    coils where they are varied or joined.
    """
    stems = {request.model: Path(request.model).stem for request in requests if _is_file(request.model)}
    varied = len({request.coils for request in requests}) > 1
    short = [stems.get(model, model) for model in dict.fromkeys(request.model for request in requests)]
    names = []
    for request in requests:
        name = stems.get(request.model, request.model)
        if short.count(name) > 1:
            name = request.model
        if request.overrides:
            name += ":" + ",".join(f"{key.rstrip('_')}={as_text(value)}" for key, value in request.overrides.items())
        if varied:
            number = f"{request.coils} coil{'' if request.coils == 1 else 's'}"
            name += " (own coils)" if request.coils is None else f" ({number})"
        if request.join_coils is not None:
            name += ", joined"
        names.append(name)
    return names


def as_text(value: Any) -> str:
    """Return the value of a parameter as a user writes it."""
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


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


def _fit(evaluation: Evaluation, request: Request, series: Series) -> tuple[Weights | None, str, int, bool]:
    """Return the weights that a task takes, what is in its way, the exit status of that, and whether coils go in one
    by one.
    """
    from recon import models

    of_study = is_of_study(request, evaluation)
    weights, problem, status, coil_by_coil = None, "", 0, False
    try:
        weights, _, coil_by_coil = models.fit_coils(request.model, series.n_coils, request.coils)
        if of_study and coil_by_coil and not _is_file(request.model):
            # Two networks under one name would not be a study of either.
            others = [one for one in models.get_card(request.model).weights if one.n_coils > 1]
            problem = f"{request.model} has no weights for {request.coils} coils; name a file of weights." * bool(
                others
            )
    except MRIError as error:  # the study takes the coils for which there are weights
        problem, status = str(error), 0 if of_study and isinstance(error, ModelError) else error.exit_status
    of_scan = _of_scan(series) or (_of_study(series, request.coils) if of_study else "")
    return weights, of_scan or problem, 0 if of_scan else status, coil_by_coil


def is_of_study(request: Request | None, evaluation: Evaluation) -> bool:
    """Return whether a task is one that the coil study asks for and nobody else; its request may be None."""
    return request is None or request.coils not in evaluation.coils


def _of_scan(series: Series) -> str:
    return "" if series.has_reference else "the scan has no fully sampled reference, so nothing can be scored."


def _of_study(series: Series, n_virtual: int | None) -> str:
    """Return why a study of coils leaves a scan out: its coils as they are would be scored once more."""
    if n_virtual is None or n_virtual < series.n_coils:
        return ""
    return f"the scan has {series.n_coils} coil{'s' * (series.n_coils > 1)}; {n_virtual} would compress nothing."


def _about(
    evaluation: Evaluation, request: Request, weights: Weights | None, plugin: dict[str, Any] | None
) -> dict[str, Any]:
    mask_file = Path(request.mask.kind.removeprefix("file:"))
    asked = request.to_dict()
    if request.join_coils is None:
        del asked["join_coils"]  # rows from before there was such a thing stay good
    else:
        asked["joining"] = _JOINING
    about = {
        "request": asked,
        "weights": None if weights is None else weights.sha256,
        "mask_file": _stamp(mask_file) if request.mask.kind.startswith("file:") else None,
    }
    if plugin is not None:  # rows of the workstation's own methods stay good
        about["plugin"] = plugin
    return about | _scored(evaluation)


def _plugin(model: str) -> dict[str, Any] | None:
    """What tells a plug-in from itself before it was changed."""
    from recon.models import get_card
    from recon.models.plugins import identity

    try:
        return identity(get_card(model))
    except (MRIError, OSError):  # there is none; the row says so
        return None


def _scored(evaluation: Evaluation) -> dict[str, Any]:
    return {"masked": evaluation.masked, "band": [evaluation.band_radius, evaluation.band_shape]}


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


def count_slices(task: Task, evaluation: Evaluation) -> int:
    """Return how many slices a task has to do; one whose slices do not exist fails at once."""
    if task.volume is None or task.problem:
        return 0
    try:
        return len(indices_of(task.volume.series, evaluation))
    except RequestError:
        return 1


def indices_of(series: Series, evaluation: Evaluation) -> tuple[int, ...]:
    """Return the slices that are evaluated; raises RequestError where there are none."""
    return tuple(range(series.n_slices)) if evaluation.slices is None else SliceList(evaluation.slices).resolve(series)
