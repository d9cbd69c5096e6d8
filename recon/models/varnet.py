"""E2E-VarNet: gradient steps in k-space, a U-Net as the regulariser of each, and coil sensitivities that it learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from recon.errors import ModelError
from recon.fourier import ifft1c, ifft2c
from recon.models.blocks import ReconstructionModel, Scalar, apply_padded, silence
from recon.models.requirements import centre_is_missing
from recon.models.unet import UNet, undo_z_score, z_score
from recon.operator import transformed_axes
from recon.shapes import Bool, Complex
from recon.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

# Keeps the division by the root-sum-of-squares finite, and its gradient, where no coil sees anything.
_TINY = 1e-20


@dataclass(frozen=True)
class VarNetParameters:
    """Configuration of E2E-VarNet.

    Attributes
    ----------
    n_cascades
        Gradient steps, each with a U-Net of its own.
    width, n_pools
        Channels of the first level of those U-Nets, and levels below it.
    sensitivity_width, sensitivity_n_pools
        The same of the U-Net that makes the sensitivity maps.
    checkpointing
        Recompute each U-Net in the backward pass instead of storing its activations.
    """

    n_cascades: int = 12
    width: int = 18
    n_pools: int = 4
    sensitivity_width: int = 8
    sensitivity_n_pools: int = 4
    checkpointing: bool = False

    def __post_init__(self) -> None:
        names = ("n_cascades", "width", "n_pools", "sensitivity_width", "sensitivity_n_pools")
        wrong = [f"{name} is {getattr(self, name)}" for name in names if getattr(self, name) < 1]
        if wrong:
            raise ModelError(f"the VarNet configuration is wrong: {', '.join(wrong)}; at least 1 was expected.")


class VarNet(ReconstructionModel):
    """E2E-VarNet for any number of coils; it estimates its own sensitivity maps from the calibration samples.

    Data consistency: soft, a gradient step with a learned size in k-space, k ← k − η·D(k − y) − F(S·U(Sᴴ F⁻¹k)).

    Parameters
    ----------
    n_coils
        Coils that it is trained on; no parameter depends on it.
    parameters
        The configuration.

    References
    ----------
    Sriram et al., End-to-End Variational Networks for Accelerated MRI Reconstruction, MICCAI 2020, eq. 5-8.
    """

    def __init__(self, n_coils: int, parameters: VarNetParameters) -> None:
        super().__init__()
        self.n_coils = n_coils
        self.parameters_ = parameters
        self.sensitivities = NormalisedUNet(parameters.sensitivity_width, parameters.sensitivity_n_pools)
        self.regularisers = nn.ModuleList(
            NormalisedUNet(parameters.width, parameters.n_pools) for _ in range(parameters.n_cascades)
        )
        self.step_sizes = nn.ModuleList(Scalar(1.0) for _ in range(parameters.n_cascades))

    def start_training(self) -> None:
        """Begin with the images of the calibration samples as maps, and with silent U-Nets as regularisers.

        Maps that are drawn have nothing to do with the phase of the coils: what they combine cancels, and the U-Nets
        would learn on that until the maps have been found. A silent one takes away the mean of its image, no more.
        Measured on the compact network after 400 steps: 28.6 dB, 27.9 dB with drawn maps, 27.3 dB with all drawn.
        """
        self.sensitivities.network.start_as_identity()
        for regulariser in self.regularisers:
            silence(regulariser)

    @property
    def n_stages(self) -> int:
        return self.parameters_.n_cascades + 1

    @property
    def values_per_pixel(self) -> float:
        parameters = self.parameters_
        return UNet.VALUES_PER_WIDTH * max(parameters.width, parameters.sensitivity_width)

    def stages(
        self,
        zero_filled: Complex[Tensor, "batch coil y x"],  # noqa: ARG002  k-space says it all
        kspace: Complex[Tensor, "batch coil y x"],
        mask: Bool[Tensor, "*mask"],
        maps: Complex[Tensor, "batch coil y x"] | None = None,
    ) -> Generator[Stage, None, None]:
        """Yield the coil images after every cascade; see `ReconstructionModel.stages`.

        Raises
        ------
        RequestError
            If the centre of k-space was not sampled.
        """
        maps = self.estimate_maps(kspace, mask)
        # A line mask depends on x alone: the transform along y cancels. Data shifted once spares a shift of all coils
        # in every cascade; only the combined image is shifted.
        dim = transformed_axes(mask)
        measured = torch.fft.ifftshift(ifft1c(kspace, dim=-2) if dim == (-1,) else kspace, dim=dim)
        mask = torch.fft.ifftshift(mask, dim=dim)
        maps = torch.fft.ifftshift(maps, dim=dim)
        spectrum = measured
        coil_images = _transform(torch.fft.ifftn, spectrum, dim)
        image = kspace
        for number, (regulariser, step_size) in enumerate(zip(self.regularisers, self.step_sizes, strict=True), 1):
            combined = torch.fft.fftshift((maps.conj() * coil_images).sum(1, keepdim=True), dim=dim)
            change = torch.fft.ifftshift(self._regularise(regulariser, combined), dim=dim)
            residual = torch.where(mask, spectrum - measured, 0)
            spectrum = spectrum - step_size() * residual - _transform(torch.fft.fftn, maps * change, dim)
            coil_images = _transform(torch.fft.ifftn, spectrum, dim)
            image = torch.fft.fftshift(coil_images, dim=dim)
            yield Stage("cascade", ("cascade", number), image, progress=number / self.n_stages)
        yield Stage("final", ("final",), image, is_final=True, progress=1.0)

    def estimate_maps(
        self, kspace: Complex[Tensor, "batch coil y x"], mask: Bool[Tensor, "*mask"]
    ) -> Complex[Tensor, "batch coil y x"]:
        """Return sensitivity maps whose squares sum to one over the coils.

        Raises
        ------
        RequestError
            If the centre of k-space was not sampled.
        """
        coil_images = ifft2c(kspace * calibration_samples(mask))
        # Coil by coil, each an image of its own: on a CPU the maps of one coil stay in the cache.
        at_once = 1 if kspace.device.type == "cpu" else coil_images.shape[1]
        maps = torch.cat(
            [self._regularise(self.sensitivities, group) for group in torch.split(coil_images, at_once, dim=1)], dim=1
        )
        energy = (maps.real.square() + maps.imag.square()).sum(1, keepdim=True)
        return maps * torch.rsqrt(energy + _TINY)

    def _regularise(
        self, regulariser: nn.Module, images: Complex[Tensor, "batch image y x"]
    ) -> Complex[Tensor, "batch image y x"]:
        each = images.reshape(-1, 1, *images.shape[-2:])
        if self.parameters_.checkpointing and torch.is_grad_enabled():
            output: Tensor = checkpoint(regulariser, each, use_reentrant=False)
        else:
            output = regulariser(each)
        return output.reshape(images.shape)


class NormalisedUNet(nn.Module):
    """fastMRI's NormUnet: a complex image in and out, z-scored before the U-Net and brought back after it."""

    def __init__(self, width: int, n_pools: int) -> None:
        super().__init__()
        self.network = UNet(2, 2, width, n_pools)
        self.multiple = 2**n_pools

    def forward(self, image: Complex[Tensor, "batch one y x"]) -> Complex[Tensor, "batch one y x"]:
        image, mean, deviation = z_score(image)
        # Interleaved real and imaginary parts are the channels-last layout: the border costs no copy.
        channels = torch.view_as_real(image[:, 0]).permute(0, 3, 1, 2)
        smallest = self.network.smallest_side
        multiple = self.multiple if min(image.shape[-2:]) > self.multiple else smallest
        dtype = self.network.last.weight.dtype
        output = apply_padded(self.network, channels, multiple, dtype).float()
        output = torch.view_as_complex(output.permute(0, 2, 3, 1).contiguous())[:, None]
        return undo_z_score(output, mean, deviation)


def calibration_samples(mask: Bool[Tensor, "*mask"]) -> Bool[Tensor, "*mask"]:
    """Return the fully sampled samples around the centre of k-space, in the shape of the mask.

    Of a line mask, the lines around the centre column up to the first gap; of a point mask, the largest centred square
    that has no gap.

    Raises
    ------
    RequestError
        If the centre was not sampled.
    """
    rows, columns = (mask.shape[-2] if mask.ndim > 1 else 1), mask.shape[-1]
    if not bool(mask[..., rows // 2, columns // 2].all() if mask.ndim > 1 else mask[columns // 2]):
        raise centre_is_missing()
    if transformed_axes(mask) == (-1,) or bool((mask == mask[..., :1, :]).all()):
        left = mask[..., : columns // 2].flip(-1).long().cumprod(-1).flip(-1)
        right = mask[..., columns // 2 :].long().cumprod(-1)
        return torch.cat([left, right], dim=-1).bool()
    from_row, from_column = ((torch.arange(size, device=mask.device) - size // 2).abs() for size in (rows, columns))
    distance = torch.maximum(from_row[:, None], from_column).expand(mask.shape)
    nearest_gap = torch.where(mask, max(rows, columns), distance).amin(dim=(-2, -1), keepdim=True)
    return distance < nearest_gap


def _transform(
    transform: Callable[..., Tensor], values: Complex[Tensor, "*batch y x"], dim: tuple[int, ...]
) -> Complex[Tensor, "*batch y x"]:
    with torch.autocast(values.device.type, enabled=False):
        result: Tensor = transform(values, dim=dim, norm="ortho")
    return result
