"""What pictures of a result have in common, on a page or in motion: its steps, one window, and the words to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from recon.errors import RequestError
from recon.export.hdf5 import NOTICE
from recon.result import is_usable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from recon.result import Reconstruction

ERROR_GAIN = 5
WINDOW_PERCENT = 99.5
FONT = "DejaVu Sans"


@dataclass(frozen=True)
class Line:
    """A line of a caption; what it says decides its colour."""

    text: str
    role: Literal["ink", "quiet", "warning"]


class View:
    """Grey window and error scale, the same for all images; turns them the way they are looked at.

    Parameters
    ----------
    result
        Whose images.
    place
        Those of its slices that set the window: from 0 to the 99.5th percentile of their reference, or of the result
        where there is none, so that a bias shows. Errors end at a fifth of the reference's maximum.
    """

    def __init__(self, result: Reconstruction, place: int | slice) -> None:
        geometry = result.series.geometry
        self._flip = geometry.flip_rows
        row_mm, column_mm = geometry.pixel_spacing_mm
        self.aspect = row_mm / column_mm
        reference = result.reference
        source = result.final[place]
        if reference is not None and is_usable(reference[place]):
            source = reference[place]
        self.white = float(np.percentile(source, WINDOW_PERCENT)) or float(source.max()) or 1.0
        self.largest_error = (float(np.abs(reference).max()) if reference is not None else 0.0) / ERROR_GAIN or 1.0

    def turned(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return an image the way it is looked at."""
        return image[::-1] if self._flip else image


def position_of(result: Reconstruction, slice_index: int | None) -> int:
    """Return where a slice of the series stands in a result; None means the middle one of those that were done.

    Raises
    ------
    RequestError
        If that slice was not reconstructed.
    """
    if slice_index is None:
        return len(result.indices) // 2
    if slice_index not in result.indices:
        done = ", ".join(str(index) for index in result.indices[:20])
        raise RequestError(f"slice {slice_index} was not reconstructed; choose one of {done}.")
    return result.indices.index(slice_index)


def steps(
    result: Reconstruction, position: int, between: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """Return the volumes from the zero-filled to the final one by title, in order; no image of the slice twice.

    Parameters
    ----------
    result
        What came out of a reconstruction.
    position
        Of the slice in the volumes.
    between
        Stages, or outputs of modules, by name.
    """
    volumes = {"Zero-filled": result.zero_filled}
    last = None
    for title, volume in between.items():
        if title not in ("zero-filled", "final"):
            # As the window writes them: Iterate, but 4x and OC as they are.
            volumes[title[:1].upper() + title[1:]] = last = volume
    final = result.final[position]
    # A method without iterations, or one whose last step is its result, needs no image twice.
    if last is not None and _same(last[position], final):
        volumes.popitem()
    if not _same(result.zero_filled[position], final):
        volumes["Final"] = result.final
    return volumes


def _same(first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    """True when two images differ by rounding alone."""
    return bool(np.abs(first - second).max() <= 1e-4 * np.abs(second).max())


def is_scored(reference: NDArray[np.float32], peak: float) -> bool:
    """True where an image can be scored against the reference of its slice, whose volume has this maximum."""
    return bool(peak > 0 and reference.any())


def caption(result: Reconstruction, slices: str, remark: str) -> list[Line]:
    """Return what stands below a picture.

    Parameters
    ----------
    result
        What it shows.
    slices
        Which slices it shows.
    remark
        How the images are windowed and scored.
    """
    series, request = result.series, result.request
    if series.acquired_mask is not None:
        sampling = f"the scanner's own sampling, R = {result.mask.acceleration:.2f}"
    elif request.mask.kind == "none":
        sampling = "fully sampled"
    else:
        sampling = f"{request.mask.title} (effective R = {result.mask.acceleration:.2f})"
    words = (result.model_title, sampling, slices, series.name, series.part)
    lines = [Line(" · ".join(filter(None, words)), "ink"), Line(remark, "quiet")]
    if series.simulation is not None:
        lines.append(Line(f"Simulated k-space: {series.simulation.sentence}.", "warning"))
    return [*lines, Line(NOTICE, "quiet")]


def slice_words(result: Reconstruction, position: int) -> str:
    """Return which slice of the series stands at a position, counted from 1 as in the window: ``slice 4 of 16``."""
    number = f"slice {result.indices[position] + 1}"
    return f"{number} of {result.series.n_slices}" if result.series.n_slices > 1 else number


def drawable(text: str) -> str:
    """Replace what the font of pictures has no letter for, such as Chinese in a file name."""
    from matplotlib.font_manager import findfont, get_font

    letters = get_font(findfont(FONT)).get_charmap()
    return "".join(letter if ord(letter) in letters else "□" for letter in text)


def shorten(text: str, room: float, width_of: Callable[[str], float]) -> str:
    """Take letters out of the middle of a text until it has room: the ends of names tell them apart."""
    whole, kept = text, len(text)
    while kept > 2 and width_of(text) > room:
        kept -= 1
        text = f"{whole[: kept - kept // 2]}…{whole[-(kept // 2) :]}"
    return text


def wrap(text: str, room: float, width_of: Callable[[str], float]) -> list[str]:
    """Break a text into lines that have room; a word that is longer than a line is broken too."""
    lines, line = [], ""
    for word in text.split(" "):
        if line and width_of(f"{line} {word}") > room:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
        while width_of(line) > room and len(line) > 1:
            cut = next(n for n in range(len(line) - 1, 0, -1) if n == 1 or width_of(line[:n]) <= room)
            lines.append(line[:cut])
            line = line[cut:]
    return [*lines, line]
