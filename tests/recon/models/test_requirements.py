"""What a method asks of coils and mask is known before torch is, and is what the method itself would say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import recon
from recon import masks, models, pipeline
from recon.errors import MRIError
from recon.masks import MaskSpec, SamplingMask
from recon.models import get_card, requirements
from recon.phantom import PhantomSpec
from recon.phantom import write as write_phantom

MASKS = {
    "random": MaskSpec("random", acceleration=4, seed=1),
    "equispaced": MaskSpec("equispaced", acceleration=4, center_fraction=0.2, seed=1),
    "exact share": MaskSpec("equispaced-fraction", acceleration=2.5, center_fraction=0.2, seed=1),
    "no centre": MaskSpec("equispaced", acceleration=4, center_fraction=0, seed=1, offset=1),
    "narrow": MaskSpec("equispaced", acceleration=4, center_fraction=0.03, seed=1),
    "points": MaskSpec("gaussian-2d", acceleration=4, center_fraction=0.2, seed=1),
    "none": MaskSpec("none"),
}


@pytest.mark.parametrize("name", ["grappa", "cs-tv", "cg-sense", "e2e-varnet-compact"])
@pytest.mark.parametrize("which", MASKS)
def test_the_method_would_say_the_same(name, which):
    size = (48, 64)
    mask = masks.make(MASKS[which], size)
    card = get_card(name)
    kspace = torch.randn(1, 4, *size, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    pattern = torch.from_numpy(mask.mask)

    def judged():
        requirements.check(card, 4, mask)

    def tried():
        maps = recon.coils.sensitivity_maps(kspace * pattern, pattern) if card.needs_maps else None
        with torch.inference_mode():
            next(iter(models.create(name, 4).stages(kspace, kspace * pattern, pattern, maps)))

    def outcome(work):
        try:
            work()
        except MRIError as error:
            return str(error)
        return ""

    assert outcome(judged).removeprefix(f"{card.title}: ") == outcome(tried)
    assert bool(outcome(judged)) == (which in REFUSED[name])


REFUSED = {
    "grappa": ("random", "no centre", "narrow", "points"),
    "cs-tv": ("no centre", "narrow"),
    "cg-sense": ("no centre", "narrow"),
    "e2e-varnet-compact": ("no centre",),
}


@pytest.mark.parametrize("name", ["grappa", "cs-tv", "pcrnn-s"])
def test_one_coil_is_too_few_for_parallel_imaging_alone(name):
    full = SamplingMask(np.ones((1, 32), bool), 32)
    if name == "grappa":
        with pytest.raises(MRIError, match=r"GRAPPA needs several coils, the data has one; choose CS-TV \(cs-tv\)"):
            requirements.check(get_card(name), 1, full)
    else:
        requirements.check(get_card(name), 1, full)


@pytest.mark.parametrize("name", ["cs-tv", "cs-wavelet", "cs-bart", "vn"])
def test_one_coil_needs_no_calibration_lines(name):
    card, mask = get_card(name), masks.make(MASKS["no centre"], (48, 64))
    requirements.check(card, 1, mask)
    with pytest.raises(MRIError, match="at least 4 fully sampled lines"):
        requirements.check(card, 2, mask)


def test_nothing_is_read_where_the_mask_does_not_fit(monkeypatch, tmp_path):
    spec = PhantomSpec(n_coils=4, matrix=(32, 32), n_slices=1)
    (series,) = recon.open_study(write_phantom(tmp_path / "phantom.h5", spec)).series
    monkeypatch.setattr(type(series), "read", lambda *_: pytest.fail("a slice was read"))
    request = recon.Request(model="grappa", mask=MaskSpec("gaussian-2d", acceleration=2, seed=1))
    with pytest.raises(MRIError, match="single points"):
        next(recon.reconstruct(series, request))


def test_it_needs_no_torch():
    code = "import recon.models.requirements, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


LINES = {"mask_kinds": ["random", "equispaced-fraction"], "accelerations": [4, 8]}


@pytest.mark.parametrize(
    ("spec", "training", "said"),
    [
        (MaskSpec("random", 4, seed=1), LINES, ""),
        (MaskSpec("magic", 8, seed=1), LINES, ""),
        (MaskSpec("none"), LINES, ""),
        (MaskSpec("poisson-2d", 6, seed=1), LINES, "random, equispaced-fraction at 4× and 8×, and here single points"),
        (MaskSpec("equispaced-fraction", 16, 0.02, seed=1), LINES, "and this sampling is 16×"),
        (MaskSpec("poisson-2d", 6, seed=1), {**LINES, "mask_kinds": ["poisson-2d"]}, ""),
        (MaskSpec("poisson-2d", 6, seed=1), {"mask_kinds": 3, "accelerations": "?"}, ""),
        (MaskSpec("poisson-2d", 6, seed=1), None, ""),
    ],
)
def test_sampling_unlike_that_of_the_training_is_said(spec, training, said):
    found = requirements.doubts(get_card("pcrnn-s"), 4, masks.make(spec, (128, 128)), training)
    assert len(found) == bool(said)
    assert said in "".join(found)


def test_fewer_coils_than_missing_lines_are_said():
    mask = masks.make(MaskSpec("equispaced", 4, seed=1), (128, 128))
    grappa = get_card("grappa")
    assert requirements.doubts(grappa, 4, mask) == []
    (said,) = requirements.doubts(grappa, 2, mask)
    assert "2 coils and lines 4 steps apart" in said
    assert requirements.doubts(get_card("cg-sense"), 2, mask) == []


def test_a_run_warns_of_what_its_weights_never_saw():
    series = recon.open_study(Path(__file__).parents[3] / "resources/demo/derived_brain_4ch.h5").series[0]
    request = recon.Request("pcrnn-s", MaskSpec("gaussian-2d", 6, seed=1), coils=1, device="cpu")
    assert any("may be worse than the zero-filled image" in one for one in recon.run(series, request).warnings)


def test_few_calibration_lines_are_warned_of():
    mask = masks.make(MaskSpec("random", acceleration=8, center_fraction=5 / 64, seed=1), (48, 64))
    few = SamplingMask(np.isin(np.arange(64), [3, 20, 30, 31, 32, 33, 34, 50])[None], 5)
    for card, joins_coils in (("cs-tv", False), ("vn", False), ("pcrnn-s", True)):
        requirements.check(get_card(card), 4, few, joins_coils=joins_coils)
        found = requirements.doubts(get_card(card), 4, few, joins_coils=joins_coils)
        assert len(found) == 1 and found[0].startswith("5 calibration lines are few")
        assert requirements.doubts(get_card(card), 1, few, joins_coils=joins_coils) == []
    assert requirements.doubts(get_card("pcrnn-s"), 4, mask) == []


def test_walshs_maps_need_more_lines_and_say_so_before_the_start(tmp_path):
    spec = PhantomSpec(n_coils=4, matrix=(64, 64), n_slices=1)
    (series,) = recon.open_study(write_phantom(tmp_path / "phantom.h5", spec)).series
    lines = np.arange(64) % 4 == 0
    lines[29:35] = False
    lines[30:35] = True
    np.save(tmp_path / "five.npy", lines)
    mask = MaskSpec(f"file:{tmp_path / 'five.npy'}")
    for maps, is_refused in (("espirit", False), ("walsh", True)):
        request = recon.Request(model="cg-sense", mask=mask, maps=maps, device="cpu")
        if is_refused:
            with pytest.raises(MRIError, match="at least 6 fully sampled lines"):
                pipeline.Plan(series, request)
        else:
            recon.run(series, request)
