"""Kiu-Net: published size, the exchange that computes only what counts, any image size, hard data consistency."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F

from recon import models
from recon.errors import ModelError
from recon.fourier import ifft2c
from recon.models.kiunet import KiUNet, KiUNetParameters, _Exchange
from recon.operator import residual_norm


def small(n_coils, ki_levels=3):
    return KiUNet(n_coils, KiUNetParameters(widths=(4, 6, 8), ki_width=4, ki_levels=ki_levels))


def scan(n_coils, size, kind="lines", batch=1):
    generator = torch.Generator().manual_seed(0)
    kspace = torch.randn(batch, n_coils, *size, dtype=torch.complex64, generator=generator)
    mask = torch.rand((1, size[1]) if kind == "lines" else size, generator=generator) > 0.6
    return ifft2c(kspace * mask), kspace * mask, mask


def test_every_tensor_has_the_published_shape(vectors):
    golden = {one["params"]: one for one in json.loads((vectors / "param_counts.json").read_text())}[7_983_978]
    with torch.device("meta"):
        model = models.create("kiunet", 1)
    assert model.n_parameters == 7_983_978
    published = sorted(tuple(shape) for _, shape in golden["shapes"])
    assert sorted(tuple(parameter.shape) for parameter in model.parameters()) == published


@pytest.mark.parametrize("factor", [4, 16])
def test_exchange_equals_convolving_the_whole_fine_grid(factor):
    torch.manual_seed(0)
    exchange = _Exchange(5, 3, factor)
    for norm in (exchange.to_u_norm, exchange.to_ki_norm):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    exchange.eval().requires_grad_(False)
    u, ki = torch.randn(2, 5, 4, 6), torch.randn(2, 3, 4 * factor, 6 * factor)

    def resize(channels, by):
        return F.interpolate(channels, scale_factor=by, mode="bilinear", align_corners=False)

    wanted_u = u + resize(F.relu(exchange.to_u_norm(exchange.to_u(ki))), 1 / factor)
    wanted_ki = ki + resize(F.relu(exchange.to_ki_norm(exchange.to_ki(u))), factor)
    got_u, got_ki = exchange(u.clone(), ki.clone())
    torch.testing.assert_close(got_u, wanted_u, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(got_ki, wanted_ki, atol=1e-5, rtol=1e-5)


def test_norm_before_interpolation_equals_norm_after_it():
    torch.manual_seed(0)
    block = small(1).ki_encoder[0]
    block.norm.running_mean.normal_()
    block.norm.running_var.uniform_(0.5, 2)
    block.eval().requires_grad_(False)
    channels = torch.randn(1, 2, 6, 7)
    up = F.interpolate(block.last(channels), scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(block(channels, "up"), F.relu(block.norm(up)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("ki_levels", [1, 2, 3])
@pytest.mark.parametrize("size", [(49, 57), (13, 18), (24, 16)])
@pytest.mark.parametrize("kind", ["lines", "points"])
def test_sampled_kspace_is_kept_at_every_size(ki_levels, size, kind):
    model = small(2, ki_levels).eval().requires_grad_(False)
    zero_filled, kspace, mask = scan(2, size, kind)
    (stage,) = model.stages(zero_filled, kspace, mask)
    assert stage.is_final
    assert stage.image.shape == zero_filled.shape
    assert stage.image.dtype == torch.complex64
    assert residual_norm(stage.image, kspace, mask) < 2e-6


@pytest.mark.parametrize("ki_levels", [1, 2, 3])
def test_gradient_reaches_every_parameter_and_training_lowers_the_loss(ki_levels):
    torch.manual_seed(0)
    model = small(1, ki_levels)
    zero_filled, kspace, mask = scan(1, (16, 21), batch=2)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = model(zero_filled, kspace, mask).abs().square().mean()
        loss.backward()
        losses.append(float(loss.detach()))
        assert not [key for key, one in model.named_parameters() if one.grad is None or not one.grad.any()]
        optimizer.step()
    assert losses[-1] < losses[0]


def test_inference_overwrites_nothing_that_it_was_given_and_repeats():
    model = small(1).eval().requires_grad_(False)
    data = scan(1, (16, 16))
    kept = [one.clone() for one in data]
    assert torch.equal(model(*data), model(*data))
    for one, before in zip(data, kept, strict=True):
        assert torch.equal(one, before)


def test_inference_and_the_differentiable_pass_agree():
    model = small(1).eval()
    data = scan(1, (16, 24))
    differentiable = model(*data).detach()
    torch.testing.assert_close(model.requires_grad_(False)(*data), differentiable, atol=1e-6, rtol=1e-5)


def test_bfloat16_stays_close_and_consistent():
    torch.manual_seed(0)
    model = small(1).eval().requires_grad_(False)
    zero_filled, kspace, mask = scan(1, (32, 32))
    exact = model(zero_filled, kspace, mask)
    half = model.to(dtype=torch.bfloat16, memory_format=torch.channels_last)(zero_filled, kspace, mask)
    assert residual_norm(half, kspace, mask) < 2e-6
    assert float((half - exact).abs().mean() / exact.abs().mean()) < 0.02


def test_nothing_cuts_off_the_negative_half_of_the_output():
    model = small(1).eval().requires_grad_(False)
    data = scan(1, (16, 16))
    model.last.weight.copy_(torch.tensor([1.0, -1.0])[:, None, None, None].expand_as(model.last.weight))
    model.last.bias.zero_()
    channels = model._regularise(torch.cat([data[0].real, data[0].imag], dim=1))
    assert channels.any()
    assert torch.equal(channels[:, 0], -channels[:, 1])


@pytest.mark.parametrize("values", [{"ki_levels": 0}, {"ki_levels": 4}, {"widths": (8, 8)}, {"ki_width": 1}])
def test_impossible_configurations_are_refused(values):
    with pytest.raises(ModelError, match="configuration is wrong"):
        KiUNetParameters(**values)


def test_wrong_number_of_coils_is_refused():
    with pytest.raises(ModelError, match="made for 4 coil"):
        small(4)(*scan(2, (16, 16)))
