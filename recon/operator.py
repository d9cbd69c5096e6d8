"""The encoding operator and data consistency: where physics enters every method."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.fourier import fft2c, ifft1c, ifft2c
from recon.shapes import Bool, Complex


class Encoding:
    """The linear map from an image to its undersampled k-space: coil weighting, Fourier transform, sampling.

    A x = D F (S x); without maps S is the identity and x holds one image per coil.

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

    def forward(self, image: Complex[Tensor, "*batch y x"]) -> Complex[Tensor, "*batch_coil y x"]:
        """Return k-space: ``(*batch, coil, y, x)``, zero where nothing was sampled."""
        coil_images = image if self.maps is None else self.maps * image.unsqueeze(-3)
        return fft2c(coil_images) * self.mask

    def adjoint(self, kspace: Complex[Tensor, "*batch_coil y x"]) -> Complex[Tensor, "*batch y x"]:
        """Return the adjoint applied to k-space: the zero-filled image, combined with the maps if there are any."""
        coil_images = ifft2c(kspace * self.mask)
        return coil_images if self.maps is None else (self.maps.conj() * coil_images).sum(-3)

    def normal(self, image: Complex[Tensor, "*batch y x"]) -> Complex[Tensor, "*batch y x"]:
        """Return AᴴA applied to an image."""
        return self.adjoint(self.forward(image))


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
        self._along_x_only = mask.ndim < 2 or mask.shape[-2] == 1
        # Shifting the data and the mask once spares two shifts in each application.
        data = ifft1c(kspace, dim=-2) if self._along_x_only else torch.fft.ifftshift(kspace, dim=-2)
        self._measured = torch.fft.ifftshift(data, dim=-1)
        mask = torch.fft.ifftshift(mask, dim=-1)
        self._mask = mask if self._along_x_only else torch.fft.ifftshift(mask, dim=-2)
        self._dim = (-1,) if self._along_x_only else (-2, -1)

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
