"""ISMRMRD raw data: the k-space that is put together from acquisitions, and what is said of it."""

from __future__ import annotations

import h5py
import numpy as np
import pydicom
import pytest

import recon
from recon.errors import FileError

CALIBRATION, CALIBRATION_AND_IMAGING, REVERSE, NAVIGATOR, PHASE_CORRECTION, DUMMY = 20, 21, 22, 23, 24, 27


def assert_holds(series, kspace):
    """Assert that the slices of a series are these, to the bit."""
    assert (series.n_slices, series.n_coils, series.matrix) == (len(kspace), kspace.shape[1], kspace.shape[2:])
    for index, slice_ in enumerate(kspace):
        np.testing.assert_array_equal(series.read(index).kspace.numpy(), slice_)


def says(series, *words):
    return any(all(word in note for word in words) for note in series.notes)


# ---- round trips ------------------------------------------------------------------------------------------------


def test_real_scan_is_the_same_in_both_layouts(real_brain, readouts, raw_header, write_raw, only) -> None:
    with h5py.File(real_brain) as file:
        kspace = file["kspace"][:]
    series = only(recon.open_study(write_raw(readouts(kspace), raw_header((128, 128)))))
    other = only(recon.open_study(real_brain))
    assert series.kind == "ismrmrd" and series.has_kspace and not series.is_simulated
    assert series.has_reference and series.acquired_mask is None and series.padding is None
    assert_holds(series, kspace)
    reference = other.read(0).reference.numpy()
    np.testing.assert_allclose(series.read(0).reference.numpy(), reference, atol=1e-6 * reference.max())


@pytest.mark.parametrize("shape", [(64, 48), (63, 47), (64, 47), (33, 48), (7, 5), (1, 1)])
def test_any_size(readouts, raw_header, write_raw, noise, only, shape) -> None:
    kspace = noise(2, 3, *shape)
    assert_holds(only(recon.open_study(write_raw(readouts(kspace), raw_header(shape)))), kspace)


@pytest.mark.parametrize(
    "keywords",
    [
        {"chunks": (1,)},
        {"chunks": None, "maxshape": None},
        {"chunks": (7,), "compression": "gzip", "shuffle": True, "fletcher32": True},
    ],
    ids=["a chunk a row", "in one piece", "compressed"],
)
def test_tables_of_any_layout(readouts, raw_header, write_raw, noise, only, keywords) -> None:
    kspace = noise(2, 2, 32, 20)
    assert_holds(only(recon.open_study(write_raw(readouts(kspace), raw_header((32, 20)), **keywords))), kspace)


def test_file_behind_a_user_block_and_content_before_name(readouts, raw_header, write_raw, noise, only, tmp_path):
    kspace = noise(1, 2, 32, 20)
    path = write_raw(readouts(kspace), raw_header((32, 20)), name="plain.h5")
    with h5py.File(path) as plain, h5py.File(tmp_path / "scan.mrd", "w", userblock_size=1024) as file:
        plain.copy("dataset", file)
    assert_holds(only(recon.open_study(tmp_path / "scan.mrd")), kspace)


def test_oversampled_readouts_are_cropped_from_the_image(readouts, raw_header, write_raw, noise, only) -> None:
    series = only(recon.open_study(write_raw(readouts(noise(1, 2, 64, 48)), raw_header((64, 48), (32, 40)))))
    assert series.matrix == (64, 48) and series.recon_size == (32, 40)
    assert series.reference[0].shape == (32, 40)
    assert series.geometry.pixel_spacing_mm == (2, 3) and series.geometry.slice_thickness_mm == 5


def test_finer_pixels_than_were_measured_are_not_made_up(readouts, raw_header, write_raw, noise, only) -> None:
    """A recon space of 128 columns over the field of view of 48 phase encodes wants interpolation."""
    xml = raw_header((64, 48), (32, 128)).replace("<y>384</y>", "<y>144</y>")
    series = only(recon.open_study(write_raw(readouts(noise(1, 2, 64, 48)), xml)))
    assert series.recon_size == (32, 48) and series.geometry.pixel_spacing_mm == (2, 3)
    assert says(series, "more than was measured")


@pytest.mark.parametrize(
    ("n_wanted", "mm", "size", "shown_mm"),
    [(16, 64, 32, 2), (32, 65, 32, 65 / 32), (32, 63, 32, 63 / 32), (8, 40, 20, 2)],
)
def test_coarser_pixels_than_were_measured_are_not_made_up(
    readouts, raw_header, write_raw, noise, only, n_wanted, mm, size, shown_mm
) -> None:
    """The field of view that the header wants is kept; within 2 percent its pixels are the measured ones of 2 mm."""
    before, after = raw_header((64, 48), (n_wanted, 48)).split("<reconSpace>")
    xml = f"{before}<reconSpace>{after.replace(f'<x>{2 * n_wanted}</x>', f'<x>{mm}</x>', 1)}"
    series = only(recon.open_study(write_raw(readouts(noise(1, 2, 64, 48)), xml)))
    assert series.recon_size == (size, 48)
    np.testing.assert_allclose(series.geometry.pixel_spacing_mm, (shown_mm, 3))
    assert says(series, "coarser than were measured") == (size != n_wanted)


def test_averages_are_averaged_and_segments_merged(readouts, raw_header, write_raw, noise, only) -> None:
    parts = [noise(2, 2, 32, 20, seed=seed) for seed in range(4)]
    found = [line for number, part in enumerate(parts) for line in readouts(part, average=number)]
    np.random.default_rng(0).shuffle(found)
    series = only(recon.open_study(write_raw(found, raw_header((32, 20)), name="averages.h5")))
    for index in range(2):
        np.testing.assert_allclose(series.read(index).kspace.numpy(), (sum(parts) / 4)[index], atol=1e-6)
    halves = [
        *readouts(parts[0], columns=range(0, 20, 2), segment=0),
        *readouts(parts[0], columns=range(1, 20, 2), segment=1),
    ]
    assert_holds(only(recon.open_study(write_raw(halves, raw_header((32, 20)), name="segments.h5"))), parts[0])


def test_lines_with_more_averages_than_others(readouts, raw_header, write_raw, noise, only) -> None:
    kspace, again = noise(1, 2, 32, 20), noise(1, 2, 32, 20, seed=1)
    found = [*readouts(kspace), *readouts(again, columns=range(8, 12), average=1)]
    expected = kspace.copy()
    expected[..., 8:12] = (kspace + again)[..., 8:12] / 2
    assert_holds(only(recon.open_study(write_raw(found, raw_header((32, 20))))), expected)


@pytest.mark.parametrize("rows", [32, 31])
def test_reversed_readouts_are_turned_round(readouts, raw_header, write_raw, noise, only, rows) -> None:
    kspace = noise(1, 2, rows, 20)
    found = [*readouts(kspace, columns=range(0, 20, 2))]
    found += readouts(kspace[:, :, ::-1], REVERSE, columns=range(1, 20, 2))
    assert_holds(only(recon.open_study(write_raw(found, raw_header((rows, 20))))), kspace)


@pytest.mark.parametrize("stated", [12, 43 - 12, 44 - 12], ids=["as forward", "as stored", "counted from 1"])
@pytest.mark.parametrize("kind", ["image", "calibration"])
def test_reversed_readouts_of_an_asymmetric_echo(readouts, raw_header, write_raw, noise, only, stated, kind) -> None:
    kspace = noise(1, 2, 64, 20)
    found = readouts(kspace[:, :, 20:], center_sample=12, discard_pre=2, columns=range(0, 20, 2))
    flags = [REVERSE, CALIBRATION] if kind == "calibration" else [REVERSE]
    turned = kspace[:, :, :19:-1]
    found += readouts(turned, *flags, center_sample=stated, discard_post=2, columns=range(1, 20, 2))
    kspace[:, :, :22] = 0
    series = only(recon.open_study(write_raw(found, raw_header((64, 20)))))
    assert_holds(series, kspace)
    assert says(series, "Asymmetric echo", "first 22 of 64 rows")


def test_reversed_readouts_with_another_centre_are_declined(readouts, raw_header, write_raw, noise) -> None:
    found = readouts(noise(1, 2, 44, 20), center_sample=12, columns=range(0, 20, 2))
    found += readouts(noise(1, 2, 44, 20), REVERSE, center_sample=20, columns=range(1, 20, 2))
    with pytest.raises(FileError, match="reversed readouts have the centre of k-space at sample 20, the others at 12;"):
        recon.open_study(write_raw(found, raw_header((64, 20))))


def test_asymmetric_echo_begins_with_zeros(readouts, raw_header, write_raw, noise, only) -> None:
    kspace = noise(1, 2, 64, 20)
    found = readouts(kspace[:, :, 20:], center_sample=12)
    series = only(recon.open_study(write_raw(found, raw_header((64, 20)))))
    kspace[:, :, :20] = 0
    assert_holds(series, kspace)
    assert says(series, "Asymmetric echo", "first 20 of 64 rows") and series.has_reference


def test_samples_to_be_discarded_are(readouts, raw_header, write_raw, noise, only) -> None:
    kspace = noise(1, 2, 64, 20)
    padded = np.concatenate([noise(1, 2, 6, 20, seed=1), kspace, noise(1, 2, 2, 20, seed=2)], axis=2)
    found = readouts(padded, discard_pre=6, discard_post=2, center_sample=38)
    assert_holds(only(recon.open_study(write_raw(found, raw_header((64, 20))))), kspace)


def test_centre_that_was_never_written_is_the_middle(readouts, raw_header, write_raw, noise, only) -> None:
    kspace = noise(1, 2, 64, 20)
    found = readouts(kspace, center_sample=0)
    assert_holds(only(recon.open_study(write_raw(found, raw_header((64, 20))))), kspace)


def test_more_samples_than_the_header_knows(readouts, raw_header, write_raw, noise, only) -> None:
    kspace = noise(1, 2, 64, 20)
    series = only(recon.open_study(write_raw(readouts(kspace), raw_header((32, 20)))))
    assert_holds(series, kspace)
    assert series.recon_size == (32, 20) and says(series, "64 samples", "do not fit the 32")


def test_note_on_readouts_off_the_grid_says_what_does_not_fit(readouts, raw_header, write_raw, noise, only) -> None:
    """As many samples as the header's matrix has, but not in its middle."""
    found = readouts(noise(1, 2, 64, 20), center_sample=40)
    series = only(recon.open_study(write_raw(found, raw_header((64, 20)))))
    assert series.matrix == (80, 20)
    assert says(series, "64 samples with the centre of k-space at sample 40 do not fit the 64")


# ---- phase encodes ----------------------------------------------------------------------------------------------


def test_undersampling_by_the_headers(readouts, raw_header, write_raw, noise, only) -> None:
    kspace, kept = noise(2, 3, 32, 24), [0, 4, 8, 10, 11, 12, 13, 14, 16, 20]
    series = only(recon.open_study(write_raw(readouts(kspace, columns=kept), raw_header((32, 24)))))
    mask = np.isin(np.arange(24), kept)
    np.testing.assert_array_equal(series.acquired_mask, mask[None])
    assert not series.has_reference and says(series, "10 of 24 phase encodes were acquired")
    assert_holds(series, kspace * mask)


def test_partial_fourier_is_padding(readouts, raw_header, write_raw, noise, only) -> None:
    kspace = noise(1, 2, 32, 24)
    found = readouts(kspace[..., 8:])
    series = only(recon.open_study(write_raw(found, raw_header((32, 24), limits=(4, 15)))))
    kspace[..., :8] = 0
    assert_holds(series, kspace)
    assert series.padding == (8, 24) and series.acquired_mask is None and series.has_reference
    assert says(series, "Columns 8 to 23 of 24", "partial Fourier")


def test_padding_of_both_sides_and_of_undersampled_scans(readouts, raw_header, write_raw, noise, only) -> None:
    found = readouts(noise(1, 2, 32, 16))
    series = only(recon.open_study(write_raw(found, raw_header((32, 24), limits=(8, 15)), name="both.h5")))
    assert series.padding == (4, 20) and says(series, "(padding)")
    found = readouts(noise(1, 2, 32, 16), columns=[0, 2, 4, 6, 7, 8, 9, 10, 12, 14])
    series = only(recon.open_study(write_raw(found, raw_header((32, 24), limits=(8, 15)), name="skips.h5")))
    assert series.padding == (4, 20) and series.acquired_mask.sum() == 10


@pytest.mark.parametrize(
    ("limits", "words"), [((), "does not say"), ((0, 23), "does not fit its matrix"), ((12, 23), "")]
)
def test_limits_that_are_missing_or_wrong(readouts, raw_header, write_raw, noise, only, limits, words) -> None:
    kspace = noise(1, 2, 32, 24)
    series = only(recon.open_study(write_raw(readouts(kspace), raw_header((32, 24), limits=limits))))
    assert_holds(series, kspace)
    assert says(series, "centre of k-space", words) == bool(words)


def test_calibration_readouts_fill_the_centre(readouts, raw_header, write_raw, noise, only) -> None:
    kspace, other = noise(1, 2, 32, 24), noise(1, 2, 32, 24, seed=1)
    found = [
        *readouts(kspace, columns=[0, 4, 8, 16, 20]),
        *readouts(kspace, CALIBRATION, CALIBRATION_AND_IMAGING, columns=[12]),
        *readouts(kspace, CALIBRATION, columns=[10, 11, 13, 14]),
        *readouts(other, CALIBRATION, columns=[8, 12, 16]),
    ]
    series = only(recon.open_study(write_raw(found, raw_header((32, 24)))))
    mask = np.isin(np.arange(24), [0, 4, 8, 10, 11, 12, 13, 14, 16, 20])
    assert_holds(series, kspace * mask)
    np.testing.assert_array_equal(series.acquired_mask, mask[None])
    assert says(series, "4 calibration readouts fill") and says(series, "3 calibration readouts are left out")


def test_calibration_on_a_grid_of_its_own_is_left_out(readouts, raw_header, write_raw, noise, only) -> None:
    kspace = noise(1, 2, 32, 24)
    found = [*readouts(noise(1, 2, 16, 12), CALIBRATION, encoding_space_ref=1), *readouts(kspace)]
    more = "<encoding><encodedSpace><matrixSize><x>16</x><y>12</y><z>1</z></matrixSize></encodedSpace></encoding>"
    series = only(recon.open_study(write_raw(found, raw_header((32, 24), more=more))))
    assert_holds(series, kspace)
    assert says(series, "12 calibration readouts with an encoding of their own are left out")


def test_encoding_of_the_imaging_readouts_counts(readouts, raw_header, write_raw, noise, only) -> None:
    kspace = noise(1, 2, 32, 24)
    first = "<encoding><encodedSpace><matrixSize><x>16</x><y>12</y><z>1</z></matrixSize></encodedSpace></encoding>"
    xml = raw_header((32, 24)).replace("<encoding>", f"{first}<encoding>", 1)
    series = only(recon.open_study(write_raw(readouts(kspace, encoding_space_ref=1), xml)))
    assert_holds(series, kspace)
    assert series.header.encoded_matrix == (32, 24, 1)


def test_what_is_no_part_of_the_image_is_left_out_and_counted(readouts, raw_header, write_raw, noise, only) -> None:
    kspace, other = noise(1, 2, 32, 24), noise(1, 2, 32, 24, seed=1)
    found = [
        *readouts(other, NAVIGATOR, columns=[3, 4]),
        *readouts(kspace),
        *readouts(other[:, :1, :8], PHASE_CORRECTION, REVERSE, columns=[12, 12, 12]),
        *readouts(other, DUMMY, columns=[0]),
    ]
    series = only(recon.open_study(write_raw(found, raw_header((32, 24)))))
    assert_holds(series, kspace)
    assert says(series, "2 navigator, 3 phase-correction, 1 dummy")


def test_slices_that_a_stopped_scan_left_unfinished(readouts, raw_header, write_raw, noise, only) -> None:
    kspace = noise(5, 2, 32, 24)
    found = [*readouts(kspace[:4]), *readouts(kspace[4:], slice=4, columns=range(9), position=(0, 0, 24))]
    series = only(recon.open_study(write_raw(found, raw_header((32, 24)))))
    assert_holds(series, kspace[:4])
    assert says(series, "1 of 5 slices are left out", "number 4")


def test_slices_with_patterns_of_their_own_share_what_they_have_in_common(
    readouts, raw_header, write_raw, noise, only
) -> None:
    kspace, common = noise(3, 2, 32, 24), [10, 11, 12, 13]
    found = []
    for number in range(3):
        placed = {"slice": number, "position": (0, 0, 6 * number)}
        found += readouts(kspace[number : number + 1], columns=[number, *common], **placed)
    series = only(recon.open_study(write_raw(found, raw_header((32, 24)))))
    mask = np.isin(np.arange(24), common)
    assert_holds(series, kspace * mask)
    assert says(series, "only some slices have")


# ---- several series ---------------------------------------------------------------------------------------------


def test_each_contrast_and_repetition_is_a_series(readouts, raw_header, write_raw, noise) -> None:
    parts = {(c, r): noise(2, 2, 32, 20, seed=10 * c + r) for c in range(2) for r in range(3)}
    found = [line for (c, r), part in parts.items() for line in readouts(part, contrast=c, repetition=r)]
    np.random.default_rng(0).shuffle(found)
    study = recon.open_study(write_raw(found, raw_header((32, 20)), name="scan.h5"))
    titles = [f"scan · contrast {c + 1} · repetition {r + 1}" for c, r in parts]
    assert [series.title for series in study.series] == titles and not study.declined
    for series, part in zip(study.series, parts.values(), strict=True):
        assert_holds(series, part)
    assert [series.header.echo_time_ms for series in study.series] == [5, 5, 5, 12, 12, 12]
    assert len({series.fingerprint for series in study.series}) == 6


@pytest.mark.parametrize("key", ["phase", "set"])
def test_titles_name_what_differs(readouts, raw_header, write_raw, noise, key) -> None:
    found = [line for n in (0, 4) for line in readouts(noise(1, 2, 32, 20), **{key: n})]
    study = recon.open_study(write_raw(found, raw_header((32, 20)), name="scan.h5"))
    assert [series.title for series in study.series] == [f"scan · {key} 1", f"scan · {key} 5"]


def test_far_too_many_repetitions(readouts, raw_header, write_raw, noise) -> None:
    found = [line for n in range(70) for line in readouts(noise(1, 1, 4, 4), repetition=n)]
    study = recon.open_study(write_raw(found, raw_header((4, 4))))
    assert len(study.series) == 64
    assert "6 further" in study.declined[0].reason and "repetition 65" in study.declined[0].reason


def test_planes_of_a_localizer_are_series_of_their_own(readouts, raw_header, write_raw, noise) -> None:
    kspace = noise(4, 2, 32, 20)
    found = readouts(kspace[:2])
    coronal = {"read_dir": (0, 0, 1), "phase_dir": (1, 0, 0), "slice_dir": (0, 1, 0)}
    for number in (2, 3):
        found += readouts(kspace[number : number + 1], slice=number, position=(0, 9 * number, 0), **coronal)
    study = recon.open_study(write_raw(found, raw_header((32, 20)), name="scan.h5"))
    assert [series.title for series in study.series] == ["scan · plane 1", "scan · plane 2"]
    assert_holds(study.series[0], kspace[:2])
    # The normal of the images, left × superior, points to the front: the hindmost slice is the first.
    assert_holds(study.series[1], kspace[[3, 2]])
    assert study.series[1].geometry.orientation == (1, 0, 0, 0, 0, 1)


def test_several_groups_in_one_file(readouts, raw_header, write_raw, noise) -> None:
    first, second, third = (noise(1, 2, 32, 20, seed=seed) for seed in range(3))
    write_raw(readouts(first), raw_header((32, 20)), group="dataset")
    write_raw(readouts(second), raw_header((32, 20)), group="other/scan")
    path = write_raw(readouts(third, encoding_space_ref=1), None, group="zzz")
    study = recon.open_study(path)
    assert [series.title for series in study.series] == ["raw · dataset", "raw · zzz", "raw · other/scan"]
    for series, kspace in zip(study.series, (first, third, second), strict=True):
        assert_holds(series, kspace)


def test_images_beside_the_raw_data_are_no_scan(readouts, raw_header, write_raw, noise, only) -> None:
    kspace = noise(1, 2, 32, 20)
    path = write_raw(readouts(kspace), raw_header((32, 20)))
    with h5py.File(path, "a") as file:
        for name in ("data", "header", "attributes"):
            file[f"images_0/{name}"] = np.ones(3)
    assert_holds(only(recon.open_study(path)), kspace)


def test_fastmri_file_with_a_group_of_that_name_stays_one(write, noise, only) -> None:
    series = only(recon.open_study(write(kspace=noise(1, 2, 16, 16), **{"dataset/data": np.ones(3)})))
    assert series.kind == "fastmri"


# ---- geometry ---------------------------------------------------------------------------------------------------


def oblique():
    axis = np.array([1, 2, 3]) / np.sqrt(14)
    read = np.cross(axis, [0, 0, 1])
    read /= np.linalg.norm(read)
    return read, np.cross(axis, read), axis


@pytest.mark.parametrize(("matrix", "recon_size"), [((32, 24), (16, 24)), ((33, 25), (16, 20)), ((32, 25), (15, 25))])
def test_a_point_lies_where_it_was_in_the_exported_image(
    readouts, raw_header, write_raw, only, tmp_path, matrix, recon_size
) -> None:
    """The signal of a point in the patient, by the Fourier integral; its place, by the DICOM image."""
    read, phase, across = oblique()
    centres = [np.array([12.0, -30, 7]) + 9 * n * across for n in range(3)]
    points = [(5, -7), (-6, 4), (0, 3)]
    kspace = np.empty((3, 1, *matrix), np.complex64)
    y, x = ((np.arange(n) - n // 2) / n for n in matrix)
    for slice_, (down, right) in zip(kspace, points, strict=True):
        slice_[0] = np.exp(-2j * np.pi * (y[:, None] * down + x[None] * right))
    found = []
    for number in (1, 0, 2):
        directions = {"read_dir": read, "phase_dir": phase, "slice_dir": across, "position": centres[number]}
        found += readouts(kspace[number : number + 1], slice=(2, 0, 1)[number], **directions)
    series = only(recon.open_study(write_raw(found, raw_header(matrix, recon_size))))
    assert not series.geometry.is_synthetic and not series.geometry.flip_rows
    result = recon.run(series, recon.Request("zero-filled", recon.MaskSpec("none"), grid="native", device="cpu"))
    result.save(tmp_path / "out", formats=["dicom", "nifti"])
    images = sorted(map(pydicom.dcmread, (tmp_path / "out").glob("*/*.dcm")), key=lambda image: image.InstanceNumber)
    places = []
    for image in images:
        row, column = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
        down, right = np.unravel_index(image.pixel_array.argmax(), image.pixel_array.shape)
        dy, dx = image.PixelSpacing
        places.append(np.array(image.ImagePositionPatient, float) + row * dx * right + column * dy * down)
        assert "ynthetic" not in image.ImageComments
    expected = [
        centre + 2 * down * read + 3 * right * phase for centre, (down, right) in zip(centres, points, strict=True)
    ]
    normal = np.cross(series.geometry.orientation[:3], series.geometry.orientation[3:])
    expected.sort(key=lambda place: place @ normal)
    np.testing.assert_allclose(places, expected, atol=1e-3)
    assert (np.diff(np.array(series.geometry.positions_mm) @ normal) > 0).all()


def test_interleaved_slices_are_sorted_by_position(readouts, raw_header, write_raw, noise, only) -> None:
    kspace, order = noise(5, 2, 32, 20), [0, 2, 4, 1, 3]
    found = []
    for number, height in enumerate(order):
        found += readouts(kspace[height : height + 1], slice=number, position=(0, 0, 6 * height))
    series = only(recon.open_study(write_raw(found, raw_header((32, 20)))))
    assert_holds(series, kspace)
    np.testing.assert_allclose([one[2] for one in series.geometry.positions_mm], [0, 6, 12, 18, 24])
    assert series.geometry.positions_mm[0][:2] == (-3 * 10, -2 * 16)


@pytest.mark.parametrize(
    "values",
    [
        {"read_dir": (0, 0, 0), "phase_dir": (0, 0, 0), "slice_dir": (0, 0, 0)},
        {"position": (0, 0, 0)},
        {"position": (np.nan, 0, 0)},
        {"read_dir": (1, 0, 0), "phase_dir": (1, 0, 0)},
    ],
    ids=["no directions", "one place for all", "no numbers", "parallel"],
)
def test_geometry_that_makes_no_sense_is_synthetic(readouts, raw_header, write_raw, noise, only, values) -> None:
    kspace = noise(3, 2, 32, 20)
    series = only(recon.open_study(write_raw(readouts(kspace, **values), raw_header((32, 20)))))
    assert_holds(series, kspace)
    assert series.geometry.is_synthetic and series.geometry.pixel_spacing_mm == (2, 3)
    np.testing.assert_allclose(np.diff(series.geometry.positions_mm, axis=0), [[0, 0, 5], [0, 0, 5]])
