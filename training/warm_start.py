"""Begin a network from the weights of a relative with another number of coils or slightly other widths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from recon.models.blocks import ReconstructionModel


def copy_overlap(source: ReconstructionModel, target: ReconstructionModel) -> float:
    """Copy what two networks of one family share into the target; the rest of it stays as it was initialised.

    Along an axis of hidden channels the first ones are shared. Along an axis of image channels (all real parts, then
    all imaginary parts, once for each image that is concatenated) the first coils are: after compression they hold
    most of the signal. Channels that the source lacks begin unheard by those that it has: a wider network of the same
    layers starts as the source's function, and its new channels, drawn at random, learn what to add.

    Parameters
    ----------
    source
        The trained network.
    target
        The network to begin.

    Returns
    -------
    Share of the target's values that were copied.

    References
    ----------
    Chen et al., Net2Net: Accelerating Learning via Knowledge Transfer, ICLR 2016.
    """
    coils = (int(source.n_coils), int(target.n_coils))
    known = source.state_dict()
    copied = total = 0
    with torch.no_grad():
        for name, tensor in target.state_dict().items():
            total += tensor.numel()
            if name not in known or known[name].ndim != tensor.ndim:
                continue
            axes = [_shared(have, want, coils) for have, want in zip(known[name].shape, tensor.shape, strict=True)]
            here = torch.meshgrid(*(to for _, to in axes), indexing="ij")
            there = torch.meshgrid(*(since for since, _ in axes), indexing="ij")
            _silence_new_inputs(target, name, tensor, [to for _, to in axes])
            tensor[here] = known[name][there]
            copied += here[0].numel() if here else 0
    return copied / total


def _silence_new_inputs(target: ReconstructionModel, name: str, tensor: Tensor, shared: list[Tensor]) -> None:
    """Clear all inputs of the shared outputs of a convolution; what is shared is copied afterwards."""
    layer = target.get_submodule(name.rpartition(".")[0])
    if name.endswith(".weight") and isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        outputs = 0 if isinstance(layer, nn.Conv2d) else 1
        tensor.index_fill_(outputs, shared[outputs].to(tensor.device), 0)


def _shared(have: int, want: int, coils: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the indices along one axis that correspond, in the source and in the target."""
    n_images = have // (2 * coils[0])
    if coils[0] != coils[1] and have == n_images * 2 * coils[0] and want == n_images * 2 * coils[1]:
        common = min(coils)
        parts = torch.arange(2 * n_images)[:, None]  # real and imaginary part of each image
        within = torch.arange(common)[None]
        return (parts * coils[0] + within).flatten(), (parts * coils[1] + within).flatten()
    first = torch.arange(min(have, want))
    return first, first
