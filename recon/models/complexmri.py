"""DeepComplexMRI: a cascade of CNNs whose convolutions multiply complex numbers.

    x ← σ(x + CNNₜ(x)),   t = 1 … 10

References
----------
Wang et al., DeepcomplexMRI: Exploiting deep residual network for fast parallel MR imaging with complex convolution,
Magnetic Resonance Imaging 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recon.errors import ModelError
from recon.models.blocks import (
    N_AT_ONCE,
    ReconstructionModel,
    apply_padded,
    check_coils,
    recompute,
    to_channels,
    to_complex,
)
from recon.shapes import Bool, Complex, Float
from recon.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Generator


@dataclass(frozen=True)
class ComplexMRIParameters:
    """Configuration of the cascade.

    Attributes
    ----------
    width
        Complex channels of the CNNs.
    n_blocks
        CNNs, each with weights of its own.
    n_layers
        Complex convolutions of a CNN.
    checkpointing
        Recompute each block in the backward pass instead of storing it.
    """

    width: int = 53
    n_blocks: int = 10
    n_layers: int = 5
    checkpointing: bool = False

    def __post_init__(self) -> None:
        if min(self.width, self.n_blocks, self.n_layers) < 1:
            raise ModelError("the ComplexMRI configuration is wrong: width, n_blocks and n_layers must be at least 1.")


class ComplexMRI(ReconstructionModel):
    """The complex cascade on coil images.

    Data consistency: hard replacement after every block, coil by coil.

    Parameters
    ----------
    n_coils
        Coils in and out; each is one complex channel.
    parameters
        The configuration.
    """

    n_at_once = N_AT_ONCE

    def __init__(self, n_coils: int, parameters: ComplexMRIParameters) -> None:
        super().__init__()
        self.n_coils = n_coils
        self.parameters_ = parameters
        self.blocks = nn.ModuleList(_block(n_coils, parameters) for _ in range(parameters.n_blocks))

    def start_training(self) -> None:
        """Silence the CNNs: every block begins as the zero-filled image."""
        for block in self.blocks:
            *_, last = block.children()
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    @property
    def n_stages(self) -> int:
        return len(self.blocks) + 1

    @property
    def values_per_pixel(self) -> float:
        return 3.0 * 2 * max(self.parameters_.width, self.n_coils)

    def stages(
        self,
        zero_filled: Complex[Tensor, "batch coil y x"],
        kspace: Complex[Tensor, "batch coil y x"],
        mask: Bool[Tensor, "*mask"],
        maps: Complex[Tensor, "batch coil y x"] | None = None,  # noqa: ARG002  coil by coil
    ) -> Generator[Stage, None, None]:
        """Yield the image after every block; see `ReconstructionModel.stages`."""
        check_coils(self, zero_filled)
        consistency = self.hard_consistency(kspace, mask)

        def step(network: nn.Module, image: Tensor) -> Tensor:
            change = apply_padded(network, to_channels(image), 1, self.dtype)
            return consistency(image + to_complex(change))

        image = zero_filled
        for number, network in enumerate(self.blocks, 1):
            image = recompute(partial(step, network), image, enabled=self.parameters_.checkpointing)
            yield Stage("block", ("block", number), image, progress=number / self.n_stages)
        yield Stage("final", ("final",), image, is_final=True, progress=1.0)


class ComplexConvolution(nn.Module):
    """A 3×3 convolution of complex channels, laid out as all real parts, then all imaginary parts.

    One real convolution with the kernels [[Re, −Im], [Im, Re]] does it: the same products as four small ones, and no
    copies between them.

    Parameters
    ----------
    n_input, n_output
        Complex channels.
    """

    def __init__(self, n_input: int, n_output: int) -> None:
        super().__init__()
        # As nn.Conv2d begins: what counts are the real channels that a sum runs over.
        bound = 1 / math.sqrt(2 * n_input * 9)
        self.real = nn.Parameter(torch.empty(n_output, n_input, 3, 3).uniform_(-bound, bound))
        self.imaginary = nn.Parameter(torch.empty(n_output, n_input, 3, 3).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(2, n_output).uniform_(-bound, bound))

    def forward(self, channels: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch out y x"]:
        kernels = torch.cat(
            [torch.cat([self.real, -self.imaginary], dim=1), torch.cat([self.imaginary, self.real], dim=1)]
        )
        return F.conv2d(channels, kernels, self.bias.flatten(), padding=1)


def _block(n_coils: int, parameters: ComplexMRIParameters) -> nn.Sequential:
    layers: list[nn.Module] = []
    n_input = n_coils
    for _ in range(parameters.n_layers - 1):
        layers += [ComplexConvolution(n_input, parameters.width), nn.ReLU(inplace=True)]
        n_input = parameters.width
    return nn.Sequential(*layers, ComplexConvolution(n_input, n_coils))
