"""The encoding operator and data consistency: where physics enters every method."""

from __future__ import annotations

import math

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


class NormalOperator:
    """AᴴA of `Encoding` for solvers, which apply it many times to one slice: faster, without gradients.

    1. Under a line mask every row of the image is a problem of its own, and any unitary mix of the coils leaves AᴴA
       as it is. Each row gets the mix that puts its energy into the fewest coils; the rest is left out as soon as
       ‖AᴴA − approximation‖ ≤ 10⁻⁴ ‖AᴴA‖ is certain. Typical maps of 15 coils keep 8.
    2. A few rows, or one coil under a mask of points, are multiplied, transformed, masked, transformed back and
       combined before the next follow, so that everything in between stays in the cache of a processor core.

    Parameters
    ----------
    mask
        Samples that were taken, broadcastable to k-space ``(batch, coil, y, x)``.
    maps
        Coil sensitivities.

    References
    ----------
    Zhang et al., Coil compression for accelerated imaging with Cartesian sampling, MRM 2013 (a mix for each row).
    """

    def __init__(self, mask: Bool[Tensor, "*mask"], maps: Complex[Tensor, "batch coil y x"]) -> None:
        maps = maps.detach()
        n_batch, n_coils, n_rows, n_columns = maps.shape
        self.norm_bound: Tensor = maps.abs().square().sum(1).amax((-2, -1), keepdim=True)
        self._dim = transformed_axes(mask)
        mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)
        self._mask = torch.fft.ifftshift(mask, dim=self._dim).to(maps.real.dtype)
        self._by_rows = self._dim == (-1,)
        on_processor = maps.device.type == "cpu"
        if self._by_rows:
            maps = maps.transpose(1, 2).reshape(n_batch * n_rows, n_coils, n_columns)
            maps = _strongest_mixes(maps) if on_processor else maps
            if len(self._mask) > 1:  # (entry, 1, 1, x): each row takes the mask of its entry
                self._mask = self._mask.reshape(-1, 1, n_columns).repeat_interleave(n_rows, dim=0)
            else:
                self._mask = self._mask.reshape(1, 1, n_columns)
        self._maps = maps.contiguous()
        self._conjugate = maps.conj().resolve_conj().contiguous()
        # A graphics processor wants one large step, a processor core a step that its cache holds.
        per_step = self._maps.shape[1] * n_columns if self._by_rows else n_batch * n_rows * n_columns
        self._n_together = max(1, _CACHED_VALUES // per_step) if on_processor else max(self._maps.shape)

    def __call__(
        self, image: Complex[Tensor, "batch y x"], out: Complex[Tensor, "batch y x"] | None = None
    ) -> Complex[Tensor, "batch y x"]:
        """Return AᴴA applied to an image, in ``out`` if it is given."""
        out = torch.empty_like(image) if out is None else out
        with torch.autocast(image.device.type, enabled=False):
            if self._by_rows:
                self._apply_to_rows(image.flatten(0, 1), out.view(-1, out.shape[-1]))
            else:
                self._apply_to_coils(image, out)
        return out

    def _apply_to_rows(self, image: Complex[Tensor, "row x"], out: Complex[Tensor, "row x"]) -> None:
        for start in range(0, len(image), self._n_together):
            rows = slice(start, start + self._n_together)
            mask = self._mask if len(self._mask) == 1 else self._mask[rows]
            coil_images = self._convolved(self._maps[rows] * image[rows, None], mask)
            torch.sum(coil_images.mul_(self._conjugate[rows]), dim=1, out=out[rows])

    def _apply_to_coils(self, image: Complex[Tensor, "batch y x"], out: Complex[Tensor, "batch y x"]) -> None:
        out.zero_()
        for start in range(0, self._maps.shape[1], self._n_together):
            coils = slice(start, start + self._n_together)
            mask = self._mask if self._mask.shape[1] == 1 else self._mask[:, coils]
            coil_images = self._convolved(self._maps[:, coils] * image[:, None], mask)
            out.add_(coil_images.mul_(self._conjugate[:, coils]).sum(1))

    def _convolved(self, coil_images: Tensor, mask: Tensor) -> Tensor:
        spectrum = torch.fft.fftn(coil_images, dim=self._dim)
        result: Tensor = torch.fft.ifftn(spectrum.mul_(mask), dim=self._dim)
        return result


# Complex values that are worked on together: half a mebibyte, what a core's second cache holds besides the rest.
_CACHED_VALUES = 2**16
# ‖AᴴA − approximation‖ over ‖AᴴA‖ when weak mixes of the coils are left out.
_WEAKEST_MIX = 1e-4


def _strongest_mixes(rows: Complex[Tensor, "row coil x"]) -> Complex[Tensor, "row mix x"]:
    """Mix the coils of each row unitarily, strongest first, and leave out what no pixel of any row needs."""
    mixes: Tensor = torch.linalg.eigh(rows @ rows.mH).eigenvectors.mH @ rows  # weakest first
    # AᴴA of the coils that are left out has a norm of at most their energy in the pixel where it is largest.
    left_out = mixes.abs().square().cumsum(1).amax((0, 2))
    n_left_out = int((left_out <= _WEAKEST_MIX * left_out[-1]).sum())
    return mixes[:, min(n_left_out, rows.shape[1] - 1) :].flip(1)


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
        self._share = 1.0 if math.isinf(noise_level) else noise_level / (1 + noise_level)

    def _merge(self, spectrum: Tensor) -> Tensor:
        return torch.lerp(spectrum, self._measured, self._share)


def residual_norm(
    image: Complex[Tensor, "*batch coil_or_one y x"],
    kspace: Complex[Tensor, "*batch coil y x"],
    mask: Bool[Tensor, "*mask"],
    maps: Complex[Tensor, "*batch coil y x"] | None = None,
) -> float:
    """Return ‖A x − D y‖ / ‖D y‖: how far an image is from the data it was made of; 0 where nothing was measured.

    Parameters
    ----------
    image
        Coil images; with maps, the combined image with one for its coil.
    kspace
        What was measured.
    mask, maps
        See `Encoding`.
    """
    measured = kspace * mask
    difference = Encoding(mask, maps).forward(image if maps is None else image.squeeze(-3)) - measured
    norm = norm_of(measured)
    return norm_of(difference) / norm if norm > 0 else 0.0


def norm_of(values: Complex[Tensor, "*shape"]) -> float:
    """Return the square root of the energy; squares of small numbers would be lost in single precision."""
    return float(torch.linalg.vector_norm(torch.view_as_real(values.contiguous()).cpu(), dtype=torch.float64))
