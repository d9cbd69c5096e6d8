"""Both U-Nets: published sizes, fastMRI's semantics at odd sizes, data consistency, any image size, half precision."""

from __future__ import annotations

import copy
import json

import pytest
import torch
import torch.nn.functional as F

from recon import models
from recon.errors import ModelError
from recon.fourier import ifft2c
from recon.models.blocks import BatchNorm, max_pool
from recon.models.unet import (
    ConvolutionNorm,
    FastMRIUNet,
    FastMRIUNetParameters,
    OUCRUNet,
    OUCRUNetParameters,
    UNet,
    normalised_activation,
    undo_z_score,
    z_score,
)
from recon.operator import residual_norm

SMALL = {
    "fastmri": lambda coils: FastMRIUNet(coils, FastMRIUNetParameters(width=4)),
    "fastmri-consistent": lambda coils: FastMRIUNet(coils, FastMRIUNetParameters(width=4, data_consistency=True)),
    "fastmri-plain": lambda coils: FastMRIUNet(coils, FastMRIUNetParameters(width=4, n_pools=2, z_score=False)),
    "oucr": lambda coils: OUCRUNet(coils, OUCRUNetParameters(width=4)),
}
HARD = ("fastmri-consistent", "oucr")


def scan(n_coils, size, kind="lines", batch=1):
    generator = torch.Generator().manual_seed(0)
    kspace = torch.randn(batch, n_coils, *size, dtype=torch.complex64, generator=generator)
    mask = torch.rand((1, size[1]) if kind == "lines" else size, generator=generator) > 0.6
    return ifft2c(kspace * mask), kspace * mask, mask


@pytest.mark.parametrize(
    ("preset", "n_coils", "row"),
    [
        ("unet-fastmri", 1, "U-Net (PC-RNN) fastMRI chans=12"),
        ("unet-fastmri", 4, "U-Net (PC-RNN) fastMRI chans=12"),
        ("unet-fastmri", 15, "U-Net (PC-RNN) fastMRI chans=12"),
        ("unet-oucr", 1, "UNet (OUCR)"),
    ],
)
def test_every_tensor_has_the_published_shape(vectors, preset, n_coils, row):
    golden = {(one["model"], one["coils"]): one for one in json.loads((vectors / "param_counts.json").read_text())}
    with torch.device("meta"):
        model = models.create(preset, n_coils)
    assert model.n_parameters == golden[row, n_coils]["params"]
    published = sorted(tuple(shape) for _, shape in golden[row, n_coils]["shapes"])
    assert sorted(tuple(parameter.shape) for parameter in model.parameters()) == published


def test_fastmri_default_width_has_the_known_size():
    with torch.device("meta"):
        assert FastMRIUNet(1, FastMRIUNetParameters(width=32)).n_parameters == 7_756_418


def as_fastmri_describes(network, image):
    """The layers written out: two bias-free convolutions a level, instance norm, LeakyReLU 0.2, reflected edges."""

    def pair(block, image):
        for convolution in block.convolutions:
            image = F.leaky_relu(F.instance_norm(F.conv2d(image, convolution.weight, padding=1)), 0.2)
        return image

    skips = []
    for block in list(network.encoder)[:-1]:
        skips.append(pair(block, image))
        image = F.avg_pool2d(skips[-1], kernel_size=2, stride=2)
    image = pair(network.encoder[-1], image)
    for up, block in zip(network.up, network.decoder, strict=True):
        skip = skips.pop()
        image = F.leaky_relu(F.instance_norm(F.conv_transpose2d(image, up.weight, stride=2)), 0.2)
        if image.shape[-1] < skip.shape[-1]:
            image = torch.cat([image, image[..., -2:-1]], dim=-1)
        if image.shape[-2] < skip.shape[-2]:
            image = torch.cat([image, image[..., -2:-1, :]], dim=-2)
        image = pair(block, torch.cat([image, skip], dim=1))
    return F.conv2d(image, network.last.weight, network.last.bias)


@pytest.mark.parametrize("size", [(32, 48), (53, 37), (45, 61)])
def test_layers_are_fastmris_at_even_and_odd_sizes(size):
    torch.manual_seed(0)
    network = UNet(2, 2, 4, 3)
    image = torch.randn(2, 2, *size)
    with torch.inference_mode():
        result = network(image.to(memory_format=torch.channels_last))
        torch.testing.assert_close(result, as_fastmri_describes(network, image), atol=1e-5, rtol=1e-4)


def test_normalised_activation_is_instance_norm_and_leaky_relu():
    channels = torch.randn(3, 5, 6, 7, dtype=torch.float64) * 3 + 2
    expected = F.leaky_relu(F.instance_norm(channels), 0.2)
    torch.testing.assert_close(normalised_activation(channels.clone()), expected)
    assert torch.autograd.gradcheck(normalised_activation, channels[:, :2].clone().requires_grad_())


def test_z_score_normalises_both_parts_and_is_undone():
    image = torch.complex(3 * torch.randn(2, 3, 9, 8) + 5, 0.1 * torch.randn(2, 3, 9, 8) - 1)
    normalised, mean, deviation = z_score(image)
    for part in (normalised.real, normalised.imag):
        torch.testing.assert_close(part.flatten(1).mean(1), torch.zeros(2), atol=1e-5, rtol=0)
        torch.testing.assert_close(part.flatten(1).std(1), torch.ones(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(undo_z_score(normalised, mean, deviation), image)
    empty, *_ = z_score(torch.zeros(1, 1, 8, 8, dtype=torch.complex64))
    assert not empty.any()


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [(213, 203), (49, 57), (13, 18), (32, 32)])
@pytest.mark.parametrize("kind", ["lines", "points"])
def test_any_size_and_hard_consistency_where_promised(name, size, kind):
    model = SMALL[name](2).eval().requires_grad_(False)
    zero_filled, kspace, mask = scan(2, size, kind)
    (stage,) = model.stages(zero_filled, kspace, mask)
    assert stage.is_final
    assert stage.progress == 1
    assert stage.image.shape == zero_filled.shape
    assert stage.image.dtype == torch.complex64
    assert bool(stage.image.isfinite().all())
    assert (residual_norm(stage.image, kspace, mask) < 2e-6) == (name in HARD)


@pytest.mark.parametrize("name", ["fastmri", "fastmri-plain", "oucr"])
def test_gradient_reaches_every_parameter_and_training_lowers_the_loss(name):
    torch.manual_seed(0)
    model = SMALL[name](2)
    zero_filled, kspace, mask = scan(2, (32, 35), batch=2)
    target = zero_filled.roll(1, -1)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = (model(zero_filled, kspace, mask) - target).abs().square().mean()
        loss.backward()
        losses.append(float(loss.detach()))
        assert not [key for key, one in model.named_parameters() if one.grad is None or not one.grad.any()]
        optimizer.step()
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_stays_close(name):
    torch.manual_seed(0)
    model = SMALL[name](1).eval().requires_grad_(False)
    zero_filled, kspace, mask = scan(1, (48, 64))
    exact = model(zero_filled, kspace, mask)
    half = model.to(dtype=torch.bfloat16, memory_format=torch.channels_last)(zero_filled, kspace, mask)
    assert half.dtype == torch.complex64
    assert float((half - exact).abs().mean() / exact.abs().mean()) < 0.06


@pytest.mark.parametrize("name", SMALL)
def test_batches_do_not_mix(name):
    model = SMALL[name](1).eval().requires_grad_(False)
    zero_filled, kspace, mask = scan(1, (32, 40), batch=3)
    together = model(zero_filled, kspace, mask)
    for index in range(3):
        one = slice(index, index + 1)
        alone = model(zero_filled[one], kspace[one], mask)
        torch.testing.assert_close(together[one], alone, atol=1e-5, rtol=1e-4)


def test_z_score_makes_the_network_follow_the_brightness():
    model = SMALL["fastmri"](1).eval().requires_grad_(False)
    zero_filled, kspace, mask = scan(1, (32, 32))
    torch.testing.assert_close(
        model(5 * zero_filled, 5 * kspace, mask), 5 * model(zero_filled, kspace, mask), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(8, 12), (7, 9), (2, 3)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_max_pool_is_torchs(size, layout, dtype):
    image = torch.randn(2, 5, *size, generator=torch.Generator().manual_seed(0)).to(dtype)
    image[0, 0, 0, 0] = torch.nan
    image[0, 1, 1, 1] = -torch.inf
    wanted = F.max_pool2d(image, 2)
    torch.testing.assert_close(max_pool(image.to(memory_format=layout)), wanted, rtol=0, atol=0, equal_nan=True)
    trained = image.to(memory_format=layout).requires_grad_()
    torch.testing.assert_close(max_pool(trained), wanted, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("side", [4, 8])  # fewer outputs than weights, and more
def test_folding_a_trained_batch_norm_changes_nothing_but_time(side):
    torch.manual_seed(0)
    layer = ConvolutionNorm(3, 5)
    for _ in range(5):
        layer(2 * torch.randn(2, 3, 8, 8) + 1)
    assert layer.norm.running_mean.any()
    layer.eval()
    channels = torch.randn(1, 3, side, side)
    torch.testing.assert_close(layer(channels), F.relu(layer.norm(layer.convolution(channels))))


def test_statistics_stay_float32_and_survive_storage():
    norm = BatchNorm(4)
    norm(torch.randn(2, 4, 8, 8))
    half = copy.deepcopy(norm).to(torch.bfloat16)
    assert {one.dtype for one in half.state_dict().values()} == {torch.float32}
    assert torch.equal(half.running_var, norm.running_var)
    assert all(one.is_floating_point() for one in norm.state_dict().values())  # a count would not survive float16
    fresh = BatchNorm(4)
    fresh.load_state_dict(norm.state_dict())
    assert torch.equal(fresh.running_mean, norm.running_mean)


def test_dropout_works_in_training_alone():
    torch.manual_seed(0)
    model = FastMRIUNet(1, FastMRIUNetParameters(width=16, n_pools=1, dropout=0.2))
    data = scan(1, (32, 32))
    assert not torch.equal(model(*data), model(*data))
    model.eval()
    assert torch.equal(model(*data), model(*data))


@pytest.mark.parametrize("values", [{"width": 0}, {"n_pools": 0}, {"dropout": 1.0}])
def test_impossible_configurations_are_refused(values):
    with pytest.raises(ModelError, match="configuration is wrong"):
        FastMRIUNetParameters(**values)
    with pytest.raises(ModelError, match="configuration is wrong"):
        OUCRUNetParameters(n_levels=1)


@pytest.mark.parametrize("name", ["fastmri", "oucr"])
def test_wrong_number_of_coils_is_refused(name):
    with pytest.raises(ModelError, match="made for 4 coil"):
        SMALL[name](4)(*scan(2, (32, 32)))


@pytest.mark.parametrize("size", [(32, 32), (37, 45)])
def test_a_training_of_one_coil_starts_at_the_zero_filled_image(size):
    model = FastMRIUNet(1, FastMRIUNetParameters(width=6, n_pools=3)).requires_grad_(False)
    zero_filled, kspace, mask = scan(1, size)
    assert (model(zero_filled, kspace, mask) - zero_filled).abs().max() > 0.1
    model.start_training()
    torch.testing.assert_close(model(zero_filled, kspace, mask), zero_filled, atol=1e-3, rtol=1e-3)


def test_the_identity_is_left_to_networks_that_have_the_channels_for_it():
    for parameters, n_coils in ((FastMRIUNetParameters(width=3), 1), (FastMRIUNetParameters(), 4)):
        model = FastMRIUNet(n_coils, parameters)
        drawn = copy.deepcopy(model.state_dict())
        model.start_training()
        for name, values in model.state_dict().items():
            assert torch.equal(values, drawn[name])


def test_a_network_that_starts_as_the_identity_learns_in_every_layer():
    model = FastMRIUNet(1, FastMRIUNetParameters(width=6, n_pools=2)).train()
    model.start_training()
    zero_filled, kspace, mask = scan(1, (24, 24))
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(3):  # what the last convolution does not hear at first, learns from the second step on
        optimizer.zero_grad()
        (model(zero_filled, kspace, mask) - zero_filled.flip(-1)).abs().square().mean().backward()
        optimizer.step()
    for name, values in model.state_dict().items():
        assert not torch.equal(values, before[name]), name
