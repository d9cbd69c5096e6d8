"""Siemens mosaics: the slices of a volume tiled row by row in one image, whose header places the whole, not the slices.

References
----------
Siemens CSA image header (private block 0029,xx10): a tag is a name of 64 bytes, counts, then values behind their
lengths. The corner of a slice follows from that of the mosaic as if both had one centre, see nibabel's guide to Siemens
mosaics.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from recon.io.dicom.header import integer, number, texts

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from recon.io.dicom.frame import Frame

_TAG_HEADER_BYTES = 84
_LONGEST_VALUE = 64


@dataclass(frozen=True)
class Layout:
    """How a mosaic is made up.

    Attributes
    ----------
    n_tiles
        Number of slices.
    n_across
        Tiles in a row, and rows of tiles.
    size
        ``(rows, columns)`` of a slice.
    normal
        Direction from a slice to the next; None where the header does not say.
    spacing_mm
        Distance from a slice to the next; None where the header does not say.
    """

    n_tiles: int
    n_across: int
    size: tuple[int, int]
    normal: tuple[float, float, float] | None
    spacing_mm: float | None

    def split(self, frame: Frame) -> list[Frame]:
        """Return the slices of a mosaic, the first one first."""
        return [self._tile(frame, index) for index in range(self.n_tiles)]

    def _tile(self, frame: Frame, index: int) -> Frame:
        rows, columns = self.size
        corner = (index // self.n_across * rows, index % self.n_across * columns)
        position = None
        known = (frame.position_mm, frame.orientation, frame.spacing_mm, self.normal, self.spacing_mm)
        if all(value is not None for value in known):
            orientation = np.array(frame.orientation)
            spacing_y, spacing_x = frame.spacing_mm or (1.0, 1.0)
            first = (
                np.array(frame.position_mm)
                + orientation[:3] * spacing_x * (frame.size[1] - columns) / 2
                + orientation[3:] * spacing_y * (frame.size[0] - rows) / 2
            )
            place = first + np.array(self.normal) * (self.spacing_mm or 0.0) * index
            position = (float(place[0]), float(place[1]), float(place[2]))
        return replace(frame, size=self.size, position_mm=position, tile=index, corner=corner)


def is_mosaic(dataset: Dataset) -> bool:
    """Tell whether an image says that it is a mosaic."""
    return "MOSAIC" in texts(dataset, "ImageType") or _n_tiles(dataset) > 1


def layout_of(dataset: Dataset) -> Layout | None:
    """Return how a mosaic is made up; None where the header does not say enough."""
    n_tiles = _n_tiles(dataset)
    rows, columns = integer(dataset, "Rows") or 0, integer(dataset, "Columns") or 0
    n_across = math.isqrt(max(n_tiles - 1, 0)) + 1
    if n_tiles < 2 or rows % n_across or columns % n_across:
        return None
    values = _csa_values(dataset, b"SliceNormalVector")
    normal = None
    if len(values) == 3 and abs(math.hypot(*values) - 1) < 0.01:
        normal = (values[0], values[1], values[2])
    spacing_mm = number(dataset, "SpacingBetweenSlices") or number(dataset, "SliceThickness")
    return Layout(n_tiles, n_across, (rows // n_across, columns // n_across), normal, spacing_mm)


def _n_tiles(dataset: Dataset) -> int:
    """Slices in a mosaic; 0 where the number is unknown, and of other images."""
    stated = _private(dataset, "SIEMENS MR HEADER", 0x0019, 0x0A)
    if isinstance(stated, (int, str)) and str(stated).isdigit():
        return int(stated)
    values = _csa_values(dataset, b"NumberOfImagesInMosaic")
    return int(values[0]) if values and values[0].is_integer() and values[0] > 1 else 0


def _private(dataset: Dataset, creator: str, group: int, element: int) -> object:
    try:
        return dataset.private_block(group, creator)[element].value
    except (KeyError, ValueError, TypeError, NotImplementedError):
        return None


def _csa_values(dataset: Dataset, name: bytes) -> list[float]:
    """Numbers of a tag of the CSA image header; none where it is not there or damaged."""
    header = _private(dataset, "SIEMENS CSA HEADER", 0x0029, 0x10)
    at = header.find(name + b"\0") if isinstance(header, bytes) else -1
    if not isinstance(header, bytes) or at < 0 or len(header) < at + _TAG_HEADER_BYTES:
        return []
    n_items = struct.unpack_from("<i", header, at + 76)[0]
    place, values = at + _TAG_HEADER_BYTES, []
    for _ in range(min(max(n_items, 0), 6)):
        if len(header) < place + 16:
            return []
        length = struct.unpack_from("<i", header, place)[0]
        if not 0 <= length <= _LONGEST_VALUE:
            return []
        text = header[place + 16 : place + 16 + length].split(b"\0")[0].strip()
        place += 16 + -(-length // 4) * 4
        try:
            values += [float(text)] if text else []
        except ValueError:
            return []
    return values
