"""One image plane of a DICOM file: found without its pixels, read when asked for, or declined by name."""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from pydicom.errors import BytesLengthException

from recon.errors import FileError
from recon.io import stamps
from recon.io.dicom import mosaic
from recon.io.dicom.header import classic, integer, number, numbers, text, texts
from recon.io.dicom.kind import NO_PIXELS, component_of, pixel_problem, reason_against

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

_DEFLATED = "1.2.840.10008.1.2.1.99"

# Everything that a parser may stumble over in a damaged file.
BROKEN = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    NotImplementedError,
    ArithmeticError,
    RecursionError,
    RuntimeError,
    BytesLengthException,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True)
class Frame:
    """One image plane and what decides where it belongs.

    Attributes
    ----------
    path, number
        File, and frame in it counted from 0; None in a file of one image.
    sop_class_uid, sop_instance_uid, series_uid
        DICOM identity.
    transfer_syntax_uid
        How the pixels are coded.
    size
        ``(rows, columns)``.
    position_mm, orientation, spacing_mm, thickness_mm
        Geometry; None where the file does not say.
    instance_number
        Order in the series, for files without a position.
    image_type, echo_time_ms, inversion_time_ms, flip_angle_deg
        What tells apart volumes of one series.
    b_value, trigger_time_ms
        What names a series of many volumes.
    slope, intercept, inverted
        From stored value to signal; inverted where small stored values are shown bright.
    bits_stored
        Low bits of a stored value that belong to the image; 0 means all.
    window
        First and last signal of the display window; None where the file does not say.
    stamp
        Size and time of the file when it was opened.
    tile, corner
        Which slice of a mosaic it is, and the row and column of its first pixel there; None of other images.
    """

    path: Path
    number: int | None
    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str
    transfer_syntax_uid: str
    size: tuple[int, int]
    position_mm: tuple[float, float, float] | None
    orientation: tuple[float, float, float, float, float, float] | None
    spacing_mm: tuple[float, float] | None
    thickness_mm: float | None
    instance_number: int
    image_type: tuple[str, ...]
    echo_time_ms: float | None
    inversion_time_ms: float | None
    flip_angle_deg: float | None
    b_value: float | None
    trigger_time_ms: float | None
    slope: float
    intercept: float
    inverted: bool
    bits_stored: int
    window: tuple[float, float] | None
    stamp: stamps.Stamp
    tile: int | None = None
    corner: tuple[int, int] | None = None

    @property
    def typical_maximum(self) -> float:
        """Top of the display window, 0 where the file does not say."""
        return 0.0 if self.window is None else max(self.window[1], 0.0)

    @property
    def key(self) -> str:
        """Names the image wherever its file lies."""
        name = f"{self.sop_instance_uid}/{self.number or 0}"
        return name if self.tile is None else f"{name}/{self.tile}"


@dataclass(frozen=True)
class Scan:
    """What one file holds.

    Attributes
    ----------
    frames
        Images that can be opened.
    declined
        What the other images are, one sentence for each kind.
    series_uid, title
        Series that the file belongs to.
    """

    frames: tuple[Frame, ...]
    declined: tuple[str, ...]
    series_uid: str
    title: str


@contextmanager
def quietly() -> Iterator[None]:
    """Keep pydicom's remarks on unusual values to itself: the reader cannot mend the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def is_dicom(path: Path) -> bool:
    """Tell by its content whether a file is DICOM, with or without the usual preamble."""
    try:
        with path.open("rb") as file, quietly():
            return _looks_like_dicom(file)
    except OSError:
        return False


def scan(path: Path) -> Scan:
    """Find the images of a file; no pixel is read.

    Raises
    ------
    FileError
        If the file is damaged.
    """
    from pydicom import dcmread

    try:
        with path.open("rb") as file, quietly():
            stamp = stamps.of(path, file.fileno())
            dataset = dcmread(file, force=True, stop_before_pixels=True)
            syntax = _transfer_syntax(dataset)
            title = text(dataset, "SeriesDescription") or text(dataset, "ProtocolName") or ""
            series_uid = text(dataset, "SeriesInstanceUID") or ""
            reason = reason_against(dataset, syntax)
            if reason is None and syntax == _DEFLATED:
                file.seek(0)
                reason = None if "PixelData" in dcmread(file, force=True) else NO_PIXELS
            elif reason is None:
                reason = pixel_problem(file, dataset, syntax)
            if reason is not None:
                return Scan((), (reason,), series_uid, title)
            frames, declined = _frames(path, stamp, dataset, syntax)
            return Scan(tuple(frames), tuple(declined), series_uid, title)
    except PermissionError:
        raise FileError(path, "may not be read: permission denied. Change its permissions or copy it.") from None
    except MemoryError:
        raise FileError(path, "is damaged: it claims to hold more than fits into memory. Copy it again.") from None
    except BROKEN as error:
        raise FileError(path, f"is a damaged DICOM file ({_detail(error)}); copy or export it again.") from error


def read_header(frame: Frame) -> Dataset:
    """Return the whole header of the file behind a frame.

    Raises
    ------
    FileError
        If the file is gone, damaged, or not the one that was opened.
    """
    from pydicom import dcmread

    stamps.check(frame.path, frame.stamp)
    try:
        with quietly():
            return dcmread(frame.path, force=True, stop_before_pixels=True)
    except BROKEN as error:
        raise FileError(frame.path, f"cannot be read again ({_detail(error)}); was it moved or changed?") from error


def read_image(frame: Frame) -> NDArray[np.float32]:
    """Return the magnitude image of one frame, ``(y, x)``; of uncompressed files nothing but this frame is read.

    Raises
    ------
    FileError
        If the file is gone, damaged, or not the one that was opened.
    """
    from pydicom import dcmread
    from pydicom.pixels import pixel_array

    stamps.check(frame.path, frame.stamp)
    try:
        with quietly():
            if frame.transfer_syntax_uid == _DEFLATED:
                stored = pixel_array(dcmread(frame.path, force=True), index=frame.number or 0)
            else:
                stored = pixel_array(frame.path, index=frame.number or 0, transfer_syntax_uid=frame.transfer_syntax_uid)
    except MemoryError:
        raise FileError(frame.path, "does not fit into memory; close other studies.") from None
    except BROKEN as error:
        raise FileError(
            frame.path, f"the pixels cannot be read ({_detail(error)}); copy or export the file again."
        ) from error
    if frame.corner is not None:
        (top, left), (rows, columns) = frame.corner, frame.size
        stored = stored[top : top + rows, left : left + columns]
    if stored.shape != frame.size:
        raise FileError(frame.path, f"holds an image of shape {stored.shape}; {frame.size} was expected.")
    values = _values(stored, frame.bits_stored, is_inverted=frame.inverted)
    image = values * np.float32(frame.slope) + np.float32(frame.intercept)
    # Noise of a magnitude image is never below zero; a scanner's filter may make it so.
    return np.ascontiguousarray(np.maximum(np.nan_to_num(image, posinf=0.0, neginf=0.0), 0.0), np.float32)


def _looks_like_dicom(file: BinaryIO) -> bool:
    from pydicom import dcmread

    head = file.read(132)
    if head[128:] == b"DICM":
        return True
    # Without its preamble, a DICOM file starts with an element of group 2 or 8, in either byte order.
    if len(head) < 132 or head[:2] not in (b"\x02\0", b"\x08\0", b"\0\x08"):
        return False
    try:
        file.seek(0)
        found = dcmread(file, force=True, stop_before_pixels=True, specific_tags=["SOPClassUID"])
        uid = str(found.get("SOPClassUID", ""))
    except (*BROKEN, MemoryError):
        return False
    return re.fullmatch(r"[0-2](\.\d+){3,}", uid) is not None


def _transfer_syntax(dataset: Dataset) -> str:
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    stated = getattr(dataset, "file_meta", None)
    if stated is not None and stated.get("TransferSyntaxUID"):
        return str(stated.TransferSyntaxUID)
    implicit, little = dataset.original_encoding
    if implicit:
        return str(ImplicitVRLittleEndian)
    return str(ExplicitVRLittleEndian if little else ExplicitVRBigEndian)


def _frames(path: Path, stamp: stamps.Stamp, dataset: Dataset, syntax: str) -> tuple[list[Frame], list[str]]:
    n_frames = max(integer(dataset, "NumberOfFrames") or 1, 1)
    is_multi_frame = "PerFrameFunctionalGroupsSequence" in dataset or n_frames > 1
    frames: list[Frame] = []
    others: dict[str, int] = {}
    layout = mosaic.layout_of(dataset) if mosaic.is_mosaic(dataset) else None
    for index in range(n_frames):
        # A classic header is read where it lies: bringing every value over would be most of the time of a scan.
        said = classic(dataset, index) if is_multi_frame else dataset
        component = component_of(dataset, said)
        if component is not None:
            others[component] = others.get(component, 0) + 1
        else:
            frame = _frame(path, stamp, index if is_multi_frame else None, said, syntax)
            frames += [frame] if layout is None else layout.split(frame)
    declined = []
    for name, count in others.items():
        where = f"{count} of its {n_frames} frames are each {name}" if n_frames > 1 else f"is {name}"
        declined.append(f"{where}; k-space is simulated from magnitude images only")
    return frames, declined


def _frame(path: Path, stamp: stamps.Stamp, index: int | None, said: Dataset, syntax: str) -> Frame:
    position, orientation = numbers(said, "ImagePositionPatient", 3), numbers(said, "ImageOrientationPatient", 6)
    spacing = numbers(said, "PixelSpacing", 2)
    centre, width = number(said, "WindowCenter"), number(said, "WindowWidth")
    slope = number(said, "RescaleSlope") or 1.0
    bits_stored = integer(said, "BitsStored") or 0  # floats have none
    return Frame(
        path=path,
        stamp=stamp,
        number=index,
        sop_class_uid=text(said, "SOPClassUID") or "",
        sop_instance_uid=text(said, "SOPInstanceUID") or path.name,
        series_uid=text(said, "SeriesInstanceUID") or "",
        transfer_syntax_uid=syntax,
        size=(integer(said, "Rows") or 0, integer(said, "Columns") or 0),
        position_mm=(position[0], position[1], position[2]) if position else None,
        orientation=_unit(orientation) if orientation else None,
        spacing_mm=(spacing[0], spacing[1]) if spacing and min(spacing) > 0 else None,
        thickness_mm=number(said, "SliceThickness"),
        instance_number=integer(said, "InstanceNumber") or 0,
        image_type=texts(said, "FrameType") or texts(said, "ImageType"),
        echo_time_ms=number(said, "EchoTime"),
        inversion_time_ms=number(said, "InversionTime"),
        flip_angle_deg=number(said, "FlipAngle"),
        b_value=number(said, "DiffusionBValue"),
        trigger_time_ms=number(said, "TriggerTime"),
        slope=slope,
        intercept=number(said, "RescaleIntercept") or 0.0,
        inverted=text(said, "PhotometricInterpretation") == "MONOCHROME1" and bits_stored > 0,
        bits_stored=bits_stored,
        window=(centre - width / 2, centre + width / 2) if centre is not None and width is not None else None,
    )


def _unit(values: tuple[float, ...]) -> tuple[float, float, float, float, float, float] | None:
    """Two directions of length 1 at a right angle, or None: the standard asks for it, and the geometry relies on it."""
    row, column = np.array(values[:3]), np.array(values[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if min(lengths) < 0.9 or max(lengths) > 1.1 or abs(float(row @ column)) > 0.02:
        return None
    return (values[0], values[1], values[2], values[3], values[4], values[5])


def _values(stored: NDArray[np.generic], bits: int, *, is_inverted: bool) -> NDArray[np.float32]:
    """Stored values, without what old scanners kept in the unused high bits (overlays).

    Inverted ones are turned round in the range of their bits, which all slices share. Floats have no such range, and
    the standard has no inverted ones: they stay as they are.
    """
    kind, all_bits = stored.dtype.kind, stored.dtype.itemsize * 8
    unused = all_bits - bits if 0 < bits < all_bits else 0
    if kind == "u" and unused > 0:
        stored = stored & np.array((1 << bits) - 1, stored.dtype)
    elif kind == "i" and unused > 0:
        stored = np.right_shift(np.left_shift(stored, unused), unused)
    if is_inverted and kind in "ui":
        # Of n bits, unsigned v becomes 2^n - 1 - v, and signed v becomes -1 - v: all its bits the other way. Signed
        # ones that use no sign would all be below zero then, and have one bit less.
        n_bits = all_bits - unused - (kind == "i")
        is_below = kind == "i" and bool(np.less(stored, 0).any())
        stored = np.invert(stored) if is_below else np.array((1 << n_bits) - 1, stored.dtype) - stored
    return stored.astype(np.float32)


def _detail(error: BaseException) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    return words[:160].rstrip(".")
