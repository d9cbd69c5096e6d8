"""Coil sensitivities: BART's golden maps, the physics they must keep, and what happens with little or bad data."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from recon import coils, interruption, sensitivity
from recon.calibration import calibration_kernel
from recon.errors import RequestError
from recon.fourier import ifft2c
from recon.operator import Encoding
from recon.phantom import PhantomSpec, slice_kspace

METHODS = ("espirit", "walsh")


@pytest.fixture(scope="module")
def kspace() -> Tensor:
    """K-space of a phantom with six coils; odd and unequal sides."""
    return torch.from_numpy(slice_kspace(PhantomSpec(n_slices=1, n_coils=6, matrix=(81, 72), noise=0.002), 0))


def lines(n_columns: int, n_lines: int) -> Tensor:
    """A line mask with every third column and a centre."""
    mask = torch.arange(n_columns) % 3 == 0
    mask[n_columns // 2 - n_lines // 2 - 1 : n_columns // 2 - n_lines // 2 + n_lines + 1] = False
    mask[n_columns // 2 - n_lines // 2 : n_columns // 2 - n_lines // 2 + n_lines] = True
    return mask[None]


def assert_like_barts(maps: Tensor, golden: Tensor) -> None:
    """Same support; same maps but where the two largest eigenvalues nearly meet, where BART's iteration stops early."""
    support, golden_support = (coils.root_sum_of_squares(one) > 0.5 for one in (maps, golden))
    assert (support ^ golden_support).float().mean() <= 1e-3
    both = support & golden_support
    error = coils.root_sum_of_squares(maps - golden)[both]
    assert torch.quantile(error, 0.95) <= 2e-3
    assert error.square().mean().sqrt() <= 0.08


def test_golden_maps_of_bart(vectors):
    golden = np.load(vectors / "bart_cs.npz")
    kspace, mask = torch.from_numpy(golden["kspace_full"]), torch.from_numpy(golden["mask"])
    expected = torch.from_numpy(golden["sens_r15"])
    for data in (kspace, kspace * mask):
        maps = coils.espirit(data, 15)
        assert_like_barts(maps, expected)
        relative = torch.linalg.vector_norm(maps - expected) / torch.linalg.vector_norm(expected)
        assert relative < 0.01


@pytest.mark.skipif(shutil.which("bart") is None, reason="bart is not installed")
@pytest.mark.parametrize("name", ["real_brain_16ch_gre", "derived_brain_4ch", "real_brain_2ch_gre"])
def test_real_scans_as_bart_sees_them(name, shared_data, tmp_path):
    import h5py

    with h5py.File(shared_data / "kspace" / f"{name}.h5") as file:
        kspace = np.asarray(file["kspace"][0], np.complex64)
    expected = torch.from_numpy(bart_maps(kspace, tmp_path))
    assert_like_barts(coils.espirit(torch.from_numpy(kspace)), expected)


def bart_maps(kspace: np.ndarray, folder: Path) -> np.ndarray:
    """Run ``bart ecalib -m1``; its arrays are in Fortran's order, ``(z, y, x, coil)`` here."""
    n_coils, n_rows, n_columns = kspace.shape
    np.ascontiguousarray(kspace.swapaxes(1, 2)).tofile(folder / "kspace.cfl")
    (folder / "kspace.hdr").write_text(f"# Dimensions\n1 {n_rows} {n_columns} {n_coils}\n")
    subprocess.run(["bart", "ecalib", "-m1", "kspace", "maps"], cwd=folder, check=True, capture_output=True)
    maps = np.fromfile(folder / "maps.cfl", np.complex64).reshape(n_coils, n_columns, n_rows)
    return maps.swapaxes(1, 2)


def test_eigenvectors_are_those_of_every_pixel(kspace):
    # The fast way, from a coarse grid, against an eigenvalue decomposition of the matrix of each pixel.
    kspace = torch.nn.functional.pad(kspace, (30, 30, 25, 25))
    maps = coils.espirit(kspace, crop=0.0)
    block = kspace[:, 53:77, 54:78] / kspace.abs().max()
    lags = sensitivity._lags(block, 6, 0.001)
    matrices = torch.cat([part for _, part in sensitivity._pixel_matrices(lags, tuple(kspace.shape[-2:]))])
    values, vectors = torch.linalg.eigh(matrices[::5, ::7])
    assert float(values.max()) <= 1 + 1e-5
    assert float(values.min()) >= -1e-5
    certain = (values[..., -1] > 0.8) & (values[..., -1] - values[..., -2] > 0.05)
    assert certain.float().mean() > 0.05
    overlap = (vectors[..., -1].conj() * maps.movedim(0, -1)[::5, ::7]).sum(-1).abs()
    torch.testing.assert_close(overlap[certain], torch.ones(int(certain.sum())), atol=1e-4, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_unit_root_sum_of_squares_inside_the_support_and_zero_outside(kspace, method):
    mask = lines(72, 20)
    maps = coils.sensitivity_maps(kspace * mask, mask, method)
    assert maps.shape == kspace.shape
    assert maps.dtype == torch.complex64
    strength = coils.root_sum_of_squares(maps)
    inside = strength > 0.5
    torch.testing.assert_close(strength[inside], torch.ones(int(inside.sum())), atol=1e-5, rtol=0)
    assert not strength[~inside].any()
    image = coils.root_sum_of_squares(ifft2c(kspace))
    assert inside[image > 0.1 * image.max()].float().mean() > 0.99
    assert inside.float().mean() < 0.95


@pytest.mark.parametrize(("method", "limit"), [("espirit", 0.02), ("walsh", 0.12)])
def test_maps_times_the_combined_image_are_the_coil_images(kspace, method, limit):
    mask = lines(72, 24)
    maps = coils.sensitivity_maps(kspace * mask, mask, method)
    images = ifft2c(kspace)
    image = coils.combine(images, maps)
    support = coils.root_sum_of_squares(maps) > 0.5
    rest = (images - maps * image[None])[:, support]
    assert torch.linalg.vector_norm(rest) / torch.linalg.vector_norm(images[:, support]) < limit
    # and the combined image is as strong as the root sum of squares
    strength = coils.root_sum_of_squares(images)
    bright = support & (strength > 0.2 * strength.max())
    assert float((image.abs() / strength)[bright].median()) > 0.99


def test_combination_is_the_adjoint_of_the_maps(kspace):
    maps = coils.espirit(kspace)
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(81, 72, dtype=torch.complex64, generator=generator)
    images = torch.randn(6, 81, 72, dtype=torch.complex64, generator=generator)
    left = torch.vdot((maps * image).flatten(), images.flatten())
    right = torch.vdot(image.flatten(), coils.combine(images, maps).flatten())
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-3)
    mask = torch.ones(1, 72, dtype=torch.bool)
    torch.testing.assert_close(
        coils.combine(ifft2c(images), maps), Encoding(mask, maps).adjoint(images), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("method", METHODS)
def test_batch_equals_single_and_masks_may_differ(kspace, method):
    masks = torch.stack([lines(72, 20), lines(72, 20), lines(72, 13)])[:, None]
    batch = torch.stack([kspace, 3 * kspace.roll(1, 0), kspace]) * masks
    together = coils.sensitivity_maps(batch, masks, method)
    for index in range(3):
        alone = coils.sensitivity_maps(batch[index], masks[index, 0], method)
        assert torch.equal(together[index], alone)
    assert not torch.equal(together[0], together[2])


@pytest.mark.parametrize("method", METHODS)
def test_same_data_same_maps_at_any_scale(kspace, method):
    mask = lines(72, 16)
    maps = coils.sensitivity_maps(kspace * mask, mask, method)
    assert torch.equal(coils.sensitivity_maps(kspace * mask, mask, method), maps)
    for factor in (2.0**-40, 2.0**40):
        assert torch.equal(coils.sensitivity_maps(kspace * mask * factor, mask, method), maps)


def test_only_the_calibration_lines_count(kspace):
    mask, other = lines(72, 16), lines(72, 16)
    other[:, :20] = True
    assert torch.equal(coils.sensitivity_maps(kspace * mask, mask), coils.sensitivity_maps(kspace * other, other))


def test_point_masks_have_a_calibration_block(kspace):
    rows, columns = torch.arange(81)[:, None] - 40, torch.arange(72) - 36
    disc = rows**2 + columns**2 <= 14**2
    maps = coils.sensitivity_maps(kspace * disc, disc)
    images = ifft2c(kspace)
    support = coils.root_sum_of_squares(maps) > 0.5
    rest = (images - maps * coils.combine(images, maps)[None])[:, support]
    assert torch.linalg.vector_norm(rest) / torch.linalg.vector_norm(images[:, support]) < 0.03


@pytest.mark.parametrize(
    ("method", "n_lines", "least"), [("espirit", 0, 4), ("espirit", 1, 4), ("espirit", 3, 4), ("walsh", 5, 6)]
)
def test_too_few_calibration_lines_are_refused(kspace, method, n_lines, least):
    mask = lines(72, n_lines)
    with pytest.raises(
        RequestError, match=f"at least {least} fully sampled lines.*, found {n_lines or 'none'}; choose a method wi"
    ):
        coils.sensitivity_maps(kspace * mask, mask, method)


def test_few_lines_of_many_coils_have_smaller_kernels():
    assert [calibration_kernel((26, n_lines), 4) for n_lines in (4, 5, 6, 10, 12, 26)] == [3, 3, 3, 4, 4, 6]
    assert [calibration_kernel((26, n_lines), 32) for n_lines in (4, 5, 6, 10, 12, 26)] == [2, 2, 3, 4, 4, 6]
    spec = PhantomSpec(n_slices=1, n_coils=32, matrix=(64, 64), noise=0.002)
    kspace = torch.from_numpy(slice_kspace(spec, 0))
    images = ifft2c(kspace)
    mask = lines(64, 5)
    maps = coils.sensitivity_maps(kspace * mask, mask)
    rest = images - maps * coils.combine(images, maps)[None]
    assert torch.linalg.vector_norm(rest) / torch.linalg.vector_norm(images) < 0.1


def test_few_lines_still_cover_the_object(kspace):
    image = coils.root_sum_of_squares(ifft2c(kspace))
    for n_lines in (4, 5, 6, 8, 10):
        mask = lines(72, n_lines)
        support = coils.root_sum_of_squares(coils.sensitivity_maps(kspace * mask, mask)) > 0.5
        assert support[image > 0.2 * image.max()].float().mean() > 0.9


@pytest.mark.parametrize("method", METHODS)
def test_a_single_coil_has_a_map_of_ones(kspace, method):
    one = coils.compress(kspace, 1)[0]
    without_centre = torch.zeros(72, dtype=torch.bool)
    without_centre[::4] = True
    for mask in (lines(72, 20), without_centre):
        torch.testing.assert_close(coils.sensitivity_maps(one * mask, mask, method), torch.ones_like(one))


def test_a_coil_without_signal_gets_a_map_of_zeros(kspace):
    mask = lines(72, 20)
    padded = torch.cat([kspace, torch.zeros(2, 81, 72)]) * mask
    maps = coils.sensitivity_maps(padded, mask)
    assert not maps[6:].abs().gt(1e-5).any()
    without = coils.sensitivity_maps(kspace * mask, mask)
    # A coil that is silent gives no phase: the reference is another one, and one phase stands between the two.
    phase = torch.vdot(without.flatten(), maps[:6].flatten())
    torch.testing.assert_close(maps[:6], without * phase / phase.abs(), atol=1e-3, rtol=0)


def test_impossible_parameters_are_refused(kspace):
    for changes, words in (
        ({"n_calibration": 0}, "n_calibration is 0"),
        ({"n_calibration": 4}, "found 4;"),
        ({"kernel_size": 0}, "kernel_size is 0"),
        ({"kernel_size": 2.5}, "whole number"),
        ({"threshold": 1.0}, "threshold is 1"),
        ({"crop": -0.1}, "crop is -0.1"),
    ):
        with pytest.raises(RequestError, match=words):
            coils.espirit(kspace, **changes)
    for window, words in ((0, "window is 0"), (4, "window is 4; it must be odd")):
        with pytest.raises(RequestError, match=words):
            coils.walsh(kspace, window=window)
    with pytest.raises(RequestError, match="choose espirit or walsh"):
        coils.sensitivity_maps(kspace, lines(72, 20), "bart")
    with pytest.raises(RequestError, match="centre of k-space is empty"):
        coils.sensitivity_maps(torch.zeros_like(kspace), lines(72, 20))


@pytest.mark.parametrize("estimate", [coils.espirit, coils.walsh, lambda it: coils.sensitivity_maps(it, lines(72, 20))])
def test_what_is_no_kspace_is_named(kspace, estimate):
    with pytest.raises(RequestError, match=r"is a ndarray; a complex tensor \(coil, y, x\) was expected; torch.from_n"):
        estimate(kspace.numpy())
    with pytest.raises(RequestError, match=r"float32 tensor of shape \(.*; a complex one"):
        estimate(kspace.abs())
    with pytest.raises(RequestError, match="complex64 tensor of shape"):
        estimate(kspace[0])
    broken = kspace.clone()
    broken[..., broken.shape[-2] // 2, broken.shape[-1] // 2] = torch.nan
    with pytest.raises(RequestError, match="holds NaN, infinity"):
        estimate(broken)


def test_maps_that_nobody_waits_for_any_longer_are_left(kspace):
    with interruption.watching(lambda: True), pytest.raises(interruption.Interrupted):
        coils.espirit(kspace)
    with interruption.watching(lambda: False):
        assert coils.espirit(kspace).shape == kspace.shape
