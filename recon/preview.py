"""What can be seen of a slice without a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from recon import fourier, noise, phase
from recon.sampling import check_overflow, on_grid, sampling_mask, uses_native_grid, zero_filled_image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recon.data import Series
    from recon.masks import SamplingMask
    from recon.request import Request


def preview(
    series: Series, index: int, request: Request
) -> tuple[NDArray[np.float32], SamplingMask, NDArray[np.float32] | None]:
    """Return the zero-filled image, the mask and the reference of one slice; cheap, without a model.

    Raises
    ------
    FileError
        If the slice cannot be used, as in a reconstruction.
    """
    sampling = sampling_mask(series, request)
    mask = torch.from_numpy(sampling.mask)
    native = uses_native_grid(series, request)
    slice_ = series.read(index)
    image = zero_filled_image(on_grid(slice_.kspace, series, native=native), mask)
    check_overflow(image, series, index)
    reference = None if slice_.reference is None else slice_.reference.numpy()
    return fourier.centre_crop(image, series.recon_size).numpy(), sampling, reference


def stored_window(series: Series, index: int) -> tuple[float, float] | None:
    """Return the ends of the display window that the file of a slice names; None where it names none."""
    if series.kind != "dicom":
        return None
    from recon.io.dicom import DicomSource

    return series.source.window(index) if isinstance(series.source, DicomSource) else None


def phases(series: Series, index: int, request: Request) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Return the phase of the zero-filled image and, where k-space is fully sampled, that of the reference.

    Both ``(y, x)`` in radians, with the coils pre-whitened as in a reconstruction and combined as `recon.phase` says.
    """
    mask = torch.from_numpy(sampling_mask(series, request).mask)
    native = uses_native_grid(series, request)
    kspace, _ = whitened(on_grid(series.read(index).kspace, series, native=native), series, request)
    weights = phase.coil_weights(kspace * mask, mask, series.n_coils)

    def shown(samples: torch.Tensor) -> NDArray[np.float32]:
        combined = phase.combined(fourier.ifft2c(samples), weights)
        view: NDArray[np.float32] = fourier.centre_crop(combined, series.recon_size).numpy()
        return view

    return shown(kspace * mask), None if series.acquired_mask is not None else shown(kspace)


def whitened(kspace: torch.Tensor, series: Series, request: Request) -> tuple[torch.Tensor, bool]:
    """Return the k-space of a slice ``(coil, y, x)`` pre-whitened as in a reconstruction, and whether it was."""
    samples = series.noise if request.noise is None else noise.load(request.noise)
    if samples is None:
        return kspace, False
    return noise.mix(kspace, noise.whitening(torch.from_numpy(samples), series.n_coils)), True
