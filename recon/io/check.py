"""The last gate between a file and the computation: one slice of k-space, as it must be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recon.errors import SliceError
from recon.io import sampling

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recon.data import Series

# Files that do not say of each slice where it was sampled: a few tell for all, until they are read.
_ASSUMED_ALIKE = ("fastmri", "numpy", "bart")


def check_kspace(array: NDArray[Any], series: Series, index: int) -> NDArray[np.complex64]:
    """Return the k-space of a slice as contiguous complex64 ``(coil, y, x)``.

    Parameters
    ----------
    array
        What the reader of the series delivered.
    series
        Series that the slice belongs to.
    index
        Slice, for the message.

    Raises
    ------
    SliceError
        If the shape is not the series', or the data are real, hold NaN or infinity, are all zero, are so large
        that their image overflows, or were sampled at other places than those of the series.
    """
    array = np.asarray(array)
    expected = (series.n_coils, *series.matrix)
    if array.shape != expected:
        raise SliceError(
            series.path, index, f"has k-space of shape {array.shape}; {expected} (coil, y, x) was expected."
        )
    if array.dtype.kind != "c":
        raise SliceError(series.path, index, f"holds {array.dtype} values; complex k-space was expected.")
    with np.errstate(all="ignore"):  # what overflows is found and named below
        kspace = np.require(array, np.complex64, ["C", "W"])
        values = kspace.view(np.float32).ravel()
        # One pass at the speed of memory clears almost every slice: NaN and infinity survive a sum of squares.
        energy = float(np.dot(values, values))
    if np.isfinite(energy) and energy > 0:
        _check_pattern(kspace, series, index)
        return kspace
    n_bad = kspace.size - int(np.isfinite(kspace).sum())
    if n_bad:
        raise SliceError(
            series.path,
            index,
            f"holds {n_bad} of {kspace.size} samples that are NaN or infinite; finite numbers were expected. Export "
            "the raw data again, or leave this slice out.",
        )
    if not values.any():
        raise SliceError(
            series.path, index, "has k-space that is all zero: nothing was measured. Leave this slice out."
        )
    # An image has no more energy than its k-space (Parseval): what the sum held needs no look at the image.
    if not np.isfinite(energy) and _image_overflows(kspace):
        raise overflow(series, index)
    _check_pattern(kspace, series, index)
    return kspace


def _check_pattern(kspace: NDArray[np.complex64], series: Series, index: int) -> None:
    if series.kind not in _ASSUMED_ALIKE:
        return
    text = sampling.differs(kspace, series.acquired_mask, is_full=series.has_reference)
    if text:
        raise SliceError(
            series.path,
            index,
            f"was sampled at other places than its series: {text}. Save slices of different patterns as files of their "
            "own; if the file brings a mask that is wrong, mend it (1 means sampled).",
        )


def overflow(series: Series, index: int) -> SliceError:
    """Return the error of a slice whose image is beyond single precision."""
    return SliceError(
        series.path,
        index,
        "holds k-space values so large that its image overflows; the file is damaged, or its scale is. Export the raw "
        "data again, or leave this slice out.",
    )


def _image_overflows(kspace: NDArray[np.complex64]) -> bool:
    """Judge as single precision would, which squares the coil images before it adds them."""
    energy = np.zeros(kspace.shape[1:])
    for coil in kspace:
        energy += np.square(np.abs(np.fft.ifft2(coil.astype(np.complex128), norm="ortho")))
    return bool(energy.max() > np.finfo(np.float32).max)
