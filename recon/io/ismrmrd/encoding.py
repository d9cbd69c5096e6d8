"""The grid of an ISMRMRD encoding: where its readouts lie on it, and which part of its image is shown.

The header's x is the readout, which is the rows (y) of the arrays here; its y are the phase encodes, the columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recon.data import Geometry
from recon.errors import FileError
from recon.io.geometry import image_axis, other_size
from recon.io.ismrmrd import acquisitions

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from recon.io.ismrmrd.header import ParsedHeader

# A header that claims a grid so many times larger than what was measured is damaged.
_MAX_EMPTY = 64
_MAX_SIZE = 32768


@dataclass(frozen=True)
class Encoding:
    """A grid of k-space and its image.

    Attributes
    ----------
    matrix
        ``(y, x)`` of k-space: samples of a readout, phase encodes.
    n_partitions
        Second phase encodes of a 3-D scan; 1 for slices.
    first_column, first_partition
        Where phase encode 0 lies.
    recon_size
        ``(y, x)`` of the image that is shown.
    n_shown
        Slices of a 3-D scan that are shown, of ``n_partitions``.
    geometry
        Sizes of a pixel and a slice; no positions.
    header_padding
        First and one-past-last column that the header says were acquired; None where it does not say.
    notes
        What had to be assumed.
    """

    matrix: tuple[int, int]
    n_partitions: int
    first_column: int
    first_partition: int
    recon_size: tuple[int, int]
    n_shown: int
    geometry: Geometry
    header_padding: tuple[int, int] | None
    notes: tuple[str, ...]


def of(lines: NDArray[Any], parsed: ParsedHeader, path: Path) -> Encoding:
    """Return the grid of some readouts.

    Parameters
    ----------
    lines
        Imaging readouts of one encoding, see `acquisitions.DTYPE`; all of one length, and `turned_round`.
    parsed
        Header of that encoding; what it lacks is taken from the readouts.
    path
        The file, for messages.

    Raises
    ------
    FileError
        If the readouts do not fit the grid.
    """
    notes: list[str] = []
    encoded = parsed.header.encoded_matrix
    if encoded is None:
        notes.append("The header says no size of k-space: it was taken from the readouts.")
    rows, fits = _rows(lines, None if encoded is None else encoded[0], notes)
    columns, first_column, padding = _steps(
        lines["step_1"], encoded and encoded[1], parsed.phase_encode_limits, "phase encode", path, notes
    )
    if (lines["step_2"] == lines["step_2"][0]).all():
        # Slices, whatever the header's matrix says: some converters count the slices there.
        partitions, first_partition = 1, -int(lines["step_2"][0])
    else:
        partitions, first_partition, _ = _steps(
            lines["step_2"], encoded and encoded[2], parsed.partition_limits, "partition", path, notes
        )
    n_measured = np.unique(lines["step_1"]).size
    is_empty = columns > _MAX_EMPTY * max(n_measured, 4) or rows > _MAX_EMPTY * int(lines["n_samples"][0])
    if max(rows, columns, partitions) > _MAX_SIZE or is_empty:
        raise FileError(
            path,
            f"its header speaks of {columns} phase encodes of {rows} samples in {partitions} partitions, but "
            f"{n_measured} phase encodes of {int(lines['n_samples'][0])} samples were measured; the header is damaged. "
            "Convert the raw data again.",
        )
    shown, geometry = _image((rows, columns, partitions), parsed, fits)
    notes += other_size(shown[:2], parsed.header)
    return Encoding(
        matrix=(rows, columns),
        n_partitions=partitions,
        first_column=first_column,
        first_partition=first_partition,
        recon_size=shown[:2],
        n_shown=shown[2],
        geometry=geometry,
        header_padding=padding,
        notes=tuple(notes),
    )


def turned_round(
    lines: NDArray[Any], centres: NDArray[np.int64] | None = None
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return headers as they are after reversed readouts were turned round, and the centres of forward ones.

    Samples of a reversed readout are stored in the order of time, so that sample ``i`` of ``n`` becomes ``n - 1 - i``
    and the samples to be discarded change sides. Its centre is counted as stored by some writers, and as in a forward
    readout by others: one that is the mirror image of a forward readout's centre becomes that.

    A centre of 0 stands for "not known" and is taken for the middle: half a readout that begins at the centre of
    k-space is nothing that Cartesian scans have.

    Parameters
    ----------
    lines
        Readouts, see `acquisitions.DTYPE`.
    centres
        Centres of the forward readouts that these belong to; by default those of the forward ones among them, or of
        all where none is forward.
    """
    turned = acquisitions.flagged(lines, acquisitions.REVERSE)
    n_samples = lines["n_samples"]
    centre = np.where(lines["centre_sample"] == 0, n_samples // 2, lines["centre_sample"])
    if centres is None:
        centres = np.unique(centre if turned.all() else centre[~turned])
    # As stored, or by writers that count from the other end and forget that the first sample is 0.
    for mirrored in (n_samples - 1 - centre, n_samples - centre):
        centre = np.where(turned & ~np.isin(centre, centres) & np.isin(mirrored, centres), mirrored, centre)
    if not turned.any() and (centre == lines["centre_sample"]).all():
        return lines, centres
    found = lines.copy()
    found["centre_sample"] = centre
    found["discard_pre"] = np.where(turned, lines["discard_post"], lines["discard_pre"])
    found["discard_post"] = np.where(turned, lines["discard_pre"], lines["discard_post"])
    return found, centres


def first_rows(lines: NDArray[Any], rows: int) -> NDArray[np.int64]:
    """Return the row of each readout's first sample on a grid of so many rows; see `turned_round`."""
    return np.asarray(rows // 2 - lines["centre_sample"], np.int64)


def common_rows(lines: NDArray[Any], rows: int) -> tuple[int, int]:
    """Return the first and one-past-last row that all readouts cover, without the samples to be discarded."""
    first = first_rows(lines, rows)
    end = first + lines["n_samples"] - lines["discard_post"]
    return max(int((first + lines["discard_pre"]).max()), 0), min(int(end.min()), rows)


def _rows(lines: NDArray[Any], encoded: int | None, notes: list[str]) -> tuple[int, bool]:
    """Rows of the grid, and whether they are those of the header."""
    n_samples = int(lines["n_samples"][0])
    if encoded is not None:
        first = first_rows(lines, encoded)
        end = first + n_samples - lines["discard_post"]
        if (first + lines["discard_pre"]).min() >= 0 and end.max() <= encoded:
            return encoded, True
    low, high = int(lines["centre_sample"].min()), int(lines["centre_sample"].max())
    rows = max(2 * high, 2 * (n_samples - low) - n_samples % 2)
    if encoded is not None:
        centre = f"sample {low}" if low == high else f"samples {low} to {high}"
        notes.append(
            f"Readouts of {n_samples} samples with the centre of k-space at {centre} do not fit the {encoded} of the "
            f"header's matrix: k-space was given {rows} rows."
        )
    return rows, False


def _steps(
    steps: NDArray[np.int64],
    encoded: int | None,
    limits: tuple[int, int] | None,
    name: str,
    path: Path,
    notes: list[str],
) -> tuple[int, int, tuple[int, int] | None]:
    """Size of the grid along phase encodes, place of the first one, and the padding that the limits stand for."""
    low, high = int(steps.min()), int(steps.max())
    size = encoded or high + 1
    if limits is not None:
        first = size // 2 - limits[0]
        if first + low >= 0 and first + high < size:
            end = first + limits[1] + 1
            return size, first, ((first, end) if first >= 0 and first + high < end <= size else None)
    if high >= size:
        raise FileError(
            path,
            f"a readout is of {name} {high}, but the header's matrix has {size} ({name}s 0 to {size - 1}); header and "
            "readouts do not belong together. Convert the raw data again.",
        )
    if limits is not None:
        notes.append(
            f"The header's centre of k-space, {name} {limits[0]}, does not fit its matrix; {name} {size // 2} was "
            "taken for it."
        )
    elif encoded is not None and size > 1:
        notes.append(f"The header does not say the centre of k-space: {name} {size // 2} was taken.")
    return size, 0, None


def _image(matrix: tuple[int, int, int], parsed: ParsedHeader, fits: bool) -> tuple[tuple[int, int, int], Geometry]:
    """Pixels of the image along each axis, and their size."""
    header = parsed.header
    encoded_mm = header.encoded_fov_mm or (0.0, 0.0, 0.0)
    recon_mm = header.recon_fov_mm or (0.0, 0.0, 0.0)
    recon = header.recon_matrix or (0, 0, 0)
    axes = [
        image_axis(matrix[axis], recon[axis], encoded_mm[axis] if axis or fits else 0.0, recon_mm[axis])
        for axis in range(3)
    ]
    if matrix[2] == 1:
        # A slice is as thick as the image's, not as the slab that was excited for it.
        n_encoded = header.encoded_matrix[2] if header.encoded_matrix else 1
        axes[2] = (1, recon_mm[2] / max(recon[2], 1) or encoded_mm[2] / n_encoded)
    (height, dy), (width, dx), (depth, dz) = axes
    geometry = Geometry(
        pixel_spacing_mm=(dy, dx) if dy and dx else Geometry.pixel_spacing_mm,
        slice_thickness_mm=dz or Geometry.slice_thickness_mm,
        spacing_is_assumed=not (dy and dx),
        thickness_is_assumed=not dz,
    )
    return (height, width, depth), geometry
