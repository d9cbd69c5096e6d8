"""Kiu-Net: a U-Net and an overcomplete Ki-Net side by side, which tell each other what they see on every level."""

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
    to_channels,
    to_complex,
)
from recon.shapes import Bool, Complex, Float
from recon.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Generator

_N_LEVELS = 3


@dataclass(frozen=True)
class KiUNetParameters:
    """Configuration of Kiu-Net.

    Attributes
    ----------
    widths
        Channels of the three levels of the U branch, on 1/2, 1/4 and 1/8 of the image's grid.
    ki_width
        Channels of the Ki branch, whose levels are 2, 4 and 8 times finer than the image.
    ki_levels
        Levels of the Ki branch, 1 to 3. Each takes four times the memory of the one before.
    """

    widths: tuple[int, ...] = (128, 256, 560)
    ki_width: int = 16
    ki_levels: int = 3

    def __post_init__(self) -> None:
        problems = []
        if len(self.widths) != _N_LEVELS or min(self.widths) < 2 or self.ki_width < 2:
            problems.append(f"widths must be {_N_LEVELS} numbers, and they and ki_width at least 2")
        if not 1 <= self.ki_levels <= _N_LEVELS:
            problems.append(f"ki_levels is {self.ki_levels}, choose 1, 2 or 3")
        if problems:
            raise ModelError(f"the Kiu-Net configuration is wrong: {'; '.join(problems)}.")


class KiUNet(ReconstructionModel):
    """Kiu-Net at a size that runs: the Ki branch is narrow, the U branch has two convolutions a level.

    The ReLU at the output of the original is left out, because real and imaginary parts have signs.
    Data consistency: hard replacement at the end.

    Parameters
    ----------
    n_coils
        Coils in and out; each is two real channels.
    parameters
        The configuration.

    References
    ----------
    Valanarasu et al., KiU-Net, MICCAI 2020, as compared with in Guo et al., OUCR, MICCAI 2021, table 1.
    """

    n_at_once = N_AT_ONCE

    def __init__(self, n_coils: int, parameters: KiUNetParameters) -> None:
        super().__init__()
        self.n_coils = n_coils
        self.parameters_ = parameters
        channels, (first, second, third), ki = 2 * n_coils, parameters.widths, parameters.ki_width
        n_ki = parameters.ki_levels
        u_levels = ((channels, first), (first, second), (second, third))
        u_rises = ((first, first // 2), (second, first), (third, second))
        ki_levels = ((channels, ki), (ki, ki), (ki, ki))[:n_ki]
        ki_falls = ((ki, ki // 2), (ki, ki), (ki, ki))[:n_ki]
        # Lists count levels from the image's grid outwards, decoders too: entry 0 is the last to run.
        self.u_encoder = nn.ModuleList(_Block(n_in, n_out, n_convolutions=2) for n_in, n_out in u_levels)
        self.u_decoder = nn.ModuleList(_Block(n_in, n_out, n_convolutions=2) for n_in, n_out in u_rises)
        self.ki_encoder = nn.ModuleList(_Block(n_in, n_out) for n_in, n_out in ki_levels)
        self.ki_decoder = nn.ModuleList(_Block(n_in, n_out) for n_in, n_out in ki_falls)
        self.encoder_exchange = nn.ModuleList(
            _Exchange(width, ki, 4 ** (level + 1)) for level, width in enumerate(parameters.widths[:n_ki])
        )
        # After the decoder's steps from level 3 to 2 and from 2 to 1; at full resolution both branches are added.
        self.decoder_exchange = nn.ModuleList(
            _Exchange(width, ki, 4 ** (level + 1)) for level, width in enumerate(parameters.widths[: n_ki - 1])
        )
        self.fuse = nn.Conv2d(ki // 2, first // 2, 1, bias=False)
        self.last = nn.Conv2d(first // 2, channels, 1)

    def stages(
        self,
        zero_filled: Complex[Tensor, "batch coil y x"],
        kspace: Complex[Tensor, "batch coil y x"],
        mask: Bool[Tensor, "*mask"],
        maps: Complex[Tensor, "batch coil y x"] | None = None,  # noqa: ARG002  no maps in this family
    ) -> Generator[Stage, None, None]:
        """Yield the output as the only stage; see `ReconstructionModel.stages`."""
        check_coils(self, zero_filled)
        output = apply_padded(self._regularise, to_channels(zero_filled), 2**_N_LEVELS, self.dtype)
        image = self.hard_consistency(kspace, mask)(to_complex(output))
        yield Stage("final", ("final",), image, is_final=True, progress=1.0)

    @property
    def values_per_pixel(self) -> float:
        # On the finest grid of the Ki branch: a map and what is made of it; then the skips and the U branch.
        parameters = self.parameters_
        finest = float(parameters.ki_width * 4**parameters.ki_levels)
        return 2.5 * finest + 2.5 * parameters.widths[0]

    @property
    def lighter_setting(self) -> str:
        levels = self.parameters_.ki_levels
        return f"kiunet with ki_levels = {levels - 1}" if levels > 1 else ""

    def _regularise(self, channels: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch channel y x"]:
        n_ki = self.parameters_.ki_levels
        u = ki = channels
        u_skips: list[Tensor] = []
        ki_skips: list[Tensor] = []
        for level, encode in enumerate(self.u_encoder):
            u = encode(u, "pool")
            if level < n_ki:
                ki = self.ki_encoder[level](ki, "up")
                u, ki = self.encoder_exchange[level](u, ki)
            u_skips.append(u)
            ki_skips.append(ki)
        for level in reversed(range(_N_LEVELS)):
            # The deepest maps are no skips; taken off, they can be freed as soon as the decoder has read them.
            u_skips.pop()
            ki_skips.pop()
            u = self.u_decoder[level](u, "up")
            if level < n_ki:
                ki = self.ki_decoder[level](ki, "pool")
                if level > 0:
                    u, ki = self.decoder_exchange[level - 1](u, ki)
                    ki = _sum(ki, ki_skips[-1])
            if level > 0:
                u = _sum(u, u_skips[-1])
        result: Tensor = self.last(_sum(u, self.fuse(ki)))
        return result


class _Block(nn.Module):
    """3×3 convolutions with ReLU between them, a change of the grid by two, batch norm and ReLU."""

    def __init__(self, n_in: int, n_out: int, n_convolutions: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(n_in, n_out, 3, padding=1) if n_convolutions == 2 else None
        self.last = nn.Conv2d(n_in if self.first is None else n_out, n_out, 3, padding=1)
        self.norm = BatchNorm(n_out)

    def forward(self, channels: Float[Tensor, "batch in y x"], change: str) -> Float[Tensor, "batch out y2 x2"]:
        if self.first is not None:
            channels = F.relu(self.first(channels), inplace=True)
        if change == "pool":
            return F.relu(self.norm(max_pool(self.last(channels))), inplace=True)
        if self.training:
            return F.relu(self.norm(_up(self.last(channels), 2)), inplace=True)
        # The weights of an interpolation sum to one, so a fixed scale and shift may come before it: on a quarter of the
        # pixels, and for nothing in the convolution.
        weight, bias = self.norm.fold(self.last)
        return F.relu(_up(F.conv2d(channels, weight, bias, padding=1), 2), inplace=True)


class _Exchange(nn.Module):
    """Cross-residual fusion: each branch adds what the other makes of it, brought to its own grid."""

    def __init__(self, u_width: int, ki_width: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.to_u = nn.Conv2d(ki_width, u_width, 3, padding=1)
        self.to_u_norm = BatchNorm(u_width)
        self.to_ki = nn.Conv2d(u_width, ki_width, 3, padding=1)
        self.to_ki_norm = BatchNorm(ki_width)

    def forward(
        self, u: Float[Tensor, "batch width y x"], ki: Float[Tensor, "batch ki_width y2 x2"]
    ) -> tuple[Tensor, Tensor]:
        for_u = self._for_u(ki)
        for_ki = _up(F.relu(self.to_ki_norm(self.to_ki(u)), inplace=True), self.factor)
        return _sum(u, for_u), _sum(ki, for_ki)

    def _for_u(self, ki: Float[Tensor, "batch ki_width y2 x2"]) -> Float[Tensor, "batch width y x"]:
        """Convolve, normalise, activate and reduce the Ki map, computing nothing that the reduction would drop.

        Bilinear reduction by an even factor is the mean of the 2 × 2 pixels in the middle of each tile, and they depend
        on the 4 × 4 around them: the convolution to the wide branch never runs on the fine grid. In training, the batch
        norm's statistics are those of the pixels that count.
        """
        batch, width, n_rows, n_columns = ki.shape
        factor, middle = self.factor, slice(self.factor // 2 - 2, self.factor // 2 + 2)
        tiles = ki.view(batch, width, n_rows // factor, factor, n_columns // factor, factor)[:, :, :, middle, :, middle]
        tiles = tiles.reshape(batch, width, 4 * n_rows // factor, 4 * n_columns // factor)
        if self.training:
            corners = [self._corner(tiles, self.to_u.weight, self.to_u.bias, index) for index in range(4)]
            corners = list(self.to_u_norm(torch.cat(corners)).chunk(4))
        else:
            weight, bias = self.to_u_norm.fold(self.to_u)
            corners = [self._corner(tiles, weight, bias, index) for index in range(4)]
        first, *others = (F.relu(corner) for corner in corners)
        for other in others:
            first = _sum(first, other)
        return first / 4

    def _corner(self, tiles: Tensor, weight: Tensor, bias: Tensor | None, index: int) -> Tensor:
        row, column = divmod(index, 2)
        return F.conv2d(tiles[..., row:, column:], weight, bias, stride=4)


def _up(channels: Float[Tensor, "batch channel y x"], factor: int) -> Float[Tensor, "batch channel y2 x2"]:
    return F.interpolate(channels, scale_factor=factor, mode="bilinear", align_corners=False)


def _sum(one: Tensor, other: Tensor) -> Tensor:
    """Add; in inference into the first, for the maps of the fine grids are large."""
    if one.requires_grad or other.requires_grad:
        return one + other
    return one.add_(other)
