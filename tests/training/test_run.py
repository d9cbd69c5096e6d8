"""A whole run: it learns, it resumes, it publishes weights that the workstation can use."""

from __future__ import annotations

import itertools
import json
import multiprocessing

import h5py
import numpy as np
import pytest
import torch

import recon
from app import cli
from recon import models, weights
from recon.errors import FileError, MissingPackageError, RequestError
from training import campaign, predict, publish
from training.module import ReconstructionTask
from training.run import _say_loaders, count_workers, main

RECIPE = """
model = "pcrnn-4x-1x"
n_coils = 4
overrides = {widths = [12, 12], refine_width = 8, n_iterations = 2}
accelerations = [4]
sizes = [32]
samples_per_epoch = 24
epochs = 2
learning_rate = 3e-3
ema_decay = 0.5
validation_slices = 2
precision = "fp32"
"""


@pytest.fixture
def recipe(tmp_path):
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, 40) for _ in range(3)), indexing="ij")
    ball = (np.sqrt(z**2 + y**2 + x**2) < 0.8) * (1 + 0.3 * np.sin(12 * x) * np.cos(9 * y))
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file["train/ball"] = file["validation/ball"] = (ball * 200).astype(np.uint8)
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE + f'images = "{tmp_path / "images.h5"}"\n')
    return path


def events(run):
    return [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]


def test_run_resume_publish_and_use(recipe, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    reported = []
    published = main(str(recipe), run, devices="cpu", report=reported.append)
    assert capsys.readouterr() == ("", "")
    assert reported == events(run)
    assert [event["event"] for event in reported[-2:]] == ["done", "published"]
    assert reported[-1].keys() == {"time", "event", "step", "weights", "warning"}
    assert (reported[-1]["step"], reported[-1]["weights"]) == (48, str(published))
    # At one step, every event names one epoch.
    epochs = {(event["step"], event["epoch"]) for event in reported if "epoch" in event}
    assert len({step for step, _ in epochs}) == len(epochs) and {(24, 0), (48, 1)} <= epochs
    first = [event for event in events(run) if event["event"] == "validation"]
    assert [event["step"] for event in first] == [24, 48]
    assert first[-1]["psnr"] > first[-1]["zero_filled_psnr"]

    with pytest.raises(RequestError, match="holds a run already"):
        main(str(recipe), run, devices="cpu")
    with pytest.raises(RequestError, match="epochs: 2 -> 3"):
        main(str(recipe), run, resume=True, settings=["epochs=3"], devices="cpu")
    main(str(recipe), run, resume=True, settings=["epochs=3"], force=True, devices="cpu")
    resumed = [event for event in events(run) if event["event"] == "validation"]
    assert [event["step"] for event in resumed] == [24, 48, 72]

    story = weights.read_header(published).story
    assert story["preset"] == "pcrnn-4x-1x"
    assert story["steps"] == 72
    assert story["kspace"].startswith("simulated")
    assert story["recipe"]["epochs"] == 3

    monkeypatch.setenv("MRI_WORKSTATION_WEIGHTS", str(run))
    assert models.get_card("pcrnn-4x-1x").available
    scan = tmp_path / "scan.h5"
    with h5py.File(scan, "w") as file:
        rng = np.random.default_rng(0)
        file["kspace"] = (rng.standard_normal((1, 5, 32, 32)) + 1j * rng.standard_normal((1, 5, 32, 32))).astype(
            np.complex64
        )
    request = recon.Request("pcrnn-4x-1x", recon.MaskSpec("random", 4, 0.1))
    result = recon.run(recon.open_study(scan).series[0], request)
    assert result.weights_sha256 == story["sha256"]


def test_the_last_epoch_is_kept_also_when_it_is_not_the_best(recipe, tmp_path, monkeypatch):
    run, falling = tmp_path / "run", itertools.count(50, -1)
    score = ReconstructionTask.on_validation_epoch_end

    def get_worse(task):
        score(task)
        task.scores["psnr"] = float(next(falling))

    monkeypatch.setattr(ReconstructionTask, "on_validation_epoch_end", get_worse)
    main(str(recipe), run, devices="cpu")
    steps = [torch.load(run / name, weights_only=True)["global_step"] for name in ("best.ckpt", "last.ckpt")]
    assert steps == [24, 48]


def test_a_stopped_run_can_be_published(recipe, tmp_path, capsys):
    run = tmp_path / "run"
    first = main(str(recipe), run, settings=["epochs=1"], devices="cpu")
    again = publish.publish_run(run, tmp_path / "again.safetensors")
    stories = [dict(weights.read_header(path).story) for path in (first, again)]
    assert stories[0] == stories[1]
    assert stories[0]["recipe"]["images"] == "images.h5"
    assert str(tmp_path) not in str(stories[0])

    begun = main(str(recipe), tmp_path / "begun", settings=["epochs=1", f"initial_weights={first}"], devices="cpu")
    assert weights.read_header(begun).story["recipe"]["initial_weights"] == stories[0]["sha256"]

    # Nothing can be written into a file.
    assert publish.main([str(run), "--out", str(first / "in" / "x.safetensors")]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"{first / 'in' / 'x.safetensors'}: could not be written: ") and said.count("\n") == 1
    assert "a file of that name is in the way" in said or "a part of the path is a file" in said
    for wrong in ("foo.txt", str(tmp_path)):
        with pytest.raises(SystemExit) as ending:
            publish.main([str(run), "--out", wrong])
        assert ending.value.code == 2 and f"has to end in .safetensors; {wrong} does not" in capsys.readouterr().err

    (run / "last.ckpt").write_bytes(b"garbage")
    assert publish.main([str(run)]) == 2
    assert "cannot be read" in capsys.readouterr().err
    with pytest.raises(FileError, match="no checkpoint"):
        publish.publish_run(tmp_path)


def test_a_run_repeats(recipe, tmp_path):
    scores = []
    for name in ("one", "two"):
        main(str(recipe), tmp_path / name, settings=["epochs=1"], devices="cpu")
        scores.append(next(e for e in events(tmp_path / name) if e["event"] == "validation")["psnr"])
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_impossible_runs_are_refused(recipe, tmp_path):
    with pytest.raises(FileError, match="no checkpoint"):
        main(str(recipe), tmp_path / "empty", resume=True)
    with pytest.raises(RequestError, match="no training images"):
        main(str(recipe), tmp_path / "run", settings=["images="])
    with pytest.raises(FileError, match="there is no such file"):
        main(str(recipe), tmp_path / "run", settings=["images=/nowhere.h5"], devices="cpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["cs-tv", "zero-filled", "cs-bart"])
def test_a_method_without_weights_is_not_trained(recipe, tmp_path, name):
    with pytest.raises(RequestError, match="has nothing to train; choose a network"):
        main(str(recipe), tmp_path / "run", settings=[f"model={name}", "overrides={}"], devices="cpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "work",
    [
        lambda recipe, out: main(str(recipe), out, devices="cpu"),
        lambda _recipe, out: campaign.train_all([], out),
        lambda _recipe, _out: predict.run_job(None, processes=2),
    ],
)
def test_without_lightning_it_says_what_to_install(recipe, tmp_path, without_lightning, work):
    with pytest.raises(MissingPackageError, match=r"package lightning.*`pip install 'mri-workstation\[train\]'`"):
        work(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_command_without_lightning_fails_in_a_sentence(recipe, tmp_path, without_lightning, capsys):
    assert cli.main(["train", str(recipe), "--out", str(tmp_path / "run"), "--devices", "cpu"]) == 1
    assert "`pip install 'mri-workstation[train]'`" in capsys.readouterr().err


def test_what_a_loader_raises_is_one_sentence(recipe, tmp_path):
    # The centre may have no more than a tenth of 32 columns at 8x, and maps need four lines.
    settings = ["model=vsnet", "overrides={n_cascades=1, width=4}", "accelerations=[8]", "samples_per_epoch=4"]
    with pytest.raises(RequestError, match=r"^sensitivity maps need at least 4 .*found 3") as caught:
        main(str(recipe), tmp_path / "run", settings=settings, devices="cpu")
    assert "\n" not in str(caught.value)
    # As long as the error is looked at, what it left behind is alive; Python ends it so before it ends itself.
    left = multiprocessing.active_children()
    assert left or not count_workers(1)
    for process in left:
        process.terminate()
        process.join(30)
        assert process.exitcode == 0


def test_errors_of_a_loader_that_torch_cannot_rebuild_keep_their_sentence():
    text = "Caught FileError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File …\n"
    with pytest.raises(RequestError, match=r"^/a/b\.h5: is cut off: export it again\.$"):
        _say_loaders(RuntimeError(f"{text}recon.errors.FileError: /a/b.h5: is cut off: export it again.\n"))
    _say_loaders(RuntimeError(f"{text}RuntimeError: something else"))
    _say_loaders(RequestError("a sentence"))
