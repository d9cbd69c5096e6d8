"""The one door from the window to the reconstruction core; everything behind it is imported on first use.

torch takes seconds to import. Functions here run in worker threads, so the window is on the screen long before.
"""

from __future__ import annotations

import importlib
import math
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recon.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from recon.coil_preview import CoilPreview
    from recon.data import Series, Study
    from recon.masks import SamplingMask
    from recon.models.parameters import Parameter
    from recon.request import Request
    from recon.result import Reconstruction
    from recon.simulate import SimulationSpec
    from recon.stage import Stage

THUMBNAIL_SIZE = 64


@dataclass(frozen=True, eq=False)
class Preview:
    """What can be shown of a slice without a model."""

    index: int
    zero_filled: NDArray[np.float32]
    mask: SamplingMask
    reference: NDArray[np.float32] | None
    scores: dict[str, float] | None
    zero_filled_phase: NDArray[np.float32] | None = None
    reference_phase: NDArray[np.float32] | None = None
    window: tuple[float, float] | None = None


def warm_up() -> tuple[str, ...]:
    """Import torch and name the devices that a request can ask for."""
    import h5py  # noqa: F401  the first scan should not wait for it

    from recon import device, pipeline  # noqa: F401

    return ("auto", *(name for name, _ in device.list_devices()))


def open_study(path: Path, simulation: SimulationSpec | None = None) -> Study:
    """Open a file or folder; raises recon.errors.FileError."""
    import recon

    return recon.open_study(path, simulation)


def list_models() -> list[Any]:
    """Return the cards of all models; imports no torch."""
    return list(importlib.import_module("recon.models").list_models())


def find_model(cards: Sequence[Any], name: str) -> Any | None:
    """Return the card of a preset or alias among those listed."""
    aliases = importlib.import_module("recon.models").ALIASES if cards else {}
    return next((card for card in cards if card.name == aliases.get(name, name)), None)


def announced_modules(card: Any) -> tuple[str, ...]:
    """Return the names of the modules that a model will show, as far as its card tells; they only reserve columns."""
    from recon.stage import module_names

    return module_names(card.parameters.get("modules", ()))


def model_problem(card: Any, series: Series | None, request: Request, mask: SamplingMask | None = None) -> str:
    """Return why a model cannot reconstruct a series, or, with the mask, these samples of it; or an empty string."""
    from recon import models
    from recon.errors import MRIError
    from recon.models import requirements

    try:
        fit = models.fit_coils(_chosen(card, request), 1 if series is None else series.n_coils, request.coils)
        if series is not None:
            requirements.check_coils(card, fit.n_virtual)
        if mask is not None:
            joins_coils = fit.coil_by_coil and request.join_coils is not None
            requirements.check(card, fit.n_virtual, mask, joins_coils=joins_coils, maps=request.maps)
    except MRIError as error:
        return str(error)
    return ""


def is_coil_by_coil(card: Any, series: Series, request: Request) -> bool:
    """Return whether a model takes the coils of a series one by one."""
    from recon import models
    from recon.errors import MRIError

    try:
        return models.fit_coils(_chosen(card, request), series.n_coils, request.coils).coil_by_coil
    except MRIError:
        return False


def size_note(card: Any, series: Series, request: Request) -> str:
    """Return in what the weights for a series differ from the network of their card; nothing where they do not."""
    from recon import models
    from recon.errors import MRIError
    from recon.models import size

    try:
        return size.size_note(card, models.fit_coils(_chosen(card, request), series.n_coils, request.coils).weights)
    except MRIError:
        return ""


def memory_note(card: Any, series: Series, request: Request) -> str:
    """Return what memory a model needs for a slice where that is much, or more than is free; imports torch."""
    import torch

    from recon import device, memory, models
    from recon.errors import MRIError
    from recon.models import parameters

    try:
        weights, n_virtual, coil_by_coil = models.fit_coils(_chosen(card, request), series.n_coils, request.coils)
        place = device.resolve(request.device)
        with torch.device("meta"):  # the shapes of a network tell; its numbers are read when it runs
            if weights is None:
                overrides = parameters.checked(card, request.overrides, n_virtual)
                model = models.create(card.name, n_virtual, **overrides)
            else:
                model = models.create(card.name, weights.n_coils, **weights.story["parameters"])
                model = model.to(device.resolve_precision(request.precision, place))
        is_native = request.grid == "native" or series.acquired_mask is not None
        size = series.matrix if is_native else series.recon_size
        shape = (n_virtual, 1, *size) if coil_by_coil else (1, n_virtual, *size)
        joins_coils = coil_by_coil and request.join_coils is not None
        return " ".join(memory.check_memory(model, card.title, shape, place, joins_coils=joins_coils))
    except MRIError as error:
        return str(error)


def _chosen(card: Any, request: Request) -> str:
    """Return the weights of the model that the request names, or the model."""
    return request.model if any(str(weights.path) == request.model for weights in card.weights) else str(card.name)


def parameters_of(card: Any) -> tuple[Parameter, ...]:
    """Return what can be set of a method; imports its family, and torch with it."""
    from recon.models import parameters

    return parameters.parameters_of(card)


def check_parameters(card: Any, overrides: Mapping[str, Any]) -> None:
    """Judge values by the method's own dataclass; raises recon.errors.ModelError."""
    from recon.models import parameters

    parameters.checked(card, overrides)


def preview(series: Series, index: int, request: Request) -> Preview:
    """Mask one slice, return its zero-filled image, the mask and the reference."""
    import torch

    from recon import preview as previewing

    with torch.inference_mode():
        zero_filled, mask, reference = previewing.preview(series, index, request)
        phase, reference_phase = previewing.phases(series, index, request) if request.phase else (None, None)
    zero_filled = np.asarray(zero_filled, np.float32)
    reference = None if reference is None else np.asarray(reference, np.float32)
    window = previewing.stored_window(series, index)
    return Preview(index, zero_filled, mask, reference, score(reference, zero_filled), phase, reference_phase, window)


def sampling_mask(series: Series, request: Request) -> SamplingMask:
    """Return the pattern that a request lays over a series."""
    from recon import sampling

    return sampling.sampling_mask(series, request)


class Run:
    """One reconstruction: a stream of stages, and what has been collected when it ends or is closed."""

    def __init__(self, series: Series, request: Request) -> None:
        self._series = series
        self._request = request
        self.reconstruction: Reconstruction | None = None

    def stream(self) -> Iterator[Stage]:
        """Yield the stages; whatever ends the stream, the slices that are finished are kept."""
        from recon import pipeline
        from recon.collector import Collector

        # Who looks may ask for the phase at any time, and what it costs is small beside the scores.
        plan = pipeline.Plan(self._series, replace(self._request, phase=True), residuals="all")
        collector = Collector(plan)
        n_finished = 0
        try:
            with closing(plan.stages(spares_others=True)) as stages:
                for stage in stages:
                    collector.add(stage)
                    n_finished += stage.is_final
                    yield stage
        finally:
            if n_finished:
                self.reconstruction = collector.result()
                # The scores of a volume take a while; here they are computed in the thread of the job.
                _ = self.reconstruction.metrics, self.reconstruction.zero_filled_metrics


def score(
    reference: NDArray[np.float32] | None, image: NDArray[np.float32], peak: float | None = None
) -> dict[str, float] | None:
    """Return PSNR, SSIM (NaN for an image below its window) and NMSE of one slice; None without a usable reference."""
    if reference is None or reference.shape != image.shape or not float(reference.max()) > 0:
        return None
    from recon import metrics

    pair = (reference[None], image[None])
    return {
        "psnr": float(metrics.psnr(*pair, peak)),
        "ssim": float(metrics.ssim(*pair, peak)) if min(image.shape) >= metrics.SSIM_WINDOW else math.nan,
        "nmse": float(metrics.nmse(*pair)),
    }


class Scorer:
    """Scores stages against the reference with one data range for all slices of a request, as its record does.

    Called in the thread of the job, so that reading the references costs the window nothing.

    Attributes
    ----------
    data_range
        Maximum of the references of these slices; 0 before the first stage.
    """

    def __init__(self, series: Series, indices: Sequence[int]) -> None:
        self._series = series
        self._indices = tuple(indices)
        self._references: dict[int, NDArray[np.float32]] | None = None
        self.data_range = 0.0

    def __call__(self, stage: Stage) -> dict[str, float] | None:
        """Return the scores of a stage; None without a reference."""
        volume = self._series.reference
        if volume is None:
            return None
        if self._references is None:
            self._references = {}
            for index in self._indices:
                with suppress(FileError):  # a slice that cannot be read is left out
                    image = volume[index]
                    if np.isfinite(image).all():
                        self._references[index] = image
            self.data_range = max((float(image.max()) for image in self._references.values()), default=0.0)
        return score(self._references.get(stage.slice_index), stage.image, self.data_range)


def demo_scans() -> list[Path]:
    """Return the scans that come with the program."""
    from app import demo

    return [demo.bundled_folder() / name for name in demo.SCANS]


def demo_phantom() -> Path:
    """Return the analytic phantom, generated on first use."""
    from app import demo

    return demo.phantom_path()


def kspace(series: Series, index: int) -> NDArray[np.complex64]:
    """Read the k-space ``(coil, y, x)`` of one slice."""
    return np.asarray(series.source.kspace(index))


def coil_images(series: Series, index: int) -> CoilPreview:
    """Return the images of all coils of one slice; raises recon.errors.FileError."""
    import torch

    from recon import coil_preview

    with torch.inference_mode():
        return coil_preview.coil_images(series, index)


def coil_maps(series: Series, index: int, request: Request) -> CoilPreview:
    """Estimate the sensitivity maps of one slice under a request; raises recon.errors.MRIError where it has none."""
    import torch

    from recon import coil_preview

    with torch.inference_mode():
        return coil_preview.coil_maps(series, index, request)


def thumbnail(series: Series) -> NDArray[np.float32]:
    """Return a small image of the middle slice, as it should be seen; raises FileError where it has none."""
    index = series.n_slices // 2
    reference = series.reference
    if reference is not None:
        image = np.asarray(reference[index])
    else:
        from recon.masks import MaskSpec
        from recon.request import Request

        image = preview(series, index, Request(model="zero-filled", mask=MaskSpec("none"))).zero_filled
    if not np.isfinite(image).all():  # a reference that is computed is as damaged as its k-space
        raise FileError(series.path, f"slice {index} (counted from 0) has no finite image.")
    step = max(1, min(image.shape) // (2 * THUMBNAIL_SIZE))
    image = image[::step, ::step]
    return np.ascontiguousarray(image[::-1] if series.geometry.flip_rows else image)
