"""DICOM files that make one volume: in order along its normal, split where they are several, gaps said."""

import random
import struct

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


def csa_tag(name, *values):
    """A tag of Siemens' CSA header: a name of 64 bytes, counts, and values behind their lengths, padded to words."""
    items = b""
    for value in values:
        text = str(value).encode() + b"\0"
        items += struct.pack("<4i", len(text), len(text), 77, len(text)) + text.ljust(-(-len(text) // 4) * 4, b"\0")
    return name.encode().ljust(64, b"\0") + struct.pack("<i4s3i", len(values), b"FD\0\0", 6, len(values), 77) + items


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_mosaic_is_taken_apart(tmp_path, write_dicom, only, sign):
    tiles = np.arange(9 * 20 * 24).reshape(9, 20, 24).astype(np.uint16)
    picture = tiles.reshape(3, 3, 20, 24).transpose(0, 2, 1, 3).reshape(60, 72)

    def mark(dataset, n_tiles=7):
        csa = csa_tag("NumberOfImagesInMosaic", n_tiles) + csa_tag("SliceNormalVector", 0.0, 0.0, sign)
        dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", b"SV10" + csa)

    values = {
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [-50.0, -60.0, 10.0],
        "PixelSpacing": [2.0, 1.5],
        "SpacingBetweenSlices": 4.0,
    }
    write_dicom(tmp_path / "a", picture, prepare=mark, **values)
    series = only(read(tmp_path))
    assert (series.n_slices, series.matrix) == (7, (20, 24))
    # Slices are in order along the normal of the image, whichever way the tiles follow one another.
    order = range(7) if sign > 0 else range(6, -1, -1)
    for index, tile in enumerate(order):
        assert np.allclose(series.source.image(index), tiles[tile])
        # Mosaic and slice share a centre: (72 - 24) / 2 columns and (60 - 20) / 2 rows from corner to corner.
        expected = (-50.0 + 24 * 1.5, -60.0 + 20 * 2.0, 10.0 + sign * 4.0 * tile)
        assert series.geometry.positions_mm[index] == pytest.approx(expected)
    write_dicom(tmp_path / "a", picture, prepare=lambda dataset: mark(dataset, 17), **values)
    with pytest.raises(FileError, match="is a Siemens mosaic that does not say how many slices it tiles"):
        read(tmp_path)


def test_of_a_series_that_was_stopped_the_whole_volumes_open(tmp_path, write_dicom):
    """A patient who leaves during the last of three hundred volumes must not cost the others."""
    for number in range(11):
        volume, place = divmod(number, 4)
        pixels = np.full((24, 32), 100 * volume + place, np.uint16)
        order = (0, 2, 1, 3)[place]  # interleaved
        write_dicom(tmp_path / f"{number}", pixels, slice=order, InstanceNumber=number + 1)
    study = read(tmp_path)
    assert [series.title for series in study.series] == [
        "5 · t2_tse_tra · volume 1 of 2", "5 · t2_tse_tra · volume 2 of 2",
    ]  # fmt: skip
    assert [[int(plane[0, 0]) for plane in series.source.volume()] for series in study.series] == [
        [0, 2, 1, 3], [100, 102, 101, 103],
    ]  # fmt: skip
    assert "whose last one has 3 of 4 images; it is left out" in study.declined[0].reason
    # With an image missing in between, which belong together is unknown.
    (tmp_path / "5").unlink()
    with pytest.raises(FileError, match="which belong together is unknown"):
        read(tmp_path)
