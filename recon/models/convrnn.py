"""The ConvRNN family: PC-RNN, OUCR and every ablation of both papers are one module, configured.

A ConvRNN module G runs one encoder, one residual block and one decoder for a number of iterations, with a hidden state:

    h⁽ᵏ⁺¹⁾ = res(h⁽ᵏ⁾) + enc(x⁽ᵏ⁾),   x⁽ᵏ⁺¹⁾ = σ(dec(h⁽ᵏ⁺¹⁾)),   h⁽⁰⁾ = 0

σ is hard data consistency. PC-RNN chains modules whose hidden state lives at 1/4, 1/2 and full resolution; OUCR
chains an overcomplete (×4) and an undercomplete (1/4) one. A final CNN fuses all module outputs.

References
----------
Chen et al., Pyramid Convolutional RNN for MRI Image Reconstruction, IEEE TMI 2022, eq. 11-13.
Guo et al., Over-and-Under Complete Convolutional RNN for MRI Reconstruction, MICCAI 2021, eq. 4-5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from recon.errors import ModelError
from recon.fourier import centre_crop, pad_to_multiple
from recon.models.blocks import (
    N_AT_ONCE,
    MaxPool,
    ReconstructionModel,
    Refine,
    ResidualConvolutions,
    apply_padded,
    check_coils,
    in_turns,
    is_training,
    silence,
    to_channels,
    to_complex,
)
from recon.shapes import Bool, Complex, Float
from recon.stage import Stage, module_names

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

# The hidden state of a module, for each group of batch entries that are computed together; None stands for zero.
_Hidden = list[Tensor | None] | None

_KINDS = ("4x", "2x", "1x", "oc", "uc")
# Strides of the encoder's two convolutions; the decoder mirrors them.
_STRIDES: dict[str, tuple[int, int]] = {"4x": (2, 2), "2x": (1, 2), "1x": (1, 1)}


@dataclass(frozen=True)
class ConvRNNParameters:
    """Configuration of the family.

    Attributes
    ----------
    modules
        Kinds in order: ``4x``, ``2x``, ``1x`` (PC-RNN) or ``oc``, ``uc`` (OUCR).
    widths
        Channels of each module.
    wiring
        ``series``: each module reads the output of the one before; ``parallel``: each reads the zero-filled image.
    refine_width
        Channels of the final CNN; 0 leaves it out, and the last module's output is the result.
    n_iterations
        Iterations of each module.
    first_iteration
        ``zeros``: res(0) is computed as the equation says; ``skip``: the first hidden state is enc(x) alone.
    hidden_activation
        ``prelu`` puts a one-parameter PReLU on the hidden state, as ReconFormer does; the papers have ``none``.
    decoder_order
        For oc and uc: ``conv_resample`` is the literal figure of OUCR; ``resample_conv`` resamples first, which ends on
        a convolution instead of a max-pool of signed values and needs less memory.
    oc_scale
        Up-sampling of the overcomplete module: 4 in the paper, 2 saves memory.
    refine_last_activation
        ReLU between the last two convolutions of the final CNN.
    checkpointing
        Recompute each iteration in the backward pass instead of storing it.
    """

    modules: tuple[str, ...] = ("4x", "2x", "1x")
    widths: tuple[int, ...] = (128, 64, 32)
    wiring: str = "series"
    refine_width: int = 32
    n_iterations: int = 5
    first_iteration: str = "zeros"
    hidden_activation: str = "none"
    decoder_order: str = "conv_resample"
    oc_scale: int = 4
    refine_last_activation: bool = False
    checkpointing: bool = False

    def __post_init__(self) -> None:
        problems = []
        unknown = [kind for kind in self.modules if kind not in _KINDS]
        if unknown or not self.modules:
            problems.append(f"modules {list(self.modules)} must be one or more of {', '.join(_KINDS)}")
        if len(self.widths) != len(self.modules):
            problems.append(f"{len(self.widths)} widths do not match {len(self.modules)} modules")
        if min((*self.widths, self.n_iterations)) < 1 or self.refine_width < 0:
            problems.append("widths and n_iterations must be at least 1, refine_width at least 0")
        if self.oc_scale not in (2, 4):
            problems.append(f"oc_scale is {self.oc_scale}, choose 2 or 4")
        for name, allowed in (
            ("wiring", ("series", "parallel")),
            ("first_iteration", ("zeros", "skip")),
            ("hidden_activation", ("none", "prelu")),
            ("decoder_order", ("conv_resample", "resample_conv")),
        ):
            if getattr(self, name) not in allowed:
                problems.append(f"{name} is {getattr(self, name)!r}, choose {' or '.join(allowed)}")
        if problems:
            raise ModelError(f"the ConvRNN configuration is wrong: {'; '.join(problems)}.")


class ConvRNN(ReconstructionModel):
    """PC-RNN, OUCR and their ablations.

    Parameters
    ----------
    n_coils
        Coils in and out; each is two real channels.
    parameters
        The configuration.
    """

    n_at_once = N_AT_ONCE

    def __init__(self, n_coils: int, parameters: ConvRNNParameters) -> None:
        super().__init__()
        self.n_coils = n_coils
        self.parameters_ = parameters
        channels = 2 * n_coils
        self.convrnn = nn.ModuleList(
            _Recurrence(kind, channels, width, parameters)
            for kind, width in zip(parameters.modules, parameters.widths, strict=True)
        )
        self.refine = (
            Refine(
                len(parameters.modules) * channels,
                parameters.refine_width,
                channels,
                last_activation=parameters.refine_last_activation,
            )
            if parameters.refine_width
            else None
        )
        self.names = module_names(parameters.modules)

    @property
    def n_stages(self) -> int:
        return len(self.convrnn) * self.parameters_.n_iterations + 1

    def start_training(self) -> None:
        """Silence the decoders, the residual branches and the final CNN: every stage begins as the zero-filled image.

        Begun with random output, a module first learns to be silent, and Adam makes its whole stack of layers work on
        that at full rate. The wide 4x module of PC-RNN then loses its ReLUs in the first hundred steps and never wakes.
        """
        for recurrence in self.convrnn:
            assert isinstance(recurrence, _Recurrence)
            for block in (recurrence.decoder, *recurrence.residual.branches):
                silence(block)
        if self.refine is not None:
            silence(self.refine)

    @property
    def values_per_pixel(self) -> float:
        # The hidden state, what is added to it and the two maps of a residual convolution; where the hidden grid is
        # coarse, the first convolution's output on the finer one instead.
        maps = {"4x": 2.0, "2x": 2.5, "1x": 4.0, "oc": 5.0, "uc": 1.75}
        return max(*self._maps(maps), 2.0 * self.parameters_.refine_width)

    @property
    def state_per_pixel(self) -> float:
        # The hidden state of the module that is at work.
        return max(self._maps({"4x": 0.25, "2x": 0.25, "1x": 1.0, "oc": 1.0, "uc": 0.0625}))

    def _maps(self, n_maps: Mapping[str, float]) -> list[float]:
        """Values per pixel of so many maps of each module, on the grid that they are counted on."""
        parameters = self.parameters_
        areas = {"4x": 1 / 4, "2x": 1, "1x": 1, "oc": parameters.oc_scale**2, "uc": 1}
        modules = zip(parameters.modules, parameters.widths, strict=True)
        return [n_maps[kind] * areas[kind] * width for kind, width in modules]

    @property
    def lighter_setting(self) -> str:
        heavy = "oc" in self.parameters_.modules and self.parameters_.oc_scale == 4
        return "oucr-xs, or weights trained with oc_scale = 2" if heavy else ""

    def stages(
        self,
        zero_filled: Complex[Tensor, "batch coil y x"],
        kspace: Complex[Tensor, "batch coil y x"],
        mask: Bool[Tensor, "*mask"],
        maps: Complex[Tensor, "batch coil y x"] | None = None,  # noqa: ARG002  no maps in this family
    ) -> Generator[Stage, None, None]:
        """Yield every iteration of every module, then the fused image; see `ReconstructionModel.stages`.

        The image size is free: the regulariser pads inside, data consistency stays on the measured grid.
        """
        check_coils(self, zero_filled)
        parameters = self.parameters_
        consistency = self.hard_consistency(kspace, mask)
        outputs: list[Tensor] = []
        total = self.n_stages
        done = 0
        for recurrence, name in zip(self.convrnn, self.names, strict=True):
            image = zero_filled if parameters.wiring == "parallel" or not outputs else outputs[-1]
            hidden: _Hidden = None
            for iteration in range(1, parameters.n_iterations + 1):
                hidden, image = self._iterate(recurrence, hidden, image, consistency)
                done += 1
                if iteration < parameters.n_iterations:
                    yield Stage(name, (name, iteration), image, progress=done / total)
            outputs.append(image)
            yield Stage(name, (name, parameters.n_iterations), image, progress=done / total)
        if self.refine is not None:
            channels = torch.cat([to_channels(output) for output in outputs], dim=1)
            image = consistency(to_complex(apply_padded(self.refine, channels, 4, self.dtype)))
        yield Stage("final", ("final",), image, is_final=True, progress=1.0)

    def _iterate(
        self, recurrence: nn.Module, hidden: _Hidden, image: Tensor, consistency: Callable[[Tensor], Tensor]
    ) -> tuple[_Hidden, Tensor]:
        def step(image: Tensor, hidden: _Hidden) -> tuple[_Hidden, Tensor]:
            new: list[Tensor | None] = []
            outputs: list[Tensor] = []
            for number, some in enumerate(in_turns(image, recurrence)):
                channels, size = self._enter(to_channels(some))
                state, channels = recurrence(channels, None if hidden is None else hidden[number])
                if hidden is not None and not is_training(recurrence):
                    hidden[number] = None  # on a fine grid, holding the old states and the new ones is too much
                new.append(state)
                outputs.append(to_complex(centre_crop(channels, size)))
            return new, consistency(outputs[0] if len(outputs) == 1 else torch.cat(outputs))

        if self.parameters_.checkpointing and torch.is_grad_enabled():
            result: tuple[_Hidden, Tensor] = checkpoint(step, image, hidden, use_reentrant=False)
            return result
        return step(image, hidden)

    def _enter(self, channels: Float[Tensor, "batch channel y x"]) -> tuple[Tensor, tuple[int, int]]:
        size = (channels.shape[-2], channels.shape[-1])
        padded = pad_to_multiple(channels, 4)
        # channels_last is what makes bfloat16 pay on CPUs; the weights say which precision is wanted.
        return padded.to(dtype=self.dtype, memory_format=torch.channels_last), size


class _Recurrence(nn.Module):
    """One ConvRNN module without its data consistency."""

    def __init__(self, kind: str, channels: int, width: int, parameters: ConvRNNParameters) -> None:
        super().__init__()
        self.skip_first = parameters.first_iteration == "skip"
        self.width = width
        if kind in _STRIDES:
            self.encoder, self.decoder = _strided_coder(channels, width, _STRIDES[kind])
        else:
            factors = (2, 2) if kind == "uc" or parameters.oc_scale == 4 else (2, 1)
            self.encoder, self.decoder = _resampling_coder(kind, channels, width, factors, parameters.decoder_order)
        self.residual = ResidualConvolutions(width)
        self.activation: nn.Module = nn.PReLU() if parameters.hidden_activation == "prelu" else nn.Identity()

    def forward(
        self, channels: Float[Tensor, "batch channel y x"], hidden: Tensor | None
    ) -> tuple[Tensor, Float[Tensor, "batch channel y x"]]:
        encoded = self.encoder(channels)
        # Added into the encoder's output, which nothing else reads.
        if hidden is not None:
            encoded.add_(self.residual(hidden))
        elif not self.skip_first:
            # h = 0, but the biases make res(0) another map.
            encoded.add_(self.residual.of_zeros(encoded))
        hidden = self.activation(encoded)
        return hidden, self.decoder(hidden)


def _strided_coder(channels: int, width: int, strides: tuple[int, int]) -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder of PC-RNN: kernel 4 where a convolution halves or doubles the grid, else 3."""

    def layer(convolution: Callable[..., nn.Module], n_in: int, n_out: int, stride: int) -> nn.Module:
        return convolution(n_in, n_out, 4 if stride == 2 else 3, stride=stride, padding=1)

    first, second = strides
    encoder = nn.Sequential(
        layer(nn.Conv2d, channels, width, first), nn.ReLU(inplace=True), layer(nn.Conv2d, width, width, second)
    )
    decoder = nn.Sequential(
        layer(nn.ConvTranspose2d, width, width, second),
        nn.ReLU(inplace=True),
        layer(nn.ConvTranspose2d, width, channels, first),
    )
    return encoder, decoder


def _resampling_coder(
    kind: str, channels: int, width: int, factors: tuple[int, int], order: str
) -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder of OUCR: 3×3 convolutions with nearest up-sampling or max-pooling."""

    def resample(factor: int, *, up: bool) -> nn.Module:
        if factor == 1:
            return nn.Identity()
        return nn.Upsample(scale_factor=factor, mode="nearest") if up else MaxPool()

    def convolve(n_in: int, n_out: int) -> nn.Module:
        return nn.Conv2d(n_in, n_out, 3, padding=1)

    over = kind == "oc"
    first, second = factors
    encoder = nn.Sequential(
        convolve(channels, width),
        resample(first, up=over),
        nn.ReLU(inplace=True),
        convolve(width, width),
        resample(second, up=over),
    )
    blocks: Sequence[tuple[nn.Module, nn.Module]] = [
        (convolve(width, width), resample(second, up=not over)),
        (convolve(width, channels), resample(first, up=not over)),
    ]
    layers: list[nn.Module] = []
    for index, (convolution, resampling) in enumerate(blocks):
        layers += [convolution, resampling] if order == "conv_resample" else [resampling, convolution]
        if index == 0:
            layers.append(nn.ReLU(inplace=True))
    return encoder, nn.Sequential(*layers)
