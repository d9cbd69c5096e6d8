"""D5C5: a deep cascade of plain CNNs, each followed by data consistency.

    x ← σ(x + CNNₜ(x)),   t = 1 … 5

References
----------
Schlemper et al., A Deep Cascade of Convolutional Neural Networks for Dynamic MR Image Reconstruction, IEEE TMI 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from recon.errors import ModelError
from recon.models.blocks import (
    N_AT_ONCE,
    ReconstructionModel,
    apply_padded,
    check_coils,
    convolution_chain,
    recompute,
    silence,
    to_channels,
    to_complex,
)
from recon.operator import SoftDataConsistency
from recon.shapes import Bool, Complex
from recon.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Generator


@dataclass(frozen=True)
class D5C5Parameters:
    """Configuration of the cascade.

    Attributes
    ----------
    width
        Channels of the CNNs.
    n_cascades
        CNNs, each with weights of its own.
    n_layers
        Convolutions of a CNN.
    data_consistency
        ``hard`` replaces the measured samples; ``soft`` draws them towards the data, k ← (k + v·y) / (1 + v).
    noise_level
        v of the soft form: the larger, the more the data is trusted.
    checkpointing
        Recompute each cascade in the backward pass instead of storing it.
    """

    width: int = 96
    n_cascades: int = 5
    n_layers: int = 5
    data_consistency: Literal["hard", "soft"] = "hard"
    noise_level: float = 10.0
    checkpointing: bool = False

    def __post_init__(self) -> None:
        problems = []
        if min(self.width, self.n_cascades, self.n_layers) < 1:
            problems.append("width, n_cascades and n_layers must be at least 1")
        if self.data_consistency not in ("hard", "soft"):
            problems.append(f"data_consistency is {self.data_consistency!r}, choose hard or soft")
        if not 0 < self.noise_level < float("inf"):
            problems.append(f"noise_level is {self.noise_level}, it must be above 0 and finite")
        if problems:
            raise ModelError(f"the D5C5 configuration is wrong: {'; '.join(problems)}.")


class D5C5(ReconstructionModel):
    """The deep cascade on coil images.

    Data consistency: hard replacement after every cascade, coil by coil; soft on request.

    Parameters
    ----------
    n_coils
        Coils in and out; each is two real channels.
    parameters
        The configuration.
    """

    n_at_once = N_AT_ONCE

    def __init__(self, n_coils: int, parameters: D5C5Parameters) -> None:
        super().__init__()
        self.n_coils = n_coils
        self.parameters_ = parameters
        channels = 2 * n_coils
        self.cascades = nn.ModuleList(
            convolution_chain(
                channels, parameters.width, channels, parameters.n_layers, partial(nn.LeakyReLU, 0.01, inplace=True)
            )
            for _ in range(parameters.n_cascades)
        )

    def start_training(self) -> None:
        """Silence the CNNs: every cascade begins as the zero-filled image."""
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
        maps: Complex[Tensor, "batch coil y x"] | None = None,  # noqa: ARG002  coil by coil
    ) -> Generator[Stage, None, None]:
        """Yield the image after every cascade; see `ReconstructionModel.stages`."""
        check_coils(self, zero_filled)
        parameters = self.parameters_
        consistency = (
            self.hard_consistency(kspace, mask)
            if parameters.data_consistency == "hard"
            else SoftDataConsistency(kspace, mask, parameters.noise_level)
        )

        def step(network: nn.Module, image: Tensor) -> Tensor:
            change = apply_padded(network, to_channels(image), 1, self.dtype)
            return consistency(image + to_complex(change))

        image = zero_filled
        for number, network in enumerate(self.cascades, 1):
            image = recompute(partial(step, network), image, enabled=parameters.checkpointing)
            yield Stage("cascade", ("cascade", number), image, progress=number / self.n_stages)
        yield Stage("final", ("final",), image, is_final=True, progress=1.0)
