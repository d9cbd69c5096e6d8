"""What is shown of complex images: magnitude, phase, real or imaginary part."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from app.views import levels

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Picture:
    """An image of the grid.

    Attributes
    ----------
    magnitude
        float32 ``(y, x)``.
    phase
        Of the same shape, in radians; None where it is not known.
    """

    magnitude: NDArray[np.float32]
    phase: NDArray[np.floating] | None = None

    def is_same(self, other: Picture | None) -> bool:
        """Whether another picture is of the same arrays."""
        return other is not None and other.magnitude is self.magnitude and other.phase is self.phase


class Component(Enum):
    """Part of a complex image."""

    MAGNITUDE = "magnitude"
    PHASE = "phase"
    REAL = "real"
    IMAGINARY = "imaginary"

    @property
    def key(self) -> str:
        """Key that chooses it."""
        return self.value[0].upper()

    @property
    def title(self) -> str:
        """What the menu says."""
        return {"real": "Real part", "imaginary": "Imaginary part"}.get(self.value, self.value.capitalize())

    @property
    def has_signed_errors(self) -> bool:
        """Whether its errors have a sign: those of the phase, which is noise without signal, are complex."""
        return self is not Component.PHASE

    def error_title(self, *, is_signed: bool = False) -> str:
        """Return what the error maps show: of the phase the complex difference."""
        title = {"phase": "complex error", "real": "real error", "imaginary": "imag. error"}.get(self.value, "error")
        return title if is_signed and self.has_signed_errors else f"|{title}|"

    def error_hint(self, *, is_signed: bool = False) -> str:
        """Return the same in words."""
        of = {"phase": "the complex ", "real": "the real parts' ", "imaginary": "the imaginary parts' "}
        difference = f"{of.get(self.value, '')}image − reference"
        if is_signed and self.has_signed_errors:
            return f"{difference[0].upper()}{difference[1:]}: orange is too bright, blue too dark"
        return f"Magnitude of {difference}"

    def of(self, picture: Picture | None) -> NDArray[np.float32] | None:
        """Return what is shown of a picture; None where it has no phase and one is needed."""
        if picture is None or self is Component.MAGNITUDE:
            return None if picture is None else picture.magnitude
        if picture.phase is None:
            return None
        phase = np.asarray(picture.phase, np.float32)
        if self is Component.PHASE:
            return phase
        return picture.magnitude * (np.cos(phase) if self is Component.REAL else np.sin(phase))

    def error(self, picture: Picture, reference: Picture, *, is_signed: bool = False) -> NDArray[np.float32] | None:
        """Return the error map of a picture, in the unit of the data; None where a phase is missing."""
        if self is Component.PHASE:
            parts = [part.error(picture, reference) for part in (Component.REAL, Component.IMAGINARY)]
            real, imaginary = parts
            return None if real is None or imaginary is None else np.hypot(real, imaginary)
        shown, truth = self.of(picture), self.of(reference)
        if shown is None or truth is None:
            return None
        return shown - truth if is_signed else np.abs(shown - truth)

    def limits(self, of_magnitude: levels.Limits) -> levels.Limits:
        """Return the window that belongs to one of the magnitude: of signed parts with zero in its middle."""
        if self is Component.MAGNITUDE:
            return of_magnitude
        if self is Component.PHASE:
            return -math.pi, math.pi
        return -of_magnitude[1], of_magnitude[1]

    def colours(self, of_magnitude: str = "grey") -> NDArray[np.uint8]:
        """Return its colours, 256 × RGBA bytes: those of the phase end where they begin, of signed parts are grey."""
        if self is Component.PHASE:
            return cyclic_table()
        return levels.COLOUR_MAPS[of_magnitude if self is Component.MAGNITUDE else "grey"]()


# CET-C2 of Peter Kovesi (colorcet.com, CC BY 4.0) at every eighth step: magenta, yellow, green, blue and back.
_CYCLIC_STEPS = (
    "ef55f2 f86be2 fb84ce fc9bb8 fbb0a2 fcc38a fcd471 fae455 f1ee35 deed1f c7e516 afdd13 97d410 7dcb0e 61c20c 44b812 "
    "32ad28 399f46 439064 458180 3e729b 3161b3 294ec8 2438db 2e22ea 491bf2 6424f6 7b30f9 9239fb ab40fb c544fb dd48f9 "
)


def cyclic_table() -> NDArray[np.uint8]:
    """Return colours of even steps that end where they begin, for angles; 256 × RGBA bytes."""
    steps = np.array([list(bytes.fromhex(step)) for step in _CYCLIC_STEPS.split()], dtype=np.float64)
    table = np.full((256, 4), 255, dtype=np.uint8)
    for channel in range(3):
        values = np.interp(np.arange(256), np.arange(len(steps)) * 8, steps[:, channel], period=8 * len(steps))
        table[:, channel] = np.round(values).astype(np.uint8)
    return table
