"""A training that takes a second: a ball, two very small networks' modules, six samples an epoch."""

from __future__ import annotations

import sys

import h5py
import numpy as np
import pytest

import training

RECIPE = """
model = "pcrnn-4x-1x"
n_coils = 1
overrides = {widths = [4, 4], refine_width = 4, n_iterations = 1}
accelerations = [4]
sizes = [32]
samples_per_epoch = 6
epochs = 2
learning_rate = 3e-3
ema_decay = 0.5
validation_slices = 2
precision = "fp32"
"""


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory):
    """Path of a recipe whose images lie beside it."""
    folder = tmp_path_factory.mktemp("tiny")
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, 40) for _ in range(3)), indexing="ij")
    ball = (np.sqrt(z**2 + y**2 + x**2) < 0.8) * (1 + 0.3 * np.sin(12 * x) * np.cos(9 * y))
    with h5py.File(folder / "images.h5", "w") as file:
        file["train/ball"] = file["validation/ball"] = (ball * 200).astype(np.uint8)
    path = folder / "recipe.toml"
    path.write_text(RECIPE + f'images = "{folder / "images.h5"}"\n')
    return path


@pytest.fixture
def without_lightning(monkeypatch):
    """Make lightning as good as not installed, for modules that may have been imported with it."""
    for name in [*sys.modules, "lightning"]:
        if name.split(".")[0] == "lightning":
            monkeypatch.setitem(sys.modules, name, None)
    for name in ("interruption", "sharding"):
        monkeypatch.delitem(sys.modules, f"training.{name}", raising=False)
        monkeypatch.delattr(training, name, raising=False)
