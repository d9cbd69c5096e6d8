"""The centred orthonormal Fourier pair, crops and pads.

The same operator as fastMRI's ``fft2c``/``ifft2c``, on complex tensors instead of a trailing axis of size 2.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from recon.errors import RequestError
from recon.shapes import Complex, Shaped


def fft2c(image: Complex[Tensor, "*batch y x"]) -> Complex[Tensor, "*batch y x"]:
    """Centred orthonormal Fourier transform over the last two axes, image to k-space."""
    return _centred(torch.fft.fft2, image, (-2, -1))


def ifft2c(kspace: Complex[Tensor, "*batch y x"]) -> Complex[Tensor, "*batch y x"]:
    """Centred orthonormal inverse Fourier transform over the last two axes, k-space to image."""
    return _centred(torch.fft.ifft2, kspace, (-2, -1))


def fft1c(image: Complex[Tensor, "*batch n"], dim: int = -1) -> Complex[Tensor, "*batch n"]:
    """Centred orthonormal Fourier transform along one axis."""
    return _centred(torch.fft.fftn, image, (dim,))


def ifft1c(kspace: Complex[Tensor, "*batch n"], dim: int = -1) -> Complex[Tensor, "*batch n"]:
    """Centred orthonormal inverse Fourier transform along one axis."""
    return _centred(torch.fft.ifftn, kspace, (dim,))


def check_axes(tensor: object, dim: tuple[int, ...]) -> None:
    """Raise RequestError for what is no tensor, or has not these axes."""
    if not isinstance(tensor, Tensor):
        hint = "; torch.from_numpy makes one of an array" if type(tensor).__module__ == "numpy" else ""
        raise RequestError(f"a {type(tensor).__name__} was given; a tensor was expected{hint}.")
    if not all(-tensor.ndim <= axis < tensor.ndim for axis in dim):
        axes = f"{'axis' if len(dim) == 1 else 'axes'} {' and '.join(map(str, dim))}"
        raise RequestError(f"a tensor of shape {tuple(tensor.shape)} was given; one with the {axes} was expected.")


def _centred(transform: Callable[..., Tensor], tensor: Tensor, dim: tuple[int, ...]) -> Tensor:
    check_axes(tensor, dim)
    if tensor.numel() == 0:
        raise RequestError(f"a tensor of shape {tuple(tensor.shape)} was given, which is empty; leave it out.")
    tensor = torch.fft.ifftshift(tensor, dim=dim)
    # float16 and bfloat16 have no complex partner on most devices: transforms always run in full precision.
    with torch.autocast(tensor.device.type, enabled=False):
        tensor = transform(tensor, dim=dim, norm="ortho")
    result: Tensor = torch.fft.fftshift(tensor, dim=dim)
    return result


def centre_crop(image: Shaped[Tensor, "*batch y x"], size: tuple[int, int]) -> Shaped[Tensor, "*batch h w"]:
    """Crop the centre of the last two axes, as fastMRI's ``center_crop``; an axis that is smaller stays as it is."""
    rows, columns = (min(want, have) for want, have in zip(size, image.shape[-2:], strict=True))
    top, left = (image.shape[-2] - rows) // 2, (image.shape[-1] - columns) // 2
    return image[..., top : top + rows, left : left + columns]


def crop_field_of_view(kspace: Complex[Tensor, "*batch y x"], size: tuple[int, int]) -> Complex[Tensor, "*batch h w"]:
    """Return the k-space of the centre of the image: ``fft2c(centre_crop(ifft2c(kspace), size))``, in less time.

    Parameters
    ----------
    kspace
        complex64.
    size
        Rows and columns of the field of view that stays; an axis that is smaller stays as it is.
    """

    def crop(one: Tensor) -> Tensor:
        return _crop_axis(_crop_axis(one, size[0], -2), size[1], -1)

    is_whole = size[0] >= kspace.shape[-2] and size[1] >= kspace.shape[-1]
    if is_whole or kspace.dim() < 3 or kspace.device.type != "cpu":
        return crop(kspace)
    # One coil at a time: its copies stay in the cache, where those of all coils would go through fresh memory.
    coils = [crop(one) for one in kspace.reshape(-1, *kspace.shape[-2:])]
    cropped = torch.stack(coils)
    return cropped.reshape(*kspace.shape[:-2], *cropped.shape[-2:])


def _crop_axis(kspace: Tensor, n_wanted: int, dim: int) -> Tensor:
    """Crop the field of view along one axis, between a transform and its inverse along this axis alone."""
    n = kspace.shape[dim]
    if n_wanted >= n:
        return kspace
    if n % 2 or n_wanted % 2:
        first = (n - n_wanted) // 2
        return fft1c(ifft1c(kspace, dim).narrow(dim, first, n_wanted), dim)
    # Moving the centre of k-space by half an even grid changes the sign of every other pixel, the same pixels before
    # and after the crop: without the shifts the signs cancel, and the centre of the image lies at both its ends.
    half = n_wanted // 2
    with torch.autocast(kspace.device.type, enabled=False):
        image = torch.fft.ifft(kspace, dim=dim, norm="ortho")
        image = torch.cat((image.narrow(dim, 0, half), image.narrow(dim, n - half, half)), dim)
        result: Tensor = torch.fft.fft(image, dim=dim, norm="ortho")
        return result


def pad_to_multiple(image: Shaped[Tensor, "*batch y x"], multiple: int) -> Shaped[Tensor, "*batch h w"]:
    """Pad the last two axes with zeros, evenly on both sides, to the next multiple; `centre_crop` undoes it."""
    rows, columns = image.shape[-2:]
    extra_rows, extra_columns = -rows % multiple, -columns % multiple
    if extra_rows == 0 and extra_columns == 0:
        return image
    left, top = extra_columns // 2, extra_rows // 2
    return torch.nn.functional.pad(image, (left, extra_columns - left, top, extra_rows - top))
