"""What the window keeps of a reconstruction: every stage of every slice with its scores, and the images of most."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recon.collector import survives
from recon.errors import LEFT_OUT

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from recon.data import Series
    from recon.request import Request
    from recon.result import Reconstruction
    from recon.stage import Stage

State = Literal["running", "done", "partial", "failed"]


@dataclass(frozen=True, eq=False)
class Step:
    """One stage of one slice, as the scrubber shows it.

    Attributes
    ----------
    module
        First part of the path: ``zero-filled``, ``4x``, ``OC``, ``final``.
    iteration
        Second part of the path, counted from 1; None for stages without iterations.
    image
        None where it was given up: of a solver that runs on several slices, few iterates of each slice are kept.
    scores
        ``psnr``, ``ssim`` and ``nmse`` against the reference; None without one.
    phase
        Of the image, in half precision: two thousandths of a radian are finer than any screen.
    residual
        How far the image is from what was measured, see `recon.operator.residual_norm`.
    """

    module: str
    iteration: int | None
    title: str
    image: NDArray[np.float32] | None
    is_final: bool
    scores: dict[str, float] | None = None
    phase: NDArray[np.float16] | None = None
    residual: float | None = None

    @classmethod
    def from_stage(cls, stage: Stage, scores: dict[str, float] | None) -> Step:
        """Take over a stage of the pipeline."""
        iteration = next((part for part in stage.path[1:] if isinstance(part, int)), None)
        phase = None if stage.phase is None else stage.phase.astype("float16")
        return cls(
            str(stage.path[0]),
            iteration,
            stage.title,
            stage.image,
            stage.is_final,
            scores,
            phase,
            stage.residual,
        )


@dataclass(eq=False)
class SliceResult:
    """The steps of one slice, in order of appearance."""

    steps: list[Step] = field(default_factory=list)
    is_thin: bool = False

    def thin(self) -> None:
        """Give up the images of most iterates of each module; their scores stay."""
        if self.is_thin:
            return
        self.is_thin = True
        counts = dict.fromkeys(self.modules, 0)
        last = {module: self.last_of(module) for module in counts}
        for place, step in enumerate(self.steps):
            counts[step.module] += 1
            if not (survives(counts[step.module]) or step is last[step.module]):
                self.steps[place] = replace(step, image=None, phase=None)

    def shown_at(self, place: int, direction: int = 0) -> int:
        """Return the place of the step with an image that is nearest to a place.

        Parameters
        ----------
        place
            Index of a step; beyond the ends counts as the first or last.
        direction
            1 or -1: the first one from there on in this direction, while there is one.
        """
        place = max(0, min(place, len(self.steps) - 1))
        having = [index for index, step in enumerate(self.steps) if step.image is not None]
        ahead = [index for index in having if (index - place) * direction >= 0]
        return min(ahead or having, key=lambda index: abs(index - place), default=place)

    @property
    def final(self) -> Step | None:
        """The result, or None while the slice is being computed."""
        return next((step for step in reversed(self.steps) if step.is_final), None)

    @property
    def modules(self) -> list[str]:
        """Names of the modules, in order of appearance."""
        return list(dict.fromkeys(step.module for step in self.steps))

    def last_of(self, module: str, up_to: int | None = None) -> Step | None:
        """Return the newest step of a module, not later than a position."""
        steps = self.steps if up_to is None else self.steps[: up_to + 1]
        return next((step for step in reversed(steps) if step.module == module), None)

    def n_iterations(self, module: str) -> int:
        """Return how many steps a module has so far."""
        return sum(step.module == module for step in self.steps)


@dataclass(eq=False)
class Result:
    """One reconstruction of this session, complete or not.

    Scores of its slices are relative to `data_range`, the maximum of the reference over the slices that it was to make.
    """

    number: int
    series: Series
    request: Request
    model_title: str
    announced: tuple[str, ...] = ()
    is_thinned: bool = False
    state: State = "running"
    seconds: float = 0.0
    data_range: float = 0.0
    slices: dict[int, SliceResult] = field(default_factory=dict)
    reconstruction: Reconstruction | None = None

    @property
    def title(self) -> str:
        """Short label, e.g. ``#2 · PC-RNN · Random lines 4×`` or ``#3 · CS-TV, lambda 0.02 · Random lines 4×``."""
        end = ""
        if self.state == "partial":
            wanted = len(self.request.slices or range(self.series.n_slices))
            end = f" · {len(self.finished)} of {wanted} slices" if self.finished else " · cancelled"
        return f"#{self.number} · {self.method} · {self.pattern}{end}"

    @property
    def method(self) -> str:
        """The model, with the parameters that the user set, and those that it chose for the scan once it has images."""
        done, chosen = self.reconstruction, {}
        if done is not None:
            chosen = {name: done.parameters[name] for name in done.parameter_origins if name in done.parameters}
        return method_of(self.model_title, self.request, chosen)

    @property
    def is_zero_filled(self) -> bool:
        """True where the final image is the zero-filled one: no model, and no coils compressed."""
        return self.request.model == "zero-filled" and self.request.coils is None

    @property
    def pattern(self) -> str:
        """What was sampled, e.g. ``Random lines 4×``."""
        return pattern_of(self.series, self.request)

    @property
    def parameter_text(self) -> str:
        """What a method ran with beside its weights, and where values are from; empty before there are images."""
        return "" if self.reconstruction is None else self.reconstruction.parameter_text

    @property
    def remarks(self) -> tuple[str, ...]:
        """What whoever looks at the images should know, besides the notes of the series; empty before there are any."""
        if self.reconstruction is None:
            return ()
        texts = [text for text in self.reconstruction.warnings if text not in self.series.notes]
        return (*(text for text in texts if LEFT_OUT not in text), *self.left_out)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Why slices could not be used, which the window counts from 1; empty where all could."""
        left_out = {} if self.reconstruction is None else self.reconstruction.left_out
        return tuple(f"Slice {index + 1} {LEFT_OUT}: {reason}" for index, reason in left_out.items())

    @property
    def finished(self) -> tuple[int, ...]:
        """Slices that have their final image, in ascending order."""
        return tuple(sorted(index for index, item in self.slices.items() if item.final is not None))

    @property
    def modules(self) -> list[str]:
        """Modules between zero-filled and final, in order of appearance, over all slices."""
        names = dict.fromkeys(name for item in self.slices.values() for name in item.modules)
        return [name for name in names if name not in ("zero-filled", "final")]

    @property
    def expected_modules(self) -> list[str]:
        """Modules that the card announces, then others that came: columns do not jump while a slice is computed."""
        found = self.modules
        if self.finished:
            return found
        return list(dict.fromkeys((*self.announced, *found)))

    def add(self, stage: Stage, scores: dict[str, float] | None) -> Step:
        """Take in a stage."""
        step = Step.from_stage(stage, scores)
        self.slices.setdefault(stage.slice_index, SliceResult()).steps.append(step)
        return step

    def thin(self, shown: int | None) -> None:
        """Give up most iterates of the slices that are finished, where they are thinned, but for the slice in view."""
        if self.is_thinned:
            for index, item in self.slices.items():
                if index != shown and item.final is not None:
                    item.thin()

    def adopt(self, reconstruction: Reconstruction | None) -> None:
        """Keep what the pipeline collected, drop slices that were cut off, and share its images.

        A slice that was cut off in the middle would look like a result. Where it is all that there is of a run that the
        user cancelled, it stays to be looked at, and the title says what it is.
        """
        self.reconstruction = reconstruction
        if reconstruction is None and self.state == "partial":
            return
        finished = {} if reconstruction is None else {n: place for place, n in enumerate(reconstruction.indices)}
        self.slices = {index: self.slices[index] for index in sorted(finished) if index in self.slices}
        if reconstruction is None:
            return
        for index, item in self.slices.items():
            place = finished[index]
            item.steps = [replace(step, image=self._stored(step, place)) for step in item.steps]

    def _stored(self, step: Step, place: int) -> NDArray[np.float32] | None:
        """The image of a step inside the collected volumes, so that it is in memory once."""
        assert self.reconstruction is not None
        if step.is_final:
            return self.reconstruction.final[place]
        if step.module == "zero-filled":
            return self.reconstruction.zero_filled[place]
        volume = self.reconstruction.stages.get(step.title)
        return step.image if volume is None else volume[place]


def title_of(card: Any, request: Request) -> str:
    """Return what the model of a request is called; the card is None for a file of weights."""
    title: str = request.model if card is None else card.title
    if card is not None and request.model.endswith(".safetensors"):
        title += f" ({Path(request.model).stem})"
    return title


def method_of(title: str, request: Request, chosen: Mapping[str, Any] | None = None) -> str:
    """Return a model with the parameters that the user set, and those that it chose for the scan."""
    named = dict(request.overrides) | dict(chosen or {})
    named.pop("join_coils", None)
    values = "".join(f", {name.strip('_')} {_short(value)}" for name, value in named.items())
    return f"{title}{values}{', coils joined' if request.join_coils is not None else ''}"


def pattern_of(series: Series, request: Request) -> str:
    """Return what a request samples of a series, e.g. ``Random lines 4×``."""
    return request.mask.title if series.acquired_mask is None else "the scanner's pattern"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
