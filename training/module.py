"""The one training loop, as a lightning module: the pipeline's model, a loss, an optimiser, averaged weights.

Everything that a step depends on is a function of how many steps and samples there were before it: the rate, the
samples, the random numbers. So a run that goes on from a checkpoint does what it would have done without the break.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from recon import models
from recon.coils import root_sum_of_squares
from recon.errors import RequestError
from recon.weights import read_header
from training.acceptance import SCORES, slice_scores
from training.checkpoints import samples_per_step
from training.devices import device_name, gather
from training.guards import Guard
from training.losses import compare
from training.optimizers import LookaheadAdam, parameter_groups
from training.warm_start import copy_overlap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from recon.models.blocks import ReconstructionModel
    from recon.weights import Weights
    from training.config import TrainingConfig

logger = logging.getLogger(__name__)


class ReconstructionTask(lightning.LightningModule):
    """Trains one model by one recipe.

    Parameters
    ----------
    config
        The recipe.
    begin
        Take over the recipe's initial weights; False where a checkpoint replaces them anyway.
    n_processes
        Processes that train together.

    Attributes
    ----------
    n_steps, n_samples, elapsed_seconds
        What lies behind: steps of the optimiser, samples of the stream, wall time of training.
    has_stepped
        Whether the latest batch completed a step.
    step_loss
        Loss of the latest step, over all processes.
    scores
        Of the latest validation.
    n_validation
        Slices that validate.
    wishes
        Asked before each step, with the number that it will have: is a checkpoint due, shall the run end.
    agreement
        What all processes agreed on of these.
    """

    def __init__(self, config: TrainingConfig, *, begin: bool = True, n_processes: int = 1) -> None:
        super().__init__()
        self.config = config
        self.n_processes = n_processes
        torch.manual_seed(config.seed)
        model = models.create(config.model, config.n_coils, **config.overrides)
        if begin and not config.initial_weights:
            model.start_training()
        self.initial_sha256 = ""
        if config.initial_weights and (begin or Path(config.initial_weights).exists()):
            initial = read_header(config.initial_weights)
            self.initial_sha256 = initial.sha256
            if begin:
                _begin_from(initial, model, config)
        self.model: ReconstructionModel = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = (
            AveragedModel(self.model, avg_fn=_moving_average(config.ema_decay)) if config.ema_decay else None
        )
        if self.averaged is not None:
            self.averaged.requires_grad_(False)
        if config.checkpointing:
            _recompute_activations(self.model, config.model)
        self.guard = Guard()
        self.n_steps = self.n_samples = 0
        self.elapsed_seconds = 0.0
        self.has_stepped = False
        self.step_loss = float("nan")
        self.scores: dict[str, float] = {}
        self.n_validation = 0
        self.wishes: Callable[[int], tuple[bool, bool]] = lambda _: (False, False)
        self.agreement = (False, False)
        self._losses: list[float] = []
        self._sums = np.zeros(len(SCORES) + 1)
        self._optimizer_state: dict[str, Any] | None = None
        self._clock = time.monotonic()

    @property
    def best_model(self) -> ReconstructionModel:
        """The model to validate and publish: the averaged one, where there is one."""
        model: Any = self.model if self.averaged is None else self.averaged.module
        result: ReconstructionModel = model
        return result

    @property
    def step_samples(self) -> int:
        """Samples of one step, over all processes."""
        return samples_per_step(self.config, self.n_processes)

    @property
    def epoch_steps(self) -> int:
        """Steps between two validations."""
        return max(1, self.config.samples_per_epoch // self.step_samples)

    @property
    def epoch(self) -> int:
        """Whole epochs that lie behind."""
        return self.n_steps // self.epoch_steps

    @property
    def is_epoch_over(self) -> bool:
        """Whether the latest step was the last of its epoch."""
        return self.n_steps > 0 and self.n_steps % self.epoch_steps == 0

    @property
    def schedule_share(self) -> float:
        """Share of the schedule that is over, by steps or, with a time budget, by wall time."""
        if self.config.minutes:
            return min(self.elapsed_seconds / (60 * self.config.minutes), 1.0)
        return min(self.n_steps / (self.config.epochs * self.epoch_steps), 1.0)

    @property
    def is_finished(self) -> bool:
        """Whether the schedule is over."""
        return self.schedule_share >= 1

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the coil-combined magnitude ``(batch, y, x)``."""
        return _combined(self.model, batch)

    def module_outputs(self, batch: dict[str, Tensor]) -> list[Tensor]:
        """Return the complex images of each module's last iteration and, last, the final ones."""
        last = {}
        for stage in self.model.stages(batch["zero_filled"], batch["kspace"], batch["mask"], batch.get("maps")):
            last[stage.name] = stage.image
        return list(last.values())

    def batch_loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the loss of a batch."""
        outputs = self.module_outputs(batch)
        with torch.autocast(batch["target"].device.type, enabled=False):
            loss = compare(self.config.loss, outputs.pop(), batch)
            if outputs and self.config.module_loss_weight:
                losses = [compare(self.config.loss, output, batch) for output in outputs]
                loss = loss + self.config.module_loss_weight * torch.stack(losses).mean()
        return loss

    def on_train_start(self) -> None:
        """Start the clock; what loading took does not count."""
        self._clock = time.monotonic()

    def first_sample(self, batch_index: int) -> int:
        """Return the number of the first sample of a batch of this process, by its place in the epoch."""
        within = batch_index % self.config.accumulate * self.n_processes + self.global_rank
        return self.n_samples + within * self.config.batch_size

    def on_train_batch_start(self, batch: Any, batch_index: int) -> None:  # noqa: ARG002
        """Make random numbers a function of the samples' numbers, so that they need no memory."""
        seed = np.random.SeedSequence([self.config.seed, 8, self.first_sample(batch_index)])
        torch.manual_seed(int(seed.generate_state(1)[0]))
        self.has_stepped = False

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        """Return the loss of a batch."""
        self.guard.begin(batch)
        loss = self.batch_loss(batch)
        value = float(loss.detach())
        self._losses.append(value)
        self.guard.look(value, batch, self.first_sample(batch_index))
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:  # noqa: ARG002
        """Clip the gradients, and agree with the other processes on what comes after this step.

        Raises
        ------
        NotFiniteError
            If the loss or the gradient is not finite; the weights are still those of the step before.
        """
        parameters = [one for one in self.model.parameters() if one.grad is not None]
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, self.config.gradient_clip or float("inf")))
        now = time.monotonic()
        self.elapsed_seconds += now - self._clock
        self._clock = now
        loss = sum(self._losses) / len(self._losses)
        rows = gather([loss, norm, *self.wishes(self.n_steps + 1), self.elapsed_seconds], self.device)
        self._losses = []
        self.step_loss = sum(row[0] for row in rows) / len(rows)
        self.agreement = bool(rows[0][2]), any(row[3] for row in rows)
        self.elapsed_seconds = rows[0][4]  # rates follow one clock
        self.guard.judge(self.n_steps + 1, [(row[0], row[1]) for row in rows])

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """Do a step at the rate that is due; then constrain and average the weights, and count."""
        rate = self.learning_rate()
        for group in optimizer.param_groups:
            group["lr"] = rate * group["rate_share"]
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self.model.constrain()
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)
        self.n_steps += 1
        self.n_samples += self.step_samples
        self.has_stepped = True
        self.guard.forget()
        if self.is_finished:
            self.trainer.should_stop = True

    def learning_rate(self) -> float:
        """Return the rate at this point of the schedule."""
        config, share = self.config, self.schedule_share
        if share < config.warmup_share:
            return config.learning_rate * (0.1 + 0.9 * share / config.warmup_share)
        if config.schedule == "cosine":
            return config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * share))))
        return config.learning_rate * float(config.step_factor ** (self.epoch // config.step_epochs))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the recipe's optimiser, where it was if the run goes on; see `learning_rate` for the rate."""
        kind = LookaheadAdam if self.config.optimizer == "lookahead-adam" else torch.optim.Adam
        groups = parameter_groups(self.model, self.config.fan_in_reference)
        for group in groups:
            group["lr"] = 0.1 * self.config.learning_rate * group["rate_share"]
        optimizer = kind(groups)
        if self._optimizer_state is not None:
            try:
                optimizer.load_state_dict(self._optimizer_state)
            except ValueError:  # checked before anything is taken over
                logger.warning(
                    "the optimiser begins anew: the checkpoint is of a version that grouped layers otherwise."
                )
            self._optimizer_state = None
        return optimizer

    def on_validation_epoch_start(self) -> None:
        """Begin with empty sums."""
        self._sums[:] = 0

    def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> dict[str, Any]:
        """Score the averaged weights on fixed slices; returns the images for a preview."""
        image = _combined(self.best_model, batch).float().cpu().numpy()
        target = batch["target"].float().cpu().numpy()
        zero_filled = root_sum_of_squares(batch["zero_filled"], 1).float().cpu().numpy()
        if batch_index * self.n_processes + self.global_rank >= self.n_validation:
            return {}  # more processes than slices; this one only keeps the others company
        for one, wanted, start in zip(image, target, zero_filled, strict=True):
            self._sums += [*slice_scores(wanted, one, start), 1.0]
        return {"image": image, "target": target, "zero_filled": zero_filled}

    def on_validation_epoch_end(self) -> None:
        """Average over the slices of all processes, and begin the clock anew: validation is not training time."""
        *sums, count = np.sum(gather(self._sums.tolist(), self.device), axis=0).tolist()
        self.scores = {name: value / count for name, value in zip(SCORES, sums, strict=True)}
        self._clock = time.monotonic()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the recipe and what lies behind into the checkpoint."""
        checkpoint["global_step"] = self.n_steps
        checkpoint["epoch"] = self.epoch
        checkpoint["n_samples"] = self.n_samples
        checkpoint["n_processes"] = self.n_processes
        checkpoint["elapsed_seconds"] = self.elapsed_seconds
        checkpoint["config"] = self.config.to_dict()
        checkpoint["initial_sha256"] = self.initial_sha256
        checkpoint["device"] = device_name(self.device)

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Take up what lies behind."""
        self.n_steps = int(checkpoint["global_step"])
        self.n_samples = int(checkpoint.get("n_samples", self.n_steps * checkpoint["config"]["batch_size"]))
        self.elapsed_seconds = float(checkpoint["elapsed_seconds"])
        self.initial_sha256 = checkpoint.get("initial_sha256") or self.initial_sha256

    def restore(self, checkpoint: Mapping[str, Any]) -> None:
        """Go on from a checkpoint.

        Raises
        ------
        RequestError
            If it is of another network.
        """
        try:
            self.load_state_dict(checkpoint["state_dict"])
        except RuntimeError:
            raise RequestError(
                f"the checkpoint's network is not the {self.config.model} of this recipe; leave model, n_coils, "
                "overrides and ema_decay as they were, or begin another run."
            ) from None
        self.on_load_checkpoint(checkpoint)
        same = checkpoint["config"]["optimizer"] == self.config.optimizer
        self._optimizer_state = checkpoint["optimizer_states"][0] if same else None


def _begin_from(initial: Weights, model: ReconstructionModel, config: TrainingConfig) -> None:
    """Take over what weights share with a network, and refuse those that share nothing."""
    source = models.load_weights(initial)
    if type(source) is not type(model) or not copy_overlap(source, model):
        raise RequestError(
            f"{config.initial_weights}: these weights are of {initial.preset}, another family of networks than "
            f"{config.model}; nothing of them fits. Choose weights of the same family, or leave initial_weights empty."
        )


def _recompute_activations(model: ReconstructionModel, name: str) -> None:
    parameters: Any = model.parameters_
    if not hasattr(parameters, "checkpointing"):
        raise RequestError(
            f"{name} cannot compute activations again; leave checkpointing away, or take smaller batches."
        )
    # Only in this run: what is published says nothing of it.
    model.parameters_ = dataclasses.replace(parameters, checkpointing=True)


def _moving_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Return the exponential moving average that forgets its beginning faster while it is young."""

    def average(averaged: Tensor, current: Tensor, n_averaged: Tensor | int) -> Tensor:
        n = int(n_averaged)
        return averaged.lerp(current, 1 - min(decay, (1 + n) / (10 + n)))

    return average


def _combined(model: torch.nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return root_sum_of_squares(model(batch["zero_filled"], batch["kspace"], batch["mask"], batch.get("maps")), 1)
