"""DICOM without the patient: nothing identifies, what belongs together stays together, and a validator is content."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date

import pydicom
import pytest

from recon.errors import ExportError
from recon.export import stored
from recon.export.anonymity import Pseudonyms
from recon.export.dicom_source import IMAGE, PATIENT_AND_STUDY, SERIES_AND_EQUIPMENT
from recon.folders import user_data
from recon.io.dicom import read

# Free text and persons, in everything of the source that an export can copy.
TEXTS = (
    *("PatientComments", "StudyDescription", "PhysiciansOfRecord", "NameOfPhysiciansReadingStudy", "Occupation"),
    *("AdditionalPatientHistory", "MedicalAlerts", "Allergies", "OtherPatientNames", "EthnicGroup"),
    *("IssuerOfPatientID", "ProtocolName", "PerformingPhysicianName", "OperatorsName", "StationName"),
    *("DeviceSerialNumber", "InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName"),
    *("ReferringPhysicianName", "AccessionNumber", "StudyID", "SeriesDescription"),
)
SAID = {keyword: f"Tell{number}" for number, keyword in enumerate(TEXTS)}


@pytest.fixture
def source(tmp_path, write_dicom):
    """A DICOM series of two slices whose every copied text could tell who it is."""
    for number in range(2):
        write_dicom(
            tmp_path / "in" / f"{number}", slice=number, AcquisitionDate="20200229", AcquisitionTime="101314.5", **SAID
        )
    return read(tmp_path / "in").series[0]


def test_nothing_tells_who_it_was(tmp_path, source, result_of, export, assert_valid):
    original = pydicom.dcmread(source.instances[0])
    files, datasets = export(result_of(source), tmp_path / "out", is_anonymous=True)
    told = [*SAID.values(), "Doe", "Jane", "HOSPITAL-4711", "19700101", "20200229"]
    told += [str(element.value) for element in original.iterall() if element.VR == "UI" and "UID" in element.keyword]
    classes = {str(original.SOPClassUID), "1.2.840.10008.1.2.1"}
    for file in files:
        content = file.read_bytes()
        assert [words for words in told if words not in classes and words.encode() in content] == []
    assert_valid(files)
    for dataset in datasets:
        assert dataset.PatientIdentityRemoved == "YES"
        methods = [item.CodeValue for item in dataset.DeidentificationMethodCodeSequence]
        assert methods == ["113100", "113105", "113107"]
        assert not dataset.PatientBirthDate and not dataset.PatientSex
        assert "RESEARCH USE ONLY" in dataset.ImageComments and "Reconstruction" in dataset.DerivationDescription


def test_what_the_scanner_did_stays(tmp_path, source, result_of, export):
    _, (plain, _) = export(result_of(source), tmp_path / "plain")
    _, (hidden, _) = export(result_of(source), tmp_path / "hidden", is_anonymous=True)
    technical = {*IMAGE, "Manufacturer", "PatientPosition", "ImagePositionPatient", "PixelData", "PixelSpacing"}
    technical -= {"AcquisitionDate", "AcquisitionTime"}
    assert {name: plain.get(name) for name in technical} == {name: hidden.get(name) for name in technical}
    kept = {name for name in (*PATIENT_AND_STUDY, *SERIES_AND_EQUIPMENT) if hidden.get(name)}
    made_up = {"PatientName", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "StudyID", "StudyDate"}
    made_up |= {"StudyTime", "PatientIdentityRemoved"}
    assert kept - made_up <= {"PatientPosition", "BodyPartExamined", "Manufacturer", "ManufacturerModelName"}


def test_a_patient_is_one_patient_and_intervals_stay(tmp_path, write_dicom, result_of, export):
    found = []
    for number, (patient, day) in enumerate((("P1", "20200229"), ("P1", "20200310"), ("P2", "20200229"))):
        uids = {"StudyInstanceUID": f"1.2.3.{number}", "FrameOfReferenceUID": f"1.2.4.{number}"}
        folder = write_dicom(tmp_path / f"in{number}", PatientID=patient, StudyDate=day, **uids)
        _, [dataset] = export(result_of(read(folder).series[0]), tmp_path / f"out{number}", is_anonymous=True)
        found.append(dataset)
    first, later, other = found
    assert first.PatientID == later.PatientID != other.PatientID
    assert str(first.PatientName) == str(later.PatientName) != str(other.PatientName)
    assert first.StudyInstanceUID != later.StudyInstanceUID

    def days(dataset):
        return date(int(dataset.StudyDate[:4]), int(dataset.StudyDate[4:6]), int(dataset.StudyDate[6:])).toordinal()

    assert days(later) - days(first) == 10
    assert 365 <= date(2020, 2, 29).toordinal() - days(first) <= 365 + 3651
    assert days(first) != days(other)


def test_the_day_of_the_export_does_not_tell_how_far_dates_moved(tmp_path, source, result_of, export):
    _, datasets = export(result_of(source), tmp_path / "out", is_anonymous=True)
    for dataset in datasets:
        told = {element.keyword for element in dataset.iterall() if element.VR in ("DA", "DT", "TM") and element.value}
        assert told == {"StudyDate", "StudyTime", "AcquisitionDate", "AcquisitionTime"}


def test_exporting_again_replaces_and_another_user_has_other_names(tmp_path, source, result_of, export, monkeypatch):
    def identities(datasets):
        names = "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "StudyDate", "AcquisitionTime"
        return [tuple(str(dataset.get(name)) for name in names) for dataset in datasets]

    once = identities(export(result_of(source), tmp_path / "a", is_anonymous=True)[1])
    assert identities(export(result_of(source), tmp_path / "b", is_anonymous=True)[1]) == once
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another"))
    others = identities(export(result_of(source), tmp_path / "c", is_anonymous=True)[1])
    assert all(mine != yours for pair in zip(once, others, strict=True) for mine, yours in zip(*pair, strict=True))
    assert (tmp_path / "another" / "mri-workstation" / "pseudonyms.key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("changes", [{"StudyDate": None, "StudyTime": None}, {"StudyDate": "00010101"}])
def test_dates_that_cannot_be_moved(tmp_path, write_dicom, result_of, export, changes):
    series = read(write_dicom(tmp_path / "in", **changes)).series[0]
    _, [dataset] = export(result_of(series), tmp_path / "out", is_anonymous=True)
    assert dataset.StudyDate != "00010101"
    assert "StudyDate" in dataset and "StudyTime" in dataset


def test_raw_data_too(tmp_path, raw_series, result_of, export, assert_valid):
    series = raw_series()
    series = replace(series, header=replace(series.header, source="magnitude images of DOE_JANE.nii"))
    result = result_of(series)
    mask = replace(result.request.mask, kind="file:/data/mask_of_DOE_JANE.npy")
    result = replace(result, request=replace(result.request, mask=mask))
    files, (hidden, *_) = export(result, tmp_path / "hidden", is_anonymous=True)
    _, (plain, *_) = export(result, tmp_path / "plain")
    assert_valid(files)
    assert plain.DerivationDescription.count("DOE_JANE") == 2 and "mask file, R 4" in hidden.DerivationDescription
    assert not any(b"DOE_JANE" in file.read_bytes() for file in files)
    assert hidden.PatientID != plain.PatientID and "ProtocolName" not in hidden
    assert hidden.StudyInstanceUID != plain.StudyInstanceUID


def test_a_stored_result_gives_the_same_images(tmp_path, raw_series, result_of):
    (h5, folder, record) = result_of(raw_series()).save(tmp_path / "a", ["hdf5", "dicom-anonymous"])
    (again, _) = stored.read(record).export(tmp_path / "b", ["dicom-anonymous"])
    assert folder.name == again.name == f"{h5.stem}.anonymous.dcm"
    for name in sorted(path.name for path in folder.iterdir()):
        one, other = pydicom.dcmread(folder / name), pydicom.dcmread(again / name)
        assert (one.SOPInstanceUID, one.PatientID, one.StudyDate) == (
            other.SOPInstanceUID,
            other.PatientID,
            other.StudyDate,
        )
        assert one.PixelData == other.PixelData


def test_processes_that_export_side_by_side_use_one_key():
    with ThreadPoolExecutor(8) as pool:
        assert len({pool.submit(Pseudonyms.of_this_user).result().key for _ in range(8)}) == 1


@pytest.mark.parametrize("content", [b"short", b"\xff" * 80, b"ab" * 8])
def test_a_damaged_key_is_named_and_not_replaced(content):
    path = user_data() / "pseudonyms.key"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(ExportError, match=r"pseudonyms\.key: this is no key .* remove it"):
        Pseudonyms.of_this_user()
    assert path.read_bytes() == content
