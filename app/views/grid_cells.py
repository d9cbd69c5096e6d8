"""How the columns of the image grid share its room: which sizes let the images become largest."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtCore import QSize

    from app.views.image_panel import ImagePanel

GAP = 6
MARGIN = 4
_BAND_GAP = 10


class Cells(NamedTuple):
    """Sizes of a layout, and how good it is."""

    n_columns: int
    width: int
    well_height: int
    band_height: int
    left: int
    is_stacked: bool
    merit: float


def best_cells(panels: Sequence[ImagePanel], n_images: int, size: QSize, key_width: int, *, has_errors: bool) -> Cells:
    """Return the sizes with the largest images.

    Parameters
    ----------
    panels
        All panels, those of images first.
    n_images
        Columns.
    size
        Of the grid.
    key_width
        What the key of the error maps takes of the width.
    has_errors
        Each row of images stands over a row of error maps.
    """
    bands = range(1, n_images + 1)
    return max((_cells(panels, n_images, size, key_width, n, has_errors) for n in bands), key=lambda cells: cells.merit)


def _cells(
    panels: Sequence[ImagePanel], n_images: int, size: QSize, key_width: int, n_bands: int, has_errors: bool
) -> Cells:
    """Sizes when the columns are broken into so many bands, each an image row over its error row."""
    n_columns = -(-n_images // n_bands)
    n_bands = -(-n_images // n_columns)
    available = size.width() - 2 * MARGIN - key_width - (n_columns - 1) * GAP
    width = max(24, available // n_columns)
    is_stacked = any(panel.needs_stacking(width) for panel in panels)
    first = panels[0]
    texts = first.header.height_of(is_stacked) + first.footer.height_of(False)
    if has_errors:
        texts += first.footer.height_of(is_stacked) + GAP
    room = (size.height() - 2 * MARGIN - (n_bands - 1) * _BAND_GAP) // n_bands - texts
    well_height = max(24, room // 2 if has_errors else room)
    # What counts is how large the images become; a second band has to earn the broken row.
    scales = [panel.well.fit_scale(width, well_height) for panel in panels if panel.well.image is not None]
    merit = min(scales, default=float(min(width, well_height))) / (1.0 + 0.2 * (n_bands - 1))
    band_height = texts + (2 if has_errors else 1) * well_height + _BAND_GAP
    left = MARGIN + max(0, available - width * n_columns) // 2
    return Cells(n_columns, width, well_height, band_height, left, is_stacked, merit)
