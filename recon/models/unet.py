"""U-Nets: fastMRI's, which PC-RNN compares with, and OUCR's, a classic one with data consistency at its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recon.errors import ModelError
from recon.models.blocks import (
    N_AT_ONCE,
    BatchNorm,
    ReconstructionModel,
    apply_padded,
    check_coils,
    max_pool,
    pass_on,
    to_channels,
    to_complex,
)
from recon.shapes import Bool, Complex, Float
from recon.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

_SLOPE = 0.2
_EPSILON = 1e-5
# Fewer channels than this do not fill the vector units of a batch norm in channels-last layout.
_NARROW = 32
# Of a map that is squared for its statistics: what stays in the cache.
_VALUES_AT_ONCE = 2**18


@dataclass(frozen=True)
class FastMRIUNetParameters:
    """Configuration of fastMRI's U-Net on complex coil images.

    Attributes
    ----------
    width
        Channels of the first level; each level doubles them.
    n_pools
        Levels below the first.
    dropout
        Share of channels that training drops.
    z_score
        Bring real and imaginary parts to mean 0 and standard deviation 1 before the network and back after it, which
        frees a network of instance norms from guessing the brightness of a slice.
    data_consistency
        Replace the measured samples at the end. PC-RNN's paper mentions none for its U-Net.
    """

    width: int = 12
    n_pools: int = 4
    dropout: float = 0.0
    z_score: bool = True
    data_consistency: bool = False

    def __post_init__(self) -> None:
        problems = []
        if self.width < 1 or self.n_pools < 1:
            problems.append("width and n_pools must be at least 1")
        if not 0 <= self.dropout < 1:
            problems.append(f"dropout is {self.dropout}, choose from 0 to less than 1")
        if problems:
            raise ModelError(f"the U-Net configuration is wrong: {'; '.join(problems)}.")


@dataclass(frozen=True)
class OUCRUNetParameters:
    """Configuration of OUCR's U-Net.

    Attributes
    ----------
    width
        Channels of the first level; each level doubles them.
    n_levels
        Levels, the first included.
    """

    width: int = 32
    n_levels: int = 5

    def __post_init__(self) -> None:
        if self.width < 1 or self.n_levels < 2:
            raise ModelError("the U-Net configuration is wrong: width must be at least 1 and n_levels at least 2.")


class FastMRIUNet(ReconstructionModel):
    """fastMRI's U-Net, complex coil images in and out.

    The image comes scaled by the pipeline. fastMRI's clamp to ±6 is left out: it was made for magnitudes, and would cut
    bright pixels off for good here. Data consistency: none, or hard replacement at the end.

    Parameters
    ----------
    n_coils
        Coils in and out; each is two real channels.
    parameters
        The configuration.

    References
    ----------
    Zbontar et al., fastMRI, arXiv 1811.08839; at 12 channels in Chen et al., PC-RNN, IEEE TMI 2022, table I.
    """

    n_at_once = N_AT_ONCE

    def __init__(self, n_coils: int, parameters: FastMRIUNetParameters) -> None:
        super().__init__()
        self.n_coils = n_coils
        self.parameters_ = parameters
        self.network = UNet(2 * n_coils, 2 * n_coils, parameters.width, parameters.n_pools, parameters.dropout)

    def start_training(self) -> None:
        """Begin as the zero-filled image: there is no residual path, and no data consistency that would bring it back.

        With several coils it begins as drawn: an instance norm makes all of them equally bright.
        """
        if self.n_coils == 1 and self.parameters_.z_score:
            self.network.start_as_identity()

    def stages(
        self,
        zero_filled: Complex[Tensor, "batch coil y x"],
        kspace: Complex[Tensor, "batch coil y x"],
        mask: Bool[Tensor, "*mask"],
        maps: Complex[Tensor, "batch coil y x"] | None = None,  # noqa: ARG002  no maps in this family
    ) -> Generator[Stage, None, None]:
        """Yield the output as the only stage; see `ReconstructionModel.stages`."""
        check_coils(self, zero_filled)
        # Odd sizes are the network's own business; only an image too small to halve so often is padded.
        multiple = 1 if min(zero_filled.shape[-2:]) >= self.network.smallest_side else self.network.smallest_side
        image, mean, deviation = z_score(zero_filled) if self.parameters_.z_score else (zero_filled, None, None)
        image = to_complex(apply_padded(self.network, to_channels(image), multiple, self.dtype))
        if mean is not None and deviation is not None:
            image = undo_z_score(image, mean, deviation)
        if self.parameters_.data_consistency:
            image = self.hard_consistency(kspace, mask)(image)
        yield Stage("final", ("final",), image, is_final=True, progress=1.0)

    @property
    def values_per_pixel(self) -> float:
        return UNet.VALUES_PER_WIDTH * self.parameters_.width + 4 * self.n_coils


class OUCRUNet(ReconstructionModel):
    """The U-Net that OUCR compares with: batch norms, nearest up-sampling, and data consistency at the end.

    Data consistency: hard replacement.

    Parameters
    ----------
    n_coils
        Coils in and out; each is two real channels.
    parameters
        The configuration.

    References
    ----------
    Ronneberger et al., U-Net, MICCAI 2015, as modified in Guo et al., OUCR, MICCAI 2021, table 1.
    """

    n_at_once = N_AT_ONCE

    def __init__(self, n_coils: int, parameters: OUCRUNetParameters) -> None:
        super().__init__()
        self.n_coils = n_coils
        self.parameters_ = parameters
        widths = [parameters.width * 2**level for level in range(parameters.n_levels)]
        self.encoder = nn.ModuleList(
            _norm_pair(n_in, n_out) for n_in, n_out in zip([2 * n_coils, *widths], widths, strict=False)
        )
        rising = [(widths[level], widths[level - 1]) for level in range(parameters.n_levels - 1, 0, -1)]
        self.up = nn.ModuleList(ConvolutionNorm(n_in, n_out) for n_in, n_out in rising)
        self.decoder = nn.ModuleList(_norm_pair(n_in, n_out) for n_in, n_out in rising)
        self.last = nn.Conv2d(widths[0], 2 * n_coils, 1)

    def stages(
        self,
        zero_filled: Complex[Tensor, "batch coil y x"],
        kspace: Complex[Tensor, "batch coil y x"],
        mask: Bool[Tensor, "*mask"],
        maps: Complex[Tensor, "batch coil y x"] | None = None,  # noqa: ARG002  no maps in this family
    ) -> Generator[Stage, None, None]:
        """Yield the output as the only stage; see `ReconstructionModel.stages`."""
        check_coils(self, zero_filled)
        output = apply_padded(self._regularise, to_channels(zero_filled), 2 ** len(self.up), self.dtype)
        image = self.hard_consistency(kspace, mask)(to_complex(output))
        yield Stage("final", ("final",), image, is_final=True, progress=1.0)

    @property
    def values_per_pixel(self) -> float:
        return UNet.VALUES_PER_WIDTH * self.parameters_.width + 4 * self.n_coils

    def _regularise(self, channels: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch channel y x"]:
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            channels = block(channels if level == 0 else max_pool(channels))
            skips.append(channels)
        skips.pop()
        for up, block in zip(self.up, self.decoder, strict=True):
            channels = up(F.interpolate(channels, scale_factor=2, mode="nearest"))
            channels = block(torch.cat([skips.pop(), channels], dim=1))
        result: Tensor = self.last(channels)
        return result


class ConvolutionNorm(nn.Module):
    """A 3×3 convolution without bias, batch norm and ReLU; in inference mostly one convolution and the ReLU."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.norm = BatchNorm(n_out)

    def forward(self, channels: Float[Tensor, "batch in y x"]) -> Float[Tensor, "batch out y x"]:
        # On a small grid there are fewer pixels to scale than weights.
        n_outputs = self.convolution.out_channels * channels.shape[-2] * channels.shape[-1]
        if self.training or n_outputs < self.convolution.weight.numel():
            return F.relu(self.norm(self.convolution(channels)), inplace=True)
        weight, bias = self.norm.fold(self.convolution)
        return F.relu(F.conv2d(channels, weight, bias, padding=1), inplace=True)


class UNet(nn.Module):
    """fastMRI's U-Net layers: two 3×3 convolutions a level, instance norms, average pooling, transposed convolutions.

    Parameters
    ----------
    n_in, n_out
        Channels in and out.
    width
        Channels of the first level; each level doubles them.
    n_pools
        Levels below the first.
    dropout
        Share of channels that training drops.

    References
    ----------
    Zbontar et al., fastMRI, arXiv 1811.08839, section 5.2.
    """

    VALUES_PER_WIDTH = 5.0
    """Activations alive at the peak, per pixel and channel of the first level: the skip, the pair that is joined, what
    a convolution reads and makes."""

    def __init__(self, n_in: int, n_out: int, width: int, n_pools: int, dropout: float = 0.0) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(n_pools + 1)]
        # Instance norms need more than one pixel on the lowest level.
        self.smallest_side = 2 ** (n_pools + 1)
        self.encoder = nn.ModuleList(
            _Pair(before, after, dropout) for before, after in zip([n_in, *widths], widths, strict=False)
        )
        rising = [(widths[level], widths[level - 1]) for level in range(n_pools, 0, -1)]
        self.up = nn.ModuleList(nn.ConvTranspose2d(before, after, 2, stride=2, bias=False) for before, after in rising)
        self.decoder = nn.ModuleList(_Pair(before, after, dropout) for before, after in rising)
        self.last = nn.Conv2d(width, n_out, 1)

    def start_as_identity(self) -> None:
        """Pass on what comes in over the first level, if its channels have mean 0 and standard deviation 1.

        So the instance norms leave them as they are. A network narrower than twice its input stays as it is drawn.
        """
        first, last = self.encoder[0], self.decoder[-1]
        assert isinstance(first, _Pair)
        assert isinstance(last, _Pair)
        pass_on([*first.layers, *last.layers, self.last], _SLOPE)

    def forward(self, channels: Float[Tensor, "batch in y x"]) -> Float[Tensor, "batch out y x"]:
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            channels = block(channels if level == 0 else F.avg_pool2d(channels, 2))
            skips.append(channels)
        skips.pop()
        for up, block in zip(self.up, self.decoder, strict=True):
            channels = normalised_activation(up(channels))
            skip = skips.pop()
            missing = (0, skip.shape[-1] - channels.shape[-1], 0, skip.shape[-2] - channels.shape[-2])
            if any(missing):
                channels = F.pad(channels, missing, mode="reflect")
            channels = block(torch.cat([channels, skip], dim=1))
        result: Tensor = self.last(channels)
        return result


class _Pair(nn.Module):
    """Twice: a 3×3 convolution without bias, instance norm, LeakyReLU, dropout."""

    def __init__(self, n_in: int, n_out: int, dropout: float) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels, n_out, 3, padding=1, bias=False) for channels in (n_in, n_out)
        )
        self.dropout = dropout

    @property
    def layers(self) -> list[nn.Conv2d]:
        return [layer for layer in self.convolutions if isinstance(layer, nn.Conv2d)]

    def forward(self, channels: Float[Tensor, "batch in y x"]) -> Float[Tensor, "batch out y x"]:
        for convolution in self.convolutions:
            channels = normalised_activation(convolution(channels))
            if self.dropout:
                channels = F.dropout2d(channels, self.dropout, self.training)
        return channels


def normalised_activation(channels: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch channel y x"]:
    """Instance norm and LeakyReLU of a convolution's output, which inference may overwrite.

    torch's instance norm leaves the channels-last layout, which costs as much as a narrow convolution. The batch norm
    of a batch of one is the same thing and keeps it; where few channels would leave it slow, `_normalise_rows` helps.
    """
    is_laid_out = channels.is_contiguous(memory_format=torch.channels_last)
    if channels.device.type == "cpu" and channels.shape[1] < _NARROW and is_laid_out and not channels.requires_grad:
        return _normalise_rows(channels)
    each = torch.split(channels, 1) if len(channels) > 1 else (channels,)
    normalised = [F.batch_norm(one, None, None, training=True, eps=_EPSILON) for one in each]
    return F.leaky_relu_(normalised[0] if len(normalised) == 1 else torch.cat(normalised), _SLOPE)


def _normalise_rows(channels: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch channel y x"]:
    """Do it in place, with all channels of an image row as one long axis, along which everything is contiguous."""
    batch, n_channels, n_rows, n_columns = channels.shape
    rows = channels.permute(0, 2, 3, 1).view(batch, n_rows, n_columns * n_channels)

    def per_channel(sums: Tensor) -> Tensor:
        return sums.float().view(batch, n_columns, n_channels).sum(1) / (n_rows * n_columns)

    def for_rows(values: Tensor) -> Tensor:
        return values.to(rows.dtype).repeat(1, n_columns)[:, None]

    rows.sub_(for_rows(per_channel(rows.sum(1))))
    # Some rows at a time: their squares stay in the cache, and no map is allocated.
    n_at_once = max(1, _VALUES_AT_ONCE // (batch * n_columns * n_channels))
    energy = torch.stack([(some * some).sum(1).float() for some in torch.split(rows, n_at_once, dim=1)]).sum(0)
    # The scale is positive, so it may follow the activation.
    F.leaky_relu_(rows, _SLOPE).mul_(for_rows(torch.rsqrt(per_channel(energy) + _EPSILON)))
    return channels


def z_score(
    image: Complex[Tensor, "batch coil y x"],
) -> tuple[Complex[Tensor, "batch coil y x"], Float[Tensor, "batch part"], Float[Tensor, "batch part"]]:
    """Bring the real parts, and the imaginary parts, of each image to mean 0 and standard deviation 1.

    Returns
    -------
    The normalised image, and means and standard deviations of both parts. A part that is constant stays finite.
    """
    batch, n_coils, n_rows, n_columns = image.shape
    rows = torch.view_as_real(image.contiguous()).view(batch, n_coils * n_rows, n_columns * 2)
    n_values = n_coils * n_rows * n_columns

    def per_part(values: Tensor) -> Tensor:
        return values.sum(1).view(batch, n_columns, 2).sum(1)

    mean = per_part(rows) / n_values
    centred = rows - mean.repeat(1, n_columns)[:, None]
    deviation = (per_part(centred * centred) / max(n_values - 1, 1)).sqrt().clamp_min(1e-12)
    normalised = centred / deviation.repeat(1, n_columns)[:, None]
    return torch.view_as_complex(normalised.view(*image.shape, 2)), mean, deviation


def undo_z_score(
    image: Complex[Tensor, "batch coil y x"], mean: Float[Tensor, "batch part"], deviation: Float[Tensor, "batch part"]
) -> Complex[Tensor, "batch coil y x"]:
    """Bring an image back to the means and standard deviations of `z_score`."""
    mean, deviation = (values[:, None, None, None] for values in (mean, deviation))
    return torch.view_as_complex(torch.addcmul(mean, torch.view_as_real(image), deviation))


def _norm_pair(n_in: int, n_out: int) -> nn.Sequential:
    layers: Sequence[nn.Module] = (ConvolutionNorm(n_in, n_out), ConvolutionNorm(n_out, n_out))
    return nn.Sequential(*layers)
