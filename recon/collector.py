"""Gathering a stream of stages into a result, also one that was stopped half-way."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

import numpy as np

from recon.errors import RequestError
from recon.result import Reconstruction, versions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recon.pipeline import Plan
    from recon.stage import Stage


class Collector:
    """Gathers a stream of stages into a Reconstruction."""

    def __init__(self, plan: Plan, keep: Literal["all", "modules", "none"] = "all") -> None:
        self.plan = plan
        self._keep = keep
        self._finals: dict[int, NDArray[np.float32]] = {}
        self._zero_filled: dict[int, NDArray[np.float32]] = {}
        self._stages: dict[tuple[str | int, ...], dict[int, NDArray[np.float32]]] = {}
        self._last: dict[str, tuple[str | int, ...]] = {}
        self._started = time.perf_counter()
        self._seconds = 0.0

    def add(self, stage: Stage) -> None:
        """Take one stage."""
        index = stage.slice_index
        if stage.is_final:
            self._finals[index] = stage.image
            self._seconds = time.perf_counter() - self._started
        elif stage.path == ("zero-filled",) and index not in self._zero_filled:
            self._zero_filled[index] = stage.image
        elif self._keep != "none":
            previous = self._last.get(stage.name)
            if self._keep == "modules" and previous is not None and previous != stage.path:
                self._stages.get(previous, {}).pop(index, None)
            self._last[stage.name] = stage.path
            self._stages.setdefault(stage.path, {})[index] = stage.image

    def result(self) -> Reconstruction:
        """Return what is complete.

        Raises
        ------
        RequestError
            If no slice is.
        """
        plan = self.plan
        done = tuple(index for index in plan.indices if index in self._finals)
        if not done:
            raise RequestError("the reconstruction was stopped before its first slice was done.")
        warnings = list(plan.warnings)
        if len(done) < len(plan.indices):
            warnings.append(f"stopped after {len(done)} of {len(plan.indices)} slices; the result is partial.")
        reference = plan.series.reference
        stages = {
            path: np.stack([images[index] for index in done])
            for path, images in self._stages.items()
            if all(index in images for index in done)
        }
        return Reconstruction(
            series=plan.series,
            request=plan.request,
            indices=done,
            final=np.stack([self._finals[index] for index in done]),
            zero_filled=np.stack([self._zero_filled[index] for index in done]),
            reference=None if reference is None else np.stack([reference[index] for index in done]),
            stage_paths=tuple(stages),
            stages={" · ".join(map(str, path)): volume for path, volume in stages.items()},
            mask=plan.mask,
            seconds=self._seconds,
            device=str(plan.device),
            precision=str(plan.dtype).removeprefix("torch."),
            n_virtual_coils=plan.n_virtual,
            grid="native" if plan.native else "cropped",
            weights_sha256=None if plan.weights is None else plan.weights.sha256,
            parameters=plan.parameters,
            parameter_origins=plan.parameter_origins,
            warnings=tuple(warnings),
            versions=versions(),
        )
