"""What networks share: the border between complex images and real channels, and the interface of a model."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from recon.shapes import Bool, Complex, Float

if TYPE_CHECKING:
    from collections.abc import Generator

    from recon.stage import Stage


def to_channels(image: Complex[Tensor, "batch coil y x"]) -> Float[Tensor, "batch channel y x"]:
    """Lay coil images out as real channels: all real parts, then all imaginary parts."""
    return torch.cat([image.real, image.imag], dim=1)


def to_complex(channels: Float[Tensor, "batch channel y x"]) -> Complex[Tensor, "batch coil y x"]:
    """Undo `to_channels`; half-precision channels become complex64."""
    real, imaginary = channels.float().chunk(2, dim=1)
    return torch.complex(real.contiguous(), imaginary.contiguous())


class ReconstructionModel(nn.Module):
    """A method that turns undersampled k-space into coil images, yielding its intermediate images on the way.

    A subclass writes `stages`; `forward` only exhausts it, so there is no second code path.
    """

    @abstractmethod
    def stages(
        self,
        zero_filled: Complex[Tensor, "batch coil y x"],
        kspace: Complex[Tensor, "batch coil y x"],
        mask: Bool[Tensor, "*mask"],
        maps: Complex[Tensor, "batch coil y x"] | None = None,
    ) -> Generator[Stage, None, None]:
        """Yield a `Stage` for each intermediate image; the last one has ``is_final``.

        Neither sets nor expects a grad or inference mode: who consumes the stream does.
        """

    def forward(
        self,
        zero_filled: Complex[Tensor, "batch coil y x"],
        kspace: Complex[Tensor, "batch coil y x"],
        mask: Bool[Tensor, "*mask"],
        maps: Complex[Tensor, "batch coil y x"] | None = None,
    ) -> Complex[Tensor, "batch coil y x"]:
        """Return the final coil images."""
        image: Tensor = zero_filled
        for stage in self.stages(zero_filled, kspace, mask, maps):
            image = stage.image
        return image

    def constrain(self) -> None:
        """Bring the parameters back to where the method allows them; training calls it after every step."""

    @property
    def n_stages(self) -> int:
        """How many stages a slice yields, for progress."""
        return 1

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights; activations are brought to it at the border."""
        return next(self.parameters()).dtype

    @property
    def n_parameters(self) -> int:
        """Number of trainable values."""
        return sum(parameter.numel() for parameter in self.parameters())


def soften(block: nn.Module, factor: float = 0.1) -> None:
    """Scale the last convolution of a block down, so that the block starts with a small output."""
    last = [layer for layer in block.modules() if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))][-1]
    with torch.no_grad():
        for parameter in last.parameters():
            parameter.mul_(factor)


class ResidualConvolutions(nn.Module):
    """Residual convolutions (ResConv): each adds conv3 · ReLU · conv3 of its input."""

    def __init__(self, width: int, n_residual: int = 2) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(width, width, 3, padding=1)
            )
            for _ in range(n_residual)
        )

    def forward(self, hidden: Float[Tensor, "batch width y x"]) -> Float[Tensor, "batch width y x"]:
        for branch in self.branches:
            hidden = hidden + branch(hidden)
        return hidden


class Refine(nn.Module):
    """The final CNN (PC-RNN's f, OUCR's RM): four convolutions on the concatenated module outputs."""

    def __init__(self, n_input: int, width: int, n_output: int, *, last_activation: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(n_input, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(inplace=True) if last_activation else nn.Identity(),
            nn.Conv2d(width, n_output, 3, padding=1),
        )

    def forward(self, channels: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch out y x"]:
        result: Tensor = self.layers(channels)
        return result
