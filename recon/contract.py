"""What a method owes the pipeline: a generator of stages with images of the right shape, type and sense. And what it
may expect of whoever calls it.

Methods come from other packages too, so every stage is looked at as it comes out, which costs no copy of an image, and
those methods compute on copies of the data: what they do to them in place must not reach the scores.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recon.errors import ModelError
from recon.models.plugins import blame, described
from recon.stage import Stage

if TYPE_CHECKING:
    from recon.models.blocks import ReconstructionModel
    from recon.models.card import ModelCard


def stages(
    model: ReconstructionModel,
    card: ModelCard,
    zero_filled: Tensor,
    kspace: Tensor,
    mask: Tensor,
    maps: Tensor | None,
) -> Generator[Stage, None, None]:
    """Yield the stages of a method, each checked.

    Parameters
    ----------
    model, card
        The method, and what errors call it by.
    zero_filled, kspace, mask, maps
        See `recon.models.blocks.ReconstructionModel.stages`.

    Raises
    ------
    ModelError
        If the method breaks the contract, or a plug-in fails in any other way; the message names the method, what was
        found and what was expected.
    """
    who = described(card)
    seen = zero_filled
    if card.source:
        zero_filled, kspace, mask = zero_filled.clone(), kspace.clone(), mask.clone()
        maps = None if maps is None else maps.clone()
    with blame(card):
        stream: Any = model.stages(zero_filled, kspace, mask, maps)
    # Only the method decides how long it keeps them.
    del zero_filled, kspace, mask, maps
    if not isinstance(stream, Generator):
        raise ModelError(f"{who}: stages() gave a {type(stream).__name__}; a generator, made with yield, was expected.")
    last: Stage | None = None
    with closing(stream):
        while True:
            with blame(card):
                stage = next(stream, None)
            if stage is None:
                break
            if last is not None and last.is_final:
                raise ModelError(f"{who}: a stage came after the final one; is_final was expected of the last alone.")
            check_stage(who, stage, seen)
            last = stage
            yield stage
    if last is None or not last.is_final:
        after = "without any stage" if last is None else f"with stage {last.title!r}"
        raise ModelError(f"{who}: the stream ended {after}; a last stage with is_final was expected.")


def check_input(zero_filled: Any, kspace: Any, mask: Any, maps: Any = None) -> None:
    """Refuse tensors that no method takes: real ones, or a mask or k-space that does not fit the image.

    Parameters
    ----------
    zero_filled, kspace, mask, maps
        See `recon.models.blocks.ReconstructionModel.stages`.

    Raises
    ------
    ModelError
        If one is of another type or shape than it has to be.
    """
    given = {"zero_filled": zero_filled, "kspace": kspace} | ({} if maps is None else {"maps": maps})
    for name, value in given.items():
        if not (isinstance(value, Tensor) and value.is_complex() and value.ndim == 4):
            raise ModelError(f"{name} is {_shown(value)}; a complex tensor (batch, coil, y, x) was expected.")
        if value.shape != zero_filled.shape:
            raise ModelError(
                f"{name} is {_shown(value)}; the shape of zero_filled, {_shape(zero_filled)}, was expected."
            )
    if not (isinstance(mask, Tensor) and mask.dtype == torch.bool and _reaches(mask.shape, zero_filled.shape)):
        size = _shape(zero_filled)[2:]
        raise ModelError(f"mask is {_shown(mask)}; a bool tensor of shape {(1, size[1])} or {size} was expected.")


def _reaches(shape: torch.Size, wanted: torch.Size) -> bool:
    """Whether a tensor of a shape can be broadcast to another."""
    return len(shape) <= len(wanted) and all(
        have in (1, want) for have, want in zip(reversed(shape), reversed(wanted), strict=False)
    )


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)


def _shown(value: Any) -> str:
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    return f"a {str(value.dtype).removeprefix('torch.')} tensor of shape {_shape(value)}"


def check_stage(who: str, stage: Any, zero_filled: Tensor) -> None:
    """Refuse a stage that cannot be combined, shown or stored.

    Parameters
    ----------
    who
        What the method is called.
    stage
        What it yielded.
    zero_filled
        What it was given, ``(batch, coil, y, x)``: the image has its size, and its coils or one.

    Raises
    ------
    ModelError
        If something is wrong with it.
    """
    if not isinstance(stage, Stage):
        raise ModelError(f"{who}: stages() yielded a {type(stage).__name__}; a recon.Stage was expected.")
    path: Any = stage.path
    if not (isinstance(path, tuple) and path and all(isinstance(part, (str, int)) for part in path)):
        raise ModelError(f"{who}: the path of a stage is {path!r}; a tuple such as ('iterate', 3) was expected.")
    if not (isinstance(stage.progress, (int, float)) and 0 <= stage.progress <= 1):
        raise ModelError(f"{who}: stage {stage.title!r} has progress {stage.progress!r}; 0 to 1 was expected.")
    batch, n_coils, *size = zero_filled.shape
    image: Any = stage.image
    expected = f"a complex64 tensor of shape {(batch, n_coils, *size)}"
    if n_coils > 1:
        expected += f", or {(batch, 1, *size)} where the coils are combined,"
    found = ""
    if not isinstance(image, Tensor):
        found = f"a {type(image).__name__}"
    elif image.shape not in ((batch, n_coils, *size), (batch, 1, *size)):
        found = f"of shape {tuple(image.shape)}"
    elif image.dtype != torch.complex64:
        found = f"of type {str(image.dtype).removeprefix('torch.')}"
    elif image.device != zero_filled.device:
        found, expected = f"on {image.device}", f"a tensor on {zero_filled.device}"
    if found:
        raise ModelError(f"{who}: the image of stage {stage.title!r} is {found}; {expected} was expected.")


def check_finite(card: ModelCard, stage: Stage, index: int, combined: Tensor) -> None:
    """Refuse an image, combined over its coils, that holds NaN or infinity.

    Parameters
    ----------
    card
        The method.
    stage
        The stage that the image belongs to.
    index
        Slice of the series.
    combined
        The image.

    Raises
    ------
    ModelError
        If it does.
    """
    if not bool(combined.amax().isfinite()):  # magnitudes: the largest is NaN or infinite where any is
        raise ModelError(
            f"{described(card)}: the image of stage {stage.title!r} of slice {index} (counted from 0) holds NaN or "
            "infinity; finite numbers were expected. Try precision fp32, other parameters or another model."
        )
