"""Checkpoints: whole or not there at all, the last and the best, and what may change between two parts of a run."""

from __future__ import annotations

import io
import json
import os
import shlex
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Callback

from recon.errors import ExportError, FileError, MRIError, RequestError
from recon.export.atomic import describe
from training.config import TrainingConfig, from_dict
from training.devices import gather
from training.interruption import Stopped

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lightning import LightningModule, Trainer

    from training.events import EventLog
    from training.interruption import Interruption
    from training.module import ReconstructionTask

LAST = "last.ckpt"
BEST = "best.ckpt"
# Keys that change the time or the memory that a run takes, or what is said of it, not what it learns.
_FREE = {"checkpointing", "checkpoint_minutes", "checkpoint_steps", "cache", "cache_gb", "licence"}


class Checkpoints(Callback):
    """Writes ``last.ckpt`` every so often and ``best.ckpt`` with each better validation, and ends the run where asked.

    Parameters
    ----------
    folder
        The run folder.
    config
        The recipe.
    interruption
        Says whether the user wants the run to end.
    events
        Told of each checkpoint, and kept in it.
    """

    def __init__(self, folder: Path, config: TrainingConfig, interruption: Interruption, events: EventLog) -> None:
        self.folder = folder
        self.config = config
        self.interruption = interruption
        self.events = events
        self.best: float | None = None
        self.n_worse = 0
        self.saved_step: int | None = None
        self._saved = time.monotonic()

    @property
    def is_patience_over(self) -> bool:
        """Whether nothing has become better for too long."""
        return _is_patience_over(self.config, self.n_worse)

    def restore(self, checkpoint: Mapping[str, Any]) -> None:
        """Take up the best score and how long it has lasted."""
        self.best, self.n_worse = checkpoint.get("best"), checkpoint.get("n_worse", 0)
        self.saved_step = int(checkpoint["global_step"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Count the minutes from here."""
        self._saved = time.monotonic()

    def is_due(self, n_steps: int) -> bool:
        """Return whether a checkpoint is to be written after this many steps."""
        config = self.config
        by_steps = config.checkpoint_steps and n_steps % config.checkpoint_steps == 0
        by_time = config.checkpoint_minutes and time.monotonic() - self._saved >= 60 * config.checkpoint_minutes
        return bool(by_steps or by_time)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002  lightning's signature
    ) -> None:
        """Write a checkpoint where one is due: by steps, by time, before a validation, or because the run shall end."""
        task: ReconstructionTask = pl_module  # type: ignore[assignment]
        if not task.has_stepped:
            return
        is_due, is_stopping = task.agreement
        # Who trains alone need not ask others, and does not wait for the next step to do so.
        is_stopping |= self.interruption.is_wanted and trainer.world_size == 1
        if is_due or is_stopping or task.is_epoch_over or task.is_finished:
            self.save(trainer, task, validated=False)
        if is_stopping:
            raise Stopped(task.n_steps)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *arguments: Any) -> None:  # noqa: ARG002
        """End at once where the user wants it: the checkpoint from before the validation tells that it is missing."""
        if self.interruption.is_wanted and trainer.world_size == 1:
            raise Stopped(pl_module.n_steps)  # type: ignore[arg-type]

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare with the best, write both checkpoints, and end the run where nothing becomes better."""
        task: ReconstructionTask = pl_module  # type: ignore[assignment]
        score = task.scores[self.config.best_metric]
        lower_is_better = self.config.best_metric == "nmse"
        is_best = self.best is None or (score < self.best if lower_is_better else score > self.best)
        self.best, self.n_worse = (score, 0) if is_best else (self.best, self.n_worse + 1)
        self.save(trainer, task, validated=True, is_best=is_best)
        if self.is_patience_over:
            trainer.should_stop = True
        if any(row[0] for row in gather([self.interruption.is_wanted], task.device)):
            raise Stopped(task.n_steps)

    def save(self, trainer: Trainer, task: ReconstructionTask, *, validated: bool, is_best: bool = False) -> None:
        """Write the last checkpoint, and the same as the best; all processes call this, the first one writes.

        Raises
        ------
        ExportError
            If the disk is full; what was there before stays.
        """
        problem: MRIError | None = None
        if trainer.is_global_zero:
            state = {
                "state_dict": task.state_dict(),
                "optimizer_states": [trainer.optimizers[0].state_dict()],
                "validated": validated,
                "best": self.best,
                "n_worse": self.n_worse,
                "events": self.events.state(),
            }
            task.on_save_checkpoint(state)
            try:
                write(state, self.folder / LAST, copy=self.folder / BEST if is_best else None)
            except ExportError as error:
                problem = error
        if any(row[0] for row in gather([problem is not None], task.device)):
            raise problem or ExportError("the first process could not write a checkpoint.")
        self.saved_step, self._saved = task.n_steps, time.monotonic()
        self.events.tell_data()
        self.events.write({"event": "checkpoint", "step": task.n_steps, "best": is_best})


def write(state: Mapping[str, Any], path: Path, copy: Path | None = None) -> None:
    """Write a checkpoint under a temporary name, then rename: at any moment the old one or the new one is there, whole.

    Parameters
    ----------
    state
        Tensors, numbers, strings and containers of them.
    path
        Where to.
    copy
        A second name for it.

    Raises
    ------
    ExportError
        If the disk is full or refuses; nothing is left of the attempt.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    for target in (copy, path):
        if target is None:
            continue
        # One name for all attempts: whatever kills a run leaves one part at most, which the next checkpoint replaces.
        part = target.with_name(f".{target.name}.part")
        try:
            with part.open("wb") as file:
                file.write(buffer.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise ExportError(f"{describe(target, error)} The checkpoint takes {buffer.tell() / 1e6:.1f} MB.") from None


def read(folder: Path, name: str = LAST) -> dict[str, Any]:
    """Return a checkpoint of a run folder, on the CPU.

    Raises
    ------
    FileError
        If there is none, or it cannot be read.
    """
    path = folder / name
    if not path.exists():
        lacks = "no checkpoint to resume from; start without --resume."
        raise FileError(folder, f"holds {lacks if name == LAST else f'no {name}; put a copy of it in its place.'}")
    try:
        # Tensors, numbers and strings only: a checkpoint from a stranger executes nothing.
        found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        missing = {"state_dict", "optimizer_states", "global_step", "config"} - found.keys()
    except Exception as error:  # noqa: BLE001  unpickling damaged bytes can raise anything
        problem = next(iter(str(error).splitlines()), type(error).__name__)
        how = _instead(folder) if name == LAST else ""
        raise FileError(
            path, f"the checkpoint cannot be read ({problem}); {how or 'put a whole copy in its place.'}"
        ) from None
    if missing:
        raise FileError(path, f"the checkpoint lacks {', '.join(sorted(missing))}; it is none of a training run.")
    return found


def read_result(folder: Path) -> dict[str, Any]:
    """Return the checkpoint of the weights that a run has come to: the last, or the best where its patience is over.

    Raises
    ------
    FileError
        As `read`.
    """
    last = read(folder)
    is_over = _is_patience_over(from_dict(last["config"]), last.get("n_worse", 0))
    return read(folder, BEST) if is_over else last


def _is_patience_over(config: TrainingConfig, n_worse: int) -> bool:
    return bool(config.patience) and n_worse >= config.patience


def _instead(folder: Path) -> str:
    """Say how to go on from the best checkpoint where the last one is damaged; empty where that is, too."""
    try:
        step = int(read(folder, BEST)["global_step"])
    except FileError:
        return ""
    return (
        f"{BEST} beside it is whole, of step {step}. To go on from there, put a copy of it in its place: "
        f"cp {shlex.quote(str(folder / BEST))} {shlex.quote(str(folder / LAST))}"
    )


def changed_recipe(
    checkpoint: Mapping[str, Any], values: Mapping[str, Any], n_processes: int, *, force: bool = False
) -> TrainingConfig:
    """Return the recipe to go on with: that of the checkpoint, with the given values in place of its own.

    Parameters
    ----------
    checkpoint
        See `read`.
    values
        Keys that the caller names.
    n_processes
        Processes that will train.
    force
        Accept changes that make it another training.

    Raises
    ------
    RequestError
        If the values differ from those of the checkpoint in what a run learns; each is listed.
    """
    old = from_dict(checkpoint["config"])
    new = from_dict({**checkpoint["config"], **values})
    before, after = old.to_dict(), new.to_dict()
    lines = [
        f"{key}: {json.dumps(before[key])} -> {json.dumps(after[key])}"
        for key in after
        if key not in _FREE and before[key] != after[key]
    ]
    then = int(checkpoint.get("n_processes", 1))
    if samples_per_step(old, then) == samples_per_step(new, n_processes):
        # The same samples in the same steps, cut otherwise.
        lines = [line for line in lines if line.split(":")[0] not in ("batch_size", "accumulate")]
    elif then != n_processes:
        lines.append(f"processes: {then} -> {n_processes}")
    if lines and not force:
        raise RequestError(
            "the run was begun with another recipe: "
            + "; ".join(lines)
            + ". Leave these as they were, or give --force to go on with the new values."
        )
    return new


def samples_per_step(config: TrainingConfig, n_processes: int) -> int:
    """Return how many samples one step of the optimiser sees, over all processes."""
    return config.batch_size * config.accumulate * n_processes
