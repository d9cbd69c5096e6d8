"""The variational network: gradient descent on a learned energy, unrolled.

    u ← u − Rₜ(u)/N − λₜ·Aᴴ(A u − y),   t = 1 … 10

R is a field of experts: N complex filters, a learned activation of each response, and the filters transposed.

References
----------
Hammernik et al., Learning a Variational Network for Reconstruction of Accelerated MRI Data, MRM 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from recon.coils import combine
from recon.errors import ModelError
from recon.models.blocks import ReconstructionModel, Scalar, check_maps, recompute, to_channels, to_complex
from recon.models.experts import fields_of_experts, tabulate
from recon.operator import Encoding
from recon.shapes import Bool, Complex, Float
from recon.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Generator

# Slope of the activations at the beginning, as weights of the Gaussians.
_INITIAL_WEIGHT = 0.04


@dataclass(frozen=True)
class VariationalNetworkParameters:
    """Configuration of the variational network.

    Attributes
    ----------
    n_filters
        Complex filters of a stage.
    kernel_size
        Side of a filter, odd.
    n_functions
        Gaussians that make up an activation.
    n_steps
        Gradient steps, each with parameters of its own.
    checkpointing
        Recompute each step as a whole in the backward pass. The filter responses, which are nearly all, never are
        stored.
    """

    n_filters: int = 480
    kernel_size: int = 11
    n_functions: int = 31
    n_steps: int = 10
    checkpointing: bool = False

    def __post_init__(self) -> None:
        problems = []
        if min(self.n_filters, self.n_steps) < 1:
            problems.append("n_filters and n_steps must be at least 1")
        if self.n_functions < 2:
            problems.append(f"n_functions is {self.n_functions}, at least 2 are needed")
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            problems.append(f"kernel_size is {self.kernel_size}, it must be odd")
        if problems:
            raise ModelError(f"the configuration of the variational network is wrong: {'; '.join(problems)}.")


class VariationalNetwork(ReconstructionModel):
    """The variational network on the coil-combined image, which comes scaled to a maximum of one.

    Data consistency: a gradient step of learned size, sensitivity-based; measured samples are not kept.

    Parameters
    ----------
    n_coils
        Coils that it is trained on; no parameter depends on it.
    parameters
        The configuration.
    """

    def __init__(self, n_coils: int, parameters: VariationalNetworkParameters) -> None:
        super().__init__()
        self.n_coils = n_coils
        self.parameters_ = parameters
        self.steps = nn.ModuleList(_Step(parameters) for _ in range(parameters.n_steps))
        self.constrain()

    def constrain(self) -> None:
        """Project: filters have zero mean, over real and imaginary part together, and a norm of at most 1; λ ≥ 0."""
        for step in self.steps:
            assert isinstance(step, _Step)
            step.constrain()

    @property
    def n_stages(self) -> int:
        return len(self.steps) + 1

    @property
    def values_per_pixel(self) -> float:
        # Responses are worked on some rows at a time: few on a CPU, on a GPU enough to fill it.
        return float(self.parameters_.n_filters)

    def stages(
        self,
        zero_filled: Complex[Tensor, "batch coil y x"],
        kspace: Complex[Tensor, "batch coil y x"],
        mask: Bool[Tensor, "*mask"],
        maps: Complex[Tensor, "batch coil y x"] | None = None,
    ) -> Generator[Stage, None, None]:
        """Yield the combined image ``(batch, 1, y, x)`` after every step; see `ReconstructionModel.stages`.

        Raises
        ------
        ModelError
            If there are no maps.
        """
        maps = check_maps(maps, "the variational network")
        encoding = Encoding(mask, maps)
        measured = encoding.adjoint(kspace)
        image = combine(zero_filled, maps)
        for number, module in enumerate(self.steps, 1):
            step = partial(module, encoding=encoding, measured=measured)
            image = recompute(step, image, enabled=self.parameters_.checkpointing)
            yield Stage("stage", ("stage", number), image[:, None], progress=number / self.n_stages)
        yield Stage("final", ("final",), image[:, None], is_final=True, progress=1.0)


class _Step(nn.Module):
    """One gradient step."""

    def __init__(self, parameters: VariationalNetworkParameters) -> None:
        super().__init__()
        n_filters, side, n_functions = parameters.n_filters, parameters.kernel_size, parameters.n_functions
        # Real and imaginary part of a filter are the two input channels of a real one.
        self.kernels = nn.Parameter(torch.randn(n_filters, 2, side, side) / (2 * side**2) ** 0.5)
        self.weights = nn.Parameter(_INITIAL_WEIGHT * torch.linspace(-1, 1, n_functions).repeat(n_filters, 1))
        self.step_size = Scalar(1.0)

    def forward(
        self, image: Complex[Tensor, "batch y x"], encoding: Encoding, measured: Complex[Tensor, "batch y x"]
    ) -> Complex[Tensor, "batch y x"]:
        gradient = encoding.normal(image) - measured
        regularisation = to_complex(self.regularise(to_channels(image[:, None])))[:, 0]
        result: Tensor = image - regularisation - self.step_size() * gradient
        return result

    def regularise(self, channels: Float[Tensor, "batch two y x"]) -> Float[Tensor, "batch two y x"]:
        """Return R(u)/N; the image continues as its mirror image beyond its edges."""
        device = channels.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else self.kernels.dtype
        padded = mirror(channels, self.kernels.shape[-1] - 1)
        return fields_of_experts(padded, self.kernels, tabulate(self.weights), dtype) / len(self.kernels)

    @torch.no_grad()
    def constrain(self) -> None:
        dims = (1, 2, 3)
        self.kernels.sub_(self.kernels.mean(dim=dims, keepdim=True))
        self.kernels.div_(torch.linalg.vector_norm(self.kernels, dim=dims, keepdim=True).clamp_min(1))
        self.step_size.value.clamp_(min=0)


def mirror(image: Float[Tensor, "*batch y x"], border: int) -> Float[Tensor, "*batch y2 x2"]:
    """Continue an image beyond its edges by its mirror image, edge pixels included; a border of any width."""
    for axis in (-2, -1):
        size = image.shape[axis]
        position = torch.arange(-border, size + border, device=image.device) % (2 * size)
        image = image.index_select(axis, torch.where(position < size, position, 2 * size - 1 - position))
    return image
