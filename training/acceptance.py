"""Weights before they are published: how few bits do, and whether the file gives back the images it was made for."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import recon
from recon import models, phantom
from recon.coils import root_sum_of_squares
from recon.errors import ModelError, MRIError
from recon.metrics import nmse, ssim
from recon.metrics import psnr as image_psnr
from recon.quantisation import quantise, restore
from recon.weights import read_header

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from training.config import TrainingConfig

SCORES = ("psnr", "ssim", "nmse", "zero_filled_psnr", "zero_filled_ssim")
"""What a validation tells of weights, in the order of `slice_scores`."""

# What a rounded network may be worse by.
MOST_LOSS_DB = 0.02
# Slices that judge; more tell nothing new and take minutes with large networks.
_MOST_SLICES = 8
# Two ways through the same numbers.
_TOLERANCE_DB = 0.01


def validation_samples(config: TrainingConfig) -> tuple[list[dict[str, Tensor]], str]:
    """Return samples to judge by, and what they are in words.

    They are those of `own_samples`; where the recipe's data is out of reach, slices that are simulated from the demo
    scan.
    """
    if samples := own_samples(config):
        return samples, f"{len(samples)} validation slices"
    samples = _demo_samples(config)
    return samples, f"{len(samples)} slices simulated from the demo scan"


def own_samples(config: TrainingConfig) -> list[dict[str, Tensor]]:
    """Return the recipe's validation slices, or some of them, spread evenly; none where its data is out of reach."""
    from training.data import open_data

    try:
        found = open_data(config).validation
        n_found = len(found)  # type: ignore[arg-type]
        places = np.unique(np.linspace(0, n_found - 1, min(n_found, _MOST_SLICES)).round().astype(int))
        return [found[int(place)] for place in places]
    except (MRIError, OSError):
        return []


def _demo_samples(config: TrainingConfig) -> list[dict[str, Tensor]]:
    from training.simulated import simulate_sample

    folder = Path(recon.__file__).parent.parent / "resources" / "demo"
    reference = recon.open_study(folder / "derived_brain_4ch.h5").series[0].reference
    assert reference is not None  # the demo scan is fully sampled
    image = torch.from_numpy(np.ascontiguousarray(reference[0], np.float32))[::2, ::2].contiguous()
    image = image / image.quantile(0.999)
    kinds = config.mask_kinds[:2]
    return [
        simulate_sample(np.random.default_rng([9, number]), image, kind, config, config.accelerations[0])
        for number, kind in enumerate(kinds)
    ]


def slice_scores(
    target: NDArray[np.float32], image: NDArray[np.float32], zero_filled: NDArray[np.float32]
) -> list[float]:
    """Return the `SCORES` of one magnitude image ``(y, x)``."""
    before = image_psnr(target, zero_filled), ssim(target, zero_filled)
    return [image_psnr(target, image), ssim(target, image), nmse(target, image), *before]


def validate(model: nn.Module, samples: Sequence[dict[str, Tensor]]) -> dict[str, float]:
    """Return the mean `SCORES` of a network over samples."""
    exact, rows = copy.deepcopy(model).cpu().float().eval(), []
    for sample in samples:
        zero_filled = root_sum_of_squares(sample["zero_filled"][None], 1).numpy()
        rows.append(slice_scores(sample["target"].numpy(), _reconstruct(exact, sample)[0], zero_filled[0]))
    return {name: float(value) for name, value in zip(SCORES, np.mean(rows, axis=0), strict=True)}


def psnr(model: nn.Module, samples: Sequence[dict[str, Tensor]]) -> float:
    """Return the mean PSNR (dB) of a network over samples; not a number where its images are not, or are empty."""
    values = []
    for sample in samples:
        output = _reconstruct(model, sample)
        is_image = bool(np.isfinite(output).all()) and bool(output.any())
        values.append(float(image_psnr(sample["target"][None].numpy(), output)) if is_image else float("nan"))
    return float(np.mean(values))


def _reconstruct(model: nn.Module, sample: dict[str, Tensor]) -> NDArray[np.float32]:
    """Return the magnitude image ``(1, y, x)`` of a sample."""
    batch = {name: value[None] for name, value in sample.items() if isinstance(value, torch.Tensor)}
    with torch.inference_mode():
        image = model(batch["zero_filled"], batch["kspace"], batch["mask"], batch.get("maps"))
    result: NDArray[np.float32] = root_sum_of_squares(image, 1).numpy()
    return result


def rounded(model: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the state of a model in another floating-point type; counters stay what they are."""
    return {
        name: (value.detach().cpu().to(dtype) if value.is_floating_point() else value.detach().cpu()).contiguous()
        for name, value in model.state_dict().items()
    }


def choose_storage(
    model: nn.Module, samples: Sequence[dict[str, Tensor]], in_bytes: bool = False
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state of a model in as few bits as do, and what they cost.

    Parameters
    ----------
    model
        The network.
    samples
        To compare its images on.
    in_bytes
        Try eight bits a number before sixteen.

    Returns
    -------
    The state, and ``type``, ``psnr`` of the stored network and ``loss_db``, what rounding cost.

    Raises
    ------
    ModelError
        If the network gives no image on a sample: values that are not finite, or all zeros.
    """
    exact = copy.deepcopy(model).cpu().float().eval()
    before = psnr(exact, samples)
    if not np.isfinite(before):
        raise ModelError("the trained network gives images that are not finite or all zeros; it cannot be published.")
    for dtype in ((torch.int8,) if in_bytes else ()) + (torch.float16, torch.bfloat16, torch.float32):
        state = quantise(exact.state_dict()) if dtype == torch.int8 else rounded(exact, dtype)
        trial = copy.deepcopy(exact)
        # Copying brings every number back to the type of the network.
        trial.load_state_dict(restore(state))
        after = psnr(trial, samples)
        if before - after <= MOST_LOSS_DB:
            break
    kind = str(dtype).removeprefix("torch.")
    return state, {"type": kind, "psnr": round(after, 3), "loss_db": round(max(before - after, 0.0), 4)}


def check(path: Path, samples: Sequence[dict[str, Tensor]], expected: float) -> None:
    """Load a weights file and reconstruct with it: samples, and a small scan through the whole pipeline.

    Parameters
    ----------
    path
        The file.
    samples
        As for `choose_storage`.
    expected
        PSNR (dB) that the stored network has on them.

    Raises
    ------
    ModelError
        If the file does not give back what it was made of.
    """
    header = read_header(path)
    found = psnr(models.load_weights(header), samples)
    if not abs(found - expected) <= _TOLERANCE_DB:
        raise ModelError(
            f"{path}: the stored weights reach {found:.2f} dB where the trained ones reach {expected:.2f} dB."
        )
    with tempfile.TemporaryDirectory() as folder:
        spec = phantom.PhantomSpec(n_slices=1, n_coils=max(4, header.n_coils), matrix=(64, 64))
        series = recon.open_study(phantom.write(Path(folder) / "phantom.h5", spec)).series[0]
        mask = recon.MaskSpec("equispaced-fraction", 4, 0.15)
        result = recon.run(series, recon.Request(str(path), mask, precision="fp32", device="cpu"), keep="none")
    if not np.isfinite(result.final).all() or not result.final.any() or result.weights_sha256 != header.sha256:
        raise ModelError(f"{path}: the pipeline reconstructs no image with the stored weights.")
