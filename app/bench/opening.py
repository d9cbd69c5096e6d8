"""Rows of the benchmark for files: the time to a first slice, the memory that it takes, and whole volumes."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.bench.measuring import TIMEOUT_S, Row, child_environment, cpu_seconds, elapsed
from recon.errors import MRIError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_N_SLICES, _N_COILS, _MATRIX = 35, 15, (640, 368)
_SIDE = 320
_MODEL, _N_VIRTUAL = "pcrnn-s", 4


def measure_opening(*, quick: bool) -> list[Row]:
    """Open a 35-slice, 15-coil, 640 × 368 file and show its first slice, torch being loaded already.

    From the path to the zero-filled image, mask and reference that the window shows, on one thread and in CPU seconds:
    the file was written just before, so nothing waits for the disk. The anchor does the same with h5py, numpy.fft and
    shifts. Memory is the resident set of the process after the
    slice is shown, less before, in slices of k-space (28 MB each); the file is written by another process and deleted
    afterwards.
    """
    import torch

    import recon
    from recon.preview import preview

    torch.set_num_threads(1)
    slice_bytes = 8 * _N_COILS * _MATRIX[0] * _MATRIX[1]
    n_slices = 8 if quick else _N_SLICES
    with tempfile.TemporaryDirectory(prefix="mri-workstation-bench-") as folder:
        path = _volume(folder, n_slices)
        torch.fft.ifft2(torch.ones(4, 4, dtype=torch.complex64))  # loads what torch loads on its first transform
        request = recon.Request(model="zero-filled", mask=recon.MaskSpec("equispaced-fraction", 4))

        def show() -> Any:
            series = recon.open_study(path).series[0]
            return preview(series, 0, request)

        before = _resident_bytes()
        started = time.perf_counter()
        shown = show()
        first_s = time.perf_counter() - started
        growth = (_resident_bytes() - before) / slice_bytes
        del shown
        clocked, times, anchors = [], [], []
        for _ in range(3 if quick else 7):
            anchors.append(cpu_seconds(lambda: _show_with_numpy(path)))
            times.append(cpu_seconds(lambda: clocked.append(elapsed(show))))
    value, anchor = 1000 * statistics.median(times), 1000 * statistics.median(anchors)
    by_clock = 1000 * statistics.median(clocked)
    limit = 2.0
    size = f"{n_slices} × {_N_COILS} × {_MATRIX[0]} × {_MATRIX[1]}"
    return [
        Row(
            "open and show first slice",
            value,
            "CPU ms",
            f"h5py + numpy.fft {anchor:.0f} ms",
            value / anchor,
            "≤ 300 ms",
            value <= 300,
            f"{size}; by the clock {by_clock:.0f} ms, the very first time {1000 * first_s:.0f} ms",
        ),
        Row("resident growth after it", growth, "slices", goal=f"≤ {limit:g}", met=growth <= limit),
    ]


def measure_volume(*, quick: bool) -> list[Row]:
    """What share of the time of a volume is its network's: reading, cropping, compression and stages are the rest.

    PC-RNN-S on slices of 15 coils of 640 × 368, compressed to four and reconstructed on the cropped grid as the program
    does it; one thread, CPU seconds. The network alone runs on the same size.
    """
    import torch

    import recon
    from recon.pipeline import Plan, prepare

    torch.set_num_threads(1)
    n_slices = 2 if quick else 4
    request = recon.Request(model=_MODEL, mask=recon.MaskSpec("equispaced-fraction", 4), device="cpu", coils=_N_VIRTUAL)
    with tempfile.TemporaryDirectory(prefix="mri-workstation-bench-") as folder, torch.inference_mode():
        series = recon.open_study(_volume(folder, n_slices)).series[0]
        plan = Plan(series, request)
        kspace = torch.randn(plan.n_virtual, *series.recon_size, dtype=torch.complex64)
        data = prepare(kspace, torch.from_numpy(plan.mask.mask), plan.n_virtual)

        def reconstruct_alone() -> Any:
            return plan.model(data.zero_filled, data.kspace, data.mask)

        reconstruct_alone()  # warms up
        alone = [cpu_seconds(reconstruct_alone) for _ in range(n_slices)]
        whole = cpu_seconds(lambda: recon.run(series, request, keep="none"))
        alone += [cpu_seconds(reconstruct_alone) for _ in range(n_slices)]
    value, anchor = whole / n_slices, statistics.median(alone)
    share = anchor / value
    size = f"{_N_COILS} × {_MATRIX[0]} × {_MATRIX[1]}"
    note = f"{n_slices} slices of {size}; {100 * share:.0f} % of the time is the network's"
    title = f"volume with {plan.card.title}: a slice"
    return [Row(title, value, "CPU s", f"network alone {anchor:.3g} s", share, "network ≥ 95 %", share >= 0.95, note)]


def _volume(folder: str, n_slices: int) -> Path:
    """Let another process, whose memory does not count here, write the volume."""
    path = Path(folder) / "volume.h5"
    subprocess.run(
        [sys.executable, "-m", "app.bench", "write-volume", str(path), str(n_slices)],
        check=True,
        timeout=TIMEOUT_S,
        env=child_environment(),
    )
    return path


def write_volume(path: Path, n_slices: int) -> None:
    """Write a volume of noise with a bright centre in the layout of fastMRI; every slice holds the same samples."""
    import h5py
    import numpy as np

    rng = np.random.default_rng(0)
    kspace = np.empty((_N_COILS, *_MATRIX), np.complex64)
    kspace.real = rng.standard_normal(kspace.shape, np.float32)
    kspace.imag = rng.standard_normal(kspace.shape, np.float32)
    rows, columns = (np.hanning(n).astype(np.float32) ** 8 for n in _MATRIX)
    kspace *= 1e-6 * (0.01 + rows[:, None] * columns[None, :])
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("kspace", (n_slices, *kspace.shape), np.complex64)
        for index in range(n_slices):
            dataset[index] = kspace
        file.create_dataset("reconstruction_rss", data=np.ones((n_slices, _SIDE, _SIDE), np.float32))
        file.attrs["acquisition"] = "CORPD_FBK"


def _show_with_numpy(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    import h5py
    import numpy as np

    with h5py.File(path) as file:
        kspace = file["kspace"][0]
        reference = file["reconstruction_rss"][0]
    axes = (-2, -1)
    keep = np.arange(kspace.shape[-1]) % 4 == 0
    images = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace * keep, axes=axes), norm="ortho"), axes=axes)
    return np.sqrt((np.abs(images) ** 2).sum(axis=0)), reference


def _resident_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        raise MRIError("resident memory can be measured on Linux only.") from None
