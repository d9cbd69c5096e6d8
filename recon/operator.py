"""The encoding operator and data consistency: where physics enters every method."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.fourier import fft2c, ifft2c
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
        # FᴴDF is a circular convolution, which commutes with every shift: with the mask in the order of a plain
        # transform, no image has to be shifted.
        self._shifted_mask = torch.fft.ifftshift(mask, dim=self._dim)

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
        coil_images = image if self.maps is None else self.maps * image.unsqueeze(-3)
        with torch.autocast(image.device.type, enabled=False):
            spectrum = torch.fft.fftn(coil_images, dim=self._dim, norm="ortho") * self._shifted_mask
            coil_images = torch.fft.ifftn(spectrum, dim=self._dim, norm="ortho")
        result: Tensor = coil_images if self.maps is None else (self.maps.conj() * coil_images).sum(-3)
        return result


def transformed_axes(mask: Bool[Tensor, "*mask"]) -> tuple[int, ...]:
    """Return the axes that a transform between image and sampled k-space cannot do without: x alone for lines."""
    return (-1,) if mask.ndim < 2 or mask.shape[-2] == 1 else (-2, -1)


class HardDataConsistency:
    """Replace the samples that were measured: σ(x) = F⁻¹[D·y + (1−D)·F x].

    Made once per slice, applied after every regulariser. A line mask depends on x alone, so the transform along y
    cancels, and every application costs one Fourier pair along x. No image is shifted: the measured data is kept as
    the plain transform of the zero-filled image as it lies, and the mask in that order.

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
        self._mask = torch.fft.ifftshift(mask, dim=self._dim)
        self._measured: Tensor = torch.fft.fftn(ifft2c(kspace), dim=self._dim, norm="ortho")

    def __call__(self, image: Complex[Tensor, "*batch coil y x"]) -> Complex[Tensor, "*batch coil y x"]:
        """Return the image whose sampled k-space is the measured one."""
        with torch.autocast(image.device.type, enabled=False):
            spectrum = torch.fft.fftn(image, dim=self._dim, norm="ortho")
            spectrum = torch.where(self._mask, self._merge(spectrum), spectrum)
            result: Tensor = torch.fft.ifftn(spectrum, dim=self._dim, norm="ortho")
            return result

    def _merge(self, spectrum: Tensor) -> Tensor:  # noqa: ARG002  what was measured wins
        """Return the values of the samples that were measured."""
        return self._measured


class SoftDataConsistency(HardDataConsistency):
    """Draw the samples that were measured towards the data: k ← (k + v·y) / (1 + v).

    Parameters
    ----------
    kspace, mask
        See `HardDataConsistency`.
    noise_level
        v, the trust in the data; infinite v replaces the samples.

    References
    ----------
    Schlemper et al., A Deep Cascade of CNNs for Dynamic MR Image Reconstruction, IEEE TMI 2018.
    """

    def __init__(
        self, kspace: Complex[Tensor, "*batch coil y x"], mask: Bool[Tensor, "*mask"], noise_level: float
    ) -> None:
        super().__init__(kspace, mask)
        self._share = noise_level / (1 + noise_level)

    def _merge(self, spectrum: Tensor) -> Tensor:
        return torch.lerp(spectrum, self._measured, self._share)


def residual_norm(
    image: Complex[Tensor, "*batch coil y x"], kspace: Complex[Tensor, "*batch coil y x"], mask: Bool[Tensor, "*mask"]
) -> float:
    """Return ‖D F x − D y‖ / ‖D y‖: how far an image is from the data it was made of."""
    measured = kspace * mask
    difference = fft2c(image) * mask - measured
    return float(torch.linalg.vector_norm(difference) / torch.linalg.vector_norm(measured).clamp_min(1e-30))
