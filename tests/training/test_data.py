"""Training samples are what the pipeline makes, and repeat."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from recon import coils, pipeline
from recon.coils import root_sum_of_squares
from recon.errors import FileError, RequestError
from training import sample
from training.config import TrainingConfig
from training.data import SimulatedSlices, ValidationSlices, open_data, read_volumes
from training.inspection import inspect


@pytest.fixture
def images(tmp_path):
    path = tmp_path / "images.h5"
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (40, 48, 44)), indexing="ij")
    ball = (np.sqrt(z**2 + y**2 + x**2) < 0.8) * (1 + 0.3 * np.sin(12 * x) * np.cos(9 * y))
    with h5py.File(path, "w") as file:
        file["train/ball"] = (ball * 200).astype(np.uint8)
        file["train/thin"] = (ball[:6] * 0 + ball[17:23] * 2000).astype(np.uint16)
        file["validation/other"] = (ball[:, ::-1] * 100).astype(np.uint8)
    return path


@pytest.fixture
def config(images):
    return TrainingConfig(images=str(images), sizes=(32, 48), n_coils=4, batch_size=2, validation_slices=3)


def test_samples_are_a_function_of_their_number(images, config):
    volumes, _ = read_volumes(images, "train")
    whole = SimulatedSlices(volumes, config, 0, 12)
    later = SimulatedSlices(volumes, config, 8, 4)
    for index in range(4):
        for name, tensor in later[index].items():
            assert torch.equal(tensor, whole[8 + index][name])
    assert not torch.equal(whole[0]["target"], whole[1]["target"])


@pytest.mark.parametrize("model", ["vsnet", "vn"])
def test_small_images_have_centre_lines_enough_for_maps(images, config, model):
    volumes, _ = read_volumes(images, "train")
    small = replace(config, model=model, sizes=(64,), accelerations=(8.0,))
    slices = SimulatedSlices(volumes, small, 0, 4)
    for index in range(4):
        maps = slices[index]["maps"]
        assert torch.isfinite(torch.view_as_real(maps)).all()
        assert maps.abs().max() > 0.5


def test_samples_of_a_batch_stack(images, config):
    dataset = SimulatedSlices(read_volumes(images, "train")[0], config, 0, 20)
    for first in range(0, 20, 2):
        assert dataset[first]["kspace"].shape == dataset[first + 1]["kspace"].shape
    assert {dataset[i]["target"].shape[0] for i in range(20)} == {32, 48}


@pytest.mark.parametrize("n_coils", [1, 4])
def test_no_skew_between_training_and_use(images, config, n_coils, monkeypatch):
    """What the network sees in training is what `prepare` gives it in use, for the same k-space and mask."""
    seen = []
    original = pipeline.prepare

    def spy(*arguments, **settings):
        seen.append((arguments, settings))
        return original(*arguments, **settings)

    monkeypatch.setattr(sample, "prepare", spy)
    config = TrainingConfig(**{**config.to_dict(), "n_coils": n_coils})
    one = SimulatedSlices(read_volumes(images, "train")[0], config, 0, 1)[0]
    (((kspace, mask, n_virtual), settings),) = seen
    again = original(kspace, mask, n_virtual, **settings)
    assert torch.equal(one["zero_filled"], again.zero_filled[0])
    assert torch.equal(one["kspace"], again.kspace[0])
    assert float(one["zero_filled"].abs().mean()) == pytest.approx(1, rel=1e-4)
    # The target is the fully sampled image of the virtual coils, in the network's units: sampled lines agree.
    everything = torch.ones_like(mask)
    _, matrix = coils.compress(kspace * mask, n_virtual)
    virtual = torch.einsum("cyx,cv->vyx", kspace, matrix) if kspace.shape[0] != n_virtual else kspace
    full = original(virtual, everything, n_virtual)
    expected = root_sum_of_squares(full.zero_filled[0] * full.scale[0], 0)
    torch.testing.assert_close(one["target"] * again.scale[0, 0], expected, rtol=1e-3, atol=1e-4)
    sampled = (full.kspace * full.scale - again.kspace * again.scale)[0] * mask
    assert float(sampled.abs().max()) < 1e-4 * float((full.kspace * full.scale).abs().max())


def test_an_acceleration_that_samples_nothing_is_refused_at_the_start(config):
    open_data(replace(config, accelerations=(16.0,)))
    open_data(replace(config, accelerations=(1000.0,), mask_kinds=("file:mask.npy",)))
    with pytest.raises(RequestError, match="accelerations has 1000, which leaves fewer than 2 of the 32 columns"):
        open_data(replace(config, accelerations=(4.0, 1000.0)))
    with pytest.raises(RequestError, match="of the 44 columns of the narrowest images; 22 is the most"):
        open_data(replace(config, accelerations=(24.0,), sizes=(64,)))


def test_validation_is_fixed(images, config):
    volumes, _ = read_volumes(images, "validation")
    one, other = ValidationSlices(volumes, config), ValidationSlices(volumes, config)
    assert len(one) == 3
    for index in range(3):
        assert all(torch.equal(tensor, other[index][name]) for name, tensor in one[index].items())


def test_thin_volumes_are_cut_along_their_slices_only(images):
    (ball, thin), _ = read_volumes(images, "train")
    assert {axis for axis, _ in ball.cuts} == {0, 1, 2}
    assert {axis for axis, _ in thin.cuts} == {0}


def test_unusable_files_are_named(tmp_path, images):
    with pytest.raises(FileError, match="no group 'test'"):
        read_volumes(images, "test")
    with pytest.raises(FileError, match="/nope: there is no such file or folder; check the spelling"):
        open_data(TrainingConfig(images=str(tmp_path / "nope")))
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(FileError, match="cannot be read as HDF5"):
        read_volumes(tmp_path / "text.h5", "train")
    with h5py.File(tmp_path / "flat.h5", "w") as file:
        file["train/flat"] = np.ones((4, 4))
    with pytest.raises(FileError, match=r"holds no .* \(flat holds an array of shape \(4, 4\)"):
        read_volumes(tmp_path / "flat.h5", "train")


def test_volumes_that_cannot_be_used_are_named_and_are_no_sources(images):
    with h5py.File(images, "r+") as file:
        bad = file["train/ball"][()].astype(np.float32)
        bad[3, 4, 5] = np.nan
        file["train/nan"] = bad
        file["train/zero"] = np.zeros((20, 32, 32), np.float32)
        file["train/complex"] = np.ones((20, 32, 32), np.complex64)
        file["validation/flat"] = np.ones((4, 4))
        file.create_group("train/group")
    data = open_data(TrainingConfig(images=str(images)))
    reasons = {str(entry.path.relative_to(images)): entry.reason for entry in data.declined}
    assert reasons.keys() == {"train/nan", "train/zero", "train/complex", "train/group", "validation/flat"}
    assert "NaN" in reasons["train/nan"] and "no value is above 0" in reasons["train/zero"]
    assert data.story["training"]["volumes"] == 2
    sources = {(source["group"], source["volume"]) for source in data.story["sources"]}
    assert sources == {("train", "ball"), ("train", "thin"), ("validation", "other")}
    found = inspect(images)
    assert {str(entry.path.relative_to(images)): entry.reason for entry in found.unusable} == reasons
    assert "5 volumes cannot be used" in found.to_text() and "train/nan: holds NaN" in found.to_text()
