"""The Fourier pair: fastMRI's numbers, unitarity, crops."""

from __future__ import annotations

import re

import jaxtyping
import numpy as np
import pytest
import torch

from recon import fourier
from recon.errors import RequestError


def test_golden_vectors(vectors):
    golden = np.load(vectors / "transforms.npz")
    for index in range(4):
        image = torch.from_numpy(golden[f"fft/{index}/x"])
        np.testing.assert_allclose(fourier.fft2c(image), golden[f"fft/{index}/fft2c"], atol=1e-6)
        np.testing.assert_allclose(fourier.ifft2c(image), golden[f"fft/{index}/ifft2c"], atol=1e-6)
    for index in range(5):
        crop = fourier.centre_crop(
            torch.from_numpy(golden[f"crop/{index}/x"]), tuple(map(int, golden[f"crop/{index}/shape"]))
        )
        np.testing.assert_array_equal(crop, golden[f"crop/{index}/y"])


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 5), (213, 49)])
def test_pair_is_unitary(size):
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, *size, dtype=torch.complex64, generator=generator) for _ in range(2))
    torch.testing.assert_close(fourier.ifft2c(fourier.fft2c(a)), a, atol=1e-5, rtol=0)
    left = torch.vdot(fourier.fft2c(a).flatten(), b.flatten())
    right = torch.vdot(a.flatten(), fourier.ifft2c(b).flatten())
    torch.testing.assert_close(left, right, atol=1e-3, rtol=1e-4)
    along_x = fourier.fft1c(fourier.fft1c(a, dim=-1), dim=-2)
    torch.testing.assert_close(along_x, fourier.fft2c(a), atol=1e-4, rtol=1e-4)


def test_constant_image_is_a_peak_in_the_centre():
    kspace = fourier.fft2c(torch.ones(6, 9, dtype=torch.complex64))
    assert kspace.abs().argmax() == 3 * 9 + 4
    assert float(kspace.abs().sum()) == pytest.approx(float(kspace.abs().max()), rel=1e-5)


@pytest.mark.parametrize("size", [(4, 4), (5, 7), (49, 322)])
def test_padding_is_undone_by_cropping(size):
    image = torch.randn(1, 2, *size)
    padded = fourier.pad_to_multiple(image, 4)
    assert padded.shape[-2] % 4 == 0
    assert padded.shape[-1] % 4 == 0
    assert torch.equal(fourier.centre_crop(padded, size), image)


@pytest.mark.parametrize("size", [(640, 368), (12, 9), (13, 8), (11, 7), (6, 6)])
@pytest.mark.parametrize("wanted", [(320, 320), (6, 4), (5, 3), (6, 5), (8, 20)])
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_field_of_view_is_cropped_as_the_image_is(size, wanted, batch):
    kspace = torch.randn(*batch, *size, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    expected = fourier.fft2c(fourier.centre_crop(fourier.ifft2c(kspace.to(torch.complex128)), wanted))
    torch.testing.assert_close(
        fourier.crop_field_of_view(kspace, wanted), expected, atol=1e-5, rtol=0, check_dtype=False
    )


@pytest.mark.parametrize("transform", [fourier.fft2c, fourier.ifft2c])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.ones((4, 4), np.complex64), "a ndarray was given; a tensor was expected; torch.from_numpy makes one"),
        ([[1.0]], "a list was given; a tensor was expected."),
        (torch.ones(4), "of shape (4,) was given; one with the axes -2 and -1 was expected"),
        (torch.ones(0, 4, 4), "of shape (0, 4, 4) was given, which is empty"),
    ],
)
def test_what_has_no_transform_is_refused_in_a_sentence(transform, value, said, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as for users: no type checker comes first
    with pytest.raises(RequestError, match=re.escape(said)):
        transform(value)
