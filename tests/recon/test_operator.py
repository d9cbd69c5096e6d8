"""The encoding operator is a linear map with its adjoint; data consistency keeps what was measured."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recon.fourier import fft2c
from recon.operator import Encoding, HardDataConsistency, SoftDataConsistency, residual_norm


def random_complex(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def make_mask(kind: str, rows: int, columns: int) -> torch.Tensor:
    shape = (1, columns) if kind == "lines" else (rows, columns)
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) > 0.6


@pytest.mark.parametrize("size", [(16, 16), (13, 18), (7, 9)])
@pytest.mark.parametrize("kind", ["lines", "points"])
@pytest.mark.parametrize("with_maps", [True, False])
def test_adjoint(size, kind, with_maps):
    maps = random_complex(2, 3, *size, seed=2) if with_maps else None
    operator = Encoding(make_mask(kind, *size), maps)
    image = random_complex(2, *size) if with_maps else random_complex(2, 3, *size)
    data = random_complex(2, 3, *size, seed=3)
    left = torch.vdot(data.flatten(), operator.forward(image).flatten())
    right = torch.vdot(operator.adjoint(data).flatten(), image.flatten())
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-4)
    normal = torch.vdot(image.flatten(), operator.normal(image).flatten())
    assert abs(float(normal.imag)) < 1e-3 * float(normal.real)
    two_steps = operator.adjoint(operator.forward(image))
    torch.testing.assert_close(operator.normal(image), two_steps, rtol=1e-4, atol=1e-5 * float(two_steps.abs().max()))


@pytest.mark.parametrize("kind", ["lines", "points"])
def test_the_normal_operator_passes_gradients_to_image_and_maps(kind):
    maps = random_complex(1, 2, 5, 6, seed=2).to(torch.complex128).requires_grad_()
    image = random_complex(1, 5, 6).to(torch.complex128).requires_grad_()
    mask = make_mask(kind, 5, 6)
    assert torch.autograd.gradcheck(lambda image, maps: Encoding(mask, maps).normal(image), (image, maps))


@pytest.mark.parametrize("size", [(16, 16), (13, 18), (203, 49)])
@pytest.mark.parametrize("kind", ["lines", "points"])
def test_hard_consistency_keeps_the_measured_samples_and_is_a_projection(size, kind):
    mask = make_mask(kind, *size)
    measured = random_complex(1, 2, *size) * mask
    consistency = HardDataConsistency(measured, mask)
    image = random_complex(1, 2, *size, seed=4)
    once = consistency(image)
    spectrum, before = fft2c(once), fft2c(image)
    sampled = mask.expand(size)
    assert float((spectrum - measured)[..., sampled].abs().max()) < 5e-6
    assert float((spectrum - before)[..., ~sampled].abs().max()) < 5e-6
    torch.testing.assert_close(consistency(once), once, atol=5e-6, rtol=0)
    assert residual_norm(once, measured, mask) < 1e-6
    assert residual_norm(image, measured, mask) > 0.5


def test_golden_vector(vectors):
    golden = np.load(vectors / "transforms.npz")
    measured = torch.from_numpy(golden["dc/y0"])[None, None]
    image = torch.from_numpy(golden["dc/x"])[None, None]
    line = torch.from_numpy(golden["dc/mask"]) > 0
    for mask in (line[None], line.expand(measured.shape[-2:])):
        out = HardDataConsistency(measured, mask)(image)[0, 0]
        np.testing.assert_allclose(out, golden["dc/out"], atol=2e-6)


def test_a_full_mask_returns_the_data_and_an_empty_one_the_image():
    measured, image = random_complex(1, 1, 6, 8), random_complex(1, 1, 6, 8, seed=5)
    full, empty = torch.ones(1, 8, dtype=torch.bool), torch.zeros(1, 8, dtype=torch.bool)
    torch.testing.assert_close(fft2c(HardDataConsistency(measured, full)(image)), measured, atol=2e-6, rtol=0)
    torch.testing.assert_close(HardDataConsistency(measured, empty)(image), image, atol=2e-6, rtol=0)


@pytest.mark.parametrize("kind", ["lines", "points"])
def test_soft_consistency_draws_measured_samples_towards_the_data_and_leaves_the_others(kind):
    mask = make_mask(kind, 13, 18)
    measured, image = random_complex(1, 2, 13, 18) * mask, random_complex(1, 2, 13, 18, seed=4)
    before, after = fft2c(image), fft2c(SoftDataConsistency(measured, mask, 3.0)(image))
    expected = torch.where(mask, (before + 3.0 * measured) / 4.0, before)
    torch.testing.assert_close(after, expected, atol=5e-6, rtol=0)
    hard = HardDataConsistency(measured, mask)(image)
    torch.testing.assert_close(SoftDataConsistency(measured, mask, 1e9)(image), hard, atol=5e-6, rtol=0)
    assert torch.equal(SoftDataConsistency(measured, mask, math.inf)(image), hard)
    torch.testing.assert_close(SoftDataConsistency(measured, mask, 0.0)(image), image, atol=5e-6, rtol=0)


@pytest.mark.parametrize("kind", ["lines", "points"])
def test_the_residual_of_a_combined_image_goes_through_its_maps(kind):
    mask, maps, image = make_mask(kind, 12, 10), random_complex(1, 3, 12, 10, seed=2), random_complex(1, 1, 12, 10)
    measured = Encoding(mask, maps).forward(image[:, 0])
    assert residual_norm(image, measured, mask, maps) < 1e-6
    assert residual_norm(1.5 * image, measured, mask, maps) == pytest.approx(0.5, rel=1e-5)
    assert residual_norm(maps * image, measured, mask) < 1e-6
    assert residual_norm(image, torch.zeros_like(measured), mask, maps) == 0
