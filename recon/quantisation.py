"""Weights in eight bits: kernels as signed bytes, with one scale for each of their first axis.

The first axis of a convolution's kernel is its output channels, whose ranges differ; one scale each keeps the error of
a number below 1/254 of the largest of its channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from recon.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_SCALE = ".scale"
_LARGEST = 127
# What is smaller saves nothing: biases, and the shrinkage and step sizes that a stage has a few of.
_FEWEST = 512


def quantise(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors with kernels as bytes, each beside its scales; what is small or no kernel in half precision.

    Parameters
    ----------
    tensors
        State of a model. Kernels have two axes or more; what is no floating-point number stays as it is.

    Raises
    ------
    ModelError
        If a kernel holds numbers that are not finite.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu()
        if not tensor.is_floating_point():
            found[name] = tensor
        elif tensor.ndim < 2 or tensor.numel() < _FEWEST:
            found[name] = tensor.to(torch.float16)
        else:
            if not tensor.isfinite().all():
                raise ModelError(f"the weights {name} are not all finite; they cannot be stored.")
            rows = tensor.float().flatten(1)
            # A channel of zeros has no range, and any scale gives its zeros back.
            scale = rows.abs().amax(1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny * _LARGEST) / _LARGEST
            found[name] = (rows / scale).round().to(torch.int8).view(tensor.shape)
            found[name + _SCALE] = scale.squeeze(1)
    return found


def restore(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what `quantise` was given, to its rounding: bytes times their scales, in single precision.

    Raises
    ------
    ModelError
        If bytes have no scales, or not one for each of their first axis.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.dtype == torch.int8:
            scale = tensors.get(name + _SCALE)
            if scale is None or scale.shape != tensor.shape[:1] or not scale.is_floating_point():
                raise ModelError(f"the weights {name} are stored as bytes without scales that fit; get the file anew.")
            found[name] = tensor * scale.float().view(-1, *[1] * (tensor.ndim - 1))
        elif not (name.endswith(_SCALE) and _is_bytes(tensors.get(name.removesuffix(_SCALE)))):
            found[name] = tensor
    return found


def _is_bytes(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.dtype == torch.int8
