"""Losses and the optimiser of the papers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon import metrics, models
from training.losses import COMPLEX_LOSSES, LOSSES, combine, compare, l1, nmse_ssim, ssim
from training.optimizers import LookaheadAdam, parameter_groups


def pair(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(2, 24, 31, generator=generator) * 3
    return target + 0.2 * torch.randn(2, 24, 31, generator=generator), target


def test_ssim_equals_the_metric():
    output, target = pair()
    expected = np.mean([metrics.ssim(target[i : i + 1], output[i : i + 1]) for i in range(2)])
    assert float(ssim(output, target)) == pytest.approx(expected, abs=1e-5)


def test_golden_ssim_loss(vectors):
    golden = np.load(vectors / "metrics.npz")
    for case in ("a_3x32x32", "d_5x37x41_odd"):
        target, output = (torch.from_numpy(golden[f"{case}/{name}"]) for name in ("gt", "pred"))
        loss = 1 - ssim(output, target, peak=target.max())
        assert float(loss) == pytest.approx(float(golden[f"{case}/ssimloss"]), abs=1e-5)


def test_nmse_ssim_is_scale_free_and_zero_for_equal_images():
    output, target = pair()
    assert float(nmse_ssim(target, target)) == pytest.approx(0, abs=1e-6)
    assert float(nmse_ssim(output * 1e4, target * 1e4)) == pytest.approx(float(nmse_ssim(output, target)), rel=1e-4)
    error = metrics.nmse(target[:1], output[:1]), metrics.nmse(target[1:], output[1:])
    assert float(nmse_ssim(output, target)) == pytest.approx(np.mean(error) + 0.5 * (1 - float(ssim(output, target))))


def test_l1():
    output, target = pair()
    assert float(l1(output, target)) == pytest.approx(float((output - target).abs().mean()))


def test_losses_on_images_and_on_magnitudes():
    generator = torch.Generator().manual_seed(2)
    full = torch.randn(2, 3, 16, 17, dtype=torch.complex64, generator=generator)
    batch = {"full": full, "target": combine(full)}
    turned = full * torch.exp(torch.tensor(0.7j))
    for name in LOSSES:
        # Magnitudes know no phase; and what is half as bright is wrong.
        assert float(compare(name, turned, batch)) == pytest.approx(0, abs=1e-5)
        assert float(compare(name, full / 2, batch)) > 0.05
    assert set(COMPLEX_LOSSES) == {"complex-mse"}
    assert float(compare("complex-mse", full, batch)) == 0
    expected = float((turned - full).abs().square().mean())
    assert float(compare("complex-mse", turned, batch)) == pytest.approx(expected, rel=1e-5) and expected > 0.1
    assert float(compare("mse", full / 2, batch)) == pytest.approx(float((combine(full) / 2).square().mean()), rel=1e-5)
    assert float(compare("ssim", full / 2, batch)) == pytest.approx(1 - float(ssim(combine(full) / 2, combine(full))))


def test_lookahead_steps_back_to_the_slow_weights():
    torch.manual_seed(0)
    start = torch.randn(4)
    fast, slow = start.clone().requires_grad_(True), start.clone().requires_grad_(True)
    adam = torch.optim.Adam([fast], lr=0.1)
    lookahead = LookaheadAdam([slow], lr=0.1)
    for step in range(1, 6):
        for parameter, optimizer in ((fast, adam), (slow, lookahead)):
            optimizer.zero_grad()
            (parameter**2).sum().backward()
            optimizer.step()
        if step < 5:
            torch.testing.assert_close(slow, fast)
    torch.testing.assert_close(slow.detach(), start + 0.5 * (fast.detach() - start))


def test_lookahead_resumes_from_its_state():
    def steps(parameter, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            (parameter**4).sum().backward()
            optimizer.step()

    torch.manual_seed(0)
    start = torch.randn(5)
    whole = start.clone().requires_grad_(True)
    steps(whole, LookaheadAdam([whole], lr=0.05), 12)
    half = start.clone().requires_grad_(True)
    first = LookaheadAdam([half], lr=0.05)
    steps(half, first, 7)
    second = LookaheadAdam([half], lr=0.05)
    second.load_state_dict(first.state_dict())
    steps(half, second, 5)
    torch.testing.assert_close(half, whole)


def test_the_learning_rate_of_a_layer_falls_with_the_inputs_it_sums():
    model = models.create("pcrnn-s", n_coils=4)
    groups = parameter_groups(model, fan_in_reference=288)
    assert sum(parameter.numel() for group in groups for parameter in group["params"]) == model.n_parameters
    shares = {id(parameter): group["rate_share"] for group in groups for parameter in group["params"]}
    coarse, fine = model.convrnn[0], model.convrnn[2]
    assert shares[id(coarse.encoder[2].weight)] == pytest.approx(288 / (132 * 16))
    # A transposed convolution of stride 2 sums a quarter of its kernel for each output value.
    assert shares[id(coarse.decoder[0].weight)] == pytest.approx(288 / (132 * 16 / 4))
    assert shares[id(fine.residual.branches[0][0].weight)] == 1
    assert [group["rate_share"] for group in parameter_groups(model, 0)] == [1.0]


def test_a_part_of_a_network_may_ask_for_a_lower_rate():
    model = models.create("kikinet", width=8, n_layers=3)
    shares = {
        id(parameter): group["rate_share"]
        for group in parameter_groups(model, fan_in_reference=288)
        for parameter in group["params"]
    }
    assert {shares[id(parameter)] for parameter in model.image_networks.parameters()} == {1.0}
    assert {shares[id(parameter)] for parameter in model.kspace_networks.parameters()} == {0.01}
    # The papers have one rate for all.
    assert [group["rate_share"] for group in parameter_groups(model, 0)] == [1.0]


def test_the_combined_image_has_a_gradient_where_it_is_zero():
    image = torch.randn(1, 3, 4, 4, dtype=torch.complex64)
    image[..., 2:] = 0
    expected = image.abs().square().sum(1).sqrt()
    image.requires_grad_()
    combined = combine(image)
    assert torch.allclose(combined, expected, atol=1e-6)
    (gradient,) = torch.autograd.grad(combined.sum(), image)
    assert bool(gradient.isfinite().all()) and float(gradient[..., 2:].abs().max()) == 0
