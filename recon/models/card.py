"""Model cards: what a preset is, read from ``resources/models/*.toml`` without importing any model."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recon import programs
from recon.errors import ModelError
from recon.weights import Weights, find_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

Scale = Literal["mean", "maximum"]
Sampling = Literal["any", "centre", "calibration", "regular"]
DataConsistency = Literal["hard", "soft", "none"]

CONSISTENCY_WORDS = {
    "hard": "hard, what was measured stays",
    "soft": "soft, drawn towards what was measured",
    "none": "none, what was measured may change",
}

RESOURCES = Path(__file__).resolve().parent.parent.parent / "resources"


@dataclass(frozen=True)
class ModelCard:
    """One preset, in words and numbers.

    Attributes
    ----------
    name
        What `recon.models.create` takes.
    title
        What a person reads.
    family
        Key of the class in `recon.models.FAMILIES`; of a plug-in also ``module:Class``.
    group
        Heading in lists: ``PC-RNN``, ``OUCR``, ``Classical``, …
    paper
        Citation.
    summary
        One or two sentences.
    parameters
        Values of the family's parameter class.
    parameters_by_coils
        Values that replace them at a number of coils, where the paper keeps the size constant.
    needs_training
        True when the method means nothing without weights.
    needs_maps
        True when the method takes coil sensitivity maps; the pipeline estimates them.
    any_coils
        True when the parameters do not depend on the number of coils, so the same weights take any array.
    scale
        What the pipeline divides by, see `recon.pipeline.prepare`: ``mean`` or ``maximum``.
    data_consistency
        What becomes of the measured samples: ``hard`` keeps them exactly, ``soft`` draws towards them, ``none``.
    needs_coils
        Coils that there must be.
    needs_sampling
        What the method asks of the mask, so that it can be said before anything runs: ``centre``, the centre of
        k-space; ``calibration``, enough fully sampled lines there (methods with maps ask for them in any case);
        ``regular``, those and columns at regular steps; ``any``, nothing. See `recon.models.requirements`.
    source
        The package that a plug-in came with, such as ``mri-example 1.0``; empty for the workstation's own.
    problem
        Why the method cannot be used, in a sentence; empty when it can. See `checked`.
    is_paper_size
        False for a preset that is smaller than the network of its paper.
    requires_program, install
        A program that the method runs, and the command that installs it; empty for most.
    """

    name: str
    title: str
    family: str
    group: str
    paper: str
    summary: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    parameters_by_coils: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    needs_training: bool = True
    needs_maps: bool = False
    any_coils: bool = False
    scale: Scale = "mean"
    data_consistency: DataConsistency = "soft"
    needs_coils: int = 1
    needs_sampling: Sampling = "any"
    source: str = ""
    problem: str = ""
    is_paper_size: bool = True
    requires_program: str = ""
    install: str = ""

    @property
    def weights(self) -> tuple[Weights, ...]:
        """Weights that exist for this preset, the preferred ones first; see `recon.weights.find_weights`."""
        return tuple(weights for weights in find_weights() if weights.preset == self.name)

    @property
    def available(self) -> bool:
        """True when the preset can reconstruct now."""
        return not self.problem and (not self.needs_training or bool(self.weights))

    def checked(self) -> ModelCard:
        """Return the card with the problem that it has now: a program may come and go while a window is open."""
        if self.problem or not self.requires_program:
            return self
        return replace(self, problem=programs.missing(self.requires_program, self.install, self.title))

    def parameters_for(self, n_coils: int) -> dict[str, Any]:
        """Return the parameters for a number of coils; between listed numbers, those of the nearest."""
        values = dict(self.parameters)
        if self.parameters_by_coils:
            nearest = min(self.parameters_by_coils, key=lambda listed: abs(listed - n_coils))
            values.update(self.parameters_by_coils[nearest])
        return values

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return {
            "name": self.name,
            "title": self.title,
            "family": self.family,
            "group": self.group,
            "paper": self.paper,
            "summary": self.summary,
            "parameters": dict(self.parameters),
            "needs_training": self.needs_training,
            "needs_maps": self.needs_maps,
            "any_coils": self.any_coils,
            "data_consistency": self.data_consistency,
            "needs_coils": self.needs_coils,
            "needs_sampling": self.needs_sampling,
            "available": self.available,
            "source": self.source,
            "problem": self.problem,
            "is_paper_size": self.is_paper_size,
            "requires_program": self.requires_program,
            "weights": [weights.to_dict() for weights in self.weights],
        }


@cache
def read_cards() -> dict[str, ModelCard]:
    """Read all cards, in the order in which they should be listed."""
    cards = [_read_card(path) for path in sorted((RESOURCES / "models").glob("*.toml"))]
    order = {path: position for position, path in enumerate(_listing())}
    return {card.name: card for card in sorted(cards, key=lambda card: order.get(card.name, len(order)))}


def _read_card(path: Path) -> ModelCard:
    try:
        values = tomllib.loads(path.read_text("utf-8"))
        by_coils = {int(coils): dict(part) for coils, part in values.pop("parameters_by_coils", {}).items()}
        return ModelCard(name=path.stem, parameters_by_coils=by_coils, **values)
    except (OSError, tomllib.TOMLDecodeError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: the model card cannot be read ({error}); reinstall the workstation.") from None


def _listing() -> list[str]:
    return (RESOURCES / "models" / "order.txt").read_text("utf-8").split()
