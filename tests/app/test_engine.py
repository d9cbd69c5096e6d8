"""The door to the reconstruction core, with the core behind it."""

import math

import h5py
import numpy as np
import pytest
import torch

import recon
from app import engine
from app.presenters.words import score_text
from app.session import Session
from recon import phantom
from recon.errors import FileError


@pytest.fixture
def scan(tmp_path):
    """Give a scan of three slices whose second cannot be used."""
    spec = phantom.PhantomSpec(n_slices=3, n_coils=2, matrix=(48, 40), fov_mm=(240.0, 200.0))
    path = phantom.write(tmp_path / "scan.h5", spec)
    with h5py.File(path, "r+") as file:
        file["kspace"][1, 0, 3, 3] = np.nan
        del file["reconstruction_rss"]  # so that the reference of that slice is not a number either
    return path


def test_the_window_is_told_of_a_slice_that_was_left_out(scan, tmp_path, qtbot):
    session = Session(tmp_path / "settings.json")
    said, running = [], []
    session.message.connect(lambda message: said.append((message.level, message.text)))
    session.job_changed.connect(lambda: running.append(session.runner.place))
    session.start()
    try:
        session.open(scan)
        qtbot.waitUntil(lambda: session.mask is not None and bool(session.models), timeout=60_000)
        session.set_request(model="zero-filled")
        with qtbot.waitSignal(session.job_finished, timeout=60_000):
            session.reconstruct("volume")
        assert session.results[-1].finished == (0, 2)
        # As the window counts, and once.
        left_out = [text for level, text in said if level == "warning"]
        assert len(left_out) == 1 and left_out[0].startswith("Slice 2 was left out: it holds 1 of ")
        assert session.results[-1].remarks == tuple(left_out)
        assert all("slice 2 of" not in place for place in running)
    finally:
        session.close()


def test_a_run_leaves_out_a_slice_that_cannot_be_used_and_scores_the_others(scan):
    series = recon.open_study(scan).series[0]
    run = engine.Run(series, recon.Request("zero-filled", device="cpu"))
    scorer = engine.Scorer(series, range(3))
    with torch.inference_mode():
        scores = {stage.slice_index: scorer(stage) for stage in run.stream() if stage.is_final}
    assert sorted(scores) == [0, 2]
    assert run.reconstruction.indices == (0, 2)
    left_out = run.reconstruction.left_out
    assert list(left_out) == [1] and left_out[1].startswith("it holds 1 of ")
    assert f"slice 1 (counted from 0) was left out: {left_out[1]}" in run.reconstruction.warnings
    # One data range for both, that of the slices that there are.
    for place, index in enumerate((0, 2)):
        assert np.isclose(scores[index]["psnr"], run.reconstruction.metrics["psnr"]["slices"][place], atol=1e-3)


def test_a_slice_too_small_for_ssim_has_the_other_scores():
    reference = np.arange(1, 61, dtype=np.float32).reshape(6, 10)
    scores = engine.score(reference, 0.9 * reference)
    assert math.isnan(scores["ssim"])
    assert scores["nmse"] == pytest.approx(0.01, rel=1e-4)
    assert engine.score(np.zeros((6, 10), np.float32), reference) is None


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_slice_that_overflows_is_said_before_anything_runs_and_has_no_scores(scan, tmp_path, qtbot):
    with h5py.File(scan, "r+") as file:
        file["kspace"][1, 0, 3, 3] = 0
        file["kspace"][1, 0, 24, 20] = 1e37  # finite, and beyond single precision once it is squared
    session = Session(tmp_path / "settings.json")
    said = []
    session.message.connect(lambda message: said.append((message.level, message.text)))
    session.start()
    try:
        session.open(scan)
        qtbot.waitUntil(lambda: bool(session.previews.problem), timeout=60_000)
        assert session.preview is None
        assert session.previews.problem.startswith("slice 2 holds k-space values so large that its image overflows")
        assert any(level == "error" and "overflows" in text for level, text in said)
    finally:
        session.close()


def test_a_slice_that_cannot_be_used_has_no_thumbnail(scan):
    series = recon.open_study(scan).series[0]
    with pytest.raises(FileError, match=r"slice 1 \(counted from 0\) has no finite image"):
        engine.thumbnail(series)


def test_only_an_equal_image_has_infinite_scores():
    assert [score_text({"psnr": psnr}) for psnr in (math.inf, 31.24, -math.inf)] == ["∞ dB", "31.2 dB", "-inf dB"]
