"""``train --list``."""

from __future__ import annotations

import json

from app import cli
from training.config import PRESETS


def test_recipes_are_listed(capsys):
    assert cli.main(["train", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = {path.stem for path in PRESETS.glob("*.toml")}
    assert names <= {line.split()[0] for line in lines if line}
    row = next(line for line in lines if line.startswith("oucr-paper "))
    assert "50 epochs" in row and "(Guo et al., MICCAI 2021)" in row
    assert cli.main(["train", "--list", "--json"]) == 0
    recipes = {recipe["name"]: recipe for recipe in json.loads(capsys.readouterr().out)}
    assert set(recipes) == names and recipes["pcrnn-s-paper"]["values"]["loss"] == "nmse-ssim"
