"""What makes more of each image: place, size and orientation, grey values, and the contrast of tissues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from recon.errors import RequestError

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

# Local mean brightness, as a share of the maximum, from which on a pixel belongs to the head.
_OUTSIDE, _INSIDE = 0.04, 0.12
# Brightness below which a pixel shows no tissue: air and bone stay dark whatever the contrast.
_NO_SIGNAL, _TISSUE = 0.03, 0.16
# Least brightness of a tissue in a new contrast.
_DARKEST = 0.12
# Least range of brightness that is spread over the whole curve: less would spread noise.
_NARROWEST = 0.25


def augment(rng: Generator, image: NDArray[np.float32], size: tuple[int, int], contrast: float = 0.0) -> Tensor:
    """Turn, flip, zoom and shift into the wanted size; vary grey values and, in a share of the images, the contrast.

    Parameters
    ----------
    rng
        Source of everything random.
    image
        Magnitude ``(y, x)``, 1 at a bright voxel of its volume.
    size
        Wanted ``(y, x)``.
    contrast
        Share of the images whose tissues trade their brightness, see `new_contrast`.

    Returns
    -------
    float32 ``(y, x)`` with the maximum 1.

    Raises
    ------
    RequestError
        If nothing is left to see.
    """
    if rng.random() < 0.5:
        image = image[:, ::-1]
    image = np.rot90(image, int(rng.integers(4)))
    angle = np.deg2rad(rng.normal(0, 8))
    longest = max(image.shape)
    # 1 fits the longer side of the volume to the shorter side of the image; larger shows a part, smaller leaves a rim.
    zoom = np.exp(rng.normal(0.1, 0.18))
    stretch = np.exp(rng.normal(0, 0.06))
    scale_y = size[0] / min(size) / zoom * stretch * longest / image.shape[0]
    scale_x = size[1] / min(size) / zoom / stretch * longest / image.shape[1]
    shift = rng.normal(0, 0.06, 2)
    theta = torch.tensor(
        [
            [scale_x * np.cos(angle), -scale_x * np.sin(angle), shift[0]],
            [scale_y * np.sin(angle), scale_y * np.cos(angle), shift[1]],
        ],
        dtype=torch.float32,
    )
    grid = torch.nn.functional.affine_grid(theta[None], [1, 1, *size], align_corners=False)
    source = torch.from_numpy(np.ascontiguousarray(image))[None, None]
    shrink = max(image.shape[0] / size[0] * scale_y, image.shape[1] / size[1] * scale_x)
    if shrink > 1.6:  # bilinear sampling alone would alias
        source = torch.nn.functional.avg_pool2d(source, 2)
    sampled = torch.nn.functional.grid_sample(source, grid, mode="bilinear", align_corners=False)[0, 0]
    sampled = sampled.clamp(0, 2)
    sampled = sampled ** float(np.exp(rng.normal(0, 0.25)))
    if contrast and rng.random() < contrast:
        sampled = new_contrast(rng, sampled)
    peak = float(sampled.max())
    if peak <= 0:
        raise RequestError("an augmented slice came out empty; the volume has a slice without content.")
    return sampled / peak


def new_contrast(rng: Generator, image: Tensor) -> Tensor:
    """Give the tissues of a head another order of brightness.

    Brightness goes through a smooth curve that falls (as from T1 to T2 weighting) or rises and falls. Outside the head,
    and where nothing gives signal, the image stays as dark as it was.

    Parameters
    ----------
    rng
        Draws the curve.
    image
        Magnitude ``(y, x)``.

    Returns
    -------
    float32 ``(y, x)``, nowhere brighter than the image was.
    """
    peak = float(image.max())
    if peak <= 0:
        return image
    level = image / peak
    signal = _smooth_step(level, _NO_SIGNAL, _TISSUE) * _head(level)
    tissue = level[signal > 0.5]
    if not len(tissue):
        return image
    # The curve spans the tissues that there are: beside bright fat, all of a brain may lie in a fifth of the range.
    low, high = torch.quantile(tissue[:: max(1, len(tissue) // 2000)], torch.tensor([0.02, 0.98])).tolist()
    place = ((level - low) / max(high - low, _NARROWEST)).clamp(0, 1)
    return peak * torch.lerp(level, _series(_curve(rng), place), signal)


def _curve(rng: Generator) -> NDArray[np.float64]:
    """Chebyshev coefficients of a brightness curve over 1 − 2 × place; its values span `_DARKEST` to 1."""
    weights = rng.normal(0, 1, 4) * np.array([0.0, 1.0, 0.7, 0.3])
    if rng.random() < 0.5:
        # The first polynomial falls from dark to bright; where it outweighs the others, so does the curve.
        weights *= np.array([0.0, 0.0, 0.35, 0.2])
        weights[1] = 1.0
    values = np.polynomial.chebyshev.chebval(np.linspace(-1, 1, 33), weights)
    span = max(float(np.ptp(values)), 1e-6)
    coefficients: NDArray[np.float64] = weights * (1 - _DARKEST) / span
    coefficients[0] = _DARKEST - float(values.min()) * (1 - _DARKEST) / span
    return coefficients


def _series(coefficients: NDArray[np.float64], place: Tensor) -> Tensor:
    t = 1 - 2 * place
    a, b, c, d = (float(value) for value in coefficients)
    # T2 = 2t² − 1 and T3 = 4t³ − 3t, gathered by powers.
    value = (a - c) + t * ((b - 3 * d) + t * (2 * c + t * (4 * d)))
    return value.clamp(0, 1)  # between the points at which its span was taken, it may reach a hair further


def _head(level: Tensor) -> Tensor:
    """1 inside the head, 0 outside, smooth between: where the neighbourhood is bright on average."""
    width = 2 * (max(level.shape) // 24) + 1
    mean = level[None, None]
    for kernel in ((width, 1), (1, width)):
        padding = (kernel[0] // 2, kernel[1] // 2)
        mean = torch.nn.functional.avg_pool2d(mean, kernel, 1, padding, count_include_pad=False)
    return _smooth_step(mean[0, 0], _OUTSIDE, _INSIDE)


def _smooth_step(value: Tensor, low: float, high: float) -> Tensor:
    share = ((value - low) / (high - low)).clamp(0, 1)
    return share * share * (3 - 2 * share)
