"""Coils: combination and compression. ``recon.sensitivity`` and ``recon.noise`` belong to it and are named here too."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.errors import RequestError
from recon.fourier import check_axes
from recon.noise import whiten
from recon.sensitivity import check_kspace, combine, espirit, peak_of_centre, sensitivity_maps, walsh
from recon.shapes import Complex, Float, Shaped
from recon.values import whole

__all__ = ["combine", "compress", "espirit", "root_sum_of_squares", "sensitivity_maps", "walsh", "whiten"]


def root_sum_of_squares(x: Shaped[Tensor, "*shape"], dim: int = -3) -> Float[Tensor, "*rest"]:
    """Return √Σ|x|² over one axis, the coils."""
    check_axes(x, (dim,))
    if x.is_complex():
        return torch.sqrt((x.real.square() + x.imag.square()).sum(dim))
    return torch.sqrt(x.square().sum(dim))


def compress(
    kspace: Complex[Tensor, "*batch coil y x"], n_virtual: int, n_calibration: int = 24
) -> tuple[Complex[Tensor, "*batch virtual y x"], Complex[Tensor, "*batch coil virtual"]]:
    """Compress the coils to fewer virtual ones by a singular value decomposition of the k-space centre.

    1. Take the central ``n_calibration`` × ``n_calibration`` block of every coil as a matrix C (samples × coils).
    2. The right singular vectors of C are the eigenvectors of CᴴC, which is coils × coils and cheap.
    3. Keep the first ``n_virtual`` of them: y' = y · V.

    Parameters
    ----------
    kspace
        K-space; only its centre must be sampled.
    n_virtual
        Number of virtual coils. When there are fewer coils than that, zero coils are appended, as PC-RNN does.
    n_calibration
        Side of the central block; smaller where k-space is smaller.

    Returns
    -------
    Compressed k-space and the compression matrix ``(coil, virtual)``. The sign or phase of a virtual coil is arbitrary
    in theory; here the largest element of each column of the matrix is real and positive, so results repeat.

    Raises
    ------
    RequestError
        If ``n_virtual`` is less than 1, or the k-space centre is empty or not finite.

    References
    ----------
    Chen et al., PC-RNN, IEEE TMI 2022, section III-E.
    """
    check_kspace(kspace)
    n_virtual, n_calibration = whole(n_virtual, "n_virtual"), whole(n_calibration, "n_calibration")
    if n_calibration < 1:
        raise RequestError(f"n_calibration is {n_calibration}; at least one sample is needed.")
    if n_virtual < 1:
        raise RequestError(f"{n_virtual} virtual coils were asked for; at least one is needed.")
    rows, columns = (min(n_calibration, size) for size in kspace.shape[-2:])
    top, left = kspace.shape[-2] // 2 - rows // 2, kspace.shape[-1] // 2 - columns // 2
    block = kspace[..., top : top + rows, left : left + columns].flatten(-2)
    # Double precision: squaring halves the digits, and the weak coils live in the last of them. The block is small, and
    # not every device has double precision: the processor does it.
    block = block.cpu().to(torch.complex128)
    block = block / peak_of_centre(block, (-2, -1), "coils cannot be compressed; check the sampling mask.")
    gram = block.conj() @ block.mT  # (coil, coil): C^H C with samples summed
    vectors = torch.linalg.eigh(gram).eigenvectors.flip(-1)
    n_coils = kspace.shape[-3]
    keep = min(n_virtual, n_coils)
    matrix = vectors[..., :keep]
    strongest = torch.take_along_dim(matrix, matrix.abs().argmax(dim=-2, keepdim=True), dim=-2)
    matrix = matrix * (strongest.conj() / strongest.abs())
    if keep < n_virtual:
        matrix = torch.nn.functional.pad(matrix, (0, n_virtual - keep))
    matrix = matrix.to(kspace.device, kspace.dtype)
    compressed = torch.einsum("...cyx,...cv->...vyx", kspace, matrix)
    return compressed, matrix
