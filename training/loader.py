"""Loaders of numbered samples, as lightning wants them."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import lightning
import torch
from torch.utils.data import DataLoader, Subset

from training.checkpoints import samples_per_step
from training.data import collate, open_data

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

    from training.config import TrainingConfig
    from training.module import ReconstructionTask


class SampleLoader(lightning.LightningDataModule):
    """What is left of an epoch: samples numbered on from epoch to epoch, so that none comes twice and a run can resume.

    Parameters
    ----------
    config
        The recipe.
    n_processes
        Processes that train together.
    n_workers
        Processes that load for each of them.
    """

    def __init__(self, config: TrainingConfig, n_processes: int, n_workers: int) -> None:
        super().__init__()
        self.config = config
        self.n_processes = n_processes
        self.n_workers = n_workers
        self._is_over = multiprocessing.Event()
        # What shares a size and a kind of mask is a whole step: no process waits for another's larger images, and a
        # step is the same however it is cut into batches.
        self.data = open_data(replace(config, batch_size=samples_per_step(config, n_processes)))

    def describe(self, number: int) -> str:
        """Say what a training sample is made of."""
        describe = getattr(self.data.training(0, number + 1), "describe", None)
        return "" if describe is None else str(describe(number))

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Return this process's samples of the rest of the epoch, in order."""
        assert self.trainer is not None
        task: ReconstructionTask = self.trainer.lightning_module  # type: ignore[assignment]
        n_steps = task.epoch_steps - task.n_steps % task.epoch_steps
        numbers = share_of_stream(self.config, task.n_samples, n_steps, self.n_processes, self.trainer.global_rank)
        dataset = self.data.training(0, task.n_samples + n_steps * task.step_samples)
        return DataLoader(
            dataset,
            batch_sampler=numbers,
            num_workers=self.n_workers,
            collate_fn=collate,
            worker_init_fn=partial(_prepare_worker, self._is_over),
            prefetch_factor=4 if self.n_workers else None,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Return this process's share of the fixed validation samples, one by one: their sizes differ."""
        assert self.trainer is not None
        dataset: Any = self.data.validation
        task: ReconstructionTask = self.trainer.lightning_module  # type: ignore[assignment]
        task.n_validation = len(dataset)
        if self.n_processes > 1:
            share = range(self.trainer.global_rank, len(dataset), self.n_processes)
            dataset = Subset(dataset, share or [0])  # lightning waits for a process that has nothing to do
        return DataLoader(dataset, batch_size=1, collate_fn=collate)

    def close(self) -> None:
        """Let the processes that load be ended: one that an error has left behind must not outlive the run."""
        self._is_over.set()


def share_of_stream(config: TrainingConfig, first: int, n_steps: int, n_processes: int, rank: int) -> list[list[int]]:
    """Return the numbers of the samples of each batch of one process.

    A step takes consecutive samples of the stream: its first batch of each process, then the second of each, and so on.

    Parameters
    ----------
    config
        The recipe.
    first
        Number of the first sample of the first step.
    n_steps
        Steps.
    n_processes, rank
        Who shares the stream, and who asks.
    """
    size = config.batch_size
    starts = (first + (batch * n_processes + rank) * size for batch in range(n_steps * config.accumulate))
    return [list(range(start, start + size)) for start in starts]


def _prepare_worker(is_over: Event, worker: int) -> None:  # noqa: ARG001
    # Workers beside the training step must not each bring a pool of threads.
    torch.set_num_threads(1)

    # Ctrl-C reaches all processes of a terminal, and the end of a SLURM job or of `timeout` all processes of a group;
    # whoever trains still needs samples to finish the step, and ends this process with its own.
    def end_if_over(number: int, frame: object) -> None:  # noqa: ARG001
        if is_over.is_set():
            os._exit(0)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end_if_over)
