"""Movies: how a slice emerges from step to step, or a turn through the slices, for a talk or a paper's supplement.

They are GIF, which every program for slides, every browser and every journal plays as it is. That cannot be said of
WebP or APNG, and a film needs a codec. Its 256 colours are enough for greys, one scale of errors and letters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recon import __version__, metrics
from recon.errors import ExportError, RequestError, needs_package
from recon.export import picture
from recon.export.atomic import atomic_file
from recon.export.hdf5 import NOTICE
from recon.export.picture import ERROR_GAIN, WINDOW_PERCENT
from recon.export.screen import Panel, Screen, palette
from recon.result import MOVIES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL.Image import Image

    from recon.result import Reconstruction

# Milliseconds: four iterations a second, as the window plays them, and about eight slices. GIF counts in hundredths.
ITERATION_MS, SLICE_MS = 250, 120
LAST_ITERATION_MS = 2000
# More are thinned: the writer has all of them in memory, and a slide is to open at once.
MAX_FRAMES = 120
# No colour has this number: a pixel that has it stays as it was in the frame before.
_UNCHANGED = 255


def kinds(result: Reconstruction) -> tuple[str, ...]:
    """Return the movies that a result is good for, of `recon.result.MOVIES`.

    ``iterations``, of the middle slice, where stages were kept; ``slices`` where there are several.
    """
    middle = picture.position_of(result, None)
    moves = {
        "iterations": bool(result.stages) and len(picture.steps(result, middle, result.stages)) > 1,
        "slices": len(result.indices) > 1,
    }
    return tuple(kind for kind in MOVIES if moves[kind])


def check(result: Reconstruction) -> tuple[str, ...]:
    """Return the movies that a result is good for, see `kinds`.

    Raises
    ------
    RequestError
        If it is good for none.
    """
    found = kinds(result)
    if not found:
        raise RequestError(
            f"{result.name}: nothing moves in a single image, so there is no movie; reconstruct more slices, or keep "
            "the iterations (--stages) of a method that has some."
        )
    return found


@needs_package()
def write(result: Reconstruction, path: Path, kind: str = "", slice_index: int | None = None) -> Path:
    """Write a movie as GIF, which starts again at its end.

    ``iterations`` goes from the zero-filled image of one slice over every stage that was kept to the final one, four a
    second, and stays there for two seconds. ``slices`` goes through the final images, eight a second. Beside an image
    stand its reference and its error, where there is a reference. Grey window and error scale are those of the figure,
    one for all frames.

    Parameters
    ----------
    result
        What came out of a reconstruction.
    path
        File to write.
    kind
        One of `recon.result.MOVIES`; empty takes the first that the result is good for.
    slice_index
        Slice of the series whose iterations are shown; None takes the middle one that was reconstructed.

    Raises
    ------
    RequestError
        If the result is not good for such a movie, or that slice was not reconstructed.
    ExportError
        If the disk or the folder does not let it be written; an older file stays as it was.
    MissingPackageError
        If Pillow or matplotlib is not installed.
    """
    possible = check(result)
    if kind and kind not in possible:
        raise RequestError(f"{result.name}: there is no movie of its {kind}; there is one of its {possible[0]}.")
    film = _slices(result) if (kind or possible[0]) == "slices" else _iterations(result, slice_index)
    if not all(np.isfinite(shot.image).all() for shot in film.shots):
        raise ExportError(f"{path}: the result holds NaN or infinity; there is no picture to draw.")
    frames = _frames(result, film)
    with atomic_file(path) as temporary:
        next(frames).save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=frames,
            duration=[film.frame_ms] * (len(film.shots) - 1) + [film.last_ms],
            loop=0,
            palette=palette(),
            transparency=_UNCHANGED,
            optimize=True,
            interlace=0,
            comment=f"{result.name} · mri-workstation {__version__} · {NOTICE}".encode(),
        )
    return path


# ---- what is shown ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shot:
    """What one frame shows: an image ``(y, x)``, what it is called, and its reference where there is one."""

    title: str
    image: NDArray[np.float32]
    reference: NDArray[np.float32] | None


@dataclass(frozen=True)
class Film:
    """A movie before it is drawn.

    Attributes
    ----------
    shots
        What its frames show.
    slices
        Which slices these are, in words.
    view
        Grey window and error scale of all frames.
    frame_ms, last_ms
        How long a frame is seen, and the last one.
    """

    shots: tuple[Shot, ...]
    slices: str
    view: picture.View
    frame_ms: int
    last_ms: int


def _iterations(result: Reconstruction, slice_index: int | None) -> Film:
    position = picture.position_of(result, slice_index)
    reference = None if result.reference is None else result.reference[position]
    steps = list(picture.steps(result, position, result.stages).items())
    shown = [steps[place] for place in _thinned(len(steps))]
    shots = tuple(Shot(title, volume[position], reference) for title, volume in shown)
    words = picture.slice_words(result, position)
    return Film(shots, words, picture.View(result, position), ITERATION_MS, LAST_ITERATION_MS)


def _slices(result: Reconstruction) -> Film:
    order = np.argsort(result.indices)
    places = [int(order[place]) for place in _thinned(len(order))]
    shots = tuple(
        Shot(
            f"Slice {result.indices[place] + 1}",
            result.final[place],
            None if result.reference is None else result.reference[place],
        )
        for place in places
    )
    first, last = (result.indices[place] + 1 for place in (places[0], places[-1]))
    is_gapless = last - first == len(places) - 1
    words = f"slices {first} to {last}" if is_gapless else f"{len(places)} slices from {first} to {last}"
    return Film(shots, words, picture.View(result, slice(None)), SLICE_MS, SLICE_MS)


def _thinned(number: int) -> list[int]:
    """The places of a sequence that are shown: all where they are not too many, else evenly, and both ends."""
    return [round(place) for place in np.linspace(0, number - 1, min(number, MAX_FRAMES))]


def _caption(result: Reconstruction, film: Film) -> list[picture.Line]:
    if result.reference is None:
        remark = f"No reference exists. One grey window, 0 to the {WINDOW_PERCENT}th percentile, in all frames."
    else:
        remark = (
            f"One grey window, 0 to the {WINDOW_PERCENT}th percentile of the reference, and one scale of errors in all "
            "frames."
        )
    return picture.caption(result, film.slices, remark)


def _panels(shot: Shot, view: picture.View, peak: float) -> list[Panel]:
    """The images of a frame, given the maximum of all references."""
    image = view.turned(shot.image) / view.white
    if shot.reference is None:
        return [Panel(shot.title, "", image)]
    score = "no score"
    if picture.is_scored(shot.reference, peak):
        score = f"PSNR {metrics.psnr(shot.reference[None], shot.image[None], peak):.2f} dB"
    error = view.turned(np.abs(shot.image - shot.reference)) / np.float32(view.largest_error)
    return [
        Panel(shot.title, score, image),
        Panel("Reference", "", view.turned(shot.reference) / view.white),
        Panel(f"|Error| ×{ERROR_GAIN}", f"full scale: max / {ERROR_GAIN}", error, is_error=True),
    ]


def _screen(result: Reconstruction, film: Film) -> Screen:
    n_panels = 1 if result.reference is None else 3
    return Screen(n_panels, film.shots[0].image.shape, film.view.aspect, _caption(result, film))


def _frames(result: Reconstruction, film: Film) -> Iterator[Image]:
    """Draw the frames one by one, as the writer asks for them."""
    peak = 0.0 if result.reference is None else float(result.reference.max())
    screen = _screen(result, film)
    for number, shot in enumerate(film.shots, 1):
        yield screen.frame(_panels(shot, film.view, peak), number, len(film.shots))
