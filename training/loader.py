"""Loaders of simulated samples, as lightning wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lightning
import torch
from torch.utils.data import DataLoader

from training.data import SimulatedSlices, ValidationSlices, Volume

if TYPE_CHECKING:
    from torch import Tensor

    from training.config import TrainingConfig


class SimulatedData(lightning.LightningDataModule):
    """Samples for an epoch: numbered on from epoch to epoch, so that none comes twice and a run can resume."""

    def __init__(
        self, training: list[Volume], validation: list[Volume], config: TrainingConfig, n_workers: int
    ) -> None:
        super().__init__()
        self.training = training
        self.validation = validation
        self.config = config
        self.n_workers = n_workers

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Return the samples of the current epoch, in order."""
        assert self.trainer is not None
        first = self.trainer.global_step * self.config.batch_size
        dataset = SimulatedSlices(self.training, self.config, first, self.config.samples_per_epoch)
        return DataLoader(
            dataset,
            batch_size=self.config.batch_size,
            num_workers=self.n_workers,
            drop_last=True,
            worker_init_fn=_single_threaded,
            prefetch_factor=4 if self.n_workers else None,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Return the fixed validation slices, one by one: their sizes differ."""
        return DataLoader(ValidationSlices(self.validation, self.config), batch_size=1)


def _single_threaded(worker: int) -> None:  # noqa: ARG001
    # Workers beside the training step must not each bring a pool of threads.
    torch.set_num_threads(1)
