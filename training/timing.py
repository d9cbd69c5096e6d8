"""What training costs: single steps, and whole runs with their loader, for the benchmark."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Callback

from training.devices import products
from training.loader import SampleLoader
from training.module import ReconstructionTask
from training.run import count_workers, fit, make_trainer

if TYPE_CHECKING:
    from pathlib import Path

    from lightning import LightningModule, Trainer

    from training.config import TrainingConfig
    from training.devices import Devices


@dataclass(frozen=True)
class RunTimes:
    """Where the time of a run went, by the clock.

    Attributes
    ----------
    n_steps, n_samples
        What was timed.
    in_steps_s
        Forward, backward and optimiser.
    between_s
        From the end of a step to the begin of the next: waiting for samples, and moving them to the device.
    n_workers
        Processes that loaded.
    """

    n_steps: int
    n_samples: int
    in_steps_s: float
    between_s: float
    n_workers: int

    @property
    def step_share(self) -> float:
        """Share of the time that went into steps."""
        return self.in_steps_s / (self.in_steps_s + self.between_s)

    @property
    def samples_per_second(self) -> float:
        """Samples a second of all the time."""
        return self.n_samples / (self.in_steps_s + self.between_s)


class StepClock(Callback):
    """Times the steps of a run and what lies between them.

    Parameters
    ----------
    n_warm_up
        Steps at the beginning that do not count: the loader's processes start, kernels are chosen.
    """

    def __init__(self, n_warm_up: int) -> None:
        self.n_warm_up = n_warm_up
        self.n_steps = 0
        self.in_steps_s = self.between_s = 0.0
        self._n_seen = 0
        self._last = time.perf_counter()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """End the wait."""
        waited = self._lap()
        if self._n_seen >= self.n_warm_up:
            self.between_s += waited

    def on_train_batch_end(
        self,
        trainer: Trainer,  # noqa: ARG002  lightning's signature
        pl_module: LightningModule,
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """End the step."""
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
        took = self._lap()
        if self._n_seen >= self.n_warm_up:
            self.in_steps_s += took
            self.n_steps += 1
        self._n_seen += 1

    def _lap(self) -> float:
        now = time.perf_counter()
        lap, self._last = now - self._last, now
        return lap


def time_run(config: TrainingConfig, folder: Path, devices: Devices, n_warm_up: int = 3) -> RunTimes:
    """Train by a recipe in the loop that every run takes, and time it; nothing is published.

    Parameters
    ----------
    config
        The recipe, whose schedule has more steps than the warm-up.
    folder
        Where lightning may write.
    devices
        One process.
    n_warm_up
        See `StepClock`.
    """
    n_workers = count_workers(devices.n_local)
    clock = StepClock(n_warm_up)
    trainer = make_trainer(folder, config, devices, [clock], validate_first=False)
    task = ReconstructionTask(config)
    with products(config.precision):
        fit(trainer, task, SampleLoader(config, devices.n_processes, n_workers))
    n_samples = clock.n_steps * config.batch_size
    return RunTimes(clock.n_steps, n_samples, clock.in_steps_s, clock.between_s, n_workers)


def do_step(task: ReconstructionTask, optimizer: torch.optim.Optimizer, batch: dict[str, Any]) -> float:
    """Do one step on one batch without lightning around it; return the loss.

    Parameters
    ----------
    task
        What trains, on its device.
    optimizer
        Its optimiser.
    batch
        On the same device.
    """
    device = batch["target"].device.type
    with torch.autocast(device, torch.bfloat16) if task.config.precision == "bf16" else nullcontext():
        loss: Any = task.batch_loss(batch)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(task.model.parameters(), task.config.gradient_clip or float("inf"))
    optimizer.step()
    task.model.constrain()
    if task.averaged is not None:
        task.averaged.update_parameters(task.model)
    return float(loss.detach())
