"""PSNR, SSIM and NMSE by fastMRI's definitions (``fastmri/evaluate.py``), and HFEN, on whole volumes.

The data range is the maximum of the reference volume, never of a slice: slice maxima make numbers of different
volumes incomparable. SSIM is skimage's default (7×7 uniform window, sample covariance, K1 0.01, K2 0.03).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from recon.errors import RequestError
from recon.values import real

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Side of SSIM's window, in pixels; a smaller image has no SSIM.
SSIM_WINDOW = 7
# Side and standard deviation of the Laplacian of Gaussian, in pixels.
_EDGE_WINDOW, _EDGE_SIGMA = 15, 1.5


def psnr(reference: Any, image: Any, data_range: float | None = None) -> float:
    """Return the peak signal-to-noise ratio of a volume in dB; infinite for equal volumes.

    Parameters
    ----------
    reference, image
        numpy array or torch tensor ``(slices, y, x)`` of magnitudes.
    data_range
        Peak value; None takes the maximum of the reference volume.
    """
    reference, image = _volumes(reference, image)
    peak = _peak(reference, data_range)
    error = float(np.mean((reference - image) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(peak**2 / error))


def nmse(reference: Any, image: Any, data_range: float | None = None) -> float:  # noqa: ARG001  one signature for all
    """Return ‖reference − image‖² / ‖reference‖² over the volume."""
    reference, image = _volumes(reference, image)
    energy = float(np.sum(reference**2))
    if energy == 0:
        raise RequestError("the reference is zero everywhere, so an error relative to it means nothing.")
    return float(np.sum((reference - image) ** 2)) / energy


def ssim(reference: Any, image: Any, data_range: float | None = None) -> float:
    """Return the structural similarity of a volume: the mean over its slices."""
    reference, image = _volumes(reference, image)
    peak = _peak(reference, data_range)
    return float(np.mean([_slice_ssim(a, b, peak) for a, b in zip(reference, image, strict=True)]))


def hfen(reference: Any, image: Any, data_range: float | None = None) -> float:  # noqa: ARG001  one signature for all
    """Return the high-frequency error norm of a volume: ‖LoG(reference − image)‖ / ‖LoG(reference)‖.

    LoG is a rotationally symmetric Laplacian of Gaussian of 15 × 15 pixels with σ = 1.5, applied slice by slice with
    zeros beyond the border; it keeps edges and fine structure.

    References
    ----------
    Ravishankar and Bresler, MR image reconstruction from highly undersampled k-space data by dictionary learning,
    IEEE TMI 2011.
    """
    reference, image = _volumes(reference, image)
    energy = float(np.sum(_edges(reference) ** 2))
    if energy == 0:
        raise RequestError("the reference is zero everywhere, so an error relative to its edges means nothing.")
    return float(np.sqrt(np.sum(_edges(reference - image) ** 2) / energy))


def score(reference: Any, image: Any, data_range: float | None = None) -> dict[str, dict[str, Any]]:
    """Return every metric for the volume and for each of its slices, all with the volume's data range.

    Returns
    -------
    ``{"psnr": {"volume": 31.2, "slices": [31.0, …]}, "ssim": …, "nmse": …}``; SSIM is NaN where the image is too small
    for its window, and so is the NMSE of a slice without reference.
    """
    reference, image = _volumes(reference, image)
    peak = _peak(reference, data_range)
    slices = [(a[None], b[None]) for a, b in zip(reference, image, strict=True)]
    has_ssim = min(reference.shape[1:]) >= SSIM_WINDOW
    similarity = [_slice_ssim(a[0], b[0], peak) if has_ssim else float("nan") for a, b in slices]
    return {
        "psnr": {"volume": psnr(reference, image, peak), "slices": [psnr(a, b, peak) for a, b in slices]},
        "ssim": {"volume": float(np.mean(similarity)), "slices": similarity},
        # An empty slice has no energy to compare with; it says so instead of stopping the volume.
        "nmse": {
            "volume": nmse(reference, image),
            "slices": [nmse(a, b) if a.any() else float("nan") for a, b in slices],
        },
    }


def score_edges(reference: Any, image: Any) -> dict[str, Any]:
    """Return HFEN for the volume and for each of its slices, as `score` returns the other metrics."""
    reference, image = _volumes(reference, image)
    error, edges = ((_edges(part) ** 2).sum(axis=(1, 2)) for part in (reference - image, reference))
    if not edges.sum() > 0:
        raise RequestError("the reference is zero everywhere, so an error relative to its edges means nothing.")
    slices = [float(np.sqrt(a / b)) if b > 0 else float("nan") for a, b in zip(error, edges, strict=True)]
    return {"volume": float(np.sqrt(error.sum() / edges.sum())), "slices": slices}


def _volumes(reference: Any, image: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    pair = []
    for name, value in (("reference", reference), ("image", image)):
        if hasattr(value, "detach"):
            # numpy has no bfloat16; every other type fits double precision, complex numbers but for their refusal.
            value = value.detach().cpu()
            value = value.numpy() if value.is_complex() else value.double().numpy()
        try:
            array = np.asarray(value)
        except ValueError:
            raise RequestError(f"the {name} is ragged; an array (slices, y, x) was expected.") from None
        if array.dtype.kind not in "buifc":
            raise RequestError(f"the {name} holds {array.dtype} values; magnitudes (slices, y, x) were expected.")
        if np.iscomplexobj(array):
            raise RequestError(f"the {name} is complex; metrics compare magnitudes, so take the absolute value first.")
        array = array.astype(np.float64)
        pair.append(array[None] if array.ndim == 2 else array)
    if pair[0].shape != pair[1].shape or pair[0].ndim != 3 or 0 in pair[0].shape:
        raise RequestError(
            f"reference {pair[0].shape} and image {pair[1].shape} must both be (slices, y, x) of equal shape."
        )
    return pair[0], pair[1]


def _peak(reference: NDArray[np.float64], data_range: float | None) -> float:
    peak = float(reference.max()) if data_range is None else real(data_range, "the data range")
    if not peak > 0:
        raise RequestError(f"the data range is {peak:g}; the reference must hold something above zero.")
    return peak


def _slice_ssim(reference: NDArray[np.float64], image: NDArray[np.float64], peak: float) -> float:
    if min(reference.shape) < SSIM_WINDOW:
        raise RequestError(
            f"SSIM needs at least {SSIM_WINDOW} × {SSIM_WINDOW} pixels; the image has {reference.shape}."
        )
    n_window = SSIM_WINDOW**2
    # Subtracting one constant changes no variance and keeps the running sums from cancelling.
    shift = float(reference.mean())
    a, b = reference - shift, image - shift
    mean_a, mean_b = _window_mean(a), _window_mean(b)
    sample = n_window / (n_window - 1)
    variance_a = sample * (_window_mean(a * a) - mean_a * mean_a)
    variance_b = sample * (_window_mean(b * b) - mean_b * mean_b)
    covariance = sample * (_window_mean(a * b) - mean_a * mean_b)
    mean_a, mean_b = mean_a + shift, mean_b + shift
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    numerator = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    denominator = (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    return float(np.mean(numerator / denominator))


def _window_mean(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over each 7×7 window that lies wholly inside the image, by running sums along both axes."""
    for axis in (0, 1):
        total = np.cumsum(image, axis=axis)
        total = np.insert(total, 0, 0.0, axis=axis)
        head = np.take(total, np.arange(SSIM_WINDOW, total.shape[axis]), axis=axis)
        tail = np.take(total, np.arange(0, total.shape[axis] - SSIM_WINDOW), axis=axis)
        image = head - tail
    return image / SSIM_WINDOW**2


def _edges(volume: NDArray[np.float64]) -> NDArray[np.float64]:
    """Laplacian of Gaussian of each slice, by multiplication of the spectra of zero-padded images."""
    rows, columns = volume.shape[-2:]
    padded = (rows + _EDGE_WINDOW - 1, columns + _EDGE_WINDOW - 1)
    half = _EDGE_WINDOW // 2
    # The filter is symmetric: convolution and correlation are the same.
    spectrum = np.fft.rfft2(volume, padded) * np.fft.rfft2(_edge_filter(), padded)
    filtered: NDArray[np.float64] = np.fft.irfft2(spectrum, padded)
    return filtered[..., half : half + rows, half : half + columns]


@cache
def _edge_filter() -> NDArray[np.float64]:
    """∇²G, with the small sum that is left by cutting it off taken out, so that flat areas give nothing."""
    position = np.arange(_EDGE_WINDOW) - _EDGE_WINDOW // 2
    squared = position[:, None] ** 2 + position[None, :] ** 2
    gaussian = np.exp(-squared / (2 * _EDGE_SIGMA**2))
    gaussian /= gaussian.sum()
    laplacian = gaussian * (squared - 2 * _EDGE_SIGMA**2) / _EDGE_SIGMA**4
    centred: NDArray[np.float64] = laplacian - laplacian.mean()
    return centred
