"""The figure of a paper: one slice, every module's image over its error map, one grey window, one error scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recon import metrics
from recon.errors import ExportError, needs_package
from recon.export import picture
from recon.export.atomic import atomic_file
from recon.export.picture import ERROR_GAIN, WINDOW_PERCENT, drawable

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from recon.result import Reconstruction

# Inches, except where the name says otherwise.
_PANEL_WIDTH = 1.9
_MIN_PANEL_HEIGHT, _MAX_PANEL_HEIGHT = 0.7, 3.8
_GAP = 0.06
_MARGIN = 0.18
_TITLE_HEIGHT = 0.24
_SCORE_HEIGHT = 0.40
_BAND_GAP = 0.16
_LINE_HEIGHT = 0.165
_MIN_WIDTH = 4.6
_MAX_COLUMNS = 7
_DOTS_PER_INCH = 200
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_INK = "#1a1a1a"
_COLOURS = {"ink": _INK, "quiet": "#5f6368", "warning": "#9a3412"}


@dataclass(frozen=True)
class _Panel:
    """One image of the figure, as it is viewed."""

    title: str
    image: NDArray[np.float32]
    error: NDArray[np.float32] | None = None
    scores: str = ""


@needs_package()
def write(result: Reconstruction, path: Path, slice_index: int | None = None) -> Path:
    """Write the figure of one slice as PNG.

    The grey window runs from 0 to the 99.5th percentile of the reference (of the result where there is none) in all
    panels, so that a bias shows. Error maps end at a fifth of the reference's maximum, which is the error times five.

    Parameters
    ----------
    result
        What came out of a reconstruction.
    path
        File to write.
    slice_index
        Slice of the series; None takes the middle one that was reconstructed.

    Raises
    ------
    RequestError
        If that slice was not reconstructed.
    ExportError
        If the disk or the folder does not let it be written; an older file stays as it was.
    MissingPackageError
        If matplotlib is not installed.
    """
    position = picture.position_of(result, slice_index)
    if not np.isfinite(result.final[position]).all():
        raise ExportError(f"{path}: the result holds NaN or infinity; there is no picture to draw.")
    figure = _draw(result, position)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DOTS_PER_INCH, metadata={"Title": result.name})
    return path


# ---- what is shown ----------------------------------------------------------------------------------------------


def _panels(result: Reconstruction, position: int) -> list[_Panel]:
    volumes = picture.steps(result, position, result.module_outputs())
    if result.reference is None:
        return [_Panel(title, volume[position]) for title, volume in volumes.items()]
    reference = result.reference[position]
    peak = float(result.reference.max())
    panels = [
        _Panel(
            title, volume[position], np.abs(volume[position] - reference), _scores(reference, volume[position], peak)
        )
        for title, volume in volumes.items()
    ]
    return [*panels, _Panel("Reference", reference)]


def _scores(reference: NDArray[np.float32], image: NDArray[np.float32], peak: float) -> str:
    if not picture.is_scored(reference, peak):
        return "no score: the reference is empty"
    pair = reference[None], image[None]
    psnr = f"{metrics.psnr(*pair, peak):.2f} dB"
    similarity = f"SSIM {metrics.ssim(*pair, peak):.4f}" if min(reference.shape) >= metrics.SSIM_WINDOW else "SSIM –"
    return f"PSNR {psnr}\n{similarity} · NMSE {metrics.nmse(*pair):#.2g}"


def _caption(result: Reconstruction, position: int) -> list[picture.Line]:
    if result.reference is None:
        remark = f"No reference exists. One grey window, 0 to the {WINDOW_PERCENT}th percentile."
    else:
        remark = (
            f"One grey window 0 to the {WINDOW_PERCENT}th percentile of the reference; scores of this slice relative "
            "to the maximum of all slices shown here."
        )
    return picture.caption(result, picture.slice_words(result, position), remark)


# ---- how it is laid out -----------------------------------------------------------------------------------------


def _draw(result: Reconstruction, position: int) -> Figure:
    # A Figure of its own and no pyplot: nothing global, and safe beside a window that uses another backend.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = _panels(result, position)
    has_errors = result.reference is not None
    bands = math.ceil(len(panels) / _MAX_COLUMNS)
    columns = math.ceil(len(panels) / bands)
    rows_mm, columns_mm = (
        size * mm for size, mm in zip(panels[0].image.shape, result.series.geometry.pixel_spacing_mm, strict=True)
    )
    panel_height = min(max(_PANEL_WIDTH * rows_mm / columns_mm, _MIN_PANEL_HEIGHT), _MAX_PANEL_HEIGHT)
    grid_width = columns * _PANEL_WIDTH + (columns - 1) * _GAP
    width = max(grid_width + 2 * _MARGIN, _MIN_WIDTH)
    band_height = _TITLE_HEIGHT + panel_height + ((_GAP + panel_height + _SCORE_HEIGHT) if has_errors else 0)

    figure = Figure(figsize=(width, 1), dpi=_DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    lines = [
        (part, _COLOURS[line.role])
        for line in _caption(result, position)
        for part in _wrap(figure, drawable(line.text), width - 2 * _MARGIN)
    ]
    caption_height = len(lines) * _LINE_HEIGHT
    height = 2 * _MARGIN + bands * band_height + (bands - 1) * _BAND_GAP + _BAND_GAP + caption_height
    figure.set_size_inches(width, height)

    sheet = _Sheet(figure, width, height)
    view = picture.View(result, position)
    left_edge = (width - grid_width) / 2
    for number, panel in enumerate(panels):
        band, column = divmod(number, columns)
        left = left_edge + column * (_PANEL_WIDTH + _GAP)
        top = _MARGIN + band * (band_height + _BAND_GAP)
        sheet.text(
            drawable(panel.title), left + _PANEL_WIDTH / 2, top + 0.05, size=9.5, room=_PANEL_WIDTH, weight="bold"
        )
        top += _TITLE_HEIGHT
        _show(sheet.axes(left, top, _PANEL_WIDTH, panel_height), view, panel.image, "gray", view.white)
        top += panel_height + _GAP
        if panel.error is not None:
            _show(sheet.axes(left, top, _PANEL_WIDTH, panel_height), view, panel.error, "inferno", view.largest_error)
            score_top = top + panel_height + 0.06
            for line_number, line in enumerate(panel.scores.split("\n")):
                middle = left + _PANEL_WIDTH / 2
                sheet.text(line, middle, score_top + line_number * 0.15, size=7.8, room=_PANEL_WIDTH)
        elif has_errors:
            _draw_error_scale(sheet, view, left, top, panel_height)
    top = height - _MARGIN - caption_height
    for number, (line, colour) in enumerate(lines):
        sheet.text(line, _MARGIN, top + number * _LINE_HEIGHT, size=7.8, colour=colour, align="left")
    return figure


def _draw_error_scale(sheet: _Sheet, view: picture.View, left: float, top: float, height: float) -> None:
    """The place under the reference has no error to show: the scale of the others stands there."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.ticker import MaxNLocator

    top, height = top + 0.06, height - 0.12
    exponent = math.floor(math.log10(view.largest_error))
    if -2 <= exponent <= 2:
        exponent = 0
    axes = sheet.axes(left + 0.08, top, 0.11, height)
    scale = Normalize(0, view.largest_error / 10.0**exponent)
    bar = sheet.figure.colorbar(ScalarMappable(scale, "inferno"), cax=axes)
    bar.locator = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])
    bar.update_ticks()
    bar.outline.set_linewidth(0.5)
    axes.tick_params(labelsize=7.5, width=0.5, length=2, colors=_INK)
    power = f"10{str(exponent).translate(_SUPERSCRIPTS)} of " if exponent else ""
    lines = [f"|error| ×{ERROR_GAIN}", f"in {power}the data's unit", f"full scale: max / {ERROR_GAIN}"]
    middle = top + height / 2 - 0.075 * len(lines)
    for number, line in enumerate(lines):
        weight = "bold" if number == 0 else "normal"
        sheet.text(line, left + 0.58, middle + 0.15 * number, size=7.2, align="left", weight=weight)


def _show(axes: Axes, view: picture.View, image: NDArray[np.float32], colours: str, largest: float) -> None:
    axes.imshow(view.turned(image), colours, vmin=0, vmax=largest, aspect=view.aspect, interpolation="antialiased")
    axes.set_axis_off()


class _Sheet:
    """A figure addressed in inches from its top left corner."""

    def __init__(self, figure: Figure, width: float, height: float) -> None:
        self.figure = figure
        self._width, self._height = width, height

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        return self.figure.add_axes(
            (left / self._width, 1 - (top + height) / self._height, width / self._width, height / self._height)
        )

    def text(
        self,
        text: str,
        x: float,
        y: float,
        *,
        size: float,
        colour: str = _INK,
        align: str = "center",
        room: float | None = None,
        **style: Any,
    ) -> None:
        """Write text whose top is at y; where it has no room it becomes smaller, then shorter."""
        vertical = "center" if style.get("rotation") else "top"
        if room is not None:
            text, size = _fit(self.figure, text, room, size, style.get("weight", "normal"))
        self.figure.text(
            x / self._width,
            1 - y / self._height,
            text,
            fontsize=size,
            color=colour,
            ha=align,
            va=vertical,
            parse_math=False,
            **style,
        )


def _text_width(figure: Figure, text: str, size: float, weight: str = "normal") -> float:
    """Width of a text in inches."""
    from matplotlib.font_manager import FontProperties

    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    width, _, _ = renderer.get_text_width_height_descent(text, FontProperties(size=size, weight=weight), False)
    return float(width) / figure.dpi


def _fit(figure: Figure, text: str, room: float, size: float, weight: str) -> tuple[str, float]:
    width = _text_width(figure, text, size, weight)
    if width > room:
        size = max(0.97 * size * room / width, 6.0)
    return picture.shorten(text, room, lambda part: _text_width(figure, part, size, weight)), size


def _wrap(figure: Figure, text: str, room: float, size: float = 7.8) -> list[str]:
    return picture.wrap(text, room, lambda part: _text_width(figure, part, size))
