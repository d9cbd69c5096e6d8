"""What happened in a run, one line of JSON an event: read by the window, the terminal and people.

``start`` and ``resume``: what trains. ``data``: on what; the last one counts. ``note``: what the user should know
of it. ``skipped``: a file that was left out. ``step``: every few seconds. ``validation``: scores. ``preview``: a
picture. ``checkpoint``. ``out_of_memory``, ``stopped``, ``done``: how it ended. ``published``: its weights.

``step`` counts the steps that are done, and ``epoch``, from 0, is the one that the last of them belongs to.
"""

from __future__ import annotations

import json
import math
import resource
import time
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import Callback

from recon.export.atomic import atomic_file, describe
from training import previews

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from lightning import LightningModule, Trainer

    from training.module import ReconstructionTask

EVERY_SECONDS = 5.0


class EventLog(Callback):
    """Writes ``events.jsonl`` and previews, and hands every event on.

    Parameters
    ----------
    folder
        The run folder; its file is appended to, so that a resumed run continues it.
    report
        Called with each event.
    is_first
        False in all processes of a run but one: they keep silent.
    """

    def __init__(
        self, folder: Path, report: Callable[[dict[str, Any]], None] | None = None, *, is_first: bool = True
    ) -> None:
        self.folder = folder
        self.path = folder / "events.jsonl"
        self.is_first = is_first
        self._report = report
        self._since = time.monotonic()
        self._n_samples = 0
        self._losses: list[float] = []
        self._epoch = [0.0, 0.0]  # sum of the losses, and their number
        self._rate = 0.0
        self.skipped: dict[str, str] = {}
        """Files of which something was left out, and the first reason."""
        self.slices: dict[str, set[int]] = {}
        """Slices of them that could not be read."""
        self.data_story: Callable[[], Mapping[str, Any]] | None = None
        """Says what is trained on, without what was left out by now."""
        self._n_told = -1

    def write(self, event: Mapping[str, Any]) -> None:
        """Append one event and hand it on.

        Raises
        ------
        ExportError
            If the disk is full or refuses.
        """
        if not self.is_first:
            return
        event = {"time": round(time.time(), 1), **event}
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(event) + "\n")
        except OSError as error:
            raise describe(self.path, error) from error
        if self._report is not None:
            self._report(event)

    def skip(self, files: Iterable[tuple[str, str, int | None]]) -> None:
        """Report files that were left out, each once, by path and reason; note the slice where it was only one."""
        for path, reason, index in files:
            if index is not None:
                self.slices.setdefault(path, set()).add(index)
            if path not in self.skipped:
                self.skipped[path] = reason
                self.write({"event": "skipped", "path": path, "reason": reason, "n_skipped": len(self.skipped)})

    def tell_data(self) -> None:
        """Report what is trained on, unless it is the same as was said last."""
        n_left_out = len(self.skipped) + sum(map(len, self.slices.values()))
        if self.data_story is not None and n_left_out != self._n_told:
            self._n_told = n_left_out
            self.write({"event": "data", **self.data_story()})

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the losses of the epoch so far, and what was left out."""
        left_out = {path: [reason, sorted(self.slices.get(path, ()))] for path, reason in self.skipped.items()}
        return {"epoch": list(self._epoch), "skipped": left_out}

    def restore(self, checkpoint: Mapping[str, Any]) -> None:
        """Go on where a checkpoint was written: later events belong to steps that will be done again."""
        kept_state = checkpoint.get("events", {})
        self._epoch = list(kept_state.get("epoch", [0.0, 0.0]))
        for path, (reason, slices) in kept_state.get("skipped", {}).items():
            self.skipped[path] = reason
            if slices:
                self.slices[path] = set(slices)
        if not self.is_first or not self.path.exists():
            return
        last = int(checkpoint["global_step"])
        kept = [line for line, event in read_lines(self.path) if event.get("step", 0) <= last]
        with atomic_file(self.path) as part:
            part.write_text("".join(f"{line}\n" for line in kept), "utf-8")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Count the seconds from here."""
        self._since = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ARG002
        batch: Any,
        batch_idx: int,  # noqa: ARG002  lightning's signature
    ) -> None:
        """Report the mean loss every few seconds, and files that could not be read once."""
        task: ReconstructionTask = pl_module  # type: ignore[assignment]
        self.skip(batch.get("skipped", ()))
        if not task.has_stepped:
            return
        self._n_samples += task.step_samples
        self._losses.append(task.step_loss)
        self._epoch = [self._epoch[0] + task.step_loss, self._epoch[1] + 1]
        if time.monotonic() - self._since >= EVERY_SECONDS:
            self._report_steps(trainer, task)

    def _report_steps(self, trainer: Trainer, task: ReconstructionTask) -> None:
        now = time.monotonic()
        group = trainer.optimizers[0].param_groups[0]
        self._rate = self._n_samples / (now - self._since)
        self.write(
            {
                "event": "step",
                "step": task.n_steps,
                "epoch": _epoch(task),
                "loss": sum(self._losses) / len(self._losses),
                "learning_rate": group["lr"] / group["rate_share"],
                **self._progress(task),
            }
        )
        self._since, self._n_samples, self._losses = now, 0, []

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the steps since the last report, which in a short epoch are all of it."""
        if self._losses:
            self._report_steps(trainer, pl_module)  # type: ignore[arg-type]

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,  # noqa: ARG002  lightning's signature
    ) -> None:
        """Write the preview: the slice in the middle of those that this process validates."""
        self.skip(batch.get("skipped", ()))
        task: ReconstructionTask = pl_module  # type: ignore[assignment]
        n_own = math.ceil(task.n_validation / task.n_processes)
        if trainer.is_global_zero and outputs and batch_idx == (n_own - 1) // 2:
            image = previews.write(self.folder, task.n_steps, *(outputs[name][0] for name in previews.PANELS))
            self.write({"event": "preview", "step": task.n_steps, "image": image, "title": previews.TITLE})

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Report the validation scores, and what any of the processes left out by now."""
        self._bring_together()
        task: ReconstructionTask = pl_module  # type: ignore[assignment]
        total, count = self._epoch
        self.write(
            {
                "event": "validation",
                "step": task.n_steps,
                "epoch": _epoch(task),
                "loss": total / count if count else None,
                **self._progress(task),
                **task.scores,
            }
        )
        self._epoch = [0.0, 0.0]
        # Validation is not training time.
        self._since, self._n_samples, self._losses = time.monotonic(), 0, []

    def _bring_together(self) -> None:
        """Let every process know what the others left out: each reads other slices."""
        if not dist.is_initialized():
            return
        everyone: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(everyone, self.state()["skipped"])
        for left_out in everyone:
            for path, (reason, slices) in left_out.items():
                self.skip((path, reason, index) for index in slices or [None])

    def _progress(self, task: ReconstructionTask) -> dict[str, Any]:
        share, seconds = task.schedule_share, task.elapsed_seconds
        return {
            "seconds": round(seconds, 1),
            "eta_seconds": round(seconds * (1 - share) / share, 1) if share else None,
            "samples_per_second": round(self._rate, 3),
            "memory_gb": _memory_gb(),
            "share": round(share, 4),
        }


def read_lines(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the whole lines of a file of events and what they say; a line that a kill cut off is left out."""
    found = []
    for line in path.read_text("utf-8").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            found.append((line, event))
    return found


def _epoch(task: ReconstructionTask) -> int:
    """Epoch of the latest step: the last one of an epoch does not count to the next."""
    return max(task.n_steps - 1, 0) // task.epoch_steps


def _memory_gb() -> float:
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
