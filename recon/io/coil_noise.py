"""Noise samples stored with a scan: whether pre-whitening can use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recon.errors import RequestError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Samples of a coil that are read: the covariance is then known to a percent.
MAX_SAMPLES = 16384


def problem_of(values: NDArray[np.complex64]) -> str | None:
    """Return why noise samples ``(coil, sample)`` do not determine the covariance of the coils; None where they do.

    A scan can be reconstructed without its noise, so what is unusable is left out and said, not raised.
    """
    n_bad = int((~np.isfinite(values)).sum())
    if n_bad:
        return f"{n_bad} of its {values.size} samples are NaN or infinite."
    # Only files with noise wait for torch.
    import torch

    from recon.noise import whitening

    try:
        whitening(torch.from_numpy(values), len(values))
    except RequestError as error:
        return str(error)
    return None
