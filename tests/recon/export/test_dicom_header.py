"""What an exported image says beside its pixels: what a raw header knows, whose it is, and how it was made."""

import re
from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

import recon
from recon.data import Header
from recon.io.dicom import read

# In place of what the header of a brain says.
KNEE = {"acquisition": "CORPD_FBK", "protocol": "PD coronal knee", "inversion_time_ms": 100.0}
NOTHING = vars(Header())


@pytest.fixture
def header(request, brain_header):
    """Header of a brain with something else in it."""
    return replace(brain_header, **request.param)


# ---- raw headers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "changes"),
    [
        ({}, {}),
        (KNEE, {}),
        ({"acquisition": "AXT2"}, {}),
        ({"sequence_type": "Flash", "acquisition": "PHANTOM", "protocol": "gre"}, {}),
        ({"sequence_type": "EPI"}, {}),
        (NOTHING, {}),
        (
            {
                "acquisition": "ACQ\\with\nodd \x01 letters",
                "protocol": "p" * 300,
                "vendor": "Ünï" * 40,
                "sequence_type": "s" * 50,
                "patient_position": "SITTING",
                "repetition_time_ms": float("nan"),
                "echo_time_ms": 1 / 3,
                "encoded_matrix": (10**6, 2, 3),
            },
            {"name": "ä" * 90 + ".h5"},
        ),
    ],
    indirect=["header"],
)
def test_any_raw_header_exports_cleanly(tmp_path, assert_valid, raw_series, result_of, export, header, changes):
    files, _ = export(result_of(raw_series(header, **changes)), tmp_path / "out")
    assert_valid(files)


def test_raw_headers_become_dicom(tmp_path, raw_series, result_of, export, brain_header):
    brain = export(result_of(raw_series(brain_header)), tmp_path / "brain")[1][0]
    assert list(brain.ScanningSequence) == ["SE", "IR"]
    assert brain.SequenceVariant == "SK"
    assert brain.InversionTime == 2500
    assert brain.BodyPartExamined == "BRAIN"
    assert "ImageLaterality" not in brain
    assert float(brain.ImagingFrequency) == pytest.approx(63.646088)
    # The readout is oversampled twice; frequency columns and phase rows.
    assert list(brain.AcquisitionMatrix) == [0, 320, 320, 0]
    assert (brain.MRAcquisitionType, brain.PatientPosition, brain.StudyID) == ("2D", "HFS", "file_brain_AXFLA")
    knee = export(result_of(raw_series(replace(brain_header, **KNEE), name="file1000031.h5")), tmp_path / "knee")[1][0]
    assert knee.ScanningSequence == "SE"  # its header carries an inversion time all the same
    assert "InversionTime" not in knee
    assert (knee.BodyPartExamined, knee.ImageLaterality) == ("KNEE", "U")


# ---- identity ---------------------------------------------------------------------------------------------------


def identities(datasets):
    return [(dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID) for dataset in datasets]


def test_exporting_again_gives_the_same_uids(tmp_path, raw_series, result_of, export):
    result = result_of(raw_series())
    first, second = export(result, tmp_path / "a")[1], export(result, tmp_path / "b")[1]
    assert identities(first) == identities(second)
    assert len({sop for _, _, sop in identities(first)}) == 3
    assert all(identity.startswith("2.25.") and len(identity) <= 64 for row in identities(first) for identity in row)
    files, third = export(result, tmp_path / "a")
    assert identities(third) == identities(first)
    assert sorted(tmp_path.joinpath("a").iterdir()) == files


def test_whatever_changes_the_pixels_changes_the_series_and_not_the_study(tmp_path, raw_series, result_of, export):
    series = raw_series()
    base = recon.Request(model="pcrnn-s", mask=recon.MaskSpec("random", acceleration=4, seed=7))
    results = [
        result_of(series, request=base),
        result_of(series, request=replace(base, model="oucr")),
        result_of(series, request=replace(base, mask=replace(base.mask, seed=8))),
        result_of(series, request=replace(base, mask=replace(base.mask, acceleration=8))),
        result_of(series, request=base, grid="native"),
        result_of(series, request=base, precision="bfloat16"),
        result_of(series, request=base, final=np.full((3, 20, 16), 2.0)),
        result_of(series, request=base, weights_sha256="cd" * 32),
        result_of(series, request=base, indices=(0, 1)),
    ]
    rows = [identities(export(result, tmp_path / str(number))[1])[0] for number, result in enumerate(results)]
    assert len({study for study, _, _ in rows}) == 1
    assert len({series_uid for _, series_uid, _ in rows}) == len(results)
    assert len({sop for _, _, sop in rows}) == len(results)
    other = identities(export(result_of(raw_series(name="file2.h5"), request=base), tmp_path / "other")[1])[0]
    assert not set(other) & set(rows[0])


def test_scans_of_one_name_and_header_are_two_people(tmp_path, raw_series, result_of, export):
    """Files of different folders that say nothing of whom they show, such as scan.h5."""
    request = recon.Request(model="pcrnn-s")
    datasets = [
        export(result_of(raw_series(header=Header(), fingerprint=word), request=request), tmp_path / word)[1][0]
        for word in ("one", "two")
    ]
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        assert datasets[0][keyword].value != datasets[1][keyword].value, keyword


def test_raw_data_carry_no_identity(tmp_path, raw_series, result_of, export, brain_header):
    _, datasets = export(result_of(raw_series()), tmp_path / "out")
    for dataset in datasets:
        assert str(dataset.PatientName).rstrip("^") == "ANON"
        assert dataset.PatientID
        assert brain_header.patient_id not in dataset.PatientID
        assert dataset.PatientIdentityRemoved == "YES"
        assert brain_header.institution not in str(dataset)
        assert "SourceImageSequence" not in dataset


def secrets(dataset):
    block = dataset.private_block(0x0029, "ACME SECRETS", create=True)
    block.add_new(0x10, "LO", "private-secret")
    item = Dataset()
    item.add_new(0x00290010, "LO", "ACME SECRETS")
    item.add_new(0x00291010, "LO", "private-secret")
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "113100", "DCM", "Basic Profile"
    dataset.DeidentificationMethodCodeSequence = Sequence([item])
    dataset.PatientIdentityRemoved = "YES"
    dataset.PatientAddress = "Secret Street 1"
    dataset.RequestAttributesSequence = Sequence([item])


def test_private_and_unknown_attributes_never_come_along(tmp_path, write_dicom, assert_valid, result_of, export):
    series = read(write_dicom(tmp_path / "in", prepare=secrets)).series[0]
    files, datasets = export(result_of(series), tmp_path / "out")
    for element in datasets[0].iterall():
        assert not element.tag.is_private
    assert b"private-secret" not in files[0].read_bytes()
    assert b"Secret Street" not in files[0].read_bytes()
    assert datasets[0].DeidentificationMethod == "Basic Profile"
    assert_valid(files)


def test_patient_and_study_of_a_dicom_source_stay(tmp_path, write_dicom, result_of, export):
    series = read(write_dicom(tmp_path / "in", StudyDescription="Head", PatientAge="050Y")).series[0]
    dataset = export(result_of(series), tmp_path / "out")[1][0]
    for keyword, value in {
        "PatientName": "Doe^Jane",
        "PatientID": "HOSPITAL-4711",
        "PatientBirthDate": "19700101",
        "PatientSex": "F",
        "PatientAge": "050Y",
        "StudyDate": "20200229",
        "StudyTime": "101112",
        "StudyID": "7",
        "StudyDescription": "Head",
        "AccessionNumber": "A1",
        "Manufacturer": "ACME",
        "StudyInstanceUID": "1.2.826.0.1.3680043.9.2",
        "FrameOfReferenceUID": "1.2.826.0.1.3680043.9.4",
    }.items():
        assert str(dataset.get(keyword)) == value, keyword
    assert dataset.SeriesInstanceUID != "1.2.826.0.1.3680043.9.3"
    assert 501 <= dataset.SeriesNumber <= 599
    assert dataset.EchoTime == 90


# ---- provenance -------------------------------------------------------------------------------------------------


def test_every_image_says_how_it_was_made(tmp_path, raw_series, result_of, export):
    _, datasets = export(result_of(raw_series()), tmp_path / "out")
    for dataset in datasets:
        assert list(dataset.ImageType) == ["DERIVED", "PRIMARY", "OTHER"]
        assert dataset.SeriesDescription == "PC-RNN-S x4 random [research]"
        assert "RESEARCH USE ONLY" in dataset.ImageComments
        for words in ("pcrnn-s", "ab" * 32, "mask random", "R 4", "seed 7", "effective R", "ACS 26", recon.__version__):
            assert words in dataset.DerivationDescription
        assert "simulated" not in dataset.DerivationDescription
        tool = dataset.ContributingEquipmentSequence[0]
        assert tool.ManufacturerModelName == "mri-workstation"
        assert tool.PurposeOfReferenceCodeSequence[0].CodeValue == "109103"
        assert dataset.Manufacturer == "SIEMENS"
        assert float(dataset.PercentSampling) == pytest.approx(100 / 3.57, abs=6)


def test_the_parameters_of_a_method_are_told(tmp_path, raw_series, result_of, export):
    result = replace(
        result_of(raw_series()), parameters={"lambda_": 0.001, "n_iterations": 200},
        parameter_origins={"lambda_": "fastMRI's table: AXT1, an array, 4x"},
    )  # fmt: skip
    _, datasets = export(result, tmp_path / "out")
    words = "parameters lambda 0.001 (fastMRI's table: AXT1, an array, 4x), n_iterations 200"
    assert all(words in dataset.DerivationDescription for dataset in datasets)


@pytest.mark.parametrize(
    ("request_", "changes", "words"),
    [
        (
            recon.Request(model="zero-filled", mask=recon.MaskSpec("none")),
            {},
            r"Zero-filled fully sampled \[research\]",
        ),
        (recon.Request(model="/home/me/private/mine.safetensors"), {}, r"mine x4 equispaced-fraction \[research\]"),
        (
            recon.Request(model="zero-filled", mask=recon.MaskSpec("file:/home/me/private/m.npy")),
            {},
            r"Zero-filled x[\d.]+ mask file \[research\]",
        ),
        (
            recon.Request(model="zero-filled"),
            {"acquired_mask": np.ones((1, 16), bool)},
            r"Zero-filled x[\d.]+ as acquired \[research\]",
        ),
        (recon.Request(model=f"/x/{'y' * 90}.safetensors"), {}, r"y{30} x4 equispaced-fraction \[research\]"),
    ],
)
def test_series_description_and_derivation_name_no_folder(
    tmp_path, raw_series, result_of, export, request_, changes, words
):
    dataset = export(result_of(raw_series(**changes), request=request_), tmp_path / "out")[1][0]
    assert "private" not in str(dataset)
    assert len(dataset.SeriesDescription) <= 64
    assert re.fullmatch(words, dataset.SeriesDescription)


def test_lossy_sources_stay_lossy(tmp_path, write_dicom, result_of, export):
    series = read(write_dicom(tmp_path / "in", LossyImageCompression="01", LossyImageCompressionRatio=12)).series[0]
    dataset = export(result_of(series), tmp_path / "out")[1][0]
    assert (dataset.LossyImageCompression, dataset.LossyImageCompressionRatio) == ("01", 12)
