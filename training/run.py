"""Run a recipe: `main` is what ``mri-workstation train`` calls."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.errors import DeviceError, FileError, RequestError
from training.config import TrainingConfig, from_dict, read_config

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CHECKPOINT = "last.ckpt"


def main(
    config_path: str,
    out: Path,
    *,
    settings: Sequence[str] = (),
    resume: bool = False,
    devices: str = "auto",
    as_json: bool = False,
) -> Path:
    """Train, and publish the weights.

    Parameters
    ----------
    config_path
        Recipe file, or the name of a bundled recipe.
    out
        Run folder: ``config.json``, ``events.jsonl``, checkpoints, and the weights at the end.
    settings
        ``key=value`` changes to the recipe.
    resume
        Go on from the last checkpoint in the run folder, with the recipe that is stored there.
    devices
        ``auto``, ``cpu``, or a number of GPUs.
    as_json
        Print every event as a line of JSON on stdout.

    Returns
    -------
    The published weights.

    Raises
    ------
    MRIError
        If the recipe, the data or the device does not allow it.
    """
    stored = out / "config.json"
    if resume:
        if not (out / CHECKPOINT).exists():
            raise FileError(out, "holds no checkpoint to resume from; start without --resume.")
        changes = read_settings(settings)
        config = from_dict(json.loads(stored.read_text("utf-8")) | changes)
    else:
        config = read_config(config_path, settings)
        if (out / CHECKPOINT).exists():
            raise RequestError(f"{out} holds a run already; give --resume to go on, or another --out.")
    if not (config.images or config.kspace):
        raise RequestError(
            "the recipe names no training images; add --set images=FILE.h5 or a folder of images, "
            "or --set kspace=FOLDER of fully sampled fastMRI files."
        )
    out.mkdir(parents=True, exist_ok=True)
    stored.write_text(json.dumps(config.to_dict(), indent=2), "utf-8")
    return train(config, out, resume=resume, devices=devices, report=_printer(as_json))


def read_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Return ``key=value`` texts as plain values, checked against the recipe."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder, "empty.toml")
        empty.write_text("", "utf-8")
        changed = read_config(empty, settings).to_dict()
    return {setting.partition("=")[0].strip(): changed[setting.partition("=")[0].strip()] for setting in settings}


def train(
    config: TrainingConfig,
    out: Path,
    *,
    resume: bool = False,
    devices: str = "auto",
    report: Callable[[dict[str, Any]], None] | None = None,
) -> Path:
    """Train by a recipe into a run folder; see `main`."""
    try:
        import lightning
        from lightning.pytorch.callbacks import ModelCheckpoint
    except ModuleNotFoundError:
        raise RequestError("training needs lightning; install it with: pip install 'mri-workstation[train]'.") from None
    import torch

    from training.data import open_data
    from training.events import EventLog
    from training.loader import SampleLoader
    from training.module import ReconstructionTask, device_name
    from training.publish import publish

    if devices not in ("auto", "cpu") and not torch.cuda.is_available():
        raise DeviceError(f"{devices} GPU(s) were asked for, but this machine has no CUDA device; use --devices cpu.")
    # Its advice and advertisements are not events of the run.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    data = open_data(config)
    task = ReconstructionTask(config, begin=not resume)
    events = EventLog(out / "events.jsonl", report)
    best = ModelCheckpoint(dirpath=out, filename="best", monitor="psnr", mode="max")
    # A callback of its own: `save_last` would save nothing after an epoch that is not the best so far.
    last = ModelCheckpoint(dirpath=out, filename="last", enable_version_counter=False)
    use_cpu = devices == "cpu" or not torch.cuda.is_available()
    with warnings.catch_warnings():
        # lightning advises more loader workers than the recipe needs, and warns of its own defaults.
        warnings.filterwarnings("ignore", module="lightning.*")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        trainer = lightning.Trainer(
            default_root_dir=out,
            accelerator="cpu" if use_cpu else "gpu",
            devices=1 if use_cpu or devices == "auto" else int(devices),
            precision="bf16-mixed" if config.precision == "bf16" else "32-true",
            max_epochs=-1 if config.minutes else config.epochs,
            gradient_clip_val=config.gradient_clip or None,
            callbacks=[best, last, events],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
        )
        loader = SampleLoader(data, config, n_workers=max(1, min((os.cpu_count() or 2) - 1, 12)))
        events.write({"event": "data", **data.story})
        events.skip((str(entry.path), entry.reason) for entry in data.declined)
        started = time.time()
        # weights_only is safe here: the checkpoint holds tensors, numbers and strings, no objects.
        trainer.fit(task, loader, ckpt_path=str(out / CHECKPOINT) if resume else None, weights_only=True)
    events.write({"event": "done", "seconds": round(time.time() - started, 1), "skipped": dict(events.skipped)})
    return publish(task, out, trainer.global_step, device_name(trainer.strategy.root_device))


def _printer(as_json: bool) -> Callable[[dict[str, Any]], None]:
    def show(event: dict[str, Any]) -> None:
        if as_json:
            print(json.dumps(event), flush=True)  # noqa: T201  the command's output
        elif event["event"] == "skipped":
            sys.stderr.write(f"skipped {event['path']}: {event['reason']}\n")
        elif event["event"] == "done" and event["skipped"]:
            names = [Path(path).name for path in event["skipped"]]
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            sys.stderr.write(f"{len(names)} skipped in all: {', '.join(names[:5])}{more}\n")
        elif event["event"] == "validation":
            sys.stderr.write(
                f"epoch {event['epoch']}: loss {event.get('loss', float('nan')):.4f}, PSNR {event['psnr']:.2f} dB "
                f"(zero-filled {event['zero_filled_psnr']:.2f}), SSIM {event['ssim']:.4f}, "
                f"{event['samples_per_second']:.2f} samples/s, {event['share']:.0%} done\n"
            )

    return show
