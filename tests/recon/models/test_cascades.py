"""D5C5, KIKI-net and ComplexMRI: published sizes, hard data consistency on any grid, stages, precision, training."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from recon import models
from recon.errors import ModelError
from recon.fourier import fft2c, ifft2c
from recon.models.complexmri import ComplexConvolution, ComplexMRI, ComplexMRIParameters
from recon.models.d5c5 import D5C5, D5C5Parameters
from recon.models.kikinet import KIKINet, KIKINetParameters
from recon.operator import residual_norm

SMALL = {
    "d5c5": (D5C5, D5C5Parameters(width=6, n_cascades=3)),
    "kikinet": (KIKINet, KIKINetParameters(width=8, n_layers=4)),
    "kikinet-oucr": (KIKINet, KIKINetParameters(width=8, n_layers=3, last_kernel=3)),
    "complexmri": (ComplexMRI, ComplexMRIParameters(width=4, n_blocks=3)),
}
PATHS = {
    "d5c5": [("cascade", 1), ("cascade", 2), ("cascade", 3)],
    "kikinet": [("K-net", 1), ("I-net", 1), ("K-net", 2), ("I-net", 2)],
    "kikinet-oucr": [("K-net", 1), ("I-net", 1), ("K-net", 2), ("I-net", 2)],
    "complexmri": [("block", 1), ("block", 2), ("block", 3)],
}
# preset, coils, name and number of parameters in the golden table
PUBLISHED = [
    ("d5c5", 1, "D5C5 (PC-RNN)", 1_289_625),
    ("d5c5", 4, "D5C5 (PC-RNN)", 1_315_240),
    ("d5c5", 15, "D5C5 (PC-RNN)", 1_284_950),
    ("d5c5-oucr", 1, "D5C5 (OUCR)", 2_237_450),
    ("kikinet", 1, "KIKI (PC-RNN)", 1_199_636),
    ("kikinet", 4, "KIKI (PC-RNN)", 1_210_940),
    ("kikinet", 15, "KIKI (PC-RNN)", 1_200_904),
    ("kikinet-oucr", 1, "KIKI (OUCR)", 1_789_960),
    ("complexmri", 4, "ComplexMRI", 1_597_500),
    ("complexmri", 15, "ComplexMRI", 1_624_300),
]


def make(name, n_coils, **changes):
    torch.manual_seed(0)
    kind, parameters = SMALL[name]
    return kind(n_coils, replace(parameters, **changes))


def scan(n_coils, size, kind="lines", batch=1):
    generator = torch.Generator().manual_seed(0)
    kspace = torch.randn(batch, n_coils, *size, dtype=torch.complex64, generator=generator)
    mask = torch.rand((1, size[1]) if kind == "lines" else size, generator=generator) > 0.6
    return ifft2c(kspace * mask), kspace * mask, mask


@pytest.mark.parametrize(("preset", "n_coils", "name", "count"), PUBLISHED)
def test_parameter_counts(preset, n_coils, name, count):
    assert models.create(preset, n_coils).n_parameters == count


@pytest.mark.parametrize(("preset", "n_coils", "name", "count"), PUBLISHED)
def test_every_tensor_has_the_published_shape(vectors, preset, n_coils, name, count):
    rows = json.loads((vectors / "param_counts.json").read_text())
    (row,) = [row for row in rows if (row["model"], row["coils"], row["params"]) == (name, n_coils, count)]
    published = sorted(tuple(shape) for _, shape in row["shapes"])
    assert sorted(tuple(one.shape) for one in models.create(preset, n_coils).parameters()) == published


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [(16, 16), (213, 49), (13, 18), (5, 7)])
@pytest.mark.parametrize("kind", ["lines", "points"])
def test_sampled_kspace_is_kept_at_every_size(name, size, kind):
    model = make(name, 2)
    zero_filled, kspace, mask = scan(2, size, kind)
    with torch.inference_mode():
        stages = list(model.stages(zero_filled, kspace, mask))
    assert [stage.path for stage in stages] == [*PATHS[name], ("final",)]
    assert len(stages) == model.n_stages
    for stage in stages:
        assert stage.image.shape == (1, 2, *size)
        assert stage.image.dtype == torch.complex64
        # The CNN in k-space is the one place where the samples are free.
        assert stage.name == "K-net" or residual_norm(stage.image, kspace, mask) < 2e-6
    progress = [stage.progress for stage in stages]
    assert progress == sorted(progress)
    assert [stage.is_final for stage in stages] == [False] * (len(stages) - 1) + [True]
    assert progress[-1] == 1


@pytest.mark.parametrize("name", SMALL)
def test_a_fully_sampled_scan_is_a_fixed_point(name):
    _, kspace, _ = scan(2, (20, 24))
    full = torch.ones(1, 24, dtype=torch.bool)
    with torch.inference_mode():
        image = make(name, 2)(ifft2c(kspace), kspace, full)
    torch.testing.assert_close(image, ifft2c(kspace), atol=1e-5, rtol=0)


def test_soft_consistency_weighs_data_and_image():
    zero_filled, kspace, mask = scan(1, (12, 14))
    soft = make("d5c5", 1, n_cascades=1, data_consistency="soft", noise_level=3.0)
    with torch.inference_mode():
        free = fft2c(make("d5c5", 1, n_cascades=1)(zero_filled, torch.zeros_like(kspace), torch.zeros_like(mask)))
        spectrum = fft2c(soft(zero_filled, kspace, mask))
    expected = torch.where(mask, (free + 3.0 * kspace) / 4.0, free)
    torch.testing.assert_close(spectrum, expected, atol=1e-5, rtol=0)


def test_a_complex_convolution_multiplies_complex_numbers():
    torch.manual_seed(0)
    layer = ComplexConvolution(3, 2)
    image = torch.randn(2, 3, 7, 9, dtype=torch.complex64)
    kernels, bias = torch.complex(layer.real, layer.imaginary), torch.complex(*layer.bias)
    expected = F.conv2d(image, kernels, bias, padding=1)
    found = torch.complex(*layer(torch.cat([image.real, image.imag], 1)).chunk(2, 1))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_kspace_network_sees_kspace_and_an_image_network_its_residual():
    model = make("kikinet", 1, n_iterations=1)
    zero_filled, kspace, mask = scan(1, (12, 14))
    with torch.inference_mode():
        parts = [torch.cat([kspace.real, kspace.imag], 1)]
        parts.append(model.kspace_networks[0](parts[0]))
        first = ifft2c(torch.complex(*parts[1].chunk(2, 1)))
        change = torch.complex(*model.image_networks[0](torch.cat([first.real, first.imag], 1)).chunk(2, 1))
        expected = ifft2c(torch.where(mask, kspace, fft2c(first + change)))
        found = model(zero_filled, kspace, mask)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_a_training_starts_at_the_zero_filled_image(name):
    model = make(name, 2)
    zero_filled, kspace, mask = scan(2, (12, 14))
    with torch.inference_mode():
        assert (model(zero_filled, kspace, mask) - zero_filled).abs().max() > 1e-3
        model.start_training()
        torch.testing.assert_close(model(zero_filled, kspace, mask), zero_filled, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("width", "n_layers"), [(16, 4), (15, 4), (16, 1)])
def test_the_first_kspace_network_of_a_training_passes_kspace_on_if_it_is_wide_enough(width, n_layers):
    model = models.create("kikinet", 4, width=width, n_layers=n_layers)
    zero_filled, kspace, mask = scan(4, (12, 14))
    model.start_training()
    with torch.inference_mode():
        first = next(model.stages(zero_filled, kspace, mask))
    difference = float((first.image - zero_filled).abs().max())
    assert difference < 1e-5 if width == 16 else difference > 1e-2


@pytest.mark.parametrize("name", SMALL)
def test_gradient_reaches_every_parameter_and_training_lowers_the_loss(name):
    model = make(name, 2)
    zero_filled, kspace, mask = scan(2, (16, 20), batch=2)
    target = fft2c(torch.randn_like(zero_filled)).abs()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = (model(zero_filled, kspace, mask).abs() - target).square().mean()
        loss.backward()
        losses.append(float(loss.detach()))
        assert not [key for key, one in model.named_parameters() if one.grad is None or not one.grad.any()]
        optimizer.step()
    assert losses[2] < losses[1] < losses[0]


@pytest.mark.parametrize("name", SMALL)
def test_checkpointing_changes_memory_and_nothing_else(name):
    zero_filled, kspace, mask = scan(1, (10, 12))
    gradients = []
    for checkpointing in (False, True):
        model = make(name, 1, checkpointing=checkpointing)
        model(zero_filled, kspace, mask).abs().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_stays_close_and_consistent(name):
    model = make(name, 2)
    zero_filled, kspace, mask = scan(2, (24, 32))
    with torch.inference_mode():
        exact = model(zero_filled, kspace, mask)
        half = model.to(dtype=torch.bfloat16, memory_format=torch.channels_last)(zero_filled, kspace, mask)
    assert residual_norm(half, kspace, mask) < 2e-6
    assert float((half - exact).abs().mean() / exact.abs().mean()) < 0.03
    assert not torch.equal(half, exact)


@pytest.mark.parametrize("name", SMALL)
def test_wrong_number_of_coils_is_refused(name):
    with pytest.raises(ModelError, match="made for 4 coil"):
        make(name, 4)(*scan(2, (16, 16)))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (D5C5Parameters, {"width": 0}),
        (D5C5Parameters, {"noise_level": 0.0}),
        (D5C5Parameters, {"noise_level": float("nan")}),
        (KIKINetParameters, {"n_iterations": 0}),
        (KIKINetParameters, {"last_kernel": 2}),
        (ComplexMRIParameters, {"n_blocks": 0}),
    ],
)
def test_impossible_configurations_are_refused(kind, values):
    with pytest.raises(ModelError, match="configuration is wrong"):
        kind(**values)
