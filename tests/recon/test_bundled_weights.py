"""The weights that come with the program do on the bundled scan what their cards say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import recon
from recon import MaskSpec, Request, metrics, weights
from recon.request import JOIN_WEIGHT

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "resources/weights").glob("*.safetensors"))
SCAN = ROOT / "resources/demo/derived_brain_4ch.h5"
ACCELERATION = 4.0
# The card's standard deviation is over five masks, and this is one of them.
SEED = 0


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_card_s_score_comes_out_again(file):
    said = next(
        score
        for score in weights.read_header(file).story["scores"]
        if (score["scan"], score["mask"], score["acceleration"]) == (SCAN.stem, "random", ACCELERATION)
    )
    series = recon.open_study(SCAN).series[0]
    result = recon.run(series, Request(str(file), MaskSpec("random", ACCELERATION, seed=SEED)), keep="none")
    assert np.isfinite(result.final).all()
    after, before = (metrics.psnr(result.reference, volume) for volume in (result.final, result.zero_filled))
    assert abs(after - said["psnr"]["mean"]) < 3 * said["psnr"]["sd"]
    # The gain changes less from mask to mask than the score itself.
    assert after - before > said["psnr"]["mean"] - said["zero_filled_psnr"]["mean"] - 1


@pytest.mark.parametrize(
    ("network", "scan", "gain"),
    [
        ("pcrnn-s", "derived_brain_4ch", 1),
        ("pcrnn-s", "real_brain_16ch_gre", 3),
        ("kiunet", "real_brain_16ch_gre", 2.5),  # data consistency once
        ("unet-fastmri", "real_brain_16ch_gre", 4),  # none
    ],
)
def test_joined_coils_of_a_real_array_come_closer(network, scan, gain):
    series = recon.open_study(SCAN.with_name(f"{scan}.h5")).series[0]
    file = next(file for file in FILES if file.stem == f"{network}-1coil")
    alone, joined = (
        recon.run(series, Request(str(file), MaskSpec("random", ACCELERATION, seed=SEED), join_coils=weight))
        for weight in (None, JOIN_WEIGHT)
    )
    before, after = (metrics.psnr(result.reference, result.final) for result in (alone, joined))
    assert after > before + gain


def test_together_they_keep_to_the_budget():
    assert FILES
    assert sum(file.stat().st_size for file in FILES) < 25 * 2**20
