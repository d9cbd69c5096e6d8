"""Devices: which there are, what they can, and what to say when they cannot."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from recon.errors import DeviceError, UnknownDeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator


def list_devices() -> list[tuple[str, str]]:
    """Return ``(name, description)`` of every device that a request may name, best first."""
    found = [(f"cuda:{i}", torch.cuda.get_device_name(i)) for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append(("mps", "Apple GPU"))
    return [*found, ("cpu", f"{torch.get_num_threads()} threads")]


def resolve(name: str) -> torch.device:
    """Return the device that a request names; ``auto`` takes the best that works.

    Raises
    ------
    DeviceError
        If it is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return _repeatable(torch.device("cuda:0"))
        return torch.device("mps") if torch.backends.mps.is_available() and _mps_works() else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UnknownDeviceError(f"device {name!r} is unknown; choose auto, cpu, cuda, cuda:0 or mps.") from None
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            have = f"{count} CUDA device(s)" if count else "no CUDA device"
            raise DeviceError(f"device {name} is not there: this machine has {have}. Choose auto or cpu.")
        return _repeatable(torch.device("cuda", device.index or 0))
    if device.type == "mps":
        if not torch.backends.mps.is_available():
            raise DeviceError("device mps is not there: this machine has no Apple GPU. Choose auto or cpu.")
        if not _mps_works():
            raise DeviceError("this version of torch has no complex Fourier transform on mps. Choose cpu.")
        return device
    if device.type != "cpu":
        raise UnknownDeviceError(f"device {name!r} is not supported; choose auto, cpu, cuda, cuda:0 or mps.")
    return torch.device("cpu")


def has_bfloat16_units(device: torch.device) -> bool:
    """True when bfloat16 matrix products are faster than float32 ones on this device."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(bool(getattr(torch.cpu, probe)()) for probe in probes if hasattr(torch.cpu, probe))


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """Return the type that a network computes in; the Fourier transforms stay in complex64."""
    if precision == "auto":
        return torch.bfloat16 if has_bfloat16_units(device) else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


@contextmanager
def explain_memory(device: torch.device) -> Iterator[None]:
    """Turn a device's out-of-memory failure into a DeviceError that says what to do."""
    try:
        yield
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        raise DeviceError(
            f"{device} ran out of memory; reconstruct on the CPU, choose a smaller model or close other programs.",
            out_of_memory=True,
        ) from None
    except RuntimeError as error:
        if "can't allocate memory" in str(error) or "out of memory" in str(error):
            raise DeviceError(
                "the machine ran out of memory; choose a smaller model or close other programs.", out_of_memory=True
            ) from None
        raise


def _repeatable(device: torch.device) -> torch.device:
    # The same request gives the same image: no choosing of algorithms by timing, none that adds in any order.
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    return device


def _mps_works() -> bool:
    try:
        probe = torch.ones(2, 4, 4, dtype=torch.complex64, device="mps")
        return bool((torch.fft.ifft2(torch.fft.fft2(probe)) * probe).abs().sum().item() > 0)
    except (RuntimeError, TypeError, NotImplementedError):
        return False
