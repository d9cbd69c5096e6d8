"""Where the slices of raw data lie in the patient: as the scanner said, or in plausible places where it did not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from recon.data import Geometry, Header

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rows of DICOM's ImageOrientationPatient by the first letters of the acquisition; a file says nothing better.
_ORIENTATIONS: dict[str, tuple[float, float, float, float, float, float]] = {
    "AX": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "COR": (1.0, 0.0, 0.0, 0.0, 0.0, -1.0),
    "SAG": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
}
# Directions count as of length one and at right angles within this.
_TOLERANCE = 0.02
# Slices closer than this lie in one place.
_SAME_PLACE_MM = 1e-3
# A pixel of the image that differs from a measured one by more is made by interpolation, which is not done.
_INTERPOLATED = 0.02


def image_axis(size: int, wanted: int, encoded_mm: float, recon_mm: float) -> tuple[int, float]:
    """Return the pixels shown of those measured along an axis, and the size of one in mm; 0 where it is not known.

    Readouts are oversampled, phase encodes may be: the image is the centre of what was measured. An image that the
    header wants in finer or coarser pixels than were measured keeps the measured ones, over the field of view of the
    header.

    Parameters
    ----------
    size
        Samples of the k-space grid.
    wanted
        Pixels of the header's image; 0 where it does not say.
    encoded_mm, recon_mm
        Fields of view of that grid and of the header's image; 0 where they are not known.
    """
    measured_mm = encoded_mm / size
    if encoded_mm and recon_mm and wanted and abs(recon_mm / wanted - measured_mm) > _INTERPOLATED * measured_mm:
        return min(max(round(recon_mm / measured_mm), 1), size), measured_mm
    if not wanted or wanted > size:
        return size, measured_mm or recon_mm / size
    return wanted, recon_mm / wanted or measured_mm


def image_axes(header: Header, matrix: tuple[int, int]) -> tuple[tuple[int, float], tuple[int, float]]:
    """Return rows and columns of the image of a header, each as `image_axis` does, on a k-space grid ``(y, x)``."""
    # The header's x is the readout, which is the rows of the array.
    encoded, wanted = header.encoded_matrix or (0, 0), header.recon_matrix or (0, 0)
    encoded_mm, recon_mm = header.encoded_fov_mm or (0.0, 0.0), header.recon_fov_mm or (0.0, 0.0)

    def of_axis(axis: int) -> tuple[int, float]:
        size = matrix[axis]
        # Where k-space was cut or padded since, the recon space is the better word on the size of a pixel.
        is_of_grid = encoded[axis] in (0, size) or not recon_mm[axis]
        return image_axis(size, wanted[axis], encoded_mm[axis] if is_of_grid else 0.0, recon_mm[axis])

    return of_axis(0), of_axis(1)


def other_size(shown: tuple[int, int], header: Header) -> list[str]:
    """Return what a reader must know of an image ``(y, x)`` that has more or fewer pixels than the header asks for."""
    wanted = header.recon_matrix
    if wanted is None or shown == wanted[:2]:
        return []
    is_smaller = shown[0] < wanted[0] or shown[1] < wanted[1]
    return [
        f"The header asks for an image of {wanted[0]} × {wanted[1]} pixels, "
        f"{'more than was' if is_smaller else 'coarser than were'} measured; it is shown in the "
        f"{shown[0]} × {shown[1]} pixels that were."
    ]


def from_header(
    header: Header, matrix: tuple[int, int], recon_size: tuple[int, int], n_slices: int, flip_rows: bool
) -> Geometry:
    """Return the pixel size of a header; position and orientation are made up around the centre.

    Parameters
    ----------
    header
        Header of the raw data.
    matrix, recon_size
        ``(y, x)`` of the k-space and of the image.
    n_slices
        Number of slices.
    flip_rows
        See `Geometry`.
    """
    (_, dy), (_, dx) = image_axes(header, matrix)
    fov_mm, size = header.recon_fov_mm, header.recon_matrix
    if fov_mm is None or size is None:
        # Without a recon space, a slice is as thick as the encoded one.
        fov_mm, size = header.encoded_fov_mm, (*matrix, 1)
    said_mm = fov_mm[2] / size[2] if fov_mm is not None else 0.0
    acquisition = (header.acquisition or "").upper()
    orientation = next((value for key, value in _ORIENTATIONS.items() if acquisition.startswith(key)), None)
    known = Geometry(
        pixel_spacing_mm=(dy, dx) if dy and dx else Geometry.pixel_spacing_mm,
        slice_thickness_mm=said_mm or Geometry.slice_thickness_mm,
        orientation=orientation or _ORIENTATIONS["AX"],
        flip_rows=flip_rows,
        spacing_is_assumed=not (dy and dx),
        thickness_is_assumed=not said_mm,
    )
    return made_up(known, recon_size, n_slices)


def made_up(geometry: Geometry, recon_size: tuple[int, int], n_slices: int) -> Geometry:
    """Return a geometry with slices stacked around the origin, one thickness apart, and called synthetic.

    Parameters
    ----------
    geometry
        Sizes and orientation.
    recon_size
        ``(y, x)`` of the image.
    n_slices
        Number of slices.
    """
    row, column = np.array(geometry.orientation[:3]), np.array(geometry.orientation[3:])
    spacing_mm, thickness_mm = geometry.pixel_spacing_mm, geometry.slice_thickness_mm
    corner = -row * spacing_mm[1] * (recon_size[1] - 1) / 2 - column * spacing_mm[0] * (recon_size[0] - 1) / 2
    normal = np.cross(row, column)
    positions = [corner + normal * thickness_mm * (index - (n_slices - 1) / 2) for index in range(n_slices)]
    return replace(geometry, positions_mm=_as_tuples(np.array(positions)), is_synthetic=True)


def orientation(
    read: NDArray[np.float64], phase: NDArray[np.float64]
) -> tuple[float, float, float, float, float, float] | None:
    """Return the orientation of images whose rows follow one another along the readout; None for no directions.

    Parameters
    ----------
    read, phase
        Directions of the readout and of the phase encodes in the patient, of length one.
    """
    both = np.array([read, phase], np.float64)
    if not np.isfinite(both).all() or np.abs(both @ both.T - np.eye(2)).max() > _TOLERANCE:
        return None
    # A row of the image is one readout position and all columns: it runs along the phase encodes.
    column = both[0] / np.linalg.norm(both[0])
    row = both[1] - column * (both[1] @ column)
    row /= np.linalg.norm(row)
    first, second = (tuple(float(value) + 0.0 for value in axis) for axis in (row, column))
    return (*first, *second)  # type: ignore[return-value]


def measured(
    geometry: Geometry, centres_mm: NDArray[np.float64], matrix: tuple[int, int], recon_size: tuple[int, int]
) -> Geometry | None:
    """Return a geometry with the true positions; None where the slices have no places of their own.

    Parameters
    ----------
    geometry
        Sizes and true orientation.
    centres_mm
        Where each slice's pixel ``(y // 2, x // 2)`` of the whole matrix lies, ``(slices, 3)``: the centre of the
        Fourier transform.
    matrix, recon_size
        ``(y, x)`` of the k-space and of the image.
    """
    row, column = np.array(geometry.orientation[:3]), np.array(geometry.orientation[3:])
    places = np.sort(centres_mm @ np.cross(row, column))
    if not np.isfinite(centres_mm).all() or (np.diff(places) < _SAME_PLACE_MM).any():
        return None
    down, right = (whole // 2 - (whole - shown) // 2 for whole, shown in zip(matrix, recon_size, strict=True))
    spacing_y, spacing_x = geometry.pixel_spacing_mm
    return replace(
        geometry,
        positions_mm=_as_tuples(centres_mm - column * down * spacing_y - row * right * spacing_x),
        is_synthetic=False,
    )


def _as_tuples(positions: NDArray[np.float64]) -> tuple[tuple[float, float, float], ...]:
    return tuple((float(x), float(y), float(z)) for x, y, z in positions)
