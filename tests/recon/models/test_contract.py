"""What every method owes whoever runs, trains, stores or shows it; a new card is tested by being there."""

from __future__ import annotations

import json
from functools import cache

import pytest
import torch

from recon import models, weights
from recon.operator import residual_norm
from recon.pipeline import prepare

N_COILS = 4
SIZE = (32, 32)
ODD_SIZE = (33, 35)
# On these the finest grid is four times the image's, or the widest layer is; what they owe shows on fewer pixels too.
SMALL_SIZE = (12, 16)
SMALL_ODD_SIZE = (13, 15)
SMALL = ("convrnn",)

CARDS = {card.name: card for card in models.list_models() if not card.source}
HERE = [name for name, card in CARDS.items() if not card.problem]
NETWORKS = [name for name in HERE if CARDS[name].needs_training]
HARD = [name for name in HERE if CARDS[name].data_consistency == "hard"]

# Rows of the golden counts -> presets; a row of a number of coils is of the preset at that number.
COUNTED = {
    "OUCR": "oucr",
    "UC-CRNN": "oucr-uc",
    "UC-CRNN+RM": "oucr-uc-rm",
    "OC-CRNN": "oucr-oc",
    "OC-CRNN+RM": "oucr-oc-rm",
    "OC+UC (no RM)": "oucr-uc-oc",
    "PC-RNN (OUCR paper)": "pcrnn-oucr",
    "PC-RNN-S": "pcrnn-s",
    "PC-RNN-B": "pcrnn-b",
    "D5C5 (OUCR)": "d5c5-oucr",
    "D5C5 (PC-RNN)": "d5c5",
    "KIKI (OUCR)": "kikinet-oucr",
    "KIKI (PC-RNN)": "kikinet",
    "UNet (OUCR)": "unet-oucr",
    "U-Net (PC-RNN) fastMRI chans=12": "unet-fastmri",
    "VS-Net (PC-RNN)": "vsnet",
    "VN (PC-RNN)": "vn",
    "ComplexMRI": "complexmri",
    "Kiu-net practical": "kiunet",
}


# Parameters that this input gives no gradient, and why.
WITHOUT_GRADIENT = {
    "e2e-varnet": {"step_sizes.0.value"},  # k-space begins as the measured one, so the first residual is zero
}

# Where a first step has to be smaller, and why.
RATES = {
    "e2e-varnet": 1e-7  # its maps begin as quotients of calibration images, which are next to nothing around the disc
}


@cache
def problem(size, scale="mean", centre=True):
    """A disc with structure, seen by coils that sit around it: zero-filled, k-space, mask, maps and truth."""
    rows, columns = size
    y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
    anatomy = ((y / 0.8) ** 2 + (x / 0.7) ** 2 < 1) * (1 + 0.5 * torch.cos(7 * x + 3 * y)) * torch.exp(0.5j * (x - y))
    angle = 2 * torch.pi * torch.arange(N_COILS)[:, None, None] / N_COILS
    maps = torch.exp(-((y - torch.sin(angle)) ** 2) - (x - torch.cos(angle)) ** 2) * torch.exp(1j * angle)
    maps = maps / maps.abs().square().sum(0).sqrt()
    truth = (maps * anatomy).to(torch.complex64)
    from recon.fourier import fft2c

    mask = torch.zeros(1, columns, dtype=torch.bool)
    mask[:, ::2] = True
    mask[:, columns // 2 - 3 * columns // 16 : columns // 2 + 3 * columns // 16] = True
    mask[:, columns // 2] = centre
    data = prepare(fft2c(truth), mask, scale=scale)
    return data.zero_filled, data.kspace, data.mask, maps.to(torch.complex64)[None], truth[None] / data.scale


def inputs(name, *, odd=False, centre=True):
    """What the pipeline gives a method, and the truth in its scale."""
    card = CARDS[name]
    even_size, odd_size = (SMALL_SIZE, SMALL_ODD_SIZE) if card.family in SMALL else (SIZE, ODD_SIZE)
    size = odd_size if odd else even_size
    *given, maps, truth = problem(size, card.scale, centre)
    return (*given, maps if card.needs_maps else None), truth


def create(name):
    """Make a fresh model; a solver with a stop rule gets a fixed number of iterations instead."""
    torch.manual_seed(0)
    model = models.create(name, N_COILS)
    if hasattr(model.parameters_, "tolerance"):
        model = models.create(name, N_COILS, tolerance=0.0, n_iterations=20)
    return model.eval()


@cache
def model_of(name):
    return create(name)


@cache
def stages_of(name, *, odd=False):
    with torch.inference_mode():
        return tuple(model_of(name).stages(*inputs(name, odd=odd)[0]))


def loss_of(model, name, **how):
    """Squared distance to the truth, combined with the maps where the method combines."""
    given, truth = inputs(name, **how)
    image = model(*given)
    if image.shape[1] == 1:
        truth = (given[-1].conj() * truth).sum(1, keepdim=True)
    return (image - truth).abs().square().mean()


# ---- what comes out ---------------------------------------------------------------------------------------------


def test_every_card_belongs_to_a_family_and_says_how_it_treats_the_data():
    assert {card.family for card in CARDS.values()} <= set(models.FAMILIES)
    assert {card.data_consistency for card in CARDS.values()} <= {"hard", "soft", "none"}
    # Whoever says so in words is held to it by the property test below.
    assert {name for name, card in CARDS.items() if "hard data consistency" in card.summary} <= set(HARD)
    assert len(HARD) > 20


@pytest.mark.parametrize("odd", [False, True], ids=["even", "odd"])
@pytest.mark.parametrize("name", HERE)
def test_images_have_the_shape_and_type_of_the_input_at_any_size(name, odd):
    zero_filled = inputs(name, odd=odd)[0][0]
    for stage in stages_of(name, odd=odd):
        assert stage.image.shape in (zero_filled.shape, (1, 1, *zero_filled.shape[2:]))
        assert stage.image.dtype == torch.complex64
        assert stage.image.isfinite().all()
        assert stage.image.abs().max() > 0
    assert len({stage.image.shape for stage in stages_of(name, odd=odd)}) == 1
    if CARDS[name].needs_maps:
        assert stage.image.shape[1] == 1


@pytest.mark.parametrize("name", HERE)
def test_stages_are_ordered_and_as_many_as_announced(name):
    stages = stages_of(name)
    assert len(stages) == model_of(name).n_stages
    progress = [stage.progress for stage in stages]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    assert progress[0] > 0
    assert [stage.is_final for stage in stages] == [False] * (len(stages) - 1) + [True]
    assert len({stage.path for stage in stages}) == len(stages)
    for stage in stages:
        assert stage.path[0] == stage.name
        assert len(stage.path) <= 2


@pytest.mark.parametrize("name", HERE)
def test_the_same_input_gives_the_same_image_and_is_left_as_it_was(name):
    given, _ = inputs(name)
    before = [None if tensor is None else tensor.clone() for tensor in given]
    with torch.inference_mode():
        again = create(name)(*given)
    assert torch.equal(again, stages_of(name)[-1].image)
    assert all(one is other or torch.equal(one, other) for one, other in zip(given, before, strict=True))


@pytest.mark.parametrize("name", HERE)
def test_closing_the_stream_ends_it(name):
    stream = model_of(name).stages(*inputs(name)[0])
    with torch.inference_mode():
        first = next(stream)
        stream.close()
    assert stream.gi_frame is None
    assert first.is_final == (model_of(name).n_stages == 1)


@pytest.mark.parametrize("name", [name for name in HERE if name not in NETWORKS and name != "zero-filled"])
def test_a_method_without_training_comes_nearer_to_the_truth(name):
    given, truth = inputs(name)
    image, zero_filled = stages_of(name)[-1].image, given[0]

    def distance(coil_images):
        magnitude = coil_images.abs().square().sum(1).sqrt()
        return torch.linalg.vector_norm(magnitude - truth.abs().square().sum(1).sqrt())

    assert distance(image) < distance(zero_filled)


@pytest.mark.parametrize("odd", [False, True], ids=["even", "odd"])
@pytest.mark.parametrize("name", HARD)
def test_hard_data_consistency_keeps_the_measured_samples(name, odd):
    (_, kspace, mask, _), _ = inputs(name, odd=odd)
    assert residual_norm(stages_of(name, odd=odd)[-1].image, kspace, mask) < 1e-5


@pytest.mark.parametrize("name", HERE)
def test_a_batch_is_its_entries(name):
    (zero_filled, kspace, mask, maps), _ = inputs(name)
    maps = None if maps is None else torch.cat([maps, maps])
    with torch.inference_mode():
        batch = model_of(name)(torch.cat([zero_filled, 2 * zero_filled]), torch.cat([kspace, 2 * kspace]), mask, maps)
    alone = stages_of(name)[-1].image
    assert batch.shape == (2, *alone.shape[1:])
    assert (batch[:1] - alone).abs().max() <= 1e-3 * alone.abs().max()
    assert (batch[1:] - alone).abs().max() > 0.1 * alone.abs().max()


# ---- what is trained --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_the_gradient_reaches_every_parameter(name):
    # Hard data consistency replaces the mean of the image where the centre of k-space was measured, and takes from the
    # bias before it all that it does: here the centre was not.
    centre = CARDS[name].data_consistency != "hard"
    model = create(name).train()
    loss_of(model, name, centre=centre).backward()
    without = {
        parameter_name
        for parameter_name, parameter in model.named_parameters()
        if parameter.grad is None or not bool(parameter.grad.abs().sum() > 0)
    } - WITHOUT_GRADIENT.get(CARDS[name].family, set())
    assert not without
    assert all(bool(parameter.grad.isfinite().all()) for parameter in model.parameters() if parameter.grad is not None)


@pytest.mark.parametrize("name", NETWORKS)
def test_two_steps_on_one_batch_lower_the_loss(name):
    model = create(name).train()
    model.start_training()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATES.get(CARDS[name].family, 1e-5))
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = loss_of(model, name)
        loss.backward()
        optimizer.step()
        model.constrain()
        losses.append(loss.item())
    with torch.no_grad():
        losses.append(float(loss_of(model, name)))
    assert losses[2] < losses[1] < losses[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_come_back_bit_for_bit(name, tmp_path):
    model = model_of(name)
    story = {"preset": name, "n_coils": N_COILS, "parameters": CARDS[name].parameters_for(N_COILS)}
    saved = weights.save(tmp_path / "all.safetensors", model.state_dict(), story)
    loaded = models.load(str(saved.path))
    saved.path.unlink()
    state = model.state_dict()
    assert loaded.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in loaded.state_dict().items())
    assert loaded.parameters_ == model.parameters_


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_runs_in_bfloat16(name):
    model = create(name).to(dtype=torch.bfloat16, memory_format=torch.channels_last)
    assert model.dtype == torch.bfloat16
    with torch.inference_mode():
        image = model(*inputs(name)[0])
    exact = stages_of(name)[-1].image
    assert image.dtype == torch.complex64
    # Eight bits of mantissa, rounded once a layer: near, and not the same.
    difference = torch.linalg.vector_norm(image - exact) / torch.linalg.vector_norm(exact)
    assert 0 < difference < 0.1


# ---- how large --------------------------------------------------------------------------------------------------


def test_parameter_counts_are_the_published_ones(vectors):
    rows = json.loads((vectors / "param_counts.json").read_text())
    checked, wrong = set(), []
    for row in rows:
        name = COUNTED.get(row["model"])
        # A row that misses the paper's total is a configuration that was rejected.
        if name not in CARDS or row["within_3pct"] is False:
            continue
        with torch.device("meta"):
            found = models.create(name, row["coils"]).n_parameters
        if found != row["params"] and not _is_other_choice(rows, row, found):
            wrong.append(f"{name} with {row['coils']} coils: {found:,}, expected {row['params']:,}")
        checked.add(name)
    assert not wrong
    assert checked == set(COUNTED.values()) & set(CARDS)


def _is_other_choice(rows, row, found):
    """Of several configurations that meet one total, a preset is one."""
    return any(
        other["params"] == found
        for other in rows
        if (other["model"], other["coils"], other["within_3pct"]) == (row["model"], row["coils"], True)
    )


@pytest.mark.parametrize("name", [name for name in NETWORKS if CARDS[name].any_coils])
def test_parameters_that_fit_any_array_do_not_depend_on_it(name):
    with torch.device("meta"):
        shapes = [
            {key: tensor.shape for key, tensor in models.create(name, n_coils).state_dict().items()}
            for n_coils in (1, N_COILS, 15)
        ]
    assert shapes[0] == shapes[1] == shapes[2]
