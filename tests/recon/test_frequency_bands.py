"""Bands of spatial frequency: they divide the spectrum, and an error is seen in the band in which it is."""

import numpy as np
import pytest

from recon import frequency_bands


@pytest.mark.parametrize("shape", ["disc", "square"])
@pytest.mark.parametrize("size", [(32, 32), (31, 40)])
def test_bands_divide_the_spectrum(size, shape):
    region = frequency_bands.centre_region(size, 0.25, shape)
    assert region[size[0] // 2, size[1] // 2]
    assert not region[0].any() and not region[:, 0].any()
    reach = 0.25 * min(size) / 2
    area = (2 * np.floor(reach) + 1) ** 2 if shape == "square" else np.pi * reach**2
    assert region.sum() == pytest.approx(area, rel=0.25 if shape == "disc" else 0)
    y, x = np.mgrid[: size[0], : size[1]]
    slow = 2 + np.cos(2 * np.pi * 2 * x / size[1])
    fast = np.cos(2 * np.pi * (size[0] // 3) * y / size[0])
    bands = frequency_bands.split((slow + fast)[None], 0.25, shape)
    np.testing.assert_allclose(bands["low"][0], slow, atol=1e-9)
    np.testing.assert_allclose(bands["high"][0], np.abs(fast), atol=1e-9)


def test_an_error_of_one_band_is_seen_in_that_band():
    rng = np.random.default_rng(4)
    reference = rng.random((2, 32, 32)) + 1
    y = np.arange(32)[:, None]
    scores = frequency_bands.score(reference, reference + 0.05 * np.cos(2 * np.pi * 12 * y / 32))
    assert scores["low"]["psnr"]["volume"] > 100
    assert scores["high"]["psnr"]["volume"] < 40
