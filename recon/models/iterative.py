"""What the iterative methods share: their sensitivity maps, when an iterate comes out, images as real numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recon import interruption
from recon.errors import ModelError
from recon.shapes import Complex, Float

if TYPE_CHECKING:
    from collections.abc import Sequence

# Iterates from one stage to the next, and the values of k-space above which it is fewer: whoever watches a large slice
# or closes the stream should not wait for longer.
_EVERY = 5
_VALUES_PER_STAGE = 2**24


def maps_or_ones(
    kspace: Complex[Tensor, "batch coil y x"], maps: Complex[Tensor, "batch coil y x"] | None, name: str
) -> Complex[Tensor, "batch coil y x"]:
    """Return the maps; for one coil without maps, ones.

    Raises
    ------
    ModelError
        If there are several coils and no maps.
    """
    if maps is None and kspace.shape[1] > 1:
        raise ModelError(
            f"{name} needs sensitivity maps for the {kspace.shape[1]} coils of this scan; estimate them with "
            "recon.coils.sensitivity_maps, or reconstruct through recon.reconstruct, which does."
        )
    return torch.ones_like(kspace) if maps is None else maps.detach()


def stage_interval(shape: Sequence[int]) -> int:
    """Return every how many iterations a stage comes out for k-space ``(batch, coil, y, x)``."""
    n_values = 1
    for size in shape:
        n_values *= size
    return max(1, min(_EVERY, _VALUES_PER_STAGE // n_values))


def is_due(iteration: int, interval: int) -> bool:
    """Return True where an iterate should come out: at the interval, and when somebody wishes to stop."""
    return iteration % interval == 0 or interruption.is_asked()


def as_real(image: Complex[Tensor, "batch y x"]) -> Float[Tensor, "batch y columns"]:
    """View a complex image as a real one: two columns, real and imaginary, for each of its own.

    Most operations are faster on real numbers, and some devices have them for those alone.
    """
    return torch.view_as_real(image).flatten(-2)
