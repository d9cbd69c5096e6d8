"""Loaders of samples, as lightning wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning
import torch
from torch.utils.data import DataLoader

from training.data import TrainingData, collate

if TYPE_CHECKING:
    from training.config import TrainingConfig


class SampleLoader(lightning.LightningDataModule):
    """Samples for an epoch: numbered on from epoch to epoch, so that none comes twice and a run can resume."""

    def __init__(self, data: TrainingData, config: TrainingConfig, n_workers: int) -> None:
        super().__init__()
        self.data = data
        self.config = config
        self.n_workers = n_workers

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Return the samples of the current epoch, in order."""
        assert self.trainer is not None
        first = self.trainer.global_step * self.config.batch_size
        return DataLoader(
            self.data.training(first, self.config.samples_per_epoch),
            batch_size=self.config.batch_size,
            num_workers=self.n_workers,
            drop_last=True,
            collate_fn=collate,
            worker_init_fn=_single_threaded,
            prefetch_factor=4 if self.n_workers else None,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Return the fixed validation slices, one by one: their sizes differ."""
        return DataLoader(self.data.validation, batch_size=1, collate_fn=collate)


def _single_threaded(worker: int) -> None:  # noqa: ARG001
    # Workers beside the training step must not each bring a pool of threads.
    torch.set_num_threads(1)
