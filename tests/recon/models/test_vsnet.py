"""VS-Net: the published formula to the letter, published size, maps, precision, training."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from recon import models
from recon.errors import ModelError
from recon.fourier import fft2c, ifft2c
from recon.models.vsnet import VSNet, VSNetParameters

SMALL = VSNetParameters(width=6, n_cascades=3, n_layers=3)


def make(**changes):
    torch.manual_seed(0)
    return VSNet(1, replace(SMALL, **changes))


def scan(size=(14, 18), kind="lines", n_coils=3, batch=2):
    generator = torch.Generator().manual_seed(0)
    kspace = torch.randn(batch, n_coils, *size, dtype=torch.complex64, generator=generator)
    mask = torch.rand((1, size[1]) if kind == "lines" else size, generator=generator) > 0.6
    maps = torch.randn(batch, n_coils, *size, dtype=torch.complex64, generator=generator)
    return ifft2c(kspace * mask), kspace * mask, mask, maps / maps.abs().square().sum(1, keepdim=True).sqrt()


def formula(model, zero_filled, kspace, mask, maps):
    """Write the stages down as the paper's code has them: k-space of every coil, replaced, brought back, averaged."""
    image = (maps.conj() * zero_filled).sum(1, keepdim=True)
    images = []
    for cascade in model.cascades:
        alpha, beta = cascade.alpha.value, cascade.beta.value
        z = image + torch.complex(*cascade.network(torch.cat([image.real, image.imag], 1)).chunk(2, 1))
        k = fft2c(maps * image)
        k = torch.where(mask, alpha * k + (1 - alpha) * kspace, k)
        s = (maps.conj() * ifft2c(k)).sum(1, keepdim=True)
        image = beta * z + (1 - beta) * s
        images.append(image)
    return images


def test_published_size(vectors):
    model = models.create("vsnet", 15)
    assert model.n_parameters == 1_596_260
    rows = json.loads((vectors / "param_counts.json").read_text())
    (row,) = [row for row in rows if row["model"] == "VS-Net (PC-RNN)"]
    published = sorted(tuple(shape) for _, shape in row["shapes"])
    assert sorted(tuple(parameter.shape) for parameter in model.parameters()) == published


@pytest.mark.parametrize("kind", ["lines", "points"])
@pytest.mark.parametrize("size", [(14, 18), (13, 7)])
@pytest.mark.parametrize("is_unit", [True, False])
def test_the_stages_are_those_of_the_formula(kind, size, is_unit):
    model = make()
    for number, cascade in enumerate(model.cascades):
        cascade.alpha.value.data.fill_(-1.5 + number)
        cascade.beta.value.data.fill_(0.3 - 0.2 * number)
    zero_filled, kspace, mask, maps = scan(size, kind)
    if not is_unit:
        maps = maps * torch.linspace(0, 1.5, size[1])
    with torch.inference_mode():
        expected = formula(model, zero_filled, kspace, mask, maps)
        stages = list(model.stages(zero_filled, kspace, mask, maps))
    assert [stage.path for stage in stages] == [("stage", 1), ("stage", 2), ("stage", 3), ("final",)]
    assert len(stages) == model.n_stages
    for stage, image in zip(stages, [*expected, expected[-1]], strict=True):
        assert stage.image.shape == (2, 1, *size)
        torch.testing.assert_close(stage.image, image, atol=1e-5, rtol=1e-4)
    assert stages[-1].is_final
    assert [stage.progress for stage in stages] == [0.25, 0.5, 0.75, 1.0]


def test_with_a_silent_network_the_true_image_is_a_fixed_point():
    model = make()
    model.start_training()
    _, _, mask, maps = scan()
    truth = torch.randn(2, 1, 14, 18, dtype=torch.complex64)
    full_kspace = fft2c(maps * truth)
    with torch.inference_mode():
        image = model(maps * truth, full_kspace * mask, mask, maps)
    torch.testing.assert_close(image, truth, atol=1e-5, rtol=1e-4)


def test_the_same_weights_take_any_number_of_coils():
    model = make()
    with torch.inference_mode():
        for n_coils in (1, 2, 5):
            assert model(*scan(n_coils=n_coils)).shape == (2, 1, 14, 18)


def test_gradient_reaches_every_parameter_and_training_lowers_the_loss():
    model = make()
    data = scan()
    target = torch.rand(2, 1, 14, 18)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = (model(*data).abs() - target).square().mean()
        loss.backward()
        losses.append(float(loss.detach()))
        assert not [key for key, one in model.named_parameters() if one.grad is None or not one.grad.any()]
        optimizer.step()
    assert losses[2] < losses[1] < losses[0]


def test_checkpointing_changes_memory_and_nothing_else():
    gradients = []
    for checkpointing in (False, True):
        model = make(checkpointing=checkpointing)
        model(*scan()).abs().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    torch.testing.assert_close(*gradients)


def test_bfloat16_keeps_the_weights_of_the_average_exact_and_stays_close():
    model = make()
    data = scan()
    with torch.inference_mode():
        exact = model(*data)
        half = model.to(dtype=torch.bfloat16, memory_format=torch.channels_last)
        assert half.dtype == torch.bfloat16
        assert half.cascades[0].alpha.value.dtype == torch.float32
        image = half(*data)
    assert image.dtype == torch.complex64
    assert 0 < float((image - exact).abs().mean() / exact.abs().mean()) < 0.02


def test_without_maps_it_says_what_it_needs():
    zero_filled, kspace, mask, _ = scan()
    with pytest.raises(ModelError, match="sensitivity maps and was given none"):
        make()(zero_filled, kspace, mask)


def test_impossible_configurations_are_refused():
    with pytest.raises(ModelError, match="configuration is wrong"):
        VSNetParameters(n_cascades=0)
