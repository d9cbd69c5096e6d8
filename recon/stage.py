"""A Stage: a named image that came out of a reconstruction at some moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, eq=False)
class Stage:
    """One image of the stream that every reconstruction is.

    A model yields stages whose ``image`` is a complex tensor of coil images ``(batch, coil, y, x)`` in its own
    scale; the pipeline hands on the same stages with ``image`` combined over the coils, in the scale of the data: a
    float32 numpy magnitude ``(y, x)``, and where the request wants it with its ``phase``.

    Attributes
    ----------
    name
        What a person calls it: ``zero-filled``, ``4x``, ``OC``, ``refine``, ``final``.
    path
        Where it stands: the module and, inside it, the iteration counted from 1, e.g. ``("4x", 3)``.
    image
        The image, see above.
    is_final
        True for the last stage of a slice, whose image is the result.
    slice_index
        Slice of the series that it belongs to.
    progress
        Share of the whole request that is done once this stage is out, 0 to 1.
    phase
        Of the image that the pipeline hands on: float32 ``(y, x)`` in radians, see `recon.phase`; None without.
    residual
        ‖A x − y‖ / ‖y‖ of that image, see `recon.operator.residual_norm`; None where it was not computed.
    """

    name: str
    path: tuple[str | int, ...]
    image: Any
    is_final: bool = False
    slice_index: int = 0
    progress: float = 0.0
    phase: Any = None
    residual: float | None = None

    @property
    def title(self) -> str:
        """Readable label: ``4x · 3`` for the third iteration of module 4x."""
        return " · ".join(str(part) for part in self.path)


def module_names(kinds: Sequence[str]) -> tuple[str, ...]:
    """Return the names that the stages of ConvRNN modules have: OC and UC in capitals; equal kinds are numbered."""
    names = [kind.upper() if kind in ("oc", "uc") else kind for kind in kinds]
    return tuple(
        name if names.count(name) == 1 else f"{name} ({names[: index + 1].count(name)})"
        for index, name in enumerate(names)
    )
