"""A network that was trained smaller than its preset says so wherever it runs."""

from __future__ import annotations

import dataclasses
import importlib
from dataclasses import replace

import pytest

import recon
from recon import MaskSpec, Request, models, phantom
from recon.models.size import differences, size_note, size_text
from recon.weights import find_weights, save

BUNDLED = [weights for weights in find_weights() if weights.is_bundled]


def bundled(stem):
    return next(weights for weights in BUNDLED if weights.path.stem == stem)


@pytest.mark.parametrize("weights", BUNDLED, ids=lambda weights: weights.path.stem)
def test_the_header_tells_how_many_parameters_a_network_has(weights):
    assert weights.n_parameters == models.load_weights(weights).n_parameters


@pytest.mark.parametrize("weights", BUNDLED, ids=lambda weights: weights.path.stem)
def test_the_card_names_every_parameter_in_which_its_weights_differ(weights):
    card = models.get_card(weights.preset)
    module, _, name = models.FAMILIES[card.family]
    preset = getattr(importlib.import_module(module), name)(**_frozen(card.parameters_for(weights.n_coils)))
    own = _frozen(weights.story["parameters"])
    different = {key for key, value in dataclasses.asdict(preset).items() if own.get(key, value) != value}
    assert different - {"checkpointing"} == set(differences(card, weights))


def test_a_smaller_network_says_what_the_paper_s_has():
    vn, kiunet = bundled("vn-4coil"), bundled("kiunet-1coil")
    card = models.get_card("vn")
    assert size_note(card, vn) == "these weights: 48 filters, 131,050 parameters; the paper's have 480 filters."
    assert size_text(card, vn) == size_note(card, vn)
    assert "ki_levels 2, 7,741,722 parameters; the paper's have ki_levels 3" in size_note(
        models.get_card("kiunet"), kiunet
    )
    assert "the preset's have 480" in size_note(replace(card, is_paper_size=False), vn)


def test_the_paper_s_own_size_needs_no_words():
    weights = bundled("pcrnn-s-1coil")
    card = models.get_card("pcrnn-s")
    assert size_note(card, weights) == ""
    assert size_text(card, weights) == "1,589,314 parameters"
    assert size_note(models.get_card("cs-tv"), None) == ""


def test_the_record_of_a_reconstruction_says_it(tmp_path):
    series = recon.open_study(
        phantom.write(tmp_path / "head.h5", phantom.PhantomSpec(n_slices=1, n_coils=4, matrix=(48, 48)))
    ).series[0]
    story = {"preset": "vn", "n_coils": 4, "parameters": {"n_filters": 4, "n_steps": 10}}
    weights = save(tmp_path / "small.safetensors", models.create("vn", 4, n_filters=4).state_dict(), story)
    result = recon.run(series, Request(str(weights.path), MaskSpec("random", 4.0, 0.2, seed=0)))
    note = f"these weights: 4 filters, {weights.n_parameters:,} parameters; the paper's have 480 filters."
    assert note in result.record()["warnings"]


def _frozen(values):
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
