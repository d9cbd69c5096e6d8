"""Models by name: listing is cheap, cards are complete, mistakes are named."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from recon import contract, models
from recon.errors import ModelError

ROOT = Path(__file__).resolve().parents[3]


def test_listing_imports_no_torch():
    code = "import sys; from recon import models; models.list_models(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_every_card_makes_a_model_and_says_what_it_is():
    cards = models.list_models()
    assert {"zero-filled", "pcrnn-s", "pcrnn-b", "pcrnn-oucr", "oucr"} <= {card.name for card in cards}
    assert len({card.name for card in cards}) == len(cards) == len(list((ROOT / "resources/models").glob("*.toml")))
    for card in cards:
        assert card.title
        assert card.summary.endswith(".")
        assert card.paper
        if card.problem:
            assert card.requires_program
            continue
        with torch.device("meta"):
            models.create(card.name, 4)


def test_alias():
    assert models.get_card("pcrnn").name == "pcrnn-s"


def test_overrides():
    assert models.create("pcrnn", 1, n_iterations=2).n_stages == 7
    with pytest.raises(ModelError, match="no parameter 'depth'"):
        models.create("pcrnn", 1, depth=3)


def test_mistakes_are_named():
    with pytest.raises(ModelError, match="did you mean pcrnn-s"):
        models.create("pcrn-s")
    with pytest.raises(ModelError, match=r"no model 'scans/knee.h5'; weights are files that end in .safetensors"):
        models.create("scans/knee.h5")
    with pytest.raises(ModelError, match="at least one"):
        models.create("pcrnn", 0)


def test_zero_filled_returns_its_input():
    image = torch.randn(1, 3, 8, 8, dtype=torch.complex64)
    assert torch.equal(models.load("zero-filled", 3)(image, image, torch.ones(1, 8, dtype=torch.bool)), image)


def test_bundled_weights_match_their_cards():
    for card in models.list_models():
        for weights in card.weights:
            assert weights.story["limits"]
            assert weights.story["steps"] > 0
            assert weights.story["kspace"].startswith("simulated")
            model = models.load_weights(weights)
            assert (
                model.n_parameters
                == models.create(card.name, weights.n_coils, **weights.story["parameters"]).n_parameters
            )


def test_training_recipes_name_models():
    for path in (ROOT / "resources/presets/training").glob("*.toml"):
        models.get_card(tomllib.loads(path.read_text("utf-8"))["model"])


def test_what_no_method_takes_is_refused_in_words():
    image, mask = torch.zeros(2, 3, 16, 12, dtype=torch.complex64), torch.ones(1, 12, dtype=torch.bool)
    model = models.create("pcrnn-4x", 3, widths=(4,), n_iterations=1)
    with pytest.raises(ModelError, match=r"mask is a bool tensor of shape \(1, 10\); .*\(1, 12\) or \(16, 12\)"):
        model(image, image, mask[:, :10])
    for given, words in (
        ((image.real, image, mask), "zero_filled is a float32 tensor of shape (2, 3, 16, 12); a complex tensor"),
        ((image, image.numpy(), mask), "kspace is a ndarray; a complex tensor (batch, coil, y, x)"),
        ((image, image[0], mask), "kspace is a complex64 tensor of shape (3, 16, 12); a complex tensor"),
        ((image, image, mask, image[:, :2]), "maps is a complex64 tensor of shape (2, 2, 16, 12); the shape of"),
        ((image, image, mask.float()), "mask is a float32 tensor of shape (1, 12); a bool tensor"),
        ((image, image, None), "mask is a NoneType; a bool tensor"),
    ):
        with pytest.raises(ModelError) as caught:
            contract.check_input(*given)
        assert words in str(caught.value)
    for fitting in (mask, mask[0], mask.expand(16, 12), mask.expand(2, 1, 16, 12), mask[None]):
        contract.check_input(image, image, fitting, image)
