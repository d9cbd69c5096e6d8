"""The scale of compressed sensing: what the data is divided by, so that one λ means the same for every scan."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recon.coils import root_sum_of_squares
from recon.fourier import ifft2c
from recon.shapes import Bool, Complex, Float

# Side of the largest block of the k-space centre that the scale is read off.
_LARGEST_BLOCK = 32


def bart_scale(
    kspace: Complex[Tensor, "*batch coil y x"], mask: Bool[Tensor, "*mask"]
) -> Float[Tensor, "*batch 1 1 1"]:
    """Return the number that BART's ``pics`` divides k-space by before it applies λ.

    1. Take the largest fully sampled block around the k-space centre, at most 32 × 32.
    2. Its root-sum-of-squares image is a small picture of the whole, brought to the brightness of the full grid.
    3. The scale is its maximum, or its 90th percentile where the maximum is no outlier.

    With it λ is a share of the image's brightness: the same λ serves a scan in volts and one in arbitrary units.

    Parameters
    ----------
    kspace
        Measured k-space.
    mask
        Samples that were taken, broadcastable to k-space.

    Returns
    -------
    Positive numbers that k-space divides by. Where the centre was not sampled, the maximum of the zero-filled image
    stands in; where there is no signal at all, one.

    References
    ----------
    Uecker et al., BART, https://doi.org/10.5281/zenodo.592960, version 0.8.00 (``pics`` on ``(1, y, x, coil)``).
    """
    n_rows, n_columns = kspace.shape[-2:]
    flat = kspace.reshape(-1, *kspace.shape[-3:])
    masks = mask.expand(*kspace.shape[:-3], 1, n_rows, n_columns) if mask.ndim > 2 else mask.expand(n_rows, n_columns)
    masks = masks.reshape(-1, n_rows, n_columns)
    scales = [_scale(slice_, masks[min(index, len(masks) - 1)]) for index, slice_ in enumerate(flat)]
    return torch.stack(scales).reshape(*kspace.shape[:-3], 1, 1, 1)


def sampled_centre(mask: Bool[Tensor, "y x"], largest: int = _LARGEST_BLOCK) -> tuple[slice, slice]:
    """Return rows and columns of the largest fully sampled block around the centre of k-space.

    It grows by a row and a column at a time; a direction stops at ``largest``, at the edge, or before a sample that
    is missing. Where the centre itself is missing, the block is that one sample.
    """
    shape = (mask.shape[-2], mask.shape[-1])
    sampled = mask.cpu().numpy()
    limits = [min(largest, size) for size in shape]
    sizes, growing = [1, 1], [True, True]

    def block() -> tuple[slice, slice]:
        # Centred in the largest block, which is centred in k-space: the two roundings are not the same as one.
        starts = [
            (size - limit) // 2 + (limit - own) // 2 for size, limit, own in zip(shape, limits, sizes, strict=True)
        ]
        return slice(starts[0], starts[0] + sizes[0]), slice(starts[1], starts[1] + sizes[1])

    while any(growing):
        for axis in (0, 1):
            growing[axis] = growing[axis] and sizes[axis] < limits[axis]
            if growing[axis]:
                sizes[axis] += 1
                if not sampled[block()].all():
                    sizes[axis] -= 1
                    growing[axis] = False
    return block()


def _scale(kspace: Complex[Tensor, "coil y x"], mask: Bool[Tensor, "y x"]) -> Float[Tensor, ""]:
    rows, columns = sampled_centre(mask)
    block = kspace[:, rows, columns]
    for dim in (-2, -1):
        block = block * _ramp(block.shape[dim], kspace.shape[dim], kspace.device).reshape(-1, *[1] * (-1 - dim))
    image = root_sum_of_squares(torch.fft.ifft2(block, norm="ortho"), dim=0).flatten().sort().values
    image = image * math.sqrt(block[0].numel() / kspace[0].numel())
    # The order statistics as BART picks them, without interpolation.
    median, high, largest = image[len(image) // 2], image[int(len(image) * 0.9)], image[-1]
    scale = torch.where(largest - high < 2 * (high - median), high, largest)
    fallback = root_sum_of_squares(ifft2c(kspace * mask), dim=0).amax()
    scale = torch.where(scale > 0, scale, fallback)
    return torch.where(scale > 0, scale, torch.ones_like(scale))


def _ramp(size: int, full_size: int, device: torch.device) -> Complex[Tensor, "*size"]:
    """Return the phase that centres the full image; on an odd grid the small picture moves by a part of a pixel."""
    turns = torch.arange(size, device=device) * (full_size // 2 / full_size)
    return torch.polar(torch.ones_like(turns), 2 * math.pi * turns)
