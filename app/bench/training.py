"""Rows of the benchmark for training: a step against plain float32, the loader, and the simulation of samples.

Everything is the training of `mri-workstation train` by its recipe for PC-RNN-S, on slices of the analytic phantom: the
same task, loader, simulation and optimiser. Without lightning, which training needs, the rows say so.
"""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
from dataclasses import replace
from functools import partial
from operator import getitem
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.bench.measuring import GIGABYTE, Row, cpu_seconds, plain_layout, precision
from recon.errors import MissingPackageError

if TYPE_CHECKING:
    from training.config import TrainingConfig

_RECIPE = "pcrnn-quick"
_TITLE = "PC-RNN-S training"
_SIDE, _LARGE_SIDE = 128, 320
_N_SLICES, _MATRIX = 4, (192, 192)
_NO_LIGHTNING = str(MissingPackageError("lightning", "train"))


def measure_step(*, quick: bool) -> list[Row]:
    """Forward, backward and optimiser for one slice at 128²: as it trains here, against fp32, NCHW and eager.

    CPU seconds on one thread, in turns; both sides begin with the same weights and get the same samples. Memory is that
    of the whole process, at 320².
    """
    title, goal = f"{_TITLE} step, {_SIDE}²", "≥ 3 × faster"
    if not _has_lightning():
        return [Row(title, None, "CPU s", goal=goal, note=_NO_LIGHTNING)]
    import torch

    from training.timing import do_step

    torch.set_num_threads(1)
    dtype, units = precision()
    form = "bf16" if dtype == torch.bfloat16 else "fp32"
    with tempfile.TemporaryDirectory(prefix="mri-workstation-bench-") as folder:
        config = replace(_recipe(Path(folder), _SIDE), precision=form)
        # First, while the process holds nothing else.
        rows = [] if quick else [_memory_row(replace(config, sizes=(_LARGE_SIDE,)), form)]
        batches = [_batch(config, number) for number in range(2)]
        fast, plain = _task(config, torch.channels_last), _task(replace(config, precision="fp32"), None)
        values: list[float] = []
        anchors: list[float] = []
        for turn in range(2 if quick else 5):
            value = cpu_seconds(partial(do_step, *fast, batches[turn % 2]))
            with plain_layout():
                anchor = cpu_seconds(partial(do_step, *plain, batches[turn % 2]))
            if turn:  # the first warms up
                values.append(value)
                anchors.append(anchor)
    value, anchor = statistics.median(values), statistics.median(anchors)
    step = Row(
        f"{title}, {form} channels-last",
        value,
        "CPU s",
        f"fp32 NCHW step {anchor:.3g} s",
        anchor / value,
        goal,
        anchor >= 3 * value if form == "bf16" else None,
        units,
    )
    return [step, *rows]


def measure_loader(*, quick: bool) -> list[Row]:
    """How much of a run is spent in its steps, and what share of a step the simulation of its samples takes.

    The first is by the clock, in the very loop of every run with the loader beside it, after some steps of warm-up. The
    second is in CPU seconds, on the mean of many samples, whose number of coils is drawn; it is what one more core has
    to give.
    """
    titles = f"{_TITLE}, {_SIDE}²: time in the step", f"{_TITLE}, {_SIDE}²: simulation of a sample"
    goals = "≥ 95 %", "≤ 10 % of the step"
    if not _has_lightning():
        return [
            Row(titles[0], None, "%", goal=goals[0], note=_NO_LIGHTNING),
            Row(titles[1], None, "CPU ms", goal=goals[1], note=_NO_LIGHTNING),
        ]
    import torch

    from training.data import open_data
    from training.devices import choose_devices
    from training.timing import time_run

    torch.set_num_threads(1)
    n_warm_up, n_steps = (2, 6) if quick else (5, 30)
    form = "bf16" if precision()[0] == torch.bfloat16 else "fp32"
    with tempfile.TemporaryDirectory(prefix="mri-workstation-bench-") as folder:
        config = replace(_recipe(Path(folder), _SIDE), precision=form, samples_per_epoch=n_warm_up + n_steps)
        samples = open_data(config).training(0, n_steps + 1)
        samples[n_steps]  # loads what the simulation uses
        simulation_s = statistics.mean(cpu_seconds(partial(getitem, samples, number)) for number in range(n_steps))
        step_s = _step_seconds(config, 2 if quick else 5)
        times = time_run(config, Path(folder), choose_devices("cpu"), n_warm_up)
    share = simulation_s / step_s
    return [
        Row(
            titles[0],
            100 * times.step_share,
            "%",
            goal=goals[0],
            met=times.step_share >= 0.95,
            note=f"{times.n_steps} steps by the clock, {times.samples_per_second:.2g} samples a second; samples are "
            f"made by {times.n_workers} process(es) beside it",
        ),
        Row(titles[1], 1000 * simulation_s, "CPU ms", f"step {1000 * step_s:.0f} ms", share, goals[1], share <= 0.1),
    ]


def measure_gpu(*, quick: bool) -> list[Row]:
    """Samples a second on a GPU and the share of what it can multiply, in bf16 and TF32; no rows without CUDA.

    The peak is that of a large matrix product of the same type in the same run. Operations are counted by torch in the
    forward and backward of one step; the run is that of `measure_loader`, its loader included.
    """
    import torch

    if not torch.cuda.is_available():
        return []
    if not _has_lightning():
        return [Row(f"{_TITLE} on a GPU", None, "samples/s", note=_NO_LIGHTNING)]
    return [_gpu_row(form, "1", quick=quick) for form in ("bf16", "tf32")]


def _gpu_row(form: str, devices: str, *, quick: bool) -> Row:
    """Time a run on one device, named as `training.devices.choose_devices` names it."""
    import torch

    from training.devices import choose_devices, device_name, products
    from training.timing import time_run

    chosen = choose_devices(devices)
    device = torch.device("cuda" if chosen.accelerator == "gpu" else "cpu")
    n_warm_up, n_steps, batch_size = (2, 4, 2) if quick else (10, 50, 8)
    side = _SIDE if quick else _LARGE_SIDE
    with tempfile.TemporaryDirectory(prefix="mri-workstation-bench-") as folder:
        config = replace(
            _recipe(Path(folder), side),
            precision=form,
            batch_size=batch_size,
            samples_per_epoch=(n_warm_up + n_steps) * batch_size,
        )
        times = time_run(config, Path(folder), chosen, n_warm_up)
        operations = _operations(config, device)
    with products(form):
        peak = _peak(form, device, 1024 if quick else 8192)
    share = times.samples_per_second * operations / peak
    return Row(
        f"{_TITLE}, {side}², batch {batch_size}, {form} on {device_name(device)}",
        times.samples_per_second,
        "samples/s",
        f"matrix product {peak / 1e12:.3g} TFLOP/s",
        share,
        note=f"{100 * share:.0f} % of the peak of {form}; {operations / 1e9:.0f} GFLOP a sample, forward and backward; "
        f"{100 * times.step_share:.0f} % of the time in the step",
    )


def _operations(config: TrainingConfig, device: Any) -> float:
    """Count the floating-point operations of the forward and backward of one sample."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from training.timing import do_step

    single = replace(config, batch_size=1)
    task, optimizer = _task(single, torch.channels_last)
    task.to(device)
    batch = {name: value.to(device) for name, value in _batch(single, 0).items()}
    with FlopCounterMode(display=False) as counter:
        do_step(task, optimizer, batch)
    return float(counter.get_total_flops())


def _peak(form: str, device: Any, side: int) -> float:
    """Return the operations a second of a large matrix product."""
    import time

    import torch

    dtype = torch.bfloat16 if form == "bf16" else torch.float32
    matrix = torch.randn(side, side, device=device, dtype=dtype)
    times = []
    for _ in range(6):
        started = time.perf_counter()
        float((matrix @ matrix)[0, 0])  # waits for the result
        times.append(time.perf_counter() - started)
    return float(2 * side**3 / min(times))


def _step_seconds(config: TrainingConfig, n: int) -> float:
    import torch

    from training.timing import do_step

    task, batch = _task(config, torch.channels_last), _batch(config, 0)
    do_step(*task, batch)  # warms up
    return statistics.median(cpu_seconds(lambda: do_step(*task, batch)) for _ in range(n))


def _memory_row(config: TrainingConfig, form: str) -> Row:
    import torch

    from recon.peak_memory import PeakMemory
    from training.timing import do_step

    task, batch = _task(config, torch.channels_last), _batch(config, 0)
    with PeakMemory("cpu") as peak:
        do_step(*task, batch)
    title, goal = f"{_TITLE} step, {config.sizes[0]}², {form}: peak memory", "≤ 1.5 GB"
    if peak.gigabytes is None:
        note = "the peak of resident memory can be measured on Linux only"
        return Row(title, None, "GB", goal=goal, note=note)
    value = peak.gigabytes * 2**30 / GIGABYTE
    met = value <= 1.5 if form == "bf16" else None
    return Row(title, value, "GB", goal=goal, met=met, note="one slice; the whole process, program included")


def _has_lightning() -> bool:
    return importlib.util.find_spec("lightning") is not None


def _recipe(folder: Path, side: int) -> TrainingConfig:
    """Return the recipe on slices of the phantom, which are written into a folder."""
    from training.config import read_config

    recipe = read_config(_RECIPE)
    return replace(
        recipe,
        images=str(_write_images(folder / "images.h5")),
        sizes=(side,),
        batch_size=1,
        epochs=1,
        minutes=0.0,
        validation_slices=1,
    )


def _write_images(path: Path) -> Path:
    """Write magnitude slices of the analytic phantom as the file of volumes that training simulates from."""
    import h5py
    import numpy as np
    import torch

    from recon.fourier import ifft2c
    from recon.phantom import PhantomSpec, slice_kspace

    spec = PhantomSpec(n_slices=_N_SLICES, n_coils=1, matrix=_MATRIX, noise=0.0)
    slices = torch.stack([ifft2c(torch.from_numpy(slice_kspace(spec, i)))[0].abs() for i in range(_N_SLICES)]).numpy()
    voxels = (slices * (30_000 / slices.max())).astype(np.uint16)
    with h5py.File(path, "w") as file:
        file["train/phantom"] = voxels
        file["validation/phantom"] = voxels[:1]
    return path


def _batch(config: TrainingConfig, number: int) -> dict[str, Any]:
    from training.data import collate, open_data

    return collate([open_data(config).training(0, number + 1)[number]])


def _task(config: TrainingConfig, layout: Any) -> tuple[Any, Any]:
    """Return a task in training mode and its optimiser; layout None is that of plain PyTorch."""
    import torch

    from training.module import ReconstructionTask

    task = ReconstructionTask(config)
    model: Any = task.model
    model.to(memory_format=layout or torch.contiguous_format)
    return task.train(), task.configure_optimizers()
