"""Noise of the coils: whitened noise is white, the signal gains, the pipeline says what it did."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

import recon
from recon import coils, metrics
from recon.errors import FileError, RequestError
from recon.fourier import fft2c, ifft2c
from recon.noise import covariance
from recon.phantom import PhantomSpec, slice_kspace


@pytest.fixture(scope="module")
def kspace() -> Tensor:
    """K-space of a phantom with six coils."""
    return torch.from_numpy(slice_kspace(PhantomSpec(n_slices=1, n_coils=6, matrix=(40, 32), noise=0.002), 0))


def correlated_noise(n_coils: int, n_samples: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(n_coils, n_coils, dtype=torch.complex64, generator=torch.Generator().manual_seed(7))
    white = torch.randn(n_coils, n_samples, dtype=torch.complex64, generator=generator)
    return 1e-6 * (mixing + 2 * torch.eye(n_coils)) @ white


def test_whitened_noise_has_an_identity_covariance():
    noise = correlated_noise(5, 4000, seed=0)
    level = covariance(noise).diagonal().real.mean()
    whitened = coils.whiten(noise.reshape(5, 40, 100), noise).reshape(5, -1)
    torch.testing.assert_close(covariance(whitened) / level, torch.eye(5, dtype=torch.complex128), atol=1e-4, rtol=0)
    # Other noise of the same coils: white but for the finite sample.
    other = coils.whiten(correlated_noise(5, 4000, seed=1).reshape(5, 40, 100), noise).reshape(5, -1)
    torch.testing.assert_close(covariance(other) / level, torch.eye(5, dtype=torch.complex128), atol=0.1, rtol=0)


def test_white_noise_leaves_the_data_alone(kspace):
    generator = torch.Generator().manual_seed(0)
    noise = torch.linalg.qr(torch.randn(600, 6, dtype=torch.complex64, generator=generator)).Q.mT
    noise = noise - noise.mean(dim=1, keepdim=True)
    torch.testing.assert_close(coils.whiten(kspace, noise), kspace, rtol=0, atol=0.01 * float(kspace.abs().max()))


def test_whitening_raises_the_signal_to_noise_ratio():
    # Two coils see the same signal; one is ten times noisier. Whitened, the noisy one loses its say.
    generator = torch.Generator().manual_seed(3)
    strength = torch.tensor([1.0, 10.0])[:, None]
    signal = fft2c(torch.nn.functional.pad(torch.ones(2, 16, 16, dtype=torch.complex64), (24, 24, 24, 24)))
    noisy = signal + 0.05 * strength[..., None] * torch.randn(2, 64, 64, dtype=torch.complex64, generator=generator)
    noise = 0.05 * strength * torch.randn(2, 5000, dtype=torch.complex64, generator=generator)

    def ratio(kspace: Tensor) -> float:
        image = coils.root_sum_of_squares(ifft2c(kspace))
        return float(image[26:38, 26:38].mean() / image[:16].mean())

    assert ratio(coils.whiten(noisy, noise)) > 3 * ratio(noisy)


def test_noise_that_does_not_fit_is_refused(kspace):
    noise = correlated_noise(6, 200, seed=0)
    for bad, words in (
        (noise[:4], r"shape \(4, 200\) and the k-space 6 coils"),
        (noise[None], r"shape \(1, 6, 200\)"),
        (noise[:, :11], "11 samples for 6 coils; at least 12"),
        (noise * (torch.arange(6) > 0)[:, None], "does not determine the covariance"),
        (noise * float("nan"), "does not determine the covariance"),
    ):
        with pytest.raises(RequestError, match=words):
            coils.whiten(kspace, bad)


# ---- in the pipeline ----------------------------------------------------------------------------------------------

REQUEST = recon.Request("zero-filled", recon.MaskSpec("none"), device="cpu")


@pytest.fixture
def write(tmp_path, kspace):
    """Write the phantom with other datasets beside it and open it."""

    def _write(**datasets):
        path = tmp_path / "scan.h5"
        with h5py.File(path, "w") as file:
            file["kspace"] = kspace[None].numpy()
            for name, values in datasets.items():
                file[name] = values
        return recon.open_study(path).series[0]

    return _write


def test_noise_of_the_file_whitens_the_coils(write, kspace):
    noise = correlated_noise(6, 3000, seed=0)
    series = write(noise=noise.numpy())
    assert series.noise.shape == (6, 3000)
    result = recon.run(series, REQUEST)
    expected = coils.root_sum_of_squares(ifft2c(coils.whiten(kspace, noise)))
    np.testing.assert_allclose(result.final[0], expected, atol=1e-5 * float(expected.max()))
    plain = recon.run(write(), REQUEST)
    assert np.abs(plain.final - result.final).max() > 0.01 * plain.final.max()
    sentence = "the coils were pre-whitened with the 3000 noise samples that the file holds."
    assert sentence in result.record()["warnings"]
    assert not [text for text in plain.warnings if "whitened" in text]


def test_noise_of_the_request_wins(write, kspace, tmp_path):
    noise = correlated_noise(6, 500, seed=5)
    np.save(tmp_path / "noise.npy", noise.numpy())
    series = write(noise=correlated_noise(6, 500, seed=0).numpy() * np.arange(1, 7, dtype=np.float32)[:, None])
    request = recon.Request("zero-filled", recon.MaskSpec("none"), device="cpu", noise=tmp_path / "noise.npy")
    assert recon.Request.from_json(request.to_json()) == request
    result = recon.run(series, request)
    expected = coils.root_sum_of_squares(ifft2c(coils.whiten(kspace, noise)))
    np.testing.assert_allclose(result.final[0], expected, atol=1e-5 * float(expected.max()))
    assert any(f"{tmp_path / 'noise.npy'}; the reference was not." in text for text in result.warnings)


def test_whitened_coils_are_compared_with_whitened_coils(write, kspace):
    """Fully sampled data is equal to its reference, also where the file stores that of other coils."""
    noise = correlated_noise(6, 3000, seed=0).numpy() * np.arange(1, 7, dtype=np.float32)[:, None]
    stored = coils.root_sum_of_squares(ifft2c(kspace))[None].numpy()
    for datasets, words in (({}, "file stores none."), ({"reconstruction_rss": stored}, "file stores none of these.")):
        series = write(noise=noise, **datasets)
        assert any("root sum of squares of the pre-whitened coils" in note and words in note for note in series.notes)
        result = recon.run(series, REQUEST)
        np.testing.assert_allclose(series.reference[0], result.final[0], atol=1e-5 * float(result.final.max()))
        assert np.abs(series.reference[0] - stored[0]).max() > 0.01 * stored.max()
        assert metrics.psnr(series.reference[0], result.final[0]) > 90
        assert not any("unlike" in text for text in result.warnings)


@pytest.mark.parametrize(
    ("values", "words"),
    [(np.ones((6, 50), np.float32), "float32 values"), (np.ones((5, 50), np.complex64), r"shape \(5, 50\)")],
)
def test_stored_noise_that_does_not_fit_is_ignored_and_named(write, values, words):
    series = write(noise=values)
    assert series.noise is None
    (note,) = [note for note in series.notes if "noise" in note]
    assert re.search(f"ignored: it .*{words}", note)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda noise: noise[:, :11], "11 samples for 6 coils"),
        (lambda noise: noise * np.arange(6)[:, None], "does not determine the covariance"),
        (lambda noise: np.where(np.arange(50) == 3, np.nan, noise), "6 of its 300 samples are NaN"),
        (lambda noise: noise.astype(np.complex128) * 1e60, "300 of its 300 samples are NaN or infinite"),
    ],
    ids=["few", "a dead coil", "NaN", "beyond single precision"],
)
def test_stored_noise_without_a_covariance_is_ignored_and_named(write, change, words):
    """The scan itself can be reconstructed without."""
    series = write(noise=change(correlated_noise(6, 50, seed=0).numpy()))
    assert series.noise is None
    (note,) = [note for note in series.notes if "noise" in note]
    assert note.startswith("The stored `noise` is ignored: ") and words in note
    assert not [text for text in recon.run(series, REQUEST).warnings if "whitened" in text]


def test_noise_files_that_are_none_are_refused(write, tmp_path):
    series = write()
    for name, content, words in (
        ("missing.npy", None, "no such noise file"),
        ("text.npy", "noise", "not a readable .npy file of noise"),
        ("real.npy", np.ones((6, 50)), "float64 values"),
        ("flat.npy", np.ones(50, complex), r"shape \(50,\)"),
    ):
        path = tmp_path / name
        if isinstance(content, str):
            path.write_text(content)
        elif content is not None:
            np.save(path, content)
        with pytest.raises(FileError, match=words):
            recon.run(series, recon.Request("zero-filled", recon.MaskSpec("none"), noise=str(path)))
    np.save(tmp_path / "few.npy", correlated_noise(4, 50, seed=0).numpy())
    with pytest.raises(RequestError, match="k-space 6 coils"):
        recon.run(series, recon.Request("zero-filled", recon.MaskSpec("none"), noise=str(tmp_path / "few.npy")))
    with pytest.raises(RequestError, match="noise is 3"):
        recon.Request(noise=3)
