"""A rectangle of voxels, the same in all images, and what is measured in it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Measures(NamedTuple):
    """What is measured of an image in a region, in the unit of the data.

    Attributes
    ----------
    mean, deviation
        Mean and standard deviation of the voxels (of the sample: n − 1); NaN where there are too few.
    snr
        Mean divided by standard deviation; NaN of phases, which have none.
    error
        Root of the mean squared difference from the reference; NaN without one.
    """

    mean: float
    deviation: float
    snr: float
    error: float


class Region(NamedTuple):
    """Voxels of an array ``(y, x)``: from `left` and `top`, up to and without `right` and `bottom`."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def between(cls, first: tuple[int, int], second: tuple[int, int]) -> Region:
        """Return the region with two voxels (x, y) in opposite corners."""
        (x0, x1), (y0, y1) = (sorted(pair) for pair in zip(first, second, strict=True))
        return cls(x0, y0, x1 + 1, y1 + 1)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in voxels."""
        return self.right - self.left, self.bottom - self.top

    def of(self, image: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the voxels of an image that lie in it; of an image that is smaller, fewer."""
        return np.asarray(image[self.top : self.bottom, self.left : self.right], np.float64)

    def measure(
        self, image: NDArray[np.float32], reference: NDArray[np.float32] | None, *, is_phase: bool = False
    ) -> Measures:
        """Measure an image, against a reference of its shape where there is one.

        Phases are angles: their mean is the direction of the mean vector, and differences go the short way round.
        """
        values = self.of(image)
        if not values.size:
            return Measures(math.nan, math.nan, math.nan, math.nan)
        mean = float(np.angle(np.mean(np.exp(1j * values)))) if is_phase else float(values.mean())
        differences = _short_way(values - mean) if is_phase else values - mean
        deviation = math.sqrt(np.sum(differences**2) / (values.size - 1)) if values.size > 1 else math.nan
        snr = mean / deviation if deviation > 0 and not is_phase else math.nan
        error = math.nan
        if reference is not None and reference.shape == image.shape:
            differences = values - self.of(reference)
            error = float(np.sqrt(np.mean((_short_way(differences) if is_phase else differences) ** 2)))
        return Measures(mean, deviation, snr, error)


def _short_way(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.angle(np.exp(1j * angles))
