"""The reference of fully sampled k-space that brings none: its own image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOTE = "The reference is computed from the full k-space (root sum of squares); the file stores none."


def computed(kspace: NDArray[np.complex64], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the root sum of squares of the coil images, float32 ``(y, x)``.

    Parameters
    ----------
    kspace
        complex64 ``(coil, y, x)``, centred.
    size
        ``(y, x)`` of the centre that is wanted.
    """
    import torch

    from recon.data import centre_crop
    from recon.fourier import ifft2c

    # Coil by coil, so that a slice needs no second copy of itself. The float64 sum cannot overflow.
    total = np.zeros(kspace.shape[1:], np.float64)
    for coil in kspace:
        total += np.abs(ifft2c(torch.from_numpy(coil)).numpy()).astype(np.float64) ** 2
    return centre_crop(np.sqrt(total), size).astype(np.float32)
