"""What a method asks of a scan's coils and of its sampling. Needs no torch: a window says it before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recon.calibration import FEW_LINES, MIN_LINES, calibration_block
from recon.errors import ModelError, RequestError
from recon.masks import LINE_KINDS
from recon.models import grappa_pattern

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from numpy.typing import NDArray

    from recon.masks import SamplingMask
    from recon.models.card import ModelCard

# An acceleration this many times the highest of the training is another task.
_FAR = 1.3


def check(
    card: ModelCard, n_coils: int, mask: SamplingMask, *, joins_coils: bool = False, maps: str = "espirit"
) -> None:
    """Compare a method with the coils that it gets and the samples that there are.

    Parameters
    ----------
    card
        The method.
    n_coils
        Coils, after compression.
    mask
        What is sampled.
    joins_coils
        The coils are joined, see `recon.joining`.
    maps
        How sensitivity maps are estimated, where the method takes them.

    Raises
    ------
    ModelError, RequestError
        If the method cannot work with them.
    """
    check_coils(card, n_coils)
    pattern = mask.mask
    if card.needs_sampling == "regular":
        _check_regular(pattern)
    elif n_coils > 1 and (card.needs_maps or joins_coils or card.needs_sampling == "calibration"):
        try:
            _n_calibration_lines(pattern, FEW_LINES if card.needs_maps and maps == "walsh" else MIN_LINES)
        except RequestError as error:
            what, instead = (", coils joined", " Or leave the coils as they are.") if joins_coils else ("", "")
            raise RequestError(f"{card.title}{what}: {error}{instead}") from None
    elif card.needs_sampling == "centre" and not pattern[pattern.shape[0] // 2, pattern.shape[1] // 2]:
        raise RequestError(f"{card.title}: {centre_is_missing()}")


def doubts(
    card: ModelCard,
    n_coils: int,
    mask: SamplingMask,
    training: Mapping[str, Any] | None = None,
    *,
    joins_coils: bool = False,
) -> list[str]:
    """Return in sentences why a method that can run may do badly: it gets too few coils, or what it never saw.

    Parameters
    ----------
    card, n_coils, mask, joins_coils
        See `check`.
    training
        The story of its weights; None for a method without any.
    """
    found = []
    if n_coils > 1 and (card.needs_maps or joins_coils or card.needs_sampling == "calibration"):
        n_lines = _n_calibration_lines(mask.mask)
        if n_lines < FEW_LINES:
            found.append(
                f"{n_lines} calibration lines are few: sensitivity maps from them are coarse, and {card.title} "
                f"does better with {FEW_LINES} or more (a larger centre fraction)."
            )
    if card.needs_sampling == "regular":
        spacing = int(np.diff(np.flatnonzero(mask.mask.any(axis=0))).max(initial=1))
        if n_coils < spacing:
            found.append(
                f"{card.title} has {n_coils} coils and lines {spacing} steps apart, more than so few coils can tell: "
                "expect noise and ghosts."
            )
    kinds = [kind for kind in _listed(training, "mask_kinds") if isinstance(kind, str)]
    factors = [factor for factor in _listed(training, "accelerations") if isinstance(factor, int | float)]
    unlike = []
    if kinds and not mask.is_line_mask and all(kind in LINE_KINDS for kind in kinds):
        unlike.append("here single points are sampled")
    if factors and mask.acceleration > _FAR * max(factors):
        unlike.append(f"this sampling is {mask.acceleration:.3g}×")
    if unlike:
        seen = [f"masks of the kinds {', '.join(kinds)}"] if kinds else []
        seen += [f"{' and '.join(f'{factor:g}×' for factor in factors)}"] if factors else []
        found.append(
            f"the weights of {card.title} were trained on {' at '.join(seen)}, and {' and '.join(unlike)}: the result "
            "may be worse than the zero-filled image."
        )
    return found


def _n_calibration_lines(pattern: NDArray[np.bool_], least: int = MIN_LINES) -> int:
    """Return the shorter side of the calibration block; RequestError where it is of no use."""
    # A line mask is as high as the image, and no image is lower than what is needed.
    whole = np.broadcast_to(pattern, (max(pattern.shape[0], FEW_LINES), pattern.shape[1]))
    block = calibration_block(whole, min_lines=least)
    return int(min(side.stop - side.start for side in block))


def _listed(story: Mapping[str, Any] | None, key: str) -> list[Any]:
    value = (story or {}).get(key)
    return list(value) if isinstance(value, list | tuple) else []


def check_coils(card: ModelCard, n_coils: int) -> None:
    """Raise ModelError where a method needs more coils than there are."""
    if n_coils < card.needs_coils:
        several_coils(card.title, n_coils, card.needs_coils)


def several_coils(title: str, n_coils: int, n_needed: int = 2) -> None:
    """Raise ModelError where a parallel imaging method has too few coils."""
    if n_coils < n_needed:
        raise ModelError(
            f"{title} needs {'several' if n_needed == 2 else f'at least {n_needed}'} coils, the data has "
            f"{'one' if n_coils == 1 else n_coils}; choose CS-TV (cs-tv), CS-wavelet (cs-wavelet) or a single-coil "
            "network."
        )


def centre_is_missing() -> RequestError:
    """Return the error of a method that learns the coils from the centre of k-space, where there is none."""
    return RequestError(
        "the mask does not sample the centre of k-space, from which this model estimates coil sensitivities; choose a "
        "model without sensitivity maps or, where the scan is not undersampled already, a mask with calibration lines "
        "(a centre fraction above 0)."
    )


def _check_regular(pattern: NDArray[np.bool_]) -> None:
    for sampled in grappa_pattern.lines(pattern, pattern.shape[-1]):
        if not sampled.all():
            first, last = grappa_pattern.calibration_lines(sampled)
            grappa_pattern.geometries(sampled, last - first + 1)
