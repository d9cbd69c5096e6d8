"""Recipes: TOML in, typos named."""

from __future__ import annotations

import pytest

from recon.errors import FileError, RequestError
from training.config import PRESETS, TrainingConfig, from_dict, read_config


@pytest.mark.parametrize("path", sorted(PRESETS.glob("*.toml")), ids=lambda path: path.stem)
def test_bundled_recipes_are_valid(path):
    by_name = read_config(path.stem)
    assert by_name == read_config(path)
    assert from_dict(by_name.to_dict()) == by_name


def test_settings_override(tmp_path):
    (tmp_path / "recipe.toml").write_text('model = "oucr"\nn_coils = 1\n')
    config = read_config(tmp_path / "recipe.toml", ["n_coils=4", "accelerations=[6]", "model=pcrnn-s", "minutes=1.5"])
    assert config == TrainingConfig(model="pcrnn-s", n_coils=4, accelerations=(6,), minutes=1.5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n_coil = 4", "did you mean 'n_coils'"),
        ("n_coils = 'four'", "n_coils = 'four' is of the wrong kind; expected a whole number"),
        ("sizes = 4", "wrong kind; expected a list of whole numbers"),
        ("sizes = {a = 1}", "wrong kind; expected a list of whole numbers"),
        ("noise = ['low', 'high']", "wrong kind; expected a list of numbers"),
        ("overrides = 4", "wrong kind; expected a table"),
        ("checkpointing = 1", "wrong kind; expected true or false"),
        ("loss = 'l2'", "nmse-ssim or l1 or ssim or mse or complex-mse"),
        ("batch_size = 0", "at least 1"),
        ("sizes = []", "at least one value"),
        ("sizes = [64, 16]", "sizes is 16; it must be 32 or more"),
        ("warmup_share = 3", "warmup_share is 3; it must be from 0 to 1"),
        ("gradient_clip = -3", "gradient_clip is -3; it must be 0 or more"),
        ("learning_rate = nan", "learning_rate is nan; it must be above 0"),
        ("learning_rate = inf", "learning_rate is inf; it must be above 0"),
        ("minutes = inf", "minutes is inf; it must be 0 or more"),
        ("step_factor = 0", "step_factor is 0; it must be above 0"),
        ("accelerations = [4, 0.5]", "accelerations is 0.5; it must be above 1"),
        ("accelerations = [1]", "accelerations is 1; it must be above 1"),
        ("mask_kinds = ['random', 'none']", "mask_kinds has none, which leaves all samples in place"),
        ("seed = 99999999999999999999", "seed is 99999999999999999999; it must be 0 or more, and at most 9223372036"),
        ("noise = [0.01]", "noise is .0.01.; it must be the least and the most noise"),
        ("noise = [0.02, 0.01]", "noise is .0.02, 0.01.; it must be the least and the most noise"),
        ("noise = [0, 0.01]", "noise is 0; it must be above 0"),
        ("seed = -1", "seed is -1; it must be 0 or more"),
        ("max_simulated_coils = 1", "max_simulated_coils is 1; it must be at least 2"),
    ],
)
def test_mistakes_are_named(tmp_path, text, words):
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(RequestError, match=words):
        read_config(tmp_path / "recipe.toml")


def test_paths_hold_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    config = from_dict({"kspace": "good", "cache": "~/cache", "initial_weights": "/w/x.safetensors"})
    assert (config.kspace, config.cache) == (str(tmp_path / "good"), str(tmp_path / "home" / "cache"))
    assert (config.initial_weights, config.images) == ("/w/x.safetensors", "")
    monkeypatch.chdir("/")
    assert from_dict(config.to_dict()) == config
    assert from_dict({"images": "~nobody-of-this-name/x"}).images == "/~nobody-of-this-name/x"


def test_unreadable_recipes(tmp_path):
    with pytest.raises(FileError, match="no such recipe"):
        read_config("nothing")
    (tmp_path / "recipe.toml").write_text("= 3")
    with pytest.raises(FileError, match="TOML"):
        read_config(tmp_path / "recipe.toml")
    with pytest.raises(RequestError, match="key=value"):
        read_config(next(PRESETS.glob("*.toml")), ["n_coils"])


def test_one_parameter_of_the_network_is_changed_by_its_name():
    config = read_config("kikinet-quick", ["overrides.width=20", "overrides.n_layers=9"])
    assert config.overrides == {"width": 20, "n_layers": 9}
    assert read_config("kikinet-quick", ["overrides={width=20}", "overrides.n_layers=9"]).overrides == config.overrides
    for wrong in (["overrides=20"], ["overrides=20", "overrides.width=3"]):
        with pytest.raises(RequestError, match=r"overrides"):
            read_config("kikinet-quick", wrong)
