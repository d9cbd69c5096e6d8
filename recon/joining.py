"""Joining coils that a single-coil network took one by one: what each of them measured speaks for all of them.

A network that sees one coil at a time leaves out what undersampled arrays know most of: every coil looks at the same
object through another sensitivity. The papers of these networks have one coil or compress an array for a network of its
own; this is a step of the workstation, after theirs, and off unless it is asked for.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recon.models.cg_sense import CGSense, CGSenseParameters
from recon.operator import Encoding, HardDataConsistency
from recon.shapes import Bool, Complex

# Steps of the solver: on 4 and 16 coils at 4x and 8x, thirty steps differ from twelve by less than 0.1 dB.
_N_ITERATIONS = 12
# What noise adds to the weight of the network's images, as a multiple of its power where the brightest pixel is one.
# Tried on three real scans whose noise powers are 2, 4 and 80 · 10⁻⁴: the best weights are near 0.02, 0.015 and 0.15.
_PER_NOISE_POWER = 20.0
# Samples from here to the rim of k-space tell the noise.
_RIM = 0.75


def join(
    coil_images: Complex[Tensor, "coil y x"],
    kspace: Complex[Tensor, "coil y x"],
    mask: Bool[Tensor, "*mask"],
    maps: Complex[Tensor, "coil y x"],
    weight: float,
) -> Complex[Tensor, "coil y x"]:
    """Return coil images that agree with the samples of all coils, and stay near those of the network.

    1. The image of all coils solves min ‖A x − y‖² + λ ‖S x − c‖², with the network's coil images c. For maps of unit
       root sum of squares that is CG-SENSE on what the network's image x₀ = Sᴴc leaves of the data: x = x₀ + d,
       (AᴴA + λ) d = Aᴴ(y − A x₀). Where there are no maps, each coil keeps what the network made; what was measured of
       that is no part of y.
    2. Each coil gets its share S x again.
    3. Hard data consistency: the samples that were measured stay.

    Parameters
    ----------
    coil_images
        What a network made of each coil.
    kspace
        What was measured, zero elsewhere; in the same scale, which is free.
    mask
        Samples that were taken, broadcastable to ``(y, x)``.
    maps
        Sensitivities of unit root sum of squares, zero where there is no signal.
    weight
        λ; 1 trusts the network's pixels as much as fully sampled data. See `heed_noise`.

    References
    ----------
    Wang et al., Accelerating magnetic resonance imaging via deep learning, ISBI 2016 (a network's image as the prior
    of a reconstruction); Aggarwal et al., MoDL, IEEE TMI 2019 (its solution by conjugate gradients over all coils).
    """
    # Scans come in any unit, and so do the squares that a solver adds up.
    scale = _brightest(coil_images)
    coil_images, kspace = coil_images / scale, kspace / scale
    outside = (1 - maps.abs().square().sum(0)).clamp_min(0) * coil_images
    image = (maps.conj() * coil_images).sum(0)
    left = kspace - Encoding(mask).forward(maps * image + outside)
    solver = CGSense(len(maps), CGSenseParameters(lambda_=weight, n_iterations=_N_ITERATIONS, tolerance=1e-4))
    residual = Encoding(mask).adjoint(left)
    image = image + solver(residual[None], left[None], mask, maps[None])[0, 0]
    joined: Tensor = HardDataConsistency(kspace, mask)(maps * image + outside)
    return joined * scale


def heed_noise(
    weight: float,
    coil_images: Complex[Tensor, "coil y x"],
    kspace: Complex[Tensor, "coil y x"],
    mask: Bool[Tensor, "*mask"],
) -> float:
    """Return λ of `join` for noisy data, where the network deserves more trust: few coils would else be worse off.

    Parameters
    ----------
    weight
        λ of data without noise.
    coil_images, kspace, mask
        See `join`.
    """
    return weight + _PER_NOISE_POWER * noise_power(kspace / _brightest(coil_images), mask)


def _brightest(coil_images: Tensor) -> Tensor:
    return coil_images.abs().amax().clamp_min(torch.finfo(torch.float32).tiny)


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
