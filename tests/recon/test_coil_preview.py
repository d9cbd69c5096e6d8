"""Images and sensitivity maps of single coils, thinned for the screen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import recon
from recon import coil_preview, coils, fourier, phantom, sampling
from recon.coil_preview import coil_images, coil_maps
from recon.errors import RequestError, SliceError
from recon.masks import MaskSpec
from recon.request import Request

ROOT = Path(__file__).resolve().parent.parent.parent
HEAD = ROOT / "resources" / "demo" / "real_brain_16ch_gre.h5"
SMALL = ROOT / "tests" / "data" / "real_brain_2ch_gre.h5"


@pytest.fixture
def scan(tmp_path):
    """Give a scan of odd size, four coils and an oversampled field of view."""
    path = phantom.write(tmp_path / "odd.h5", phantom.PhantomSpec(n_slices=2, n_coils=4, matrix=(53, 41)))
    return recon.open_study(path).series[0]


def expected(series, index):
    return fourier.centre_crop(fourier.ifft2c(series.read(index).kspace), series.recon_size)


@pytest.mark.parametrize("path", [HEAD, SMALL])
def test_every_coil_has_its_own_image(path):
    series = recon.open_study(path).series[0]
    found, images = coil_images(series, 0), expected(series, 0)
    np.testing.assert_allclose(found.magnitude, images.abs().numpy(), rtol=1e-5, atol=1e-10)
    np.testing.assert_allclose(np.exp(1j * found.phase), np.exp(1j * images.angle().numpy()), atol=2e-2)
    assert found.step == 1 and found.states == ("",) * series.n_coils
    # Parseval: what was measured is what is seen.
    energy = images.abs().double().square().sum(dim=(1, 2))
    np.testing.assert_allclose(found.shares, energy / energy.sum(), rtol=1e-3)
    assert sum(found.shares) == pytest.approx(1)
    assert (found.magnitude <= found.white).mean() == pytest.approx(0.998, abs=1e-3)


def test_many_large_coils_are_thinned_and_odd_sizes_kept(scan, monkeypatch):
    whole = coil_images(scan, 1)
    assert whole.magnitude.shape == (4, 53, 41)
    monkeypatch.setattr(coil_preview, "_MOST_PIXELS", 4 * 53 * 41 - 1)
    thin = coil_images(scan, 1)
    assert thin.step == 2
    np.testing.assert_array_equal(thin.magnitude, whole.magnitude[:, ::2, ::2])
    np.testing.assert_allclose(thin.phase, whole.phase[:, ::2, ::2], rtol=1e-5)
    assert thin.shares == whole.shares


def test_images_are_cropped_as_in_the_grid(scan):
    found = coil_images(replace(scan, recon_size=(40, 41)), 0)
    np.testing.assert_allclose(
        found.magnitude, expected(replace(scan, recon_size=(40, 41)), 0).abs().numpy(), rtol=1e-5
    )


@pytest.mark.parametrize(("grid", "spec"), [("cropped", MaskSpec("equispaced", 4)), ("native", MaskSpec("none"))])
def test_maps_are_those_of_the_pipeline(scan, grid, spec):
    request = Request("cg-sense", spec, grid=grid)
    series = replace(scan, recon_size=(40, 41))
    mask = torch.from_numpy(sampling.sampling_mask(series, request).mask)
    kspace = sampling.on_grid(series.read(0).kspace, series, native=grid == "native")
    truth = fourier.centre_crop(recon.pipeline.prepare(kspace, mask, maps="espirit").maps[0], (40, 41))
    found = coil_maps(series, 0, request)
    np.testing.assert_allclose(found.magnitude, truth.abs().numpy(), atol=1e-5)
    is_seen = truth.abs().numpy() > 0.05
    np.testing.assert_allclose(
        np.exp(1j * found.phase[is_seen]), np.exp(1j * truth.angle().numpy()[is_seen]), atol=1e-3
    )
    assert not np.isfinite(found.phase[truth.abs().numpy() == 0]).any()
    assert found.white == 1 and not found.is_whitened
    assert found.shares == coil_images(series, 0).shares


def test_maps_of_noisy_coils_are_whitened_first(scan, tmp_path):
    generator = np.random.default_rng(0)
    noise = generator.standard_normal((4, 500)) + 1j * generator.standard_normal((4, 500))
    noise[0] *= 5
    np.save(tmp_path / "noise.npy", noise.astype(np.complex64))
    request = Request(mask=MaskSpec("none"), noise=str(tmp_path / "noise.npy"))
    kspace = coils.whiten(scan.read(0).kspace, torch.from_numpy(noise.astype(np.complex64)))
    truth = coils.sensitivity_maps(kspace, torch.ones(scan.matrix, dtype=torch.bool))
    found = coil_maps(scan, 0, request)
    np.testing.assert_allclose(found.magnitude, truth.abs().numpy(), atol=1e-4)
    assert found.is_whitened


def test_there_are_no_maps_of_one_coil_or_without_calibration_lines(scan):
    with pytest.raises(RequestError, match="one coil"):
        coil_maps(replace(scan, n_coils=1), 0, Request())
    with pytest.raises(RequestError, match="at least 4 fully sampled lines through the centre of k-space, found 1"):
        coil_maps(scan, 0, Request(mask=MaskSpec("equispaced", 4, center_fraction=0.02)))


def test_a_coil_that_measured_zeros_or_noise_is_told_from_a_weak_one(scan):
    with h5py.File(scan.path, "r+") as file:
        kspace = file["kspace"][0]
        generator = np.random.default_rng(1)
        parts = generator.standard_normal((2, 53, 41)) * np.abs(kspace).mean()
        kspace[1], kspace[2] = 0, parts[0] + 1j * parts[1]
        kspace[3] *= 1e-4
        file["kspace"][0] = kspace
    found = coil_images(recon.open_study(scan.path).series[0], 0)
    assert found.states == ("", "no signal", "noise only", "")
    assert found.shares[1] == 0 and 0 < found.shares[3] < 1e-6
    assert not found.magnitude[1].any() and np.isnan(found.phase[1]).all()


def test_air_is_noise_in_all_coils():
    """A pattern of few samples, or one of large numbers, changes nothing of that."""
    generator = torch.Generator().manual_seed(0)
    kspace = 1e30 * torch.randn(3, 64, 64, dtype=torch.complex64, generator=generator)
    assert coil_preview._judged(kspace)[1] == ("noise only",) * 3
    assert coil_preview._judged(kspace * (torch.arange(64) % 2 == 0))[1] == ("noise only",) * 3
    # Of so few nobody can tell.
    assert coil_preview._judged(kspace[:, :8, :8])[1] == ("",) * 3


def test_a_slice_that_cannot_be_used_is_refused(scan):
    with h5py.File(scan.path, "r+") as file:
        file["kspace"][0, 0, 3, 3] = np.nan
    with pytest.raises(SliceError, match="NaN"):
        coil_images(recon.open_study(scan.path).series[0], 0)
