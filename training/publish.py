"""Checkpoint to published weights: safetensors that tell their story, accepted only if they load and repeat."""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from recon import __version__, models, weights
from recon.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    import lightning

    from training.module import ReconstructionTask

LIMITS = (
    "Trained on k-space simulated from magnitude images of heads; other anatomy, other contrasts and other sampling "
    "than those listed are untested. Research use only."
)


def publish(task: ReconstructionTask, out: Path, trainer: lightning.Trainer) -> Path:
    """Write the task's best weights beside its checkpoints.

    Raises
    ------
    ModelError
        If the written file does not give back the model that it was made of.
    """
    config = task.config
    last = _last_validation(out / "events.jsonl")
    device = trainer.strategy.root_device
    story = {
        "preset": models.get_card(config.model).name,
        "n_coils": config.n_coils,
        "parameters": asdict(task.best_model.parameters_),  # type: ignore[call-overload]
        "accelerations": sorted(set(config.accelerations)),
        "mask_kinds": sorted(set(config.mask_kinds)),
        "kspace": "simulated from magnitude images",
        "recipe": {key: value for key, value in config.to_dict().items() if key != "images"},
        "steps": trainer.global_step,
        "seconds": round(task.elapsed_seconds),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "validation": last,
        "limits": LIMITS,
        "version": __version__,
        "created": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "licence": "Apache-2.0",
    }
    return write(task.best_model, story, out / f"{story['preset']}-{config.n_coils}coil.safetensors")


def write(model: torch.nn.Module, story: dict[str, Any], path: Path, dtype: torch.dtype = torch.float16) -> Path:
    """Store a model and its story, then load it and compare.

    Half precision halves the file; the comparison below bounds what it costs.

    Raises
    ------
    ModelError
        If the loaded model differs from the given one by more than half precision explains.
    """
    state = {name: tensor.detach().cpu().contiguous().to(dtype) for name, tensor in model.state_dict().items()}
    saved = weights.save(path, state, story)
    loaded = models.load_weights(saved)
    generator = torch.Generator().manual_seed(0)
    n_coils = int(story["n_coils"])
    image = torch.randn(1, n_coils, 48, 48, dtype=torch.complex64, generator=generator)
    mask = torch.rand(1, 48, generator=generator) > 0.6
    with torch.inference_mode():
        expected = model.cpu().float().eval()(image, image * mask, mask)
        difference = (loaded(image, image * mask, mask) - expected).abs().max() / expected.abs().max()
    if not difference < 0.02:
        path.unlink()
        raise ModelError(f"{path}: the stored weights give another image than the trained ones (by {difference:.1%}).")
    return path


def _last_validation(events: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in events.read_text("utf-8").splitlines():
        event = json.loads(line)
        if event["event"] == "validation":
            found = {key: event[key] for key in ("psnr", "ssim", "nmse", "zero_filled_psnr")}
    return found
