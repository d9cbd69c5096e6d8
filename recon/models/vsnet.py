"""VS-Net: variable splitting unrolled, a CNN, a data step and a weighted average in every stage.

    z = x + CNNₜ(x)
    s = Σ S̄·F⁻¹[(1−D)·F(S x) + D·(αₜ·F(S x) + (1−αₜ)·y)]
    x ← βₜ·z + (1−βₜ)·s

Since F⁻¹F is the identity, s = Σ|S|²·x + (1−αₜ)·(Aᴴy − AᴴA x): one normal operator a stage, with transforms along x
alone where the mask is made of lines.

References
----------
Duan et al., VS-Net: Variable splitting network for accelerated parallel MRI reconstruction, MICCAI 2019; the order of
the steps, and α and β without bounds, are those of the authors' published code.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor, nn

from recon.coils import combine
from recon.errors import ModelError
from recon.models.blocks import (
    ReconstructionModel,
    Scalar,
    apply_padded,
    check_maps,
    convolution_chain,
    recompute,
    silence,
    to_channels,
    to_complex,
)
from recon.operator import Encoding
from recon.shapes import Bool, Complex
from recon.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Generator


@dataclass(frozen=True)
class VSNetParameters:
    """Configuration of VS-Net.

    Attributes
    ----------
    width
        Channels of the CNNs.
    n_cascades
        Stages, each with weights of its own.
    n_layers
        Convolutions of a CNN.
    initial_weight
        Where α and β begin.
    checkpointing
        Recompute each stage in the backward pass instead of storing it.
    """

    width: int = 108
    n_cascades: int = 5
    n_layers: int = 5
    initial_weight: float = 0.1
    checkpointing: bool = False

    def __post_init__(self) -> None:
        if min(self.width, self.n_cascades, self.n_layers) < 1:
            raise ModelError("the VS-Net configuration is wrong: width, n_cascades and n_layers must be at least 1.")


class VSNet(ReconstructionModel):
    """VS-Net on the coil-combined image.

    Data consistency: a learned weighted average with the data, sensitivity-based; measured samples are not kept.

    Parameters
    ----------
    n_coils
        Coils that it is trained on; no parameter depends on it.
    parameters
        The configuration.
    """

    def __init__(self, n_coils: int, parameters: VSNetParameters) -> None:
        super().__init__()
        self.n_coils = n_coils
        self.parameters_ = parameters
        self.cascades = nn.ModuleList(_Cascade(parameters) for _ in range(parameters.n_cascades))

    def start_training(self) -> None:
        """Silence the CNNs: a training begins with the data alone."""
        for network in self.cascades:
            silence(network)

    @property
    def n_stages(self) -> int:
        return len(self.cascades) + 1

    def stages(
        self,
        zero_filled: Complex[Tensor, "batch coil y x"],
        kspace: Complex[Tensor, "batch coil y x"],
        mask: Bool[Tensor, "*mask"],
        maps: Complex[Tensor, "batch coil y x"] | None = None,
    ) -> Generator[Stage, None, None]:
        """Yield the combined image ``(batch, 1, y, x)`` after every stage; see `ReconstructionModel.stages`.

        Raises
        ------
        ModelError
            If there are no maps.
        """
        maps = check_maps(maps, "VS-Net")
        encoding = Encoding(mask, maps)
        measured = encoding.adjoint(kspace)
        energy = (maps.real.square() + maps.imag.square()).sum(1)
        image = combine(zero_filled, maps)
        for number, cascade in enumerate(self.cascades, 1):
            step = partial(cascade, encoding=encoding, measured=measured, energy=energy)
            image = recompute(step, image, enabled=self.parameters_.checkpointing)
            yield Stage("stage", ("stage", number), image[:, None], progress=number / self.n_stages)
        yield Stage("final", ("final",), image[:, None], is_final=True, progress=1.0)


class _Cascade(nn.Module):
    """One stage."""

    def __init__(self, parameters: VSNetParameters) -> None:
        super().__init__()
        self.network = convolution_chain(2, parameters.width, 2, parameters.n_layers, partial(nn.ReLU, inplace=True))
        self.alpha = Scalar(parameters.initial_weight)
        self.beta = Scalar(parameters.initial_weight)

    def forward(
        self, image: Complex[Tensor, "batch y x"], encoding: Encoding, measured: Tensor, energy: Tensor
    ) -> Complex[Tensor, "batch y x"]:
        channels = to_channels(image[:, None])
        change = to_complex(apply_padded(self.network, channels, 1, next(self.network.parameters()).dtype))[:, 0]
        consistent = energy * image + (1 - self.alpha()) * (measured - encoding.normal(image))
        beta = self.beta()
        result: Tensor = beta * (image + change) + (1 - beta) * consistent
        return result
