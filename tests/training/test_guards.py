"""Values that are not finite, and memory that does not suffice: named, with what is kept and what would do."""

from __future__ import annotations

import math

import pytest
import torch

from app import cli
from app.commands import train as command
from training import checkpoints, events, memory
from training.config import TrainingConfig
from training.guards import Guard, NotFiniteError
from training.losses import LOSSES
from training.module import ReconstructionTask
from training.run import main


def batch(n_samples, *, damaged=None):
    target = torch.ones(n_samples, 8, 8)
    if damaged is not None:
        target[damaged, 2, 2] = math.inf
    mask = torch.zeros(n_samples, 1, 1, 8, dtype=torch.bool)
    mask[..., ::4] = True
    return {"target": target, "mask": mask, "zero_filled": torch.ones(n_samples, 3, 8, 8, dtype=torch.complex64)}


def test_a_loss_that_is_not_finite_names_its_samples():
    guard = Guard()
    guard.describe = lambda number: f"volume {number % 3}"
    guard.look(0.5, batch(2), 10)
    guard.look(math.nan, batch(2, damaged=1), 12)
    with pytest.raises(NotFiniteError) as caught:
        guard.judge(7, [(math.nan, 1.0)])
    assert str(caught.value) == (
        "step 7: the loss is nan. Batch: sample 12, volume 0, mask keeps 1 of 4.0; sample 13, volume 1, mask keeps 1 "
        "of 4.0, target not finite. Take the damaged data out."
    )
    guard.forget()
    guard.look(0.5, batch(4), 20)
    with pytest.raises(
        NotFiniteError, match=r"norm of the gradient is inf. Samples 20 to 23. .*lower the learning rate"
    ):
        guard.judge(8, [(0.5, 1.0), (0.5, math.inf)])
    guard.judge(9, [(0.5, 1.0)])


def test_a_run_ends_before_its_weights_are_lost(tiny_recipe, tmp_path, monkeypatch, capsys):
    run, fine, n_calls = tmp_path / "run", LOSSES["nmse-ssim"], iter(range(100))
    monkeypatch.setitem(LOSSES, "nmse-ssim", lambda *images: fine(*images) * (torch.nan if next(n_calls) > 2 else 1))
    words = ["train", str(tiny_recipe), "--set", "checkpoint_steps=1", "--devices", "cpu", "--out", str(run)]
    assert cli.main(words) == 1
    said = capsys.readouterr().err
    assert "step 4: the loss is nan. Batch: sample 3, slice " in said
    assert f"checkpoint of step 3 is whole; go on with: mri-workstation train --resume --out {run}" in said
    state = checkpoints.read(run)
    assert state["global_step"] == 3
    assert all(bool(tensor.isfinite().all()) for tensor in state["state_dict"].values())


def pixels_that_fit(monkeypatch, n_pixels):
    """A device whose memory ends where the samples of a batch have more pixels together; twice as many recomputed."""
    compute = ReconstructionTask.batch_loss

    def batch_loss(self, samples):
        room = n_pixels * (2 if self.config.checkpointing else 1)
        if samples["target"].numel() > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return compute(self, samples)

    monkeypatch.setattr(ReconstructionTask, "batch_loss", batch_loss)


@pytest.mark.parametrize(
    ("room", "changes"),
    [
        (2 * 32**2, {"checkpointing": True}),
        (1 * 32**2, {"batch_size": 1, "accumulate": 4}),
        (32**2 // 2, {"batch_size": 1, "accumulate": 4, "checkpointing": True}),
        (1, {}),
    ],
)
def test_the_mildest_change_that_fits_is_found(monkeypatch, room, changes):
    pixels_that_fit(monkeypatch, room)
    overrides = {"widths": [4, 4], "refine_width": 4, "n_iterations": 1}
    config = TrainingConfig("pcrnn-4x-1x", 1, overrides, sizes=(32,), batch_size=4, precision="fp32")
    assert memory.find_fitting(config, lambda one: memory.step_fits(one, None, torch.device("cpu"))) == changes


def test_smaller_batches_come_first_where_nothing_can_be_recomputed(monkeypatch):
    pixels_that_fit(monkeypatch, 2 * 32**2)
    config = TrainingConfig("unet-fastmri", 1, sizes=(32,), batch_size=8, accumulate=3, precision="bf16")
    found = memory.find_fitting(config, lambda one: memory.step_fits(one, None, torch.device("cpu")))
    assert found == {"batch_size": 2, "accumulate": 12}


def test_smaller_images_come_last():
    config = TrainingConfig(sizes=(128, 320), batch_size=2)
    found = memory.find_fitting(config, lambda one: max(one.sizes) < 320)
    assert found == {"batch_size": 1, "accumulate": 2, "checkpointing": True, "sizes": [96, 240]}


def test_other_errors_are_not_taken_for_memory(monkeypatch):
    def broken(self, samples):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(ReconstructionTask, "batch_loss", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        memory.step_fits(TrainingConfig("unet-fastmri", 1, sizes=(32,)), None, torch.device("cpu"))


def test_a_run_that_does_not_fit_is_offered_one_that_does(tiny_recipe, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    pixels_that_fit(monkeypatch, 2 * 32**2)
    words = ["train", str(tiny_recipe), "--set", "batch_size=6", "--set", "epochs=1", "--devices", "cpu"]
    words += ["--out", str(run)]
    assert cli.main(words) == 1
    said = capsys.readouterr().err
    assert "a step with 6 sample(s) of 32 × 32 needs more memory than this machine has left" in said
    assert "fits: the same command and --set batch_size=2 --set accumulate=3\n" in said
    last = events.read_lines(run / "events.jsonl")[-1][1]
    assert last["offer"] == {"batch_size": 2, "accumulate": 3}
    # On a terminal it is asked, and done.
    monkeypatch.setattr(command, "_accepts", lambda *_: True)
    assert cli.main([*words, "--quiet"]) == 0
    assert checkpoints.read(run)["config"]["accumulate"] == 3


def test_what_does_not_fit_after_a_while_goes_on_from_the_checkpoint(tiny_recipe, tmp_path, monkeypatch):
    run = tmp_path / "run"
    settings = ["batch_size=2", "checkpoint_steps=1"]

    def shrink(event):
        if event["event"] == "checkpoint":
            pixels_that_fit(monkeypatch, 32**2)

    with pytest.raises(memory.OutOfMemoryError) as caught:
        main(str(tiny_recipe), run, settings=settings, devices="cpu", report=shrink)
    assert str(caught.value).endswith(f"train --resume --out {run} --set checkpointing=true")
    main(None, run, settings=["checkpointing=true"], resume=True, devices="cpu")
    assert checkpoints.read(run)["global_step"] == 6


def test_only_a_terminal_is_asked(monkeypatch, capsys):
    arguments = cli.parse(["train", "oucr-quick"])
    error = memory.OutOfMemoryError("too large", {"batch_size": 1})
    assert not command._accepts(arguments, error)
    for name in ("stdin", "stderr"):
        monkeypatch.setattr(f"sys.{name}.isatty", lambda: True)
    for answer, accepted in (("\n", True), ("Yes\n", True), ("n\n", False)):
        monkeypatch.setattr("sys.stdin.readline", lambda answer=answer: answer)
        assert command._accepts(arguments, error) is accepted
    assert "Go on like this?" in capsys.readouterr().err
