"""The phase of an image: that of its coil images, combined so that the coils' own phases drop out.

Coils see the object ρ through sensitivities s_c. From the centre of k-space come smooth coil images l_c ≈ (s_c ρ), and
from their first principal component one more, p. The phase of an image with coil images x_c is that of

    e^{i·arg p} · Σ_c conj(l_c) x_c ,

in which the coils are weighed by what they see, and of their phases only that of the first principal component
stays: the convention of ESPIRiT and of `recon.sensitivity`. A constant, which an array leaves open, is set so that the
mean of p, weighed by |p|, is real. All images of a slice share both, so their phases can be compared. Where a scan has
one coil, the phase is the image's own.

References
----------
Roemer et al., The NMR phased array, MRM 16:192 (1990), eq. 30; Uecker et al., ESPIRiT, MRM 71:990 (2014).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recon import coils
from recon.calibration import MIN_LINES, calibration_block
from recon.errors import RequestError
from recon.fourier import ifft2c
from recon.shapes import Bool, Complex, Float

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Longest side of the centre: what varies faster is the object's, not the coils'.
_N_CALIBRATION = 24


def coil_weights(
    kspace: Complex[Tensor, "coil y x"], mask: Bool[Tensor, "*mask"], n_coils: int
) -> Complex[Tensor, "coil y x"]:
    """Return e^{i·arg p} · conj(l_c): what coil images are multiplied with before their sum has the phase to show.

    Parameters
    ----------
    kspace
        Sampled k-space, zero where nothing was sampled.
    mask
        What was sampled, ``(1, x)`` or ``(y, x)``. Without calibration lines, what there is of the centre is taken.
    n_coils
        Coils of the scan, before they were compressed.
    """
    if n_coils == 1:
        return torch.ones_like(kspace)
    centre = kspace * _window(mask.expand(kspace.shape[-2:]).cpu().numpy()).to(kspace.device)
    if not bool(centre.any()):
        return torch.ones_like(kspace)
    # Files hold numbers of any size; their squares have to fit single precision.
    centre = centre / centre.abs().amax()
    smooth = ifft2c(centre)
    first = ifft2c(coils.compress(centre, 1)[0])[0]
    first = first * (first * first.abs()).sum().conj()
    return torch.exp(1j * first.angle()) * smooth.conj()


def combined(coil_images: Complex[Tensor, "coil y x"], weights: Complex[Tensor, "coil y x"]) -> Float[Tensor, "y x"]:
    """Return the phase of the combined coil images in radians, −π to π."""
    return (coil_images * weights).sum(dim=0).angle()


def _window(sampled: NDArray[np.bool_]) -> Tensor:
    """Hann window ``(y, x)`` over the fully sampled centre, or over the centre where none is."""
    try:
        block = calibration_block(sampled, _N_CALIBRATION, MIN_LINES)
    except RequestError:
        rows, columns = (_centre(size) for size in sampled.shape)
        block = rows, columns
    sides = []
    for size, part in zip(sampled.shape, block, strict=True):
        side = torch.zeros(size)
        # Without the zeros at its ends.
        side[part] = torch.hann_window(part.stop - part.start + 2, periodic=False)[1:-1]
        sides.append(side)
    return sides[0][:, None] * sides[1][None, :]


def _centre(size: int) -> slice:
    half = min(_N_CALIBRATION, size) // 2
    return slice(size // 2 - half, size // 2 + half)
