"""A run that was broken off goes on as if it had not been, or says why it cannot."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from app import cli
from recon.errors import DeviceError, ExportError, FileError, RequestError
from training import checkpoints, events
from training.interruption import Stopped
from training.publish import publish_run
from training.run import main

ROOT = Path(__file__).resolve().parents[2]
KILLED = """
import os, signal, sys, torch
from pathlib import Path
from training import events
from training.run import main
torch.set_num_threads(1)
events.EVERY_SECONDS = 0
def report(event):
    if event["event"] == "step" and event["step"] == 10:
        os.kill(os.getpid(), signal.SIGKILL)
main(sys.argv[1], Path(sys.argv[2]), settings=["checkpoint_steps=4"], devices="cpu", report=report)
"""
# What the end of a SLURM job does, or `timeout`: the processes that load are told too.
ENDED = KILLED.replace("os.kill(os.getpid(), signal.SIGKILL)", "os.killpg(0, signal.SIGTERM)")


@pytest.fixture(autouse=True)
def every_step(monkeypatch):
    """Report each step, and sum in one order."""
    monkeypatch.setattr(events, "EVERY_SECONDS", 0)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="module")
def unbroken(tiny_recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "EVERY_SECONDS", 0)
        n_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        main(str(tiny_recipe), folder, devices="cpu")
        torch.set_num_threads(n_threads)
    return folder


def read_events(folder, kind):
    return [event for _, event in events.read_lines(folder / "events.jsonl") if event["event"] == kind]


def curve(folder):
    keys = ("step", "epoch", "loss", "learning_rate", "psnr", "ssim", "nmse")
    kinds = ("step", "validation")
    return [[event.get(key) for key in keys] for kind in kinds for event in read_events(folder, kind)]


def assert_same_run(folder, unbroken):
    assert curve(folder) == curve(unbroken)
    assert [event["step"] for event in read_events(folder, "step")] == list(range(1, 13))
    one, two = (checkpoints.read(path) for path in (folder, unbroken))
    for name, tensor in one["state_dict"].items():
        torch.testing.assert_close(tensor, two["state_dict"][name], rtol=0, atol=0)
    assert (one["global_step"], one["n_samples"]) == (two["global_step"], two["n_samples"]) == (12, 12)


def interrupt_at(kind, step, number=signal.SIGTERM):
    def report(event):
        if event["event"] == kind and event["step"] == step:
            os.kill(os.getpid(), number)

    return report


def test_a_killed_run_goes_on_exactly(tiny_recipe, unbroken, tmp_path):
    run = tmp_path / "run"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", KILLED, str(tiny_recipe), str(run)]
    assert subprocess.run(words, env=environment, timeout=500, check=False).returncode == -signal.SIGKILL
    assert checkpoints.read(run)["global_step"] == 8  # in the middle of the second epoch
    assert read_events(run, "step")[-1]["step"] == 10
    with (run / "events.jsonl").open("a") as file:
        file.write('{"event": "st')  # what a kill in mid-line leaves
    main(None, run, resume=True, devices="cpu")
    assert read_events(run, "resume")[0]["step"] == 8
    assert_same_run(run, unbroken)


@pytest.mark.parametrize("is_resumed", [False, True])
def test_two_trainings_do_not_write_into_one_folder(tiny_recipe, tmp_path, is_resumed):
    run, refused = tmp_path / "run", []

    def train_too(event):
        if event["event"] == "step" and event["step"] == 3:
            with pytest.raises(RequestError, match=rf"{run} is in use: process {os.getpid()} .*train into another"):
                main(str(tiny_recipe), run, resume=is_resumed, devices="cpu")
            refused.append(event)

    main(str(tiny_recipe), run, settings=["epochs=1", "checkpoint_steps=2"], devices="cpu", report=train_too)
    assert len(refused) == 1 and [event["step"] for event in read_events(run, "step")] == list(range(1, 7))
    assert not (run / "training.lock").exists()


def test_a_killed_loader_is_named_with_what_is_kept(tiny_recipe, tmp_path):
    run = tmp_path / "run"

    def kill(event):
        if event["event"] == "checkpoint":
            for process in multiprocessing.active_children():
                process.kill()

    # Far more samples than are loaded ahead.
    settings = ["checkpoint_steps=2", "samples_per_epoch=2000"]
    words = r"loads data was killed.*memory.*checkpoint of step \d+ is whole; go on with: .*--resume"
    with pytest.raises(DeviceError, match=words):
        main(str(tiny_recipe), run, settings=settings, devices="cpu", report=kill)


def test_a_checkpoint_that_was_removed_is_not_called_whole(tiny_recipe, tmp_path):
    run = tmp_path / "run"

    def remove(event):
        if event["event"] == "checkpoint":
            shutil.rmtree(run)

    with pytest.raises(ExportError, match=r"The checkpoint of step 2 is gone: somebody has removed it") as caught:
        main(str(tiny_recipe), run, settings=["checkpoint_steps=2"], devices="cpu", report=remove)
    assert "whole" not in str(caught.value)


def test_epochs_that_the_minutes_overrule_are_noted(tiny_recipe, tmp_path):
    settings = ["epochs=1", "minutes=0.001"]
    main(str(tiny_recipe), tmp_path / "run", settings=settings, devices="cpu")
    [note] = read_events(tmp_path / "run", "note")
    assert note["text"].startswith("the run ends after 0.001 minutes, not by epochs")


def test_a_run_that_is_asked_to_end_keeps_its_step(tiny_recipe, unbroken, tmp_path):
    run, handlers = tmp_path / "run", [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Stopped, match=r"after step 2; go on with: mri-workstation train --resume --out .*run$"):
        main(str(tiny_recipe), run, devices="cpu", report=interrupt_at("step", 2))
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert read_events(run, "stopped")[0]["step"] == checkpoints.read(run)["global_step"] == 2
    # Again, now in the validation: it is made up for before the next step.
    with pytest.raises(Stopped, match="after step 6"):
        main(None, run, resume=True, devices="cpu", report=interrupt_at("preview", 6, signal.SIGINT))
    assert not read_events(run, "validation")
    main(str(tiny_recipe), run, resume=True, devices="cpu")
    assert_same_run(run, unbroken)
    order = [(event["event"], event["step"]) for kind in ("step", "validation") for event in read_events(run, kind)]
    assert [step for kind, step in order if kind == "validation"] == [6, 12]


def test_a_signal_to_the_whole_group_keeps_the_step_too(tiny_recipe, unbroken, tmp_path):
    run = tmp_path / "run"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", ENDED, str(tiny_recipe), str(run)]
    done = subprocess.run(
        words, env=environment, timeout=500, check=False, start_new_session=True, capture_output=True, text=True
    )
    assert "training.interruption.Stopped: stopped after step 10" in done.stderr
    assert checkpoints.read(run)["global_step"] == read_events(run, "stopped")[0]["step"] == 10
    main(None, run, resume=True, devices="cpu")
    assert_same_run(run, unbroken)


def test_ctrl_c_in_a_shell_ends_with_130(tiny_recipe, tmp_path, capsys, monkeypatch):
    write = events.EventLog.write

    def write_and_press(self, event):
        write(self, event)
        interrupt_at("step", 1, signal.SIGINT)(event)

    monkeypatch.setattr(events.EventLog, "write", write_and_press)
    words = ["train", str(tiny_recipe), "--devices", "cpu", "--out", str(tmp_path / "run")]
    assert cli.main(words) == 130
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"mri-workstation: stopped after step 1; go on with: mri-workstation train --resume --out {tmp_path / 'run'}\n"
    )


def test_a_finished_run_is_published_again_without_training(unbroken, tmp_path):
    before = (unbroken / "last.ckpt").read_bytes()
    weights = main(None, unbroken, resume=True, devices="cpu")
    assert weights.parent == unbroken
    assert (unbroken / "last.ckpt").read_bytes() == before


@pytest.mark.parametrize(
    ("settings", "listed"),
    [
        (["learning_rate=1e-4"], "learning_rate: 0.003 -> 0.0001"),
        (["batch_size=2"], "batch_size: 1 -> 2"),
        (["sizes=[32,48]", "seed=5"], r"sizes: \[32\] -> \[32, 48\]; seed: 1 -> 5"),
    ],
)
def test_changes_of_the_recipe_are_listed_and_refused(unbroken, settings, listed):
    with pytest.raises(RequestError, match=rf"another recipe: {listed}.*--force"):
        main(None, unbroken, resume=True, settings=settings, devices="cpu")


def test_what_changes_nothing_but_cost_may_change(unbroken):
    checkpoint = checkpoints.read(unbroken)
    free = {"checkpointing": True, "checkpoint_steps": 7, "cache": "x"}
    assert checkpoints.changed_recipe(checkpoint, free, 1).checkpoint_steps == 7
    # The same samples in a step, in other portions.
    checkpoint["config"] |= {"batch_size": 4}
    assert checkpoints.changed_recipe(checkpoint, {"batch_size": 2, "accumulate": 2}, 1).accumulate == 2
    assert checkpoints.changed_recipe(checkpoint, {"batch_size": 2}, 2).batch_size == 2
    with pytest.raises(RequestError, match="processes: 1 -> 2"):
        checkpoints.changed_recipe(checkpoint, {}, 2)
    assert checkpoints.changed_recipe(checkpoint, {}, 2, force=True).batch_size == 4
    with pytest.raises(RequestError, match="did you mean 'seed'"):
        checkpoints.changed_recipe(checkpoint, {"sed": 2}, 1)


def test_another_network_is_refused_even_by_force(unbroken):
    with pytest.raises(RequestError, match="network is not"):
        main(None, unbroken, resume=True, settings=["n_coils=2", "epochs=3"], force=True, devices="cpu")


def test_a_checkpoint_of_an_earlier_version_resumes(tiny_recipe, unbroken, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    state = checkpoints.read(unbroken)
    for key in ("n_samples", "n_processes", "validated", "best", "n_worse", "events"):
        del state[key]
    for key in ("accumulate", "checkpointing", "patience", "best_metric"):
        del state["config"][key]
    torch.save(state, run / "last.ckpt")
    main(str(tiny_recipe), run, resume=True, settings=["epochs=3"], force=True, devices="cpu")
    assert [event["step"] for event in read_events(run, "step")] == list(range(13, 19))


def test_a_checkpoint_that_grouped_the_layers_otherwise_resumes(tiny_recipe, unbroken, tmp_path, caplog):
    run = tmp_path / "run"
    run.mkdir()
    state = checkpoints.read(unbroken)
    [whole] = state["optimizer_states"][0]["param_groups"]
    parts = [whole | {"params": whole["params"][:1]}, whole | {"params": whole["params"][1:]}]
    state["optimizer_states"][0]["param_groups"] = parts
    torch.save(state, run / "last.ckpt")
    main(str(tiny_recipe), run, resume=True, settings=["epochs=3"], force=True, devices="cpu")
    assert [event["step"] for event in read_events(run, "step")] == list(range(13, 19))
    assert "the optimiser begins anew" in caplog.text


def test_a_full_disk_leaves_the_previous_checkpoint(tiny_recipe, tmp_path, capsys):
    run = tmp_path / "run"

    def fill(event):
        if event["event"] == "step" and event["step"] == 3:
            (run / ".last.ckpt.part").symlink_to("/dev/full")

    with pytest.raises(ExportError, match=r"disk is full.*checkpoint of step 2 is whole.*--resume --out") as caught:
        main(str(tiny_recipe), run, settings=["checkpoint_steps=2"], devices="cpu", report=fill)
    assert caught.value.exit_status == 1
    assert checkpoints.read(run)["global_step"] == 2
    assert sorted(path.name for path in run.iterdir()) == ["config.json", "events.jsonl", "last.ckpt"]
    assert cli.main(["train", "--resume", "--out", str(run), "--devices", "cpu", "--json"]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (printed[0]["event"], printed[0]["step"]) == ("resume", 2)
    assert printed[-1]["event"] == "published"


def test_a_disk_that_is_full_from_the_start_is_named_and_nothing_is_left(tiny_recipe, tmp_path, monkeypatch):
    write = Path.write_text

    def refuse(path, text, *rest):
        if path.parent.name in ("run", "begun"):
            write(path, "", *rest)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, text, *rest)

    main(str(tiny_recipe), tmp_path / "begun", settings=["epochs=1"], devices="cpu")
    kept = (tmp_path / "begun" / "config.json").read_bytes()
    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(ExportError, match=r"run/config.json: .*the disk is full; free some space.*No checkpoint"):
        main(str(tiny_recipe), tmp_path / "run", devices="cpu")
    assert not (tmp_path / "run").exists()
    again = r"begun/events.jsonl: .*the disk is full; free some space.*checkpoint of step 6 is whole; go on with"
    with pytest.raises(ExportError, match=again):
        main(None, tmp_path / "begun", settings=["epochs=2"], resume=True, force=True, devices="cpu")
    assert (tmp_path / "begun" / "config.json").read_bytes() == kept
    assert not list((tmp_path / "begun").glob(".*"))


def test_events_that_find_the_disk_full_name_it(tiny_recipe, tmp_path):
    (tmp_path / "events.jsonl").symlink_to("/dev/full")
    with pytest.raises(
        ExportError, match=r"events.jsonl: could not be written: the disk is full; free .*No checkpoint"
    ):
        main(str(tiny_recipe), tmp_path, devices="cpu")


def test_beside_a_damaged_checkpoint_the_best_one_is_named(unbroken, tmp_path):
    run = tmp_path / "a run"
    shutil.copytree(unbroken, run)
    (run / "last.ckpt").write_bytes(b"garbage")
    with pytest.raises(FileError, match=r"best\.ckpt beside it is whole, of step \d+. To go on from there") as caught:
        main(None, run, resume=True, devices="cpu")
    with pytest.raises(FileError, match=r"best\.ckpt beside it is whole"):
        publish_run(run)
    subprocess.run(str(caught.value)[str(caught.value).rindex("cp ") :], shell=True, check=True)
    assert main(None, run, resume=True, devices="cpu")
    for path in run.glob("*.ckpt"):
        path.write_bytes(b"garbage")
    with pytest.raises(FileError, match="put a whole copy in its place"):
        main(None, run, resume=True)


@pytest.mark.parametrize("content", [b"garbage", b"", b"PK\x03\x04cut off"])
def test_a_damaged_checkpoint_is_named(unbroken, tmp_path, content):
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(FileError, match=r"last\.ckpt: the checkpoint cannot be read"):
        main(None, tmp_path, resume=True)
    torch.save({"weights": 1}, tmp_path / "last.ckpt")
    with pytest.raises(FileError, match="lacks config, global_step"):
        main(None, tmp_path, resume=True)
