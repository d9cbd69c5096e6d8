"""A network learns from simulated data alone and betters a real scan that it never saw."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch

import recon
from recon import phantom
from training.config import PRESETS
from training.run import main

SCAN = PRESETS.parents[1] / "demo" / "derived_brain_4ch.h5"
# One module of PC-RNN, narrow enough for a minute of one core; mild noise and phase, as in the quick recipes.
RECIPE = """
model = "pcrnn-1x"
n_coils = 1
overrides = {widths = [16], refine_width = 0, n_iterations = 4}
accelerations = [4]
sizes = [96]
noise = [2e-4, 6e-3]
phase_scale = 0.4
tissue_phase = 0.2
ema_decay = 0.9
validation_slices = 2
precision = "fp32"
epochs = 1
"""
N_SLICES = 6


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Path of a recipe on the magnitudes of three phantoms, and a fourth to validate on."""
    folder = tmp_path_factory.mktemp("learning")
    with h5py.File(folder / "images.h5", "w") as file:
        for number in range(4):
            scan = folder / f"phantom{number}.h5"
            spec = phantom.PhantomSpec(N_SLICES, n_coils=1, matrix=(128, 128), noise=0.0, seed=number + 1)
            phantom.write(scan, spec)
            reference = recon.open_study(scan).series[0].reference
            volume = np.stack([reference[index] for index in range(N_SLICES)])
            part = "train" if number < 3 else "validation"
            file[f"{part}/{number}"] = (255 * volume / volume.max()).astype(np.uint8)
    path = folder / "recipe.toml"
    path.write_text(RECIPE + f'images = "{folder / "images.h5"}"\n')
    return path


@pytest.mark.parametrize(
    ("settings", "least_db"),
    [
        (["samples_per_epoch=150", "learning_rate=2e-3"], 1.0),
        pytest.param(["samples_per_epoch=1000", "learning_rate=3e-3"], 2.5, marks=pytest.mark.slow),
    ],
    ids=["seconds", "a minute"],
)
def test_weights_of_a_short_training_are_better_than_zero_filled_on_a_real_scan(recipe, tmp_path, settings, least_db):
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        weights = main(str(recipe), tmp_path / "run", settings=settings, devices="cpu")
    finally:
        torch.set_num_threads(n_threads)
    series = recon.open_study(SCAN).series[0]
    gains = {"psnr": [], "ssim": []}
    for kind in ("random", "equispaced-fraction"):
        for seed in (0, 1):
            request = recon.Request(str(weights), recon.MaskSpec(kind, 4, seed=seed), precision="fp32")
            result = recon.run(series, request, keep="none")
            for name, found in gains.items():
                found.append(result.metrics[name]["volume"] - result.zero_filled_metrics[name]["volume"])
    assert np.mean(gains["psnr"]) > least_db
    assert min(gains["psnr"]) > 0.5 * least_db
    assert min(gains["ssim"]) > 0.03
