"""The benchmark: every row is a ratio against an anchor that is measured in the same run, or a rate with a goal.

Each measurement runs in a process of its own (``python -m app.bench NAME``), so that what one imports or allocates
does not colour the next, and prints its rows as JSON. Runs of a value and of its anchor are interleaved and the median
is taken, so that a busy machine disturbs both alike. Networks and coil compression are measured on one thread and in
CPU seconds; what a user waits for (start-up, opening) is measured by the clock.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.errors import MRIError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_TIMEOUT_S = 900


@dataclass(frozen=True)
class Row:
    """One line of the benchmark.

    Attributes
    ----------
    name
        What was measured.
    value, unit
        The result.
    anchor
        What the value is compared with, as text with its own value.
    ratio
        Value over anchor, or anchor over value where the row says "times faster"; None without an anchor.
    goal
        What is asked for.
    met
        Whether the goal is met; None where it does not apply to this machine, with the reason in ``note``.
    note
        What a reader must know.
    """

    name: str
    value: float
    unit: str
    anchor: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None
    note: str = ""


# ---- start-up -----------------------------------------------------------------------------------------------------

_WINDOW_SCRIPT = "import sys; from app.cli import main; sys.exit(main([]))"
_TORCH_SCRIPT = "import torch; print('{}', flush=True)"


def measure_window(*, quick: bool) -> list[Row]:
    """Time from the start of Python to the shown and painted window, against the end of ``import torch``.

    Both are counted from just before the process is launched to the line that it prints, by the clock, in turns. The
    window is opened by the command line as a user opens it, offscreen, with settings of its own.
    """
    from app.window import EXIT_AFTER_SHOW

    shown, imported, has_torch = [], [], False
    with tempfile.TemporaryDirectory(prefix="mri-workstation-bench-") as folder:
        environment = child_environment() | {EXIT_AFTER_SHOW: "1", "XDG_CONFIG_HOME": folder}
        for script in (_WINDOW_SCRIPT, _TORCH_SCRIPT):
            _seconds_to_first_line(script, environment)  # from the disk into memory, once
        for _ in range(3 if quick else 7):
            seconds, answer = _seconds_to_first_line(_WINDOW_SCRIPT, environment)
            shown.append(seconds)
            has_torch = has_torch or answer["torch_loaded"]
            imported.append(_seconds_to_first_line(_TORCH_SCRIPT, environment)[0])
    value, anchor = statistics.median(shown), statistics.median(imported)
    ratio = value / anchor
    return [
        Row("window on screen", value, "s", f"import torch {anchor:.2f} s", ratio, "≤ 0.6 × anchor", ratio <= 0.6),
        Row("torch loaded when the window shows", float(has_torch), "", goal="no (0)", met=not has_torch),
    ]


def _seconds_to_first_line(script: str, environment: dict[str, str]) -> tuple[float, dict[str, Any]]:
    """Run a script; return the seconds until it printed a line of JSON, and the JSON."""
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - started
        _, errors = process.communicate(timeout=_TIMEOUT_S)
    if process.returncode or not line:
        raise MRIError(f"the process ended with status {process.returncode}: {last_line(errors)}")
    answer: dict[str, Any] = json.loads(line)
    return seconds, answer


# ---- scrolling ----------------------------------------------------------------------------------------------------


def measure_scrolling(*, quick: bool) -> list[Row]:
    """Refreshes of eight linked panes, painted offscreen, when slices that are in memory are scrolled.

    Counted in CPU seconds of this process, which does nothing else, so that a busy machine does not count as a slow
    program; the rate by the clock is in the note.
    """
    from PySide6.QtWidgets import QApplication

    from app.views.refresh_rate import measure_refresh

    application = QApplication.instance() or QApplication(sys.argv[:1])
    measure_refresh(n_panes=8, seconds=0.2)  # builds fonts, icons and caches
    seconds = 2.0 if quick else 5.0
    started = time.process_time()
    by_clock = float(measure_refresh(n_panes=8, seconds=seconds))
    rate = by_clock * seconds / (time.process_time() - started)
    application.processEvents()
    return [
        Row(
            "scrolling on 8 panes",
            rate,
            "refreshes/CPU s",
            goal="≥ 30",
            met=rate >= 30,
            note=f"{by_clock:.0f} a second by the clock",
        )
    ]


# ---- opening ------------------------------------------------------------------------------------------------------

_N_SLICES, _N_COILS, _MATRIX = 35, 15, (640, 368)


def measure_opening(*, quick: bool) -> list[Row]:
    """Open a 35-slice, 15-coil, 640 × 368 file and show its first slice, torch being loaded already.

    The clock runs from the path to the zero-filled image, mask and reference that the window shows. The anchor does
    the same with h5py, numpy.fft and shifts. Memory is the resident set of the process after the slice is shown,
    less before, in slices of k-space (28 MB each); the file is written by another process and deleted afterwards.
    """
    import torch

    import recon
    from recon.pipeline import preview

    slice_bytes = 8 * _N_COILS * _MATRIX[0] * _MATRIX[1]
    n_slices = 8 if quick else _N_SLICES
    with tempfile.TemporaryDirectory(prefix="mri-workstation-bench-") as folder:
        path = Path(folder) / "volume.h5"
        # Written by another process, whose memory does not count here.
        subprocess.run(
            [sys.executable, "-m", "app.bench", "write-volume", str(path), str(n_slices)],
            check=True,
            timeout=_TIMEOUT_S,
            env=child_environment(),
        )
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
        times, anchors = [first_s], []
        for _ in range(3 if quick else 5):
            anchors.append(_elapsed(lambda: _show_with_numpy(path)))
            times.append(_elapsed(show))
    value, anchor = 1000 * statistics.median(times), 1000 * statistics.median(anchors)
    limit = 2.0
    size = f"{n_slices} × {_N_COILS} × {_MATRIX[0]} × {_MATRIX[1]}"
    return [
        Row(
            "open and show first slice",
            value,
            "ms",
            f"h5py + numpy.fft {anchor:.0f} ms",
            value / anchor,
            "≤ 300 ms",
            value <= 300,
            f"{size}; the very first time {1000 * first_s:.0f} ms",
        ),
        Row("resident growth after it", growth, "slices", goal=f"≤ {limit:g}", met=growth <= limit),
    ]


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
        file.create_dataset("reconstruction_rss", data=np.ones((n_slices, 320, 320), np.float32))
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


# ---- networks -----------------------------------------------------------------------------------------------------


def measure_network(*, quick: bool) -> list[Row]:
    """One slice of PC-RNN-S at 320² on four virtual coils: the bfloat16 path against fp32, NCHW, eager.

    One thread, inference mode, CPU seconds, in turns. The weights are the published ones where there are any. The
    loss is the difference of both results' PSNR against the phantom's truth; "between" is PSNR of one against the
    other. The last row is the share of the data-consistency steps in the bfloat16 slice.
    """
    import copy

    import torch

    from recon import device, masks, metrics
    from recon.coils import root_sum_of_squares
    from recon.models import create, get_card, load
    from recon.operator import HardDataConsistency
    from recon.phantom import PhantomSpec, slice_kspace
    from recon.pipeline import prepare

    torch.set_num_threads(1)
    is_trained = any(weights.n_coils == 4 for weights in get_card("pcrnn-s").weights)
    torch.manual_seed(0)
    plain = (load("pcrnn-s", 4) if is_trained else create("pcrnn-s", 4)).float().eval().requires_grad_(False)
    fast: Any = copy.deepcopy(plain)
    fast = fast.to(dtype=torch.bfloat16, memory_format=torch.channels_last)
    spec = PhantomSpec(n_slices=1, n_coils=8, matrix=(320, 320), noise=0.02)
    kspace = torch.from_numpy(slice_kspace(spec, 0))
    sampling = masks.make(masks.MaskSpec("equispaced-fraction", 4, seed=0), spec.matrix)
    mask = torch.from_numpy(sampling.mask)
    data = prepare(kspace, mask, 4)
    full = prepare(kspace, torch.ones_like(mask), 4)
    reference = root_sum_of_squares(full.zero_filled * full.scale, dim=1).numpy()

    def reconstruct(model: Any) -> NDArray[Any]:
        image = model(data.zero_filled, data.kspace, data.mask) * data.scale
        combined: NDArray[Any] = root_sum_of_squares(image, dim=1).numpy()
        return combined

    with torch.inference_mode(), _contiguous_layout(plain):
        images = {"fp32": reconstruct(plain), "bf16": reconstruct(fast)}  # also warms up
        seconds: dict[str, list[float]] = {"fp32": [], "bf16": []}
        for _ in range(2 if quick else 5):
            seconds["fp32"].append(_cpu_seconds(lambda: reconstruct(plain)))
            seconds["bf16"].append(_cpu_seconds(lambda: reconstruct(fast)))
        consistency = HardDataConsistency(data.kspace, data.mask)
        n_steps = plain.n_stages
        step_s = statistics.median(_cpu_seconds(lambda: consistency(data.zero_filled)) for _ in range(9))
    value, anchor = statistics.median(seconds["bf16"]), statistics.median(seconds["fp32"])
    loss = float(metrics.psnr(reference, images["fp32"])) - float(metrics.psnr(reference, images["bf16"]))
    between = float(metrics.psnr(images["fp32"], images["bf16"]))
    note = "" if is_trained else "fresh weights: none are published"
    # Without matrix units the goal does not apply, but reaching it counts all the same.
    has_matrix_units, reason = _matrix_units(device)
    met = True if anchor / value >= 3 else (False if has_matrix_units else None)
    share = step_s * n_steps / value
    return [
        Row(
            "PC-RNN-S slice 320², bf16 channels-last",
            value,
            "CPU s",
            f"fp32 NCHW eager {anchor:.2f} s",
            anchor / value,
            "≥ 3 × faster",
            met,
            "; ".join(filter(None, [reason, note])),
        ),
        Row(
            "PSNR loss of bf16",
            loss,
            "dB",
            goal="≤ 0.05 dB",
            met=loss <= 0.05,
            note="; ".join(filter(None, [f"between the two {between:.1f} dB", note])),
        ),
        Row("data consistency in that slice", 100 * share, "%", goal="≤ 10 %", met=share <= 0.1),
    ]


@contextlib.contextmanager
def _contiguous_layout(model: Any) -> Any:
    """Let a network run in the layout of plain PyTorch code; ours lays its input out channels-last."""
    from recon.fourier import pad_to_multiple

    def enter(channels: Any) -> Any:
        return pad_to_multiple(channels, 4).contiguous(), tuple(channels.shape[-2:])

    model._enter = enter
    try:
        yield
    finally:
        del model._enter


def _matrix_units(device: Any) -> tuple[bool, str]:
    """Return whether the CPU multiplies bfloat16 matrices in hardware, and what to say if it does not."""
    import torch

    has_tiles = bool(getattr(torch.cpu, "_is_amx_tile_supported", bool)())
    if has_tiles:
        return True, ""
    if device.has_bfloat16_units(torch.device("cpu")):
        return False, "this CPU has bf16 dot products (AVX512_BF16) and no matrix units (AMX)"
    return False, "this CPU has no bf16 units; the program computes in fp32 channels-last here"


# ---- coils --------------------------------------------------------------------------------------------------------


def measure_coils(*, quick: bool) -> list[Row]:
    """Compress 15 coils of 640 × 368 to 4 on one thread, against the inverse FFT of the same k-space."""
    import torch

    from recon.coils import compress
    from recon.fourier import ifft2c

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    kspace = torch.randn(_N_COILS, *_MATRIX, dtype=torch.complex64, generator=generator)
    times: list[float] = []
    anchors: list[float] = []
    compress(kspace, 4)
    ifft2c(kspace)
    for _ in range(5 if quick else 15):
        times.append(_cpu_seconds(lambda: compress(kspace, 4)))
        anchors.append(_cpu_seconds(lambda: ifft2c(kspace)))
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


# ---- running ------------------------------------------------------------------------------------------------------

MEASUREMENTS: dict[str, Callable[..., list[Row]]] = {
    "window": measure_window,
    "scrolling": measure_scrolling,
    "opening": measure_opening,
    "network": measure_network,
    "coils": measure_coils,
}


def measure(name: str, *, quick: bool) -> list[Row]:
    """Run a measurement in a process of its own.

    Raises
    ------
    MRIError
        If it fails.
    """
    command = [sys.executable, "-m", "app.bench", name, *(["--quick"] if quick else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, env=child_environment())
    except subprocess.TimeoutExpired:
        raise MRIError(f"the measurement of {name} took more than {_TIMEOUT_S} s.") from None
    if done.returncode:
        raise MRIError(f"the measurement of {name} failed: {last_line(done.stderr)}")
    return [Row(**values) for values in json.loads(done.stdout.strip().splitlines()[-1])]


def child_environment() -> dict[str, str]:
    """Return the environment of a process that imports this program and draws on no screen."""
    root = str(Path(__file__).resolve().parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "QT_QPA_PLATFORM": "offscreen"}


def last_line(text: str) -> str:
    """Return the last line of a process' stderr: the error at the end of a traceback."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _elapsed(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def _cpu_seconds(function: Callable[[], object]) -> float:
    started = time.process_time()
    function()
    return time.process_time() - started


def main(words: Sequence[str]) -> int:
    """Run one measurement in this process, or write the volume of another."""
    if words[0] == "write-volume":
        write_volume(Path(words[1]), int(words[2]))
        return 0
    rows = MEASUREMENTS[words[0]](quick="--quick" in words)
    sys.stdout.write(json.dumps([asdict(row) for row in rows]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
