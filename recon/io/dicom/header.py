"""What a DICOM object says about its scan, whichever way it says it.

Enhanced MR keeps its attributes in functional groups, shared or per frame, and under other names. `classic` brings
them to the names of classic MR, so that everything else reads one vocabulary.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

from pydicom.errors import BytesLengthException

from recon.data import Header

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_PIXEL_GROUP = 0x7FE0
_BROKEN_VALUE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    NotImplementedError,
    ArithmeticError,
    BytesLengthException,
)

# Classic name: names that Enhanced MR uses for the same thing.
_ENHANCED_NAMES = {
    "EchoTime": ("EffectiveEchoTime",),
    "ImagingFrequency": ("TransmitterFrequency",),
    "ImagedNucleus": ("ResonantNucleus",),
    "InversionTime": ("InversionTimes",),
    "SequenceName": ("PulseSequenceName",),
    "EchoTrainLength": ("RFEchoTrainLength", "GradientEchoTrainLength"),
    "Laterality": ("FrameLaterality",),
    "InPlanePhaseEncodingDirection": (),
}

# Shown in the header panel: label, attribute.
_EXTRA = (
    ("Series number", "SeriesNumber"),
    ("Image type", "ImageType"),
    ("Body part", "BodyPartExamined"),
    ("Scanning sequence", "ScanningSequence"),
    ("Sequence variant", "SequenceVariant"),
    ("Scan options", "ScanOptions"),
    ("Acquisition type", "MRAcquisitionType"),
    ("Averages", "NumberOfAverages"),
    ("Pixel bandwidth (Hz)", "PixelBandwidth"),
    ("Acquisition matrix", "AcquisitionMatrix"),
    ("Phase encoding", "InPlanePhaseEncodingDirection"),
    ("Receive coil", "ReceiveCoilName"),
    ("Slice thickness (mm)", "SliceThickness"),
    ("Software", "SoftwareVersions"),
    ("Window centre", "WindowCenter"),
    ("Window width", "WindowWidth"),
    ("Bits stored", "BitsStored"),
)


def text(dataset: Dataset, keyword: str) -> str | None:
    """Return an attribute as text, several values joined by ``\\``; None when it is absent, empty or unreadable."""
    value = value_of(dataset, keyword)
    if value is None:
        return None
    parts = value if _is_many(value) else [value]
    joined = "\\".join(str(part).strip() for part in parts).strip("\\").strip()
    return "".join(letter if letter.isprintable() else " " for letter in joined).strip() or None


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Return the values of an attribute as text; empty when it is absent."""
    joined = text(dataset, keyword)
    return tuple(part.strip() for part in joined.split("\\")) if joined else ()


def numbers(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Return exactly ``count`` finite numbers, or None."""
    value = value_of(dataset, keyword)
    if value is None:
        return None
    parts = list(value) if _is_many(value) else [value]
    try:
        result = tuple(float(part) for part in parts)
    except (TypeError, ValueError, OverflowError):
        return None
    return result if len(result) == count and all(math.isfinite(part) for part in result) else None


def number(dataset: Dataset, keyword: str) -> float | None:
    """Return the first value of an attribute as a finite number, or None."""
    value = value_of(dataset, keyword)
    if _is_many(value):
        value = value[0] if len(value) else None
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return result if math.isfinite(result) else None


def integer(dataset: Dataset, keyword: str) -> int | None:
    """Return the first value of an attribute as a whole number, or None."""
    value = number(dataset, keyword)
    return None if value is None else int(value)


def classic(dataset: Dataset, frame: int | None = None) -> Dataset:
    """Return the public attributes of one frame under their classic names; sequences are left out.

    Parameters
    ----------
    dataset
        A classic or Enhanced MR object.
    frame
        Frame of a multi-frame object, counted from 0; None for a classic one.
    """
    from pydicom.dataset import Dataset

    result = Dataset()
    _copy_public(dataset, result)
    if frame is None:
        return result
    # What a frame says of itself goes before what all frames share, and that before the top level.
    for item in _functional_groups(dataset, frame):
        for tag in item.keys():  # noqa: SIM118  a Dataset iterates over elements, and converts them all
            macro = None if tag.is_private else item[tag]
            if macro is not None and macro.VR == "SQ" and macro.value:
                _copy_public(macro.value[0], result)
    for name, others in _ENHANCED_NAMES.items():
        found = next((value for other in others if (value := number_or_text(result, other)) not in (None, 0)), None)
        if number_or_text(result, name) is None and found is not None:
            setattr(result, name, found)
    _translate(result)
    return result


def number_or_text(dataset: Dataset, keyword: str) -> float | str | None:
    """Return the first value of an attribute as a number where it is one, else as text."""
    value = number(dataset, keyword)
    return value if value is not None else text(dataset, keyword)


def header_of(dataset: Dataset) -> Header:
    """Return what the scanner said; names and dates of the patient stay out of it.

    Parameters
    ----------
    dataset
        Result of `classic` for the first slice.
    """
    rows, columns = integer(dataset, "Rows"), integer(dataset, "Columns")
    spacing_mm = numbers(dataset, "PixelSpacing", 2)
    thickness_mm = number(dataset, "SliceThickness") or 0.0
    fov_mm = None
    if rows and columns and spacing_mm:
        fov_mm = (columns * spacing_mm[1], rows * spacing_mm[0], thickness_mm)
    frequency_mhz = number(dataset, "ImagingFrequency")
    patient = text(dataset, "PatientID")
    sequence = [text(dataset, name) for name in ("SequenceName", "ScanningSequence")]
    extra = {label: value for label, keyword in _EXTRA if (value := text(dataset, keyword)) is not None}
    if spacing_mm:
        extra["Pixel spacing (mm)"] = " × ".join(f"{part:g}" for part in spacing_mm)
    return Header(
        acquisition=text(dataset, "SeriesDescription"),
        protocol=text(dataset, "ProtocolName"),
        sequence_type=" ".join(part for part in sequence if part) or None,
        vendor=text(dataset, "Manufacturer"),
        scanner=text(dataset, "ManufacturerModelName"),
        institution=text(dataset, "InstitutionName"),
        field_strength_t=number(dataset, "MagneticFieldStrength"),
        frequency_hz=None if frequency_mhz is None else frequency_mhz * 1e6,
        repetition_time_ms=number(dataset, "RepetitionTime"),
        echo_time_ms=number(dataset, "EchoTime"),
        inversion_time_ms=number(dataset, "InversionTime") or None,
        flip_angle_deg=number(dataset, "FlipAngle"),
        echo_train_length=integer(dataset, "EchoTrainLength"),
        patient_position=text(dataset, "PatientPosition"),
        # Headers end up in records, figures and screenshots; an identifier of a patient must not.
        patient_id=None if patient is None else hashlib.sha256(patient.encode()).hexdigest()[:10],
        recon_matrix=(columns, rows, 1) if rows and columns else None,
        recon_fov_mm=fov_mm,
        extra=extra,
    )


def _copy_public(source: Dataset, target: Dataset) -> None:
    for tag in source.keys():  # noqa: SIM118  a Dataset iterates over elements, and one broken value would end it
        if tag.is_private or tag.group == _PIXEL_GROUP:
            continue
        try:
            element = source[tag]
        except _BROKEN_VALUE:
            continue
        if element.VR != "SQ":
            target[tag] = element


def _functional_groups(dataset: Dataset, frame: int) -> list[Dataset]:
    items = []
    shared = dataset.get("SharedFunctionalGroupsSequence")
    if shared:
        items.append(shared[0])
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    if per_frame and frame < len(per_frame):
        items.append(per_frame[frame])
    return items


def _translate(result: Dataset) -> None:
    """Put the sequence in classic words: SE, GR, EP, IR and their variants."""
    if text(result, "ScanningSequence") is None:
        echo = text(result, "EchoPulseSequence") or ""
        words = {"SPIN": ["SE"], "GRADIENT": ["GR"], "BOTH": ["SE", "GR"]}.get(echo, [])
        words += ["IR"] if text(result, "InversionRecovery") == "YES" else []
        words += ["EP"] if text(result, "EchoPlanarPulseSequence") == "YES" else []
        result.ScanningSequence = words or "RM"
    if text(result, "SequenceVariant") is None:
        words = ["SK"] if text(result, "SegmentedKSpaceTraversal") in ("PARTIAL", "FULL") else []
        words += ["SP"] if text(result, "Spoiling") in ("RF", "GRADIENT", "RF_AND_GRADIENT") else []
        words += ["SS"] if text(result, "SteadyStatePulseSequence") not in (None, "NONE") else []
        words += ["OSP"] if text(result, "OversamplingPhase") in ("2D", "3D", "2D_3D") else []
        result.SequenceVariant = words or "NONE"
    direction = {"ROW": "ROW", "COLUMN": "COL"}.get(text(result, "InPlanePhaseEncodingDirection") or "")
    if direction:
        result.InPlanePhaseEncodingDirection = direction


def value_of(dataset: Dataset, keyword: str) -> Any:
    """Return the value of an attribute, or None where it is absent, empty or broken.

    Values are converted when they are asked for, and a broken one must not take the others with it.
    """
    try:
        value = dataset.get(keyword)
    except _BROKEN_VALUE:
        return None
    return None if value is None or (_is_many(value) and not len(value)) else value


def _is_many(value: Any) -> bool:
    from pydicom.multival import MultiValue

    return isinstance(value, (MultiValue, list, tuple))
