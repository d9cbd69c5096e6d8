"""The pipeline: the same numbers whichever way it is called, physics kept, mistakes named."""

from __future__ import annotations

import gc
import json
import weakref
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import recon
from recon import coils, fourier, metrics, models, weights
from recon.collector import Collector
from recon.errors import DeviceError, FileError, ModelError, MRIError, RequestError, UnknownDeviceError
from recon.pipeline import Plan, prepare
from recon.preview import preview
from recon.sampling import sampling_mask

ROOT = Path(recon.__file__).parent.parent
SMALL = {"modules": ("4x", "1x"), "widths": (8, 4), "refine_width": 4, "n_iterations": 2}


@pytest.fixture(autouse=True)
def small_weights(tmp_path_factory, monkeypatch):
    """A small untrained network on one and on four coils, as if it had been installed."""
    folder = tmp_path_factory.mktemp("weights")
    monkeypatch.setenv("MRI_WORKSTATION_WEIGHTS", str(folder))
    for n_coils in (1, 4):
        torch.manual_seed(n_coils)
        model = models.create("pcrnn-4x-1x", n_coils, **SMALL)
        story = {"preset": "pcrnn-4x-1x", "n_coils": n_coils, "parameters": SMALL}
        weights.save(folder / f"small-{n_coils}.safetensors", model.state_dict(), story)
    return folder


def write_scan(path: Path, n_slices: int = 3, n_coils: int = 6, size: tuple[int, int] = (40, 32), **datasets) -> Path:
    rng = np.random.default_rng(0)
    shape = (n_slices, n_coils, *size) if n_coils else (n_slices, *size)
    y, x = (np.linspace(-1, 1, side) for side in size)
    blob = np.exp(-4 * (y[:, None] ** 2 + x[None] ** 2))
    image = blob * (1 + 0.05 * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)))
    kspace = fourier.fft2c(torch.from_numpy(image.astype(np.complex64))).numpy()
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace
        for name, values in datasets.items():
            file[name] = values
    return path


@pytest.fixture
def series(tmp_path):
    return recon.open_study(write_scan(tmp_path / "scan.h5")).series[0]


REQUEST = recon.Request("pcrnn-4x-1x", recon.MaskSpec("random", 4, 0.16, seed=1), device="cpu", precision="fp32")


def test_stream_and_run_agree(series):
    stages = list(recon.reconstruct(series, REQUEST))
    result = recon.run(series, REQUEST)
    finals = [stage.image for stage in stages if stage.is_final]
    assert len(finals) == 3
    np.testing.assert_array_equal(np.stack(finals), result.final)
    per_slice = [stage.path for stage in stages if stage.slice_index == 1]
    assert per_slice == [("zero-filled",), ("4x", 1), ("4x", 2), ("1x", 1), ("1x", 2), ("final",)]
    assert list(result.stages) == ["4x · 1", "4x · 2", "1x · 1", "1x · 2"]
    assert list(result.module_outputs()) == ["4x", "1x"]
    progress = [stage.progress for stage in stages]
    assert progress == sorted(progress)
    assert progress[-1] == 1
    assert all(stage.image.dtype == np.float32 and stage.image.shape == (40, 32) for stage in stages)


def test_same_request_same_result(series):
    np.testing.assert_array_equal(recon.run(series, REQUEST).final, recon.run(series, REQUEST).final)


def test_slices_alone_equal_slices_together(series):
    together = recon.run(series, REQUEST)
    alone = recon.run(series, replace(REQUEST, slices=(2,)))
    assert alone.indices == (2,)
    np.testing.assert_array_equal(alone.final[0], together.final[2])


def test_prepare_is_what_a_network_was_promised():
    generator = torch.Generator().manual_seed(0)
    kspace = torch.randn(6, 20, 24, dtype=torch.complex64, generator=generator)
    mask = torch.rand(1, 24, generator=generator) > 0.4
    for factor in (1.0, 1e-7, 1e7):
        data = prepare(kspace * factor, mask, 4)
        assert data.zero_filled.shape == (1, 4, 20, 24)
        assert float(data.zero_filled.abs().mean()) == pytest.approx(1, rel=1e-4)
        assert not data.kspace[..., ~mask[0]].any()
        torch.testing.assert_close(fourier.ifft2c(data.kspace), data.zero_filled, atol=1e-5, rtol=1e-4)
        energy = coils.root_sum_of_squares(data.kspace[0] * data.scale[0], 0)
        assert float(energy.square().sum()) <= float((kspace * factor * mask).abs().square().sum()) * 1.0001
    by_coil = prepare(kspace, mask, 3, coil_by_coil=True)
    assert by_coil.zero_filled.shape == (3, 1, 20, 24)
    torch.testing.assert_close(by_coil.zero_filled.abs().mean(dim=(1, 2, 3)), torch.ones(3))


def test_scale_of_the_data_scales_the_result(tmp_path):
    small, large = (tmp_path / name for name in ("scan.h5", "large/scan.h5"))
    large.parent.mkdir()
    write_scan(small)
    with h5py.File(small) as source, h5py.File(large, "w") as target:
        target["kspace"] = source["kspace"][()] * np.float32(1e6)
    results = [recon.run(recon.open_study(path).series[0], REQUEST).final for path in (small, large)]
    np.testing.assert_allclose(results[1], results[0] * 1e6, rtol=2e-3, atol=results[1].max() * 1e-4)


def test_fully_sampled_data_comes_back(series):
    request = replace(REQUEST, mask=recon.MaskSpec("none"), coils=None)
    result = recon.run(series, replace(request, model="zero-filled"))
    np.testing.assert_allclose(result.final, np.asarray(series.reference), rtol=1e-4, atol=1e-5)
    assert result.metrics["psnr"]["volume"] > 80


def test_metrics_are_those_of_the_images(series):
    result = recon.run(series, REQUEST)
    assert result.metrics["psnr"]["volume"] == metrics.psnr(result.reference, result.final)
    assert result.zero_filled_metrics["ssim"]["volume"] == metrics.ssim(result.reference, result.zero_filled)
    record = json.loads(json.dumps(result.record()))
    assert record["metrics"]["psnr"]["volume"] == pytest.approx(result.metrics["psnr"]["volume"])
    assert recon.Request.from_dict(record["request"]) == REQUEST


def test_single_coil_data_takes_the_single_coil_network(tmp_path):
    series = recon.open_study(write_scan(tmp_path / "one.h5", n_coils=0)).series[0]
    result = recon.run(series, REQUEST)
    assert result.n_virtual_coils == 1
    assert not any("one by one" in warning for warning in result.warnings)


def test_single_coil_network_takes_an_array_coil_by_coil(series, small_weights):
    (small_weights / "small-4.safetensors").unlink()
    result = recon.run(series, REQUEST)
    assert result.n_virtual_coils == series.n_coils
    (warning,) = (warning for warning in result.warnings if "one by one" in warning)
    assert warning.startswith("PC-RNN 4x → 1x is a single-coil network")
    # Every virtual coil by itself, then combined, is the same thing.
    model = models.load("pcrnn-4x-1x", 1)
    mask = torch.from_numpy(result.mask.mask)
    data = prepare(series.read(0).kspace, mask, result.n_virtual_coils, coil_by_coil=True)
    with torch.inference_mode():
        single = zip(data.zero_filled[:, None], data.kspace[:, None], strict=True)
        images = [model(zero_filled, kspace, mask) for zero_filled, kspace in single]
    combined = coils.root_sum_of_squares((torch.cat(images) * data.scale)[:, 0], 0)
    np.testing.assert_allclose(result.final[0], combined, rtol=1e-4, atol=1e-5)


def test_the_data_consistency_of_a_single_coil_network_joins_the_coils(series, small_weights):
    (small_weights / "small-4.safetensors").unlink()
    request = replace(REQUEST, mask=recon.MaskSpec("random", 4, 0.2, seed=1))
    alone, joined = recon.run(series, request), recon.run(series, replace(request, join_coils=0.05))
    # The same stages, of which all but the first have seen all coils.
    assert list(joined.stages) == list(alone.stages)
    np.testing.assert_array_equal(joined.zero_filled, alone.zero_filled)
    first = next(iter(alone.stages))
    assert not np.allclose(joined.stages[first], alone.stages[first], rtol=1e-3)
    assert not np.allclose(joined.final, alone.final, rtol=1e-3)
    # The record says so, and so does whatever is made of it.
    assert joined.parameters == {"join_coils": 0.05}
    assert joined.model_title == "PC-RNN 4x → 1x, coils joined"
    assert any("they were joined (weight of the network's images 0.05 without noise)" in one for one in joined.warnings)
    used = [one for one in joined.warnings if one.startswith("with the noise of the data, the network's images had")]
    assert len(used) == 1
    # The model of the next run knows nothing of it.
    np.testing.assert_array_equal(recon.run(series, request).final, alone.final)
    assert alone.parameters == {}
    assert "joined" not in alone.model_title


def test_coils_are_joined_after_a_network_without_data_consistency(series, tmp_path):
    path, narrow = tmp_path / "unet.safetensors", {"width": 4}
    story = {"preset": "unet-fastmri", "n_coils": 1, "parameters": narrow}
    weights.save(path, models.create("unet-fastmri", 1, **narrow).state_dict(), story)
    request = recon.Request(str(path), recon.MaskSpec("random", 4, 0.2, seed=1), device="cpu", precision="fp32")
    alone = recon.run(series, request)
    stages = list(recon.reconstruct(series, replace(request, join_coils=0.05)))
    per_slice = [stage for stage in stages if stage.slice_index == 0]
    assert [stage.path for stage in per_slice] == [("zero-filled",), ("network",), ("final",)]
    assert [stage.is_final for stage in per_slice] == [False, False, True]
    np.testing.assert_array_equal(per_slice[1].image, alone.final[0])
    assert not np.allclose(per_slice[2].image, alone.final[0], rtol=1e-3)
    # The network leaves a part of the bar to what comes after it.
    assert 0 < per_slice[1].progress < per_slice[2].progress
    assert stages[-1].progress == 1


def test_where_coils_go_in_together_there_is_nothing_to_join(series, tmp_path):
    together = recon.run(series, replace(REQUEST, join_coils=0.02, coils=4))
    np.testing.assert_array_equal(together.final, recon.run(series, replace(REQUEST, coils=4)).final)
    assert "PC-RNN 4x → 1x takes all coils together, so none were joined." in together.warnings
    one = recon.open_study(write_scan(tmp_path / "one.h5", n_coils=0)).series[0]
    for scan, request in ((one, REQUEST), (series, replace(REQUEST, coils=1))):
        result = recon.run(scan, replace(request, join_coils=0.02))
        assert "PC-RNN 4x → 1x got one coil, so none were joined." in result.warnings
        assert result.parameters == {}


def test_joining_needs_calibration_lines(series, small_weights):
    (small_weights / "small-4.safetensors").unlink()
    mask = recon.MaskSpec("random", 4, 0.05, seed=1)
    with pytest.raises(
        RequestError, match=r"PC-RNN 4x → 1x, coils joined: .* at least 4 .* leave the coils as they are"
    ):
        recon.run(series, replace(REQUEST, mask=mask, join_coils=0.02))
    recon.run(series, replace(REQUEST, mask=mask))


def test_a_single_coil_network_invents_no_coils(tmp_path, small_weights):
    (small_weights / "small-4.safetensors").unlink()
    path = write_scan(tmp_path / "five.h5", n_coils=5)
    series = recon.open_study(path).series[0]
    whole = recon.run(series, REQUEST)
    assert whole.n_virtual_coils == 5  # in two groups
    more = recon.run(series, replace(REQUEST, coils=9))
    assert more.n_virtual_coils == 5
    np.testing.assert_array_equal(more.final, whole.final)


def test_a_broken_coil_gives_nothing(tmp_path, small_weights):
    (small_weights / "small-4.safetensors").unlink()
    path = write_scan(tmp_path / "five.h5", n_slices=1, n_coils=5)
    with h5py.File(path, "r+") as file, h5py.File(tmp_path / "one.h5", "w") as one:
        one["kspace"] = file["kspace"][:, :1]
        file["kspace"][:, 1:] = 0
    finals = [recon.run(recon.open_study(name).series[0], REQUEST).final for name in (path, tmp_path / "one.h5")]
    np.testing.assert_allclose(*finals, rtol=1e-4, atol=1e-5 * float(finals[1].max()))


def test_two_coils_in_a_four_coil_network_are_said(tmp_path):
    series = recon.open_study(write_scan(tmp_path / "two.h5", n_coils=2)).series[0]
    assert any("zero coils" in warning for warning in recon.run(series, REQUEST).warnings)


def test_prospective_sampling_wins(tmp_path):
    mask = np.zeros(32, bool)
    mask[::2] = mask[12:20] = True
    path = write_scan(tmp_path / "prospective.h5", mask=mask.astype(np.float32))
    with h5py.File(path, "r+") as file:
        file["kspace"][...] = file["kspace"][()] * mask
    series = recon.open_study(path).series[0]
    result = recon.run(series, REQUEST)
    np.testing.assert_array_equal(result.mask.mask, mask[None])
    assert result.reference is None
    assert result.metrics is None
    assert any("own sampling" in warning for warning in result.warnings)


def test_a_mask_of_what_was_measured_names_the_native_grid(tmp_path):
    path = write_scan(tmp_path / "scan.h5", reconstruction_rss=np.ones((3, 20, 16), np.float32))
    series = recon.open_study(path).series[0]
    for name, shape in (("measured", 32), ("points", (40, 32)), ("cropped", 16), ("other", 30)):
        np.save(tmp_path / f"{name}.npy", np.arange(np.prod(shape)).reshape(shape) % 3 < 2)

    def sampled(name, grid="cropped"):
        mask = recon.MaskSpec(f"file:{tmp_path / name}.npy")
        return sampling_mask(series, recon.Request(model="zero-filled", mask=mask, grid=grid)).mask.shape

    assert sampled("cropped") == (1, 16) and sampled("measured", "native") == (1, 32)
    for name in ("measured", "points"):
        with pytest.raises(
            FileError, match=f"{name}.npy: the mask is for the 40 × 32 that were measured, but the"
        ) as e:
            sampled(name)
        assert "cropped grid has 16 columns of these 32" in str(e.value)
        assert "“As measured” (native)" in str(e.value) and "(16,) or (20, 16)" in str(e.value)
    with pytest.raises(FileError, match=r"shape \(30,\), but the grid that it is for is 20 × 16; expected \(16,\)"):
        sampled("other")


def test_cropped_and_native_grid(tmp_path):
    rss = np.ones((3, 20, 16), np.float32)
    path = write_scan(tmp_path / "large.h5", reconstruction_rss=rss)
    with h5py.File(path, "r+") as file:
        image = coils.root_sum_of_squares(fourier.ifft2c(torch.from_numpy(file["kspace"][()])), 1)
        file["reconstruction_rss"][...] = fourier.centre_crop(image, (20, 16)).numpy()
    series = recon.open_study(path).series[0]
    assert series.recon_size == (20, 16)
    full = recon.MaskSpec("none")
    for grid, width in (("cropped", 16), ("native", 32)):
        request = recon.Request("zero-filled", full, grid=grid)
        assert sampling_mask(series, request).mask.shape == (1, width)
        result = recon.run(series, request)
        assert result.final.shape == (3, 20, 16)
        np.testing.assert_allclose(result.final, result.reference, rtol=1e-3, atol=1e-5)


def test_preview_is_the_zero_filled_stage(series):
    image, mask, reference = preview(series, 1, REQUEST)
    first = next(stage for stage in recon.reconstruct(series, replace(REQUEST, slices=(1,))))
    np.testing.assert_allclose(image, first.image, rtol=1e-5, atol=1e-7)
    assert mask.n_low_frequency > 0
    np.testing.assert_array_equal(reference, series.reference[1])


def test_closing_the_stream_stops_the_work(series, monkeypatch):
    reads = []
    original = type(series).read
    monkeypatch.setattr(type(series), "read", lambda self, index: reads.append(index) or original(self, index))
    with closing(recon.reconstruct(series, REQUEST)) as stream:
        next(stream)
        next(stream)
    assert reads == [0]
    result = recon.run(series, REQUEST, callback=lambda stage: stage.slice_index < 1 or not stage.is_final)
    assert result.indices in ((0,), (0, 1))
    assert "partial" in result.warnings[-1]
    with pytest.raises(RequestError, match="before its first slice"):
        recon.run(series, REQUEST, callback=lambda _: False)


def test_no_graph_is_kept_without_an_inference_mode(series):
    assert torch.is_grad_enabled()
    model = recon.pipeline.Plan(series, REQUEST).model
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_keep_modules_only(series):
    result = recon.run(series, REQUEST, keep="modules")
    assert list(result.stages) == ["4x · 2", "1x · 2"]
    assert recon.run(series, REQUEST, keep="none").stages == {}


SOLVER = replace(REQUEST, model="cs-tv", maps="walsh", mask=recon.MaskSpec("equispaced-fraction", 2, 0.3))


def test_the_iterates_of_a_volume_are_thinned_and_those_of_a_slice_are_not(series):
    def iterates(n_iterations, slices=None, **keep):
        request = replace(SOLVER, slices=slices, overrides={"n_iterations": n_iterations, "tolerance": 0.0})
        result = recon.run(series, request, **keep)
        assert all(len(volume) == len(result.indices) for volume in result.stages.values())
        return [number for _, number in result.stage_paths]

    assert iterates(40, keep="all") == iterates(40, slices=(1,)) == [5, 10, 15, 20, 25, 30, 35]
    assert iterates(40) == [5, 10, 20, 35]
    assert iterates(80) == [5, 10, 20, 40, 75]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"callback": 3}, "callback is 3; give a function"),
        ({"keep": "x"}, "keep is 'x'; choose all, thinned, modules, none"),
        ({"keep": None}, "keep is None"),
    ],
)
def test_what_a_run_cannot_call_or_keep_is_refused_before_a_slice_is_read(series, monkeypatch, values, words):
    monkeypatch.setattr(type(series), "read", lambda *_: pytest.fail("a slice was read"))
    with pytest.raises(RequestError, match=words):
        recon.run(series, recon.Request(model="zero-filled"), **values)


def test_what_is_thinned_is_forgotten_at_once(series):
    plan = recon.pipeline.Plan(series, replace(SOLVER, overrides={"n_iterations": 60, "tolerance": 0.0}))
    collector = Collector(plan)
    alive = []
    with torch.inference_mode():
        for position, index in enumerate(plan.indices):
            for stage in plan.stream(index, position):
                collector.add(stage)
                alive.append(weakref.ref(stage.image))
                del stage
    gc.collect()
    # Of each slice: zero-filled, the iterates 5, 10, 20, 40 and 55, final.
    assert len(alive) == 3 * 13
    assert sum(image() is not None for image in alive) == 3 * 7


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"slices": (7,)}, RequestError, "slices 0 to 2"),
        ({"model": "pcrnn-b"}, ModelError, "no weights yet"),
        ({"model": "alexnet"}, ModelError, "no model 'alexnet'"),
        ({"model": "/nowhere.safetensors"}, ModelError, "no such weights file"),
        ({"device": "toaster"}, UnknownDeviceError, "unknown"),
        ({"device": "cuda:99"}, DeviceError, "not there"),
        ({"overrides": {"n_iterations": 1}}, RequestError, "overriding n_iterations"),
        ({"mask": recon.MaskSpec("file:/nowhere.npy")}, MRIError, "no such mask file"),
    ],
)
def test_impossible_requests_are_refused_by_name(series, changes, error, words):
    with pytest.raises(error, match=words):
        recon.run(series, replace(REQUEST, **changes))


def test_more_coils_than_there_are_take_those_that_there_are(series):
    """Coils of zeros would dilute what a method is fitted to, such as GRAPPA's kernels."""
    n_coils = series.n_coils
    for model in ("grappa", "cg-sense", "resources/weights/vn-4coil.safetensors"):
        name = str(ROOT / model) if "/" in model else model
        request = recon.Request(name, recon.MaskSpec("equispaced", 2), slices=(0,), device="cpu")
        asked, plain = (recon.run(series, replace(request, coils=coils)) for coils in (n_coils + 5, None))
        assert asked.n_virtual_coils == n_coils
        np.testing.assert_array_equal(asked.final, plain.final)
        assert [one for one in asked.warnings if one not in plain.warnings] == [
            f"{n_coils + 5} coils were asked for; {series.name} has {n_coils}."
        ]


def test_slices_that_cannot_be_used_spare_the_others_where_that_is_wanted(tmp_path):
    path = write_scan(tmp_path / "scan.h5")
    with h5py.File(path, "r+") as file:
        file["kspace"][0, 0, 0, 0] = np.nan
        file["kspace"][1] = 0
    series = recon.open_study(path).series[0]
    request = replace(REQUEST, model="zero-filled")
    with pytest.raises(FileError, match="slice 0"):
        recon.run(series, request)
    result = recon.pipeline.Plan(series, request).run(spares_others=True)
    assert result.indices == (2,)
    assert [int(one.split()[1]) for one in result.warnings if "left out" in one] == list(result.left_out) == [0, 1]
    assert not any("stopped" in one for one in result.warnings)
    alone = recon.run(series, replace(request, slices=(2,)))
    np.testing.assert_array_equal(result.final, alone.final)
    with pytest.raises(FileError, match="slice 1"):
        recon.pipeline.Plan(series, replace(request, slices=(0, 1))).run(spares_others=True)


def test_weights_are_chosen_by_the_coils_that_they_lose(small_weights):
    def chosen(n_coils, asked=None):
        fit = models.fit_coils("pcrnn-4x-1x", n_coils, asked)
        return fit.weights.n_coils, fit.n_virtual, fit.coil_by_coil

    assert chosen(1) == (1, 1, False)
    assert chosen(2) == (4, 4, False)  # zero coils fill the rest
    assert chosen(4) == (4, 4, False)
    assert chosen(6) == (1, 6, True)
    assert chosen(64) == (1, 32, True)
    assert chosen(6, 4) == (4, 4, False)
    assert chosen(6, 3) == (1, 3, True)
    (small_weights / "small-1.safetensors").unlink()
    assert chosen(6) == (4, 4, False)
    with pytest.raises(ModelError, match="only for 4"):
        chosen(6, 3)


@pytest.mark.parametrize(
    ("of_single", "of_four", "chosen"),
    [
        ({"brain": 31.0, "knee": 20.0}, {"brain": 30.0, "knee": 20.5}, 1),
        ({"brain": 30.0, "knee": 20.0}, {"brain": 31.0, "knee": 20.5}, 4),
        ({"brain": 40.0}, {"knee": 20.0}, 4),  # not comparable
        ({"brain": 40.0}, {}, 4),
        ({"brain": float("nan")}, {"brain": 30.0}, 4),
        ({"brain": "much"}, {"brain": 30.0}, 4),  # a story that somebody else wrote
    ],
)
def test_the_better_scored_weights_are_chosen(small_weights, of_single, of_four, chosen):
    for n_coils, psnr in ((1, of_single), (4, of_four)):
        saved = weights.read_header(small_weights / f"small-{n_coils}.safetensors")
        scores = [
            {"scan": scan, "mask": "random", "acceleration": 4.0, "psnr": {"mean": mean, "sd": 0.1}}
            for scan, mean in psnr.items()
        ]
        story = {key: value for key, value in saved.story.items() if key != "sha256"} | {"scores": scores}
        weights.save(saved.path, weights.load_tensors(saved), story)
    for n_coils in (2, 4):
        fit = models.fit_coils("pcrnn-4x-1x", n_coils)
        assert (fit.weights.n_coils, fit.n_virtual, fit.coil_by_coil) == (
            (1, n_coils, True) if chosen == 1 else (4, 4, False)
        )
    assert models.fit_coils("pcrnn-4x-1x", 1).weights.n_coils == 1
    assert models.fit_coils("pcrnn-4x-1x", 4, 4).weights.n_coils == 4
    assert models.fit_coils("pcrnn-4x-1x", 6).weights.n_coils == 1


def test_out_of_memory_is_said(series, monkeypatch):
    def allocate(*arguments, **named):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(coils, "compress", allocate)
    with pytest.raises(DeviceError, match="ran out of memory") as caught:
        recon.run(series, replace(REQUEST, coils=4))
    assert caught.value.out_of_memory


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("derived_brain_4ch", "random"),
        ("real_brain_16ch_gre", "equispaced-fraction"),
        ("real_brain_8ch_us_sigpy", "random"),
        ("real_phantom_2ch_os", "magic"),
        ("real_phantom_1ch_gre_x5", "equispaced"),
        ("real_phantom_32ch_x6", "gaussian-2d"),
        ("real_brain_2ch_gre", "poisson-2d"),
    ],
)
def test_real_scans_go_through(shared_data, name, kind):
    series = recon.open_study(shared_data / "kspace" / f"{name}.h5").series[0]
    request = replace(REQUEST, mask=recon.MaskSpec(kind, 4), slices=(0,))
    result = recon.run(series, request)
    assert np.isfinite(result.final).all()
    assert result.final.shape == (1, *series.recon_size)
    if series.has_reference:
        stored = np.asarray(series.reference[0])
        full = recon.run(series, replace(request, model="zero-filled", mask=recon.MaskSpec("none")))
        np.testing.assert_allclose(full.final[0], stored, rtol=1e-3, atol=float(stored.max()) * 1e-4)


# ---- what was measured ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "least", "most"), [("pcrnn-4x-1x", 0, 1e-5), ("cs-tv", 1e-4, 0.5), ("zero-filled", 0, 1e-5)]
)
def test_the_record_says_how_far_an_image_is_from_what_was_measured(series, model, least, most):
    request = recon.Request(model=model, mask=recon.MaskSpec("random", 3, seed=1, center_fraction=0.3), slices=(0, 2))
    result = recon.run(series, request)
    assert len(result.residuals) == 2 and all(least <= residual <= most for residual in result.residuals)
    assert result.record()["data_residual"] == list(result.residuals)
    stages = list(recon.reconstruct(series, request))
    assert stages[0].residual == 0
    assert [stage.residual for stage in stages if stage.is_final] == pytest.approx(list(result.residuals), abs=1e-6)
    closely = list(Plan(series, request, residuals="all").stages())
    assert all(stage.residual is not None for stage in closely)


def test_what_compression_drops_is_part_of_the_distance_from_what_was_measured(series):
    full = recon.MaskSpec("none")
    residuals = []
    for n_coils in (1, 3, 6):
        result = recon.run(series, recon.Request(model="zero-filled", mask=full, coils=n_coils, slices=(0,)))
        lost = np.linalg.norm(result.final - result.reference) / np.linalg.norm(result.reference)
        residuals.append(result.residuals[0])
        assert residuals[-1] >= 0.9 * lost
    assert residuals[0] > residuals[1] > 1e-3 > residuals[2]
