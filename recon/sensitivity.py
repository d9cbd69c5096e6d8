"""Coil sensitivities from the fully sampled centre of k-space: ESPIRiT and Walsh's method.

Sensitivities have unit root sum of squares inside their support and are zero outside it. Their phase is that of the
coils relative to their first principal component in the calibration data, so that the combined image keeps the phase of
the object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recon import interruption
from recon.calibration import FEW_LINES, MIN_LINES, N_CALIBRATION, calibration_block, calibration_kernel
from recon.errors import RequestError
from recon.fourier import ifft2c
from recon.shapes import Bool, Complex
from recon.values import real, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Complex numbers in the matrices of the pixels that are worked on at a time: few enough for the cache of a CPU core,
# many enough to fill a GPU.
_CHUNK_CPU, _CHUNK_GPU = 2**19, 2**25
# Pixels that are solved from scratch lie this many to the shortest wave in their matrices; between them, interpolated
# eigenvectors are a start that few iterations complete.
_PIXELS_PER_WAVE = 16
_N_ITERATIONS = 3
# ‖G v − λ v‖ that is small enough; pixels that do not reach it are solved from scratch.
_RESIDUAL = 1e-3
# From scratch, the matrix of a pixel is squared: as good as 2^7 power iterations, and matrix products are what CPUs
# and GPUs do best.
_N_SQUARINGS = 7
# Share of the energy of the calibration block that maps from few lines have to cover.
_COVERED = 0.97


def espirit(
    kspace: Complex[Tensor, "*batch coil y x"],
    n_calibration: int = 24,
    *,
    kernel_size: int = 6,
    threshold: float = 0.001,
    crop: float = 0.8,
) -> Complex[Tensor, "*batch coil y x"]:
    """Estimate coil sensitivities by ESPIRiT, one set of maps, as BART's ``ecalib -m1`` does.

    1. Every ``kernel_size`` × ``kernel_size`` patch of the central block, over all coils, is a row of a matrix A.
    2. The eigenvectors of AᴴA above the threshold span the patches that this array can measure; P projects on them.
    3. That k-space is unchanged by P, patch by patch, reads in the image: at each pixel the sensitivities are an
       eigenvector, with eigenvalue 1, of a coil × coil matrix G. The elements of G are trigonometric polynomials
       whose coefficients are sums along the diagonals of P.
    4. Where the largest eigenvalue stays below ``crop`` there is no signal, and the map is zero.

    Parameters
    ----------
    kspace
        K-space, zero where nothing was sampled.
    n_calibration
        Side of the central block at most; it is smaller where the fully sampled centre is.
    kernel_size
        Side of a patch.
    threshold
        Smallest eigenvalue of AᴴA that counts as signal, as a fraction of the largest.
    crop
        Smallest eigenvalue of a pixel that counts as signal.

    Returns
    -------
    Maps of unit root sum of squares, zero where there is no signal.

    Raises
    ------
    RequestError
        If k-space is no complex tensor of finite numbers, fewer lines than the kernel has were sampled, or a parameter
        is impossible.

    References
    ----------
    Uecker et al., ESPIRiT, MRM 71:990 (2014).
    """
    check_kspace(kspace)
    kernel_size = _at_least_one(kernel_size, "kernel_size")
    threshold, crop = _fraction(threshold, "threshold"), _fraction(crop, "crop")

    def estimate(block: Tensor) -> Tensor:
        return _espirit(block, _image_size(kspace), kernel_size, threshold, crop)

    return _on_calibration(kspace, (kspace != 0).any(dim=-3), n_calibration, kernel_size, estimate)


def walsh(
    kspace: Complex[Tensor, "*batch coil y x"], n_calibration: int = 24, *, window: int = 3, crop: float = 0.02
) -> Complex[Tensor, "*batch coil y x"]:
    """Estimate coil sensitivities by Walsh's adaptive combination of the low-resolution image.

    1. Transform the central block to coil images of low resolution, with two pixels to each that the block resolves.
    2. Average the coil × coil matrix x xᴴ over ``window`` × ``window`` of these pixels.
    3. Its first eigenvector is the map, interpolated to the pixels of the image.

    Parameters
    ----------
    kspace
        K-space, zero where nothing was sampled.
    n_calibration
        Side of the central block at most; it is smaller where the fully sampled centre is.
    window
        Side of the averaged neighbourhood; odd.
    crop
        Smallest magnitude of the low-resolution image that counts as signal, as a fraction of its maximum.

    Raises
    ------
    RequestError
        If fewer than 6 lines were sampled, or a parameter is impossible.

    References
    ----------
    Walsh et al., Adaptive reconstruction of phased array MR imagery, MRM 43:682 (2000).
    """
    check_kspace(kspace)
    window, crop = _at_least_one(window, "window"), _fraction(crop, "crop")
    if window % 2 == 0:
        raise RequestError(f"window is {window}; it must be odd.")

    def estimate(block: Tensor) -> Tensor:
        return _walsh(block, _image_size(kspace), window, crop)

    return _on_calibration(kspace, (kspace != 0).any(dim=-3), n_calibration, FEW_LINES, estimate)


def sensitivity_maps(
    kspace: Complex[Tensor, "*batch coil y x"],
    mask: Bool[Tensor, "*mask"],
    method: str = "espirit",
    n_calibration: int = N_CALIBRATION,
) -> Complex[Tensor, "*batch coil y x"]:
    """Estimate coil sensitivities from the calibration lines of undersampled k-space.

    Parameters
    ----------
    kspace
        Undersampled k-space. The map of a single coil is 1 everywhere and needs no calibration lines.
    mask
        Samples that were taken, broadcastable to k-space; its fully sampled centre is the calibration block.
    method
        ``espirit`` or ``walsh``.
    n_calibration
        Side of the calibration block at most.

    Raises
    ------
    RequestError
        If the mask has too few calibration lines.
    """
    if method not in ("espirit", "walsh"):
        raise RequestError(f"maps are to be made by {method!r}; choose espirit or walsh.")
    check_kspace(kspace)
    if kspace.shape[-3] == 1:
        # Nothing to tell apart, and nothing to calibrate.
        return torch.ones_like(kspace)
    size = _image_size(kspace)

    def estimate(block: Tensor) -> Tensor:
        if method == "walsh":
            return _walsh(block, size, window=3, crop=0.02)
        rows, columns = block.shape[-2:]
        kernel = calibration_kernel((rows, columns), block.shape[-3])
        return _espirit(block, size, kernel, threshold=0.001, crop=0.8)

    sampled = mask if mask.ndim < 3 else mask.all(dim=-3)
    sampled = sampled.expand(*sampled.shape[:-2], *size)
    min_lines = FEW_LINES if method == "walsh" else MIN_LINES
    return _on_calibration(kspace, sampled, n_calibration, min_lines, estimate)


def combine(
    coil_images: Complex[Tensor, "*batch coil y x"], maps: Complex[Tensor, "*batch coil y x"]
) -> Complex[Tensor, "*batch y x"]:
    """Combine coil images with their sensitivities: Σ conj(S)·x, least squares for maps of unit root sum of squares."""
    return (maps.conj() * coil_images).sum(dim=-3)


def check_kspace(kspace: Any) -> None:
    """Raise RequestError where k-space is no complex tensor with coils."""
    if not isinstance(kspace, Tensor):
        hint = "; torch.from_numpy makes one of an array" if type(kspace).__module__ == "numpy" else ""
        raise RequestError(f"k-space is a {type(kspace).__name__}; a complex tensor (coil, y, x) was expected{hint}.")
    if not kspace.is_complex() or kspace.ndim < 3:
        kind = str(kspace.dtype).removeprefix("torch.")
        raise RequestError(
            f"k-space is a {kind} tensor of shape {tuple(kspace.shape)}; a complex one (coil, y, x) was expected."
        )


def peak_of_centre(block: Tensor, dim: tuple[int, ...], missing: str) -> Tensor:
    """Return the largest magnitude of the centre of k-space, to divide by.

    Parameters
    ----------
    block
        The centre.
    dim
        Axes over which it is sought; they stay.
    missing
        What an empty centre does not allow, and what to do, for the message.

    Raises
    ------
    RequestError
        If the centre is empty, or not finite.
    """
    peak = block.abs().amax(dim=dim, keepdim=True)
    if not bool(peak.isfinite().all()):
        raise RequestError(
            "the centre of k-space holds NaN, infinity or values too large to work with; finite numbers were expected. "
            "Check where it comes from, such as a division by zero."
        )
    if not bool((peak > 0).all()):
        raise RequestError(f"the centre of k-space is empty, so {missing}")
    return peak


# ---- the calibration block ----------------------------------------------------------------------------------------


def _on_calibration(
    kspace: Tensor, sampled: Tensor, n_calibration: int, min_lines: int, estimate: Callable[[Tensor], Tensor]
) -> Tensor:
    """Hand the fully sampled centre of k-space to a function.

    Sampling may differ between the entries of a batch; most often it does not, and then they are worked on together.
    """
    n_calibration = _at_least_one(n_calibration, "n_calibration")
    patterns = sampled.reshape(-1, *sampled.shape[-2:]).cpu().numpy()
    blocks = [calibration_block(pattern, n_calibration, min_lines) for pattern in patterns]
    if all(block == blocks[0] for block in blocks):
        return estimate(kspace[(..., *blocks[0])])
    batch = kspace.shape[:-3]
    order = torch.arange(len(blocks)).reshape(sampled.shape[:-2]).expand(batch).flatten().tolist()
    entries = kspace.reshape(-1, *kspace.shape[-3:])
    maps = [estimate(entry[(..., *blocks[which])]) for entry, which in zip(entries, order, strict=True)]
    return torch.stack(maps).reshape(kspace.shape)


def _image_size(kspace: Tensor) -> tuple[int, int]:
    return kspace.shape[-2], kspace.shape[-1]


def _at_least_one(value: int, name: str) -> int:
    value = whole(value, name)
    if value < 1:
        raise RequestError(f"{name} is {value}; at least 1 is needed.")
    return value


def _fraction(value: float, name: str) -> float:
    value = real(value, name)
    if not 0 <= value < 1:
        raise RequestError(f"{name} is {value}; give a number from 0 to below 1.")
    return value


def _scaled(calibration: Tensor) -> Tensor:
    return calibration / peak_of_centre(calibration, (-3, -2, -1), "there are no sensitivities in it; check the mask.")


# ---- ESPIRiT ------------------------------------------------------------------------------------------------------


def _espirit(calibration: Tensor, size: tuple[int, int], kernel_size: int, threshold: float, crop: float) -> Tensor:
    rows, columns = calibration.shape[-2:]
    batch, n_coils = calibration.shape[:-3], calibration.shape[-3]
    blocks = _scaled(calibration.reshape(-1, n_coils, rows, columns))
    maps = calibration.new_empty((len(blocks), n_coils, *size))
    grid = tuple(min(length, _PIXELS_PER_WAVE * kernel_size) for length in size)
    is_coarse = min(rows, columns) < FEW_LINES
    for block, one in zip(blocks, maps, strict=True):
        lags, reference = _lags(block, kernel_size, threshold), _principal_coil(block)
        coarse = [_first_eigenvectors(matrices) for _, matrices in _pixel_matrices(lags, grid)]
        vectors, values = (torch.cat(parts) for parts in zip(*coarse, strict=True))
        if grid != size:
            vectors, values = _refined(vectors, values, lags, size, 0 if is_coarse else crop)
        least = _relaxed(crop, values, block) if is_coarse else crop
        vectors = _with_phase_of(vectors, reference) * (values > least)[..., None]
        one.copy_(vectors.movedim(-1, 0))
    return maps.reshape(*batch, n_coils, *size)


def _relaxed(crop: float, values: Tensor, block: Tensor) -> float:
    """Return the crop value, lowered until the maps cover what the calibration block sees of the object.

    Kernels that were fitted to few lines know some of the object too little for the usual value, and without a map
    there would be a hole in the image.
    """
    # Where the block lies in k-space is no matter of magnitudes.
    images = torch.fft.fftshift(torch.fft.ifft2(block, s=values.shape), dim=(-2, -1))
    energy = images.abs().square().sum(0).flatten()
    ordered, order = values.flatten().sort(descending=True)
    covered = energy[order].cumsum(0)
    n_needed = int((covered < _COVERED * covered[-1]).sum())
    return min(crop, 0.999 * float(ordered[n_needed]))


def _lags(block: Tensor, kernel_size: int, threshold: float) -> Tensor:
    """Return the coefficients ``(lag_y, lag_x, coil, coil)`` of the matrix of a pixel."""
    n_coils, k = block.shape[0], kernel_size
    patches = block.unfold(1, k, 1).unfold(2, k, 1).permute(1, 2, 0, 3, 4).reshape(-1, n_coils * k * k)
    # AᴴA and AAᴴ have the same eigenvalues above zero; the smaller of the two is decomposed.
    values, vectors = _eigh(patches.mT @ patches.conj() if len(patches) >= patches.shape[1] else patches @ patches.mH)
    keep = values > threshold * values[-1]
    vectors = vectors[:, keep]
    if len(patches) < patches.shape[1]:
        vectors = patches.mT @ vectors.conj() / values[keep].sqrt()
    projector = (vectors @ vectors.mH).reshape(n_coils, k, k, n_coils, k, k).permute(0, 3, 1, 2, 4, 5)
    lags = block.new_zeros((2 * k - 1, 2 * k - 1, n_coils, n_coils))
    for y in range(k):
        for x in range(k):
            # Row (y, x) of the projector, column (y', x'): lag (y − y', x − x').
            part = projector[:, :, y, x].permute(2, 3, 0, 1).flip(0, 1)
            lags[y : y + k, x : x + k] += part
    return lags / k**2


def _refined(
    vectors: Tensor, values: Tensor, lags: Tensor, size: tuple[int, int], crop: float
) -> tuple[Tensor, Tensor]:
    """Carry the first eigenvectors and eigenvalues from a coarse grid ``(y, x)`` to the image's."""
    starts, _ = _interpolated(vectors, values, size)
    values = values.new_empty(size)
    for first, matrices in _pixel_matrices(lags, size):
        rows = slice(first, first + len(matrices))
        vector = starts[rows][..., None]
        for _ in range(_N_ITERATIONS):
            moved = matrices @ vector
            value, square = (vector.mH @ moved).real, (moved.mH @ moved).real
            vector = moved * square.clamp_min(1e-30).rsqrt()
        residual = (square - value.square()).clamp_min(0).sqrt()[..., 0, 0]
        vector, value = vector.squeeze(-1), value[..., 0, 0]
        # The residual tells how far the next eigenvalue is; below the crop value nobody asks.
        open_ = (residual > _RESIDUAL) & (value + residual > crop)
        vector[open_], value[open_] = _first_eigenvectors(matrices[open_])
        starts[rows], values[rows] = vector, value
    return starts, values


def _pixel_matrices(lags: Tensor, size: tuple[int, ...]) -> Iterator[tuple[int, Tensor]]:
    """Yield the first row and the matrices ``(row, x, coil, coil)`` of a few rows at a time."""
    n_lags, n_coils = lags.shape[0], lags.shape[-1]
    waves = [_waves(n_lags, length, lags) for length in size]
    along_x = torch.einsum("xl,ylab->yxab", waves[1], lags).reshape(n_lags, -1)
    chunk = _CHUNK_CPU if lags.device.type == "cpu" else _CHUNK_GPU
    step = max(1, chunk // (size[1] * n_coils**2))
    for first in range(0, size[0], step):
        interruption.check()
        matrices = waves[0][first : first + step] @ along_x
        yield first, matrices.reshape(-1, size[1], n_coils, n_coils)


def _waves(n_lags: int, length: int, like: Tensor) -> Tensor:
    lag = torch.arange(n_lags, device=like.device) - n_lags // 2
    position = torch.arange(length, device=like.device) - length // 2
    # The product is reduced to one period before it becomes a float: no digits are lost.
    angle = 2 * torch.pi / length * ((position[:, None] * lag) % length).to(like.real.dtype)
    return torch.polar(torch.ones_like(angle), angle)


def _first_eigenvectors(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Return the eigenvector ``(…, coil)`` of the largest eigenvalue, and it, of positive semidefinite matrices."""
    shape = matrices.shape[:-1]
    matrices = matrices.flatten(0, -3)
    power = matrices
    for step in range(_N_SQUARINGS):
        if step % 3 == 0:  # often enough that nothing underflows: the trace is at most n_coils eigenvalues
            trace = power.diagonal(dim1=-2, dim2=-1).real.sum(-1).clamp_min(1e-30)
            power = power * trace.reciprocal()[:, None, None]
        power = power @ power
    # Now nearly v vᴴ: the column of the largest diagonal element is the best start for the last step.
    best = power.diagonal(dim1=-2, dim2=-1).real.argmax(dim=-1)
    vectors = _unit(power @ torch.take_along_dim(power, best[:, None, None], dim=-1))
    values = (vectors.mH @ matrices @ vectors).real
    return vectors.reshape(shape), values.reshape(shape[:-1])


def _unit(vectors: Tensor) -> Tensor:
    # Inner products of many short vectors: a product of matrices is several times faster than a norm.
    return vectors * (vectors.mH @ vectors).real.clamp_min(1e-30).rsqrt()


def _principal_coil(block: Tensor) -> Tensor:
    """Return the first principal component of the coils of a block, with the last coil real and positive as in BART."""
    samples = block.flatten(1)
    vector = _eigh(samples @ samples.mH)[1][:, -1]
    size = vector.abs()
    # A last coil that sees nothing has no phase.
    pivot = torch.where(size[-1] > 1e-6, vector[-1], vector[size.argmax()])
    return vector * (pivot.conj() / pivot.abs())


def _with_phase_of(vectors: Tensor, reference: Tensor) -> Tensor:
    """Turn each vector so that its product with the reference is real and positive."""
    product = (vectors * reference.conj()).sum(-1, keepdim=True)
    size = product.abs()
    return vectors * torch.where(size > 0, product.conj() / size.clamp_min(1e-30), torch.ones_like(product))


def _eigh(matrix: Tensor) -> tuple[Tensor, Tensor]:
    # Apple's GPUs have no eigenvalue solver.
    if matrix.device.type == "mps":
        values, vectors = torch.linalg.eigh(matrix.cpu())
        return values.to(matrix.device), vectors.to(matrix.device)
    values, vectors = torch.linalg.eigh(matrix)
    return values, vectors


# ---- Walsh --------------------------------------------------------------------------------------------------------


def _walsh(calibration: Tensor, size: tuple[int, int], window: int, crop: float) -> Tensor:
    batch, (n_coils, rows, columns) = calibration.shape[:-3], calibration.shape[-3:]
    blocks = _scaled(calibration.reshape(-1, n_coils, rows, columns))
    # Twice as fine as the block resolves: between such pixels, sensitivities are as good as straight.
    grid = (min(2 * rows, size[0]), min(2 * columns, size[1]))
    maps = calibration.new_empty((len(blocks), n_coils, *size))
    for block, one in zip(blocks, maps, strict=True):
        # Without a taper: rings do more harm to an image than to the ratios of coils.
        images = ifft2c(_padded(block, grid))
        products = (images[:, None] * images.conj()).flatten(0, 1)
        matrices = _average(products, window).reshape(n_coils, n_coils, *grid).permute(2, 3, 0, 1)
        vectors, values = _first_eigenvectors(matrices)
        vectors, strength = _interpolated(vectors, values.clamp_min(0).sqrt(), size)
        vectors = _with_phase_of(vectors, _principal_coil(block)) * (strength > crop * strength.max())[..., None]
        one.copy_(vectors.movedim(-1, 0))
    return maps.reshape(*batch, n_coils, *size)


def _average(images: Tensor, window: int) -> Tensor:
    """Average every image over windows of odd side; the field of view is periodic."""
    for dim in (-2, -1):
        half = min(window, images.shape[dim]) // 2
        total = images.clone()
        for shift in range(1, half + 1):
            total = total + images.roll(shift, dim) + images.roll(-shift, dim)
        images = total / (2 * half + 1)
    return images


def _interpolated(vectors: Tensor, values: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Interpolate unit vectors ``(y, x, coil)``, whose phases are arbitrary, and values ``(y, x)`` to a finer grid."""
    below_y, weight_y = _neighbours(vectors.shape[0], size[0], values)
    below_x, weight_x = _neighbours(vectors.shape[1], size[1], values)
    nearest: Tensor | None = None
    total_vectors, total_values = vectors.new_zeros(()), values.new_zeros(())
    for step_y, part_y in ((0, 1 - weight_y), (1, weight_y)):
        for step_x, part_x in ((0, 1 - weight_x), (1, weight_x)):
            rows, columns = (below_y + step_y) % vectors.shape[0], (below_x + step_x) % vectors.shape[1]
            weight = part_y[:, None] * part_x
            neighbour = vectors[rows[:, None], columns]
            nearest = neighbour if nearest is None else nearest
            total_vectors = total_vectors + weight[..., None] * _with_phase_of(neighbour, nearest)
            total_values = total_values + weight * values[rows[:, None], columns]
    return _unit(total_vectors[..., None]).squeeze(-1), total_values


def _neighbours(n_coarse: int, n_fine: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return, for each fine position, the coarse position below it and the weight of the one above."""
    fine = torch.arange(n_fine, device=like.device) - n_fine // 2
    position = fine * n_coarse
    below = torch.div(position, n_fine, rounding_mode="floor")
    weight = (position - below * n_fine).to(like.dtype) / n_fine
    return (below + n_coarse // 2) % n_coarse, weight


def _padded(block: Tensor, size: tuple[int, int]) -> Tensor:
    """Append zeros to k-space so that its centre stays the centre."""
    (left, right), (top, bottom) = (
        (new // 2 - old // 2, (new + 1) // 2 - (old + 1) // 2)
        for old, new in ((block.shape[-1], size[1]), (block.shape[-2], size[0]))
    )
    return torch.nn.functional.pad(block, (left, right, top, bottom))
