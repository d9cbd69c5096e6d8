"""What an exported object takes over: from the DICOM instance that it was made from, or from a raw-data header.

Only attributes that are named here are taken over, so private data and what nobody thought of never are.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING

from recon.errors import ExportError, FileError
from recon.export.dicom_values import PAIRED, UNPAIRED, clean, put, uid
from recon.io.dicom.frame import quietly, read_header
from recon.io.dicom.header import classic, text, value_of

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import Dataset

    from recon.data import Header, Series
    from recon.io.dicom import DicomSource


def _words(*lines: str) -> tuple[str, ...]:
    return tuple(word for line in lines for word in line.split())


PATIENT_AND_STUDY = _words(
    "PatientName PatientID IssuerOfPatientID PatientBirthDate PatientBirthTime PatientSex OtherPatientNames",
    "EthnicGroup PatientComments PatientIdentityRemoved DeidentificationMethod",
    "StudyInstanceUID StudyDate StudyTime StudyID AccessionNumber StudyDescription ReferringPhysicianName",
    "PhysiciansOfRecord NameOfPhysiciansReadingStudy",
    "PatientAge PatientSize PatientWeight Occupation AdditionalPatientHistory MedicalAlerts Allergies",
)
SERIES_AND_EQUIPMENT = _words(
    "PatientPosition BodyPartExamined ProtocolName PerformingPhysicianName OperatorsName",
    "FrameOfReferenceUID PositionReferenceIndicator",
    "Manufacturer ManufacturerModelName SoftwareVersions DeviceSerialNumber StationName",
    "InstitutionName InstitutionAddress InstitutionalDepartmentName",
)
IMAGE = _words(
    "AcquisitionNumber AcquisitionDate AcquisitionTime",
    "ScanningSequence SequenceVariant ScanOptions MRAcquisitionType RepetitionTime EchoTime EchoTrainLength",
    "InversionTime SequenceName AngioFlag NumberOfAverages ImagingFrequency ImagedNucleus EchoNumbers",
    "MagneticFieldStrength NumberOfPhaseEncodingSteps PercentSampling PercentPhaseFieldOfView PixelBandwidth",
    "ReceiveCoilName TransmitCoilName AcquisitionMatrix InPlanePhaseEncodingDirection FlipAngle",
    "VariableFlipAngleFlag SAR dBdt",
)

# Attributes that must be present, and may be empty where nobody knows.
EMPTY_ALLOWED = _words(
    "PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime StudyID AccessionNumber",
    "ReferringPhysicianName PatientPosition PositionReferenceIndicator Manufacturer",
    "ScanOptions MRAcquisitionType EchoTime EchoTrainLength RepetitionTime",
)


def fill(dataset: Dataset, series: Series, headers: dict[Path, Dataset], index: int, now: datetime) -> None:
    """Write what is known about patient, study, equipment and acquisition of one slice.

    Parameters
    ----------
    dataset
        Object to fill.
    series
        Series that the result was made from.
    headers
        Source headers that were read before; filled on the way.
    index
        Slice of the series.
    now
        Moment of the export, one for all its images.

    Raises
    ------
    ExportError
        If a source file is gone.
    """
    if series.kind == "dicom":
        with quietly():
            _from_dicom(dataset, series, headers, index)
    else:
        _from_header(dataset, series)
    _repair(dataset, series, now)


def source_uid(series: Series) -> str:
    """Return words that name the data: the same for the same data, wherever its file lies."""
    source = _dicom_source(series)
    if source is not None:
        return "/".join((source.frames[0].series_uid, source.frames[0].key, source.frames[-1].key))
    shape = series.n_slices, series.n_coils, *series.matrix
    return "/".join((series.name, repr(series.header), str(shape), series.fingerprint))


def _file_uid(series: Series) -> str:
    """Words that name the scan's file: contrasts and repetitions in it are one patient's, and of one study."""
    return "/".join((series.name, series.file_fingerprint)) if series.file_fingerprint else source_uid(series)


def reference_source(dataset: Dataset, series: Series, index: int) -> None:
    """Name the instance, and in a multi-frame one the frame, that a slice was made from."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    source = _dicom_source(series)
    if source is None:
        return
    frame = source.frames[index]
    item = Dataset()
    if not put(item, "ReferencedSOPInstanceUID", frame.sop_instance_uid):
        return
    item.ReferencedSOPClassUID = frame.sop_class_uid
    if frame.number is not None:
        item.ReferencedFrameNumber = frame.number + 1
    item.PurposeOfReferenceCodeSequence = Sequence(
        [code("121322", "DCM", "Source image for image processing operation")]
    )
    dataset.SourceImageSequence = Sequence([item])


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Return the item of a code sequence."""
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _dicom_source(series: Series) -> DicomSource | None:
    from recon.io.dicom import DicomSource

    return series.source if isinstance(series.source, DicomSource) else None


def _from_dicom(dataset: Dataset, series: Series, headers: dict[Path, Dataset], index: int) -> None:
    source = _dicom_source(series)
    if source is None:
        raise ExportError(f"{series.path}: the DICOM files behind this result are unknown; open the study again.")

    def said_of(slice_index: int) -> Dataset:
        frame = source.frames[slice_index]
        if frame.path not in headers:
            try:
                headers[frame.path] = read_header(frame)
            except FileError as error:
                raise ExportError(
                    f"{error} The export copies patient and study from it; bring the file back and export again."
                ) from error
        header = headers[frame.path]
        return header if frame.number is None else classic(header, frame.number)

    # Patient, study, series and equipment are the same in all images of a series, whatever the source says of each.
    first = said_of(0)
    _copy(first, dataset, (*PATIENT_AND_STUDY, *SERIES_AND_EQUIPMENT))
    image = said_of(index)
    _copy(image, dataset, IMAGE)
    _copy_side(image, dataset)
    _copy_compression(image, dataset)
    _copy_deidentification(headers[source.frames[0].path], dataset)
    if "StudyDate" not in dataset:
        dates = (clean("StudyDate", value_of(first, name)) for name in ("SeriesDate", "ContentDate", "AcquisitionDate"))
        put(dataset, "StudyDate", next((date for date in dates if date), None))
    if "StudyTime" not in dataset:
        times = (clean("StudyTime", value_of(first, name)) for name in ("SeriesTime", "ContentTime", "AcquisitionTime"))
        put(dataset, "StudyTime", next((time for time in times if time), None))


def _copy(source: Dataset, target: Dataset, keywords: tuple[str, ...] | list[str]) -> None:
    for keyword in keywords:
        put(target, keyword, value_of(source, keyword))


def _copy_deidentification(source: Dataset, target: Dataset) -> None:
    """The method in words, also where the source has it in codes."""
    if "DeidentificationMethod" not in target:
        meanings = [text(item, "CodeMeaning") for item in value_of(source, "DeidentificationMethodCodeSequence") or []]
        put(target, "DeidentificationMethod", ", ".join(filter(None, meanings)))


def _copy_side(source: Dataset, target: Dataset) -> None:
    side = clean("ImageLaterality", value_of(source, "ImageLaterality")) or clean(
        "Laterality", value_of(source, "Laterality")
    )
    if side in ("L", "R"):
        target.ImageLaterality = side


def _copy_compression(source: Dataset, target: Dataset) -> None:
    # What was lost once stays lost, and has to be said for ever.
    if str(value_of(source, "LossyImageCompression")) == "01":
        target.LossyImageCompression = "01"
        for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            put(target, keyword, value_of(source, keyword))


def _from_header(dataset: Dataset, series: Series) -> None:
    """Write what a raw-data header says; identifiers are hashed, and what embeds a date or a scanner is left out."""
    header = series.header
    # Without an identity each scan is a person of its own: two of one name must not become one in an archive.
    identity = header.patient_id or _file_uid(series)
    put(dataset, "PatientName", "ANON")
    dataset.PatientID = hashlib.sha256(identity.encode()).hexdigest()[:16]
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "Identifying fields not taken over from the raw data"
    put(dataset, "Manufacturer", header.vendor)
    put(dataset, "ManufacturerModelName", header.scanner)
    put(dataset, "ProtocolName", header.protocol)
    put(dataset, "PatientPosition", header.patient_position)
    put(dataset, "BodyPartExamined", _body_part(series))
    put(dataset, "RepetitionTime", header.repetition_time_ms)
    put(dataset, "EchoTime", header.echo_time_ms)
    put(dataset, "EchoTrainLength", header.echo_train_length)
    put(dataset, "FlipAngle", header.flip_angle_deg)
    put(dataset, "MagneticFieldStrength", header.field_strength_t)
    if header.frequency_hz:
        put(dataset, "ImagingFrequency", header.frequency_hz / 1e6)
        dataset.ImagedNucleus = "1H"
    _sequence(dataset, header)
    put(dataset, "SequenceName", header.sequence_type)
    if header.encoded_matrix is not None:
        dataset.MRAcquisitionType = "2D" if header.encoded_matrix[2] <= 1 else "3D"
        matrix = _acquisition_matrix(header)
        if put(dataset, "AcquisitionMatrix", matrix):
            dataset.InPlanePhaseEncodingDirection = "ROW"


def _sequence(dataset: Dataset, header: Header) -> None:
    kind = (header.sequence_type or "").lower()
    names = f"{header.acquisition or ''} {header.protocol or ''} {kind}".upper()
    scanning, variant = ["RM"], ["NONE"]
    if "epi" in kind:
        scanning, variant = ["EP"], ["NONE"]
    elif "spinecho" in kind or kind in ("tse", "fse", "se"):
        scanning, variant = ["SE"], ["SK"] if "turbo" in kind or kind in ("tse", "fse") else ["NONE"]
    elif "gradient" in kind or "flash" in kind or kind == "gre":
        scanning, variant = ["GR"], ["SP"]
    # fastMRI headers carry an inversion time for plain turbo spin echo too: only the protocol tells inversion recovery.
    inverts = any(word in names for word in ("FLAIR", "STIR", "TIRM", "INVERSION", "MPRAGE"))
    if inverts and header.inversion_time_ms:
        scanning = [*[word for word in scanning if word != "RM"], "IR"]
        put(dataset, "InversionTime", header.inversion_time_ms)
    dataset.ScanningSequence, dataset.SequenceVariant = scanning, variant


def _acquisition_matrix(header: Header) -> list[int] | None:
    """Frequency columns and phase rows; the readout without its oversampling."""
    if header.encoded_matrix is None:
        return None
    readout, phase, _ = header.encoded_matrix
    if header.encoded_fov_mm and header.recon_fov_mm and header.encoded_fov_mm[0] > 0:
        readout = round(readout * min(header.recon_fov_mm[0] / header.encoded_fov_mm[0], 1.0))
    return [0, readout, phase, 0]


def _body_part(series: Series) -> str | None:
    words = " ".join(filter(None, (series.header.acquisition, series.header.protocol, series.name))).upper()
    if "KNEE" in words or "CORPD" in words:
        return "KNEE"
    if "BRAIN" in words or (series.header.acquisition or "").upper().startswith(("AXT1", "AXT2", "AXFLAIR")):
        return "BRAIN"
    return None


def _repair(dataset: Dataset, series: Series, now: datetime) -> None:
    """Give every attribute that must be there a value that is honest, and take out what contradicts another."""
    key = _file_uid(series)
    for keyword, word in (("StudyInstanceUID", "study"), ("FrameOfReferenceUID", "frame of reference")):
        if keyword not in dataset:
            setattr(dataset, keyword, uid(word, key))
    if not dataset.get("PatientID"):
        # Archives file by it, and media cannot do without; it says no more than the study's UID does.
        dataset.PatientID = hashlib.sha256(str(dataset.StudyInstanceUID).encode()).hexdigest()[:16]
    made = _made(series, now)
    for keyword, value in (("StudyDate", f"{made:%Y%m%d}"), ("StudyTime", f"{made:%H%M%S}")):
        if keyword not in dataset:
            setattr(dataset, keyword, value)
    if "StudyID" not in dataset:
        put(dataset, "StudyID", series.path.stem if series.kind != "dicom" else uid(key)[-8:])
    if "ScanningSequence" not in dataset:
        dataset.ScanningSequence = "RM"
    if "SequenceVariant" not in dataset:
        dataset.SequenceVariant = "NONE"
    if "IR" not in dataset.ScanningSequence:
        dataset.pop("InversionTime", None)
    elif "InversionTime" not in dataset:
        dataset.InversionTime = None
    if dataset.get("PatientIdentityRemoved") != "YES" or "DeidentificationMethod" not in dataset:
        if dataset.get("PatientIdentityRemoved") == "YES":
            dataset.DeidentificationMethod = "By the source; method not stated"
        else:
            dataset.pop("DeidentificationMethod", None)
    part = dataset.get("BodyPartExamined")
    if part in UNPAIRED:
        dataset.pop("ImageLaterality", None)
    elif part is None or part in PAIRED:
        # Without a side, DICOM asks for one; U is the only value that claims none.
        dataset.ImageLaterality = dataset.get("ImageLaterality") or "U"
    for keyword in EMPTY_ALLOWED:
        if keyword not in dataset:
            setattr(dataset, keyword, None)


def _made(series: Series, now: datetime) -> datetime:
    """When the data came to be, as far as the disk knows: the same at every export, unlike the clock.

    An empty date or time would be allowed, but a DICOMDIR cannot be built of it, of which the validator warns.
    """
    try:
        return datetime.fromtimestamp((series.instances[0] if series.instances else series.path).stat().st_mtime)
    except (OSError, OverflowError, ValueError):
        return now
