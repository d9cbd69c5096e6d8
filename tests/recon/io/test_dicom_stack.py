"""DICOM files that make one volume: in order along its normal, split where they are several, gaps said."""

import random

import numpy as np
import pytest

from recon.errors import FileError
from recon.io.dicom import read


def test_files_in_any_order_are_sorted_along_the_normal(tmp_path, write_dicom, only):
    numbers = list(range(35))
    random.Random(1).shuffle(numbers)
    for place, number in enumerate(numbers):
        write_dicom(tmp_path / f"im{place:03d}", slice=number, InstanceNumber=place)
    series = only(read(tmp_path))
    assert [position[2] for position in series.geometry.positions_mm] == [4.0 * number for number in range(35)]
    assert [int(series.source.image(index)[0, 0]) for index in (0, 17, 34)] == [100, 270, 440]
    assert [path.name for path in series.instances] == [f"im{numbers.index(number):03d}" for number in range(35)]
    assert series.header.extra["Slice spacing (mm)"] == "4"
    assert series.title == "5 · t2_tse_tra"


def test_localizer_splits_by_direction(tmp_path, write_dicom):
    planes = {"axial": [1, 0, 0, 0, 1, 0], "coronal": [1, 0, 0, 0, 0, -1], "sagittal": [0, 1, 0, 0, 0, -1]}
    for name, orientation in planes.items():
        for number in range(3):
            place = -np.cross(orientation[:3], orientation[3:]) * 10 * number
            write_dicom(
                tmp_path / f"{name}{number}",
                ImageOrientationPatient=orientation,
                ImagePositionPatient=list(place),
                InstanceNumber=number,
            )
    study = read(tmp_path)
    assert sorted(series.title for series in study.series) == [f"5 · t2_tse_tra · {name}" for name in sorted(planes)]
    assert {series.n_slices for series in study.series} == {3}
    assert len({series.path for series in study.series}) == 3


def test_echoes_split_and_slices_of_wandering_echo_time_do_not(tmp_path, write_dicom):
    for number in range(4):
        for echo in (20, 80):
            write_dicom(tmp_path / "dual" / f"e{echo}s{number}", slice=number, EchoTime=echo)
        write_dicom(
            tmp_path / "one" / f"s{number}", slice=number, EchoTime=90 + 0.1 * number, SeriesInstanceUID="1.2.3.4.5"
        )
    study = read(tmp_path)
    assert [(series.n_slices, series.header.echo_time_ms) for series in study.series if "TE" in series.title] == [
        (4, 20.0),
        (4, 80.0),
    ]
    assert [series.n_slices for series in study.series if "TE" not in series.title] == [4]


def test_image_sizes_split(tmp_path, write_dicom):
    write_dicom(tmp_path / "a", slice=0)
    write_dicom(tmp_path / "b", np.ones((9, 15), np.uint16), slice=1)
    assert sorted(series.matrix for series in read(tmp_path).series) == [(9, 15), (24, 32)]


@pytest.mark.parametrize(
    ("attribute", "values", "words"),
    [
        ("AcquisitionNumber", (1, 2, 3), ("volume 1 of 3", "volume 2 of 3", "volume 3 of 3")),
        ("DiffusionBValue", (0.0, 500.0, 1000.0), ("volume 1 of 3 b 0", "volume 2 of 3 b 500", "volume 3 of 3 b 1000")),
        ("TriggerTime", (0, 40, 80), ("volume 1 of 3 0 ms", "volume 2 of 3 40 ms", "volume 3 of 3 80 ms")),
    ],
)
def test_volumes_of_one_series_open_one_by_one(tmp_path, write_dicom, attribute, values, words):
    for number in range(2):
        for place, value in enumerate(values):
            write_dicom(tmp_path / f"{number}_{place}", slice=number, **{attribute: value})
    study = read(tmp_path)
    assert [series.title.partition(" · ")[2].partition(" · ")[2] for series in study.series] == list(words)
    assert [series.n_slices for series in study.series] == [2, 2, 2] and not study.declined


def test_a_series_of_volumes_with_an_image_missing_is_declined(tmp_path, write_dicom):
    for number in range(2):
        for value in (1, 2, 3)[: 3 - number]:
            write_dicom(tmp_path / f"{number}_{value}", slice=number, AcquisitionNumber=value)
    with pytest.raises(
        FileError, match="of some slices there are 2, of others 3, and which belong together is unknown"
    ):
        read(tmp_path)


def test_more_volumes_than_anyone_looks_at(tmp_path, write_dicom, monkeypatch):
    monkeypatch.setattr("recon.io.dicom.stack.MAX_VOLUMES", 2)
    for value in (1, 2, 3):
        write_dicom(tmp_path / str(value), slice=0, AcquisitionNumber=value)
    study = read(tmp_path)
    assert [series.title.rpartition("volume")[2] for series in study.series] == [" 1 of 3", " 2 of 3"]
    [declined] = study.declined
    assert "has 3 volumes, of which the first 2 are opened" in declined.reason


def test_a_copy_of_a_file_counts_once(tmp_path, write_dicom, only):
    for number in range(3):
        write_dicom(tmp_path / f"{number}", slice=number, SOPInstanceUID=f"1.2.3.{number}")
        write_dicom(tmp_path / "copy" / f"again{number}", slice=number, SOPInstanceUID=f"1.2.3.{number}")
    assert only(read(tmp_path)).n_slices == 3


def test_a_missing_slice_is_said(tmp_path, write_dicom, only):
    for number in (0, 1, 2, 4, 5, 6):
        write_dicom(tmp_path / f"{number}", slice=number)
    series = only(read(tmp_path))
    assert series.n_slices == 6
    assert any("1 slice seems to be missing" in note and "2 and 3" in note for note in series.notes)


def test_uneven_slices_are_said(tmp_path, write_dicom, only):
    for number, z in enumerate((0, 4, 8.3, 12, 16.4)):
        write_dicom(tmp_path / f"{number}", ImagePositionPatient=[0, 0, z])
    assert any("not evenly spaced" in note for note in only(read(tmp_path)).notes)


def test_files_without_position_go_by_instance_number(tmp_path, write_dicom, only):
    for place, number in enumerate((3, 1, 2)):
        write_dicom(tmp_path / f"{place}", slice=number, ImagePositionPatient=None, PixelSpacing=None)
    series = only(read(tmp_path))
    assert [int(series.source.image(index)[0, 0]) for index in range(3)] == [110, 120, 130]
    assert series.geometry.is_synthetic
    assert series.geometry.spacing_is_assumed and not series.geometry.thickness_is_assumed
    assert any("instance numbers" in note for note in series.notes)
    assert any("1 mm is assumed" in note for note in series.notes)
