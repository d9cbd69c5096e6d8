"""Coil combination and compression."""

from __future__ import annotations

import jaxtyping
import numpy as np
import pytest
import torch

from recon import coils
from recon.errors import RequestError
from recon.fourier import fft2c, ifft2c


def correlated_kspace(n_coils: int = 6, size: int = 24) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    sources = torch.randn(3, size, size, dtype=torch.complex64, generator=generator)
    mixing = torch.randn(n_coils, 3, dtype=torch.complex64, generator=generator)
    return fft2c(torch.einsum("cs,syx->cyx", mixing, sources))


def test_golden_compression(vectors):
    golden = np.load(vectors / "transforms.npz")
    kspace = torch.from_numpy(golden["cc/kspace"])
    compressed, matrix = coils.compress(kspace, 4, int(golden["cc/ncalib"]))
    np.testing.assert_allclose(compressed.abs(), golden["cc/abs_out"], atol=2e-5)
    assert matrix.shape == (6, 4)
    image = coils.root_sum_of_squares(ifft2c(compressed), 0)
    np.testing.assert_allclose(image, golden["cc/rss_out"], atol=1e-5)


def test_golden_compression_against_bart(vectors):
    golden = np.load(vectors / "bart_cs.npz")
    compressed, _ = coils.compress(torch.from_numpy(golden["kspace_full"]), 4, 24)
    scale = float(golden["bart_cc_p4_r24_svd_abs"].max())
    np.testing.assert_allclose(compressed.abs() / scale, golden["bart_cc_p4_r24_svd_abs"] / scale, atol=2e-5)


def test_all_virtual_coils_keep_the_energy_of_every_pixel():
    kspace = correlated_kspace()
    compressed, matrix = coils.compress(kspace, 6)
    before, after = (coils.root_sum_of_squares(ifft2c(one), 0) for one in (kspace, compressed))
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-4)
    identity = matrix.conj().mT @ matrix
    torch.testing.assert_close(identity, torch.eye(6, dtype=torch.complex64), atol=1e-5, rtol=0)


def test_three_sources_fit_into_three_virtual_coils():
    kspace = correlated_kspace()
    compressed, _ = coils.compress(kspace, 3)
    before, after = (coils.root_sum_of_squares(ifft2c(one), 0) for one in (kspace, compressed))
    torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-3)


def test_scale_does_not_matter():
    kspace = correlated_kspace()
    reference, _ = coils.compress(kspace, 2)
    for factor in (1e-12, 1e12):
        scaled, _ = coils.compress(kspace * factor, 2)
        torch.testing.assert_close(scaled / factor, reference, rtol=1e-3, atol=1e-3)


def test_missing_coils_become_zero_coils():
    compressed, matrix = coils.compress(correlated_kspace(n_coils=2), 4)
    assert compressed.shape[0] == 4
    assert matrix.shape == (2, 4)
    assert not compressed[2:].any()


def test_batches_are_compressed_slice_by_slice():
    kspace = torch.stack([correlated_kspace(), correlated_kspace().flip(0) * 2])
    together, _ = coils.compress(kspace, 2)
    for index in range(2):
        alone, _ = coils.compress(kspace[index], 2)
        torch.testing.assert_close(together[index], alone, rtol=1e-4, atol=1e-4)


def test_impossible_compressions_are_refused():
    with pytest.raises(RequestError, match="at least one"):
        coils.compress(correlated_kspace(), 0)
    with pytest.raises(RequestError, match="centre of k-space is empty"):
        coils.compress(torch.zeros(2, 32, 32, dtype=torch.complex64), 1)
    with pytest.raises(RequestError, match="holds NaN, infinity"):
        coils.compress(torch.full((2, 32, 32), torch.nan, dtype=torch.complex64), 1)


def test_root_sum_of_squares_of_what_has_no_coils_is_refused_in_a_sentence(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as for users: no type checker comes first
    with pytest.raises(RequestError, match=r"a ndarray was given; a tensor was expected; torch\.from_numpy makes one"):
        coils.root_sum_of_squares(np.ones((2, 4, 4)))
    with pytest.raises(RequestError, match=r"of shape \(4, 4\) was given; one with the axis -3 was expected"):
        coils.root_sum_of_squares(torch.ones(4, 4))


def test_root_sum_of_squares(vectors):
    golden = np.load(vectors / "transforms.npz")
    image = torch.from_numpy(golden["fft/1/x"])
    np.testing.assert_allclose(coils.root_sum_of_squares(image, 0), golden["fft/1/rss_complex_dim0"], atol=1e-6)
    np.testing.assert_allclose(coils.root_sum_of_squares(image.abs(), 0), golden["fft/1/rss_abs_dim0"], atol=1e-6)
