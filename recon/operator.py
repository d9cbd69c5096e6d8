"""The encoding operator and data consistency: where physics enters every method."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.fourier import fft2c, ifft1c, ifft2c
from recon.shapes import Bool, Complex


class Encoding:
    """The linear map from an image to its undersampled k-space: coil weighting, Fourier transform, sampling.

    A x = D F (S x); without maps S is the identity and x holds one image per coil. Everything can be differentiated.

    Parameters
    ----------
    mask
        Samples that were taken, broadcastable to ``(y, x)``.
    maps
        Coil sensitivities ``(*batch, coil, y, x)``, or None.
    """

    def __init__(self, mask: Bool[Tensor, "*mask"], maps: Complex[Tensor, "*batch coil y x"] | None = None) -> None:
        self.mask = mask
        self.maps = maps
        # A line mask depends on x alone: the transform along y cancels in AᴴA, and the one along x is left.
        self._dim = transformed_axes(mask)
        # Shifted once, so that an application shifts one image and not every coil.
        self._shifted_mask = torch.fft.ifftshift(mask, dim=self._dim)
        self._shifted_maps = None if maps is None else torch.fft.ifftshift(maps, dim=self._dim)

    def forward(self, image: Complex[Tensor, "*batch y x"]) -> Complex[Tensor, "*batch_coil y x"]:
        """Return k-space: ``(*batch, coil, y, x)``, zero where nothing was sampled."""
        coil_images = image if self.maps is None else self.maps * image.unsqueeze(-3)
        return fft2c(coil_images) * self.mask

    def adjoint(self, kspace: Complex[Tensor, "*batch_coil y x"]) -> Complex[Tensor, "*batch y x"]:
        """Return the adjoint applied to k-space: the zero-filled image, combined with the maps if there are any."""
        coil_images = ifft2c(kspace * self.mask)
        return coil_images if self.maps is None else (self.maps.conj() * coil_images).sum(-3)

    def normal(self, image: Complex[Tensor, "*batch y x"]) -> Complex[Tensor, "*batch y x"]:
        """Return AᴴA applied to an image, by transforms along x only where the mask is made of lines.

        The gradient of ½‖A x − y‖² is ``normal(x) - b`` with ``b = adjoint(y)``, which is worth computing once.
        """
        image = torch.fft.ifftshift(image, dim=self._dim)
        coil_images = image if self._shifted_maps is None else self._shifted_maps * image.unsqueeze(-3)
        with torch.autocast(image.device.type, enabled=False):
            spectrum = torch.fft.fftn(coil_images, dim=self._dim, norm="ortho") * self._shifted_mask
            coil_images = torch.fft.ifftn(spectrum, dim=self._dim, norm="ortho")
        if self._shifted_maps is not None:
            coil_images = (self._shifted_maps.conj() * coil_images).sum(-3)
        result: Tensor = torch.fft.fftshift(coil_images, dim=self._dim)
        return result


def transformed_axes(mask: Bool[Tensor, "*mask"]) -> tuple[int, ...]:
    """Return the axes that a transform between image and sampled k-space cannot do without: x alone for lines."""
    return (-1,) if mask.ndim < 2 or mask.shape[-2] == 1 else (-2, -1)


class HardDataConsistency:
    """Replace the samples that were measured: σ(x) = F⁻¹[D·y + (1−D)·F x].

    Made once per slice, applied after every regulariser. A line mask depends on x alone, so the transform along y
    cancels: the measured data is brought to hybrid space (y in image, x in k-space) once, and every application
    costs one Fourier pair along x.

    Parameters
    ----------
    kspace
        Measured k-space ``(*batch, coil, y, x)``.
    mask
        Samples that were taken, broadcastable to k-space.

    References
    ----------
    Chen et al., PC-RNN, IEEE TMI 2022, eq. 11; Guo et al., OUCR, MICCAI 2021, eq. 4.
    """

    def __init__(self, kspace: Complex[Tensor, "*batch coil y x"], mask: Bool[Tensor, "*mask"]) -> None:
        self._dim = transformed_axes(mask)
        # Shifting the data and the mask once spares two shifts in each application.
        data = ifft1c(kspace, dim=-2) if self._dim == (-1,) else kspace
        self._measured = torch.fft.ifftshift(data, dim=self._dim)
        self._mask = torch.fft.ifftshift(mask, dim=self._dim)

    def __call__(self, image: Complex[Tensor, "*batch coil y x"]) -> Complex[Tensor, "*batch coil y x"]:
        """Return the image whose sampled k-space is the measured one."""
        with torch.autocast(image.device.type, enabled=False):
            spectrum = torch.fft.fftn(torch.fft.ifftshift(image, dim=self._dim), dim=self._dim, norm="ortho")
            spectrum = torch.where(self._mask, self._measured, spectrum)
            result: Tensor = torch.fft.fftshift(torch.fft.ifftn(spectrum, dim=self._dim, norm="ortho"), dim=self._dim)
            return result


def residual_norm(
    image: Complex[Tensor, "*batch coil y x"], kspace: Complex[Tensor, "*batch coil y x"], mask: Bool[Tensor, "*mask"]
) -> float:
    """Return ‖D F x − D y‖ / ‖D y‖: how far an image is from the data it was made of."""
    measured = kspace * mask
    difference = fft2c(image) * mask - measured
    return float(torch.linalg.vector_norm(difference) / torch.linalg.vector_norm(measured).clamp_min(1e-30))
