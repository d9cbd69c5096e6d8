"""KIKI-net: CNNs that work in k-space and in the image by turns.

    k ← Kₜ(k),   x ← σ(F⁻¹k + Iₜ(F⁻¹k)),   k ← F x,   t = 1, 2

References
----------
Eo et al., KIKI-net: cross-domain convolutional neural networks for reconstructing undersampled magnetic resonance
images, MRM 2018. The layout is that of the public implementations: no residual in k-space, the measured samples put
back after every iteration, trained end to end.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor, nn

from recon.errors import ModelError
from recon.fourier import fft2c, ifft2c
from recon.models.blocks import (
    N_AT_ONCE,
    ReconstructionModel,
    apply_padded,
    check_coils,
    convolution_chain,
    pass_on,
    recompute,
    silence,
    to_channels,
    to_complex,
)
from recon.shapes import Bool, Complex
from recon.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Generator

_SLOPE = 0.1


@dataclass(frozen=True)
class KIKINetParameters:
    """Configuration of KIKI-net.

    Attributes
    ----------
    width
        Channels of the CNNs.
    n_iterations
        Pairs of a CNN in k-space and one in the image, each with weights of its own.
    n_layers
        Convolutions of a CNN, the last included.
    last_kernel
        Side of the last convolution's kernel, 1 or 3.
    checkpointing
        Recompute each CNN in the backward pass instead of storing it.
    """

    width: int = 47
    n_iterations: int = 2
    n_layers: int = 17
    last_kernel: int = 1
    checkpointing: bool = False

    def __post_init__(self) -> None:
        problems = []
        if min(self.width, self.n_iterations, self.n_layers) < 1:
            problems.append("width, n_iterations and n_layers must be at least 1")
        if self.last_kernel not in (1, 3):
            problems.append(f"last_kernel is {self.last_kernel}, choose 1 or 3")
        if problems:
            raise ModelError(f"the KIKI-net configuration is wrong: {'; '.join(problems)}.")


class KSpaceNetworks(nn.ModuleList):
    """CNNs that work in k-space, one an iteration.

    Attributes
    ----------
    rate_share
        Their share of the learning rate, in recipes that have a rate by layer. Without a residual path they pass on all
        of k-space, whose peak is a thousand times its rim: a step that is small for an image drowns the rim in what
        leaks from the peak. Measured with 9 layers after 600 steps: 0.5 dB above zero-filled at the full rate, 0.9 dB
        at a tenth, 1.0 dB at a hundredth.
    """

    rate_share = 0.01


class KIKINet(ReconstructionModel):
    """KIKI-net on coil images.

    Data consistency: hard replacement after every iteration, coil by coil. What a k-space CNN puts out has none yet; it
    is a stage all the same.

    Parameters
    ----------
    n_coils
        Coils in and out; each is two real channels.
    parameters
        The configuration.
    """

    n_at_once = N_AT_ONCE

    def __init__(self, n_coils: int, parameters: KIKINetParameters) -> None:
        super().__init__()
        self.n_coils = n_coils
        self.parameters_ = parameters
        numbers = range(parameters.n_iterations)
        self.kspace_networks = KSpaceNetworks(_network(2 * n_coils, parameters) for _ in numbers)
        self.image_networks = nn.ModuleList(_network(2 * n_coils, parameters) for _ in numbers)

    def start_training(self) -> None:
        """Begin every iteration as the zero-filled image.

        The CNNs of the image are silenced. Those of k-space have no residual path: silent, they would leave the others
        nothing to work on and learn nothing themselves, so they begin by passing k-space on, where they are wide enough
        for it (four times the coils).
        """
        for network in self.kspace_networks:
            pass_on([layer for layer in network.modules() if isinstance(layer, nn.Conv2d)], _SLOPE)
        for network in self.image_networks:
            silence(network)

    @property
    def n_stages(self) -> int:
        return 2 * self.parameters_.n_iterations + 1

    def stages(
        self,
        zero_filled: Complex[Tensor, "batch coil y x"],
        kspace: Complex[Tensor, "batch coil y x"],
        mask: Bool[Tensor, "*mask"],
        maps: Complex[Tensor, "batch coil y x"] | None = None,  # noqa: ARG002  coil by coil
    ) -> Generator[Stage, None, None]:
        """Yield the image after every CNN; see `ReconstructionModel.stages`."""
        check_coils(self, zero_filled)
        consistency = self.hard_consistency(kspace, mask)

        def apply(network: nn.Module, values: Tensor) -> Tensor:
            return to_complex(apply_padded(network, to_channels(values), 1, self.dtype))

        image = zero_filled
        pairs = zip(self.kspace_networks, self.image_networks, strict=True)
        for number, (kspace_network, image_network) in enumerate(pairs, 1):
            spectrum = kspace * mask if number == 1 else fft2c(image)
            image = ifft2c(self._run(partial(apply, kspace_network), spectrum))
            yield Stage("K-net", ("K-net", number), image, progress=(2 * number - 1) / self.n_stages)
            image = consistency(image + self._run(partial(apply, image_network), image))
            yield Stage("I-net", ("I-net", number), image, progress=2 * number / self.n_stages)
        yield Stage("final", ("final",), image, is_final=True, progress=1.0)

    def _run(self, network: partial[Tensor], values: Tensor) -> Tensor:
        return recompute(network, values, enabled=self.parameters_.checkpointing)


def _network(channels: int, parameters: KIKINetParameters) -> nn.Sequential:
    network = convolution_chain(
        channels,
        parameters.width,
        channels,
        parameters.n_layers,
        partial(nn.LeakyReLU, _SLOPE, inplace=True),
        last_kernel=parameters.last_kernel,
    )
    # Without a residual path, signal and gradient have to come through seventeen layers undiminished.
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, _SLOPE)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return network
