"""The one pipeline: a series and a request become a stream of stages.

    read → pre-whitening → sampling mask → coil compression → sensitivity maps → scale → model → unscale
    → combine coils → crop

`prepare` is the only place that masks, compresses and scales data; training calls it too, so what a network sees in
use is what it saw in training.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from recon import coils, contract, device, fourier, memory, models, noise, phase, plausibility
from recon.collector import Collector, Keep
from recon.data import Series, check_scale
from recon.errors import FileError, RequestError
from recon.joining import N_STEPS, N_STEPS_ONCE, Joining
from recon.models import parameters, requirements
from recon.operator import norm_of, residual_norm
from recon.request import Maps, Request
from recon.sampling import check_overflow, on_grid, sampling_mask, uses_native_grid, zero_filled_image
from recon.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    from recon.models.blocks import ReconstructionModel
    from recon.result import Reconstruction

# Of the time of a slice whose coils are joined after the network, roughly what the network takes.
_NETWORK_SHARE = 0.85


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a network gets.

    Attributes
    ----------
    zero_filled, kspace
        complex64 ``(batch, coil, y, x)``, divided by ``scale``; k-space is zero where nothing was sampled.
    mask
        bool ``(1, x)`` or ``(y, x)``.
    scale
        ``(batch, 1, 1, 1)``: what the data was divided by. The output is multiplied by it.
    maps
        Coil sensitivities, complex64 like ``zero_filled``; None where the method takes none.
    matrix
        What the coils were compressed with, ``(coil, virtual)``; None where they were left alone.
    """

    zero_filled: Tensor
    kspace: Tensor
    mask: Tensor
    scale: Tensor
    maps: Tensor | None = None
    matrix: Tensor | None = None


def prepare(
    kspace: Tensor,
    mask: Tensor,
    n_virtual: int | None = None,
    *,
    coil_by_coil: bool = False,
    maps: Maps | None = None,
    scale: Literal["mean", "maximum"] = "mean",
) -> Prepared:
    """Mask, compress and scale the k-space of one slice, and estimate its sensitivity maps.

    Parameters
    ----------
    kspace
        complex64 ``(coil, y, x)``.
    mask
        bool, broadcastable to ``(y, x)``.
    n_virtual
        Virtual coils; None or the present number leaves the coils alone, more than there are appends zero coils.
    coil_by_coil
        Make each coil a batch entry of its own, scaled by itself, for a single-coil network.
    maps
        How to estimate sensitivity maps from the calibration lines; None makes none.
    scale
        ``mean``: divide by the mean magnitude of the zero-filled coil images, as PC-RNN does. ``maximum``: by the
        maximum of the zero-filled image, combined over the coils, as the variational network does.

    Raises
    ------
    RequestError
        If maps are asked for and the mask has no calibration lines.

    References
    ----------
    Chen et al., PC-RNN, IEEE TMI 2022, section IV-B (scale) and III-E (compression); Hammernik et al., Learning a
    variational network, MRM 2018 (scale by the maximum).
    """
    kspace, matrix = kspace * mask, None
    if n_virtual is not None and n_virtual != kspace.shape[0]:
        kspace, matrix = coils.compress(kspace, n_virtual)
    kspace = kspace[:, None] if coil_by_coil else kspace[None]
    zero_filled = fourier.ifft2c(kspace)
    sensitivities = None if maps is None else coils.sensitivity_maps(kspace, mask, maps)
    if scale == "mean":
        divisor = zero_filled.abs().mean(dim=(1, 2, 3), keepdim=True)
    else:
        combined = (
            coils.root_sum_of_squares(zero_filled, dim=1)
            if sensitivities is None
            else (sensitivities.conj() * zero_filled).sum(dim=1).abs()
        )
        divisor = combined.amax(dim=(-2, -1))[:, None, None, None]
    # A coil that saw nothing stays nothing; the scale of the others must not suffer.
    divisor = torch.where(divisor > 0, divisor, torch.ones_like(divisor))
    return Prepared(zero_filled / divisor, kspace / divisor, mask, divisor, sensitivities, matrix)


def reconstruct(series: Series, request: Request) -> Generator[Stage, None, None]:
    """Reconstruct slices one after another, yielding every stage as it comes out.

    Parameters
    ----------
    series
        What to reconstruct.
    request
        How.

    Yields
    ------
    Stages whose image is a float32 numpy magnitude ``(y, x)`` of ``series.recon_size``. Each slice begins with
    ``zero-filled`` and ends with a stage that has ``is_final``. Close the stream to cancel.

    Raises
    ------
    MRIError
        If the request, the model, the data or the device does not allow it.
    """
    yield from Plan(series, request).stages()


def run(
    series: Series,
    request: Request,
    callback: Callable[[Stage], bool | None] | None = None,
    keep: Keep = "thinned",
) -> Reconstruction:
    """Exhaust the stream and collect it.

    Parameters
    ----------
    series, request
        See `reconstruct`.
    callback
        Called with every stage; returning False stops, and the slices done so far are the result.
    keep
        Which stages stay in the result: ``all``; ``thinned``, all but most iterates of a solver (a method without
        training) where it runs on several slices, see `recon.collector.survives`; the last iteration of each of the
        ``modules``; or ``none``.

    Raises
    ------
    RequestError
        If the callback stopped before the first slice was done, is no function, or nothing is called as ``keep`` is.
    """
    return Plan(series, request).run(callback, keep)


class Plan:
    """A request, checked against a series, with its model loaded.

    Parameters
    ----------
    series, request
        See `reconstruct`.
    residuals
        Which stages get their distance from what was measured.

    Raises
    ------
    MRIError
        If the two do not fit.
    """

    def __init__(self, series: Series, request: Request, residuals: Literal["final", "all"] = "final") -> None:
        for value, kind, name in ((series, Series, "series"), (request, Request, "request")):
            if not isinstance(value, kind):
                raise RequestError(
                    f"the {name} is a {type(value).__name__}; a {kind.__name__} was expected"
                    f"{', such as study.series[0]' if kind is Series else ''}."
                )
        self.series = series
        self.request = request
        self._residuals = residuals
        wanted = range(series.n_slices) if request.slices is None else request.slices
        self.indices = tuple(series.check_index(index) for index in wanted)
        self.warnings = _warnings(series, request)
        self.mask = sampling_mask(series, request)
        if not self.mask.mask.any():
            raise RequestError(
                f"the mask keeps none of the columns that were acquired in {series.name}; "
                "lower the acceleration or raise the centre fraction."
            )
        self.whitening = self._whitening()
        self.device = device.resolve(request.device)
        self.native = uses_native_grid(series, request)
        self.weights, self.n_virtual, self.coil_by_coil = models.fit_coils(request.model, series.n_coils, request.coils)
        self.card = models.get_card(request.model if self.weights is None else self.weights.preset)
        self.join_weight = request.join_coils if self.coil_by_coil else None
        self._join_weights: list[float] = []
        self._findings: list[str] = []
        self.left_out: dict[int, FileError] = {}
        requirements.check(
            self.card, self.n_virtual, self.mask, joins_coils=self.join_weight is not None, maps=request.maps
        )
        story = None if self.weights is None else self.weights.story
        joins_coils = self.join_weight is not None
        self.warnings += requirements.doubts(self.card, self.n_virtual, self.mask, story, joins_coils=joins_coils)
        # Without a network there is nothing that could be computed in half precision.
        network = self.weights is not None
        self.dtype = device.resolve_precision(request.precision, self.device) if network else torch.float32
        if self.coil_by_coil:
            coils_taken = f"the {self.n_virtual} coils"
            if self.n_virtual < series.n_coils:
                coils_taken = f"{self.n_virtual} virtual coils, to which the {series.n_coils} were compressed,"
            self.warnings.append(
                f"{self.card.title} is a single-coil network: it took {coils_taken} one by one{self._joined()}."
            )
        elif request.join_coils is not None:
            self.warnings.append(f"{self.card.title} {_nothing_to_join(self.n_virtual)}, so none were joined.")
        if request.coils is not None and request.coils > self.n_virtual:
            self.warnings.append(f"{request.coils} coils were asked for; {series.name} has {series.n_coils}.")
        if self.weights is not None and not self.coil_by_coil and series.n_coils < self.n_virtual:
            self.warnings.append(
                f"the network was trained on {self.n_virtual} coils and the data has {series.n_coils}; "
                "zero coils fill the difference."
            )
        with device.explain_memory(self.device):
            self.model = _load(self)
        # Those of a network are its weights' business.
        self.parameters = {} if network else parameters.used_by(self.model)
        self.parameter_origins = dict.fromkeys(request.overrides, "set by the user") | dict(self.model.origins)
        if self.join_weight is not None:
            self.parameters["join_coils"] = self.join_weight
            self.parameter_origins["join_coils"] = "set by the user"
        size = series.matrix if self.native else series.recon_size
        shape = (self.n_virtual, 1, *size) if self.coil_by_coil else (1, self.n_virtual, *size)
        self.warnings += memory.announce_memory(
            self.model, self.card.title, shape, self.device, joins_coils=self.join_weight is not None
        )

    def run(
        self,
        callback: Callable[[Stage], bool | None] | None = None,
        keep: Keep = "thinned",
        *,
        spares_others: bool = False,
    ) -> Reconstruction:
        """Exhaust the stages of all slices and collect them; see the function `run` and `stages`."""
        if callback is not None and not callable(callback):
            raise RequestError(f"the callback is {callback!r}; give a function of a stage, or None.")
        collector = Collector(self, keep)
        with torch.inference_mode(), closing(self.stages(spares_others=spares_others)) as stages:
            for stage in stages:
                collector.add(stage)
                if callback is not None and callback(stage) is False:
                    break
        return collector.result()

    def stages(self, *, spares_others: bool = False) -> Generator[Stage, None, None]:
        """Yield the stages of all slices, one slice after another.

        Parameters
        ----------
        spares_others
            A slice whose data cannot be used does not stop the others: it is put into ``left_out``.

        Raises
        ------
        FileError
            If the data of a slice cannot be used; where others are spared, if none can.
        """
        self.left_out = {}
        for position, index in enumerate(self.indices):
            try:
                yield from self.stream(index, position)
            except FileError as error:
                self.left_out[index] = error
                if not spares_others or len(self.left_out) == len(self.indices):
                    raise

    def stream(self, index: int, position: int) -> Generator[Stage, None, None]:
        """Yield the stages of one slice; `position` counts slices for the progress."""
        n_slices = len(self.indices)
        slice_ = self.series.read(index)
        if index == next((one for one in self.indices if one not in self.left_out), None):
            self._findings = plausibility.findings(slice_, self.series.noise)
        with device.explain_memory(self.device):
            kspace = on_grid(slice_.kspace, self.series, native=self.native).to(self.device)
            if self.whitening is not None:
                kspace = noise.mix(kspace, self.whitening)
            mask = torch.from_numpy(self.mask.mask).to(self.device)
            data = prepare(
                kspace,
                mask,
                self.n_virtual,
                coil_by_coil=self.coil_by_coil,
                maps=self.request.maps if self.card.needs_maps else None,
                scale=self.card.scale,
            )
            # The zero-filled image of all coils, as the preview shows it: compression is the model's business.
            zero_filled = zero_filled_image(kspace, mask)
            left_out = self._left_out(kspace, data)
            del kspace
            check_overflow(zero_filled, self.series, index)
            if not zero_filled.any():
                check_scale(self.series, [index])
            weights = self._phase_weights(data)
            shown_phase = self._phase(data.zero_filled * data.scale, weights)
        yield Stage(
            "zero-filled",
            ("zero-filled",),
            self._to_view(zero_filled),
            slice_index=index,
            progress=position / n_slices,
            phase=shown_phase,
            residual=0.0,
        )
        # What a network makes of a coil without signal, such as a broken one, is its own invention.
        has_signal = data.zero_filled.flatten(2).any(dim=2)[..., None, None]
        scale_of_signal = data.scale * has_signal
        model, joining = self._model_for(data)
        stages = contract.stages(model, self.card, data.zero_filled, data.kspace, data.mask, data.maps)
        with closing(stages) as stream:
            while True:
                with device.explain_memory(self.device):
                    stage = next(stream, None)
                    if stage is None:
                        return
                    # Batch entries are coils in the coil-by-coil case, coils are coils otherwise: both are combined.
                    scale = scale_of_signal if stage.image.shape[1] == has_signal.shape[1] else data.scale
                    image = self._combined(stage, stage.image * scale, index)
                    shown_phase = self._phase(stage.image * scale, weights, data.maps)
                    residual = self._residual(stage, stage.image * scale, data, left_out)
                joins_afterwards = joining is not None and not joining.is_used
                if stage.is_final and joining is not None and joining.is_used:
                    self._join_weights.append(joining.weight)
                done = stage.progress * (_NETWORK_SHARE if joins_afterwards else 1)
                is_joined = stage.is_final and joins_afterwards
                shown = replace(stage, name="network", path=("network",), is_final=False) if is_joined else stage
                progress = (position + done) / n_slices
                yield replace(
                    shown, image=image, slice_index=index, progress=progress, phase=shown_phase, residual=residual
                )
                if is_joined:
                    assert joining is not None
                    with device.explain_memory(self.device):
                        joined = joining.join(stage.image) * scale
                        image = self._combined(stage, joined, index)
                        shown_phase = self._phase(joined, weights)
                        residual = self._residual(stage, joined, data, left_out)
                    self._join_weights.append(joining.weight)
                    progress = (position + 1) / n_slices
                    yield replace(
                        stage, image=image, slice_index=index, progress=progress, phase=shown_phase, residual=residual
                    )

    def _model_for(self, data: Prepared) -> tuple[ReconstructionModel, Joining | None]:
        """Return the model, and what joins the coils of this slice where that was asked for."""
        if self.join_weight is None:
            return self.model, None
        with device.explain_memory(self.device):
            n_steps = N_STEPS if self.model.n_stages > 1 else N_STEPS_ONCE
            joining = Joining(data.kspace, data.mask, data.scale, self.join_weight, n_steps)
        # Kept, so that what the method notes on the way is found.
        self.model = self.model.with_consistency(joining)
        return self.model, joining

    def _combined(self, stage: Stage, coil_images: Tensor, index: int) -> NDArray[np.float32]:
        combined = coils.root_sum_of_squares(coil_images.flatten(0, 1), dim=0)
        contract.check_finite(self.card, stage, index, combined)
        return self._to_view(combined)

    def _left_out(self, kspace: Tensor, data: Prepared) -> float:
        """Return the share of the energy of the measured k-space that its compression to virtual coils dropped."""
        if data.matrix is None:
            return 0.0
        measured, kept = norm_of(kspace * data.mask), norm_of(data.kspace * data.scale)
        return max(0.0, 1.0 - (kept / measured) ** 2) if measured > 0 else 0.0

    def _residual(self, stage: Stage, coil_images: Tensor, data: Prepared, left_out: float) -> float | None:
        """Return how far an image is from what was measured, with what compression dropped."""
        is_combined = coil_images.shape[1] < data.kspace.shape[1]
        if not (stage.is_final or self._residuals == "all") or (is_combined and data.maps is None):
            return None
        maps = data.maps if is_combined else None
        of_virtual = residual_norm(coil_images, data.kspace * data.scale, data.mask, maps)
        # Virtual coils are orthogonal mixes of the coils: energies add up.
        return float(np.sqrt(of_virtual**2 * (1 - left_out) + left_out))

    def _phase_weights(self, data: Prepared) -> Tensor | None:
        """Return what the phase of a slice is combined with, ``(coil, y, x)``; None where no phase is wanted."""
        if not self.request.phase:
            return None
        return phase.coil_weights((data.kspace * data.scale).flatten(0, 1), data.mask, self.series.n_coils)

    def _phase(
        self, coil_images: Tensor, weights: Tensor | None, maps: Tensor | None = None
    ) -> NDArray[np.float32] | None:
        """Return the phase of coil images, or of an image that is combined already, with the maps that it goes by."""
        if weights is None:
            return None
        images = coil_images.flatten(0, 1)
        if len(images) < len(weights):
            weights = torch.ones_like(images) if maps is None else (weights * maps[0]).sum(dim=0, keepdim=True)
        return self._to_view(phase.combined(images, weights))

    @property
    def notes(self) -> tuple[str, ...]:
        """What came up while slices were computed, in sentences."""
        if not self._join_weights:
            return tuple(self._findings)
        least, most = (f"{weight:.3g}" for weight in (min(self._join_weights), max(self._join_weights)))
        weights = least if least == most else f"{least} to {most}"
        return (*self._findings, f"with the noise of the data, the network's images had a weight of {weights}.")

    def _joined(self) -> str:
        """Say in half a sentence how the coils were joined; nothing where they were not."""
        if self.join_weight is None:
            return ""
        return f", and they were joined (weight of the network's images {self.join_weight:g} without noise)"

    def _whitening(self) -> Tensor | None:
        """Return the matrix that pre-whitens the coils, and say so; None where no noise was measured."""
        samples, origin = self.series.noise, "that the file holds"
        if self.request.noise is not None:
            samples, origin = noise.load(self.request.noise), f"of {self.request.noise}"
        if samples is None:
            return None
        matrix = noise.whitening(torch.from_numpy(samples), self.series.n_coils)
        self.warnings.append(
            f"the coils were pre-whitened with the {samples.shape[1]} noise samples {origin}"
            f"{'; the reference was not' if self.series.has_reference and self.request.noise is not None else ''}."
        )
        return matrix

    def _to_view(self, image: Tensor) -> NDArray[np.float32]:
        view: NDArray[np.float32] = fourier.centre_crop(image, self.series.recon_size).float().cpu().numpy()
        return view


def _nothing_to_join(n_coils: int) -> str:
    return "got one coil" if n_coils == 1 else "takes all coils together"


def _warnings(series: Series, request: Request) -> list[str]:
    found = list(series.notes)
    if series.acquired_mask is not None:
        if request.mask.kind != "none":
            found.append("the scan is undersampled already: its own sampling was used, not the requested mask.")
        if request.grid == "cropped" and series.recon_size != series.matrix:
            found.append("undersampled data cannot be cropped first: the native grid was used.")
    return found


def _load(plan: Plan) -> ReconstructionModel:
    weights = plan.weights
    if weights is None:
        overrides = parameters.checked(plan.card, plan.request.overrides, plan.n_virtual)
        model = models.create(plan.request.model, plan.n_virtual, **overrides)
        model.meet_scan(plan.series.header.acquisition, plan.series.n_coils, plan.mask.acceleration)
        return model.to(plan.device).eval().requires_grad_(False)
    if plan.request.overrides:
        raise RequestError(
            f"{plan.request.model} has trained weights; overriding {', '.join(plan.request.overrides)} would not fit "
            "them."
        )
    return _load_cached(str(weights.path), weights.sha256, str(plan.device), plan.dtype)


@lru_cache(maxsize=4)
def _load_cached(path: str, sha256: str, device_name: str, dtype: torch.dtype) -> ReconstructionModel:  # noqa: ARG001
    model = models.load(path, device=device_name)
    # channels_last is what makes bfloat16 pay on a CPU: it spares a reorder around every convolution.
    model = model.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    result: ReconstructionModel = model.requires_grad_(False)
    return result
