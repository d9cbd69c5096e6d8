"""The ConvRNN family: published sizes, hard data consistency, any image size, stages, checkpointing."""

from __future__ import annotations

import json

import pytest
import torch

from recon import models
from recon.errors import ModelError
from recon.fourier import fft2c, ifft2c
from recon.models.blocks import ResidualConvolutions
from recon.models.convrnn import ConvRNN, ConvRNNParameters
from recon.operator import residual_norm

SMALL = {
    "pcrnn": ConvRNNParameters(("4x", "2x", "1x"), (8, 6, 4), refine_width=4, n_iterations=2),
    "parallel": ConvRNNParameters(("4x", "1x"), (8, 4), wiring="parallel", refine_width=4, n_iterations=2),
    "oucr": ConvRNNParameters(("oc", "uc"), (4, 8), refine_width=4, n_iterations=2),
    "oucr-light": ConvRNNParameters(
        ("oc", "uc"), (4, 8), refine_width=0, n_iterations=2, oc_scale=2, decoder_order="resample_conv"
    ),
    "reconformer-like": ConvRNNParameters(
        ("4x",), (8,), refine_width=4, first_iteration="skip", hidden_activation="prelu", refine_last_activation=True
    ),
}

# Published totals; coils, parameters.
PUBLISHED = [
    ("pcrnn-s", 1, 1_589_314),
    ("pcrnn-s", 4, 1_595_644),
    ("pcrnn-s", 15, 1_605_020),
    ("pcrnn-b", 1, 23_524_360),
    ("pcrnn-b", 4, 22_960_760),
    ("pcrnn-b", 15, 22_835_960),
    ("pcrnn-oucr", 1, 1_481_992),
    ("pcrnn-oucr", 4, 1_523_872),
    ("pcrnn-oucr", 15, 1_677_432),
    ("oucr", 1, 1_191_558),
    ("oucr-uc", 1, 890_242),
    ("oucr-uc-rm", 1, 966_468),
    ("oucr-oc", 1, 223_938),
    ("oucr-oc-rm", 1, 300_164),
    ("oucr-uc-oc", 1, 1_114_180),
]


def scan(n_coils: int, size: tuple[int, int], kind: str = "lines", batch: int = 1):
    generator = torch.Generator().manual_seed(0)
    kspace = torch.randn(batch, n_coils, *size, dtype=torch.complex64, generator=generator)
    mask = torch.rand((1, size[1]) if kind == "lines" else size, generator=generator) > 0.6
    return ifft2c(kspace * mask), kspace * mask, mask


@pytest.mark.parametrize(("preset", "n_coils", "count"), PUBLISHED)
def test_parameter_counts(preset, n_coils, count):
    assert models.create(preset, n_coils).n_parameters == count


def test_every_tensor_has_the_published_shape(vectors):
    golden = {
        (row["model"], row["coils"], row["params"]): row
        for row in json.loads((vectors / "param_counts.json").read_text())
    }
    for name, coils, preset in (
        ("OUCR", 1, "oucr"),
        ("PC-RNN-S", 4, "pcrnn-s"),
        ("PC-RNN (OUCR paper)", 1, "pcrnn-oucr"),
    ):
        model = models.create(preset, coils)
        row = golden[name, coils, model.n_parameters]
        published = sorted(tuple(shape) for _, shape in row["shapes"])
        assert sorted(tuple(parameter.shape) for parameter in model.parameters()) == published


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [(16, 16), (213, 49), (13, 18), (32, 57)])
@pytest.mark.parametrize("kind", ["lines", "points"])
def test_sampled_kspace_is_kept_at_every_stage_and_size(name, size, kind):
    model = ConvRNN(2, SMALL[name])
    zero_filled, kspace, mask = scan(2, size, kind)
    with torch.inference_mode():
        for stage in model.stages(zero_filled, kspace, mask):
            assert stage.image.shape == (1, 2, *size)
            assert stage.image.dtype == torch.complex64
            assert residual_norm(stage.image, kspace, mask) < 2e-6


def test_a_fully_sampled_scan_is_a_fixed_point():
    model = ConvRNN(1, SMALL["pcrnn"])
    _, kspace, _ = scan(1, (20, 24))
    full = torch.ones(1, 24, dtype=torch.bool)
    with torch.inference_mode():
        torch.testing.assert_close(model(ifft2c(kspace), kspace, full), ifft2c(kspace), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["pcrnn", "parallel", "oucr", "oucr-light"])
def test_stages_come_in_order_and_forward_returns_the_last(name):
    model = ConvRNN(1, SMALL[name])
    zero_filled, kspace, mask = scan(1, (16, 16))
    with torch.inference_mode():
        stages = list(model.stages(zero_filled, kspace, mask))
        assert torch.equal(model(zero_filled, kspace, mask), stages[-1].image)
    assert len(stages) == model.n_stages
    names = {"4x": "4x", "2x": "2x", "1x": "1x", "oc": "OC", "uc": "UC"}
    expected = [(names[kind], k) for kind in SMALL[name].modules for k in (1, 2)] + [("final",)]
    assert [stage.path for stage in stages] == expected
    assert [stage.is_final for stage in stages] == [False] * (len(stages) - 1) + [True]
    progress = [stage.progress for stage in stages]
    assert progress == sorted(progress)
    assert progress[-1] == 1
    if SMALL[name].refine_width == 0:
        assert torch.equal(stages[-1].image, stages[-2].image)


def test_parallel_modules_read_the_zero_filled_image():
    model = ConvRNN(1, SMALL["parallel"])
    zero_filled, kspace, mask = scan(1, (16, 16))
    with torch.inference_mode():
        before = [stage.image for stage in model.stages(zero_filled, kspace, mask)]
        for parameter in model.convrnn[0].parameters():
            parameter.add_(0.1)
        after = [stage.image for stage in model.stages(zero_filled, kspace, mask)]
    assert not torch.equal(before[0], after[0])
    assert torch.equal(before[2], after[2])


def test_equal_modules_are_numbered():
    model = models.create("pcrnn-4x-4x-4x", 1, widths=(4, 4, 4))
    assert model.names == ("4x (1)", "4x (2)", "4x (3)")


def test_checkpointing_changes_memory_and_nothing_else():
    plain = ConvRNN(1, SMALL["oucr"])
    saving = ConvRNN(1, ConvRNNParameters(("oc", "uc"), (4, 8), refine_width=4, n_iterations=2, checkpointing=True))
    saving.load_state_dict(plain.state_dict())
    zero_filled, kspace, mask = scan(1, (16, 16))
    gradients = []
    for model in (plain, saving):
        model(zero_filled, kspace, mask).abs().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", SMALL)
def test_gradient_reaches_every_parameter_and_training_lowers_the_loss(name):
    torch.manual_seed(0)
    model = ConvRNN(2, SMALL[name])
    zero_filled, kspace, mask = scan(2, (16, 20), batch=2)
    target = fft2c(torch.randn_like(zero_filled)).abs()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = (model(zero_filled, kspace, mask).abs() - target).square().mean()
        loss.backward()
        losses.append(float(loss.detach()))
        missing = [key for key, one in model.named_parameters() if one.grad is None or not one.grad.any()]
        assert not missing
        optimizer.step()
    assert losses[-1] < losses[0]


def test_batches_do_not_mix():
    model = ConvRNN(1, SMALL["pcrnn"])
    zero_filled, kspace, mask = scan(1, (16, 16), batch=3)
    with torch.inference_mode():
        together = model(zero_filled, kspace, mask)
        for index in range(3):
            alone = model(zero_filled[index : index + 1], kspace[index : index + 1], mask)
            torch.testing.assert_close(together[index : index + 1], alone, atol=1e-5, rtol=1e-4)


def test_bfloat16_stays_close_and_consistent():
    torch.manual_seed(0)
    model = ConvRNN(1, SMALL["pcrnn"]).eval()
    zero_filled, kspace, mask = scan(1, (32, 32))
    with torch.inference_mode():
        exact = model(zero_filled, kspace, mask)
        half = model.to(torch.bfloat16)(zero_filled, kspace, mask)
    assert residual_norm(half, kspace, mask) < 2e-6
    assert float((half - exact).abs().mean() / exact.abs().mean()) < 0.02


@pytest.mark.parametrize(
    "values",
    [
        {"modules": ("3x",), "widths": (8,)},
        {"modules": ()},
        {"widths": (8,)},
        {"widths": (8, 0, 8)},
        {"oc_scale": 3},
        {"wiring": "ring"},
        {"decoder_order": "random"},
        {"n_iterations": 0},
    ],
)
def test_impossible_configurations_are_refused(values):
    with pytest.raises(ModelError, match="configuration is wrong"):
        ConvRNNParameters(**values)


def test_wrong_number_of_coils_is_refused():
    model = ConvRNN(4, SMALL["pcrnn"])
    with pytest.raises(ModelError, match="made for 4 coil"):
        model(*scan(2, (16, 16)))


def test_a_training_starts_at_the_zero_filled_image():
    torch.manual_seed(0)
    model = ConvRNN(2, SMALL["pcrnn"])
    zero_filled, kspace, mask = scan(2, (24, 20))
    model.start_training()
    for stage in model.stages(zero_filled, kspace, mask):
        assert (stage.image - zero_filled).abs().max() < 1e-5, stage.title


@pytest.mark.parametrize("size", [(9, 9), (4, 30), (10, 33), (24, 40)])
@pytest.mark.parametrize("n_residual", [1, 2])
def test_the_residual_block_of_a_first_hidden_state_is_what_it_is_on_the_whole_map(size, n_residual):
    torch.manual_seed(3)
    block = ResidualConvolutions(5, n_residual).double()
    like = torch.zeros(2, 5, *size, dtype=torch.float64)
    whole, spread = block(torch.zeros_like(like[:1])), block.of_zeros(like)
    assert whole.std() > 0
    torch.testing.assert_close(spread, whole, rtol=0, atol=1e-12)
    weighting = torch.randn(whole.shape, dtype=torch.float64)
    gradients = [torch.autograd.grad((out * weighting).sum(), tuple(block.parameters())) for out in (whole, spread)]
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
