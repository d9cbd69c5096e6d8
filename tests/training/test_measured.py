"""Training on raw data: the network sees what the pipeline would show it, damaged files are passed over by name."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from recon import contract, models, noise, phantom, pipeline
from recon.coils import root_sum_of_squares
from recon.errors import FileError, RequestError
from recon.fourier import centre_crop, fft2c, ifft2c
from recon.masks import MaskSpec
from recon.models import fit
from recon.request import Request
from recon.sampling import on_grid, sampling_mask
from recon.weights import read_header, save
from training.config import TrainingConfig
from training.data import collate, open_data
from training.measured import MeasuredSlices, MeasuredValidation, SliceReader
from training.run import main
from training.scans import find_scans, split_scans

SMALL = {"widths": (4, 4), "refine_width": 4, "n_iterations": 1}


def write_scan(path, n_slices=2, n_coils=5, matrix=(48, 40), recon_size=None, noisy_coils=False, patient="", seed=0):
    """Write a scan of the phantom as fastMRI does: oversampled rows, a reference that is cropped, perhaps noise."""
    spec = phantom.PhantomSpec(n_slices=n_slices, n_coils=n_coils, matrix=matrix, seed=seed)
    modes = phantom.coil_modes(spec)
    kspace = torch.from_numpy(np.stack([phantom.slice_kspace(spec, index, modes) for index in range(n_slices)]))
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        if noisy_coils:
            mixing = np.eye(n_coils) + 0.3 * rng.standard_normal((n_coils, n_coils))
            white = rng.standard_normal((2, n_coils, 400))
            file["noise"] = (mixing @ (white[0] + 1j * white[1])).astype(np.complex64)
        file["kspace"] = kspace.numpy()
        size = recon_size or matrix
        file["reconstruction_rss"] = centre_crop(root_sum_of_squares(ifft2c(kspace), 1), size).numpy()
        file.attrs.update(acquisition="AXT2", patient_id=patient or path.stem)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Scans of four patients and three sizes, one of them with noise, one with a single coil."""
    root = tmp_path_factory.mktemp("scans")
    write_scan(root / "multicoil_train" / "a.h5", 3, recon_size=(40, 40), seed=1)
    write_scan(root / "multicoil_train" / "b.h5", 2, 10, (44, 40), noisy_coils=True, seed=2)
    write_scan(root / "multicoil_train" / "c.h5", 2, 1, (40, 40), seed=3)
    write_scan(root / "multicoil_val" / "d.h5", 3, 6, (48, 40), recon_size=(40, 40), seed=4)
    return root


def recipe(folder, **values):
    return TrainingConfig(**{"kspace": str(folder), "model": "pcrnn-4x-1x", "overrides": SMALL, "seed": 5, **values})


def reader_of(folder, **values):
    config = recipe(folder, **values)
    return SliceReader(find_scans(folder)[0], config)


# ---- no skew ------------------------------------------------------------------------------------------------------


def shown_to_network(series, request, index, monkeypatch):
    """What the pipeline hands to the network for a slice."""
    seen = []
    original = contract.stages

    def spy(model, card, *tensors):
        seen.append(tensors)
        return original(model, card, *tensors)

    monkeypatch.setattr(contract, "stages", spy)
    for _ in pipeline.reconstruct(series, Request(**{**vars(request), "slices": (index,)})):
        pass
    # Some coils at a time.
    zero_filled, kspace, masks, _ = zip(*seen, strict=True)
    return torch.cat(zero_filled), torch.cat(kspace), masks[0]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of a small network for one and for four coils."""

    def make(n_coils):
        model = models.create("pcrnn-4x-1x", n_coils, **SMALL)
        story = {"preset": "pcrnn-4x-1x", "n_coils": n_coils, "parameters": vars(model.parameters_), "steps": 0}
        path = tmp_path_factory.mktemp("weights") / f"{n_coils}.safetensors"
        return str(save(path, {name: value.contiguous() for name, value in model.state_dict().items()}, story).path)

    return {n_coils: make(n_coils) for n_coils in (1, 4)}


@pytest.mark.parametrize("grid", ["cropped", "native"])
@pytest.mark.parametrize("n_coils", [1, 4])
def test_the_network_sees_in_training_what_the_pipeline_shows_it(folder, weights, n_coils, grid, monkeypatch):
    """The same tensors, bit for bit: crop, pre-whitening, mask, compression, coil by coil, scale."""
    reader = reader_of(folder, n_coils=n_coils, grid=grid, batch_size=1)
    dataset = MeasuredSlices(reader, range(4), 0, 1000)
    n_places = len(reader.places)
    met = set()
    for number in range(n_places):
        draw = dataset.draw(number)
        scan, index = reader.places[draw.place]
        met.add(scan)
        series = reader.scans[scan].series
        request = Request(weights[n_coils], draw.mask, grid=grid, device="cpu", precision="fp32")
        zero_filled, kspace, mask = shown_to_network(series, request, index, monkeypatch)
        entry = draw.coil or 0
        sample = dataset[number]
        assert torch.equal(sample["zero_filled"], zero_filled[entry])
        assert torch.equal(sample["kspace"], kspace[entry])
        assert torch.equal(sample["mask"][0], mask)
    assert met == {0, 1, 2, 3}


def test_methods_with_maps_see_what_the_pipeline_shows_them(folder):
    reader = reader_of(folder, model="vsnet", overrides={}, n_coils=4)
    place, spec = reader.places.index((3, 1)), MaskSpec("random", 4, center_fraction=0.2, seed=3)
    series = reader.scans[3].series
    sample = reader.read(place, spec, None)
    whole = on_grid(series.read(1).kspace, series, native=False)
    mask = torch.from_numpy(sampling_mask(series, Request(mask=spec)).mask)
    card = models.get_card("vsnet")
    data = pipeline.prepare(whole, mask, 4, maps="espirit", scale=card.scale)
    for name in ("zero_filled", "kspace", "maps"):
        assert torch.equal(sample[name], getattr(data, name)[0])
    full = ifft2c(torch.einsum("cyx,cv->vyx", whole, data.matrix)) / data.scale[0]
    torch.testing.assert_close(sample["target"], (data.maps[0].conj() * full).sum(0).abs())


def test_narrow_scans_keep_the_lines_that_maps_need(folder):
    """At 8 times, 4 % of 40 columns are two lines, of which no map can be estimated."""
    config = TrainingConfig(model="vsnet", kspace=folder, n_coils=4, accelerations=(8,), overrides={"width": 4})
    slices = open_data(config).training(0, 6)
    for number in range(6):
        sampled = slices[number]["mask"].reshape(-1, slices[number]["mask"].shape[-1]).any(0)
        centre = len(sampled) // 2
        assert sampled[centre - 2 : centre + 2].all()


def test_the_target_is_the_fully_sampled_image_in_the_units_of_the_network(folder):
    reader = reader_of(folder, n_coils=4)
    sample = reader.read(0, MeasuredSlices(reader, range(4), 0, 1).draw(0).mask, None)
    # Where everything is sampled, there is nothing left to reconstruct.
    full = reader.read(0, MaskSpec("none"), None)
    torch.testing.assert_close(root_sum_of_squares(full["zero_filled"], 0), full["target"], rtol=1e-4, atol=1e-4)
    # The samples that were kept are those of the target's coils.
    ratio = float(full["scale"] / sample["scale"])
    assert float(sample["target"].mean()) == pytest.approx(float(full["target"].mean()) * ratio, rel=2e-2)


def test_the_reference_as_target(folder):
    reader = reader_of(folder, n_coils=4, target="reference")
    draw = MeasuredValidation(reader, range(1)).items[0]
    sample = reader.read(*draw)
    reference = torch.from_numpy(reader.scans[0].series.reference[reader.places[draw.place][1]])
    torch.testing.assert_close(sample["target"] * sample["scale"], reference)
    # All coils see no less than the virtual ones.
    virtual = reader_of(folder, n_coils=4).read(*draw)["target"]
    assert float(sample["target"].square().sum()) >= float(virtual.square().sum()) * (1 - 1e-5)
    with pytest.raises(RequestError, match="cropped grid"):
        recipe(folder, target="reference", grid="native")


def test_coils_are_whitened_as_in_use(folder):
    reader = reader_of(folder, n_coils=4)
    series = reader.scans[1].series
    assert series.noise is not None
    kspace = reader._kspace(1, 0)
    expected = noise.whiten(series.read(0).kspace, torch.from_numpy(series.noise))
    assert torch.equal(kspace, expected)
    assert not torch.allclose(kspace, series.read(0).kspace, rtol=0.1)


def test_single_coil_networks_meet_arrays_as_in_use(folder):
    card = models.get_card("pcrnn-4x-1x")
    assert fit.meet_coils(card, 1, 8) == (8, True)
    assert fit.meet_coils(card, 1, 64) == (32, True)
    assert fit.meet_coils(card, 1, 4, 12) == (4, True)
    assert fit.meet_coils(card, 1, 1) == (1, False)
    assert fit.meet_coils(card, 4, 16) == (4, False)
    reader = reader_of(folder, n_coils=1)
    dataset = MeasuredSlices(reader, range(4), 0, 200)
    coils = {(reader.places[draw.place][0], draw.coil) for draw in map(dataset.draw, range(200))}
    n_coils = {number: reader.scans[number].series.n_coils for number in (0, 1, 3)}
    assert coils == {(number, coil) for number, n in n_coils.items() for coil in range(n)} | {(2, None)}


# ---- which slice, which mask ----------------------------------------------------------------------------------------


def test_a_dead_coil_is_no_sample(tmp_path):
    """A broken element is zeros: an image of nothing has no scale to be compared at."""
    for name, dead in (("a.h5", 0), ("b.h5", 4), ("c.h5", 2)):
        with h5py.File(write_scan(tmp_path / "train" / name, 1, 5, (40, 40)), "r+") as file:
            file["kspace"][:, dead] = 0
    reader = reader_of(tmp_path, n_coils=1, loss="nmse-ssim")
    for samples in (MeasuredSlices(reader, range(3), 0, 30), MeasuredValidation(reader, range(3))):
        for number in range(len(samples)):
            assert samples[number]["target"].max() > 0
    assert {MeasuredSlices(reader, range(3), 0, 30).draw(number).coil for number in range(30)} == set(range(5))


def test_samples_are_a_function_of_their_number_and_come_once_a_lap(folder):
    reader = reader_of(folder, batch_size=1)
    dataset = MeasuredSlices(reader, range(3), 0, 100)
    later = MeasuredSlices(SliceReader(reader.scans, reader.config), range(3), 9, 5)
    for index in range(5):
        for name, value in later[index].items():
            assert torch.equal(value, dataset[9 + index][name])
    laps = [[dataset.draw(7 * lap + step).place for step in range(7)] for lap in range(4)]
    assert all(sorted(lap) == list(range(7)) for lap in laps)
    assert len({tuple(lap) for lap in laps}) > 1
    masks = {dataset.draw(number).mask for number in range(28)}
    assert len(masks) == 28
    assert {mask.kind for mask in masks} == {"random", "equispaced-fraction"}
    assert {mask.acceleration for mask in masks} == {4.0, 8.0}


def test_batches_stack(folder):
    reader = reader_of(folder, batch_size=3)
    dataset = MeasuredSlices(reader, range(3), 0, 60)
    shapes = set()
    for first in range(0, 12, 3):
        batch = collate([dataset[first + step] for step in range(3)])
        assert batch["target"].shape[0] == 3 and "skipped" not in batch
        shapes.add(tuple(batch["target"].shape[1:]))
    assert shapes == {(40, 40), (44, 40)}


def test_validation_masks_follow_from_the_file_name(folder):
    reader = reader_of(folder, validation_slices=2)
    validation = MeasuredValidation(reader, range(3, 4))
    assert len(validation) == 2
    masks = [validation[index]["mask"] for index in range(2)]
    assert torch.equal(masks[0], masks[1])
    spec = validation.items[0].mask
    sampling = sampling_mask(reader.scans[3].series, Request(mask=spec))
    assert torch.equal(masks[0][0], torch.from_numpy(sampling.mask))
    again = MeasuredValidation(SliceReader(reader.scans, reader.config), range(3, 4))
    assert all(torch.equal(value, again[1][name]) for name, value in validation[1].items())


# ---- the split ------------------------------------------------------------------------------------------------------


def test_folders_say_what_validates_and_patients_stay_on_one_side(folder, tmp_path):
    training, validation, declined, _ = split_scans(folder, 0.5, 0)
    assert [scan.series.stem for scan in training] == ["a", "b", "c"]
    assert [scan.series.stem for scan in validation] == ["d"]
    assert not declined
    write_scan(tmp_path / "train" / "one.h5", patient="anna")
    write_scan(tmp_path / "train" / "two.h5", patient="ben")
    write_scan(tmp_path / "val" / "three.h5", patient="anna")
    training, validation, declined, _ = split_scans(tmp_path, 0.5, 0)
    assert [scan.subject for scan in training] == ["ben"]
    assert [scan.subject for scan in validation] == ["anna"]
    assert [(entry.path.name, "anna, who validates" in entry.reason) for entry in declined] == [("one.h5", True)]


def test_one_folder_is_split_by_patient(tmp_path):
    for number in range(8):
        write_scan(tmp_path / f"scan{number}.h5", 1, patient=f"patient{number // 2}", matrix=(32, 32), n_coils=2)
    training, validation, *_ = split_scans(tmp_path, 0.25, 0)
    assert len(training) == 6 and len(validation) == 2
    assert not {scan.subject for scan in training} & {scan.subject for scan in validation}
    drawn = {split_scans(tmp_path, 0.25, seed)[1][0].subject for seed in range(12)}
    assert len(drawn) > 1
    assert [scan.subject for scan in split_scans(tmp_path, 0.25, 0)[1]] == [scan.subject for scan in validation]


def test_one_patient_is_too_few(tmp_path):
    write_scan(tmp_path / "a.h5", 1, patient="anna", matrix=(32, 32), n_coils=2)
    write_scan(tmp_path / "b.h5", 1, patient="anna", matrix=(32, 32), n_coils=2)
    with pytest.raises(FileError, match=r"shows one subject \(anna\).*train and val"):
        open_data(recipe(tmp_path))


def test_patients_who_are_all_on_both_sides_are_named(tmp_path):
    for part in ("train", "val"):
        for name in ("anna", "ben"):
            write_scan(tmp_path / part / f"{name}.h5", 1, patient=name, matrix=(32, 32), n_coils=2)
    with pytest.raises(FileError, match=r"also in its validation folder \(anna, ben\).* move the files of each"):
        open_data(recipe(tmp_path))


# ---- bad input ------------------------------------------------------------------------------------------------------


def test_files_that_cannot_train_are_named(folder, tmp_path):
    with pytest.raises(FileError, match="is an empty folder; a folder of fully sampled raw data in the fastMRI layout"):
        open_data(recipe(tmp_path))
    with pytest.raises(FileError, match="is no folder"):
        open_data(recipe(tmp_path / "nowhere"))
    undersampled = write_scan(tmp_path / "test.h5", 1)
    with h5py.File(undersampled, "r+") as file:
        mask = np.zeros(40, np.float32)
        mask[::4] = mask[18:22] = 1
        file["mask"] = mask
        file["kspace"][:] = file["kspace"][:] * mask
        del file["reconstruction_rss"]
    with pytest.raises(FileError, match=r"test\.h5 was undersampled when it was measured \(\d\.\d-fold\)"):
        open_data(recipe(tmp_path))
    write_scan(tmp_path / "tiny.h5", 1, matrix=(24, 24), n_coils=2)
    write_scan(tmp_path / "good.h5", 1)
    write_scan(tmp_path / "fine.h5", 1)
    (tmp_path / "broken.h5").write_bytes(b"\x89HDF\r\n\x1a\nno more")
    (tmp_path / "read-me.txt").write_text("notes")
    data = open_data(recipe(tmp_path, validation_share=0.5))
    assert {entry.path.name for entry in data.declined} == {"test.h5", "tiny.h5", "broken.h5"}
    assert data.story["training"] == {"volumes": 1, "slices": 1, "subjects": 1}
    with pytest.raises(RequestError, match="names no training images"):
        open_data(recipe(""))
    with pytest.raises(RequestError, match="both images and kspace"):
        recipe(folder, images="images.h5")


def test_a_damaged_volume_is_passed_over_and_named(tmp_path):
    for name in "abcd":
        write_scan(tmp_path / "train" / f"{name}.h5", 2, 2, (32, 32))
    write_scan(tmp_path / "val" / "good.h5", 2, 2, (32, 32))
    bad = write_scan(tmp_path / "val" / "bad.h5", 2, 2, (32, 32))
    for path in (tmp_path / "train" / "b.h5", bad):
        with h5py.File(path, "r+") as file:
            file["kspace"][:] = np.nan
    data = open_data(recipe(tmp_path, batch_size=2))
    dataset = data.training(0, 8)
    samples = [dataset[index] for index in range(8)]
    skipped = [entry for sample in samples for entry in sample.get("skipped", ())]
    assert {(path.rsplit("/", 1)[1], "NaN" in reason) for path, reason, _ in skipped} == {("b.h5", True)}
    assert all(sample["target"].isfinite().all() for sample in samples)
    batch = collate(samples)
    assert batch["target"].shape == (8, 32, 32) and batch["skipped"] == skipped
    # Whoever takes its place takes it every time.
    assert all(torch.equal(dataset[i]["target"], samples[i]["target"]) for i in range(8))
    validated = [data.validation[index] for index in range(len(data.validation))]
    assert {path.rsplit("/", 1)[1] for one in validated for path, *_ in one.get("skipped", ())} == {"bad.h5"}


def test_a_run_goes_on_without_damaged_volumes_and_names_them(tmp_path):
    data = tmp_path / "data"
    for name in ("train/a", "train/b", "train/c", "val/d"):
        write_scan(data / f"{name}.h5", 2, 2, (32, 32))
    with h5py.File(data / "train" / "b.h5", "r+") as file:
        file["kspace"][:] = np.inf
    (data / "train" / "torn.h5").write_bytes(b"\x89HDF\r\n\x1a\n no more")
    recipe_file = tmp_path / "recipe.toml"
    recipe_file.write_text(
        'model = "pcrnn-4x-1x"\nn_coils = 2\noverrides = {widths = [4, 4], refine_width = 4, n_iterations = 1}\n'
        f'kspace = "{data}"\ncache = "{tmp_path / "cache"}"\nsamples_per_epoch = 6\nepochs = 1\nprecision = "fp32"\n'
    )
    published = main(str(recipe_file), tmp_path / "run", devices="cpu")
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    (done,) = (event for event in events if event["event"] == "done")
    assert {Path(path).name for path in done["skipped"]} == {"b.h5", "torn.h5"}
    assert [Path(event["path"]).name for event in events if event["event"] == "skipped"] == ["torn.h5", "b.h5"]
    begun, *_, ended = (event for event in events if event["event"] == "data")
    assert begun["kspace"] == "measured" and begun["training"]["subjects"] == 3
    assert begun["skipped"] == {"files": 1, "slices": 0}
    # The card counts what trained: b has two slices, and none of them can be read.
    assert ended["training"] == {"volumes": 2, "slices": 4, "subjects": 2}
    story = read_header(published).story
    assert story["data"]["training"] == ended["training"]
    assert story["data"]["skipped"] == {"files": 2, "slices": 2}
    reasons = {entry["file"]: entry["reason"] for entry in story["data"]["left_out"]}
    assert set(reasons) == {"b.h5", "torn.h5"} and "infinite" in reasons["b.h5"]
    assert story["kspace"] == "measured"
    assert story["recipe"]["kspace"] == "data" and story["recipe"]["cache"] == "cache"
    assert str(tmp_path) not in str(story)
    assert len(list((tmp_path / "cache").rglob("*.npz"))) == 6  # four slices train, two validate
    assert events[-1]["event"] in ("done", "published")


def test_a_disk_that_went_away_ends_the_run(tmp_path):
    for name in ("train/a.h5", "train/b.h5", "val/c.h5"):
        write_scan(tmp_path / name, 1, 2, (32, 32))
    data = open_data(recipe(tmp_path))
    for path in tmp_path.glob("*/*.h5"):
        path.unlink()
    with pytest.raises(FileError, match="check the disk"):
        data.training(0, 4)[0]


@pytest.mark.parametrize("coils", [1, 2])
@pytest.mark.parametrize(("where", "value"), [(..., 3e38), ((0, 0, 16, 16), 1e37), ((0, 1, 3, 5), 1e37)])
def test_values_that_overflow_are_passed_over(tmp_path, where, value, coils):
    write_scan(tmp_path / "train" / "a.h5", 1, 2, (32, 32))
    huge = write_scan(tmp_path / "train" / "b.h5", 1, 2, (32, 32))
    write_scan(tmp_path / "val" / "c.h5", 1, 2, (32, 32))
    with h5py.File(huge, "r+") as file:
        file["kspace"][where] = np.float32(value)
    data = open_data(recipe(tmp_path, n_coils=coils))
    samples = [data.training(0, 4)[index] for index in range(4)]
    assert all(one[name].isfinite().all() for one in samples for name in ("target", "scale", "zero_filled"))
    skipped = [entry for one in samples for entry in one.get("skipped", ())]
    assert {path.rsplit("/", 1)[1] for path, *_ in skipped} == {"b.h5"}
    assert all("so large that its image overflows" in reason for _, reason, _ in skipped)


def test_values_that_overflow_after_reading_are_named(folder, monkeypatch):
    reader = reader_of(folder)
    monkeypatch.setattr(reader, "_kspace", lambda *_: torch.full((5, 40, 40), 1e37 + 0j))
    with pytest.raises(FileError, match=r"a\.h5: slice 0 .* so large that its image overflows"):
        reader.read(0, MaskSpec("equispaced-fraction", 4, seed=1), None)


def test_an_acceleration_that_samples_nothing_is_refused_at_the_start(folder):
    with pytest.raises(RequestError, match="accelerations has 1000, which leaves fewer than 2 of the 40 columns"):
        open_data(recipe(folder, accelerations=(4.0, 1000.0)))


def test_a_missing_mask_is_not_taken_for_damaged_slices(folder):
    data = open_data(recipe(folder, mask_kinds=("file:/nowhere/mask.npy",)))
    with pytest.raises(FileError, match="no such mask file"):
        data.training(0, 1)[0]


def test_fft_pair_of_the_cropped_grid(folder):
    """The cropped grid is the crop of the image, not of k-space."""
    reader = reader_of(folder)
    series = reader.scans[0].series
    expected = fft2c(centre_crop(ifft2c(series.read(0).kspace), (40, 40)))
    torch.testing.assert_close(reader._kspace(0, 0), expected, atol=1e-6 * float(expected.abs().max()), rtol=0)
