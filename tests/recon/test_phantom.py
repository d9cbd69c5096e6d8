"""The phantom's k-space is that of the continuous object: checked against drawn pictures."""

import dataclasses

import h5py
import numpy as np
import pytest
import torch

import recon
from recon import anatomy, phantom
from recon.anatomy import CSF, Blob, Ellipse
from recon.errors import ExportError, RequestError
from recon.phantom import PhantomSpec

SMALL = PhantomSpec(n_slices=2, n_coils=4, matrix=(72, 64))


def drawn(shapes, spec, supersampling):
    """k-space of a picture drawn on a fine grid: what the formula must come close to."""
    n_y, n_x = (n * supersampling for n in spec.matrix)
    y_mm = (np.arange(n_y) - n_y // 2) * spec.fov_mm[0] / n_y
    x_mm = (np.arange(n_x) - n_x // 2) * spec.fov_mm[1] / n_x
    picture = sum(shape.value(x_mm[None, :], y_mm[:, None]) for shape in shapes)
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(picture))) * (spec.fov_mm[0] / n_y) * (spec.fov_mm[1] / n_x)
    top, left = (n_y - spec.matrix[0]) // 2, (n_x - spec.matrix[1]) // 2
    return kspace[top : top + spec.matrix[0], left : left + spec.matrix[1]]


def frequencies(spec):
    return tuple((np.arange(n) - n // 2) / fov for n, fov in zip(spec.matrix, spec.fov_mm, strict=True))


def test_bessel_function_agrees_with_torch():
    x = np.concatenate([[0.0, 1e-9, 2.999999, 3.0, 3.000001], np.linspace(0.01, 700, 5000)])
    expected = np.where(x == 0, 0.5, torch.special.bessel_j1(torch.from_numpy(x)).numpy() / np.maximum(x, 1e-30))
    np.testing.assert_allclose(anatomy.bessel_j1_over_x(x), expected, atol=1e-7)


@pytest.mark.parametrize(
    "shape",
    [
        Ellipse(11.0, -23.0, 40.0, 25.0, 30.0, 0.7),
        Ellipse(-5.5, 8.0, 12.0, 12.0, 0.0, 1.0),
        Ellipse(0.0, 0.0, 70.0, 90.0, 90.0, -0.4),
        Blob(-20.0, 14.0, 7.0, 0.3),
    ],
)
def test_transform_of_a_shape_is_that_of_its_picture(shape):
    spec = PhantomSpec(matrix=(32, 40))
    y_per_mm, x_per_mm = frequencies(spec)
    formula = phantom.transform([shape], x_per_mm, y_per_mm)
    picture = drawn([shape], spec, supersampling=40)
    assert np.abs(formula - picture).max() < 2e-3 * np.abs(picture).max()


def test_kspace_is_anatomy_times_coils():
    spec = dataclasses.replace(SMALL, noise=0.0)
    kspace = phantom.slice_kspace(spec, 1)
    images = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, axes=(1, 2)), norm="ortho"), axes=(1, 2))
    pixel_y, pixel_x = spec.pixel_mm
    y_per_mm, x_per_mm = frequencies(spec)
    shapes = anatomy.brain(float(spec.heights_mm[1]), spec.seed)
    image = phantom.transform(shapes, x_per_mm, y_per_mm, edge_mm=0.5 * min(spec.pixel_mm)) / (pixel_y * pixel_x)
    image = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(image)))
    expected = phantom.coil_maps(spec) * image * phantom._SIGNAL_SCALE
    inside = np.s_[:, 8:-8, 8:-8]  # the product of two band-limited pictures wraps a little at the borders
    error = np.linalg.norm((images - expected)[inside]) / np.linalg.norm(expected[inside])
    assert error < 0.03


def test_coils_differ_and_cover_the_head():
    maps = phantom.coil_maps(PhantomSpec(n_coils=6))
    assert maps.shape == (6, 256, 256)
    combined = np.sqrt((np.abs(maps) ** 2).sum(axis=0))
    assert combined[64:192, 90:166].min() > 0.5
    columns = maps[:, 40:216, 60:196].reshape(6, -1)
    correlation = np.abs(np.corrcoef(columns))
    assert correlation[~np.eye(6, dtype=bool)].max() < 0.9


def test_slices_show_different_anatomy():
    assert len(anatomy.brain(0.0)) > 60
    assert anatomy.brain(0.0) == anatomy.brain(0.0)
    assert anatomy.brain(0.0) != anatomy.brain(0.0, seed=8)
    head_at = {height: anatomy.brain(height)[0].half_x_mm for height in (-20.0, 0.0, 30.0, 50.0)}
    assert head_at[0.0] > head_at[30.0] > head_at[50.0]


def test_same_settings_give_the_same_samples():
    first, second = phantom.slice_kspace(SMALL, 0), phantom.slice_kspace(SMALL, 0)
    assert first.dtype == np.complex64
    assert first.shape == (4, 72, 64)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, phantom.slice_kspace(dataclasses.replace(SMALL, seed=8), 0))


def test_noise_has_the_level_that_was_asked_for():
    quiet = phantom.slice_kspace(dataclasses.replace(SMALL, noise=0.0), 0)
    noise = phantom.slice_kspace(dataclasses.replace(SMALL, noise=0.05), 0) - quiet
    assert np.sqrt((np.abs(noise) ** 2).mean()) == pytest.approx(0.05 * phantom._SIGNAL_SCALE, rel=0.03)


def test_the_file_says_the_noise_of_each_part_as_simulations_do(tmp_path):
    path = phantom.write(tmp_path / "head.h5", SMALL)
    quiet = phantom.slice_kspace(dataclasses.replace(SMALL, noise=0.0), 0)
    noise = (phantom.slice_kspace(SMALL, 0) - quiet) / (phantom._SIGNAL_SCALE * CSF)
    said = recon.open_study(path).series[0].simulation.noise
    assert noise.real.std() == pytest.approx(said, rel=0.05)
    assert noise.imag.std() == pytest.approx(said, rel=0.05)


def test_file_opens_as_a_study_and_says_what_it_is(tmp_path):
    shares = []
    path = phantom.write(tmp_path / "phantom.h5", SMALL, progress=shares.append)
    assert shares == [0.5, 1.0]
    assert [item.name for item in tmp_path.iterdir()] == ["phantom.h5"]
    series = recon.open_study(path).series[0]
    assert (series.n_slices, series.n_coils, series.matrix) == (2, 4, (72, 64))
    assert series.has_reference
    assert series.header.source == phantom.SOURCE
    assert series.header.recon_matrix == (72, 64, 1)
    assert series.geometry.pixel_spacing_mm == pytest.approx(SMALL.pixel_mm)
    assert any("no person was scanned" in note for note in series.notes)
    slice_ = series.read(1)
    np.testing.assert_array_equal(slice_.kspace.numpy(), phantom.slice_kspace(SMALL, 1))
    combined = recon.coils.root_sum_of_squares(recon.fourier.ifft2c(slice_.kspace), dim=0)
    np.testing.assert_allclose(slice_.reference.numpy(), combined.numpy(), atol=1e-9)


def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path):
    def full(share):
        raise OSError(28, "No space left on device")

    with pytest.raises(ExportError, match="disk is full"):
        phantom.write(tmp_path / "phantom.h5", SMALL, progress=full)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "values", [{"n_slices": 0}, {"n_coils": 0}, {"matrix": (8, 64)}, {"fov_mm": (0.0, 200.0)}, {"noise": -0.1}]
)
def test_impossible_phantoms_are_refused(values):
    with pytest.raises(RequestError, match="a phantom needs"):
        PhantomSpec(**values)


def test_file_that_h5py_reads_has_the_fastmri_layout(tmp_path):
    path = phantom.write(tmp_path / "phantom.h5", SMALL)
    with h5py.File(path) as file:
        assert set(file) == {"kspace", "reconstruction_rss", "ismrmrd_header"}
        assert file["kspace"].dtype == np.complex64
        assert file["reconstruction_rss"].dtype == np.float32
        assert file.attrs["acquisition"] == "AXT2"
        assert file.attrs["max"] == pytest.approx(file["reconstruction_rss"][()].max())


def test_every_result_of_it_says_that_it_is_simulated(tmp_path):
    path = phantom.write(tmp_path / "phantom.h5", phantom.PhantomSpec(n_slices=1, n_coils=2, matrix=(32, 32)))
    series = recon.open_study(path).series[0]
    assert series.is_simulated and series.has_kspace
    assert "simulated from an analytic phantom" in series.notes[0]
    result = recon.run(series, recon.Request("zero-filled", recon.MaskSpec("random", 4, seed=1)))
    assert result.record()["simulated_kspace"] is True
