"""E2E-VarNet: size, any coils, the gradient step's physics, calibration samples, odd sizes, half precision."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recon import models
from recon.errors import ModelError, RequestError
from recon.fourier import fft2c, ifft2c
from recon.models.varnet import NormalisedUNet, VarNet, VarNetParameters, calibration_samples
from recon.operator import residual_norm

SMALL = VarNetParameters(n_cascades=3, width=4, n_pools=2, sensitivity_width=4, sensitivity_n_pools=2)


class Nothing(nn.Module):
    """A regulariser that asks for no change."""

    def forward(self, image):
        return torch.zeros_like(image)


def scan(n_coils, size, kind="lines", batch=1):
    generator = torch.Generator().manual_seed(0)
    kspace = torch.randn(batch, n_coils, *size, dtype=torch.complex64, generator=generator)
    mask = torch.rand((1, size[1]) if kind == "lines" else size, generator=generator) > 0.6
    rows, columns = size[0] // 2, size[1] // 2
    if kind == "lines":
        mask[:, columns - 2 : columns + 2] = True
    else:
        mask[rows - 2 : rows + 3, columns - 2 : columns + 3] = True
    return ifft2c(kspace * mask), kspace * mask, mask


@pytest.mark.parametrize(("preset", "count"), [("e2e-varnet", 29_936_966), ("e2e-varnet-compact", 2_060_862)])
def test_parameter_counts_do_not_depend_on_coils(preset, count):
    with torch.device("meta"):
        assert [models.create(preset, n_coils).n_parameters for n_coils in (1, 4, 15)] == [count] * 3
    card = models.get_card(preset)
    assert card.any_coils
    assert not card.needs_maps


@pytest.mark.parametrize("n_coils", [1, 3, 7])
@pytest.mark.parametrize("size", [(49, 57), (13, 18), (32, 32)])
@pytest.mark.parametrize("kind", ["lines", "points"])
def test_one_network_takes_any_coils_and_size(n_coils, size, kind):
    model = VarNet(4, SMALL).eval().requires_grad_(False)
    stages = list(model.stages(*scan(n_coils, size, kind)))
    assert [stage.path for stage in stages] == [("cascade", 1), ("cascade", 2), ("cascade", 3), ("final",)]
    assert [stage.is_final for stage in stages] == [False, False, False, True]
    assert len(stages) == model.n_stages
    progress = [stage.progress for stage in stages]
    assert progress == sorted(set(progress))
    assert progress[-1] == 1
    assert torch.equal(stages[-1].image, stages[-2].image)
    for stage in stages:
        assert stage.image.shape == (1, n_coils, *size)
        assert stage.image.dtype == torch.complex64
        assert bool(stage.image.isfinite().all())


def test_large_odd_size():
    model = VarNet(2, SMALL).eval().requires_grad_(False)
    assert model(*scan(2, (213, 203))).shape == (1, 2, 213, 203)


@pytest.mark.parametrize("kind", ["lines", "points"])
def test_without_regulariser_the_measured_data_is_a_fixed_point(kind):
    model = VarNet(3, SMALL).eval().requires_grad_(False)
    model.regularisers = nn.ModuleList(Nothing() for _ in model.regularisers)
    zero_filled, kspace, mask = scan(3, (20, 25), kind)
    image = model(zero_filled, kspace, mask)
    torch.testing.assert_close(image, zero_filled, atol=1e-5, rtol=1e-5)


def test_full_sampling_and_unit_steps_return_the_data():
    model = VarNet(3, SMALL).eval().requires_grad_(False)
    for regulariser in model.regularisers[:-1]:
        nn.init.normal_(regulariser.network.last.bias, std=5)  # what the first cascades change …
    model.regularisers[-1] = Nothing()  # … the last step of size 1 takes back, where everything is sampled
    zero_filled, kspace, _ = scan(3, (20, 25))
    full = torch.ones(1, 25, dtype=torch.bool)
    *_, before, last, _ = model.stages(zero_filled, kspace, full)
    assert residual_norm(before.image, kspace, full) > 0.1
    assert residual_norm(last.image, kspace, full) < 1e-5


@pytest.mark.parametrize("kind", ["lines", "points"])
def test_a_cascade_is_the_papers_step(kind):
    torch.manual_seed(0)
    model = VarNet(3, SMALL).eval().requires_grad_(False)
    for step_size, value in zip(model.step_sizes, (0.7, 0.4, 1.3), strict=True):
        step_size.value.fill_(value)
    zero_filled, measured, mask = scan(3, (24, 21), kind)
    maps = model.estimate_maps(measured, mask)
    kspace = measured
    for number, stage in enumerate(list(model.stages(zero_filled, measured, mask))[:-1]):
        combined = (maps.conj() * ifft2c(kspace)).sum(1, keepdim=True)
        change = fft2c(maps * model.regularisers[number](combined))
        kspace = kspace - model.step_sizes[number].value * mask * (kspace - measured) - change
        torch.testing.assert_close(stage.image, ifft2c(kspace), atol=1e-4, rtol=1e-4)


def test_maps_have_unit_energy_and_depend_on_the_calibration_lines_alone():
    model = VarNet(3, SMALL).eval().requires_grad_(False)
    _, kspace, mask = scan(3, (24, 24))
    maps = model.estimate_maps(kspace, mask)
    torch.testing.assert_close(maps.abs().square().sum(1), torch.ones(1, 24, 24))
    outside = ~calibration_samples(mask)
    torch.testing.assert_close(model.estimate_maps(torch.where(outside, 7, kspace), mask), maps)
    assert not torch.allclose(model.estimate_maps(torch.where(outside, kspace, kspace.roll(1, -2)), mask), maps)


def test_the_scale_of_the_data_passes_through():
    model = VarNet(2, SMALL).eval().requires_grad_(False)
    zero_filled, kspace, mask = scan(2, (32, 32))
    torch.testing.assert_close(
        model(9 * zero_filled, 9 * kspace, mask), 9 * model(zero_filled, kspace, mask), atol=1e-3, rtol=1e-3
    )


def test_dead_coils_and_empty_slices_stay_finite():
    model = VarNet(3, SMALL)
    zero_filled, kspace, mask = scan(3, (20, 20))
    kspace[:, 1] = 0
    image = model(ifft2c(kspace), kspace, mask)
    assert bool(image.isfinite().all())
    image.abs().sum().backward()
    assert all(bool(one.grad.isfinite().all()) for one in model.parameters() if one.grad is not None)
    assert not model(0 * zero_filled, 0 * kspace, mask).detach().abs().gt(1e-6).any()


def test_calibration_samples_of_lines_end_at_the_first_gap():
    mask = torch.zeros(1, 20, dtype=torch.bool)
    mask[:, [1, 7, 8, 9, 10, 11, 14]] = True
    assert calibration_samples(mask).nonzero()[:, 1].tolist() == [7, 8, 9, 10, 11]
    assert calibration_samples(torch.ones(1, 20, dtype=torch.bool)).all()
    several = torch.stack([mask, torch.ones(1, 20, dtype=torch.bool)])[:, None]
    assert calibration_samples(several).sum((1, 2, 3)).tolist() == [5, 20]
    assert calibration_samples(mask[0]).shape == (20,)


def test_calibration_samples_of_points_are_the_largest_centred_square():
    mask = torch.zeros(12, 15, dtype=torch.bool)
    mask[2:9, 3:13] = True
    mask[0, 0] = True
    found = calibration_samples(mask)
    assert found.sum() == 25
    assert found[4:9, 5:10].all()
    assert calibration_samples(torch.ones(6, 9, dtype=torch.bool)).all()


@pytest.mark.parametrize("shape", [(1, 20), (20, 20)])
def test_a_mask_without_calibration_samples_is_refused(shape):
    mask = torch.ones(shape, dtype=torch.bool)
    mask[..., 10] = False
    kspace = torch.randn(1, 2, 20, 20, dtype=torch.complex64) * mask
    with pytest.raises(RequestError, match="does not sample the centre"):
        VarNet(2, SMALL)(ifft2c(kspace), kspace, mask)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradient_reaches_every_parameter_and_training_lowers_the_loss(checkpointing):
    torch.manual_seed(0)
    model = VarNet(2, VarNetParameters(2, 4, 2, 4, 2, checkpointing=checkpointing))
    zero_filled, kspace, mask = scan(2, (24, 21), batch=2)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = (model(zero_filled, kspace, mask) - zero_filled.roll(1, -1)).abs().square().mean()
        loss.backward()
        losses.append(float(loss.detach()))
        # k-space begins as the measured data, so the first residual, and the gradient of its step, are zero.
        missing = [key for key, one in model.named_parameters() if one.grad is None or not one.grad.any()]
        assert missing == ["step_sizes.0.value"]
        optimizer.step()
    assert losses[-1] < losses[0]


def test_bfloat16_stays_close_and_keeps_its_step_sizes():
    torch.manual_seed(0)
    model = VarNet(2, SMALL).eval().requires_grad_(False)
    model.step_sizes[1].value.fill_(0.12345)
    data = scan(2, (48, 64))
    exact = model(*data)
    half = model.to(dtype=torch.bfloat16, memory_format=torch.channels_last)
    assert half.dtype == torch.bfloat16
    assert half.step_sizes[1].value.dtype == torch.float32
    assert float(half.step_sizes[1].value) == pytest.approx(0.12345, abs=1e-7)
    assert float((half(*data) - exact).abs().mean() / exact.abs().mean()) < 0.1


def test_regulariser_pads_and_returns_to_the_size():
    torch.manual_seed(0)
    network = NormalisedUNet(4, 2).requires_grad_(False)
    image = torch.randn(1, 1, 21, 19, dtype=torch.complex64)
    assert network(image).shape == image.shape


def test_impossible_configurations_are_refused():
    with pytest.raises(ModelError, match="n_cascades is 0, width is -1"):
        VarNetParameters(n_cascades=0, width=-1)


def test_a_training_starts_with_the_calibration_images_as_maps():
    model = models.create("e2e-varnet-compact", 5).requires_grad_(False)
    zero_filled, kspace, mask = scan(5, (48, 32))
    low = ifft2c(kspace * calibration_samples(mask))
    expected = low * low.abs().square().sum(1, keepdim=True).rsqrt()
    assert (model.estimate_maps(kspace, mask) - expected).abs().max() > 0.1
    model.start_training()
    torch.testing.assert_close(model.estimate_maps(kspace, mask), expected, atol=1e-2, rtol=0)
    # A silent U-Net puts out the mean of its image; beyond that, nothing is changed.
    first = next(model.stages(zero_filled, kspace, mask))
    change = zero_filled - first.image
    combined = (model.estimate_maps(kspace, mask).conj() * zero_filled).sum(1, keepdim=True)
    mean = combined.mean(dim=(-2, -1), keepdim=True)
    torch.testing.assert_close(change, model.estimate_maps(kspace, mask) * mean, atol=1e-4, rtol=1e-3)


def test_lines_are_lines_also_where_every_row_is_written_out():
    _, kspace, mask = scan(3, (24, 20))
    whole = mask.expand(24, 20)
    assert torch.equal(calibration_samples(whole), calibration_samples(mask).expand(24, 20))
    torch.manual_seed(0)
    model = VarNet(3, SMALL).eval()
    with torch.inference_mode():
        lines, written_out = (model(ifft2c(kspace), kspace, one) for one in (mask, whole))
    assert torch.allclose(lines, written_out, atol=1e-4 * float(lines.abs().max()))
