"""What is odd about data that can be reconstructed all the same, and spoils its scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recon import noise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recon.data import KSpaceSlice

# How many times brighter or darker than the k-space a reference may be; a crop takes some of the energy away.
_MOST_UNLIKE = 3.0


def findings(slice_: KSpaceSlice, noise_samples: NDArray[np.complex64] | None = None) -> list[str]:
    """Return what is odd about a slice, in sentences: coils that measured nothing, a reference of another scale.

    The image of all coils is as bright as their k-space (Parseval), so nothing is transformed.

    Parameters
    ----------
    slice_
        The slice.
    noise_samples
        Samples ``(coil, sample)`` that the coils of the reference were pre-whitened with.
    """
    norms = _norms(slice_.kspace)
    dead = torch.nonzero(norms == 0).flatten().tolist()
    found = []
    if dead:
        numbers = ", ".join(map(str, dead))
        found.append(f"{len(dead)} of {len(norms)} coils measured nothing (counted from 0: {numbers}).")
    if slice_.reference is not None and bool(slice_.reference.any()):
        same = norms
        if noise_samples is not None:
            same = _norms(noise.whiten(slice_.kspace, torch.from_numpy(noise_samples)))
        bright = float(torch.linalg.vector_norm(slice_.reference.double()) / torch.linalg.vector_norm(same))
        if not 1 / _MOST_UNLIKE < bright < _MOST_UNLIKE:
            found.append(
                f"the reference is {bright:.3g} times as bright as the image of the k-space: it is of other data or "
                "was scaled, and the scores compare unlike things."
            )
    return found


def _norms(kspace: Tensor) -> Tensor:
    """Norm of each coil, in double precision, which holds the square of any float32."""
    return torch.stack([torch.linalg.vector_norm(torch.view_as_real(coil).double()) for coil in kspace])
