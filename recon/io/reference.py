"""The reference of fully sampled k-space that brings none: its own image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NOTE = "The reference is computed from the full k-space (root sum of squares{}); the file stores none{}."


def note(noise: NDArray[np.complex64] | None, *, is_stored: bool = False) -> str:
    """Say what a computed reference is of: a stored one beside noise is of other coils than those that are compared."""
    if noise is None:
        return _NOTE.format("", "")
    return _NOTE.format(" of the pre-whitened coils", " of these" if is_stored else "")


def computed(
    kspace: NDArray[np.complex64], size: tuple[int, int], noise: NDArray[np.complex64] | None = None
) -> NDArray[np.float32]:
    """Return the root sum of squares of the coil images, float32 ``(y, x)``.

    Parameters
    ----------
    kspace
        complex64 ``(coil, y, x)``, centred.
    size
        ``(y, x)`` of the centre that is wanted.
    noise
        Samples ``(coil, sample)`` that pre-whiten the coils, as the pipeline does before it reconstructs them: what is
        compared is made of the same coils. None leaves them as they are.
    """
    import torch

    from recon.data import centre_crop
    from recon.fourier import ifft2c
    from recon.noise import whiten

    if noise is not None:
        kspace = whiten(torch.from_numpy(kspace), torch.from_numpy(noise)).numpy()
    # Coil by coil, so that a slice needs no second copy of itself. The float64 sum cannot overflow.
    total = np.zeros(kspace.shape[1:], np.float64)
    for coil in kspace:
        total += np.abs(ifft2c(torch.from_numpy(coil)).numpy()).astype(np.float64) ** 2
    return centre_crop(np.sqrt(total), size).astype(np.float32)
