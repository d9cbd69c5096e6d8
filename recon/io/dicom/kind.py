"""What a DICOM object is, and why it is not opened when it is no grey magnitude MR image.

Every reason is the rest of a sentence that starts with the name of the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from recon.io.dicom import mosaic
from recon.io.dicom.header import integer, text, texts

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MR_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.4",  # MR Image Storage
        "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR Image Storage
        "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR Image Storage
    }
)
_DICOMDIR = "1.2.840.10008.1.3.10"
_COLOUR_CLASS = "1.2.840.10008.5.1.4.1.1.4.3"

# What image types call something that is no magnitude image.
_COMPONENTS = {
    "a phase image": {"P", "PHASE", "PHASE MAP", "PHASE_MAP", "PHASE IMAGE"},
    "the real part of a complex image": {"R", "REAL", "R_IR"},
    "the imaginary part of a complex image": {"I", "IMAGINARY", "I_IR"},
    "a field map": {"FIELD_MAP", "FIELD MAP", "B0 MAP", "B0_MAP"},
    "a velocity map": {"VELOCITY", "VELOCITY MAP", "VELOCITY_MAP"},
}
_MODALITIES = {
    "CT": "CT",
    "PT": "PET",
    "US": "ultrasound",
    "CR": "X-ray",
    "DX": "X-ray",
    "XA": "X-ray angiography",
    "RF": "X-ray fluoroscopy",
    "MG": "mammography",
    "NM": "nuclear medicine",
    "OT": "other",
}
# A package for each compression whose decoder does not come with pydicom.
_DECODERS = (
    ("JPEG-LS", "pyjpegls"),
    ("JPEG 2000", "pylibjpeg pylibjpeg-openjpeg"),
    ("JPEG", "pylibjpeg pylibjpeg-libjpeg"),
)
NO_PIXELS = "holds no pixel data; the header alone cannot be reconstructed"


def reason_against(dataset: Dataset, syntax: str) -> str | None:
    """Return why an object cannot be opened, or None; its pixels are judged by `pixel_problem`.

    Parameters
    ----------
    dataset
        Header of the object.
    syntax
        UID of its transfer syntax.
    """
    return _other_kind(dataset) or _without_size(dataset) or _without_decoder(syntax)


def _other_kind(dataset: Dataset) -> str | None:
    """What an object is, when it is none that this program reconstructs."""
    from pydicom.uid import UID

    meta = getattr(dataset, "file_meta", None)
    sop_class = text(dataset, "SOPClassUID") or (text(meta, "MediaStorageSOPClassUID") if meta is not None else None)
    if sop_class is None or not UID(sop_class).is_valid:
        return "names no kind of object (SOP class); an MR image was expected"
    if sop_class == _DICOMDIR:
        return "is a DICOMDIR, the table of contents of a medium; its images are opened through their folder"
    if sop_class == _COLOUR_CLASS or (integer(dataset, "SamplesPerPixel") or 1) != 1:
        return f"is a colour image ({text(dataset, 'PhotometricInterpretation') or 'RGB'}); only grey images are opened"
    modality = text(dataset, "Modality") or ""
    if sop_class not in MR_CLASSES:
        name = UID(sop_class).name
        known = _MODALITIES.get(modality)
        what = f"{known} data ({name})" if known and modality != "OT" else f"an object of kind “{name}”"
        if name == sop_class:
            what = f"an object of a vendor's own kind ({sop_class})"
        return f"is {what}; only MR images are opened"
    if modality not in ("", "MR"):
        return f"says that it is {_MODALITIES.get(modality, modality)} data; only MR images are opened"
    colour = text(dataset, "PhotometricInterpretation")
    if colour is not None and not colour.startswith("MONOCHROME"):
        return f"is a colour image ({colour}); only grey images are opened"
    if mosaic.is_mosaic(dataset) and mosaic.layout_of(dataset) is None:
        return "is a Siemens mosaic that does not say how many slices it tiles; export it as single slices"
    return None


def _without_size(dataset: Dataset) -> str | None:
    rows, columns = integer(dataset, "Rows"), integer(dataset, "Columns")
    if not rows or not columns:
        return "names no image size; it is no image, or its header is cut off"
    if min(rows, columns) < 8:
        return f"is only {rows} × {columns} pixels; an image was expected"
    return None


def _without_decoder(syntax: str) -> str | None:
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    uid = UID(syntax)
    if uid.is_transfer_syntax and not uid.is_private and not uid.is_compressed:
        return None
    try:
        available = get_decoder(uid).is_available
    except NotImplementedError:
        available = False
    if available:
        return None
    package = next((package for word, package in _DECODERS if word in uid.name), None)
    remedy = f"pip install {package}" if package else "save it uncompressed"
    return f"is compressed as {uid.name}, for which no decoder is installed: {remedy}"


def pixel_problem(file: BinaryIO, dataset: Dataset, syntax: str) -> str | None:
    """The parser stopped in front of the pixels: are they there, and all of them?"""
    from pydicom.uid import UID

    at = file.tell()
    left = file.seek(0, 2) - at
    if left < 8:
        return f"{NO_PIXELS} (or the file is cut off)"
    uid = UID(syntax)
    if uid.is_compressed:
        return None
    n_frames = max(integer(dataset, "NumberOfFrames") or 1, 1)
    bits = integer(dataset, "BitsAllocated") or 16
    rows, columns = integer(dataset, "Rows") or 0, integer(dataset, "Columns") or 0
    expected = (n_frames * rows * columns * bits + 7) // 8
    found = left - (8 if uid.is_implicit_VR else 12)
    if found < expected:
        return f"is cut off: {max(found, 0)} of {expected} bytes of its pixels are there; copy it again"
    return None


def component_of(dataset: Dataset, said: Dataset) -> str | None:
    """Name of what an image shows, when it is no magnitude; ``said`` is the frame's classic header."""
    # An Enhanced object of several components says MIXED at the top; its frames say which is theirs.
    types = {value.upper() for value in (texts(said, "FrameType") or texts(said, "ImageType"))[2:]}
    for name, words in _COMPONENTS.items():
        if types & words:
            return name
    by_word = {"PHASE": "P", "REAL": "R", "IMAGINARY": "I"}
    letter = by_word.get(text(said, "ComplexImageComponent") or "")
    if letter is None:
        try:
            # GE says it in a number of its own and nowhere else.
            letter = {1: "P", 2: "R", 3: "I"}.get(int(dataset.private_block(0x0043, "GEMS_PARM_01")[0x2F].value))
        except (KeyError, ValueError, TypeError, NotImplementedError):
            letter = None
    return next((name for name, words in _COMPONENTS.items() if letter in words), None)
