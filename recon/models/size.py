"""The size of weights beside the size of their preset: a network that was trained smaller says so wherever it runs.

Needs no torch: the card and the header of the weights tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recon.models.card import ModelCard
    from recon.weights import Weights

# How a network is trained, and not what it is.
_NO_SIZE = ("checkpointing",)


def differences(card: ModelCard, weights: Weights) -> dict[str, tuple[Any, Any]]:
    """Return the parameters in which weights differ from their preset's: of the weights, and of the card."""
    own: Mapping[str, Any] = weights.story["parameters"]
    return {
        name: (own[name], value)
        for name, value in card.parameters_for(weights.n_coils).items()
        if name in own and name not in _NO_SIZE and _plain(own[name]) != _plain(value)
    }


def size_text(card: ModelCard, weights: Weights) -> str:
    """Return the size of weights, and, where they are of another network than the card says, in what they differ."""
    return size_note(card, weights) or f"{weights.n_parameters:,} parameters"


def size_note(card: ModelCard, weights: Weights | None) -> str:
    """Return in a sentence how weights differ from the network of their card; nothing where they do not.

    Parameters
    ----------
    card
        The preset.
    weights
        Those that run; None for a method without.

    Returns
    -------
    Such as ``these weights: 48 filters, 131,050 parameters; the paper's have 480 filters.``
    """
    found = {} if weights is None else differences(card, weights)
    if weights is None or not found:
        return ""
    own = ", ".join(_named(name, value) for name, (value, _) in found.items())
    others = ", ".join(_named(name, value) for name, (_, value) in found.items())
    whose = "the paper's" if card.is_paper_size else "the preset's"
    return f"these weights: {own}, {weights.n_parameters:,} parameters; {whose} have {others}."


def _named(name: str, value: Any) -> str:
    if name.startswith("n_"):
        return f"{value} {name.removeprefix('n_').replace('_', ' ')}"
    return f"{name.rstrip('_')} {', '.join(map(str, value)) if isinstance(value, (list, tuple)) else value}"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
