"""The frames of a movie: images beside each other, what they are above them, how far it has come and a caption below.

Frames are drawn in the numbers of one palette, as GIF keeps them: what is equal in two frames is equal to the bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from recon.export import picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

# Pixels. One image alone may be larger than several beside each other.
_LONGEST_SIDE, _LONGEST_SIDE_ALONE = 480, 640
_MIN_CELL, _MIN_CELL_ALONE = 224, 400
# What stands right above one image is not to be read on into what stands left above the next.
_MARGIN, _GAP, _COLUMN_GAP = 16, 12, 20
_TITLE_SIZE, _TEXT_SIZE = 14, 12
_TITLE_HEIGHT, _LINE_HEIGHT = 24, 18
_BAR_HEIGHT, _BAR_ROOM = 4, 26
# Images stand below each other where one is so many times as wide as it is high.
_WIDE = 2

N_GREYS, N_ERRORS, _N_WARNINGS = 168, 72, 8
_FIRST_WARNING = N_GREYS + N_ERRORS
# The ground is dark: around an image on the wall of a lecture hall a white one would blind.
_GROUND, _TRACK = 20, 64
_LETTERS = {"ink": 236, "quiet": 164}
_WARNING = (242, 166, 90)


@dataclass(frozen=True)
class Panel:
    """One image of a frame.

    Attributes
    ----------
    title, note
        Stand above it, left and right.
    image
        ``(y, x)`` as it is looked at, from 0 for black to 1 for the end of the scale.
    is_error
        In the colours of errors.
    """

    title: str
    note: str
    image: NDArray[np.float32]
    is_error: bool = False


class Screen:
    """Draws frames that differ in their images, in the words above them and in how far they are.

    Parameters
    ----------
    n_panels
        Images beside each other, or below each other where they are wide.
    shape
        Rows and columns of the images.
    aspect
        Height of a pixel, divided by its width.
    caption
        Stands below the images.

    Attributes
    ----------
    panel_size
        Height and width of an image in the frame.
    panel_places
        Top and left of each image.
    """

    def __init__(self, n_panels: int, shape: tuple[int, int], aspect: float, caption: Sequence[picture.Line]) -> None:
        room, least = (_LONGEST_SIDE_ALONE, _MIN_CELL_ALONE) if n_panels == 1 else (_LONGEST_SIDE, _MIN_CELL)
        self.panel_size = height, width = _panel_size(shape, aspect, room)
        self._cell_width = max(width, least)
        columns = 1 if width > _WIDE * height else n_panels
        rows = n_panels // columns
        row_height = _TITLE_HEIGHT + height + _GAP
        self._cells = [
            (_MARGIN + row * row_height, _MARGIN + column * (self._cell_width + _COLUMN_GAP))
            for row in range(rows)
            for column in range(columns)
        ]
        middle = (self._cell_width - width) // 2
        self.panel_places = [(top + _TITLE_HEIGHT, left + middle) for top, left in self._cells]
        self._bar_top = _MARGIN + rows * row_height
        self._bar_width = columns * (self._cell_width + _COLUMN_GAP) - _COLUMN_GAP
        self._text, self._bold = _font(_TEXT_SIZE, "normal"), _font(_TITLE_SIZE, "bold")
        lines = [
            (part, line.role)
            for line in caption
            for part in picture.wrap(picture.drawable(line.text), self._bar_width, self._text.getlength)
        ]
        caption_top = self._bar_top + _BAR_ROOM
        size = caption_top + len(lines) * _LINE_HEIGHT + _MARGIN, self._bar_width + 2 * _MARGIN
        # Even, as who makes a film of it needs it.
        self._blank = np.full([length + length % 2 for length in size], _grey(_GROUND), np.uint8)
        for number, (line, role) in enumerate(lines):
            baseline = caption_top + number * _LINE_HEIGHT + _TEXT_SIZE
            _write(self._blank, line, baseline, _MARGIN, self._text, role)

    def frame(self, panels: Sequence[Panel], number: int, total: int) -> Image:
        """Return a frame.

        Parameters
        ----------
        panels
            Its images.
        number, total
            Which frame of how many it is, from 1.
        """
        from PIL import Image

        pixels = self._blank.copy()
        for panel, cell, (top, left) in zip(panels, self._cells, self.panel_places, strict=True):
            self._head(pixels, panel, *cell)
            height, width = self.panel_size
            pixels[top : top + height, left : left + width] = _numbers(panel, self.panel_size)
        self._bar(pixels, number, total)
        image = Image.fromarray(pixels)
        image.putpalette(palette())
        return image

    def _head(self, pixels: NDArray[np.uint8], panel: Panel, top: int, left: int) -> None:
        room: float = self._cell_width
        baseline = top + _TITLE_SIZE
        if panel.note:
            width = self._text.getlength(panel.note)
            role = "quiet" if panel.is_error else "ink"
            _write(pixels, panel.note, baseline, left + room - width, self._text, role)
            room -= width + _GAP
        title = picture.shorten(picture.drawable(panel.title), room, self._bold.getlength)
        _write(pixels, title, baseline, left, self._bold, "ink")

    def _bar(self, pixels: NDArray[np.uint8], number: int, total: int) -> None:
        words = f"{number}/{total}"
        right = _MARGIN + self._bar_width
        left = right - self._text.getlength(words)
        _write(pixels, words, self._bar_top + _TEXT_SIZE - 2, left, self._text, "quiet")
        # As long in all frames, although their numbers are not.
        length = self._bar_width - math.ceil(self._text.getlength(f"{total}/{total}")) - _GAP
        top = self._bar_top + _BAR_HEIGHT
        bar = pixels[top : top + _BAR_HEIGHT, _MARGIN : _MARGIN + length]
        bar[:] = _grey(_TRACK)
        bar[:, : round(number / total * length)] = _grey(_LETTERS["quiet"])


@cache
def palette() -> bytes:
    """Return red, green and blue of each number: greys, colours of errors, colours of a warning's letters."""
    from matplotlib import colormaps

    greys = np.linspace(0, 255, N_GREYS)[:, None].repeat(3, axis=1)
    errors = 255 * colormaps["inferno"](np.linspace(0, 1, N_ERRORS))[:, :3]
    shares = np.linspace(0, 1, _N_WARNINGS + 1)[1:, None]
    warnings = _GROUND + shares * (np.array(_WARNING) - _GROUND)
    return np.concatenate([greys, errors, warnings]).round().astype(np.uint8).tobytes()


def _panel_size(shape: tuple[int, int], aspect: float, room: int) -> tuple[int, int]:
    """Height and width of an image in a frame: a whole number of times its own, where it has room."""
    height, width = shape[0] * max(aspect, 1.0), shape[1] * max(1 / aspect, 1.0)
    times = room / max(height, width)
    if times > 1:
        times = math.floor(times)
    return max(round(height * times), 1), max(round(width * times), 1)


def _numbers(panel: Panel, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The numbers of the palette that an image of this height and width has."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(panel.image, np.float32))
    is_whole = all(new % old == 0 for new, old in zip(size, panel.image.shape, strict=True))
    method = Image.Resampling.NEAREST if is_whole else Image.Resampling.BICUBIC
    resized = np.asarray(image.resize(size[::-1], method)).clip(0, 1)
    if panel.is_error:
        return (N_GREYS + (resized * (N_ERRORS - 1)).round()).astype(np.uint8)
    return (resized * (N_GREYS - 1)).round().astype(np.uint8)


def _write(pixels: NDArray[np.uint8], text: str, baseline: int, left: float, font: FreeTypeFont, role: str) -> None:
    """Write a line of text on the ground, where there is room for it."""
    from PIL import Image, ImageDraw

    above = math.ceil(font.size)
    mask = Image.new("L", (math.ceil(font.getlength(text)) + 2, above + _TEXT_SIZE))
    ImageDraw.Draw(mask).text((0, above), text, 255, font, anchor="ls")
    cover = np.asarray(mask, np.float32) / 255
    if role == "warning":
        numbers = _FIRST_WARNING - 1 + (cover * _N_WARNINGS).round()
    else:
        numbers = (_grey(_GROUND) + cover * (_grey(_LETTERS[role]) - _grey(_GROUND))).round()
    top, left = baseline - above, round(left)
    place = pixels[top : top + cover.shape[0], left : left + cover.shape[1]]
    seen = np.s_[: place.shape[0], : place.shape[1]]
    place[:] = np.where(cover[seen] >= 0.5 / _N_WARNINGS, numbers[seen], place)


def _grey(value: float) -> int:
    """The number of a grey from 0 to 255."""
    return round(value / 255 * (N_GREYS - 1))


@cache
def _font(size: int, weight: str) -> FreeTypeFont:
    from matplotlib.font_manager import FontProperties, findfont
    from PIL import ImageFont

    # The basic layout is in every Pillow, and puts letters to the same places in all of them.
    path = findfont(FontProperties(family=picture.FONT, weight=weight))
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
