"""Bundled recipes: each names a method that there is, fits it, and says what the papers say."""

from __future__ import annotations

import pytest
import torch

from recon import models
from training.config import PRESETS, read_config
from training.module import ReconstructionTask

NAMES = sorted(path.stem for path in PRESETS.glob("*.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_builds_its_model_and_optimiser(name):
    config = read_config(name)
    card = models.get_card(config.model)
    assert card.needs_training
    # Nothing is computed: shapes are enough, and networks of 30 million numbers take no time.
    with torch.device("meta"):
        task = ReconstructionTask(config)
        optimizer = task.configure_optimizers()
    n_optimised = sum(parameter.numel() for group in optimizer.param_groups for parameter in group["params"])
    assert n_optimised == sum(parameter.numel() for parameter in task.model.parameters()) > 0
    assert not (config.images or config.kspace or config.initial_weights)
    if name.endswith("-quick"):
        assert 0 < config.minutes <= 120 and max(config.sizes) <= 192
    else:
        assert config.minutes == 0 and (config.ema_decay, config.module_loss_weight) == (0, 0)


def test_every_method_that_learns_has_recipes():
    having = {read_config(name).model for name in NAMES}
    cards = [card for card in models.list_models() if card.needs_training and card.group != "Ablations"]
    assert {card.name for card in cards if not card.source} == having


@pytest.mark.parametrize(
    ("name", "loss", "optimizer", "rates"),
    [
        ("pcrnn-s-paper", "nmse-ssim", "lookahead-adam", {0: 1e-4, 9: 1e-4, 10: 5e-5, 20: 2.5e-5, 59: 1e-4 / 32}),
        ("oucr-paper", "l1", "adam", {0: 1.5e-4, 4: 1.5e-4, 5: 1.35e-4, 49: 1.5e-4 * 0.9**9}),
        ("e2e-varnet-paper", "ssim", "adam", {0: 3e-4, 39: 3e-4, 40: 3e-5}),
    ],
)
def test_rates_of_the_papers(name, loss, optimizer, rates):
    config = read_config(name)
    assert (config.loss, config.optimizer) == (loss, optimizer)
    with torch.device("meta"):
        task = ReconstructionTask(config)
    for epoch, rate in rates.items():
        task.n_steps = epoch * task.epoch_steps + task.epoch_steps // 2
        if task.schedule_share > config.warmup_share:
            assert task.learning_rate() == pytest.approx(rate)
    task.n_steps = 0
    start = rates[0] / 10 if config.warmup_share else rates[0]
    assert task.learning_rate() == pytest.approx(start)
