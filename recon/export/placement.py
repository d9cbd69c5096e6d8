"""Where the slices of a result lie in the patient; every format that says so asks here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recon.result import Reconstruction


def corners(result: Reconstruction) -> NDArray[np.float64]:
    """Return the centre of the first pixel of the picture of each slice of the series, ``(slices, 3)``, in mm.

    Left, posterior and superior are positive, as in DICOM. The picture is the image as it is shown: upright, see
    `Geometry.flip_rows`. Where no positions are known the slices are stacked around the origin.

    Parameters
    ----------
    result
        What came out of a reconstruction; it may be a centred crop of the picture that the geometry describes.
    """
    geometry, series = result.series.geometry, result.series
    row, column = np.array(geometry.orientation[:3]), np.array(geometry.orientation[3:])
    spacing_y, spacing_x = geometry.pixel_spacing_mm
    rows, columns = series.recon_size
    if len(geometry.positions_mm) == series.n_slices:
        known = np.array(geometry.positions_mm, np.float64)
    else:
        centred = np.arange(series.n_slices) - (series.n_slices - 1) / 2
        corner = -row * spacing_x * (columns - 1) / 2 - column * spacing_y * (rows - 1) / 2
        known = corner + np.outer(centred * geometry.slice_thickness_mm, np.cross(row, column))
    height, width = result.final.shape[1:]
    top, left = (rows - height) // 2, (columns - width) // 2
    if geometry.flip_rows:
        top = rows - height - top
    placed: NDArray[np.float64] = known + left * spacing_x * row + top * spacing_y * column
    return placed
