"""Metrics by fastMRI's definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
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


def test_misuse_is_refused():
    with pytest.raises(RequestError, match="equal shape"):
        metrics.psnr(np.ones((2, 8, 8)), np.ones((3, 8, 8)))
    with pytest.raises(RequestError, match="complex"):
        metrics.psnr(np.ones((2, 8, 8)), np.ones((2, 8, 8), complex))
    with pytest.raises(RequestError, match="data range"):
        metrics.ssim(np.zeros((2, 8, 8)), np.ones((2, 8, 8)))
    with pytest.raises(RequestError, match="7 × 7"):
        metrics.ssim(np.ones((1, 5, 5)), np.ones((1, 5, 5)))


def test_an_empty_slice_in_a_volume_is_no_reason_to_stop():
    reference = np.zeros((2, 9, 9))
    reference[0] = 1
    scores = metrics.score(reference, reference * 0.9)
    assert np.isnan(scores["nmse"]["slices"][1])
    assert scores["nmse"]["volume"] == pytest.approx(0.01)
