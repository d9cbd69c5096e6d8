"""The rows of training: what they say of a step, a loader and a GPU, on networks of a few channels."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from app.bench import training as bench
from recon import device, peak_memory


@pytest.fixture(autouse=True)
def small_training(monkeypatch):
    """Slices and a network that take no time; the other tests keep their threads."""
    monkeypatch.setattr(bench, "_RECIPE", "unet-fastmri-quick")
    monkeypatch.setattr(bench, "_SIDE", 32)
    monkeypatch.setattr(bench, "_LARGE_SIDE", 48)
    monkeypatch.setattr(bench, "_N_SLICES", 1)
    monkeypatch.setattr(bench, "_MATRIX", (48, 48))
    # Not by a stand-in for set_num_threads: a loader's process calls it so as not to wait for threads it does not have.
    n_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(n_threads)


def test_a_step_is_compared_with_plain_float32(monkeypatch):
    monkeypatch.setattr(device, "has_bfloat16_units", lambda device: True)  # noqa: ARG005
    [step] = bench.measure_step(quick=True)
    assert step.name.endswith("bf16 channels-last")
    assert step.anchor.startswith("fp32 NCHW step")
    assert step.met is (step.ratio >= 3)


def test_without_bfloat16_units_the_layout_alone_is_reported(monkeypatch):
    monkeypatch.setattr(device, "has_bfloat16_units", lambda device: False)  # noqa: ARG005
    [step] = bench.measure_step(quick=True)
    assert step.name.endswith("fp32 channels-last")
    assert step.met is None and step.ratio > 0
    assert "no bf16 units" in step.note


def test_the_full_bench_measures_the_memory_of_a_step():
    _, memory = bench.measure_step(quick=False)
    assert "48²" in memory.name and memory.goal == "≤ 1.5 GB"
    if memory.value is not None:
        assert memory.value > 0.01  # the program alone


def test_memory_that_cannot_be_measured_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(peak_memory, "_RESET", tmp_path / "missing" / "clear_refs")
    _, memory = bench.measure_step(quick=False)
    assert memory.value is None and memory.met is None
    assert "Linux" in memory.note


def test_the_plain_side_stays_in_plain_layout(tmp_path):
    config = bench._recipe(tmp_path, 32)
    for layout, expected in ((torch.channels_last, True), (None, False)):
        task, _ = bench._task(config, layout)
        kernels = [one for one in task.model.parameters() if one.dim() == 4 and min(one.shape) > 1]
        assert {one.is_contiguous(memory_format=torch.channels_last) for one in kernels} == {expected}


def test_the_loader_is_timed_in_the_loop_of_every_run():
    share, simulation = bench.measure_loader(quick=True)
    assert share.note.startswith("6 steps")
    assert 0 < share.value < 100
    assert share.met is (share.value >= 95)
    assert simulation.met is (simulation.ratio <= 0.1)
    assert simulation.value > 0


def test_rows_without_lightning_name_the_reason(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # noqa: ARG005
    rows = [*bench.measure_step(quick=True), *bench.measure_loader(quick=True)]
    assert all(row.value is None and row.met is None and "lightning" in row.note for row in rows)
    assert len(rows) == 3


def test_there_are_rows_of_a_gpu_only_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert bench.measure_gpu(quick=True) == []


@pytest.mark.parametrize("form", ["bf16", "tf32"])
def test_the_row_of_a_gpu_is_a_share_of_a_measured_peak(form, monkeypatch):
    monkeypatch.setattr(bench, "_peak", lambda form, device, side: 2e12)  # noqa: ARG005
    row = bench._gpu_row(form, "cpu", quick=True)
    assert form in row.name and row.unit == "samples/s"
    assert row.anchor == "matrix product 2 TFLOP/s"
    assert 0 < row.ratio < 1
    assert "GFLOP a sample" in row.note


def test_the_peak_is_what_a_product_reaches():
    assert 1e6 < bench._peak("tf32", torch.device("cpu"), 256) < 1e15


def test_operations_grow_with_the_image(tmp_path):
    small, large = (bench._operations(bench._recipe(tmp_path, side), torch.device("cpu")) for side in (32, 64))
    assert large == pytest.approx(4 * small, rel=0.05)


@pytest.mark.cuda
def test_a_gpu_is_measured():
    bf16, tf32 = bench.measure_gpu(quick=True)
    assert bf16.value > 0 and tf32.value > 0
