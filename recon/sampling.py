"""What a request takes of the data of a series: which samples, and on which grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from recon import fourier, masks
from recon.errors import FileError
from recon.io.check import overflow

if TYPE_CHECKING:
    from recon.data import Series
    from recon.masks import MaskSpec, SamplingMask
    from recon.request import Request

# Coils whose zero-filled images are computed together.
_COILS_AT_A_TIME = 2


def sampling_mask(series: Series, request: Request) -> SamplingMask:
    """Return the samples that a reconstruction of this series uses.

    The scanner's own pattern wins over the request's, as in fastMRI. On the native grid, columns that were never
    acquired do not count as sampled.

    Raises
    ------
    RequestError
        If the pattern is impossible for this grid.
    FileError
        If a mask file cannot be read or does not fit.
    """
    if series.acquired_mask is not None:
        return masks.SamplingMask(series.acquired_mask, masks.count_low_frequency(series.acquired_mask))
    native = uses_native_grid(series, request)
    size = series.matrix if native else series.recon_size
    try:
        sampling = masks.make(request.mask, size, filename=series.name)
    except FileError as error:
        if size == series.matrix or not _fits(request.mask, series):
            raise
        raise FileError(
            error.path,
            f"the mask is for the {series.matrix[0]} × {series.matrix[1]} that were measured, but the cropped grid has "
            f"{size[1]} columns of these {series.matrix[1]} and {size[0]} rows; choose the grid “As measured” (native) "
            f"or a mask of shape ({size[1]},) or ({size[0]}, {size[1]}).",
        ) from None
    if not native or series.padding is None:
        return sampling
    first, last = series.padding
    inside = np.zeros(size[1], bool)
    inside[first:last] = True
    return masks.SamplingMask(sampling.mask & inside, sampling.n_low_frequency)


def _fits(mask: MaskSpec, series: Series) -> bool:
    """Tell whether a mask file is for the k-space as it was measured."""
    try:
        masks.make(mask, series.matrix, filename=series.name)
    except FileError:
        return False
    return True


def on_grid(kspace: Tensor, series: Series, *, native: bool) -> Tensor:
    """Return the k-space of a slice ``(coil, y, x)`` on the grid of the reconstruction.

    The cropped grid is made by cropping the fully sampled image, so it exists for fully sampled data alone; measured
    that way, results are not comparable with those of the native grid.
    """
    return kspace if native else fourier.crop_field_of_view(kspace, series.recon_size)


def uses_native_grid(series: Series, request: Request) -> bool:
    """Return True where the k-space is masked as it was measured, and False where it is cropped first."""
    return request.grid == "native" or series.acquired_mask is not None


def zero_filled_image(kspace: Tensor, mask: Tensor) -> Tensor:
    """Return the root sum of squares of the coil images of the sampled k-space, ``(y, x)``."""
    energy = torch.zeros(kspace.shape[-2:], device=kspace.device)
    # A few coils at a time: the copies of a transform stay in the cache, and memory stays near one slice. Where the
    # centre of k-space lies is no matter of the magnitude, and that of the image is put in its place once.
    for group in torch.split(kspace, _COILS_AT_A_TIME):
        coil_images = torch.fft.ifft2(group * mask, norm="ortho")
        energy += (coil_images.real.square() + coil_images.imag.square()).sum(dim=0)
    image: Tensor = torch.fft.fftshift(energy.sqrt_())
    return image


def check_overflow(image: Tensor, series: Series, index: int) -> None:
    """Refuse a slice whose values are finite in k-space and no longer in its image.

    Raises
    ------
    SliceError
        If the image holds infinity or NaN.
    """
    if not bool(image.isfinite().all()):
        raise overflow(series, index)
