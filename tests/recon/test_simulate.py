"""Simulated k-space: deterministic, plausible, honest about what it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import recon
from recon import simulate
from recon.coils import root_sum_of_squares
from recon.errors import ExportError, RequestError
from recon.fourier import ifft2c
from recon.io.images import Images, read_images
from recon.simulate import SimulationSpec, coil_maps, field_phase, simulate_slice, smooth_phase


def disc(rows: int = 60, columns: int = 45) -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
    return ((y**2 + x**2) < 0.6).float() * 300


def test_same_seed_same_scan_and_noise_differs_between_slices():
    spec = SimulationSpec(n_coils=3, seed=5)
    one, again, other = (simulate_slice(disc(), spec, key)[0] for key in ("a", "a", "b"))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert float((one - other).abs().mean() / one.abs().mean()) < 0.5
    assert not torch.equal(one, simulate_slice(disc(), SimulationSpec(n_coils=3, seed=6), "a")[0])


@pytest.mark.parametrize("n_coils", [1, 2, 4, 16, 33])
def test_reference_is_the_combination_of_the_coil_images(n_coils):
    kspace, reference = simulate_slice(disc(), SimulationSpec(n_coils=n_coils), "a")
    assert kspace.shape == (n_coils, 60, 45)
    assert kspace.dtype == torch.complex64
    torch.testing.assert_close(root_sum_of_squares(ifft2c(kspace), 0), reference, rtol=1e-4, atol=1e-3)


def test_noise_has_the_asked_level():
    quiet, loud = (simulate_slice(disc(), SimulationSpec(2, noise=level), "a")[0] for level in (0.0, 0.03))
    noise = ifft2c(loud - quiet)
    assert float(noise.real.std()) == pytest.approx(0.03 * 300, rel=0.05)
    assert float(noise.imag.std()) == pytest.approx(0.03 * 300, rel=0.05)


def test_no_phase_asked_no_phase_given():
    kspace, _ = simulate_slice(disc(), SimulationSpec(1, phase=0, noise=0), "a")
    image = ifft2c(kspace)[0]
    assert float(image.imag.abs().max()) < 1e-3 * float(image.real.max())


@pytest.mark.parametrize("n_coils", [2, 8, 32])
def test_coils_are_smooth_and_see_different_things(n_coils):
    maps = coil_maps(np.random.default_rng(0), n_coils, (64, 80))
    assert maps.shape == (n_coils, 64, 80)
    steps = np.abs(np.diff(maps, axis=-1)).max() / np.abs(maps).max()
    assert steps < 0.3
    flat = maps.reshape(n_coils, -1)
    flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    gram = np.abs(flat @ flat.conj().T) - np.eye(n_coils)
    assert gram.min() < 0.9


def test_phase_is_smooth_and_varies():
    phase = smooth_phase(np.random.default_rng(0), (50, 70))
    assert phase.shape == (50, 70)
    assert np.ptp(phase) > 0.5
    assert np.abs(np.diff(phase, axis=0)).max() < 0.6


def test_narrow_fields_are_local_and_turn_the_phase_faster_than_the_smooth_one():
    steepest = []
    for seed in range(20):
        phase = field_phase(np.random.default_rng(seed), (60, 80))
        assert phase.shape == (60, 80) and np.isfinite(phase).all()
        assert 0.5 < np.abs(phase).max() <= 3
        assert np.median(np.abs(phase)) < 0.5 * np.abs(phase).max()
        steepest.append(np.abs(np.diff(phase, axis=1)).max())
    smooth = [np.abs(np.diff(smooth_phase(np.random.default_rng(seed), (60, 80)), axis=1)).max() for seed in range(20)]
    # At a peak of 8 rad, as training has it, against the smooth phase as it is.
    assert np.median(8 * np.array(steepest)) > 4 * np.median(smooth)


def test_impossible_simulations_are_refused():
    for values in ({"n_coils": 0}, {"n_coils": 1000}, {"noise": -1}, {"phase": float("nan")}, {"seed": -1}):
        with pytest.raises(RequestError):
            SimulationSpec(**values)
    with pytest.raises(RequestError, match="empty"):
        simulate_slice(torch.zeros(8, 8), SimulationSpec(), "a")


def test_the_sentence_says_simulated():
    assert "simulated" in SimulationSpec().sentence


def test_images_are_written_as_a_scan(tmp_path):
    for name, factor in (("a", 1), ("b", 2)):
        np.save(tmp_path / f"{name}.npy", factor * disc().numpy())
    images = [read_images(tmp_path / f"{name}.npy") for name in "ab"]
    spec, shown = SimulationSpec(n_coils=3, seed=2), []
    path = simulate.write(tmp_path / "scan.h5", images, spec, lambda *about: shown.append(about))
    assert shown == [("slice 0", 0.5), ("slice 1", 1.0)]
    series = recon.open_study(path).series[0]
    assert (series.simulation, series.header.acquisition) == (spec, "SIMULATED")
    assert series.header.source == "simulated from a.npy, b.npy"
    kspace, reference = simulate_slice(2 * disc(), spec, "1")
    np.testing.assert_array_equal(series.source.kspace(1), kspace.numpy())
    np.testing.assert_array_equal(series.source.reference(1), reference.numpy())


def test_an_image_is_not_overwritten_and_sizes_do_not_mix(tmp_path):
    np.save(tmp_path / "a.npy", disc().numpy())
    np.save(tmp_path / "b.npy", disc(40).numpy())
    images = [read_images(tmp_path / f"{name}.npy") for name in "ab"]
    with pytest.raises(ExportError, match="is one of the images"):
        simulate.write(tmp_path / "a.npy", images[:1], SimulationSpec())
    with pytest.raises(RequestError, match=r"b\.npy has 40 × 45 pixels and .*a\.npy has 60 × 45"):
        simulate.write(tmp_path / "scan.h5", images, SimulationSpec())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npy", "b.npy"]


def test_many_images_are_counted_instead_of_named(tmp_path):
    images = [Images(tmp_path / f"{'long' * 10}-{number}.png", disc()[None].numpy()) for number in range(6)]
    path = simulate.write(tmp_path / "scan.h5", images, SimulationSpec(n_coils=1))
    assert recon.open_study(path).series[0].header.source == "simulated from 6 images"
