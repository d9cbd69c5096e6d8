"""Window and level: which values are black and white, and the fast way from floats to grey bytes.

A policy says how the limits are chosen; it is a small frozen object, so that a choice can be stored, compared and
shown. `Quantiser` does the arithmetic in buffers that it keeps: a refresh allocates nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Limits = tuple[float, float]


class Policy(Protocol):
    """How limits are chosen from an image and, where there is one, the reference."""

    def limits(self, image: NDArray[np.floating], reference: NDArray[np.floating] | None = None, /) -> Limits:
        """Values shown as black and as white."""
        ...

    @property
    def is_matched(self) -> bool:
        """True when all panels get the limits of the reference, so that a bias stays visible."""
        ...


@dataclass(frozen=True)
class Percentile:
    """Black and white at percentiles of the image itself; ``gain`` below 1 brightens by lowering the white point."""

    low: float = 0.5
    high: float = 99.5
    gain: float = 1.0
    is_matched = False

    def limits(self, image: NDArray[np.floating], _reference: NDArray[np.floating] | None = None, /) -> Limits:
        """Percentiles of ``image``; the reference is not looked at."""
        values = _finite(image)
        low, high = (float(value) for value in np.percentile(values, (self.low, self.high)))
        return ordered(low, low + (high - low) * self.gain)


@dataclass(frozen=True)
class Fraction:
    """White (and black, which is zero) at fractions of the 99.5th percentile: soft, bright, noise floor, the user's."""

    fraction: float
    black: float = 0.0
    is_matched = False

    @classmethod
    def of(cls, limits: Limits, image: NDArray[np.floating]) -> Fraction:
        """Return the policy that gives these limits for an image, and on one of another scale what they are there."""
        top = float(np.percentile(_finite(image), 99.5)) or 1.0
        return cls(limits[1] / top, limits[0] / top)

    def limits(self, image: NDArray[np.floating], reference: NDArray[np.floating] | None = None, /) -> Limits:
        """Fractions of the 99.5th percentile of the reference, or of ``image`` without one."""
        top = float(np.percentile(_finite(image if reference is None else reference), 99.5))
        return ordered(top * self.black, top * self.fraction)


@dataclass(frozen=True)
class MatchedToReference:
    """Black and white from the reference, the same for every panel; without a reference as `Percentile`.

    ``high`` is the percentile that becomes white: a bright vessel of a few voxels must not leave all else in the dark.
    """

    high: float = 99.8
    is_matched = True

    def limits(self, image: NDArray[np.floating], reference: NDArray[np.floating] | None = None, /) -> Limits:
        """Minimum and high percentile of ``reference``."""
        if reference is None:
            return Percentile().limits(image)
        values = _finite(reference)
        return ordered(float(values.min()), float(np.percentile(values, self.high)))


@dataclass(frozen=True)
class Full:
    """Everything from the smallest to the largest value of the image itself."""

    is_matched = False

    def limits(self, image: NDArray[np.floating], _reference: NDArray[np.floating] | None = None, /) -> Limits:
        """Minimum and maximum of ``image``."""
        values = _finite(image)
        return ordered(float(values.min()), float(values.max()))


@dataclass(frozen=True)
class Manual:
    """Limits chosen by hand or stored in a file."""

    low: float
    high: float
    is_matched = False

    def limits(self, _image: NDArray[np.floating], _reference: NDArray[np.floating] | None = None, /) -> Limits:
        """The stored limits, whatever the image."""
        return ordered(self.low, self.high)


@dataclass(frozen=True)
class Preset:
    """A named policy of the menu, None where scan or user have a say; ``digit`` is the key that chooses it."""

    key: str
    title: str
    policy: Policy | None
    digit: int
    hint: str


PRESETS: tuple[Preset, ...] = (
    Preset(
        "matched",
        "Reference",
        MatchedToReference(),
        1,
        "0 to 99.8 % of the values of the reference, for all panels",
    ),
    Preset("full", "Full range", Full(), 2, "Smallest to largest value of the image"),
    Preset("soft", "Soft", Fraction(0.70), 3, "0 to 70 % of the 99.5th percentile"),
    Preset("bright", "Bright", Fraction(0.45), 4, "0 to 45 % of the 99.5th percentile"),
    Preset("noise", "Noise floor", Fraction(0.08), 5, "0 to 8 % of the 99.5th percentile: what lies in the air"),
    Preset("auto", "Auto", Percentile(), 0, "0.5th to 99.5th percentile of the image"),
)


OWN_PRESETS: tuple[Preset, ...] = (
    Preset("stored", "DICOM-stored", None, 6, "The window that the DICOM header of this slice names"),
    Preset("user", "User", None, 7, "The window that you kept (K), as shares of the 99.5th percentile"),
)
"""Windows of a scan and of the user."""


def preset(key: str) -> Preset:
    """Preset of that key.

    Raises
    ------
    KeyError
        If there is none.
    """
    for candidate in PRESETS + OWN_PRESETS:
        if candidate.key == key:
            return candidate
    raise KeyError(
        f"level preset {key!r} is unknown: expected one of {', '.join(p.key for p in PRESETS + OWN_PRESETS)}"
    )


def ordered(low: float, high: float) -> Limits:
    """Limits with ``high`` above ``low`` by something that survives single precision."""
    smallest_step = max(abs(low), abs(high), 1e-30) * 1e-6
    return (low, high) if high - low >= smallest_step else (low, low + smallest_step)


def widened(limits: Limits, right: float, up: float, span: float) -> Limits:
    """Limits after a window drag.

    Parameters
    ----------
    limits
        Limits when the drag began.
    right, up
        Distance dragged, as a share of a full drag: right widens the window, up makes the image brighter.
    span
        Extent of the data, which bounds the window on both sides.
    """
    low, high = limits
    width = float(np.clip((high - low) * np.exp(2.0 * right), 1e-4 * span, 4.0 * span))
    centre = float(np.clip(0.5 * (low + high) - up * max(high - low, 0.05 * span), -span, 2.0 * span))
    return ordered(centre - 0.5 * width, centre + 0.5 * width)


def format_value(value: float, digits: int = 4) -> str:
    """Number to a few significant digits, in a style that keeps neighbours alike: ``7.26e-4``, ``0.812``."""
    if not np.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if 1e-2 <= abs(value) < 1e5:
        exponent = int(np.floor(np.log10(abs(value))))
        return f"{value:.{max(0, digits - 1 - exponent)}f}"
    mantissa, exponent_text = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}e{int(exponent_text)}"


class Quantiser:
    """Turns float images of one shape into bytes and colours, in buffers that it reuses.

    The arrays that it returns are overwritten by the next call.
    """

    def __init__(self) -> None:
        self._scratch = np.empty((0, 0), dtype=np.float32)
        self._grey = np.empty((0, 0), dtype=np.uint8)
        self._colour = np.empty((0, 0), dtype=np.uint32)

    def grey(self, image: NDArray[np.floating], low: float, high: float) -> NDArray[np.uint8]:
        """Bytes: ``low`` and below become 0, ``high`` and above 255, what is not a number 0."""
        if self._scratch.shape != image.shape:
            self._scratch = np.empty(image.shape, dtype=np.float32)
            self._grey = np.empty(image.shape, dtype=np.uint8)
        low, high = ordered(low, high)
        scratch = self._scratch
        np.subtract(image, np.float32(low), out=scratch, casting="same_kind")
        np.multiply(scratch, np.float32(255.0 / (high - low)), out=scratch)
        np.fmax(scratch, np.float32(0), out=scratch)
        np.fmin(scratch, np.float32(255), out=scratch)
        scratch += np.float32(0.5)
        np.copyto(self._grey, scratch, casting="unsafe")
        return self._grey

    def error(self, error: NDArray[np.floating], data_range: float, gain: float) -> NDArray[np.uint8]:
        """Bytes of an error map: the last colour stands for ``data_range / gain``; a gain of 5 is 5 times as bright."""
        return self.grey(error, 0.0, data_range / gain)

    def colour(self, grey: NDArray[np.uint8], table: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Bytes looked up in a table of packed colours (`packed`)."""
        if self._colour.shape != grey.shape:
            self._colour = np.empty(grey.shape, dtype=np.uint32)
        np.take(table, grey, out=self._colour, mode="clip")
        return self._colour


# Inferno of Smith and van der Walt and Viridis of both and Firing (CC0) at every fifth step; straight lines between
# them stay within 1 of 255.
_INFERNO_STEPS = (
    "000004 02020c 050417 0a0722 10092d 160b39 1e0c45 260c51 2f0a5b 380962 400a67 490b6a 510e6c 59106e 61136e "
    "69166e 71196e 781c6d 801f6c 88226a 902568 982766 a02a63 a82e5f b0315b b73557 bf3952 c63d4d cc4248 d34743 "
    "d94d3d df5337 e45a31 e9612b ed6925 f1711f f47918 f78212 f98b0b fa9407 fb9d07 fca60c fcb014 fbba1f fac42a "
    "f8cd37 f6d746 f4e156 f2ea69 f2f27d f5f992 fcffa4 "
)


_VIRIDIS_STEPS = (
    "440154 46085c 471063 481769 481d6f 482475 472a7a 46307e 453781 433d84 414287 3f4889 3d4e8a 3a538b 38598c "
    "355e8d 33638d 31688e 2e6d8e 2c718e 2a768e 297b8e 27808e 25848e 23898e 218e8d 20928c 1f978b 1e9c89 1fa188 "
    "21a585 24aa83 28ae80 2eb37c 35b779 3dbc74 46c06f 50c46a 5ac864 65cb5e 70cf57 7cd250 89d548 95d840 a2da37 "
    "b0dd2f bddf26 cae11f d8e219 e5e419 f1e51d fde725 "
)


def gray_table() -> NDArray[np.uint8]:
    """Grey ramp, 256 × RGBA bytes."""
    ramp = np.arange(256, dtype=np.uint8)
    return np.stack([ramp, ramp, ramp, np.full_like(ramp, 255)], axis=1)


def inferno_table() -> NDArray[np.uint8]:
    """Perceptually even black-red-yellow ramp, that of the magnitudes of errors, 256 × RGBA bytes."""
    return _ramp(_INFERNO_STEPS)


def viridis_table() -> NDArray[np.uint8]:
    """Perceptually even blue-green-yellow ramp, also for those who see red and green alike, 256 × RGBA bytes."""
    return _ramp(_VIRIDIS_STEPS)


# Own steps: both arms get lighter evenly, and blue and orange differ for those who see red and green alike.
_DIVERGING_STEPS = (
    "d8f0ff a8dcff 74c4fb 45a6ec 2585d2 1765ad 124883 0e2f58 0a1a30 050608 "
    "050608 331904 5c2a05 873d06 b05208 d66d10 f18d2c ffb35c ffd596 fff0d6 "
)


def diverging_table() -> NDArray[np.uint8]:
    """Black in the middle, blue below and orange above, that of errors with a sign, 256 × RGBA bytes."""
    return _ramp(_DIVERGING_STEPS)


COLOUR_MAPS = {"grey": gray_table, "inferno": inferno_table, "viridis": viridis_table}
"""Colours that magnitudes can be shown in: all get lighter evenly, so that no step is seen where there is none."""


def _ramp(hexadecimal: str) -> NDArray[np.uint8]:
    steps = np.array([list(bytes.fromhex(step)) for step in hexadecimal.split()], dtype=np.float64)
    positions = np.linspace(0, 255, len(steps))
    table = np.full((256, 4), 255, dtype=np.uint8)
    for channel in range(3):
        table[:, channel] = np.round(np.interp(np.arange(256), positions, steps[:, channel])).astype(np.uint8)
    return table


def packed(table: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """RGBA table as 256 packed ``0xAARRGGBB`` numbers, the form that Qt paints fastest."""
    red, green, blue, alpha = (table[:, channel].astype(np.uint32) for channel in range(4))
    eight, sixteen, rest = np.uint32(8), np.uint32(16), np.uint32(24)
    result: NDArray[np.uint32] = (alpha << rest) | (red << sixteen) | (green << eight) | blue
    return result


def _finite(image: NDArray[np.floating]) -> NDArray[np.floating]:
    values = image[np.isfinite(image)]
    return values if values.size else np.zeros(1, dtype=np.float32)
