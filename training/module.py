"""The one training loop, as a lightning module: the pipeline's model, a loss, an optimiser, averaged weights."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from recon import metrics, models
from recon.coils import root_sum_of_squares
from recon.errors import RequestError
from recon.weights import read_header
from training.losses import LOSSES, combine
from training.optimizers import LookaheadAdam, parameter_groups
from training.warm_start import copy_overlap

if TYPE_CHECKING:
    from collections.abc import Callable

    from recon.models.blocks import ReconstructionModel
    from training.config import TrainingConfig


class ReconstructionTask(lightning.LightningModule):
    """Trains one model by one recipe.

    Parameters
    ----------
    config
        The recipe.
    begin
        Take over the recipe's initial weights; False where a checkpoint replaces them anyway.
    """

    def __init__(self, config: TrainingConfig, *, begin: bool = True) -> None:
        super().__init__()
        self.config = config
        torch.manual_seed(config.seed)
        model = models.create(config.model, config.n_coils, **config.overrides)
        if begin and not config.initial_weights:
            model.start_training()
        self.initial_sha256 = ""
        if config.initial_weights and (begin or Path(config.initial_weights).exists()):
            initial = read_header(config.initial_weights)
            self.initial_sha256 = initial.sha256
            if begin:
                copy_overlap(models.load_weights(initial), model)
        self.model: ReconstructionModel = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = (
            AveragedModel(self.model, avg_fn=_moving_average(config.ema_decay))
            if config.ema_decay
            else None
        )
        self.loss = LOSSES[config.loss]
        self.elapsed_seconds = 0.0
        self._clock = time.monotonic()

    @property
    def best_model(self) -> ReconstructionModel:
        """The model to validate and publish: the averaged one, where there is one."""
        model: Any = self.model if self.averaged is None else self.averaged.module
        result: ReconstructionModel = model
        return result

    @property
    def schedule_share(self) -> float:
        """Share of the schedule that is over, by steps or, with a time budget, by wall time."""
        if self.config.minutes:
            return min(self.elapsed_seconds / (60 * self.config.minutes), 1.0)
        steps = self.config.epochs * self.config.samples_per_epoch / self.config.batch_size
        return min(self.global_step / steps, 1.0)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the coil-combined magnitude ``(batch, y, x)``."""
        return _combined(self.model, batch)

    def module_outputs(self, batch: dict[str, Tensor]) -> list[Tensor]:
        """Return the coil-combined magnitudes of each module's last iteration and, last, of the final image."""
        last = {}
        for stage in self.model.stages(batch["zero_filled"], batch["kspace"], batch["mask"], batch.get("maps")):
            last[stage.name] = stage.image
        return [combine(image) for image in last.values()]

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:  # noqa: ARG002
        """Return the loss of a batch; a loss that is not finite stops the run with the batch's number."""
        outputs = self.module_outputs(batch)
        with torch.autocast(batch["target"].device.type, enabled=False):
            losses = [self.loss(output, batch["target"]) for output in outputs]
        loss = losses.pop()
        if losses and self.config.module_loss_weight:
            loss = loss + self.config.module_loss_weight * torch.stack(losses).mean()
        if not torch.isfinite(loss):
            raise RequestError(
                f"the loss of batch {self.global_step} is {float(loss.detach())}; lower the learning rate."
            )
        self.log("loss", loss)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_index: int) -> None:  # noqa: ARG002
        """Constrain and average the weights, set the next learning rate, and keep the time."""
        self.model.constrain()
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)
        now = time.monotonic()
        self.elapsed_seconds += now - self._clock
        self._clock = now
        rate = self.learning_rate()
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate * group["rate_share"]
        if self.config.minutes and self.schedule_share >= 1:
            self.trainer.should_stop = True

    def on_train_start(self) -> None:
        """Start the clock; what loading took does not count."""
        self._clock = time.monotonic()

    def learning_rate(self) -> float:
        """Return the rate at this point of the schedule."""
        config, share = self.config, self.schedule_share
        if share < config.warmup_share:
            return config.learning_rate * (0.1 + 0.9 * share / config.warmup_share)
        if config.schedule == "cosine":
            return config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * share))))
        return config.learning_rate * float(config.step_factor ** (self.current_epoch // config.step_epochs))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the recipe's optimiser; the rate is set after every step, see `learning_rate`."""
        kind = LookaheadAdam if self.config.optimizer == "lookahead-adam" else torch.optim.Adam
        groups = parameter_groups(self.model, self.config.fan_in_reference)
        for group in groups:
            group["lr"] = 0.1 * self.config.learning_rate * group["rate_share"]
        return kind(groups)

    def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> None:  # noqa: ARG002
        """Score the averaged weights on fixed simulated slices."""
        image = _combined(self.best_model, batch).float().cpu().numpy()
        target = batch["target"].cpu().numpy()
        zero_filled = root_sum_of_squares(batch["zero_filled"], 1).cpu().numpy()
        for one, wanted, start in zip(image, target, zero_filled, strict=True):
            self.log("psnr", metrics.psnr(wanted, one), on_epoch=True, batch_size=1)
            self.log("ssim", metrics.ssim(wanted, one), on_epoch=True, batch_size=1)
            self.log("nmse", metrics.nmse(wanted, one), on_epoch=True, batch_size=1)
            self.log("zero_filled_psnr", metrics.psnr(wanted, start), on_epoch=True, batch_size=1)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the recipe and the time into the checkpoint."""
        checkpoint["elapsed_seconds"] = self.elapsed_seconds
        checkpoint["config"] = self.config.to_dict()
        checkpoint["initial_sha256"] = self.initial_sha256
        checkpoint["device"] = device_name(self.device)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the time up where it stopped."""
        self.elapsed_seconds = checkpoint["elapsed_seconds"]
        self.initial_sha256 = checkpoint.get("initial_sha256") or self.initial_sha256


def _moving_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Return the exponential moving average that forgets its beginning faster while it is young."""

    def average(averaged: Tensor, current: Tensor, n_averaged: Tensor | int) -> Tensor:
        n = int(n_averaged)
        return averaged.lerp(current, 1 - min(decay, (1 + n) / (10 + n)))

    return average


def device_name(device: torch.device) -> str:
    """Return the device in words, for the story of the weights."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} thread(s)"


def _combined(model: torch.nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return root_sum_of_squares(model(batch["zero_filled"], batch["kspace"], batch["mask"], batch.get("maps")), 1)
