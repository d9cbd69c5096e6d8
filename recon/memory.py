"""Memory: what is free, and whether a method fits, said before it starts and not when it fails."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from recon.errors import DeviceError, RequestError

if TYPE_CHECKING:
    from recon.models.blocks import ReconstructionModel

logger = logging.getLogger(__name__)

# A method that needs more than this for a slice says so even where there is enough.
_WORTH_SAYING_BYTES = 1_000_000_000

_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def check_memory(
    model: ReconstructionModel,
    name: str,
    shape: tuple[int, int, int, int],
    device: torch.device,
    *,
    joins_coils: bool = False,
) -> list[str]:
    """Compare what a method needs with what is free, before it starts.

    Parameters
    ----------
    model, name
        The method, and what the reader calls it.
    shape
        ``(batch, coil, y, x)`` of the coil images that it will be given.
    device
        Where it runs.
    joins_coils
        The batch entries are coils that are joined.

    Returns
    -------
    Warnings: what it needs, where that is much.

    Raises
    ------
    RequestError
        If the machine has less memory; the message names a lighter setting where there is one.
    DeviceError
        The same for a device beside the CPU, which is the way out then.
    """
    needed = model.peak_memory_bytes(shape, joins_coils=joins_coils)
    if needed < _WORTH_SAYING_BYTES / 4:
        return []  # not worth a look at what is free
    free = free_bytes(device)
    text = f"{name} needs about {_gigabytes(needed)} for a slice of {shape[-2]} × {shape[-1]}"
    lighter = f"lighter: {model.lighter_setting}" if model.lighter_setting else ""
    if free is not None and needed > free:
        text += f", and {_gigabytes(free)} are free on {device}; "
        advice = lighter or "choose a smaller model or close other programs"
        if device.type == "cpu":
            raise RequestError(f"{text}{advice}.")
        raise DeviceError(f"{text}{advice}, or the CPU.", out_of_memory=True)
    if needed < _WORTH_SAYING_BYTES:
        return []
    return [f"{text}{f' ({lighter})' if lighter else ''}."]


def announce_memory(
    model: ReconstructionModel,
    name: str,
    shape: tuple[int, int, int, int],
    device: torch.device,
    *,
    joins_coils: bool = False,
) -> list[str]:
    """Check the memory and log the warnings before the method starts; the record of its result says them again."""
    warnings = check_memory(model, name, shape, device, joins_coils=joins_coils)
    for warning in warnings:
        logger.warning("%s", warning)
    return warnings


def free_bytes(device: torch.device) -> int | None:
    """Return what a device has free, what torch keeps in reserve included; None where nobody knows."""
    if device.type == "cuda":
        reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + reserve)
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    found = [free for free in (_machine(), _group()) if free is not None]
    return min(found, default=None)


def _machine() -> int | None:
    try:
        fields = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines() if ":" in line)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _group() -> int | None:
    """What a container, or a batch system, still grants this process."""
    try:
        limit, used = ((_GROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
        # Files that the kernel keeps in memory count as used and are given up when needed.
        kept = dict(line.split(" ", 1) for line in (_GROUP / "memory.stat").read_text().splitlines())
        return max(int(limit) - int(used) + int(kept.get("inactive_file", 0)), 0)
    except (OSError, ValueError):  # no group, or "max"
        return None


def _gigabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB"
