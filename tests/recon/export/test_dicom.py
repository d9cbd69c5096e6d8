"""DICOM export: pixels, geometry, identity, provenance, and a validator with nothing to say."""

import errno
import itertools
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

import recon
from recon import masks
from recon.data import Geometry, Header, Series
from recon.errors import ExportError
from recon.export import dicom
from recon.export.dicom_values import PAIRED, UNPAIRED, clean, uid
from recon.io.dicom import read
from recon.result import Reconstruction

BRAIN = Header(
    acquisition="AXFLAIR",
    protocol="AX FLAIR",
    sequence_type="TurboSpinEcho",
    vendor="SIEMENS",
    scanner="Aera",
    institution="Somewhere General",
    field_strength_t=1.494,
    frequency_hz=63646088.0,
    repetition_time_ms=9000.0,
    echo_time_ms=81.0,
    inversion_time_ms=2500.0,
    flip_angle_deg=150.0,
    echo_train_length=16,
    patient_position="HFS",
    patient_id="0123456789abcdef",
    encoded_matrix=(640, 320, 1),
    recon_matrix=(320, 260, 1),
    encoded_fov_mm=(440.0, 220.0, 7.5),
    recon_fov_mm=(220.0, 178.75, 5.0),
)
KNEE = replace(BRAIN, acquisition="CORPD_FBK", protocol="PD coronal knee", inversion_time_ms=100.0)


def raw_series(header=BRAIN, n_slices=3, size=(20, 16), name="file_brain_AXFLAIR_200_6002447.h5", **changes):
    """A series as the fastMRI reader makes it; nothing of it is read."""
    values = {
        "path": Path("/data") / name,
        "title": name,
        "kind": "fastmri",
        "n_slices": n_slices,
        "n_coils": 4,
        "matrix": (size[0] * 2, size[1]),
        "recon_size": size,
        "source": None,
        "has_reference": True,
        "header": header,
        "geometry": Geometry((0.6875, 0.5), 5.0, flip_rows=True),
    }
    return Series(**(values | changes))


def result_of(series, final=None, *, request=None, indices=None, **changes):
    indices = tuple(range(series.n_slices)) if indices is None else indices
    request = request or recon.Request(model="pcrnn-s", mask=recon.MaskSpec("random", acceleration=4, seed=7))
    if final is None:
        rng = np.random.default_rng(0)
        final = rng.random((len(indices), *series.recon_size), np.float32) * 3e-4
    mask = masks.make(
        replace(request.mask, kind="random") if "file:" in request.mask.kind else request.mask, (320, 320), "f"
    )
    values = {
        "series": series,
        "request": request,
        "indices": indices,
        "final": np.asarray(final, np.float32),
        "zero_filled": np.asarray(final, np.float32),
        "reference": None,
        "mask": mask,
        "weights_sha256": "ab" * 32,
        "versions": {"mri-workstation": recon.__version__, "torch": "2.13.0"},
    }
    return Reconstruction(**(values | changes))


def export(result, folder):
    files = dicom.write(result, folder)
    return files, [pydicom.dcmread(file) for file in files]


@pytest.fixture
def assert_valid():
    """Run the validator of Debian's dicom3tools over files: it must find neither errors nor anything to warn of."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian package dicom3tools) is not installed")

    def check(files):
        for file in files:
            done = subprocess.run(["dciodvfy", "-new", str(file)], capture_output=True, text=True)
            complaints = [
                line for line in (done.stdout + done.stderr).splitlines() if "Error" in line or "Warning" in line
            ]
            assert not complaints, "\n".join(complaints)
            assert done.returncode == 0
        done = subprocess.run(["dcentvfy", *map(str, files)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "Error" not in done.stdout + done.stderr

    return check


# ---- the validator ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "folder", ["siemens_t1_fl2d_sag", "siemens_t1_mprage_sag", "siemens_enhanced_xa30_t1", "philips_enhanced_epi"]
)
def test_real_dicom_studies_export_cleanly(shared_data, tmp_path, assert_valid, folder):
    series = read(shared_data / "dicom" / folder).series[0]
    indices = tuple(range(0, series.n_slices, 8))
    final = [series.source.image(index) for index in indices]
    files, datasets = export(result_of(series, final, indices=indices), tmp_path / "out")
    assert_valid(files)
    source = pydicom.dcmread(series.instances[0], stop_before_pixels=True)
    for index, dataset in zip(indices, datasets, strict=True):
        assert dataset.StudyInstanceUID == source.StudyInstanceUID
        assert dataset.FrameOfReferenceUID == source.FrameOfReferenceUID
        assert dataset.PatientID == source.PatientID
        assert list(dataset.ImagePositionPatient) == pytest.approx(series.geometry.positions_mm[index], abs=1e-9)
        assert list(dataset.ImageOrientationPatient) == pytest.approx(series.geometry.orientation, abs=1e-12)
        frame = series.source.frames[index]
        assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == frame.sop_instance_uid
        assert dataset.SourceImageSequence[0].get("ReferencedFrameNumber") == (
            None if frame.number is None else frame.number + 1
        )
        assert "simulated k-space" in dataset.DerivationDescription
        assert "Simulated k-space" in dataset.ImageComments


@pytest.mark.parametrize(
    "scan", ["derived_brain_4ch", "real_brain_16ch_gre", "real_phantom_1ch_gre_x5", "real_brain_8ch_us_sigpy"]
)
def test_real_raw_data_export_cleanly_through_the_whole_pipeline(shared_data, tmp_path, assert_valid, scan):
    series = recon.open_study(shared_data / "kspace" / f"{scan}.h5").series[0]
    request = recon.Request(model="zero-filled", mask=recon.MaskSpec("equispaced-fraction", acceleration=4))
    result = recon.run(series, request)
    files, datasets = export(result, tmp_path / "out")
    assert_valid(files)
    factor = datasets[0].RealWorldValueMappingSequence[0].RealWorldValueSlope
    picture = datasets[0].pixel_array[::-1] if series.geometry.flip_rows else datasets[0].pixel_array
    assert picture * factor == pytest.approx(result.final[0], abs=factor)


@pytest.mark.parametrize(
    ("header", "changes"),
    [
        (BRAIN, {}),
        (KNEE, {}),
        (replace(BRAIN, acquisition="AXT2"), {}),
        (replace(BRAIN, sequence_type="Flash", acquisition="PHANTOM", protocol="gre"), {}),
        (replace(BRAIN, sequence_type="EPI"), {}),
        (Header(), {}),
        (Header(), {"kind": "phantom", "name": "phantom.h5"}),
        (
            replace(
                BRAIN,
                acquisition="ACQ\\with\nodd \x01 letters",
                protocol="p" * 300,
                vendor="Ünï" * 40,
                sequence_type="s" * 50,
                patient_position="SITTING",
                repetition_time_ms=float("nan"),
                echo_time_ms=1 / 3,
                encoded_matrix=(10**6, 2, 3),
            ),
            {"name": "ä" * 90 + ".h5"},
        ),
    ],
)
def test_any_raw_header_exports_cleanly(tmp_path, assert_valid, header, changes):
    files, _ = export(result_of(raw_series(header, **changes)), tmp_path / "out")
    assert_valid(files)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"BodyPartExamined": "KNEE"},
        {"BodyPartExamined": "KNEE", "Laterality": "L"},
        {"BodyPartExamined": "KNEE", "Laterality": ""},
        {"BodyPartExamined": "BRAIN", "Laterality": "R"},
        {"BodyPartExamined": None},
        {"BodyPartExamined": "left big toe"},
        {"BodyPartExamined": ""},
        {"PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう", "SpecificCharacterSet": "ISO_IR 192"},
        {"PatientName": "Müller", "SpecificCharacterSet": "ISO_IR 100"},
        {"PatientName": "", "PatientID": "", "PatientSex": "", "PatientBirthDate": ""},
        {"PatientName": None, "PatientID": None, "PatientSex": None, "PatientBirthDate": None},
        {"StudyDate": "", "StudyTime": "", "StudyID": "", "AccessionNumber": ""},
        {"StudyDate": None, "StudyTime": None, "StudyID": None, "SeriesNumber": None, "InstanceNumber": None},
        {"ScanningSequence": None, "SequenceVariant": None, "ScanOptions": None, "MRAcquisitionType": None},
        {"ScanningSequence": "TSE", "SequenceVariant": "FAST", "ScanOptions": ["EPI_GEMS", "PFF"]},
        {"ScanningSequence": ["SE", "IR"]},
        {"ScanningSequence": ["SE", "IR"], "InversionTime": 150},
        {"ScanningSequence": "SE", "InversionTime": 0},
        {"RepetitionTime": None, "EchoTime": None, "EchoTrainLength": None, "SliceThickness": None},
        {"PatientPosition": None, "PositionReferenceIndicator": None, "FrameOfReferenceUID": None},
        {"PatientPosition": "UPSIDE", "PatientAge": "40", "PatientWeight": "70.123456789"},
        {"PatientIdentityRemoved": "YES"},
        {"PatientIdentityRemoved": "YES", "DeidentificationMethod": "by hand"},
        {"ImagePositionPatient": None, "ImageOrientationPatient": None, "PixelSpacing": None},
        {"Manufacturer": None, "ReferringPhysicianName": None, "StudyInstanceUID": None, "Modality": None},
        {"LossyImageCompression": "01", "LossyImageCompressionRatio": 10, "LossyImageCompressionMethod": "ISO_10918_1"},
        {
            "ImagingFrequency": 63.640000000000001,
            "ImagedNucleus": "1H",
            "SAR": 0.05230000000000001,
            "EchoNumbers": [1, 2],
        },
        {"AcquisitionMatrix": [0, 256, 192, 0], "InPlanePhaseEncodingDirection": "OTHER", "AngioFlag": "n"},
        {"ImageType": ["DERIVED", "SECONDARY", "MPR"], "SeriesDescription": None, "ProtocolName": "x" * 64},
        {"PatientComments": "line one\r\nline two", "SoftwareVersions": ["27", "LX", "MR Software release:DV26.0"]},
    ],
)
def test_any_source_instance_exports_cleanly(tmp_path, write_dicom, assert_valid, changes):
    for number in range(2):
        write_dicom(tmp_path / "in" / f"{number}", slice=number, **changes)
    series = read(tmp_path / "in").series[0]
    files, _ = export(result_of(series), tmp_path / "out")
    assert_valid(files)


def test_broken_values_of_a_source_are_left_out(tmp_path, write_dicom, assert_valid):
    path = write_dicom(tmp_path / "in", RepetitionTime="4000", EchoTime="90", SeriesNumber="12")
    content = path.read_bytes()
    for good, bad in (
        (b"DS\x04\x004000", b"DS\x04\x00four"),
        (b"IS\x02\x0012", b"IS\x02\x00??"),
        (b"20200229", b"29.02.20"),
    ):
        assert good in content
        content = content.replace(good, bad)
    path.write_bytes(content)
    files, datasets = export(result_of(read(path).series[0]), tmp_path / "out")
    assert_valid(files)
    assert datasets[0].RepetitionTime is None
    assert datasets[0].EchoTime == 90
    assert 9001 <= datasets[0].SeriesNumber <= 9900


@pytest.mark.parametrize("part", sorted(UNPAIRED)[::6] + sorted(PAIRED)[::6])
def test_sides_of_body_parts_are_as_the_validator_wants_them(tmp_path, write_dicom, assert_valid, part):
    series = read(write_dicom(tmp_path / "in", BodyPartExamined=part)).series[0]
    files, datasets = export(result_of(series), tmp_path / "out")
    assert_valid(files)
    assert datasets[0].BodyPartExamined == part
    assert datasets[0].get("ImageLaterality") == ("U" if part in PAIRED else None)


# ---- pixels -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(20, 16), (21, 17), (1, 5)])
@pytest.mark.parametrize("scale", [1e-12, 3e-4, 1.0, 5e6])
def test_stored_values_times_factor_are_the_image(tmp_path, size, scale):
    series = raw_series(size=size, geometry=Geometry(flip_rows=False))
    final = np.random.default_rng(1).random((3, *size)) * scale
    _, datasets = export(result_of(series, final), tmp_path / "out")
    factors = {dataset.RealWorldValueMappingSequence[0].RealWorldValueSlope for dataset in datasets}
    assert len(factors) == 1
    factor = factors.pop()
    for dataset, image in zip(datasets, final, strict=True):
        assert dataset.pixel_array.dtype == np.uint16
        assert np.abs(dataset.pixel_array * factor - image).max() <= 0.51 * factor + 1e-6 * scale
        assert "RescaleSlope" not in dataset
    assert max(int(dataset.pixel_array.max()) for dataset in datasets) == 65535


@pytest.mark.parametrize("value", [0.0, 1.0, -2.0])
def test_a_constant_image_has_a_window(tmp_path, value, assert_valid):
    series = raw_series()
    files, datasets = export(result_of(series, np.full((3, 20, 16), value)), tmp_path / "out")
    assert all(dataset.WindowWidth >= 1 for dataset in datasets)
    assert_valid(files)


def test_the_window_shows_the_tissue_not_the_outlier(tmp_path):
    final = np.random.default_rng(2).uniform(0.1, 0.4, (3, 20, 16))
    final[0, 0, 0] = 1
    _, datasets = export(result_of(raw_series(), final), tmp_path / "out")
    upper = datasets[0].WindowCenter + datasets[0].WindowWidth / 2
    assert 0.35 * 65535 < upper < 0.45 * 65535


def test_pictures_of_fastmri_files_are_turned_upright_and_the_data_are_not(tmp_path):
    final = np.zeros((3, 20, 16), np.float32)
    final[:, 2, 3] = 1
    result = result_of(raw_series(), final)
    _, datasets = export(result, tmp_path / "out")
    assert np.argwhere(datasets[0].pixel_array).tolist() == [[17, 3]]
    assert np.argwhere(result.final[0]).tolist() == [[2, 3]]
    assert "flipped" in datasets[0].ImageComments


def test_nan_is_refused(tmp_path):
    final = np.zeros((3, 20, 16))
    final[1, 1, 1] = np.nan
    with pytest.raises(ExportError, match="NaN"):
        dicom.write(result_of(raw_series(), final), tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- geometry ---------------------------------------------------------------------------------------------------


def test_35_slices_come_in_order_of_position(tmp_path, write_dicom):
    for number in range(35):
        write_dicom(tmp_path / "in" / f"{34 - number:02d}", slice=number, InstanceNumber=35 - number)
    series = read(tmp_path / "in").series[0]
    files, datasets = export(result_of(series), tmp_path / "out")
    assert [file.name for file in files] == sorted(file.name for file in files)
    assert [dataset.ImagePositionPatient[2] for dataset in datasets] == [4.0 * number for number in range(35)]
    assert [dataset.InstanceNumber for dataset in datasets] == list(range(1, 36))
    assert {float(dataset.SpacingBetweenSlices) for dataset in datasets} == {4.0}
    assert [dataset.SourceImageSequence[0].ReferencedSOPInstanceUID for dataset in datasets] == [
        frame.sop_instance_uid for frame in series.source.frames
    ]


def test_a_volume_with_a_gap_claims_no_spacing(tmp_path, write_dicom):
    for number in (0, 1, 3):
        write_dicom(tmp_path / "in" / f"{number}", slice=number)
    _, datasets = export(result_of(read(tmp_path / "in").series[0]), tmp_path / "out")
    assert "SpacingBetweenSlices" not in datasets[0]
    assert [dataset.ImagePositionPatient[2] for dataset in datasets] == [0, 4, 12]


def test_a_crop_moves_the_corner(tmp_path, write_dicom):
    series = read(write_dicom(tmp_path / "in")).series[0]
    _, whole = export(result_of(series), tmp_path / "whole")
    _, cropped = export(result_of(series, np.ones((1, 20, 24))), tmp_path / "cropped")
    # 24 x 32 to 20 x 24: two rows of 0.5 mm, four columns of 0.75 mm.
    moved = np.array(cropped[0].ImagePositionPatient) - np.array(whole[0].ImagePositionPatient)
    assert moved.tolist() == [3.0, 1.0, 0.0]


def test_a_crop_of_a_turned_picture_moves_the_corner_from_the_other_side(tmp_path):
    series = raw_series(
        size=(21, 16), geometry=Geometry((2.0, 1.0), positions_mm=((0.0, 0.0, 0.0),) * 3, flip_rows=True)
    )
    final = np.zeros((3, 20, 16))
    final[:, 0, 0] = 1
    _, datasets = export(result_of(series, final), tmp_path / "out")
    # Row 0 of the 21 is kept, and the last row, which the picture shows at its top, is what is lost.
    assert np.argwhere(datasets[0].pixel_array).tolist() == [[19, 0]]
    assert datasets[0].ImagePositionPatient[1] == 2.0


def test_synthetic_geometry_is_centred_and_said(tmp_path):
    _, datasets = export(result_of(raw_series()), tmp_path / "out")
    positions = np.array([dataset.ImagePositionPatient for dataset in datasets], float)
    middle = positions[1] + [15 / 2 * 0.5, 19 / 2 * 0.6875, 0]
    assert middle == pytest.approx([0, 0, 0])
    assert np.diff(positions[:, 2]).tolist() == [5.0, 5.0]
    assert list(datasets[0].PixelSpacing) == [0.6875, 0.5]
    assert all("Geometry synthetic" in dataset.ImageComments for dataset in datasets)
    assert all("SpacingBetweenSlices" not in dataset for dataset in datasets)


def test_an_export_over_midnight_has_one_date(tmp_path, monkeypatch):
    moments = iter(datetime(2026, 1, 1) + timedelta(seconds=second) for second in range(1000))

    class Clock(datetime):
        @classmethod
        def now(cls):
            return next(moments)

    monkeypatch.setattr("recon.export.dicom.datetime", Clock)
    monkeypatch.setattr("recon.export.dicom_source.datetime", Clock)
    _, datasets = export(result_of(raw_series()), tmp_path / "out")
    for keyword in ("StudyTime", "SeriesTime", "ContentTime"):
        assert len({dataset.get(keyword) for dataset in datasets}) == 1


def test_slices_keep_their_numbers_in_a_partial_volume(tmp_path):
    files, datasets = export(result_of(raw_series(n_slices=9), indices=(2, 5)), tmp_path / "out")
    assert [file.name for file in files] == ["reconstruction_0003.dcm", "reconstruction_0006.dcm"]
    assert [dataset.InstanceNumber for dataset in datasets] == [3, 6]
    assert [dataset.ImagePositionPatient[2] for dataset in datasets] == [-10.0, 5.0]


# ---- identity ---------------------------------------------------------------------------------------------------


def identities(datasets):
    return [(dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID) for dataset in datasets]


def test_exporting_again_gives_the_same_uids(tmp_path):
    result = result_of(raw_series())
    first, second = export(result, tmp_path / "a")[1], export(result, tmp_path / "b")[1]
    assert identities(first) == identities(second)
    assert len({sop for _, _, sop in identities(first)}) == 3
    assert all(identity.startswith("2.25.") and len(identity) <= 64 for row in identities(first) for identity in row)
    files, third = export(result, tmp_path / "a")
    assert identities(third) == identities(first)
    assert sorted(tmp_path.joinpath("a").iterdir()) == files


def test_whatever_changes_the_pixels_changes_the_series_and_not_the_study(tmp_path):
    series = raw_series()
    base = recon.Request(model="pcrnn-s", mask=recon.MaskSpec("random", acceleration=4, seed=7))
    results = [
        result_of(series, request=base),
        result_of(series, request=replace(base, model="oucr")),
        result_of(series, request=replace(base, mask=replace(base.mask, seed=8))),
        result_of(series, request=replace(base, mask=replace(base.mask, acceleration=8))),
        result_of(series, request=replace(base, grid="native")),
        result_of(series, request=base, weights_sha256="cd" * 32),
        result_of(series, request=base, indices=(0, 1)),
    ]
    rows = [identities(export(result, tmp_path / str(number))[1])[0] for number, result in enumerate(results)]
    assert len({study for study, _, _ in rows}) == 1
    assert len({series_uid for _, series_uid, _ in rows}) == len(results)
    assert len({sop for _, _, sop in rows}) == len(results)
    other = identities(export(result_of(raw_series(name="file2.h5"), request=base), tmp_path / "other")[1])[0]
    assert not set(other) & set(rows[0])


def test_raw_data_carry_no_identity(tmp_path):
    _, datasets = export(result_of(raw_series()), tmp_path / "out")
    for dataset in datasets:
        assert str(dataset.PatientName).rstrip("^") == "ANON"
        assert dataset.PatientID
        assert BRAIN.patient_id not in dataset.PatientID
        assert dataset.PatientIdentityRemoved == "YES"
        assert BRAIN.institution not in str(dataset)
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


def test_private_and_unknown_attributes_never_come_along(tmp_path, write_dicom, assert_valid):
    series = read(write_dicom(tmp_path / "in", prepare=secrets)).series[0]
    files, datasets = export(result_of(series), tmp_path / "out")
    for element in datasets[0].iterall():
        assert not element.tag.is_private
    assert b"private-secret" not in files[0].read_bytes()
    assert b"Secret Street" not in files[0].read_bytes()
    assert datasets[0].DeidentificationMethod == "Basic Profile"
    assert_valid(files)


def test_patient_and_study_of_a_dicom_source_stay(tmp_path, write_dicom):
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


def test_every_image_says_how_it_was_made(tmp_path):
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


def test_the_parameters_of_a_method_are_told(tmp_path):
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
def test_series_description_and_derivation_name_no_folder(tmp_path, request_, changes, words):
    dataset = export(result_of(raw_series(**changes), request=request_), tmp_path / "out")[1][0]
    assert "private" not in str(dataset)
    assert len(dataset.SeriesDescription) <= 64
    assert re.fullmatch(words, dataset.SeriesDescription)


def test_raw_headers_become_dicom(tmp_path):
    brain = export(result_of(raw_series(BRAIN)), tmp_path / "brain")[1][0]
    assert list(brain.ScanningSequence) == ["SE", "IR"]
    assert brain.SequenceVariant == "SK"
    assert brain.InversionTime == 2500
    assert brain.BodyPartExamined == "BRAIN"
    assert "ImageLaterality" not in brain
    assert float(brain.ImagingFrequency) == pytest.approx(63.646088)
    # The readout is oversampled twice; frequency columns and phase rows.
    assert list(brain.AcquisitionMatrix) == [0, 320, 320, 0]
    assert (brain.MRAcquisitionType, brain.PatientPosition, brain.StudyID) == ("2D", "HFS", "file_brain_AXFLA")
    knee = export(result_of(raw_series(KNEE, name="file1000031.h5")), tmp_path / "knee")[1][0]
    assert knee.ScanningSequence == "SE"  # its header carries an inversion time all the same
    assert "InversionTime" not in knee
    assert (knee.BodyPartExamined, knee.ImageLaterality) == ("KNEE", "U")


def test_lossy_sources_stay_lossy(tmp_path, write_dicom):
    series = read(write_dicom(tmp_path / "in", LossyImageCompression="01", LossyImageCompressionRatio=12)).series[0]
    dataset = export(result_of(series), tmp_path / "out")[1][0]
    assert (dataset.LossyImageCompression, dataset.LossyImageCompressionRatio) == ("01", 12)


# ---- the disk ---------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_former_export(tmp_path, monkeypatch):
    files, _ = export(result_of(raw_series()), tmp_path / "out")
    before = [file.read_bytes() for file in files]
    save, calls = pydicom.dataset.FileDataset.save_as, itertools.count()

    def fills_up(self, *args, **kwargs):
        if next(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return save(self, *args, **kwargs)

    monkeypatch.setattr(pydicom.dataset.FileDataset, "save_as", fills_up)
    with pytest.raises(ExportError, match="disk is full"):
        dicom.write(result_of(raw_series(), np.ones((3, 20, 16))), tmp_path / "out")
    assert [file.read_bytes() for file in files] == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_sources_and_foreign_files_are_never_replaced(tmp_path, write_dicom):
    series = read(write_dicom(tmp_path / "in" / "reconstruction_0001.dcm")).series[0]
    with pytest.raises(ExportError, match="source files lie there"):
        dicom.write(result_of(series), tmp_path / "in")
    write_dicom(tmp_path / "other" / "0000.dcm")
    with pytest.raises(ExportError, match=r"0000\.dcm"):
        dicom.write(result_of(series), tmp_path / "other")
    assert (tmp_path / "in" / "reconstruction_0001.dcm").exists()
    assert (tmp_path / "other" / "0000.dcm").exists()


def test_a_source_that_is_gone_is_named(tmp_path, write_dicom):
    path = write_dicom(tmp_path / "in" / "scan.dcm")
    result = result_of(read(path).series[0])
    path.unlink()
    with pytest.raises(ExportError, match=r"scan\.dcm"):
        dicom.write(result, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("PatientSex", "x", None),
        ("PatientSex", "m", "M"),
        ("StudyDate", "20201301", None),
        ("StudyDate", "20200229", "20200229"),
        ("StudyTime", "10:11:12", "101112"),
        ("StudyTime", "250000", None),
        ("StudyInstanceUID", "1.2.03", None),
        ("StudyInstanceUID", "1." + "2" * 70, None),
        ("SeriesDescription", "a" * 70, "a" * 64),
        ("SeriesDescription", "a\\b\nc", "a b c"),
        ("EchoTime", "abc", None),
        ("EchoTime", float("inf"), None),
        ("EchoTrainLength", 2**40, None),
        ("AcquisitionMatrix", [0, 256, 70000, 0], None),
        ("AcquisitionMatrix", [0, 256, 128], None),
        ("ScanOptions", ["FS", "EPI_GEMS"], "FS"),
        ("PatientName", "Smith", "Smith^"),
        ("PatientName", "", None),
        ("PatientComments", None, None),
    ],
)
def test_values_are_made_legal_or_dropped(keyword, value, expected):
    assert clean(keyword, value) == expected


def test_decimal_strings_fit(tmp_path):
    for number in (1 / 3, -1e-17, 123456789.123456789, -0.0, 5e-324, 1e300):
        assert len(str(dicom.decimal(number))) <= 16
        assert float(dicom.decimal(number)) == pytest.approx(number, rel=1e-8, abs=1e-300)


def test_uids_are_made_of_their_words():
    assert uid("a", "b") == uid("a", "b") != uid("ab")
    assert pydicom.uid.UID(uid("a")).is_valid
