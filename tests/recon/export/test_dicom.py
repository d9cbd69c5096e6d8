"""DICOM export: pixels, geometry, the disk, and a validator with nothing to say."""

import errno
import itertools
from datetime import datetime, timedelta

import numpy as np
import pydicom
import pytest

import recon
from recon.data import Geometry
from recon.errors import ExportError
from recon.export import dicom
from recon.export.dicom_values import PAIRED, UNPAIRED
from recon.io.dicom import read

# ---- the validator ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "folder", ["siemens_t1_fl2d_sag", "siemens_t1_mprage_sag", "siemens_enhanced_xa30_t1", "philips_enhanced_epi"]
)
def test_real_dicom_studies_export_cleanly(shared_data, tmp_path, assert_valid, result_of, export, folder):
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
def test_real_raw_data_export_cleanly_through_the_whole_pipeline(shared_data, tmp_path, assert_valid, export, scan):
    series = recon.open_study(shared_data / "kspace" / f"{scan}.h5").series[0]
    request = recon.Request(model="zero-filled", mask=recon.MaskSpec("equispaced-fraction", acceleration=4))
    result = recon.run(series, request)
    files, datasets = export(result, tmp_path / "out")
    assert_valid(files)
    factor = datasets[0].RealWorldValueMappingSequence[0].RealWorldValueSlope
    picture = datasets[0].pixel_array[::-1] if series.geometry.flip_rows else datasets[0].pixel_array
    assert picture * factor == pytest.approx(result.final[0], abs=factor)


@pytest.mark.parametrize("folder", [None, "siemens_t1_fl2d_sag"])
def test_the_phase_is_a_series_of_its_own_in_radians(
    folder, request, tmp_path, assert_valid, result_of, raw_series, export
):
    if folder is None:
        series = raw_series(n_slices=2)
    else:
        series = read(request.getfixturevalue("shared_data") / "dicom" / folder).series[0]
    rng = np.random.default_rng(0)
    phase = rng.uniform(-np.pi, np.pi, (2, *series.recon_size)).astype(np.float32)
    phase[0, 0, :2] = -np.pi, np.pi
    result = result_of(series, rng.random(phase.shape), indices=(0, 1), phase=phase)
    files, datasets = export(result, tmp_path / "phase", is_phase=True)
    assert_valid(files)
    magnitudes = export(result, tmp_path / "magnitude")[1]
    for number, (dataset, magnitude) in enumerate(zip(datasets, magnitudes, strict=True)):
        assert list(dataset.ImageType) == ["DERIVED", "PRIMARY", "PHASE MAP"]
        assert dataset.SeriesDescription.endswith("phase [research]")
        assert dataset.SeriesInstanceUID != magnitude.SeriesInstanceUID
        assert dataset.StudyInstanceUID == magnitude.StudyInstanceUID
        assert dataset.ImagePositionPatient == magnitude.ImagePositionPatient
        mapping = dataset.RealWorldValueMappingSequence[0]
        assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "rad"
        picture = dataset.pixel_array[::-1] if series.geometry.flip_rows else dataset.pixel_array
        radians = picture * mapping.RealWorldValueSlope + mapping.RealWorldValueIntercept
        assert radians == pytest.approx(phase[number], abs=0.6 * mapping.RealWorldValueSlope)


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
def test_any_source_instance_exports_cleanly(tmp_path, write_dicom, assert_valid, result_of, export, changes):
    for number in range(2):
        write_dicom(tmp_path / "in" / f"{number}", slice=number, **changes)
    series = read(tmp_path / "in").series[0]
    files, _ = export(result_of(series), tmp_path / "out")
    assert_valid(files)


def test_broken_values_of_a_source_are_left_out(tmp_path, write_dicom, assert_valid, result_of, export):
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
def test_sides_of_body_parts_are_as_the_validator_wants_them(
    tmp_path, write_dicom, assert_valid, result_of, export, part
):
    series = read(write_dicom(tmp_path / "in", BodyPartExamined=part)).series[0]
    files, datasets = export(result_of(series), tmp_path / "out")
    assert_valid(files)
    assert datasets[0].BodyPartExamined == part
    assert datasets[0].get("ImageLaterality") == ("U" if part in PAIRED else None)


# ---- pixels -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(20, 16), (21, 17), (1, 5)])
@pytest.mark.parametrize("scale", [1e-12, 3e-4, 1.0, 5e6])
def test_stored_values_times_factor_are_the_image(tmp_path, raw_series, result_of, export, size, scale):
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
def test_a_constant_image_has_a_window(tmp_path, raw_series, result_of, export, value, assert_valid):
    series = raw_series()
    files, datasets = export(result_of(series, np.full((3, 20, 16), value)), tmp_path / "out")
    assert all(dataset.WindowWidth >= 1 for dataset in datasets)
    assert_valid(files)


def test_the_window_shows_the_tissue_not_the_outlier(tmp_path, raw_series, result_of, export):
    final = np.random.default_rng(2).uniform(0.1, 0.4, (3, 20, 16))
    final[0, 0, 0] = 1
    _, datasets = export(result_of(raw_series(), final), tmp_path / "out")
    upper = datasets[0].WindowCenter + datasets[0].WindowWidth / 2
    assert 0.35 * 65535 < upper < 0.45 * 65535


def test_pictures_of_fastmri_files_are_turned_upright_and_the_data_are_not(tmp_path, raw_series, result_of, export):
    final = np.zeros((3, 20, 16), np.float32)
    final[:, 2, 3] = 1
    result = result_of(raw_series(), final)
    _, datasets = export(result, tmp_path / "out")
    assert np.argwhere(datasets[0].pixel_array).tolist() == [[17, 3]]
    assert np.argwhere(result.final[0]).tolist() == [[2, 3]]
    assert "flipped" in datasets[0].ImageComments


def test_nan_is_refused(tmp_path, raw_series, result_of):
    final = np.zeros((3, 20, 16))
    final[1, 1, 1] = np.nan
    with pytest.raises(ExportError, match="NaN"):
        dicom.write(result_of(raw_series(), final), tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- geometry ---------------------------------------------------------------------------------------------------


def test_35_slices_come_in_order_of_position(tmp_path, write_dicom, result_of, export):
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


def test_a_volume_with_a_gap_claims_no_spacing(tmp_path, write_dicom, result_of, export):
    for number in (0, 1, 3):
        write_dicom(tmp_path / "in" / f"{number}", slice=number)
    _, datasets = export(result_of(read(tmp_path / "in").series[0]), tmp_path / "out")
    assert "SpacingBetweenSlices" not in datasets[0]
    assert [dataset.ImagePositionPatient[2] for dataset in datasets] == [0, 4, 12]


def test_a_crop_moves_the_corner(tmp_path, write_dicom, result_of, export):
    series = read(write_dicom(tmp_path / "in")).series[0]
    _, whole = export(result_of(series), tmp_path / "whole")
    _, cropped = export(result_of(series, np.ones((1, 20, 24))), tmp_path / "cropped")
    # 24 x 32 to 20 x 24: two rows of 0.5 mm, four columns of 0.75 mm.
    moved = np.array(cropped[0].ImagePositionPatient) - np.array(whole[0].ImagePositionPatient)
    assert moved.tolist() == [3.0, 1.0, 0.0]


def test_a_crop_of_a_turned_picture_moves_the_corner_from_the_other_side(tmp_path, raw_series, result_of, export):
    series = raw_series(
        size=(21, 16), geometry=Geometry((2.0, 1.0), positions_mm=((0.0, 0.0, 0.0),) * 3, flip_rows=True)
    )
    final = np.zeros((3, 20, 16))
    final[:, 0, 0] = 1
    _, datasets = export(result_of(series, final), tmp_path / "out")
    # Row 0 of the 21 is kept, and the last row, which the picture shows at its top, is what is lost.
    assert np.argwhere(datasets[0].pixel_array).tolist() == [[19, 0]]
    assert datasets[0].ImagePositionPatient[1] == 2.0


def test_synthetic_geometry_is_centred_and_said(tmp_path, raw_series, result_of, export):
    _, datasets = export(result_of(raw_series()), tmp_path / "out")
    positions = np.array([dataset.ImagePositionPatient for dataset in datasets], float)
    middle = positions[1] + [15 / 2 * 0.5, 19 / 2 * 0.6875, 0]
    assert middle == pytest.approx([0, 0, 0])
    assert np.diff(positions[:, 2]).tolist() == [5.0, 5.0]
    assert list(datasets[0].PixelSpacing) == [0.6875, 0.5]
    assert all("Geometry synthetic" in dataset.ImageComments for dataset in datasets)
    assert all("SpacingBetweenSlices" not in dataset for dataset in datasets)
    assert all("assumed" not in dataset.ImageComments for dataset in datasets)


@pytest.mark.parametrize(
    ("spacing", "thickness", "sentence"),
    [
        (True, True, "Pixel spacing and slice thickness are assumed: distances cannot be measured."),
        (True, False, "Pixel spacing is assumed: distances cannot be measured."),
        (False, True, "Slice thickness is assumed: distances across slices cannot be measured."),
    ],
)
def test_a_size_that_is_assumed_is_said(tmp_path, raw_series, result_of, export, spacing, thickness, sentence):
    geometry = Geometry(spacing_is_assumed=spacing, thickness_is_assumed=thickness)
    _, datasets = export(result_of(raw_series(geometry=geometry)), tmp_path / "out")
    assert all(sentence in dataset.ImageComments for dataset in datasets)


def test_an_export_over_midnight_has_one_date(tmp_path, monkeypatch, raw_series, result_of, export):
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


def test_slices_keep_their_numbers_in_a_partial_volume(tmp_path, raw_series, result_of, export):
    files, datasets = export(result_of(raw_series(n_slices=9), indices=(2, 5)), tmp_path / "out")
    assert [file.name for file in files] == ["reconstruction_0003.dcm", "reconstruction_0006.dcm"]
    assert [dataset.InstanceNumber for dataset in datasets] == [3, 6]
    assert [dataset.ImagePositionPatient[2] for dataset in datasets] == [-10.0, 5.0]


# ---- the disk ---------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_former_export(tmp_path, monkeypatch, raw_series, result_of, export):
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


def test_sources_and_foreign_files_are_never_replaced(tmp_path, write_dicom, result_of):
    series = read(write_dicom(tmp_path / "in" / "reconstruction_0001.dcm")).series[0]
    with pytest.raises(ExportError, match="source files lie there"):
        dicom.write(result_of(series), tmp_path / "in")
    write_dicom(tmp_path / "other" / "0000.dcm")
    with pytest.raises(ExportError, match=r"0000\.dcm"):
        dicom.write(result_of(series), tmp_path / "other")
    assert (tmp_path / "in" / "reconstruction_0001.dcm").exists()
    assert (tmp_path / "other" / "0000.dcm").exists()


def test_a_source_that_is_gone_is_named(tmp_path, write_dicom, result_of):
    path = write_dicom(tmp_path / "in" / "scan.dcm")
    result = result_of(read(path).series[0])
    path.unlink()
    with pytest.raises(ExportError, match=r"scan\.dcm"):
        dicom.write(result, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_scans_of_one_file_are_one_patients_and_told_apart(raw_series, result_of, tmp_path, export, assert_valid):
    written = []
    for number in (1, 2):
        series = raw_series(fingerprint=f"{number}", part=f"contrast {number} · repetition 3", file_fingerprint="file")
        assert series.stem == f"file_brain_AXFLAIR_200_6002447.contrast-{number}-repetition-3"
        result = result_of(series)
        assert result.record()["series"] == series.title
        files, datasets = export(result, tmp_path / str(number))
        assert_valid(files)
        written.append(datasets[0])
    first, second = written
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "StudyID"):
        assert first[keyword].value == second[keyword].value, keyword
    assert first.SeriesInstanceUID != second.SeriesInstanceUID
    assert "contrast 2 · repetition 3" in second.SeriesDescription
    assert raw_series(part="左 · set 1").stem.endswith(".左-set-1")  # the name of a group may be in any script
    # However long its name, the description is legal, and its end tells it from the others.
    for number in (1, 2):
        part = f"measurement of the volunteer · encoding 2 · contrast 12 · repetition {number}"
        request = recon.Request(model="zero-filled", mask=recon.MaskSpec("equispaced-fraction", 4))
        files, datasets = export(result_of(raw_series(part=part), request=request), tmp_path / f"long {number}")
        assert_valid(files)
        words = datasets[0].SeriesDescription
        assert 56 < len(words.encode()) <= 64
        assert words.startswith("Zero-fil …")
        assert words.endswith(f"repetition {number} x4 equispaced-fraction [research]")
    # A file of one scan stays a study of its own.
    _, alone = export(result_of(raw_series(fingerprint="1")), tmp_path / "alone")
    assert alone[0].StudyInstanceUID != first.StudyInstanceUID


def test_a_part_of_a_scan_says_so(tmp_path, raw_series, result_of, export):
    series = raw_series(n_slices=3)
    _, datasets = export(result_of(series, indices=(0, 2)), tmp_path / "part")
    assert all("2 of 3 slices of the scan." in dataset.ImageComments for dataset in datasets)
    _, datasets = export(result_of(series), tmp_path / "whole")
    assert all("of the scan" not in dataset.ImageComments for dataset in datasets)


def test_slices_without_grey_levels_are_named(tmp_path, raw_series, result_of, export, caplog):
    final = np.random.default_rng(0).random((3, 8, 8)) + 0.1
    final[1] *= 1e-5
    result = result_of(raw_series(n_slices=3, size=(8, 8)), final)
    _, datasets = export(result, tmp_path / "dark")
    assert datasets[1].pixel_array.max() < 16
    assert (
        "one scale for a series: 1 (counted from 0)" in caplog.text
        and "HDF5 and NIfTI keep their values" in caplog.text
    )
    caplog.clear()
    final[1] = final[0] * 1e-2
    export(result_of(raw_series(n_slices=3, size=(8, 8)), final), tmp_path / "fine")
    assert not caplog.text
