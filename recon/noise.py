"""Noise of the coils: its covariance, and pre-whitening with it.

Coils pick up noise of different strength, and neighbours pick up the same. Whitened coils are mixtures of them whose
noise is uncorrelated and equally strong, as every method here takes for granted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from recon import npy
from recon.errors import FileError, RequestError
from recon.shapes import Complex

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def covariance(noise: Complex[Tensor, "coil sample"]) -> Complex[Tensor, "coil coil"]:
    """Return the covariance of the coils' noise, E[n nᴴ], as complex128 on the CPU: not every GPU has that."""
    noise = noise.cpu().to(torch.complex128)
    noise = noise - noise.mean(dim=-1, keepdim=True)
    return noise @ noise.mH / (noise.shape[-1] - 1)


def whitening(noise: Complex[Tensor, "*shape"], n_coils: int) -> Complex[Tensor, "coil coil"]:
    """Return the matrix that turns the coils into as many whose noise is uncorrelated and of equal strength.

    Parameters
    ----------
    noise
        Noise samples of every coil ``(coil, sample)``, without signal.
    n_coils
        Coils of the k-space.

    Returns
    -------
    L⁻¹ with the noise covariance Ψ = L Lᴴ, times the root of the mean noise variance, so that the level stays.

    Raises
    ------
    RequestError
        If the noise does not fit the coils or does not determine their covariance.

    References
    ----------
    Pruessmann et al., Advances in sensitivity encoding with arbitrary k-space trajectories, MRM 46:638 (2001).
    """
    if noise.ndim != 2 or noise.shape[0] != n_coils:
        raise RequestError(
            f"the noise has shape {tuple(noise.shape)} and the k-space {n_coils} coils; "
            f"(coil, sample) = ({n_coils}, …) was expected."
        )
    if noise.shape[1] < 2 * n_coils:
        raise RequestError(
            f"the noise has {noise.shape[1]} samples for {n_coils} coils; at least {2 * n_coils} are needed to know "
            "how the coils are correlated."
        )
    psi = covariance(noise)
    factor, failed = torch.linalg.cholesky_ex(psi)
    strength = psi.diagonal().real
    # In double precision rounding alone makes a singular matrix seem regular.
    is_regular = bool(factor.diagonal().real.square().min() > 1e-10 * strength.max())
    if bool(failed) or not bool(psi.isfinite().all()) or not is_regular:
        raise RequestError(
            "the noise does not determine the covariance of the coils: a coil has none, coils are copies, or values "
            "are no numbers. Measure the noise again, or leave it out."
        )
    identity = torch.eye(n_coils, dtype=factor.dtype)
    matrix: Tensor = torch.linalg.solve_triangular(factor, strength.mean().sqrt() * identity, upper=False)
    return matrix


def whiten(
    kspace: Complex[Tensor, "*batch coil y x"], noise: Complex[Tensor, "*shape"]
) -> Complex[Tensor, "*batch coil y x"]:
    """Pre-whiten the coils with noise that was measured with them; see `whitening`."""
    return mix(kspace, whitening(noise, kspace.shape[-3]))


def mix(
    kspace: Complex[Tensor, "*batch coil y x"], matrix: Complex[Tensor, "virtual coil"]
) -> Complex[Tensor, "*batch virtual y x"]:
    """Apply a matrix to the coils."""
    return torch.einsum("vc,...cyx->...vyx", matrix.to(kspace.device, kspace.dtype), kspace)


def load(path: Path | str) -> NDArray[np.complex64]:
    """Read noise samples ``(coil, sample)`` from a ``.npy`` file.

    Raises
    ------
    FileError
        If it is no such file.
    """
    expected = "save one complex array (coil, sample) with numpy.save."
    values = npy.load(path, "noise", expected)
    if values.dtype.kind != "c" or values.ndim != 2 or values.size == 0:
        raise FileError(path, f"holds {values.dtype} values of shape {values.shape}; {expected}")
    return values.astype(np.complex64)
