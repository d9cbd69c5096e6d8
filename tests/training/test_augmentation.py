"""New contrast for tissues: smooth, sometimes inverted, and dark where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.augmentation import augment, new_contrast


def head(size=96):
    """Nested ellipses of rising brightness, as a head looks in T1, over a faint noise floor."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    radius = torch.sqrt((y / 0.8) ** 2 + (x / 0.65) ** 2)
    image = torch.zeros(size, size)
    for edge, level in ((1.0, 0.9), (0.92, 0.02), (0.85, 0.3), (0.75, 0.55), (0.5, 0.85)):
        image[radius < edge] = level
    noise = torch.from_numpy(np.random.default_rng(0).rayleigh(0.01, (size, size)).astype(np.float32))
    return image + noise, radius


def drawn(n=60):
    image, radius = head()
    return image, radius, [new_contrast(np.random.default_rng(seed), image) for seed in range(n)]


def test_the_background_stays_dark():
    image, radius, changed = drawn()
    outside = radius > 1.15
    for one in changed:
        assert float(one[outside].max()) <= float(image[outside].max()) + 1e-6
        torch.testing.assert_close(one[outside], image[outside])
        # Bone inside the head gives no signal either.
        bone = (radius > 0.87) & (radius < 0.9)
        assert float(one[bone].mean()) < 0.12
        assert float(one.min()) >= 0 and float(one.max()) <= float(image.max()) + 1e-6


def test_tissues_trade_their_brightness():
    image, radius, changed = drawn()
    cores = [(radius < 0.45), (radius > 0.55) & (radius < 0.7), (radius > 0.78) & (radius < 0.83)]
    before = [float(image[core].mean()) for core in cores]
    assert before == sorted(before, reverse=True)
    orders = [tuple(np.argsort([float(one[core].mean()) for core in cores])) for one in changed]
    inverted = orders.count((0, 1, 2)) / len(orders)
    assert 0.4 < inverted < 0.95  # the order is turned round
    assert len(set(orders)) >= 4
    for one in changed:
        levels = [float(one[core].mean()) for core in cores]
        assert max(levels) - min(levels) > 0.05  # tissues can still be told apart


def test_the_curve_is_smooth():
    ramp = torch.linspace(0, 1, 512).expand(64, 512).contiguous()
    for seed in range(40):
        steps = new_contrast(np.random.default_rng(seed), ramp)[32, 60:-30].diff().abs()
        assert float(steps.max()) * 511 < 14


def test_an_empty_image_stays_empty():
    assert torch.equal(new_contrast(np.random.default_rng(0), torch.zeros(8, 8)), torch.zeros(8, 8))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_recipe_says_how_many_samples_change(share):
    image = head()[0].numpy()
    n_changed = 0
    for seed in range(40):
        plain = augment(np.random.default_rng(seed), image, (64, 64))
        other = augment(np.random.default_rng(seed), image, (64, 64), share)
        assert float(other.max()) == 1
        n_changed += not torch.equal(plain, other)
    assert {0.0: n_changed == 0, 0.5: 8 < n_changed < 32, 1.0: n_changed == 40}[share]
