"""Events on a terminal, in a pipe and in TensorBoard; and what a resumed run makes of those that it repeats."""

from __future__ import annotations

import json
import re
import sys
import types

import numpy as np
import pytest
from PIL import Image

from app import cli, progress
from app.commands import train as command
from recon.errors import MissingPackageError
from training import checkpoints, previews
from training.config import read_config
from training.events import EventLog, read_lines
from training.tensorboard import TensorBoard


def train(recipe, out, *more):
    words = ["train", str(recipe), "--set", "epochs=1", "--set", "samples_per_epoch=2", "--devices", "cpu"]
    return cli.main([*words, "--out", str(out), *more])


def test_a_pipe_gets_the_weights_and_nothing_else(tiny_recipe, tmp_path, capsys):
    assert train(tiny_recipe, tmp_path / "run") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    first, *others = captured.out.splitlines()
    assert re.sub(r"\d+\.\d+", "1", first) == (
        "validation of these weights: PSNR 1 dB (zero-filled 1), SSIM 1 (zero-filled 1)"
    )
    assert [line.split(":")[0] for line in others] == ["weights", "use them"]
    assert train(tiny_recipe, tmp_path / "quiet", "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_programs_get_lines_of_json(tiny_recipe, tmp_path, capsys):
    assert train(tiny_recipe, tmp_path / "run", "--json") == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = [event["event"] for event in printed]
    # However short an epoch is, its steps are reported.
    assert kinds == ["start", "data", "checkpoint", "step", "preview", "validation", "checkpoint", "done", "published"]
    assert printed == [event for _, event in read_lines(tmp_path / "run" / "events.jsonl")]
    assert printed[3]["samples_per_second"] > 0 and printed[3]["learning_rate"] > 0
    scores = printed[5]
    assert {
        "loss",
        "psnr",
        "ssim",
        "nmse",
        "zero_filled_psnr",
        "zero_filled_ssim",
        "samples_per_second",
        "memory_gb",
        "seconds",
        "eta_seconds",
    } <= scores.keys()
    assert scores["share"] == 1 and scores["eta_seconds"] == 0
    assert 0 < scores["zero_filled_ssim"] < 1
    assert printed[0]["epoch_steps"] == scores["step"]


def test_the_rate_is_the_recipe_s_whatever_share_a_layer_has(tiny_recipe, tmp_path):
    assert (
        train(tiny_recipe, tmp_path / "run", "--quiet", "--set", "fan_in_reference=1", "--set", "warmup_share=0") == 0
    )
    found = {event["event"]: event for _, event in read_lines(tmp_path / "run" / "events.jsonl")}
    rate = read_config(tiny_recipe).learning_rate
    assert 0.009 * rate < found["step"]["learning_rate"] <= rate
    groups = checkpoints.read(tmp_path / "run")["optimizer_states"][0]["param_groups"]
    assert groups[0]["rate_share"] < 0.1
    assert found["step"]["learning_rate"] == pytest.approx(groups[0]["lr"] / groups[0]["rate_share"])


def test_a_terminal_gets_a_bar_and_the_names_of_skipped_files(capsys):
    drawn = []
    bar = progress.Progress(False)
    bar.update = lambda text, share: drawn.append((text, share))
    show = command._show(bar, quiet=False)
    show({"event": "skipped", "path": "a.h5", "reason": "cannot be read."})
    show({"event": "step", "loss": 0.25, "samples_per_second": 3.5, "share": 0.1})
    show({"event": "validation", "loss": 0.2, "psnr": 31.234, "share": 0.2})
    show({"event": "checkpoint", "step": 3})
    assert drawn == [("loss 0.2500, 3.50 samples/s", 0.1), ("loss 0.2000, 31.23 dB, 3.50 samples/s", 0.2)]
    assert capsys.readouterr().err == "skipped a.h5: cannot be read.\n"
    command._show(bar, quiet=True)({"event": "skipped", "path": "a.h5", "reason": "cannot be read."})
    assert capsys.readouterr().err == ""


def test_a_log_gets_a_line_a_minute_on_request(tiny_recipe, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress._Lines, "_SECONDS_BEFORE", 0.0)
    assert train(tiny_recipe, tmp_path / "silent") == 0
    assert capsys.readouterr().err == ""
    assert train(tiny_recipe, tmp_path / "run", "-v") == 0
    line = capsys.readouterr().err
    assert re.search(r"(?m)^\d+ %, step \d+, loss \d\.\d{4}, \d+\.\d\d samples/s$", line)
    assert train(tiny_recipe, tmp_path / "json", "--json") == 0
    assert capsys.readouterr().err == ""


def test_a_line_says_how_far_the_network_is_from_zero_filled():
    drawn = []
    bar = progress.Progress(False)
    bar.update = lambda text, share: drawn.append((text, share))
    show = command._show(bar, quiet=False)
    show({"event": "validation", "step": 340, "psnr": 31.42, "zero_filled_psnr": 28.274, "share": 0.1})
    show({"event": "step", "step": 350, "loss": 0.03124, "share": 0.12})
    assert drawn[-1] == ("step 350, loss 0.0312, 31.42 dB (zero-filled 28.27)", 0.12)


def test_events_of_steps_that_are_repeated_are_dropped(tmp_path):
    log = EventLog(tmp_path)
    for step in range(1, 5):
        log.write({"event": "step", "step": step})
    log.write({"event": "data", "kspace": "measured"})
    with log.path.open("a") as file:
        file.write('{"event": "step", "st')
    EventLog(tmp_path, is_first=False).restore({"global_step": 0})
    assert len(read_lines(log.path)) == 5
    log.restore({"global_step": 2, "events": {"epoch": [1.5, 3.0]}})
    log.write({"event": "step", "step": 3})
    assert [event.get("step") for _, event in read_lines(log.path)] == [1, 2, None, 3]
    assert log.state() == {"epoch": [1.5, 3.0], "skipped": {}}


def test_what_was_left_out_is_known_after_a_resume_and_told_once(tmp_path):
    log = EventLog(tmp_path)
    log.skip([("a.h5", "slice 2 holds NaN.", 2), ("a.h5", "slice 3 holds NaN.", 3), ("b.h5", "is empty.", None)])
    later = EventLog(tmp_path)
    later.restore({"global_step": 9, "events": log.state()})
    later.data_story = lambda: {"files": sorted(later.skipped), "slices": sorted(later.slices["a.h5"])}
    later.tell_data()
    later.skip([("b.h5", "is empty.", None), ("a.h5", "slice 2 holds NaN.", 2)])
    later.tell_data()
    later.skip([("a.h5", "slice 0 holds NaN.", 0)])
    later.tell_data()
    events = [event for _, event in read_lines(log.path)]
    assert [(event["path"], event["n_skipped"]) for event in events if event["event"] == "skipped"] == [
        ("a.h5", 1),
        ("b.h5", 2),
    ]
    told = [event for event in events if event["event"] == "data"]
    assert [event["slices"] for event in told] == [[2, 3], [0, 2, 3]]
    assert told[0]["files"] == ["a.h5", "b.h5"]


def test_a_preview_of_nothing_is_black(tmp_path):
    nothing = np.zeros((4, 3), dtype=np.float32)
    damaged = np.array([[np.nan, np.inf, -1.0]] * 4, dtype=np.float32)
    name = previews.write(tmp_path, 12, nothing, damaged, nothing)
    assert name == "previews/step_0000012.png"
    with Image.open(tmp_path / name) as picture:
        panels = np.asarray(picture)
    assert panels[:, :3].max() == panels[:, -3:].max() == 0
    assert panels[0, 5:8].tolist() == [0, 255, 0]


class Writer:
    """Stands in for TensorBoard's."""

    def __init__(self, folder, purge_step=None):
        self.folder, self.purge_step, self.scalars, self.images, self.is_open = folder, purge_step, [], [], True
        Writer.latest = self

    def add_scalar(self, name, value, step):
        self.scalars.append((name, step))

    def add_image(self, name, image, step, dataformats):
        self.images.append((name, image.shape, step, dataformats))

    def flush(self):
        pass

    def close(self):
        self.is_open = False


def test_tensorboard_gets_curves_and_pictures(tiny_recipe, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=Writer))
    run = tmp_path / "run"
    assert train(tiny_recipe, run, "--tensorboard", "--quiet") == 0
    writer = Writer.latest
    assert (writer.folder, writer.purge_step, writer.is_open) == (str(run / "tensorboard"), None, False)
    names = {name for name, step in writer.scalars if step == 2}
    assert {"validation/psnr", "validation/ssim", "validation/nmse", "validation/loss"} <= names
    assert not names & {"validation/step", "validation/time"}
    assert writer.images == [(previews.TITLE, (40, 124), 2, "HW")]
    words = [
        "train",
        "--resume",
        "--force",
        "--set",
        "epochs=2",
        "--out",
        str(run),
        "--devices",
        "cpu",
        "--tensorboard",
    ]
    assert cli.main([*words, "--quiet"]) == 0
    assert Writer.latest.purge_step == 3


def test_a_missing_tensorboard_is_named(tiny_recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'mri-workstation\[tensorboard\]'"):
        TensorBoard(tmp_path)
    assert train(tiny_recipe, tmp_path / "run", "--tensorboard") == 1
    assert "mri-workstation[tensorboard]" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
