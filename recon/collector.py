"""Gathering a stream of stages into a result, also one that was stopped half-way."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from recon.errors import LEFT_OUT, RequestError, SliceError
from recon.models.size import size_note
from recon.result import Reconstruction, is_usable, versions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recon.models.card import ModelCard
    from recon.pipeline import Plan
    from recon.stage import Stage


# Which stages stay; see `recon.run`.
Keep = Literal["all", "thinned", "modules", "none"]


def is_thinned(card: ModelCard, n_slices: int) -> bool:
    """Return True where the iterates of a method are thinned: those of a solver that runs on several slices.

    A network has as many stages as it has modules and iterations. A solver has as many as it takes, and a volume of
    them fills the memory.
    """
    return n_slices > 1 and not card.needs_training


def survives(ordinal: int) -> bool:
    """Return True for the iterates of a slice that stay where they are thinned: the first, second, 4th, 8th, 16th …

    The last one stays too. A solver goes far in its first steps and hardly moves in its last; and slices on which it
    stops sooner or later keep the same iterates, so that they make a volume.

    Parameters
    ----------
    ordinal
        Place among the iterates that came out, from 1.
    """
    return ordinal & (ordinal - 1) == 0


class Collector:
    """Gathers a stream of stages into a Reconstruction.

    Parameters
    ----------
    plan
        What is computed.
    keep
        Which stages stay in the result, see `recon.run`; the others are forgotten as soon as the next one is there.

    Raises
    ------
    RequestError
        If ``keep`` is none of `Keep`.
    """

    def __init__(self, plan: Plan, keep: Keep = "thinned") -> None:
        if keep not in get_args(Keep):
            raise RequestError(f"keep is {keep!r}; choose {', '.join(get_args(Keep))}.")
        self.plan = plan
        self._keep: Keep = keep
        if keep == "thinned" and not is_thinned(plan.card, len(plan.indices)):
            self._keep = "all"
        self._finals: dict[int, NDArray[np.float32]] = {}
        self._zero_filled: dict[int, NDArray[np.float32]] = {}
        self._phases: dict[int, NDArray[np.float32]] = {}
        self._residuals: dict[int, float | None] = {}
        self._stages: dict[tuple[str | int, ...], dict[int, NDArray[np.float32]]] = {}
        # Module -> slice, path and ordinal of its newest stage.
        self._last: dict[str, tuple[int, tuple[str | int, ...], int]] = {}
        self._started = time.perf_counter()
        self._seconds = 0.0

    def add(self, stage: Stage) -> None:
        """Take one stage."""
        index = stage.slice_index
        if stage.is_final:
            self._finals[index] = stage.image
            self._residuals[index] = stage.residual
            if stage.phase is not None:
                self._phases[index] = stage.phase
            self._seconds = time.perf_counter() - self._started
        elif stage.path == ("zero-filled",) and index not in self._zero_filled:
            self._zero_filled[index] = stage.image
        elif self._keep != "none":
            last_index, path, ordinal = self._last.get(stage.name, (index, stage.path, 0))
            if last_index != index:
                ordinal = 0
            elif path != stage.path and not self._stays(ordinal):
                self._stages.get(path, {}).pop(index, None)
            self._last[stage.name] = index, stage.path, ordinal + 1
            self._stages.setdefault(stage.path, {})[index] = stage.image

    def _stays(self, ordinal: int) -> bool:
        return self._keep == "all" or (self._keep == "thinned" and survives(ordinal))

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
        size = size_note(plan.card, plan.weights)
        warnings = [*plan.warnings, *([size] if size else []), *plan.notes, *plan.model.notes]
        left_out = {
            index: f"it {error.reason}" if isinstance(error, SliceError) else error.problem
            for index, error in plan.left_out.items()
        }
        warnings += [f"slice {index} (counted from 0) {LEFT_OUT}: {reason}" for index, reason in left_out.items()]
        if len(done) + len(plan.left_out) < len(plan.indices):
            warnings.append(f"stopped after {len(done)} of {len(plan.indices)} slices; the result is partial.")
        references = plan.series.reference
        reference = None if references is None else np.stack([references[index] for index in done])
        if reference is not None and not is_usable(reference):
            warnings.append(
                f"the largest value of the reference is {reference.max():g}, and it must hold something above zero: "
                "there are no scores. Delete it from the file to have it computed from the k-space."
            )
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
            phase=np.stack([self._phases[index] for index in done]) if self._phases else None,
            residuals=tuple(self._residuals[index] for index in done),
            reference=reference,
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
            left_out=left_out,
            versions=versions() | dict(plan.model.versions),
        )
