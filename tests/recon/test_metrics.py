"""Metrics by fastMRI's definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.metrics import structural_similarity

from recon import metrics
from recon.errors import RequestError

CASES = ("a_3x32x32", "b_4x48x40_small", "c_1x16x16", "d_5x37x41_odd")


@pytest.mark.parametrize("case", CASES)
def test_golden_vectors(vectors, case):
    golden = np.load(vectors / "metrics.npz")
    reference, image = golden[f"{case}/gt"], golden[f"{case}/pred"]
    assert metrics.psnr(reference, image) == pytest.approx(float(golden[f"{case}/psnr"]), abs=1e-5)
    assert metrics.ssim(reference, image) == pytest.approx(float(golden[f"{case}/ssim"][0]), abs=1e-6)
    assert metrics.nmse(reference, image) == pytest.approx(float(golden[f"{case}/nmse"]), rel=1e-5)
    peak = float(golden[f"{case}/maxval_custom"])
    assert metrics.psnr(reference, image, peak) == pytest.approx(float(golden[f"{case}/psnr_maxval_custom"]), abs=1e-5)
    scores = metrics.score(torch.from_numpy(reference), torch.from_numpy(image))
    np.testing.assert_allclose(scores["psnr"]["slices"], golden[f"{case}/psnr_per_slice_volmax"], atol=1e-5)
    np.testing.assert_allclose(scores["ssim"]["slices"], golden[f"{case}/ssim_per_slice_volmax"], atol=1e-6)


def test_equal_volumes():
    volume = np.random.default_rng(0).random((2, 16, 16))
    assert metrics.psnr(volume, volume) == float("inf")
    assert metrics.ssim(volume, volume) == pytest.approx(1)
    assert metrics.nmse(volume, volume) == 0


@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_ssim_equals_skimage_also_on_flat_bright_images(offset):
    rng = np.random.default_rng(1)
    reference = offset + rng.random((40, 33)) * 1e-2
    image = reference + rng.normal(0, 1e-3, reference.shape)
    expected = structural_similarity(reference, image, data_range=reference.max())
    assert metrics.ssim(reference[None], image[None]) == pytest.approx(expected, abs=1e-9)


def laplacian_of_gaussian():
    """Give the filter as MATLAB's ``fspecial('log', 15, 1.5)`` makes it."""
    y, x = np.mgrid[-7:8, -7:8]
    gaussian = np.exp(-(x**2 + y**2) / (2 * 1.5**2))
    gaussian /= gaussian.sum()
    kernel = gaussian * (x**2 + y**2 - 2 * 1.5**2) / 1.5**4
    return kernel - kernel.mean()


@pytest.mark.parametrize("size", [(32, 32), (37, 41), (9, 50)])
def test_hfen_equals_a_filter_of_scipy(size):
    rng = np.random.default_rng(2)
    reference = rng.random((3, *size))
    image = reference + rng.normal(0, 0.1, reference.shape)
    edges, error = (
        np.stack([ndimage.correlate(one, laplacian_of_gaussian(), mode="constant") for one in volume])
        for volume in (reference, reference - image)
    )
    expected = np.linalg.norm(error) / np.linalg.norm(edges)
    assert metrics.hfen(reference, image) == pytest.approx(expected, rel=1e-10)
    scores = metrics.score_edges(torch.from_numpy(reference), torch.from_numpy(image))
    assert scores["volume"] == pytest.approx(expected, rel=1e-10)
    slices = np.linalg.norm(error, axis=(1, 2)) / np.linalg.norm(edges, axis=(1, 2))
    np.testing.assert_allclose(scores["slices"], slices, rtol=1e-10)


def test_hfen_is_near_the_continuous_laplacian_of_gaussian():
    rng = np.random.default_rng(3)
    reference = ndimage.gaussian_filter(rng.random((64, 64)), 1)
    image = reference + ndimage.gaussian_filter(rng.normal(0, 0.1, reference.shape), 1)
    error, edges = (ndimage.gaussian_laplace(one, 1.5, mode="constant") for one in (reference - image, reference))
    assert metrics.hfen(reference[None], image[None]) == pytest.approx(
        np.linalg.norm(error) / np.linalg.norm(edges), rel=0.02
    )


def test_hfen_sees_edges_and_not_brightness():
    reference = np.zeros((1, 48, 48))
    reference[0, 16:32, 16:32] = 1
    assert metrics.hfen(reference, reference) == 0
    assert metrics.hfen(reference, np.zeros_like(reference)) == pytest.approx(1)
    assert metrics.hfen(reference, 2 * reference) == pytest.approx(1)
    # A slow ramp is a large error with few edges; blur is a small error with many.
    ramp = reference + 0.5 * np.linspace(0, 1, 48) * ndimage.gaussian_filter(np.ones((48, 48)), 8, mode="constant")
    blurred = ndimage.gaussian_filter(reference, (0, 1.5, 1.5))
    assert metrics.nmse(reference, ramp) > metrics.nmse(reference, blurred)
    assert metrics.hfen(reference, ramp) < 0.5 * metrics.hfen(reference, blurred)


def test_misuse_is_refused():
    with pytest.raises(RequestError, match="edges"):
        metrics.hfen(np.zeros((1, 16, 16)), np.ones((1, 16, 16)))
    with pytest.raises(RequestError, match="equal shape"):
        metrics.psnr(np.ones((2, 8, 8)), np.ones((3, 8, 8)))
    with pytest.raises(RequestError, match="complex"):
        metrics.psnr(np.ones((2, 8, 8)), np.ones((2, 8, 8), complex))
    with pytest.raises(RequestError, match="data range"):
        metrics.ssim(np.zeros((2, 8, 8)), np.ones((2, 8, 8)))
    with pytest.raises(RequestError, match="7 × 7"):
        metrics.ssim(np.ones((1, 5, 5)), np.ones((1, 5, 5)))


def test_an_image_that_is_too_small_for_ssim_has_the_other_scores():
    reference = np.arange(1.0, 61).reshape(1, 6, 10)
    scores = metrics.score(reference, 0.9 * reference)
    assert np.isnan(scores["ssim"]["volume"]) and np.isnan(scores["ssim"]["slices"]).all()
    assert scores["psnr"]["volume"] == metrics.psnr(reference, 0.9 * reference)
    assert scores["nmse"]["slices"] == [pytest.approx(0.01)]


def test_an_empty_slice_in_a_volume_is_no_reason_to_stop():
    reference = np.zeros((2, 9, 9))
    reference[0] = 1
    scores = metrics.score(reference, reference * 0.9)
    assert np.isnan(scores["nmse"]["slices"][1])
    assert scores["nmse"]["volume"] == pytest.approx(0.01)
