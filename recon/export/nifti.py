"""NIfTI-1 out: the final images as one float32 volume, gzip-compressed, in the position that DICOM gives them.

The format is a header of 348 bytes and the numbers, so no library is needed to write it.

References
----------
NIfTI-1 data format, https://nifti.nimh.nih.gov/nifti-1.
"""

from __future__ import annotations

import gzip
import struct
from typing import TYPE_CHECKING

import numpy as np

from recon.errors import ExportError
from recon.export.atomic import atomic_file
from recon.export.placement import corners

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from recon.result import Reconstruction

_HEADER_BYTES, _DATA_OFFSET = 348, 352
_FLOAT32 = 16
_MILLIMETRES = 2
_SCANNER, _ALIGNED = 1, 2
# Slices count as evenly spaced when their steps differ by less than this share.
_EVEN = 0.01
# The largest axis that the header's 16-bit numbers can hold.
_LARGEST = 32767


def write(result: Reconstruction, path: Path, *, is_phase: bool = False) -> Path:
    """Write the final images as ``.nii.gz``.

    Parameters
    ----------
    result
        What came out of a reconstruction.
    path
        File to write.
    is_phase
        Write the phase of the images, in radians, which the result has to have.

    Raises
    ------
    ExportError
        If the disk or folder does not let it be written, or the slices do not fit a volume.
    """
    final = np.asarray(result.phase if is_phase else result.final, np.float32)
    if final.ndim != 3 or not np.isfinite(final).all():
        raise ExportError(
            f"{path}: the result has shape {final.shape} or holds NaN or infinity; finite (slices, y, x) was expected."
        )
    if max(final.shape) > _LARGEST:
        raise ExportError(f"{path}: a volume of {final.shape} is larger than NIfTI-1 can hold; export HDF5.")
    # Only the picture is turned over, as in DICOM: geometry describes the picture.
    picture = final[:, ::-1] if result.series.geometry.flip_rows else final
    limits = (-np.pi, np.pi) if is_phase else tuple(np.percentile(final, (0.5, 99.5)))
    header = _header(result, affine(result, path), picture.shape, limits)
    # In NIfTI the column index runs fastest, as it does in a C-ordered (slices, y, x) array.
    content = header + np.ascontiguousarray(picture, "<f4").tobytes()
    with atomic_file(path) as temporary:
        # Without a time stamp the same result gives the same file.
        temporary.write_bytes(gzip.compress(content, compresslevel=4, mtime=0))
    return path


def affine(result: Reconstruction, path: Path) -> NDArray[np.float64]:
    """Return the 4 × 4 matrix from (column, row, slice) to millimetres right, anterior, superior.

    Parameters
    ----------
    result
        What came out of a reconstruction.
    path
        File, for the message.

    Raises
    ------
    ExportError
        If the slices are not evenly spaced along one line.
    """
    geometry = result.series.geometry
    row, column = np.array(geometry.orientation[:3]), np.array(geometry.orientation[3:])
    normal = np.cross(row, column)
    positions = corners(result)[list(result.indices)]
    step = normal * geometry.slice_thickness_mm
    if len(positions) > 1:
        steps = np.diff(positions, axis=0)
        step = steps.mean(axis=0)
        if np.abs(steps - step).max() > _EVEN * max(float(np.linalg.norm(step)), 1e-6) or not step.any():
            raise ExportError(
                f"{path}: the slices are not evenly spaced, which a NIfTI volume cannot say; "
                "export DICOM, or reconstruct a range of slices without gaps."
            )
    matrix = np.eye(4)
    matrix[:3, 0] = row * geometry.pixel_spacing_mm[1]
    matrix[:3, 1] = column * geometry.pixel_spacing_mm[0]
    matrix[:3, 2] = step
    matrix[:3, 3] = positions[0]
    # DICOM counts left and posterior as positive, NIfTI right and anterior.
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix


def _header(
    result: Reconstruction, matrix: NDArray[np.float64], shape: tuple[int, ...], limits: tuple[float, ...]
) -> bytes:
    n_slices, n_rows, n_columns = shape
    spacing = [float(np.linalg.norm(matrix[:3, axis])) for axis in range(3)]
    code = _ALIGNED if result.series.geometry.is_synthetic else _SCANNER
    header = bytearray(_DATA_OFFSET)
    struct.pack_into("<i", header, 0, _HEADER_BYTES)
    struct.pack_into("<8h", header, 40, 3, n_columns, n_rows, n_slices, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, _FLOAT32, 32)
    struct.pack_into("<8f", header, 76, 1.0, *spacing, 0.0, 0.0, 0.0, 0.0)
    struct.pack_into("<3f", header, 108, float(_DATA_OFFSET), 1.0, 0.0)
    struct.pack_into("<B", header, 123, _MILLIMETRES)
    low, high = limits
    struct.pack_into("<2f", header, 124, float(high), float(low))
    simulated = ", simulated k-space" if result.is_simulated else ""
    text = f"{result.request.model} {result.request.mask.label}{simulated}, research use only"
    header[148:228] = text.encode("ascii", "replace")[:79].ljust(80, b"\0")
    # No quaternion is given (code 0): a matrix of three rows says the same without a choice of signs.
    struct.pack_into("<2h", header, 252, 0, code)
    struct.pack_into("<12f", header, 280, *matrix[:3].ravel())
    header[344:348] = b"n+1\0"
    return bytes(header)
