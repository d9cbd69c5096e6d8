"""Checkpoint to published weights: safetensors that tell their story, accepted only if they load and repeat.

    python -m training.publish RUN_FOLDER [--out FILE.safetensors] [--note TEXT] [--score SCAN.h5 …]

publishes the last checkpoint of a run, also of one that was stopped.
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
from training import acceptance
from training.acceptance import validation_samples
from training.provenance import data_story, limits
from training.score import score, write_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from training.module import ReconstructionTask

_SCORES = ("psnr", "ssim", "nmse", "zero_filled_psnr")


def publish(
    task: ReconstructionTask, run: Path, n_steps: int, device: str, path: Path | None = None, note: str = ""
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
    validation = _last(run / "events.jsonl", "validation", n_steps)
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
        "validation": {name: validation[name] for name in _SCORES if name in validation},
        "limits": limits(config, validation),
        "note": note,
        "version": __version__,
        "created": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "licence": "Apache-2.0",
    }
    samples, what = validation_samples(config)
    return write(task.best_model, story, path or run / f"{preset}-{config.n_coils}coil.safetensors", samples, what)


def publish_run(run: Path, path: Path | None = None, note: str = "") -> Path:
    """Publish the last checkpoint of a run folder; see `publish`.

    Raises
    ------
    FileError
        If there is none, or it cannot be read.
    """
    from training.config import from_dict
    from training.module import ReconstructionTask

    source = run / "last.ckpt"
    try:
        # Tensors, numbers and strings only: a checkpoint from a stranger executes nothing.
        checkpoint = torch.load(source, map_location="cpu", weights_only=True)
        config = from_dict(checkpoint["config"])
    except FileNotFoundError:
        raise FileError(run, "holds no checkpoint (last.ckpt); give the folder of a training run.") from None
    except MRIError:
        raise
    except Exception as error:  # noqa: BLE001  unpickling damaged bytes can raise anything
        raise FileError(source, f"the checkpoint cannot be read ({error}).") from None
    task = ReconstructionTask(config, begin=False)
    task.load_state_dict(checkpoint["state_dict"])
    task.on_load_checkpoint(checkpoint)
    return publish(task, run, int(checkpoint["global_step"]), str(checkpoint.get("device", "CPU")), path, note)


def write(
    model: torch.nn.Module, story: dict[str, Any], path: Path, samples: Sequence[dict[str, Tensor]], what: str
) -> Path:
    """Store a model and its story, in half precision where that costs nothing; then load it and reconstruct.

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

    Raises
    ------
    ModelError
        If the file does not give back the model that it was made of.
    """
    state, storage = acceptance.choose_storage(model, samples)
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
        raise ExportError(f"{path}: the weights cannot be written ({error.strerror or error}).") from None
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
    """Publish a run from the shell."""
    parser = argparse.ArgumentParser(
        prog="python -m training.publish", description="Publish the last checkpoint of a run."
    )
    parser.add_argument("run", type=Path, help="folder of a training run, with last.ckpt")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.safetensors", help="where to; by default PRESET-Ncoil.safetensors in the run"
    )
    parser.add_argument("--note", default="", help="what else a reader of the weights' story should know")
    parser.add_argument(
        "--score", type=Path, nargs="+", default=(), metavar="SCAN", help="also score on these fully sampled scans"
    )
    options = parser.parse_args(arguments)
    try:
        path = publish_run(options.run, options.out, options.note)
        if options.score:
            known = weights.read_header(path)
            write_scores(known, score(path, options.score, known.story["accelerations"]))
    except MRIError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    sys.stdout.write(f"{path}\n{weights.read_header(path).story['limits']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
