"""Which weights of a model serve a scan, and how its coils go in. Needs no torch: a window can ask at any time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from recon.errors import ModelError

if TYPE_CHECKING:
    from recon.models.card import ModelCard
    from recon.weights import Weights

# Most coils that a single-coil network takes one by one. It learned on coils as they are; compression mixes them into
# coils with other phases and less in each: on a 16-coil brain at 4x, twelve virtual coils cost 1.2 dB, eight 1.4.
_COIL_BY_COIL = 32


class Fit(NamedTuple):
    """How the coils of a scan meet a network.

    Attributes
    ----------
    weights
        None for a method without training.
    n_virtual
        Coils after compression, or after padding with zero coils.
    coil_by_coil
        A single-coil network takes them one by one.
    """

    weights: Weights | None
    n_virtual: int
    coil_by_coil: bool


def fit_file(weights: Weights, card: ModelCard, n_coils: int, asked: int | None) -> Fit:
    """Fit the weights of one file, whose preset has this card; see `fit_card`."""
    return _fit(weights, card, str(weights.path), n_coils, asked)


def fit_card(card: ModelCard, n_coils: int, asked: int | None) -> Fit:
    """Choose the weights of a preset for a scan.

    A network that holds all coils of a scan, or one that takes them one by one: the user's own before a bundled one,
    else whichever has the better scores on the scans that both were scored on, and the former where there are none.
    Without either, one that holds fewer: on a 16-coil brain at 4x, a network on four virtual coils is 2.6 dB below the
    single-coil network on all sixteen.

    Parameters
    ----------
    card
        The preset.
    n_coils
        Coils of the scan.
    asked
        Virtual coils that the user wants; None leaves the choice to the model.

    Raises
    ------
    ModelError
        If there are no weights, or none for the coils that were asked for.
    """
    if not card.needs_training:
        return Fit(None, min(asked or n_coils, n_coils), False)
    by_coils = weights_by_coils(card)
    if card.any_coils:
        return _fit(next(iter(by_coils.values())), card, card.title, n_coils, asked)
    single = 1 if 1 in by_coils else None
    if asked is not None:
        chosen = asked if asked in by_coils else single or asked
    else:
        holding = next((number for number in sorted(by_coils) if number >= n_coils), None)
        if holding is None or single is None:
            chosen = holding or single or max(by_coils)
        else:
            chosen = single if _is_preferred(by_coils[single], by_coils[holding]) else holding
    if chosen not in by_coils:
        raise missing(card, chosen)
    return _fit(by_coils[chosen], card, card.title, n_coils, asked)


def weights_by_coils(card: ModelCard) -> dict[int, Weights]:
    """Return the weights of a preset by their number of coils; of several, those that `find_weights` prefers.

    Raises
    ------
    ModelError
        If there are none.
    """
    found: dict[int, Weights] = {}
    for weights in card.weights:
        found.setdefault(weights.n_coils, weights)
    if not found:
        raise ModelError(
            f"{card.title} has no weights yet; train it, install some, or choose a model that has some or needs none."
        )
    return found


def missing(card: ModelCard, n_coils: int) -> ModelError:
    """Return the error that says which weights there are."""
    having = ", ".join(map(str, sorted(weights_by_coils(card))))
    return ModelError(
        f"{card.title} has no weights for {n_coils} coils, only for {having}; choose that number of virtual coils, or "
        "leave the choice to the model."
    )


def meet_coils(card: ModelCard, n_network: int, n_coils: int, asked: int | None = None) -> tuple[int, bool]:
    """Return how the coils of a scan meet a network, in use and in training alike.

    Parameters
    ----------
    card
        The network's preset.
    n_network
        Coils that it was made for.
    n_coils
        Coils of the scan.
    asked
        Virtual coils that the user wants; only a network for one coil or for any number can follow.

    Returns
    -------
    Virtual coils, and whether a single-coil network takes them one by one.
    """
    if card.any_coils:
        return asked or n_coils, False
    if n_network == 1:
        # Never more than there are: what a network makes of a coil of zeros is its own invention.
        n_virtual = min(n_coils, asked or _COIL_BY_COIL)
        return n_virtual, n_virtual > 1
    return n_network, False


def _is_preferred(one: Weights, other: Weights) -> bool:
    """Tell whether one is the user's own and the other is not, or scored higher on what both were scored on."""
    if one.is_bundled != other.is_bundled:
        return other.is_bundled
    common = [(psnr, other.psnr[key]) for key, psnr in one.psnr.items() if key in other.psnr]
    return sum(mine - theirs for mine, theirs in common) > 0


def _fit(weights: Weights, card: ModelCard, name: str, n_coils: int, asked: int | None) -> Fit:
    if not card.any_coils and weights.n_coils > 1 and asked not in (None, weights.n_coils):
        raise ModelError(
            f"{name} was trained on {weights.n_coils} virtual coils; {asked} do not fit. Choose {weights.n_coils}, or "
            "leave the choice to the model."
        )
    if card.any_coils:
        # More than there are would be coils of zeros, which training takes to make samples alike and no scan needs.
        asked = min(asked or n_coils, n_coils)
    return Fit(weights, *meet_coils(card, weights.n_coils, n_coils, asked))
