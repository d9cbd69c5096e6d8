"""What every coil sees of a slice, thin enough to be shown side by side: its image, or its sensitivity map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from recon import coils, fourier
from recon.errors import RequestError
from recon.preview import whitened
from recon.sampling import on_grid, sampling_mask, uses_native_grid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from recon.data import Series
    from recon.request import Request

State = Literal["", "no signal", "noise only"]

# Of all coils together: more than a screen has, and little memory.
_MOST_PIXELS = 2**21
# Coils that are transformed together, as for the zero-filled image.
_COILS_AT_A_TIME = 2
# Of the magnitudes of all coils, so many are below white: the spot beside a small coil must not darken all others.
_WHITE_PERCENTILE = 99.8
# The largest of n samples of noise has about ln(n) times their mean energy, 12 for the data of a large slice; that of a
# head that is just seen has hundreds.
_LEAST_PEAK = 30.0
# Of fewer samples the largest is no witness.
_FEWEST_SAMPLES = 1024


@dataclass(frozen=True, eq=False)
class CoilPreview:
    """Images of all coils of a slice, or their sensitivity maps.

    Attributes
    ----------
    magnitude
        float32 ``(coil, y, x)``: every ``step``-th row and column of the image that the series shows.
    phase
        Of the same shape, in radians; NaN where the magnitude is zero.
    step
        Rows and columns from one pixel to the next.
    white
        Magnitude to show as white, one for all coils.
    shares
        Share of each coil in the energy that all of them measured, 0 to 1.
    states
        What is wrong with a coil: it measured zeros, or noise alone.
    is_whitened
        True for maps of coils that were pre-whitened.
    """

    magnitude: NDArray[np.float32]
    phase: NDArray[np.float32]
    step: int
    white: float
    shares: tuple[float, ...]
    states: tuple[State, ...]
    is_whitened: bool = False


def coil_images(series: Series, index: int) -> CoilPreview:
    """Return the images of the coils of one slice, of all samples that the scanner took.

    Raises
    ------
    FileError
        If the slice cannot be used, as in a reconstruction.
    """
    kspace = series.read(index).kspace
    parts = (fourier.ifft2c(group) for group in torch.split(kspace, _COILS_AT_A_TIME))
    magnitude, phase, step = _thinned(parts, series)
    white = float(np.percentile(magnitude, _WHITE_PERCENTILE)) or float(magnitude.max())
    return CoilPreview(magnitude, phase, step, white, *_judged(kspace))


def coil_maps(series: Series, index: int, request: Request) -> CoilPreview:
    """Return the ESPIRiT maps that a reconstruction would estimate for all coils of one slice.

    Parameters
    ----------
    series, index
        The slice.
    request
        Whose mask, grid and noise count; its coils are not compressed.

    Raises
    ------
    RequestError
        If there are none: the scan has one coil, or the mask no calibration lines.
    FileError
        If the slice cannot be used, as in a reconstruction.
    """
    if series.n_coils == 1:
        raise RequestError("the scan has one coil; sensitivity maps tell several apart.")
    mask = torch.from_numpy(sampling_mask(series, request).mask)
    measured = series.read(index).kspace
    kspace, is_whitened = whitened(on_grid(measured, series, native=uses_native_grid(series, request)), series, request)
    maps = coils.sensitivity_maps(kspace * mask, mask)
    magnitude, phase, step = _thinned(torch.split(maps, _COILS_AT_A_TIME), series)
    return CoilPreview(magnitude, phase, step, 1.0, *_judged(measured), is_whitened)


def _thinned(parts: Iterable[Tensor], series: Series) -> tuple[NDArray[np.float32], NDArray[np.float32], int]:
    """Return magnitudes and phases ``(coil, y, x)`` of complex images that come a few coils at a time, and the step."""
    rows, columns = series.recon_size
    step = 1
    while series.n_coils * -(-rows // step) * -(-columns // step) > _MOST_PIXELS:
        step += 1
    magnitudes, phases = [], []
    for part in parts:
        # Rows and columns are left out, not averaged: what is shown are values of the image, and phases have no mean.
        thin = fourier.centre_crop(part, series.recon_size)[..., ::step, ::step]
        magnitudes.append(thin.abs())
        phases.append(thin.angle())
    magnitude, phase = torch.cat(magnitudes).numpy(), torch.cat(phases).numpy()
    phase[magnitude == 0] = np.nan
    return magnitude, phase, step


def _judged(kspace: Tensor) -> tuple[tuple[float, ...], tuple[State, ...]]:
    """Return the share of each coil in the energy of k-space ``(coil, y, x)``, and what is wrong with it."""
    largest = float(kspace.abs().max())
    energies, states = [], []
    for coil in kspace:
        # Files hold numbers of any size; their squares have to fit.
        energy = (coil.abs().double() / largest).square()
        n_samples = int((energy > 0).sum())
        energies.append(float(energy.sum()))
        states.append(_state(energies[-1], float(energy.max()), n_samples))
    total = sum(energies)
    return tuple(energy / total for energy in energies), tuple(states)


def _state(energy: float, peak: float, n_samples: int) -> State:
    if n_samples == 0:
        return "no signal"
    is_noise = n_samples >= _FEWEST_SAMPLES and peak < _LEAST_PEAK * energy / n_samples
    return "noise only" if is_noise else ""
