"""Weights in eight bits: what rounding costs, what is left alone, what cannot be right."""

import pytest
import torch

from recon import quantisation
from recon.errors import ModelError


def test_a_number_is_off_by_no_more_than_half_a_step_of_its_channel():
    torch.manual_seed(0)
    # Channels whose ranges differ by ten thousand: one scale for all would silence the small ones.
    kernel = torch.randn(16, 8, 3, 3) * torch.logspace(-2, 2, 16)[:, None, None, None]
    stored = quantisation.quantise({"conv.weight": kernel})
    assert stored["conv.weight"].dtype == torch.int8 and stored["conv.weight"].shape == kernel.shape
    restored = quantisation.restore(stored)
    assert restored.keys() == {"conv.weight"}
    step = kernel.flatten(1).abs().amax(1) / 127
    error = (restored["conv.weight"] - kernel).flatten(1).abs().amax(1)
    assert bool((error <= step * 0.5001).all())
    assert bool((error > step * 0.2).all()), "eight bits cannot be exact"


def test_rounding_again_changes_nothing():
    torch.manual_seed(0)
    once = quantisation.restore(quantisation.quantise({"a": torch.randn(32, 32)}))
    twice = quantisation.restore(quantisation.quantise(once))
    assert torch.allclose(once["a"], twice["a"], rtol=1e-6, atol=0)


def test_biases_counters_and_small_tensors_keep_more_bits():
    tensors = {
        "bias": torch.randn(2000),
        "step": torch.randn(2, 2),
        "count": torch.tensor(7),
        "mask": torch.ones(40, 40).bool(),
    }
    stored = quantisation.quantise(tensors)
    assert {name: value.dtype for name, value in stored.items()} == {
        "bias": torch.float16, "step": torch.float16, "count": torch.int64, "mask": torch.bool,
    }  # fmt: skip
    assert quantisation.restore(stored).keys() == tensors.keys()


def test_a_channel_of_zeros_stays_one():
    kernel = torch.ones(4, 200)
    kernel[1] = 0
    restored = quantisation.restore(quantisation.quantise({"w": kernel}))["w"]
    assert torch.equal(restored[1], torch.zeros(200)) and torch.allclose(restored[0], torch.ones(200))


def test_a_parameter_that_is_called_scale_is_not_taken_for_one():
    tensors = {"norm": torch.ones(3), "norm.scale": torch.ones(3)}
    assert quantisation.restore(tensors).keys() == tensors.keys()


@pytest.mark.parametrize("scale", [None, torch.ones(3), torch.ones(4, dtype=torch.int32)])
def test_bytes_without_scales_that_fit_are_refused(scale):
    tensors = {"w": torch.ones(4, 200, dtype=torch.int8)} | ({} if scale is None else {"w.scale": scale})
    with pytest.raises(ModelError, match="w are stored as bytes"):
        quantisation.restore(tensors)


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(ModelError, match="not all finite"):
        quantisation.quantise({"w": torch.full((8, 100), torch.inf)})
