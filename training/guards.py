"""A run that meets a value that is not finite ends before the weights do, and says which samples it was."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recon.errors import MRIError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MOST_NAMED = 8


class NotFiniteError(MRIError):
    """The loss or the gradient of a step is not finite."""


class Guard:
    """Looks at each batch, and judges the step that they make.

    Attributes
    ----------
    describe
        Says in words what a sample is, by its number.
    shape
        ``(batch, coil, y, x)`` of the latest batch.
    """

    def __init__(self) -> None:
        self.describe: Callable[[int], str] = lambda _: ""
        self.shape: tuple[int, int, int, int] | None = None
        self._suspects: list[str] = []
        self._all: list[str] = []

    def begin(self, batch: Mapping[str, Any]) -> None:
        """Note the shape of a batch that is about to be computed."""
        n_batch, n_coils, rows, columns = batch["zero_filled"].shape
        self.shape = n_batch, n_coils, rows, columns

    def look(self, loss: float, batch: Mapping[str, Any], first: int) -> None:
        """Note which samples a batch holds, and whether its loss is finite."""
        n_samples = len(batch["target"])
        self._all.append(f"{first} to {first + n_samples - 1}" if n_samples > 1 else f"{first}")
        if not math.isfinite(loss):
            self._suspects += [self._name(batch, first, place) for place in range(n_samples)]

    def judge(self, step: int, rows: list[tuple[float, float]]) -> None:
        """Raise NotFiniteError if a loss or a norm of the gradient, one pair for each process, is not finite."""
        bad = [number for number, (loss, norm) in enumerate(rows) if not (math.isfinite(loss) and math.isfinite(norm))]
        if not bad:
            return
        loss, norm = rows[bad[0]]
        what = f"the loss is {loss}" if not math.isfinite(loss) else f"the norm of the gradient is {norm}"
        suspects = _gather_texts(self._suspects)
        if suspects:
            samples = "; ".join(suspects[:_MOST_NAMED])
            more = f"; and {len(suspects) - _MOST_NAMED} more" if len(suspects) > _MOST_NAMED else ""
            where = f"Batch: {samples}{more}."
        else:
            where = f"Samples {', '.join(_gather_texts(self._all)[:_MOST_NAMED])}."
        broken = any("not finite" in suspect for suspect in suspects)
        advice = "Take the damaged data out." if broken else "The data itself is finite: lower the learning rate."
        raise NotFiniteError(f"step {step}: {what}. {where} {advice}")

    def forget(self) -> None:
        """Begin the next step."""
        self._suspects, self._all = [], []

    def _name(self, batch: Mapping[str, Any], first: int, place: int) -> str:
        words = [f"sample {first + place}", self.describe(first + place)]
        mask: Tensor = batch["mask"][place]
        kept = int(mask.expand(*mask.shape[:-2], *batch["target"].shape[-2:]).sum())
        total = batch["target"][place].numel()
        words.append(f"mask keeps 1 of {total / kept:.1f}" if kept else "mask keeps nothing")
        damaged = [
            name
            for name, value in batch.items()
            if isinstance(value, Tensor) and not bool(torch.isfinite(value[place]).all())
        ]
        if damaged:
            words.append(f"{' and '.join(sorted(damaged))} not finite")
        return ", ".join(word for word in words if word)


def _gather_texts(texts: list[str]) -> list[str]:
    """Texts of all processes; called by all of them or by none."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return texts
    rows: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(rows, texts)
    return [text for row in rows for text in row]
