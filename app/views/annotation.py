"""What is written onto images of a known place: the sides of the patient, and a bar of a known length."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QColor, QPainter

from app import theme

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from recon.data import Geometry

_LETTERS = (("R", "L"), ("A", "P"), ("F", "H"))
"""DICOM's letters for the two ends of its axes: the left, the back and the head are positive."""
_OBLIQUE = 0.26
"""A direction is named after every axis that it leans to by more than 15 degrees."""
_STEPS_MM = (1, 2, 5, 10, 20, 50, 100, 200)
_SHARE = 0.3
"""The bar takes at most this share of the width of a well."""
_SMALLEST_WELL = 120
_PLACE = 5


@dataclass(frozen=True)
class Annotation:
    """Sides and scale of an image.

    Attributes
    ----------
    sides
        What lies to the left of the picture and above it; None where nobody knows.
    column_mm
        Width of a pixel; None where it is assumed.
    """

    sides: tuple[str, str] | None = None
    column_mm: float | None = None

    @classmethod
    def of(cls, geometry: Geometry) -> Annotation:
        """Say what the file of a scan says, and nothing that was made up."""
        column_mm = geometry.pixel_spacing_mm[1]
        row, column = geometry.orientation[:3], geometry.orientation[3:]
        return cls(
            None if geometry.is_synthetic else (opposite(row), opposite(column)),
            column_mm if column_mm > 0 and not geometry.spacing_is_assumed else None,
        )


def opposite(direction: Sequence[float]) -> str:
    """Return DICOM's letters for the side of the patient that a direction comes from, the nearest axis first."""
    parts = sorted(zip(direction, _LETTERS, strict=True), key=lambda part: -abs(part[0]))
    return "".join(names[value < 0] for value, names in parts if abs(value) > _OBLIQUE)


def bar_length(pixels_per_mm: float, well_width: int) -> int | None:
    """Return the longest round length in mm that fits a well; None where the shortest one does not."""
    return max((step for step in _STEPS_MM if step * pixels_per_mm <= _SHARE * well_width), default=None)


def paint(
    painter: QPainter,
    well: QRect,
    annotation: Annotation,
    pixels_per_voxel: float,
    write: Callable[[QPainter, QRect, str], None],
) -> None:
    """Paint letters at the left and the upper edge of a well, and the bar in its lower right corner.

    Parameters
    ----------
    painter
        Of the well; its font is that of the letters.
    well
        Rectangle of the well.
    annotation
        What to paint.
    pixels_per_voxel
        Screen pixels of a voxel along a row.
    write
        Writes a text into a rectangle.
    """
    if min(well.width(), well.height()) < _SMALLEST_WELL:
        return
    inside = well.adjusted(_PLACE, 3, -_PLACE, -3)
    edges = (
        Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter,
        Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignHCenter,
    )
    for letters, edge in zip(annotation.sides or (), edges, strict=False):
        write(painter, painter.boundingRect(inside, int(edge), letters), letters)
    pixels_per_mm = 0.0 if annotation.column_mm is None else pixels_per_voxel / annotation.column_mm
    length_mm = bar_length(pixels_per_mm, well.width()) if pixels_per_mm > 0 else None
    if length_mm is None:
        return
    width = max(1, math.floor(length_mm * pixels_per_mm))
    text = f"{length_mm} mm" if length_mm < 10 else f"{length_mm // 10} cm"
    corner = Qt.AlignmentFlag.AlignBottom | Qt.AlignmentFlag.AlignRight
    place = painter.boundingRect(inside.adjusted(0, 0, 0, -6), int(corner), text)
    write(painter, place, text)
    bar = QRect(inside.right() - width + 1, inside.bottom() - 2, width, 2)
    painter.fillRect(bar.adjusted(-1, -1, 1, 1), QColor(0, 0, 0, 150))
    painter.fillRect(bar, QColor(theme.colours().well_muted))
