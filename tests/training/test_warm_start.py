"""Beginning from a relative."""

from __future__ import annotations

import pytest
import torch

from recon import models
from training.warm_start import copy_overlap

SMALL = {"modules": ("4x", "1x"), "refine_width": 4, "n_iterations": 2}


def test_equal_networks_become_equal():
    torch.manual_seed(0)
    source, target = (models.create("pcrnn-4x-1x", 4, widths=(8, 6), **SMALL) for _ in range(2))
    assert copy_overlap(source, target) == 1
    assert all(torch.equal(one, target.state_dict()[name]) for name, one in source.state_dict().items())


def test_first_coils_and_first_channels_are_taken_over():
    torch.manual_seed(0)
    source = models.create("pcrnn-4x-1x", 4, widths=(8, 6), **SMALL)
    target = models.create("pcrnn-4x-1x", 1, widths=(10, 6), **SMALL)
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    share = copy_overlap(source, target)
    assert 0.5 < share < 1
    old, new = source.state_dict(), target.state_dict()
    # Encoder of 1x: two image channels; coil 1's real part is channel 0 of 8, its imaginary part channel 4.
    name = "convrnn.1.encoder.0.weight"
    assert torch.equal(new[name][:, 0], old[name][:, 0])
    assert torch.equal(new[name][:, 1], old[name][:, 4])
    # The final CNN reads two images of eight channels each.
    name = "refine.layers.0.weight"
    assert torch.equal(new[name], old[name][:, [0, 4, 8, 12]])
    # Channels that the source lacks stay as they were.
    name = "convrnn.0.residual.branches.0.0.weight"
    assert torch.equal(new[name][:8, :8], old[name])
    assert torch.equal(new[name][8:], before[name][8:])
    assert torch.equal(source.state_dict()["refine.layers.0.weight"], old["refine.layers.0.weight"])


@pytest.mark.parametrize("n_coils", [1, 2])
def test_the_begun_network_runs(n_coils):
    source = models.create("pcrnn-4x-1x", 4, widths=(8, 6), **SMALL)
    target = models.create("pcrnn-4x-1x", n_coils, widths=(8, 6), **SMALL)
    copy_overlap(source, target)
    image = torch.randn(1, n_coils, 16, 16, dtype=torch.complex64)
    with torch.inference_mode():
        assert target(image, image, torch.rand(1, 16) > 0.5).shape == image.shape


@pytest.mark.parametrize(
    ("preset", "settings"),
    [
        ("pcrnn-4x-1x", {"modules": ("4x", "1x"), "n_iterations": 2}),
        ("oucr", {"modules": ("oc", "uc"), "n_iterations": 2}),
    ],
)
def test_a_wider_network_begins_as_the_same_function(preset, settings):
    torch.manual_seed(0)
    source = models.create(preset, 1, widths=(8, 6), refine_width=4, **settings)
    target = models.create(preset, 1, widths=(12, 10), refine_width=7, **settings)
    image = torch.randn(1, 1, 16, 16, dtype=torch.complex64)
    mask = torch.rand(1, 16) > 0.5
    with torch.inference_mode():
        expected = source(image, image, mask)
        assert not torch.allclose(target(image, image, mask), expected, atol=1e-3)
    assert copy_overlap(source, target) < 1
    with torch.inference_mode():
        torch.testing.assert_close(target(image, image, mask), expected, atol=1e-5, rtol=1e-4)
    # New channels hear the old ones, so they can learn.
    target(image, image, mask).abs().square().sum().backward()
    assert all(bool(value.grad.any()) for value in target.parameters())
