"""Checkpoint to published weights: safetensors that tell their story, accepted only if they load and repeat.

    python -m training.publish RUN_FOLDER [--out FILE.safetensors] [--note TEXT] [--score SCAN.h5 …] [--bytes]

publishes the last checkpoint of a run, also of one that was stopped, or the best where its patience ended it. Given
weights instead of a run folder, it stores them anew: with ``--bytes`` in eight bits a number, if that costs next to
nothing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from recon import __version__, models, weights
from recon.errors import ExportError, FileError, ModelError, MRIError
from recon.export.atomic import describe
from training import acceptance
from training.acceptance import SCORES, validation_samples
from training.provenance import UNSTATED, data_story, limits
from training.score import score, write_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from training.module import ReconstructionTask


def publish(
    task: ReconstructionTask,
    run: Path,
    n_steps: int,
    device: str,
    path: Path | None = None,
    note: str = "",
    in_bytes: bool = False,
    licence: str = "",
) -> Path:
    """Write the best weights of a task with their story.

    Parameters
    ----------
    task
        The trained task.
    run
        Its folder, with ``events.jsonl``.
    n_steps
        Steps that the weights have seen.
    device
        Where it was trained, in words.
    path
        Where to; None writes ``PRESET-Ncoil.safetensors`` into the run folder.
    note
        What else a reader of the story should know, such as settings that were changed while the run went on.
    in_bytes
        Store eight bits a number, where that costs next to nothing.
    licence
        Of the weights; empty takes the recipe's.

    Raises
    ------
    ModelError
        If the written file does not give back the model that it was made of.
    """
    config = task.config
    preset = models.get_card(config.model).name
    # What lies where on the machine that trained is nobody's business; what it was says the hash.
    private = {name: Path(getattr(config, name)).name for name in ("images", "kspace", "cache")}
    private["initial_weights"] = task.initial_sha256
    validation = _scores(task, run, n_steps)
    data = _last(run / "events.jsonl", "data")
    story = {
        "preset": preset,
        "n_coils": config.n_coils,
        "parameters": asdict(task.best_model.parameters_),  # type: ignore[call-overload]
        "accelerations": sorted(set(config.accelerations)),
        "mask_kinds": sorted(set(config.mask_kinds)),
        "kspace": data.get("kspace", "measured" if config.kspace else "simulated from magnitude images"),
        "data": data_story(config, data),
        "recipe": config.to_dict() | private,
        "steps": n_steps,
        "seconds": round(task.elapsed_seconds),
        "device": device,
        "validation": validation,
        "limits": limits(config, validation, data),
        "note": note,
        "version": __version__,
        "created": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "licence": licence or config.licence or UNSTATED,
    }
    samples, what = validation_samples(config)
    return write(
        task.best_model, story, path or run / f"{preset}-{config.n_coils}coil.safetensors", samples, what, in_bytes
    )


def _scores(task: ReconstructionTask, run: Path, n_steps: int) -> dict[str, Any]:
    """Return the validation scores of exactly these weights; empty where there are none and they cannot be measured."""
    event = _last(run / "events.jsonl", "validation", n_steps)
    if event.get("step") == n_steps:
        return {name: event[name] for name in SCORES if name in event}
    # The run ended between two validations: the last scores are those of other weights.
    samples = acceptance.own_samples(task.config)
    return acceptance.validate(task.best_model, samples) if samples else {}


def publish_run(run: Path, path: Path | None = None, note: str = "", in_bytes: bool = False, licence: str = "") -> Path:
    """Publish what the run of a folder has come to, see `training.checkpoints.read_result`; see `publish`.

    Raises
    ------
    FileError
        If there is none, or it cannot be read.
    """
    from training import checkpoints
    from training.config import from_dict
    from training.module import ReconstructionTask

    if not (run / checkpoints.LAST).exists():
        raise FileError(run, "holds no checkpoint (last.ckpt); give the folder of a training run.")
    checkpoint = checkpoints.read_result(run)
    config = from_dict(checkpoint["config"])
    task = ReconstructionTask(config, begin=False)
    task.load_state_dict(checkpoint["state_dict"])
    task.on_load_checkpoint(checkpoint)
    device = str(checkpoint.get("device", "CPU"))
    return publish(task, run, int(checkpoint["global_step"]), device, path, note, in_bytes, licence)


def publish_weights(
    source: Path,
    path: Path | None = None,
    note: str = "",
    in_bytes: bool = False,
    images: Path | None = None,
    licence: str = "",
) -> Path:
    """Store published weights anew, and leave their scores out, which were those of other numbers.

    Parameters
    ----------
    source
        The weights.
    path
        Where to; None replaces them.
    note
        Replaces the note in their story, unless it is empty.
    in_bytes
        As for `publish`.
    images
        Images that they were trained on, whose validation slices judge; without them slices of the demo scan do.
    licence
        Replaces the licence in their story, unless it is empty.

    Raises
    ------
    ModelError
        If the file is no weights, or what is written does not give back the model that it was made of.
    """
    from training.config import from_dict

    known = weights.read_header(source)
    left_out = ("sha256", "scores", "storage")
    story = {name: value for name, value in known.story.items() if name not in left_out}
    story["note"] = note or story.get("note", "")
    story["licence"] = licence or story.get("licence", UNSTATED)
    recipe = dict(story.get("recipe") or {"model": known.preset, "n_coils": known.n_coils})
    config = from_dict(recipe | {"images": str(images or ""), "kspace": "", "cache": "", "initial_weights": ""})
    samples, what = validation_samples(config)
    return write(models.load_weights(known), story, path or source, samples, what, in_bytes)


def write(
    model: torch.nn.Module,
    story: dict[str, Any],
    path: Path,
    samples: Sequence[dict[str, Tensor]],
    what: str,
    in_bytes: bool = False,
) -> Path:
    """Store a model and its story, in as few bits as cost nothing; then load it and reconstruct.

    Parameters
    ----------
    model
        The network.
    story
        What is known of it; how it is stored is added.
    path
        Where to. A file that is there is replaced only by one that was accepted.
    samples, what
        Slices to judge by, and what they are in words.
    in_bytes
        Try eight bits a number before sixteen.

    Raises
    ------
    ModelError
        If the file does not give back the model that it was made of.
    """
    state, storage = acceptance.choose_storage(model, samples, in_bytes)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".publishing-") as folder:
            candidate = Path(folder) / path.name
            try:
                weights.save(candidate, state, story | {"storage": storage | {"measured_on": what}})
                acceptance.check(candidate, samples, storage["psnr"])
            except (ModelError, ExportError) as error:
                raise type(error)(str(error).replace(str(candidate), str(path))) from None
            candidate.replace(path)
    except OSError as error:
        raise describe(path, error) from None
    return path


def _last(events: Path, kind: str, n_steps: int | None = None) -> dict[str, Any]:
    """The last event of a kind, up to some step; empty where there is none."""
    found: dict[str, Any] = {}
    if events.exists():
        for line in events.read_text("utf-8").splitlines():
            with suppress(ValueError):  # a process that was killed may have left half a line
                event = json.loads(line)
                if event["event"] == kind and (n_steps is None or event.get("step", 0) <= n_steps):
                    found = event
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish a run from the shell, or store weights anew."""
    parser = argparse.ArgumentParser(
        prog="python -m training.publish",
        description="Publish the last checkpoint of a run, or store published weights anew.",
    )
    parser.add_argument("source", type=Path, help="folder of a training run, with last.ckpt; or a .safetensors file")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE.safetensors",
        help="where to; by default PRESET-Ncoil.safetensors in the run, or the file itself",
    )
    parser.add_argument("--bytes", action="store_true", help="eight bits a number, where that costs next to nothing")
    parser.add_argument(
        "--images", type=Path, metavar="FILE", help="of a .safetensors file: its training images, to judge by"
    )
    parser.add_argument("--note", default="", help="what else a reader of the weights' story should know")
    parser.add_argument(
        "--licence", default="", help="of the weights; by default the recipe's or the file's own, else not stated"
    )
    parser.add_argument(
        "--score", type=Path, nargs="+", default=(), metavar="SCAN", help="also score on these fully sampled scans"
    )
    options = parser.parse_args(arguments)
    is_weights = options.source.suffix == ".safetensors"
    if options.images and not is_weights:
        parser.error("a run knows its images; --images is for a .safetensors file")
    if options.out and options.out.suffix != ".safetensors":
        parser.error(f"--out names the file to write, which has to end in .safetensors; {options.out} does not")
    try:
        if is_weights:
            path = publish_weights(
                options.source, options.out, options.note, options.bytes, options.images, options.licence
            )
        else:
            path = publish_run(options.source, options.out, options.note, options.bytes, options.licence)
        if options.score:
            known = weights.read_header(path)
            write_scores(known, score(path, options.score, known.story["accelerations"]))
    except MRIError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    written = weights.read_header(path)
    if written.warning:
        sys.stderr.write(f"warning: on their own validation slices these weights are {written.warning}.\n")
    sys.stdout.write(f"{path}\n{written.story['limits']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
