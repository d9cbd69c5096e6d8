"""Joining coils that a single-coil network takes one by one: what each of them measured speaks for all of them.

A network that sees one coil at a time leaves out what undersampled arrays know most of: every coil looks at the same
object through another sensitivity. The papers of these networks have one coil or compress an array for a network of its
own; this is a step of the workstation, in place of their data consistency, and off unless it is asked for.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recon.coils import sensitivity_maps
from recon.fourier import ifft2c
from recon.models.cg_sense import conjugate_gradients
from recon.operator import Encoding, HardDataConsistency, NormalOperator
from recon.shapes import Bool, Complex, Float

# Steps of the solver. A network comes back to its data many times, and eight steps gain nothing over four; where it
# does so once or never, thirty differ from twelve by less than 0.1 dB on 4 and 16 coils at 4x and 8x.
N_STEPS, N_STEPS_ONCE = 4, 12
_TOLERANCE = 1e-4
# What noise adds to the weight of the network's images, as a multiple of its power where the brightest pixel is one.
# Tried on three real scans whose noise powers are 2, 4 and 80 · 10⁻⁴: the best weights of PC-RNN-S are near 0.02, 0.03
# and 0.3, and half of that joined once after a network; no choice near these costs 0.1 dB.
_PER_NOISE_POWER = 20.0
# Samples from here to the rim of k-space tell the noise.
_RIM = 0.75


class JoinedDataConsistency(HardDataConsistency):
    """Data consistency of all coils together, for a network that takes the coils of an array one by one.

    1. Hard data consistency of every coil, where the network is used to it: c agrees with what this coil measured.
    2. The image of all coils solves min ‖A x − y‖² + λ ‖S x − c‖². For maps of unit root sum of squares that is
       CG-SENSE on what the common image x₀ = Sᴴc leaves of the data: x = x₀ + d, (AᴴA + λ) d = Aᴴ(y − A x₀). Where
       there are no maps, each coil keeps what it has; what was measured of that is no part of y.
    3. Each coil gets its share S x again, and hard data consistency: the samples that were measured stay.

    Parameters
    ----------
    kspace
        What was measured, each coil a batch entry, zero elsewhere.
    mask
        Samples that were taken, broadcastable to ``(y, x)``.
    maps
        Sensitivities of unit root sum of squares, zero where there is no signal.
    scale
        What each coil was divided by, so that the maps fit again.
    weight
        λ; 1 trusts the network's pixels as much as fully sampled data.
    n_steps
        Iterations of the solver.
    starts_consistent
        Whether the samples are put back before the first step as well: a network that comes back to its data expects
        that, and of one that never saw it the prior is better as it is.

    References
    ----------
    Aggarwal et al., MoDL, IEEE TMI 2019 (conjugate gradients over all coils as the data consistency of a network);
    Wang et al., Accelerating magnetic resonance imaging via deep learning, ISBI 2016 (a network's image as the prior of
    a reconstruction).
    """

    def __init__(
        self,
        kspace: Complex[Tensor, "coil 1 y x"],
        mask: Bool[Tensor, "*mask"],
        maps: Complex[Tensor, "coil y x"],
        scale: Float[Tensor, "coil 1 1 1"],
        weight: float,
        n_steps: int = N_STEPS,
        *,
        starts_consistent: bool = True,
    ) -> None:
        super().__init__(kspace, mask)
        zero_filled = ifft2c(kspace) * scale
        # Scans come in any unit, and so do the squares that a solver adds up.
        brightest = _brightest(zero_filled)
        self._scale = scale / brightest
        self._zero_filled = (zero_filled / brightest)[:, 0]
        self._maps, self._conjugate = maps, maps.conj()
        self._outside = (1 - maps.abs().square().sum(0)).clamp_min(0)
        self._sampled = Encoding(mask)
        self._normal = NormalOperator(mask, maps[None])
        self._weight, self._n_steps, self._starts_consistent = weight, n_steps, starts_consistent

    def __call__(self, image: Complex[Tensor, "coil 1 y x"]) -> Complex[Tensor, "coil 1 y x"]:
        """Return coil images that agree with the samples of all coils, and stay near those that are given."""
        consistent = super().__call__(image) if self._starts_consistent else image
        coil_images = (consistent * self._scale)[:, 0]
        outside = self._outside * coil_images
        common = (self._conjugate * coil_images).sum(0)
        left = self._zero_filled - self._sampled.normal(outside + self._maps * common)
        residual = (self._conjugate * left).sum(0)[None]
        change = torch.zeros_like(residual)
        for _ in conjugate_gradients(
            self._normal, residual, change, self._weight, n_iterations=self._n_steps, tolerance=_TOLERANCE
        ):
            pass
        joined = self._maps * (common + change[0]) + outside
        return super().__call__(joined[:, None] / self._scale)


class Joining:
    """Joins the coils of one slice: wherever the network puts its samples back, else once when it is done.

    Parameters
    ----------
    kspace
        What was measured, each coil a batch entry, zero elsewhere.
    mask
        Samples that were taken, broadcastable to ``(y, x)``.
    scale
        What each coil was divided by.
    weight
        λ of data without noise.
    n_steps
        Iterations of the solver wherever the network puts its samples back.

    Attributes
    ----------
    weight
        λ of this data; see `heed_noise`.
    is_used
        Whether the network has asked for its data consistency.
    """

    def __init__(
        self,
        kspace: Complex[Tensor, "coil 1 y x"],
        mask: Bool[Tensor, "*mask"],
        scale: Float[Tensor, "coil 1 1 1"],
        weight: float,
        n_steps: int = N_STEPS,
    ) -> None:
        measured = (kspace * scale)[:, 0]
        # The few calibration lines of a fast scan are too few for Walsh's maps: joined with them it may end far below.
        self._maps = sensitivity_maps(measured, mask, "espirit")
        self._kspace, self._mask, self._scale = kspace, mask, scale
        self._weight_without_noise, self._n_steps = weight, n_steps
        self.weight = heed_noise(weight, ifft2c(measured), measured, mask)
        self.is_used = False

    def __call__(self, kspace: Complex[Tensor, "coil 1 y x"], mask: Bool[Tensor, "*mask"]) -> JoinedDataConsistency:
        """Return the data consistency of the network; see `ReconstructionModel.with_consistency`."""
        self.is_used = True
        return JoinedDataConsistency(kspace, mask, self._maps, self._scale, self.weight, self._n_steps)

    def join(self, image: Complex[Tensor, "coil 1 y x"]) -> Complex[Tensor, "coil 1 y x"]:
        """Return the result of a network that never asked for its data consistency, its coils joined."""
        coil_images, measured = ((tensor * self._scale)[:, 0] for tensor in (image, self._kspace))
        self.weight = heed_noise(self._weight_without_noise, coil_images, measured, self._mask)
        consistency = JoinedDataConsistency(
            self._kspace, self._mask, self._maps, self._scale, self.weight, N_STEPS_ONCE, starts_consistent=False
        )
        return consistency(image)


def heed_noise(
    weight: float,
    coil_images: Complex[Tensor, "coil y x"],
    kspace: Complex[Tensor, "coil y x"],
    mask: Bool[Tensor, "*mask"],
) -> float:
    """Return λ for noisy data, where the network deserves more trust: few coils would else be worse off.

    Parameters
    ----------
    weight
        λ of data without noise.
    coil_images
        Zero-filled or better: their brightest pixel is the unit of the noise.
    kspace
        What was measured, zero elsewhere; in the same scale, which is free.
    mask
        Samples that were taken, broadcastable to ``(y, x)``.
    """
    return weight + _PER_NOISE_POWER * noise_power(kspace / _brightest(coil_images), mask)


def _brightest(coil_images: Tensor) -> Tensor:
    brightest = coil_images.abs().amax()
    return torch.where(brightest > 0, brightest, torch.ones_like(brightest))


def noise_power(kspace: Complex[Tensor, "coil y x"], mask: Bool[Tensor, "*mask"]) -> float:
    """Estimate the mean square of the noise of a sample, from the rim of k-space; what object is there counts as noise.

    Parameters
    ----------
    kspace
        What was measured. Exact zeros are no samples: partial acquisitions are filled up with them.
    mask
        Samples that were taken, broadcastable to ``(y, x)``.

    Returns
    -------
    The power; 0 where nothing was sampled at the rim.
    """
    distances = [(torch.arange(size) - size // 2).abs() / (size / 2) for size in kspace.shape[-2:]]
    at_rim = (torch.maximum(distances[0][:, None], distances[1]) >= _RIM).to(kspace.device)
    power = kspace[:, at_rim & mask].abs().square()
    power = power[power > 0]
    # Half of the squares of complex noise lie below ln 2 of their mean; a few echoes of the object do not move that.
    return float(power.median()) / math.log(2) if len(power) else 0.0
