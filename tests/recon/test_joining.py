"""Joining coils: a solution for all samples, near what a network made of each coil."""

from __future__ import annotations

import math

import pytest
import torch

from recon import fourier, masks
from recon.joining import JoinedDataConsistency, heed_noise, noise_power
from recon.operator import HardDataConsistency

SIZE = (48, 40)
MASK = torch.from_numpy(masks.make(masks.MaskSpec("random", 3, 0.2, seed=2), SIZE).mask)


def square() -> torch.Tensor:
    """An object with edges and a phase, zero near the border."""
    image = torch.zeros(SIZE)
    image[10:38, 8:32] = 1
    image[16:22, 12:20] = 2
    turns = torch.linspace(-1, 1, SIZE[1])
    return image * torch.exp(1j * turns)


def sensitivities(n_coils: int = 6) -> torch.Tensor:
    """Smooth maps around the object, of unit root sum of squares."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIZE[0]), torch.linspace(-1, 1, SIZE[1]), indexing="ij")
    angles = [2 * math.pi * number / n_coils for number in range(n_coils)]
    maps = torch.stack(
        [
            torch.exp(-3 * ((y - math.sin(angle)) ** 2 + (x - math.cos(angle)) ** 2)) * torch.exp(1j * (angle + x))
            for angle in angles
        ]
    )
    return maps / maps.abs().square().sum(0).sqrt()


def join(
    images: torch.Tensor, kspace: torch.Tensor, mask: torch.Tensor, maps: torch.Tensor, weight: float, scale=1.0, **how
):
    """Join coil images that were divided by a scale, or by one each."""
    scale = scale * torch.ones(len(maps), 1, 1, 1)
    consistency = JoinedDataConsistency(kspace[:, None] / scale, mask, maps, scale, weight, n_steps=12, **how)
    return (consistency(images[:, None] / scale) * scale)[:, 0]


def error(images: torch.Tensor, truth: torch.Tensor) -> float:
    return float((images - truth).norm() / truth.norm())


def test_the_truth_stays_the_truth():
    maps = sensitivities()
    truth = maps * square()
    torch.testing.assert_close(join(truth, fourier.fft2c(truth) * MASK, MASK, maps, 0.02), truth, atol=1e-5, rtol=0)


def test_what_lies_beyond_the_maps_stays_where_it_is():
    truth = sensitivities() * square()
    maps = sensitivities()
    maps[..., 26:] = 0
    kspace = fourier.fft2c(truth) * MASK
    torch.testing.assert_close(join(truth, kspace, MASK, maps, 0.02), truth, atol=1e-5, rtol=0)
    network = truth + 0.05 * torch.roll(truth, 7, dims=-1)
    assert error(join(network, kspace, MASK, maps, 0.02), truth) < error(network, truth)


def test_what_one_coil_missed_the_others_measured():
    maps = sensitivities()
    truth = maps * square()
    kspace = fourier.fft2c(truth) * MASK
    alone = fourier.ifft2c(kspace)  # a network that did nothing
    assert error(alone, truth) > 0.15
    assert error(join(alone, kspace, MASK, maps, 0.02), truth) < 0.7 * error(alone, truth)


@pytest.mark.parametrize("weight", [1e-3, 0.02, 1.0])
def test_measured_samples_stay(weight):
    generator = torch.Generator().manual_seed(0)
    maps = sensitivities()
    kspace = torch.randn(maps.shape, dtype=torch.complex64, generator=generator) * MASK
    network = torch.randn(maps.shape, dtype=torch.complex64, generator=generator)
    joined = join(network, kspace, MASK, maps, weight)
    torch.testing.assert_close(fourier.fft2c(joined) * MASK, kspace, atol=1e-5, rtol=0)


def test_a_large_weight_keeps_what_the_coils_have_in_common():
    maps = sensitivities()
    network = maps * square()
    kspace = fourier.fft2c(maps * square().flip(0)) * MASK
    consistency = HardDataConsistency(kspace, MASK)
    expected = consistency(maps * (maps.conj() * consistency(network)).sum(0))
    torch.testing.assert_close(join(network, kspace, MASK, maps, 1e6), expected, atol=1e-4, rtol=0)


def test_without_maps_a_coil_keeps_what_the_network_made():
    maps = sensitivities()
    kspace = fourier.fft2c(maps * square()) * MASK
    network = maps * square() + 0.1
    joined = join(network, kspace, MASK, torch.zeros_like(maps), 0.02)
    torch.testing.assert_close(joined, HardDataConsistency(kspace, MASK)(network), atol=1e-5, rtol=0)


def test_without_samples_the_coils_agree_on_the_network():
    generator = torch.Generator().manual_seed(1)
    maps = sensitivities()
    network = maps * square() + 0.1 * torch.randn(maps.shape, dtype=torch.complex64, generator=generator)
    nothing = torch.zeros(1, SIZE[1], dtype=torch.bool)
    common = maps * (maps.conj() * network).sum(0)
    torch.testing.assert_close(join(network, torch.zeros_like(maps), nothing, maps, 0.5), common, atol=1e-5, rtol=0)


@pytest.mark.parametrize("level", [0.1, 0.5])
def test_noise_is_told_from_the_rim_of_kspace(level):
    generator = torch.Generator().manual_seed(2)
    truth = torch.nn.functional.pad(sensitivities() * square(), (40, 40, 40, 40))
    noise = level * torch.randn(truth.shape, dtype=torch.complex64, generator=generator)
    # Bands that were not acquired are zero, and no samples.
    kspace = fourier.fft2c(truth + noise) * torch.from_numpy(
        masks.make(masks.MaskSpec("random", 3, 0.2, 2), (1, 120)).mask
    )
    kspace[:, :10] = 0
    assert noise_power(kspace, torch.ones(1, 120, dtype=torch.bool)) == pytest.approx(level**2, rel=0.2)


def test_without_noise_or_samples_there_is_no_noise():
    kspace = fourier.fft2c(sensitivities() * square())
    kspace[:, :8], kspace[:, -8:], kspace[..., :8], kspace[..., -8:] = 0, 0, 0, 0
    assert noise_power(kspace, torch.ones(1, SIZE[1], dtype=torch.bool)) == 0


@pytest.mark.parametrize("scale", [1e-7, 1e7, torch.tensor([3.0, 1e-3, 1, 2, 50, 7])[:, None, None, None]])
def test_the_unit_of_the_data_and_of_each_coil_is_free(scale):
    maps = sensitivities()
    kspace = fourier.fft2c(maps * square()) * MASK
    alone = fourier.ifft2c(kspace)
    expected = join(alone, kspace, MASK, maps, 0.02)
    torch.testing.assert_close(join(alone, kspace, MASK, maps, 0.02, scale), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("starts_consistent", [True, False])
@pytest.mark.parametrize(("size", "kind"), [((9, 8), "random"), ((7, 9), "random"), ((7, 9), "gaussian-2d")])
def test_the_image_of_all_coils_solves_the_normal_equations(size, kind, starts_consistent):
    """Against a dense solution, on a grid of any size and masks of lines and of points."""
    generator = torch.Generator().manual_seed(4)
    shape, weight = (3, *size), 0.3
    maps = torch.randn(shape, dtype=torch.complex64, generator=generator)
    maps = maps / maps.abs().square().sum(0).sqrt()
    mask = torch.from_numpy(masks.make(masks.MaskSpec(kind, 2, 0.3, seed=1), shape[1:]).mask)
    kspace = torch.randn(shape, dtype=torch.complex64, generator=generator) * mask
    network = torch.randn(shape, dtype=torch.complex64, generator=generator)
    consistency = HardDataConsistency(kspace, mask)
    prior = consistency(network) if starts_consistent else network
    units = torch.eye(shape[1] * shape[2], dtype=torch.complex64).reshape(-1, *shape[1:])
    forward = torch.stack([(fourier.fft2c(maps * unit) * mask).flatten() for unit in units], dim=1)
    normal = forward.mH @ forward + weight * torch.eye(len(units))
    right = forward.mH @ kspace.flatten() + weight * (maps.conj() * prior).sum(0).flatten()
    image = torch.linalg.solve(normal, right).reshape(shape[1:])
    joined = join(network, kspace, mask, maps, weight, starts_consistent=starts_consistent)
    torch.testing.assert_close(joined, consistency(maps * image), atol=2e-3, rtol=0)


def test_data_of_zeros_stay_finite():
    maps = sensitivities()
    nothing = torch.zeros_like(maps)
    assert join(1e-3 * maps, nothing, MASK, maps, 0.02).isfinite().all()
    assert not join(nothing, nothing, MASK, maps, 0.02).any()


def test_the_noisier_the_data_the_more_the_network_counts():
    """Two coils say little at 4x, and what they say is noise."""
    generator = torch.Generator().manual_seed(3)
    maps = sensitivities(2)
    truth = maps * square()
    mask = torch.from_numpy(masks.make(masks.MaskSpec("random", 4, 0.16, seed=2), SIZE).mask)
    noise = 0.2 * torch.randn(truth.shape, dtype=torch.complex64, generator=generator)
    kspace = fourier.fft2c(truth + noise) * mask
    network = HardDataConsistency(kspace, mask)(0.95 * truth)
    weight = heed_noise(0.01, network, kspace, mask)
    assert weight == pytest.approx(heed_noise(0.01, 1e-7 * network, 1e-7 * kspace, mask), rel=1e-4)
    assert weight > 0.05
    assert error(join(network, kspace, mask, maps, weight), truth) < 0.8 * error(
        join(network, kspace, mask, maps, 0.01), truth
    )
