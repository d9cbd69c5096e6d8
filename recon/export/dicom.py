"""DICOM out: one classic MR Image Storage file a slice, one series a result.

The patient and study of a DICOM source stay, or get pseudonyms where that is wanted (`recon.export.anonymity`);
geometry stays, private data goes; data without geometry get an honestly synthetic one. Pixels are uint16 under one
factor for the whole series, which stands in the real-world value mapping: MR images know no rescale slope. The same
result of the same data gets the same UIDs, so exporting twice replaces instead of doubling.
"""

from __future__ import annotations

import hashlib
import logging
import math
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recon import __version__
from recon.errors import ExportError, needs_package
from recon.export.anonymity import Pseudonyms
from recon.export.atomic import atomic_folder
from recon.export.dicom_source import code, fill, reference_source, source_uid
from recon.export.dicom_values import clean, decimal, put, uid
from recon.export.placement import corners
from recon.io.dicom.frame import quietly
from recon.io.dicom.header import value_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset, FileDataset

    from recon.result import Reconstruction

logger = logging.getLogger(__name__)

NOTICE = "RESEARCH USE ONLY. Not for diagnosis."

_FILE_NAMES = "reconstruction_*.dcm"
_MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
_LARGEST = 65535
# A slice of fewer grey levels is all but empty.
_FEW_LEVELS = 16
# Length of the description of a series that every viewer takes, and how much of it is the model's at least.
_DESCRIPTION_BYTES, _MODEL_BYTES = 64, 8
# Tails of the grey values that the window leaves out, as the viewers' automatic window does.
_WINDOW_PERCENT = (0.5, 99.5)
# Slices count as evenly spaced when their distances differ by less than this share.
_EVEN = 0.01


@needs_package()
def write(result: Reconstruction, folder: Path, *, is_anonymous: bool = False, is_phase: bool = False) -> list[Path]:
    """Write the final images as a DICOM series.

    Parameters
    ----------
    result
        What came out of a reconstruction.
    folder
        Folder of the series; a former export in it is replaced as a whole, other files are never touched.
    is_anonymous
        Put pseudonyms and other dates in place of those of patient and study.
    is_phase
        Write the phase of the images, which the result has to have.

    Returns
    -------
    The files, in slice order.

    Raises
    ------
    ExportError
        If the disk or folder does not let it be written, or the result cannot stand in a DICOM object.
    MissingPackageError
        If pydicom is not installed.
    """
    _check(result, folder)
    values = _phases(result) if is_phase else _magnitudes(result)
    names = [f"reconstruction_{index + 1:04d}.dcm" for index in result.indices]
    headers: dict[Path, Dataset] = {}
    common = _Common(result, values, Pseudonyms.of_this_user() if is_anonymous else None)
    with atomic_folder(folder, _FILE_NAMES) as temporary:
        for number, (name, index) in enumerate(zip(names, result.indices, strict=True)):
            dataset = _instance(result, common, headers, number, index, values.stored[number])
            dataset.save_as(temporary / name, enforce_file_format=True)
    return [folder / name for name in names]


class _Values(NamedTuple):
    """What is stored of the images, and what it means.

    Attributes
    ----------
    stored
        Pixels ``(slices, y, x)``.
    slope, intercept
        The value is slope × pixel + intercept, for the whole series.
    image_type
        Third value of Image Type.
    title
        What the description of the series says of it; nothing of what one expects.
    label, explanation, unit
        Words and UCUM code of the real-world value mapping.
    window
        Limits of what is shown.
    """

    stored: NDArray[np.uint16]
    slope: float
    intercept: float
    image_type: str
    title: str
    label: str
    explanation: str
    unit: tuple[str, str]
    window: tuple[float, float]


def _magnitudes(result: Reconstruction) -> _Values:
    magnitude = np.maximum(np.asarray(result.final, np.float64), 0.0)
    peak = float(magnitude.max())
    factor = peak / _LARGEST if peak > 0 else 1.0
    if factor < np.finfo(np.float64).tiny:
        factor = 1.0  # so small that it is rounding, not signal
    stored = np.rint(magnitude / factor).clip(0, _LARGEST).astype(np.uint16)
    dark = [
        index for index, image, pixels in zip(result.indices, magnitude, stored, strict=True)
        if image.any() and pixels.max() < _FEW_LEVELS
    ]  # fmt: skip
    if dark:
        logger.warning(
            "%s: beside the brightest slice these have fewer than %d grey levels in DICOM, which has one scale for a "
            "series: %s (counted from 0). HDF5 and NIfTI keep their values.",
            result.series.name, _FEW_LEVELS, ", ".join(map(str, dark)),
        )  # fmt: skip
    low, high = np.percentile(stored, _WINDOW_PERCENT)
    explanation = "Signal in the units of the source"
    return _Values(
        stored, factor, 0.0, "OTHER", "", "SIGNAL", explanation, ("1", "no units"), (float(low), float(high))
    )


def _phases(result: Reconstruction) -> _Values:
    phase = np.asarray(result.phase, np.float64)
    factor = 2 * math.pi / _LARGEST
    stored = np.rint((phase + math.pi) / factor).clip(0, _LARGEST).astype(np.uint16)
    return _Values(
        stored, factor, -math.pi, "PHASE MAP", " phase", "PHASE", "Phase in radians", ("rad", "radian"), (0, _LARGEST)
    )


class _Common:
    """What all images of the series share."""

    def __init__(self, result: Reconstruction, values: _Values, pseudonyms: Pseudonyms | None) -> None:
        self.now = datetime.now()
        self.pseudonyms = pseudonyms
        self.values = values
        self.derivation = _derivation(result, is_anonymous=pseudonyms is not None)
        self.comments = _comments(result)
        self.digest = self._digest(result)
        self.series_uid = uid("series", source_uid(result.series), self.digest)
        if pseudonyms is not None:
            self.series_uid = pseudonyms.uid(self.series_uid)
        low, high = values.window
        self.window_width = max(round(high - low), 1)
        self.window_centre = round((high + low) / 2)
        self.description = _description(result, values.title)
        self.positions_mm = corners(result)[list(result.indices)]
        self.spacing_mm = _spacing(result)

    def _digest(self, result: Reconstruction) -> str:
        """Hash of the pixels and of how they came to be: one UID never stands for two pictures."""
        told = (result.indices, self.values.slope, self.derivation, self.comments)
        pixels = np.ascontiguousarray(self.values.stored, "<u2").tobytes()
        return hashlib.sha256(repr(told).encode() + pixels).hexdigest()


def _check(result: Reconstruction, folder: Path) -> None:
    final = np.asarray(result.final)
    if final.ndim != 3 or len(final) != len(result.indices) or not len(final):
        raise ExportError(f"{folder}: the result has shape {final.shape}; (slices, y, x) was expected.")
    if not np.isfinite(final).all():
        raise ExportError(
            f"{folder}: the result holds NaN or infinity, which no image can show; "
            "reconstruct it again in precision fp32."
        )
    if max(final.shape[1:]) > _LARGEST:
        raise ExportError(f"{folder}: an image of {final.shape[1:]} pixels is larger than a DICOM image can be.")
    target = folder.resolve()
    if any(target == file.resolve().parent for file in result.series.instances):
        raise ExportError(f"{folder}: the source files lie there and would be replaced; choose another folder.")


def _instance(
    result: Reconstruction,
    common: _Common,
    headers: dict[Path, Dataset],
    number: int,
    index: int,
    pixels: NDArray[np.uint16],
) -> FileDataset:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(_MR_IMAGE_STORAGE)
    meta.MediaStorageSOPInstanceUID = UID(uid("instance", common.series_uid, str(index)))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(uid("mri-workstation"))
    meta.ImplementationVersionName = f"MRIWS_{__version__}"[:16]
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)  # type: ignore[arg-type]
    dataset.SpecificCharacterSet = "ISO_IR 192"
    fill(dataset, result.series, headers, index, common.now)
    _identify(dataset, result, common, headers, index)
    _explain(dataset, result, common, index)
    _place(dataset, result, common, number)
    _draw(dataset, result, common, pixels)
    if common.pseudonyms is not None:
        common.pseudonyms.apply(dataset)
    return dataset


def _identify(
    dataset: Dataset, result: Reconstruction, common: _Common, headers: dict[Path, Dataset], index: int
) -> None:
    meta = dataset.file_meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.SeriesInstanceUID = common.series_uid
    dataset.Modality = "MR"
    dataset.SeriesNumber = _series_number(common, headers)
    dataset.SeriesDescription = common.description
    dataset.InstanceNumber = index + 1
    dataset.ImagesInAcquisition = len(result.indices)
    for moment in ("InstanceCreation", "Series", "Content"):
        setattr(dataset, f"{moment}Date", f"{common.now:%Y%m%d}")
        setattr(dataset, f"{moment}Time", f"{common.now:%H%M%S}")


def _series_number(common: _Common, headers: dict[Path, Dataset]) -> int:
    """Hundred times the source's number and something: viewers then list the result behind its source."""
    k = int(common.digest[:8], 16)
    source = next(iter(headers.values()), None)
    with quietly():
        number = clean("SeriesNumber", value_of(source, "SeriesNumber")) if source is not None else None
    if number is not None and 0 < number < 10_000_000:
        return int(number) * 100 + 1 + k % 99
    return 9001 + k % 900


def _explain(dataset: Dataset, result: Reconstruction, common: _Common, index: int) -> None:
    """Say what this is, how it was made and by what."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    dataset.ImageType = ["DERIVED", "PRIMARY", common.values.image_type]
    dataset.DerivationDescription = common.derivation
    dataset.ImageComments = common.comments
    reference_source(dataset, result.series, index)
    if not result.is_simulated and np.isfinite(result.mask.acceleration):
        put(dataset, "PercentSampling", round(100.0 / max(result.mask.acceleration, 1.0), 4))
    item = Dataset()
    item.Manufacturer = item.ManufacturerModelName = "mri-workstation"
    item.SoftwareVersions = f"mri-workstation {__version__}"
    item.ContributionDateTime = f"{common.now:%Y%m%d%H%M%S}"
    put(item, "ContributionDescription", common.derivation)
    item.PurposeOfReferenceCodeSequence = Sequence([code("109103", "DCM", "Modifying Equipment")])
    dataset.ContributingEquipmentSequence = Sequence([item])


def _place(dataset: Dataset, result: Reconstruction, common: _Common, number: int) -> None:
    geometry = result.series.geometry
    position = common.positions_mm[number]
    normal = np.cross(geometry.orientation[:3], geometry.orientation[3:])
    dataset.ImageOrientationPatient = [decimal(value) for value in geometry.orientation]
    dataset.ImagePositionPatient = [decimal(value) for value in position]
    dataset.PixelSpacing = [decimal(value) for value in geometry.pixel_spacing_mm]
    dataset.SliceThickness = decimal(geometry.slice_thickness_mm)
    dataset.SliceLocation = decimal(float(normal @ position))
    if common.spacing_mm is not None:
        dataset.SpacingBetweenSlices = decimal(common.spacing_mm)


def _draw(dataset: Dataset, result: Reconstruction, common: _Common, pixels: NDArray[np.uint16]) -> None:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    # Only the picture is turned over; what is computed and saved elsewhere keeps the rows of the raw data.
    picture = pixels[::-1] if result.series.geometry.flip_rows else pixels
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = picture.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = np.ascontiguousarray(picture, "<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.BurnedInAnnotation = "NO"
    if "LossyImageCompression" not in dataset:
        dataset.LossyImageCompression = "00"
    dataset.WindowCenter = decimal(common.window_centre)
    dataset.WindowWidth = decimal(common.window_width)
    item = Dataset()
    item.RealWorldValueFirstValueMapped, item.RealWorldValueLastValueMapped = 0, _LARGEST
    for keyword in ("RealWorldValueFirstValueMapped", "RealWorldValueLastValueMapped"):
        item[keyword].VR = "US"
    values = common.values
    item.RealWorldValueSlope, item.RealWorldValueIntercept = values.slope, values.intercept
    item.LUTLabel, item.LUTExplanation = values.label, values.explanation
    unit, meaning = values.unit
    item.MeasurementUnitsCodeSequence = Sequence([code(unit, "UCUM", meaning)])
    dataset.RealWorldValueMappingSequence = Sequence([item])


# ---- words ------------------------------------------------------------------------------------------------------


def _description(result: Reconstruction, kind: str) -> str:
    """Such as ``PC-RNN-S x4 random [research]``."""
    spec = result.request.mask
    if result.series.acquired_mask is not None:
        sampling = f"x{result.mask.acceleration:.3g} as acquired"
    elif spec.kind == "none":
        sampling = "fully sampled"
    elif spec.kind.startswith("file:"):
        sampling = f"x{result.mask.acceleration:.3g} mask file"
    else:
        sampling = f"x{spec.acceleration:g} {spec.kind}"
    end = f" {sampling}{kind} [research]"
    room = _DESCRIPTION_BYTES - len(end.encode())
    model, which = (result.model_title or "model").encode(), f" {result.series.part}".rstrip().encode()
    if len(which) > room - _MODEL_BYTES:
        # What tells a scan from the others of its file stands at the end of its name.
        sign = " …".encode()
        which = sign + which[len(which) - (room - _MODEL_BYTES - len(sign)) :]
    words = (model[: room - len(which)] + which).decode("utf-8", "ignore").strip()
    return str(clean("SeriesDescription", f"{words}{end}"))


def _derivation(result: Reconstruction, *, is_anonymous: bool) -> str:
    """Say how the images came to be; anonymous, without names of files of data, which can be those of persons."""
    request, spec = result.request, result.request.mask
    model = Path(request.model).name
    weights = f"weights sha256 {result.weights_sha256}" if result.weights_sha256 else "no trained weights"
    kind = spec.kind
    if kind.startswith("file:"):
        kind = "file" if is_anonymous else f"file {Path(kind[5:]).name}"
    if result.series.acquired_mask is not None:
        mask = "mask as acquired by the scanner"
    else:
        mask = f"mask {kind}, R {spec.acceleration:g}, seed {spec.seed}"
        mask += f", centre fraction {spec.fraction:g}" if not spec.kind.startswith("file:") else ""
    parts = [
        f"Reconstruction from undersampled k-space by {result.model_title} (model {model})",
        weights,
        f"{mask}, effective R {result.mask.acceleration:.4g}, ACS {result.mask.n_low_frequency}",
        f"grid {result.grid}, {result.n_virtual_coils} coils, precision {result.precision}, device {result.device}",
        ", ".join(f"{name} {version}" for name, version in result.versions.items()) or f"mri-workstation {__version__}",
    ]
    if result.parameters:
        parts.insert(2, f"parameters {result.parameter_text}")
    if result.series.part:
        parts.insert(1, f"{result.series.part} of its file")
    if result.series.header.source and not is_anonymous:
        parts.insert(1, f"data: {result.series.header.source}")
    simulation = result.series.simulation
    if simulation is not None:
        parts.insert(1, f"simulated k-space: {simulation.sentence}")
    return str(clean("DerivationDescription", "; ".join(parts) + "."))


def _comments(result: Reconstruction) -> str:
    parts = [NOTICE]
    if result.is_simulated:
        parts.append("Simulated k-space: made from magnitude images.")
    geometry = result.series.geometry
    if geometry.is_synthetic:
        parts.append("Geometry synthetic: position and side of the patient are unknown.")
    if geometry.spacing_is_assumed and geometry.thickness_is_assumed:
        parts.append("Pixel spacing and slice thickness are assumed: distances cannot be measured.")
    elif geometry.spacing_is_assumed:
        parts.append("Pixel spacing is assumed: distances cannot be measured.")
    elif geometry.thickness_is_assumed:
        parts.append("Slice thickness is assumed: distances across slices cannot be measured.")
    if geometry.flip_rows:
        parts.append("Rows flipped for display.")
    if len(result.indices) < result.series.n_slices:
        parts.append(f"{len(result.indices)} of {result.series.n_slices} slices of the scan.")
    return str(clean("ImageComments", " ".join(parts)))


# ---- geometry ---------------------------------------------------------------------------------------------------


def _spacing(result: Reconstruction) -> float | None:
    """Distance between slices where it is real and even."""
    geometry = result.series.geometry
    normal = np.cross(geometry.orientation[:3], geometry.orientation[3:])
    gaps_mm = np.diff(corners(result) @ normal)
    if geometry.is_synthetic or not gaps_mm.size or float(np.ptp(gaps_mm)) > _EVEN * abs(float(gaps_mm.mean())):
        return None
    return abs(float(gaps_mm.mean()))
