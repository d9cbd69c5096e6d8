"""Scores of weights on scans."""

from __future__ import annotations

import pytest

import recon
from recon import models, weights
from recon.errors import RequestError
from recon.phantom import PhantomSpec
from recon.phantom import write as write_phantom
from training.score import main, score


@pytest.fixture
def network(tmp_path):
    sizes = {"width": 4, "n_cascades": 1, "n_layers": 2}
    story = {"preset": "vsnet", "n_coils": 2, "parameters": sizes}
    return weights.save(tmp_path / "vsnet.safetensors", models.create("vsnet", 2, **sizes).state_dict(), story).path


def test_a_mask_that_fails_at_one_seed_is_left_out_and_said(network, tmp_path, capsys):
    scan = write_phantom(tmp_path / "phantom.h5", PhantomSpec(n_coils=2, matrix=(64, 128), n_slices=1))
    # At 16x there are three centre lines; beside them random patterns keep a fourth now and then, and maps need four.
    rows = score(network, [scan], [4.0, 16.0])
    assert {(row["mask"], row["acceleration"]) for row in rows} == {("random", 4.0), ("equispaced-fraction", 4.0)}
    assert all(row["n"] == 5 and row["scan"] == "phantom" for row in rows)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and all("16x: VS-Net: sensitivity maps need at least 4" in line for line in said)


def test_weights_that_can_use_no_mask_are_an_error(network, tmp_path):
    scan = write_phantom(tmp_path / "phantom.h5", PhantomSpec(n_coils=2, matrix=(64, 128), n_slices=1))
    with pytest.raises(RequestError, match="at least 4"):
        score(network, [scan], [16.0])


def test_scans_need_a_reference(network, monkeypatch):
    class Bare:
        reference = None

    monkeypatch.setattr(recon, "open_study", lambda _: type("Study", (), {"series": [Bare()]})())
    with pytest.raises(recon.errors.FileError, match="has no reference"):
        score(network, [network], [4.0])


def test_joined_coils_are_scored_but_not_stored(tmp_path, capsys):
    sizes = {"width": 4, "n_pools": 1}
    story = {"preset": "unet-fastmri", "n_coils": 1, "parameters": sizes, "accelerations": [4]}
    network = weights.save(tmp_path / "one.safetensors", models.create("unet-fastmri", 1, **sizes).state_dict(), story)
    scan = write_phantom(tmp_path / "phantom.h5", PhantomSpec(n_coils=2, matrix=(64, 128), n_slices=1))
    alone, joined = score(network.path, [scan], [4.0]), score(network.path, [scan], [4.0], 0.02)
    assert [row["zero_filled_psnr"] for row in alone] == [row["zero_filled_psnr"] for row in joined]
    assert all(one["psnr"] != other["psnr"] for one, other in zip(alone, joined, strict=True))
    # As of a method with maps: at 16x some seeds leave too few lines.
    assert score(network.path, [scan], [4.0, 16.0], 0.02) == joined
    assert "U-Net (fastMRI), coils joined: sensitivity maps need at least 4" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(network.path), str(scan), "--join-coils", "--write"])
    assert "leave out --join-coils" in capsys.readouterr().err
