"""Models by name. Listing imports no model and no torch; creating one imports its family alone.

Presets are data (``resources/models/*.toml``); a family is a class and the frozen dataclass of its parameters. Other
packages add methods of their own, see `recon.models.plugins`.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING, Any

from recon.errors import ModelError
from recon.models.card import ModelCard, read_cards
from recon.models.fit import Fit, fit_card, fit_file, missing, weights_by_coils
from recon.models.parameters import typed
from recon.models.plugins import build, check_names, read_plugins
from recon.values import whole
from recon.weights import Weights, load_tensors, read_header

if TYPE_CHECKING:
    from recon.models.blocks import ReconstructionModel

ALIASES = {"pcrnn": "pcrnn-s"}

# family -> (module, class, parameter class)
FAMILIES = {
    "zero-filled": ("recon.models.zero_filled", "ZeroFilled", "ZeroFilledParameters"),
    "convrnn": ("recon.models.convrnn", "ConvRNN", "ConvRNNParameters"),
    "d5c5": ("recon.models.d5c5", "D5C5", "D5C5Parameters"),
    "kikinet": ("recon.models.kikinet", "KIKINet", "KIKINetParameters"),
    "unet-fastmri": ("recon.models.unet", "FastMRIUNet", "FastMRIUNetParameters"),
    "unet-oucr": ("recon.models.unet", "OUCRUNet", "OUCRUNetParameters"),
    "kiunet": ("recon.models.kiunet", "KiUNet", "KiUNetParameters"),
    "complexmri": ("recon.models.complexmri", "ComplexMRI", "ComplexMRIParameters"),
    "vn": ("recon.models.vn", "VariationalNetwork", "VariationalNetworkParameters"),
    "vsnet": ("recon.models.vsnet", "VSNet", "VSNetParameters"),
    "e2e-varnet": ("recon.models.varnet", "VarNet", "VarNetParameters"),
    "cg-sense": ("recon.models.cg_sense", "CGSense", "CGSenseParameters"),
    "cs-tv": ("recon.models.total_variation", "TotalVariation", "TotalVariationParameters"),
    "cs-wavelet": ("recon.models.wavelet", "Wavelet", "WaveletParameters"),
    "cs-bart": ("recon.models.bart", "Bart", "BartParameters"),
    "grappa": ("recon.models.grappa", "Grappa", "GrappaParameters"),
}


def list_models() -> list[ModelCard]:
    """Return the cards of all presets, in reading order; plug-ins come last, also those that cannot be used."""
    return [card.checked() for card in _cards().values()]


def get_card(name: str) -> ModelCard:
    """Return the card of a preset or alias.

    Raises
    ------
    ModelError
        If there is none of that name; the message names close ones where there are.
    """
    cards = _cards()
    if not isinstance(name, str):
        raise ModelError(f"the model is {name!r}; give the name of one, `models list` shows all.")
    name = ALIASES.get(name, name)
    if name not in cards:
        import difflib

        close = difflib.get_close_matches(name, [*cards, *ALIASES], n=3)
        # Where nothing is close it may have been a file.
        hint = f"did you mean {', '.join(close)}?" if close else "weights are files that end in .safetensors."
        raise ModelError(f"there is no model {name!r}; {hint} `models list` shows all.")
    return cards[name].checked()


def create(preset: str, n_coils: int = 1, **overrides: Any) -> ReconstructionModel:
    """Make a model with fresh weights.

    Parameters
    ----------
    preset
        Name or alias.
    n_coils
        Coils in and out.
    overrides
        Parameters that replace the preset's.

    Raises
    ------
    ModelError
        If the preset or a parameter is unknown or impossible.
    """
    card = _usable(preset)
    if whole(n_coils, "n_coils") < 1:
        raise ModelError(f"a network for {n_coils} coils was asked for; at least one is needed.")
    return _build(card, n_coils, {**card.parameters_for(n_coils), **overrides})


def load(preset_or_weights: str, n_coils: int | None = None, device: str = "cpu") -> ReconstructionModel:
    """Make a model with trained weights, ready for inference.

    Parameters
    ----------
    preset_or_weights
        Preset, alias, or path of a ``.safetensors`` file.
    n_coils
        Coils of the network; None takes what the file holds, or the first weights of the preset. A network that takes
        any array takes any number.
    device
        Where the model goes.

    Raises
    ------
    ModelError
        If there are no weights for it, or they are broken or do not fit.
    """
    from recon.device import resolve

    device = str(resolve(str(device)))
    if str(preset_or_weights).endswith(".safetensors"):
        weights = read_header(preset_or_weights)
        if n_coils not in (None, weights.n_coils) and not _usable(weights.preset).any_coils:
            raise ModelError(
                f"{weights.path}: holds weights for {weights.n_coils} coil(s), not for {n_coils}; leave n_coils out. A "
                "reconstruction with them compresses the coils of a scan, or takes them one by one."
            )
        return load_weights(weights, device)
    card = _usable(preset_or_weights)
    if not card.needs_training:
        return create(card.name, n_coils or 1).to(device).eval()
    available = weights_by_coils(card)
    wanted = next(iter(available)) if n_coils is None or card.any_coils else n_coils
    if wanted not in available:
        raise missing(card, wanted)
    return load_weights(available[wanted], device)


def fit_coils(preset_or_weights: str, n_coils: int, asked: int | None = None) -> Fit:
    """Return the weights for a scan and how its coils meet them; see `recon.models.fit.fit_card`."""
    if preset_or_weights.endswith(".safetensors"):
        weights = read_header(preset_or_weights)
        return fit_file(weights, _usable(weights.preset), n_coils, asked)
    return fit_card(_usable(preset_or_weights), n_coils, asked)


def load_weights(weights: Weights, device: str = "cpu") -> ReconstructionModel:
    """Make the model that a weights file describes and fill it.

    Raises
    ------
    ModelError
        If the numbers do not fit the model.
    """
    card = _usable(weights.preset)
    model = _build(card, weights.n_coils, dict(weights.story["parameters"]))
    tensors = {name: tensor.float() for name, tensor in load_tensors(weights).items()}
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise ModelError(f"{weights.path}: the weights do not fit {card.title} ({reason}).") from None
    return model.to(device).eval()


@cache
def _cards() -> dict[str, ModelCard]:
    own = read_cards()
    return own | read_plugins(dict.fromkeys((*own, *ALIASES), "the workstation"))


def _usable(name: str) -> ModelCard:
    card = get_card(name)
    if card.problem:
        raise ModelError(card.problem)
    return card


def _build(card: ModelCard, n_coils: int, values: dict[str, Any]) -> ReconstructionModel:
    # TOML and JSON know lists only; parameters are frozen.
    frozen = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    if ":" in card.family:
        return build(card, n_coils, frozen)
    if card.family not in FAMILIES:
        raise ModelError(f"model family {card.family!r} is unknown; update the workstation.")
    module_name, class_name, parameters_name = FAMILIES[card.family]
    module = importlib.import_module(module_name)
    parameters_class = getattr(module, parameters_name)
    check_names(card.family, parameters_class, frozen)
    values = typed(parameters_class, frozen)
    model: ReconstructionModel = getattr(module, class_name)(n_coils, parameters_class(**values))
    return model


__all__ = ["ALIASES", "Fit", "ModelCard", "create", "fit_coils", "get_card", "list_models", "load", "load_weights"]
