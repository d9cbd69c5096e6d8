"""Phase: the object's, whatever the coils, the method or the number of virtual coils."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import recon
from recon import coils, fourier, phantom, phase
from recon.errors import RequestError
from recon.preview import phases

SIZE = 64
ALL = torch.ones(1, SIZE, dtype=torch.bool)
SPEC = recon.MaskSpec("random", acceleration=3, seed=5, center_fraction=0.2)


def difference(first, second):
    """Angles between two phases, the short way round."""
    return np.angle(np.exp(1j * (np.asarray(first, np.float64) - np.asarray(second, np.float64))))


@pytest.fixture(scope="module")
def head():
    """An object whose phase turns once over its width, and its support."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIZE), torch.linspace(-1, 1, SIZE), indexing="ij")
    support = y**2 + x**2 < 0.6
    magnitude = support * (1 + 0.3 * torch.sin(9 * x) * torch.sin(7 * y))
    return torch.polar(magnitude, math.pi * x + 0.8 * torch.exp(-((y - 0.2) ** 2 + x**2) / 0.05)), support.numpy()


@pytest.fixture(scope="module")
def kspace(head):
    """What six coils around it see, each with a phase of its own."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIZE), torch.linspace(-1, 1, SIZE), indexing="ij")
    maps = []
    for number in range(6):
        angle = 2 * math.pi * number / 6
        near = torch.exp(-((x - math.cos(angle)) ** 2 + (y - math.sin(angle)) ** 2) / 2)
        maps.append(torch.polar(near, torch.full_like(near, 1.7 * number) + 0.2 * x))
    return fourier.fft2c(head[0] * torch.stack(maps))


def test_the_phase_of_one_coil_is_that_of_its_image(head):
    kspace = fourier.fft2c(head[0])[None]
    weights = phase.coil_weights(kspace, ALL, 1)
    found = phase.combined(fourier.ifft2c(kspace), weights)
    assert np.abs(difference(found, head[0].angle()))[head[1]].max() < 1e-3


def test_the_phases_of_the_coils_drop_out(head, kspace):
    found = phase.combined(fourier.ifft2c(kspace), phase.coil_weights(kspace, ALL, 6))
    off = difference(found, head[0].angle())[head[1]]
    # What stays is the phase of the first principal component, which is smooth; its mean is free.
    off = difference(off, np.angle(np.exp(1j * off).mean()))
    single = difference(fourier.ifft2c(kspace)[0].angle(), fourier.ifft2c(kspace)[3].angle())[head[1]]
    assert np.abs(single).min() > 1  # while coils by themselves differ by radians
    assert np.sqrt((off**2).mean()) < 0.12


@pytest.mark.parametrize("kind", ["all", "lines", "no calibration lines"])
def test_virtual_coils_and_sensitivity_maps_give_the_same_phase(head, kspace, kind):
    mask = ALL.clone()
    if kind != "all":
        mask[:, 1::3] = False
        mask[:, SIZE // 2 - 8 : SIZE // 2 + 8] = kind == "lines"
        mask[:, SIZE // 2 - 8 : SIZE // 2 + 8 : 2] = True
    sampled = kspace * mask
    weights = phase.coil_weights(sampled, mask, 6)
    wanted = phase.combined(fourier.ifft2c(kspace), weights)
    virtual, matrix = coils.compress(sampled, 4)
    full = torch.einsum("cyx,cv->vyx", kspace, matrix)
    found = phase.combined(fourier.ifft2c(full), phase.coil_weights(virtual, mask, 6))
    assert np.quantile(np.abs(difference(found, wanted))[head[1]], 0.99) < 0.05
    if kind == "all":
        maps = coils.espirit(kspace)
        combined = coils.combine(fourier.ifft2c(kspace), maps)[None]
        found = phase.combined(combined, (weights * maps).sum(dim=0, keepdim=True))
        inside = head[1] & (maps.abs().sum(dim=0).numpy() > 0)
        assert np.quantile(np.abs(difference(found, wanted))[inside], 0.95) < 0.05


# ---- through the pipeline ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    spec = phantom.PhantomSpec(n_slices=2, n_coils=4, matrix=(64, 48))
    return recon.open_study(phantom.write(tmp_path_factory.mktemp("scan") / "head.h5", spec)).series[0]


@pytest.mark.parametrize("model", ["zero-filled", "cg-sense", "cs-tv"])
def test_every_image_has_its_phase_where_it_is_wanted_and_magnitudes_stay(series, model):
    request = recon.Request(model=model, mask=SPEC, device="cpu")
    wanted = recon.Request(**{**vars(request), "phase": True})
    plain, complex_ = (list(recon.reconstruct(series, one)) for one in (request, wanted))
    assert all(stage.phase is None for stage in plain)
    for one, other in zip(plain, complex_, strict=True):
        assert np.array_equal(one.image, other.image)
        assert other.phase.shape == other.image.shape and other.phase.dtype == np.float32
        assert np.abs(other.phase).max() <= math.pi + 1e-6
    result = recon.run(series, wanted)
    assert np.array_equal(result.phase, np.stack([stage.phase for stage in complex_ if stage.is_final]))
    assert recon.run(series, request).phase is None


def test_the_phase_of_a_real_head_comes_nearer_to_the_reference_with_the_image():
    scan = Path(recon.__file__).parent.parent / "resources" / "demo" / "real_brain_16ch_gre.h5"
    series = recon.open_study(scan).series[0]
    request = recon.Request(model="cs-tv", mask=recon.MaskSpec("random", 4, seed=1), phase=True, device="cpu")
    zero_filled, truth = phases(series, 0, request)
    result = recon.run(series, request)
    head = result.reference[0] > 0.2 * result.reference[0].max()
    before, after = (np.sqrt((difference(one, truth)[head] ** 2).mean()) for one in (zero_filled, result.phase[0]))
    assert after < 0.6 * before


def test_without_undersampling_the_phase_is_that_of_the_reference(series):
    request = recon.Request(model="zero-filled", mask=recon.MaskSpec("none"), slices=(1,), phase=True, device="cpu")
    _, truth = phases(series, 1, request)
    result = recon.run(series, request)
    head = result.reference[0] > 0.05 * result.reference[0].max()
    assert np.abs(difference(result.phase[0], truth))[head].max() < 1e-3


def test_what_is_no_truth_value_is_refused():
    with pytest.raises(RequestError, match="phase is 'yes'"):
        recon.Request(phase="yes")


@pytest.mark.parametrize("scale", [1e-17, 1e15])
def test_the_scale_of_the_data_changes_no_phase(head, kspace, scale):
    weights, other = (phase.coil_weights(factor * kspace, ALL, 6) for factor in (1, scale))
    wanted = phase.combined(fourier.ifft2c(kspace), weights)
    found = phase.combined(fourier.ifft2c(scale * kspace), other)
    assert np.abs(difference(found, wanted))[head[1]].max() < 1e-3


def test_with_whitened_coils_too_the_phase_is_that_of_the_reference(series, tmp_path):
    rng = np.random.default_rng(0)
    mixed = np.eye(4) + 0.6 * rng.standard_normal((4, 4))
    samples = mixed @ (rng.standard_normal((4, 500)) + 1j * rng.standard_normal((4, 500)))
    np.save(tmp_path / "noise.npy", samples.astype(np.complex64))
    request = recon.Request(
        model="zero-filled", mask=recon.MaskSpec("none"), noise=str(tmp_path / "noise.npy"), phase=True, device="cpu"
    )
    result = recon.run(series, request)
    head = result.reference[0] > 0.05 * result.reference[0].max()
    assert np.abs(difference(result.phase[0], phases(series, 0, request)[1]))[head].max() < 1e-3


def test_a_phase_that_is_not_there_is_not_written(series, tmp_path):
    result = recon.run(series, recon.Request(model="zero-filled", slices=(0,)))
    with pytest.raises(RequestError, match="has no phase to write"):
        result.write(tmp_path / "phase.nii.gz", "nifti", is_phase=True)
