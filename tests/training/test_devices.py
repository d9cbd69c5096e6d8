"""Many processes, batches in portions, recomputed activations: other ways to the same weights."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from app import cli
from recon import models, phantom
from recon.errors import DeviceError, RequestError
from recon.weights import read_header
from training import checkpoints, cluster, devices, events
from training.config import TrainingConfig
from training.devices import Devices, choose_devices
from training.loader import share_of_stream
from training.module import ReconstructionTask
from training.publish import publish_run
from training.run import main

ROOT = Path(__file__).resolve().parents[2]
STARTERS = ("TORCHELASTIC", "SLURM_", "LOCAL_", "RANK", "WORLD_SIZE", "NODE_RANK", "MASTER_")


@pytest.fixture(autouse=True)
def nobody_started_this(monkeypatch):
    for name in list(os.environ):
        if name.startswith(STARTERS):
            monkeypatch.delenv(name)


@pytest.fixture
def n_gpus(monkeypatch):
    def have(number):
        monkeypatch.setattr("torch.cuda.is_available", lambda: number > 0)
        monkeypatch.setattr("torch.cuda.device_count", lambda: number)

    return have


def weights(run):
    return {name: value for name, value in checkpoints.read(run)["state_dict"].items() if value.is_floating_point()}


def assert_same_weights(one, two, tolerance):
    # The last bias only shifts the mean, which data consistency sets to the measured one: its gradient is rounding, and
    # Adam makes full steps of that.
    for name, value in weights(one).items():
        if not name.endswith("refine.layers.6.bias"):
            torch.testing.assert_close(value, weights(two)[name], rtol=0, atol=tolerance, msg=name)


@pytest.fixture(scope="module")
def whole_batches(tiny_recipe, tmp_path_factory):
    """One process, four samples at a time, two epochs of two steps."""
    run = tmp_path_factory.mktemp("whole") / "run"
    main(str(tiny_recipe), run, settings=["batch_size=4", "samples_per_epoch=8", "sizes=[32,48]"], devices="cpu")
    return run


def test_batches_in_portions_give_the_same_weights(tiny_recipe, whole_batches, tmp_path):
    settings = ["batch_size=2", "accumulate=2", "samples_per_epoch=8", "sizes=[32,48]", "checkpointing=true"]
    main(str(tiny_recipe), tmp_path / "run", settings=settings, devices="cpu")
    before = ReconstructionTask(checkpoint_config(whole_batches)).state_dict()
    moved = max(float((value - before[name]).abs().max()) for name, value in weights(whole_batches).items())
    assert moved > 1e-3
    assert_same_weights(tmp_path / "run", whole_batches, 1e-6)


def checkpoint_config(run):
    return checkpoints.changed_recipe(checkpoints.read(run), {}, 1)


@pytest.mark.slow
@pytest.mark.parametrize("starter", ["lightning", "torchrun", "slurm"])
def test_two_processes_give_the_weights_of_one_with_twice_the_batch(tiny_recipe, whole_batches, tmp_path, starter):
    run = tmp_path / "run"
    words = ["train", str(tiny_recipe), "--set", "batch_size=2", "--set", "samples_per_epoch=8", "--set"]
    words += ["sizes=[32,48]", "--out", str(run), "--quiet"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    program = ["-m", "app.cli", *words]
    if starter == "lightning":
        started = [subprocess.Popen([sys.executable, *program, "--devices", "cpu:2"], env=environment, cwd=ROOT)]
    elif starter == "torchrun":
        torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", free_port()]
        command = [sys.executable, *torchrun, *program, "--devices", "cpu", "--nodes", "1"]
        started = [subprocess.Popen(command, env=environment, cwd=ROOT)]
    else:
        environment |= {
            "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "1", "SLURM_NNODES": "1",
            "SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "train", "SLURM_NODELIST": "localhost", "SLURM_NODEID": "0",
            "MASTER_PORT": free_port(),
        }  # fmt: skip
        started = [
            subprocess.Popen(
                [sys.executable, *program, "--devices", "cpu"],
                env=environment | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)},
                cwd=ROOT,
            )
            for rank in (0, 1)
        ]
    assert [process.wait(580) for process in started] == [0] * len(started)
    assert_same_weights(run, whole_batches, 1e-6)
    scores, alone = (
        [event for _, event in events.read_lines(folder / "events.jsonl") if event["event"] == "validation"]
        for folder in (run, whole_batches)
    )
    assert [event["step"] for event in scores] == [2, 4]
    for one, two in zip(scores, alone, strict=True):
        for name in ("loss", "psnr", "ssim", "nmse", "zero_filled_psnr"):
            assert one[name] == pytest.approx(two[name], rel=1e-4)


@pytest.mark.slow
def test_two_processes_end_together_and_go_on(tiny_recipe, whole_batches, tmp_path):
    run = tmp_path / "run"
    words = ["train", str(tiny_recipe), "--set", "batch_size=2", "--set", "samples_per_epoch=8", "--set"]
    words += ["sizes=[32,48]", "--devices", "cpu:2", "--out", str(run)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    script = (
        "import os, signal, sys\nfrom app import cli\nfrom training import events\nwrite = events.EventLog.write\n"
        "def press(self, event):\n    write(self, event)\n"
        "    if event['event'] == 'start':\n        os.kill(os.getpid(), signal.SIGTERM)\n"
        "events.EventLog.write = press\nsys.exit(cli.main(sys.argv[1:]))"
    )
    path = tmp_path / "script.py"
    path.write_text(script)
    # The signal comes before the first step: too early to keep anything, so it simply ends the program.
    assert subprocess.run([sys.executable, path, *words], env=environment, timeout=580).returncode == -signal.SIGTERM
    path.write_text(
        script.replace("'start'", "'step'").replace(
            "events.EventLog.write =", "events.EVERY_SECONDS = 0\nevents.EventLog.write ="
        )
    )
    done = subprocess.run([sys.executable, path, *words], env=environment, timeout=580, capture_output=True, text=True)
    assert done.returncode == 130, done.stderr
    assert done.stderr.count("go on with: mri-workstation train --resume") == 1
    assert 1 <= checkpoints.read(run)["global_step"] <= 3
    assert cli.main(["train", "--resume", "--out", str(run), "--set", "batch_size=4", "--devices", "cpu"]) == 0
    assert_same_weights(run, whole_batches, 1e-6)


@pytest.mark.slow
def test_what_any_process_left_out_is_counted(tmp_path):
    """A damaged volume that the second process validates; the first writes the log and the card."""
    data = tmp_path / "data"
    for name in ("train/a", "val/b", "val/c"):
        spec = phantom.PhantomSpec(n_slices=1, n_coils=2, matrix=(32, 32))
        with h5py.File(phantom.write(data / f"{name}.h5", spec), "r+") as file:
            file.attrs["patient_id"] = name
            if name == "val/c":
                file["kspace"][:] = np.nan
    words = ["train", "pcrnn-quick", "--set", "images=", "--set", f"kspace={data}", "--set", "model=pcrnn-4x-1x"]
    words += ["--set", "overrides={widths = [4, 4], refine_width = 4, n_iterations = 1}", "--set", "minutes=0"]
    words += ["--set", "samples_per_epoch=4", "--set", "epochs=1", "--set", "n_coils=2", "--set", "validation_slices=1"]
    words += ["--devices", "cpu:2", "--out", str(tmp_path / "run"), "--quiet"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "app.cli", *words], env=environment, cwd=ROOT, timeout=580, check=True)
    told = [event for _, event in events.read_lines(tmp_path / "run" / "events.jsonl")]
    assert [Path(event["path"]).name for event in told if event["event"] == "skipped"] == ["c.h5"]
    story = read_header(next((tmp_path / "run").glob("*.safetensors"))).story
    assert story["data"]["skipped"] == {"files": 1, "slices": 1}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.parametrize(("size", "accumulate", "n_processes"), [(4, 1, 1), (2, 2, 1), (2, 1, 2), (1, 2, 2), (1, 1, 4)])
def test_a_step_takes_the_same_samples_however_it_is_cut(size, accumulate, n_processes):
    config = TrainingConfig(batch_size=size, accumulate=accumulate)
    shares = [share_of_stream(config, 20, 3, n_processes, rank) for rank in range(n_processes)]
    assert {len(share) for share in shares} == {3 * accumulate}
    for step in range(3):
        own = slice(step * accumulate, (step + 1) * accumulate)
        numbers = sorted(number for share in shares for batch in share[own] for number in batch)
        assert numbers == list(range(20 + 4 * step, 24 + 4 * step))


@pytest.mark.parametrize(
    ("text", "gpus", "expected"),
    [
        ("auto", 0, Devices("cpu", 1)),
        ("auto", 4, Devices("gpu", 1)),
        ("cpu", 4, Devices("cpu", 1)),
        ("cpu:3", 4, Devices("cpu", 3)),
        ("4", 4, Devices("gpu", 4)),
        ("2", 1, "this machine has 1; use --devices 1"),
        ("1", 0, "no CUDA device; use --devices cpu"),
    ],
)
def test_devices_of_one_machine(n_gpus, text, gpus, expected):
    n_gpus(gpus)
    if isinstance(expected, Devices):
        assert choose_devices(text) == expected
    else:
        with pytest.raises(DeviceError, match=expected):
            choose_devices(text)


def test_processes_that_others_started(monkeypatch, n_gpus):
    n_gpus(4)
    with pytest.raises(RequestError, match="on 2 machines has to be started on each"):
        choose_devices("auto", 2)
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("WORLD_SIZE", "8"), ("LOCAL_WORLD_SIZE", "4"), ("RANK", "5")):
        monkeypatch.setenv(name, value)
    assert choose_devices("auto") == choose_devices("4", 2) == Devices("gpu", 4, 2, True)
    assert choose_devices("cpu").accelerator == "cpu"
    assert choose_devices("auto").n_processes == 8
    assert cluster.process_number() == 5
    with pytest.raises(RequestError, match="4 processes were started here"):
        choose_devices("2")
    with pytest.raises(RequestError, match="started on 2"):
        choose_devices("auto", 3)


@pytest.mark.parametrize("text", ["0", "-1", "cuda", "cpu:", "cpu:0", "1.5", "cpu:x"])
def test_what_is_no_number_of_devices_is_refused(text, capsys):
    with pytest.raises(SystemExit):
        cli.parse(["train", "oucr-quick", "--devices", text])
    assert "is no number of devices" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.parse(["train", "oucr-quick", "--nodes", "0"])


def test_a_recipe_or_a_run_has_to_be_named(capsys):
    assert cli.main(["train"]) == 2
    assert cli.main(["train", "--resume"]) == 2
    assert "name a recipe" in capsys.readouterr().err


def test_tf32_is_asked_for_and_given_back():
    def flags():
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before = flags()
    for precision, allowed in (("tf32", True), ("fp32", False), ("bf16", False)):
        with devices.products(precision):
            assert flags() == (allowed, allowed)
    assert flags() == before


def test_recomputed_activations_are_a_matter_of_the_run_alone():
    task = ReconstructionTask(TrainingConfig("pcrnn-4x-1x", 1, checkpointing=True))
    assert task.model.parameters_.checkpointing
    assert not task.best_model.parameters_.checkpointing
    assert models.create("unet-fastmri", 1).n_parameters
    with pytest.raises(RequestError, match="unet-fastmri cannot compute activations again"):
        ReconstructionTask(TrainingConfig("unet-fastmri", 1, checkpointing=True))


@pytest.mark.parametrize(("metric", "scores"), [("psnr", [30, 32, 31, 29, 33]), ("nmse", [0.3, 0.1, 0.2, 0.4, 0.05])])
def test_patience_ends_a_run_with_its_best_weights(tiny_recipe, tmp_path, monkeypatch, metric, scores):
    run, given = tmp_path / "run", iter(scores)
    score = ReconstructionTask.on_validation_epoch_end

    def pretend(task):
        score(task)
        task.scores[metric] = float(next(given))

    monkeypatch.setattr(ReconstructionTask, "on_validation_epoch_end", pretend)
    settings = ["samples_per_epoch=1", "epochs=9", "patience=2", f"best_metric={metric}"]
    published = main(str(tiny_recipe), run, settings=settings, devices="cpu")
    best, last = checkpoints.read(run, "best.ckpt"), checkpoints.read(run)
    assert (best["global_step"], last["global_step"]) == (2, 4)
    assert best["best"] == scores[1]
    loaded = models.load(str(published)).state_dict()
    for name, value in loaded.items():
        torch.testing.assert_close(value, best["state_dict"][f"averaged.module.{name}"], rtol=2e-3, atol=1e-4)
    # Published again, by the window or by hand, it is the same.
    again, before = read_header(publish_run(run, tmp_path / "again.safetensors")), read_header(published)
    assert (again.sha256, again.story["steps"], again.story["validation"]) == (
        before.sha256,
        2,
        before.story["validation"],
    )
    # What has been waited for in vain is not trained on.
    assert main(None, run, resume=True, devices="cpu") == published
    assert checkpoints.read(run)["global_step"] == 4


def test_a_preview_shows_zero_filled_output_and_reference(whole_batches):
    found = [event for _, event in events.read_lines(whole_batches / "events.jsonl") if event["event"] == "preview"]
    assert [event["step"] for event in found] == [2, 4]
    with Image.open(whole_batches / found[0]["image"]) as picture:
        panels = np.asarray(picture).astype(float)
    assert panels.shape == (40, 3 * 40 + 2 * 2)
    reference = panels[:, -40:]
    assert reference[18:22, 18:22].mean() > 100 > 20 > reference[:3, :3].mean()
