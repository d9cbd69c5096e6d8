"""The variational network: activations and gradients against the exact sum, filters and their adjoint, projection."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from recon import coils, models
from recon.errors import ModelError
from recon.fourier import fft2c, ifft2c
from recon.models import experts
from recon.models.experts import fields_of_experts, tabulate
from recon.models.vn import VariationalNetwork, VariationalNetworkParameters, mirror

SMALL = VariationalNetworkParameters(n_filters=6, kernel_size=5, n_steps=3)


def make(**changes):
    torch.manual_seed(0)
    return VariationalNetwork(1, replace(SMALL, **changes))


def scan(size=(14, 18), kind="lines", n_coils=3, batch=2):
    generator = torch.Generator().manual_seed(0)
    kspace = torch.randn(batch, n_coils, *size, dtype=torch.complex64, generator=generator)
    mask = torch.rand((1, size[1]) if kind == "lines" else size, generator=generator) > 0.6
    maps = torch.randn(batch, n_coils, *size, dtype=torch.complex64, generator=generator)
    maps = maps / maps.abs().square().sum(1, keepdim=True).sqrt()
    kspace = kspace * mask
    kspace = kspace / coils.combine(ifft2c(kspace), maps).abs().amax(dim=(1, 2))[:, None, None, None]
    return ifft2c(kspace), kspace, mask, maps


def activate(responses, weights):
    """Return the exact sum of Gaussians."""
    centres = torch.linspace(-1, 1, weights.shape[1], dtype=weights.dtype)
    deviation = 2 / (weights.shape[1] - 1)
    gaussians = torch.exp(-((responses[:, :, None] - centres[:, None, None]) ** 2) / (2 * deviation**2))
    return (weights[:, :, None, None] * gaussians).sum(2)


def exact(image, kernels, weights):
    """Return the field of experts from library convolutions and exact activations."""
    border = kernels.shape[-1] - 1
    result = F.conv_transpose2d(activate(F.conv2d(image, kernels), weights), kernels)
    return result[..., border : result.shape[-2] - border, border : result.shape[-1] - border]


@pytest.fixture
def narrow_tiles(monkeypatch):
    """Tiles of few rows, so that a small image needs several."""
    monkeypatch.setattr(experts, "_N_COLUMNS_CPU", 40)


def test_published_size(vectors):
    model = models.create("vn", 4)
    assert model.n_parameters == 1_310_410

    def plain(shape):  # λ is a number or one element, the two parts of a filter stand first or last
        return tuple(sorted(size for size in shape if size != 1))

    rows = json.loads((vectors / "param_counts.json").read_text())
    (row,) = [row for row in rows if row["model"] == "VN (PC-RNN)"]
    published = sorted(plain(shape) for _, shape in row["shapes"])
    assert sorted(plain(parameter.shape) for parameter in model.parameters()) == published


@pytest.mark.parametrize("n_functions", [5, 31])
def test_tabulated_activations_and_derivatives_are_the_sum_of_gaussians(n_functions):
    weights = torch.randn(4, n_functions, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    tables = tabulate(weights)
    nodes = torch.linspace(-tables.limit, tables.limit, experts.N_NODES, dtype=torch.float64).requires_grad_()
    expected = activate(nodes.expand(1, 4, 1, -1), weights)[0, :, 0]
    torch.testing.assert_close(tables.values, expected)
    for row, derivative in zip(expected, tables.derivatives, strict=True):
        torch.testing.assert_close(torch.autograd.grad(row.sum(), nodes, retain_graph=True)[0], derivative)
    # Beyond the table the functions are zero, so that nothing jumps at its ends.
    assert float(tables.values[:, [0, -1]].abs().max()) < 1e-7


@pytest.mark.parametrize("batch", [1, 2])
def test_values_and_gradients_agree_with_the_exact_sum(batch, narrow_tiles):
    generator = torch.Generator().manual_seed(0)
    # Responses fall on both sides of the outermost centres.
    image = torch.randn(batch, 2, 16, 21, dtype=torch.float64, generator=generator).requires_grad_()
    kernels = (0.15 * torch.randn(5, 2, 5, 5, dtype=torch.float64, generator=generator)).requires_grad_()
    weights = torch.randn(5, 31, dtype=torch.float64, generator=generator).requires_grad_()
    direction = torch.randn(batch, 2, 8, 13, dtype=torch.float64, generator=generator)
    assert 0.05 < float((F.conv2d(image, kernels).abs() > 1).double().mean()) < 0.6
    results = []
    for found in (exact(image, kernels, weights), fields_of_experts(image, kernels, tabulate(weights))):
        gradients = torch.autograd.grad((found * direction).sum(), (image, kernels, weights))
        results.append((found.detach(), *gradients))
    for expected, found in zip(*results, strict=True):
        assert found.shape == expected.shape
        assert float((found - expected).abs().max() / expected.abs().max()) < 1e-3


def test_the_gradient_of_the_weights_is_that_of_the_function_as_computed(narrow_tiles):
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 2, 10, 12, dtype=torch.float64, generator=generator)
    kernels = 0.15 * torch.randn(3, 2, 3, 3, dtype=torch.float64, generator=generator)
    weights = torch.randn(3, 7, dtype=torch.float64, generator=generator).requires_grad_()
    # R is linear in the weights, so finite differences are exact.
    torch.autograd.gradcheck(lambda one: fields_of_experts(image, kernels, tabulate(one)), weights)


def test_transposed_filters_are_the_adjoint_of_the_filters(narrow_tiles):
    generator = torch.Generator().manual_seed(0)
    kernels = torch.randn(4, 2, 5, 5, dtype=torch.float64, generator=generator)
    image = torch.randn(1, 2, 15, 17, dtype=torch.float64, generator=generator)
    responses = torch.randn(4, 11 * 13, dtype=torch.float64, generator=generator)
    flat = kernels.flatten(1)
    transposed = torch.zeros_like(image)
    filtered, start = [], 0
    for windows, target in experts._tiles(image, transposed, 5):
        columns = experts._columns(windows)
        filtered.append(flat @ columns)
        experts._add_folded(target, flat.T @ responses[:, start : start + columns.shape[1]], 5)
        start += columns.shape[1]
    assert len(filtered) > 2
    torch.testing.assert_close(torch.cat(filtered, 1).view(1, 4, 11, 13), F.conv2d(image, kernels))
    torch.testing.assert_close((torch.cat(filtered, 1) * responses).sum(), (image * transposed).sum())


def test_a_response_that_is_no_number_does_not_end_in_an_index_error():
    weights = torch.ones(2, 31)
    image = torch.full((1, 2, 9, 9), float("nan"))
    assert fields_of_experts(image, torch.ones(2, 2, 3, 3), tabulate(weights)).shape == (1, 2, 5, 5)


@pytest.mark.parametrize("size", [(9, 7), (3, 2), (1, 5)])
def test_a_border_of_any_width_is_the_mirror_image(size):
    image = torch.rand(2, *size)
    expected = np.pad(image.numpy(), ((0, 0), (4, 4), (4, 4)), mode="symmetric")
    np.testing.assert_array_equal(mirror(image, 4), expected)


@pytest.mark.parametrize("kind", ["lines", "points"])
@pytest.mark.parametrize("size", [(14, 18), (13, 7), (3, 5)])
def test_the_stages_are_those_of_the_formula(kind, size):
    model = make()
    zero_filled, kspace, mask, maps = scan(size, kind)
    for number, step in enumerate(model.steps):
        step.step_size.value.data.fill_(0.4 + 0.5 * number)
    with torch.inference_mode():
        image, images = (maps.conj() * zero_filled).sum(1, keepdim=True), []
        for step in model.steps:
            channels = mirror(torch.cat([image.real, image.imag], 1), 4)
            experts_ = torch.complex(*exact(channels, step.kernels, step.weights).chunk(2, 1)) / 6
            gradient = (maps.conj() * ifft2c(mask * (fft2c(maps * image) - kspace))).sum(1, keepdim=True)
            image = image - experts_ - step.step_size.value * gradient
            images.append(image)
        stages = list(model.stages(zero_filled, kspace, mask, maps))
    assert [stage.path for stage in stages] == [("stage", 1), ("stage", 2), ("stage", 3), ("final",)]
    assert len(stages) == model.n_stages
    for stage, expected in zip(stages, [*images, images[-1]], strict=True):
        assert stage.image.shape == (2, 1, *size)
        torch.testing.assert_close(stage.image, expected, atol=2e-4, rtol=1e-3)
    assert stages[-1].is_final
    assert [stage.progress for stage in stages] == [0.25, 0.5, 0.75, 1.0]


def test_it_begins_inside_the_constraints_with_a_linear_activation():
    model = make()
    for step in model.steps:
        kernels = step.kernels.detach()
        assert float(kernels.mean(dim=(1, 2, 3)).abs().max()) < 1e-7
        norms = torch.linalg.vector_norm(kernels, dim=(1, 2, 3))
        assert 0.5 < float(norms.min()) <= float(norms.max()) < 1 + 1e-6
        torch.testing.assert_close(step.weights.detach()[0], 0.04 * torch.linspace(-1, 1, 31))
        assert step.step_size.value.tolist() == [1]


def test_projection_brings_parameters_back_and_is_idempotent():
    model = make()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
        first, small = model.steps[0], model.steps[1]
        first.step_size.value.fill_(-0.5)
        first.kernels.mul_(3)
        small.kernels.mul_(0.01)
        small.step_size.value.fill_(0.7)
        weights, kernels = first.weights.clone(), small.kernels.clone()
    model.constrain()
    assert first.step_size.value.tolist() == [0]
    assert small.step_size.value.tolist() == pytest.approx([0.7])
    assert float(first.kernels.detach().mean(dim=(1, 2, 3)).abs().max()) < 1e-7
    torch.testing.assert_close(torch.linalg.vector_norm(first.kernels, dim=(1, 2, 3)), torch.ones(6))
    # A filter inside the ball keeps its norm, but for its mean; activations are free.
    torch.testing.assert_close(small.kernels, kernels - kernels.mean(dim=(1, 2, 3), keepdim=True))
    assert torch.equal(first.weights, weights)
    before = [parameter.clone() for parameter in model.parameters()]
    model.constrain()
    torch.testing.assert_close(list(model.parameters()), before)


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
        model.constrain()
    assert losses[2] < losses[1] < losses[0]


def test_checkpointing_changes_memory_and_nothing_else():
    gradients = []
    for checkpointing in (False, True):
        model = make(checkpointing=checkpointing)
        model(*scan()).abs().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    torch.testing.assert_close(*gradients)


def test_bfloat16_keeps_the_step_size_exact_and_stays_close():
    model = make()
    data = scan()
    with torch.inference_mode():
        exact_image = model(*data)
        half = model.to(dtype=torch.bfloat16, memory_format=torch.channels_last)
        assert half.dtype == torch.bfloat16
        assert half.steps[0].step_size.value.dtype == torch.float32
        image = half(*data)
    assert image.dtype == torch.complex64
    assert 0 < float((image - exact_image).abs().mean() / exact_image.abs().mean()) < 0.02


def test_training_under_autocast_agrees_with_full_precision():
    gradients = []
    for is_enabled in (False, True):
        model = make()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_enabled):
            loss = model(*scan()).abs().square().sum()
        loss.backward()
        gradients.append(torch.cat([one.grad.flatten() for one in model.parameters()]))
    assert 0 < float((gradients[1] - gradients[0]).norm() / gradients[0].norm()) < 0.05


def test_the_same_weights_take_any_number_of_coils():
    model = make()
    with torch.inference_mode():
        for n_coils in (1, 2, 5):
            assert model(*scan(n_coils=n_coils)).shape == (2, 1, 14, 18)


def test_without_maps_it_says_what_it_needs():
    zero_filled, kspace, mask, _ = scan()
    with pytest.raises(ModelError, match="sensitivity maps and was given none"):
        make()(zero_filled, kspace, mask)


@pytest.mark.parametrize("values", [{"n_filters": 0}, {"n_functions": 1}, {"kernel_size": 4}, {"n_steps": 0}])
def test_impossible_configurations_are_refused(values):
    with pytest.raises(ModelError, match="configuration of the variational network is wrong"):
        VariationalNetworkParameters(**values)
