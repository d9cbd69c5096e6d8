"""What would fit where the memory of a device does not suffice: tried out, not guessed."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from recon.errors import DeviceError, MRIError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from training.config import TrainingConfig

_COARSEST = 16


class OutOfMemoryError(DeviceError):
    """A training step needs more memory than its device has.

    Attributes
    ----------
    changes
        Values of the recipe with which a step was seen to fit; empty where none was found.
    """

    def __init__(self, message: str, changes: dict[str, Any]) -> None:
        super().__init__(message, out_of_memory=True)
        self.changes = changes


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that the memory of a GPU or of the machine ran out."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # The second is all that oneDNN says when a convolution gets no room to work in.
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in str(error) or str(error) == "could not create a primitive"
    )


def find_fitting(config: TrainingConfig, fits: Callable[[TrainingConfig], bool]) -> dict[str, Any]:
    """Return the mildest changes of a recipe that fit; empty where none does.

    Parameters
    ----------
    config
        The recipe that does not fit.
    fits
        Tries a step of another.
    """
    for changes in _candidates(config):
        try:
            if fits(replace(config, **changes)):
                return changes
        except MRIError:  # the method cannot compute activations again
            continue
    return {}


def _candidates(config: TrainingConfig) -> Iterator[dict[str, Any]]:
    """Changes from the mildest on: what takes time, what cuts a step into parts, and last what trains on less."""
    recomputed = [] if config.checkpointing else [{"checkpointing": True}]
    yield from recomputed
    divisors = [size for size in range(config.batch_size - 1, 0, -1) if config.batch_size % size == 0]
    cuts = [{"batch_size": size, "accumulate": config.accumulate * (config.batch_size // size)} for size in divisors]
    yield from cuts
    light: dict[str, Any] = (recomputed or [{}])[0]
    if light:
        yield from ({**cut, **light} for cut in cuts)
    smallest: dict[str, Any] = {**(cuts[-1] if cuts else {}), **light}
    if config.kspace:
        return  # measured slices have the size that they have
    for share in (0.75, 0.5, 0.25):
        sizes = [max(32, int(size * share) // _COARSEST * _COARSEST) for size in config.sizes]
        yield {**smallest, "sizes": sizes}


def step_fits(config: TrainingConfig, shape: tuple[int, int, int, int] | None, device: torch.device) -> bool:
    """Return whether a training step fits into the memory of a device, by doing one with random data.

    Parameters
    ----------
    config
        The recipe.
    shape
        ``(batch, coil, y, x)`` of the batch that did not fit; None knows of none.
    device
        Where to.
    """
    from training.module import ReconstructionTask
    from training.timing import do_step

    try:
        task = ReconstructionTask(config, begin=False).to(device)
        # The optimiser's state takes memory too.
        do_step(task, task.configure_optimizers(), _random_batch(config, shape, device))
    except Exception as error:
        if is_out_of_memory(error):
            return False
        raise
    finally:
        release()
    return True


def release() -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _random_batch(
    config: TrainingConfig, shape: tuple[int, int, int, int] | None, device: torch.device
) -> dict[str, Any]:
    from recon import models

    rows, columns = (max(config.sizes),) * 2 if shape is None or not config.kspace else shape[2:]
    size = (config.batch_size, config.n_coils, rows, columns)
    image = torch.randn(size, dtype=torch.complex64, device=device)
    mask = torch.rand((config.batch_size, 1, 1, columns), device=device) < 0.25
    batch = {"zero_filled": image, "kspace": image * mask, "mask": mask, "target": image.abs().square().sum(1).sqrt()}
    if models.get_card(config.model).needs_maps:
        return batch | {"maps": image, "full": image[:, :1]}
    return batch | {"full": image}
