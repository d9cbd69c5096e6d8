"""What happened in a run, one line of JSON an event: read by the window, the terminal and people."""

from __future__ import annotations

import json
import resource
import time
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Callback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from lightning import LightningModule, Trainer

_EVERY_SECONDS = 5.0


class EventLog(Callback):
    """Writes ``events.jsonl`` and hands every event on.

    Parameters
    ----------
    path
        The file; appended to, so that a resumed run continues it.
    report
        Called with each event.
    """

    def __init__(self, path: Path, report: Callable[[dict[str, Any]], None] | None = None) -> None:
        self.path = path
        self.report = report
        self._since = time.monotonic()
        self._n_samples = 0
        self._losses: list[float] = []
        self._epoch_losses: list[float] = []
        self._rate = 0.0
        self.skipped: dict[str, str] = {}

    def write(self, event: dict[str, Any]) -> None:
        """Append one event and hand it on."""
        event = {"time": round(time.time(), 1), **event}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")
        if self.report is not None:
            self.report(event)

    def skip(self, files: Iterable[tuple[str, str]]) -> None:
        """Report files that were left out, each once, by path and reason."""
        for path, reason in files:
            if path not in self.skipped:
                self.skipped[path] = reason
                self.write({"event": "skipped", "path": path, "reason": reason, "n_skipped": len(self.skipped)})

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,  # noqa: ARG002  lightning's signature
    ) -> None:
        """Report the mean loss every few seconds, and what the loader had to skip."""
        self.skip(batch.get("skipped", ()))
        self._n_samples += batch["target"].shape[0]
        loss = float(outputs["loss"])
        self._losses.append(loss)
        self._epoch_losses.append(loss)
        now = time.monotonic()
        if now - self._since >= _EVERY_SECONDS:
            self._rate = self._n_samples / (now - self._since)
            self.write(
                {
                    "event": "step",
                    "step": trainer.global_step,
                    "epoch": trainer.current_epoch,
                    "loss": sum(self._losses) / len(self._losses),
                    "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
                    "samples_per_second": round(self._rate, 3),
                    "memory_gb": _memory_gb(),
                    "share": round(float(getattr(pl_module, "schedule_share", 0.0)), 4),
                }
            )
            self._since, self._n_samples, self._losses = now, 0, []

    def on_validation_batch_end(
        self,
        trainer: Trainer,  # noqa: ARG002  lightning's signature
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Report what the validation had to skip."""
        self.skip(batch.get("skipped", ()))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the validation scores."""
        scores = {name: float(value) for name, value in trainer.callback_metrics.items() if name != "loss"}
        losses = self._epoch_losses
        self.write(
            {
                "event": "validation",
                "step": trainer.global_step,
                "epoch": trainer.current_epoch,
                "loss": sum(losses) / len(losses) if losses else 0.0,
                "samples_per_second": round(self._rate, 3),
                "share": round(float(getattr(pl_module, "schedule_share", 0.0)), 4),
                **scores,
            }
        )
        self._epoch_losses = []
        # Validation is not training time.
        self._since, self._n_samples, self._losses = time.monotonic(), 0, []


def _memory_gb() -> float:
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
