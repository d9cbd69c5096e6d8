"""Rows of the benchmark for coils: compression against a transform and BART, sensitivity maps against BART.

Both sides get one thread and are counted in CPU seconds, in turns. BART is a program: its time is that of the whole
process, which reads and writes files; what `bart copy` of the same files takes is named, so that nobody has to guess.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.bench.measuring import Row, cpu_seconds, cpu_seconds_of, missing_bart
from recon import programs

if TYPE_CHECKING:
    from collections.abc import Callable

_N_COILS, _MATRIX = 15, (320, 320)
# Raw k-space of a knee with its oversampled readout, as it is compressed for a network.
_LARGE_MATRIX = (640, 368)
_N_CALIBRATION = 26


def measure_coils(*, quick: bool) -> list[Row]:
    """Compress 15 coils of 640 × 368 to 4 on one thread, against the inverse FFT of the same k-space."""
    import torch

    from recon.coils import compress
    from recon.fourier import ifft2c

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    kspace = torch.randn(_N_COILS, *_LARGE_MATRIX, dtype=torch.complex64, generator=generator)
    times: list[float] = []
    anchors: list[float] = []
    compress(kspace, 4)
    ifft2c(kspace)
    for _ in range(5 if quick else 15):
        times.append(cpu_seconds(lambda: compress(kspace, 4)))
        anchors.append(cpu_seconds(lambda: ifft2c(kspace)))
    value, anchor = 1000 * statistics.median(times), 1000 * statistics.median(anchors)
    return [
        Row(
            "coil compression 15 → 4",
            value,
            "CPU ms",
            f"centred inverse FFT {anchor:.1f} ms",
            value / anchor,
            "≤ 2 × anchor",
            value <= 2 * anchor,
        )
    ]


def measure_maps(*, quick: bool) -> list[Row]:
    """ESPIRiT maps of 15 coils at 320² against ``bart ecalib -m1 -r26``."""
    import torch

    from recon.coils import espirit, root_sum_of_squares

    kspace = _kspace()
    title, goal = f"ESPIRiT maps, {_N_COILS} coils, 320²", "≥ 1 × BART's speed"
    ours, barts, found = _in_turns(
        lambda: espirit(kspace, _N_CALIBRATION), ["ecalib", "-m1", f"-r{_N_CALIBRATION}"], n=2 if quick else 5
    )
    value = statistics.median(ours)
    if found is None:
        return [Row(title, value, "CPU s", goal=goal, note=missing_bart())]
    anchor = statistics.median(barts)
    maps, expected = espirit(kspace, _N_CALIBRATION), torch.from_numpy(found)
    inside, expected_inside = (root_sum_of_squares(one) > 0.5 for one in (maps, expected))
    error = root_sum_of_squares(maps - expected)[inside & expected_inside]
    note = (
        f"95 % of the pixels within {float(torch.quantile(error, 0.95)):.1g} of BART's maps; the support differs in "
        f"{int((inside ^ expected_inside).sum())} of {inside.numel()} pixels"
    )
    text = f"bart ecalib {anchor:.2f} s"
    return [Row(title, value, "CPU s", text, anchor / value, goal, value <= anchor, note)]


def measure_compression(*, quick: bool) -> list[Row]:
    """Compress 15 coils of 320² to 8 virtual ones against ``bart cc -S -p8 -r24``."""
    from recon.coils import compress

    kspace = _kspace()
    title, goal = f"coil compression {_N_COILS} → 8, 320²", "≥ 20 × BART's speed"
    ours, barts, found = _in_turns(lambda: compress(kspace, 8), ["cc", "-S", "-p8", "-r24"], n=5 if quick else 15)
    value = 1000 * statistics.median(ours)
    if found is None:
        return [Row(title, value, "CPU ms", goal=goal, note=missing_bart())]
    anchor = 1000 * statistics.median(barts)
    _, copies, _ = _in_turns(lambda: None, ["copy"], n=5)
    files = 1000 * statistics.median(copies)
    note = f"the process with its files; `bart copy` of the same takes {files:.0f} ms"
    text = f"bart cc {anchor:.0f} ms"
    return [Row(title, value, "CPU ms", text, anchor / value, goal, anchor >= 20 * value, note)]


def _kspace() -> Any:
    import torch

    from recon.phantom import PhantomSpec, slice_kspace

    torch.set_num_threads(1)
    return torch.from_numpy(slice_kspace(PhantomSpec(n_slices=1, n_coils=_N_COILS, matrix=_MATRIX, noise=0.01), 0))


def _in_turns(work: Callable[[], object], command: list[str], n: int) -> tuple[list[float], list[float], Any | None]:
    """Return the CPU seconds of our work and of BART's command on the same k-space, and what BART made.

    Parameters
    ----------
    work
        Ours.
    command
        BART's tool and its options; input and output are appended. It is not run where there is no BART.
    n
        How often each is run.
    """
    import numpy as np

    from recon.io import cfl

    bart = programs.find("bart")
    ours: list[float] = []
    barts: list[float] = []
    work()
    with tempfile.TemporaryDirectory(prefix="mri-workstation-bench-") as folder:
        # BART's first dimensions are readout, two phase encodes and coils.
        cfl.write(Path(folder) / "kspace", _kspace().numpy().transpose(1, 2, 0)[None])
        for _ in range(n):
            ours.append(cpu_seconds(work))
            if bart is not None:
                barts.append(cpu_seconds_of([str(bart), *command, "kspace", "result"], folder))
        if bart is None:
            return ours, barts, None
        result = np.array(cfl.read(Path(folder) / "result"))
    return ours, barts, np.ascontiguousarray(result[0].transpose(2, 0, 1))
