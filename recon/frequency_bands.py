"""Scores of low and of high spatial frequencies apart: which part of k-space a method restores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from recon import metrics
from recon.errors import RequestError
from recon.values import real

if TYPE_CHECKING:
    from numpy.typing import NDArray

BandShape = Literal["disc", "square"]
BANDS = ("low", "high")


def centre_region(size: tuple[int, int], radius: float = 0.25, shape: BandShape = "disc") -> NDArray[np.bool_]:
    """Return the central region of k-space, True inside.

    Parameters
    ----------
    size
        ``(y, x)``.
    radius
        As a share of half the shorter side; for a square, half of its side.
    shape
        ``disc`` or ``square``.

    Raises
    ------
    RequestError
        If the radius does not lie between 0 and 1, or the shape is unknown.
    """
    radius = real(radius, "the radius of the frequency band")
    if not 0 < radius < 1:
        raise RequestError(f"the radius of the frequency band is {radius:g}; it must lie between 0 and 1.")
    if shape not in ("disc", "square"):
        raise RequestError(f"the shape of the frequency band is {shape!r}; choose disc or square.")
    reach = radius * min(size) / 2
    y, x = (np.abs(np.arange(length) - length // 2) for length in size)
    inside = np.hypot(y[:, None], x[None, :]) if shape == "disc" else np.maximum(y[:, None], x[None, :])
    region: NDArray[np.bool_] = inside <= reach
    return region


def split(volume: NDArray[Any], radius: float = 0.25, shape: BandShape = "disc") -> dict[str, NDArray[np.float64]]:
    """Return the magnitude of the low and of the high frequencies of each slice of a volume ``(slices, y, x)``."""
    region = np.fft.ifftshift(centre_region((volume.shape[-2], volume.shape[-1]), radius, shape))
    spectrum = np.fft.fft2(np.asarray(volume, np.float64))
    low = np.fft.ifft2(spectrum * region)
    # What is not low is high: one transform less.
    return {"low": np.abs(low), "high": np.abs(volume - low)}


def score(
    reference: NDArray[Any], image: NDArray[Any], radius: float = 0.25, shape: BandShape = "disc"
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return PSNR and SSIM of each band, with the maximum of the band-limited reference volume as data range.

    Returns
    -------
    ``{"low": {"psnr": {"volume": …, "slices": […]}, "ssim": …, "nmse": …}, "high": …}``

    References
    ----------
    Guo et al., Over-and-Under Complete Convolutional RNN for MRI Reconstruction, MICCAI 2021, figure 4; the paper
    does not give the region, so it is an argument here.
    """
    references, images = split(reference, radius, shape), split(image, radius, shape)
    return {band: metrics.score(references[band], images[band]) for band in BANDS}
