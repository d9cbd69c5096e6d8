"""Publishing: few bits where they do, a story that names its data, and nothing that does not reconstruct."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from recon import models, phantom, weights
from recon.errors import ModelError, RequestError
from recon.quantisation import quantise
from training import acceptance, provenance, publish, subjects
from training.config import TrainingConfig
from training.data import open_data
from training.module import ReconstructionTask

SMALL = {"widths": [12, 12], "refine_width": 8, "n_iterations": 2}


def make_config(tmp_path, **changes):
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, 40) for _ in range(3)), indexing="ij")
    ball = (np.sqrt(z**2 + y**2 + x**2) < 0.8) * (1 + 0.3 * np.sin(12 * x) * np.cos(9 * y))
    with h5py.File(tmp_path / "images.h5", "w") as file:
        for name, licence in (("train/ball", "MIT"), ("train/other", "BSD-2-Clause"), ("validation/ball", None)):
            file[name] = (ball * 200).astype(np.uint8)
            if licence:
                file[name].attrs["licence"] = licence
    values = {"model": "pcrnn-4x-1x", "overrides": SMALL, "sizes": [32], "validation_slices": 3, "ema_decay": 0.0}
    return TrainingConfig(**values | {"images": str(tmp_path / "images.h5")} | changes)


def finished(tmp_path, config):
    """A task that needs no training to be published, and its run folder."""
    run = tmp_path / "run"
    run.mkdir()
    lines = [{"event": "validation", "step": step, "psnr": 20.0 + step} for step in (3, 6)]
    (run / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"event": "st')
    return ReconstructionTask(config), run


def test_the_story_names_data_licences_and_storage(tmp_path):
    config = make_config(tmp_path)
    task, run = finished(tmp_path, config)
    path = publish.publish(task, run, 3, "a CPU")
    story = weights.read_header(path).story
    assert story["data"]["licences"] == ["BSD-2-Clause", "MIT", "not stated"]
    assert {
        source["volume"]: source["licence"] for source in story["data"]["sources"] if source["group"] == "train"
    } == {
        "ball": "MIT",
        "other": "BSD-2-Clause",
    }
    assert story["data"]["split"].startswith("by volume")
    # The scores are those of the step that is published, not of a later one.
    assert story["validation"] == {"psnr": 23.0}
    assert story["storage"]["type"] == "float16" and story["storage"]["loss_db"] <= acceptance.MOST_LOSS_DB
    assert story["storage"]["measured_on"] == "3 validation slices"
    assert "4 virtual coils, at 4x and 8x" in story["limits"]
    assert {tensor.dtype for tensor in weights.load_tensors(weights.read_header(path)).values()} == {torch.float16}
    assert [file.name for file in run.iterdir() if file.name.startswith(".")] == []


def test_weights_between_two_validations_are_scored_anew(tmp_path):
    config = make_config(tmp_path)
    task, run = finished(tmp_path, config)
    story = weights.read_header(publish.publish(task, run, 5, "a CPU")).story
    assert story["validation"].keys() == set(acceptance.SCORES)
    # Not those of step 3, which the events hold, but those that the accepted file repeats.
    assert story["validation"]["psnr"] == pytest.approx(story["storage"]["psnr"], abs=0.05) != 23.0
    task.config = replace(config, images="/nowhere.h5")
    story = weights.read_header(publish.publish(task, run, 5, "a CPU")).story
    assert story["validation"] == {} and "demo scan" in story["storage"]["measured_on"]


def test_weights_of_another_family_begin_no_network(tmp_path):
    path = publish.publish(*finished(tmp_path, make_config(tmp_path)), 3, "a CPU")
    begun = make_config(tmp_path, initial_weights=str(path))
    assert ReconstructionTask(begun).initial_sha256 == weights.read_header(path).sha256
    other = make_config(tmp_path, initial_weights=str(path), model="unet-fastmri", overrides={"width": 4})
    with pytest.raises(RequestError, match="of pcrnn-4x-1x, another family of networks than unet-fastmri"):
        ReconstructionTask(other)


@pytest.mark.parametrize(
    ("psnr", "said"),
    [
        (23.69, "it is 1.31 dB worse than zero-filled: worse than no network."),
        (25.4, "it is +0.40 dB from zero-filled: it has hardly learned."),
        (27.5, ""),
    ],
)
def test_weights_that_hardly_learned_say_so(psnr, said):
    text = provenance.limits(TrainingConfig(images="x.h5"), {"psnr": psnr, "zero_filled_psnr": 25.0}, {})
    assert said in text and ("zero-filled" in text) == bool(said)
    assert text.endswith("Research use only.")


def test_weights_that_are_worse_than_none_are_published_with_a_warning(tmp_path, capsys):
    task, run = finished(tmp_path, make_config(tmp_path))
    score = {"event": "validation", "step": 7, "psnr": 23.69, "zero_filled_psnr": 25.0}
    (run / "events.jsonl").write_text(json.dumps(score) + "\n")
    path = publish.publish(task, run, 7, "a CPU")
    assert publish.main([str(path)]) == 0
    said = capsys.readouterr().err
    assert said.startswith("warning: ") and "1.31 dB worse than zero-filled: worse than no network" in said


def test_a_licence_is_stated_by_who_trains_or_not_at_all(tmp_path):
    config = make_config(tmp_path)
    task, run = finished(tmp_path, config)

    def licence(path):
        return weights.read_header(path).story["licence"]

    path = publish.publish(task, run, 3, "a CPU")
    assert licence(path) == "not stated"
    task.config = replace(config, licence="CC-BY-4.0")
    assert licence(publish.publish(task, run, 3, "a CPU")) == "CC-BY-4.0"
    # Stored anew it keeps what it said, unless another is named.
    assert publish.main([str(path)]) == 0
    assert licence(path) == "CC-BY-4.0"
    assert publish.main([str(path), "--licence", "MIT"]) == 0
    assert licence(path) == "MIT"


def test_coils_that_no_data_filled_are_told(tmp_path):
    scores, note = (
        {"psnr": 30.0, "zero_filled_psnr": 25.0},
        "none of its training data has more than 1 coil: the others",
    )
    config = TrainingConfig(kspace=str(tmp_path / "data"), n_coils=4)
    assert f"takes 4 virtual coils, but {note} were always zero. Other" in provenance.limits(
        config, scores, {"most_coils": 1}
    )
    for filled in ({}, {"most_coils": 4}):
        assert "always zero" not in provenance.limits(config, scores, filled)
    for number, name in enumerate("ab"):
        path = tmp_path / "data" / f"{name}.h5"
        phantom.write(path, phantom.PhantomSpec(n_slices=1, n_coils=1, matrix=(48, 40), seed=number))
        with h5py.File(path, "r+") as file:
            file.attrs["patient_id"] = name
    data = open_data(config)
    assert note in data.note and data.story["most_coils"] == 1
    assert provenance.data_story(config, data.story)["most_coils"] == 1
    assert note not in open_data(replace(config, n_coils=1)).note
    # Images get as many coils as the recipe simulates.
    assert note.replace("1 coil", "16 coils") in provenance.unfilled(replace(config, n_coils=100), 16)


def test_the_card_names_few_files_and_never_a_subject():
    skipped = {"/lab/p7/leak.h5": subjects.held_out("Jane Doe"), "/lab/p8/torn.h5": "/lab/p8/torn.h5 is cut off."}
    said = provenance.left_out(skipped, {"/lab/p8/torn.h5": {3, 4}})
    assert said["skipped"] == {"files": 2, "slices": 2}
    named = [(entry["what"], entry["file"]) for entry in said["left_out"]]
    assert named == [("skipped", "leak.h5"), ("skipped 2 slices of", "torn.h5")]
    assert "a subject who validates" in said["left_out"][0]["reason"]
    assert not any(private in str(said) for private in ("Jane", "/lab"))
    many = provenance.left_out({f"{number}.h5": "is empty." for number in range(40)}, {})
    assert many == {"skipped": {"files": 40, "slices": 0}}
    assert provenance.left_out({}, {}) == {}


def test_data_out_of_reach_is_replaced_by_the_demo_scan(tmp_path):
    config = make_config(tmp_path)
    samples, what = acceptance.validation_samples(TrainingConfig(**config.to_dict() | {"images": "/nowhere.h5"}))
    assert what == "2 slices simulated from the demo scan"
    assert samples[0]["zero_filled"].shape == (4, 128, 128)
    assert provenance.data_story(TrainingConfig(images="/nowhere.h5"), {})["licences"] == ["not stated"]


def test_numbers_that_half_precision_cannot_hold_get_more(tmp_path):
    samples, _ = acceptance.validation_samples(make_config(tmp_path))
    torch.manual_seed(0)
    model = models.create("pcrnn-4x-1x", 4, **SMALL)
    _, half = acceptance.choose_storage(model, samples)
    assert half["type"] == "float16"
    # The same function, with weights beyond the range of float16 and others that undo them: ReLU lets scales pass.
    large = copy.deepcopy(model)
    with torch.no_grad():
        first, second = [layer for layer in large.refine.modules() if isinstance(layer, torch.nn.Conv2d)][:2]
        first.weight.mul_(1e7)
        first.bias.mul_(1e7)
        second.weight.div_(1e7)
    state, storage = acceptance.choose_storage(large, samples)
    assert storage["type"] in ("bfloat16", "float32")
    assert storage["psnr"] == pytest.approx(half["psnr"], abs=0.05)
    assert {value.dtype for value in state.values()} == {getattr(torch, storage["type"])}


def test_published_weights_are_stored_anew_in_bytes(tmp_path):
    config = make_config(tmp_path)
    task, run = finished(tmp_path, config)
    path = publish.publish(task, run, 3, "a CPU")
    before = weights.read_header(path)
    n_bytes = path.stat().st_size
    weights.retell(before, {**before.story, "scores": [{"scan": "of other numbers"}]})
    assert publish.main([str(path), "--bytes", "--images", str(tmp_path / "images.h5"), "--note", "smaller"]) == 0
    after = weights.read_header(path)
    assert after.story["storage"]["type"] == "int8" and after.story["storage"]["loss_db"] <= acceptance.MOST_LOSS_DB
    assert after.story["storage"]["measured_on"] == "3 validation slices"
    assert "scores" not in after.story and after.story["note"] == "smaller"
    assert after.story["recipe"] == before.story["recipe"] and after.story["data"] == before.story["data"]
    assert path.stat().st_size < 0.8 * n_bytes
    restored, original = models.load_weights(after).state_dict(), task.best_model.state_dict()
    assert all((restored[name] - value).abs().max() <= value.abs().max() / 200 for name, value in original.items())


def test_images_of_a_run_are_its_own(tmp_path, capsys):
    with pytest.raises(SystemExit) as ending:
        publish.main([str(tmp_path), "--images", "other.h5"])
    assert ending.value.code == 2 and "a run knows its images" in capsys.readouterr().err


def test_scores_leave_the_numbers_as_they_are_stored(tmp_path):
    path = publish.publish(*finished(tmp_path, make_config(tmp_path)), 3, "a CPU", in_bytes=True)
    before = weights.read_header(path)
    after = weights.retell(before, {**before.story, "scores": []})
    assert after.sha256 == before.sha256 and after.story["scores"] == []
    assert after.story["storage"]["type"] == "int8"


@pytest.mark.parametrize(
    "stored", [lambda layer: acceptance.rounded(layer, torch.float16), lambda layer: quantise(layer.state_dict())]
)
def test_counters_are_neither_rounded_nor_counted_as_learned(tmp_path, stored):
    layer = torch.nn.BatchNorm2d(2)  # as a plug-in may have it; ours counts no batches
    layer.num_batches_tracked.fill_(4097)  # float16 would make 4096 of it
    state = stored(layer)
    assert state["weight"].dtype is torch.float16
    written = weights.save(tmp_path / "w.safetensors", state, {"preset": "p", "n_coils": 1, "parameters": {}})
    assert written.n_parameters == 4
    tensors = weights.load_tensors(written)
    assert tensors["num_batches_tracked"].dtype is torch.int64
    torch.nn.BatchNorm2d(2).load_state_dict(tensors)
    assert int(tensors["num_batches_tracked"]) == 4097


def test_what_does_not_reconstruct_is_not_published(tmp_path, monkeypatch):
    config = make_config(tmp_path)
    task, run = finished(tmp_path, config)
    path = publish.publish(task, run, 3, "a CPU")
    before = path.read_bytes()

    with torch.no_grad():
        next(task.model.parameters()).fill_(torch.nan)
    with pytest.raises(ModelError, match="not finite"):
        publish.publish(task, run, 3, "a CPU")

    unet = make_config(tmp_path, model="unet-fastmri", overrides={"width": 4, "z_score": False}, n_coils=1)
    task = ReconstructionTask(unet)
    with torch.no_grad():
        for tensor in task.model.parameters():
            tensor.zero_()
    with pytest.raises(ModelError, match="all zeros"):
        publish.publish(task, run, 3, "a CPU", path)

    task = ReconstructionTask(config)
    choose = acceptance.choose_storage

    def damaged(model, samples, in_bytes=False):
        state, storage = choose(model, samples)
        return {name: value + 0.3 for name, value in state.items()}, storage

    monkeypatch.setattr(acceptance, "choose_storage", damaged)
    with pytest.raises(ModelError, match="the stored weights reach"):
        publish.publish(task, run, 3, "a CPU")
    # The weights that were good are still there, and nothing else is.
    assert path.read_bytes() == before
    assert sorted(file.name for file in run.iterdir()) == ["events.jsonl", path.name]
