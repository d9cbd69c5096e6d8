"""The most memory that a piece of work held."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """Measures a block of code.

    On a CUDA device: what torch allocated there. Elsewhere: the resident memory of the whole process, program
    included, which Linux alone lets be measured again and again.

    Parameters
    ----------
    device
        Name of the device that the work runs on, such as ``cuda:0``.

    Attributes
    ----------
    gigabytes
        The peak in GiB; None where it cannot be measured.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._has_reset = False
        self.gigabytes: float | None = None

    def __enter__(self) -> PeakMemory:
        if self._device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats(self._device)
            return self
        try:
            _RESET.write_text("5")  # the high-water mark starts again at what is resident now
        except OSError:
            return self
        self._has_reset = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._device.startswith("cuda"):
            import torch

            self.gigabytes = torch.cuda.max_memory_allocated(self._device) / 2**30
        elif self._has_reset:
            lines = _STATUS.read_text().splitlines()
            kilobytes = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)
            self.gigabytes = None if kilobytes is None else kilobytes / 2**20
