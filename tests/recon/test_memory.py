"""What a method needs is known before it starts: refused where it does not fit, said where it is much."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import recon
from recon import memory, models
from recon.errors import DeviceError, RequestError

CPU = torch.device("cpu")
SHAPE = (1, 4, 320, 320)


def create(preset, **overrides):
    with torch.device("meta"):
        return models.create(preset, 4, **overrides)


@pytest.fixture
def free(monkeypatch):
    """Set the memory that is free."""

    def set_free(n_bytes):
        def free_bytes(device):
            return n_bytes

        monkeypatch.setattr(memory, "free_bytes", free_bytes)

    return set_free


@pytest.mark.parametrize(("preset", "lighter"), [("oucr", "oucr-xs"), ("kiunet", "ki_levels = 2")])
def test_heavy_methods_say_so_and_name_the_lighter_setting(preset, lighter, free, caplog):
    model = create(preset)
    free(None)
    (warning,) = memory.announce_memory(model, preset, SHAPE, CPU)
    assert f"{preset} needs about" in warning
    assert "320 × 320" in warning
    assert lighter in warning
    assert warning in caplog.text
    free(500_000_000)
    with pytest.raises(RequestError, match=rf"0\.5 GB are free on cpu; lighter: .*{lighter}"):
        memory.check_memory(model, preset, SHAPE, CPU)
    with pytest.raises(DeviceError, match="or the CPU") as caught:
        memory.check_memory(model, preset, SHAPE, torch.device("cuda", 0))
    assert caught.value.out_of_memory


@pytest.mark.parametrize("preset", ["oucr-xs", "pcrnn-s", "pcrnn-b", "unet-oucr", "e2e-varnet", "zero-filled"])
def test_the_others_stay_below_a_gigabyte_and_silent(preset, free):
    model = create(preset)
    free(2_000_000_000)
    assert model.peak_memory_bytes(SHAPE) < 1_000_000_000
    assert memory.check_memory(model, preset, SHAPE, CPU) == []


def test_lighter_settings_are_lighter():
    assert create("oucr", oc_scale=2).peak_memory_bytes(SHAPE) < 0.5 * create("oucr").peak_memory_bytes(SHAPE)
    needs = [create("kiunet", ki_levels=levels).peak_memory_bytes(SHAPE) for levels in (1, 2, 3)]
    assert needs[0] < needs[1] < 0.5 * needs[2]
    assert needs[1] < 1_000_000_000
    assert create("oucr", oc_scale=2).lighter_setting == ""
    assert create("kiunet", ki_levels=1).lighter_setting == ""


def test_the_estimate_follows_size_batch_and_precision():
    model = create("oucr")
    one = model.peak_memory_bytes(SHAPE)
    assert model.peak_memory_bytes((2, 4, 320, 320)) == pytest.approx(2 * one, rel=0.1)
    assert model.peak_memory_bytes((1, 4, 640, 320)) == pytest.approx(2 * one, rel=0.1)
    assert model.to(torch.bfloat16).peak_memory_bytes(SHAPE) == pytest.approx(one / 2, rel=0.1)


def test_entries_that_take_turns_need_their_state_and_no_more():
    model = models.create("oucr-xs", 1)
    two, four, sixteen = (model.peak_memory_bytes((n, 1, 320, 320)) for n in (2, 4, 16))
    assert two < 0.6 * four
    assert four < sixteen
    assert sixteen < model.peak_memory_bytes((16, 1, 320, 320), joins_coils=True)
    model.n_at_once = None
    assert sixteen < 0.5 * model.peak_memory_bytes((16, 1, 320, 320))


@pytest.mark.parametrize("record_gradients", [False, True])
def test_coils_take_turns_with_weights_that_are_not_trained(record_gradients):
    model = models.create("pcrnn-4x-1x", 1).eval().requires_grad_(False)
    seen = []

    def count(module, inputs):
        seen.append(len(inputs[0]))

    for module in model.convrnn:
        module.register_forward_pre_hook(count)
    mask = torch.ones(1, 16, dtype=torch.bool)
    kspace = torch.zeros(6, 1, 16, 16, dtype=torch.complex64)
    with torch.set_grad_enabled(record_gradients):
        model(kspace, kspace, mask)
    assert set(seen) == {4, 2}
    seen.clear()
    model.requires_grad_(True)
    model(kspace, kspace, mask)
    assert set(seen) == {6}


def test_what_is_free_is_known_and_a_container_counts(tmp_path, monkeypatch):
    machine = memory.free_bytes(CPU)
    assert machine is None or machine > 0
    (tmp_path / "meminfo").write_text("MemTotal: 8000 kB\nMemAvailable:    4000 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_GROUP", tmp_path)
    assert memory.free_bytes(CPU) == 4_096_000
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("2500000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 100000\n")
    assert memory.free_bytes(CPU) == 600_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_bytes(CPU) == 4_096_000


def test_the_pipeline_refuses_before_it_reads_a_slice(tmp_path, monkeypatch):
    import h5py

    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["kspace"] = np.ones((1, 2, 16, 16), np.complex64)
    series = recon.open_study(tmp_path / "scan.h5").series[0]
    shapes = []

    def check(model, name, shape, device, joins_coils):
        shapes.append((name, shape))
        raise RequestError("does not fit")

    monkeypatch.setattr(memory, "check_memory", check)
    with pytest.raises(RequestError, match="does not fit"):
        recon.run(series, recon.Request("zero-filled", device="cpu"))
    assert shapes == [("Zero-filled", (1, 2, 16, 16))]
