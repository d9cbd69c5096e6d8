"""One training sample, through the pipeline's own `prepare`: a network meets in training what it meets in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recon.calibration import FEW_LINES
from recon.coils import root_sum_of_squares
from recon.fourier import ifft2c
from recon.masks import default_center_fraction
from recon.pipeline import prepare
from recon.shapes import Complex

if TYPE_CHECKING:
    from recon.models.card import ModelCard

_MOST_IN_CENTRE = 0.8
"""Share of the samples; the others are drawn."""


def center_fraction(card: ModelCard, acceleration: float, n_columns: int) -> float | None:
    """Return the centre fraction of the masks that train a method; None leaves it to the acceleration.

    Of a narrow image, the usual share of the centre is too few lines for sensitivity maps.
    """
    if not card.needs_maps:
        return None
    enough = min(FEW_LINES / n_columns, _MOST_IN_CENTRE / acceleration)
    return max(default_center_fraction(acceleration), enough)


def make_sample(
    kspace: Tensor, mask: Tensor, n_virtual: int, card: ModelCard, coil: int | None = None
) -> dict[str, Tensor]:
    """Prepare fully sampled k-space for a network, and make what it has to reach.

    Parameters
    ----------
    kspace
        complex64 ``(coil, y, x)``, fully sampled.
    mask
        bool ``(1, x)`` or ``(y, x)``.
    n_virtual
        Virtual coils.
    card
        The network's preset: whether it takes sensitivity maps, and how it wants its data scaled.
    coil
        The virtual coil that a single-coil network takes of an array, or the next one that has signal; None takes all
        of them together.

    Returns
    -------
    ``zero_filled`` and ``kspace`` complex64 ``(coil, y, x)``, ``mask`` bool ``(1, 1 or y, x)``, ``scale`` (the data was
    divided by it), ``full`` complex64 ``(coil, y, x)``: the network's virtual coils, fully sampled, in the units of the
    network, and ``target`` float32 ``(y, x)``, their magnitude. For methods with sensitivity maps also ``maps``, and
    ``full`` is the one image that is combined with them.
    """
    data = prepare(
        kspace,
        mask,
        n_virtual,
        coil_by_coil=coil is not None,
        maps="espirit" if card.needs_maps else None,
        scale=card.scale,
    )
    if coil is not None:
        coil = _with_signal(data.zero_filled, coil)
    # The target is made of the virtual coils that the network has. One of all coils would carry the noise floor of
    # those that compression removed, and teach the network to add a haze to the background.
    if data.matrix is not None:
        matrix = data.matrix if coil is None else data.matrix[:, coil : coil + 1]
        kspace = torch.einsum("cyx,cv->vyx", kspace, matrix)
    elif coil is not None:
        kspace = kspace[coil : coil + 1]
    entry = coil or 0
    scale = data.scale[entry]
    sample = {
        "zero_filled": data.zero_filled[entry],
        "kspace": data.kspace[entry],
        "mask": mask[None],
        "scale": scale[:, 0, 0],
    }
    full = ifft2c(kspace) / scale
    if data.maps is None:
        return sample | {"full": full, "target": root_sum_of_squares(full, 0)}
    maps = data.maps[entry]
    combined = (maps.conj() * full).sum(0, keepdim=True)
    return sample | {"maps": maps, "full": combined, "target": combined[0].abs()}


def _with_signal(coils: Complex[Tensor, "coil one y x"], first: int) -> int:
    """The first coil from one on that is not dead: a loss of nothing against nothing is not a number."""
    n_coils = len(coils)
    order = ((first + step) % n_coils for step in range(n_coils))
    return next((coil for coil in order if bool(coils[coil].any())), first)
