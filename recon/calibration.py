"""The fully sampled centre of k-space, from which methods learn the coils. Needs no torch: a window can ask."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from recon.errors import RequestError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Side of the calibration block in PC-RNN's comparison: 8 % of 320 columns.
N_CALIBRATION = 26
# Fewer lines than this say too little about the coils: on real scans maps from 4 are worth 4 dB and more to what uses
# them, maps from 3 can cost as much.
MIN_LINES = 4
# Fewer than this are enough for ESPIRiT alone, and its maps are coarse.
FEW_LINES = 6
# Side of ESPIRiT's smallest kernels for arrays of few coils.
_LEAST_KERNEL = 3
# Side of the kernels of ESPIRiT, which is BART's, where lines are enough for it.
KERNEL = 6


def calibration_block(
    pattern: NDArray[np.bool_], n_calibration: int = N_CALIBRATION, min_lines: int = MIN_LINES
) -> tuple[slice, slice]:
    """Return rows and columns of the largest fully sampled rectangle around the centre.

    Its sides are at most ``n_calibration``. An odd side on an even axis has no centre: it starts where BART's does or,
    as fastMRI's masks do, one later.

    Parameters
    ----------
    pattern
        ``(y, x)``, what was sampled.
    n_calibration
        Longest side.
    min_lines
        Shortest side that is of use.

    Raises
    ------
    RequestError
        If there is no rectangle of use.
    """
    n_rows, n_columns = pattern.shape
    best = (slice(0), slice(0))
    found = (0, 0)
    width = min(n_calibration, n_columns)
    for height in range(1, min(n_calibration, n_rows) + 1):
        block = None
        while width and block is None:
            places = itertools.product(_centred(height, n_rows), _centred(width, n_columns))
            block = next((place for place in places if bool(pattern[place].all())), None)
            width -= block is None
        if block is None:
            break
        # The shorter side decides how well the maps are known.
        if (min(height, width), height * width) > (min(found), found[0] * found[1]):
            best, found = block, (height, width)
    if min(found) < min_lines:
        raise RequestError(
            f"sensitivity maps need at least {min_lines} fully sampled lines through the centre of k-space, found "
            f"{min(found) or 'none'}; choose a method without maps or, where the scan is not undersampled already, a "
            "mask with a larger centre fraction."
        )
    return best


def calibration_kernel(block: tuple[int, int], n_coils: int) -> int:
    """Return the side of ESPIRiT's kernels for a calibration block of some rows and columns.

    With few lines, a smaller kernel loses less of the object: a large one sees few patches, and what they do not show
    counts as empty. Of many coils, each patch is one of many unknowns.
    """
    n_lines = min(block)
    kernel = min(max(2 * n_lines // 5, _LEAST_KERNEL), KERNEL)
    n_patches = (block[0] - kernel + 1) * (block[1] - kernel + 1)
    return kernel - 1 if n_lines < FEW_LINES and n_coils * kernel**2 > 2 * n_patches else kernel


def _centred(length: int, size: int) -> list[slice]:
    return [slice(first, first + length) for first in sorted({(size - length) // 2, size // 2 - length // 2})]
