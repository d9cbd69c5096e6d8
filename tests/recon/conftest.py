"""DICOM files to order."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"


def build_dicom(path: Path, pixels: Any = None, **changes: Any) -> Path:
    """Write a small legal MR image; keyword arguments replace attributes, None takes one out, ``slice=3`` moves it."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    number = changes.pop("slice", 0)
    if pixels is None:
        y, x = np.mgrid[:24, :32]
        pixels = (100 + 10 * number + 3 * y + x).astype(np.uint16)
    pixels = np.asarray(pixels)
    values = {
        "SOPClassUID": MR_IMAGE,
        "SOPInstanceUID": f"1.2.826.0.1.3680043.9.1.{zlib.crc32(path.name.encode())}",
        "StudyInstanceUID": "1.2.826.0.1.3680043.9.2",
        "SeriesInstanceUID": "1.2.826.0.1.3680043.9.3",
        "FrameOfReferenceUID": "1.2.826.0.1.3680043.9.4",
        "Modality": "MR",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
        "PatientName": "Doe^Jane",
        "PatientID": "HOSPITAL-4711",
        "PatientBirthDate": "19700101",
        "PatientSex": "F",
        "StudyDate": "20200229",
        "StudyTime": "101112",
        "StudyID": "7",
        "AccessionNumber": "A1",
        "ReferringPhysicianName": "House^Gregory",
        "SeriesNumber": 5,
        "SeriesDescription": "t2_tse_tra",
        "InstanceNumber": number + 1,
        "BodyPartExamined": "BRAIN",
        "PatientPosition": "HFS",
        "PositionReferenceIndicator": "",
        "Manufacturer": "ACME",
        "ScanningSequence": "SE",
        "SequenceVariant": "SK",
        "ScanOptions": "",
        "MRAcquisitionType": "2D",
        "RepetitionTime": 4000,
        "EchoTime": 90,
        "EchoTrainLength": 12,
        "SliceThickness": 3,
        "ImagePositionPatient": [-10.0, -20.0, 4.0 * number],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [0.5, 0.75],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[-2],
        "Columns": pixels.shape[-1],
        "BitsAllocated": 8 * pixels.dtype.itemsize,
        "BitsStored": 8 * pixels.dtype.itemsize,
        "HighBit": 8 * pixels.dtype.itemsize - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelData": pixels.tobytes(),
    }
    syntax = UID(changes.pop("TransferSyntaxUID", ExplicitVRLittleEndian))
    prepare = changes.pop("prepare", None)
    values.update(changes)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(values["SOPClassUID"])
    meta.MediaStorageSOPInstanceUID = UID(values["SOPInstanceUID"] or "1.2.3")
    meta.TransferSyntaxUID = syntax
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an illegal value is what a test may be about
        for keyword, value in values.items():
            if value is not None:
                setattr(dataset, keyword, value)
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OW" if pixels.dtype.itemsize > 1 else "OB"
    if prepare is not None:
        prepare(dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian)
    return path


@pytest.fixture(scope="session")
def write_dicom() -> Callable[..., Path]:
    """`build_dicom`."""
    return build_dicom
