"""Box plots: one box a method, one panel a pattern and acceleration, one row of panels a region or band."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recon.errors import needs_package
from recon.export.atomic import atomic_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

# Inches, except where the name says otherwise.
_PANEL_HEIGHT = 2.4
_TITLE = 0.32
_LEFT, _GAP = 0.75, 0.2
# Room below a panel for each letter of the longest name, which is turned.
_LETTER, _MAX_LETTERS = 0.036, 40
_BOX_WIDTH = 0.62
_MIN_PANEL_WIDTH = 2.2
_DOTS_PER_INCH = 160
_MAX_POINTS = 60
_INK, _QUIET, _FILL = "#1a1a1a", "#5f6368", "#dbe7f3"


@dataclass(frozen=True)
class Panel:
    """Scores of each method, in order, and what they have in common."""

    title: str
    scores: Mapping[str, Sequence[float]]


@needs_package()
def write(path: Path, rows: Mapping[str, Sequence[Panel]], title: str) -> Path:
    """Draw panels as PNG: the box is the quartiles, the line the median, the whiskers 1.5 × the box, dots the samples.

    Parameters
    ----------
    path
        File to write.
    rows
        Label of the axis to the panels beside each other; all rows have as many.
    title
        Stands above all.

    Raises
    ------
    ExportError
        If the disk or the folder does not let it be written; an older file stays as it was.
    MissingPackageError
        If matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    n_columns = max(len(panels) for panels in rows.values())
    n_methods = max(len(panel.scores) for panels in rows.values() for panel in panels)
    longest = max(len(name) for panels in rows.values() for panel in panels for name in panel.scores)
    below = 0.3 + _LETTER * min(longest, _MAX_LETTERS)
    panel_width = max(_MIN_PANEL_WIDTH, _BOX_WIDTH * n_methods)
    gap = below + _TITLE
    width = _LEFT + n_columns * panel_width + (n_columns - 1) * _GAP + 0.15
    height = 2 * _TITLE + len(rows) * _PANEL_HEIGHT + (len(rows) - 1) * gap + below
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(
        left=_LEFT / width, right=1 - 0.15 / width, bottom=below / height, top=1 - 2 * _TITLE / height,
        wspace=_GAP / panel_width, hspace=gap / _PANEL_HEIGHT,
    )  # fmt: skip
    axes = figure.subplots(len(rows), n_columns, squeeze=False, sharey="row")
    figure.suptitle(title, fontsize=10, color=_INK, y=1 - 0.1 / height, va="top")
    for line, (label, panels) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(label, fontsize=8, color=_INK)
        for axis in line[len(panels) :]:
            axis.set_axis_off()
        for axis, panel in zip(line, panels, strict=False):
            _draw(axis, panel)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DOTS_PER_INCH, metadata={"Title": title, "Software": None})
    return path


def _draw(axis: Axes, panel: Panel) -> None:
    names = list(panel.scores)
    finite = [[value for value in panel.scores[name] if math.isfinite(value)] for name in names]
    axis.boxplot(
        finite,
        widths=0.6,
        patch_artist=True,
        showfliers=False,
        boxprops={"facecolor": _FILL, "edgecolor": _QUIET},
        medianprops={"color": _INK},
        whiskerprops={"color": _QUIET},
        capprops={"color": _QUIET},
    )
    for position, values in enumerate(finite, start=1):
        if len(values) <= _MAX_POINTS:
            axis.plot([position] * len(values), values, ".", color=_INK, markersize=3, alpha=0.5)
    axis.set_xticks(range(1, len(names) + 1), names, rotation=35, ha="right", fontsize=8)
    axis.set_title(panel.title, fontsize=9, color=_INK)
    axis.tick_params(labelsize=8)
    axis.grid(axis="y", color="#e5e7eb", linewidth=0.6)
    axis.set_axisbelow(True)
