"""fastMRI files: what is read, when it is read, and what follows from it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import recon
from recon.io.fastmri import read_series
from recon.io.ismrmrd import header as ismrmrd_header


def series_of(path):
    study = recon.open_study(path)
    assert len(study.series) == 1
    return study.series[0]


def rss_image(kspace, size):
    """Root sum of squares of the centred orthonormal inverse transform, cropped: numpy only."""
    axes = (-2, -1)
    shifted = np.fft.ifftshift(kspace.astype(np.complex128), axes)
    image = np.fft.fftshift(np.fft.ifft2(shifted, axes=axes, norm="ortho"), axes)
    top, left = (image.shape[1] - size[0]) // 2, (image.shape[2] - size[1]) // 2
    return np.sqrt((np.abs(image) ** 2).sum(0))[top : top + size[0], left : left + size[1]]


# ---- shapes and values ------------------------------------------------------------------------------------------


def test_multi_coil_file_is_read_slice_by_slice(write, noise, header) -> None:
    kspace = noise(3, 4, 64, 48)
    reference = np.abs(noise(3, 32, 32, seed=1))
    path = write(kspace=kspace, reconstruction_rss=reference, ismrmrd_header=header())
    series = series_of(str(path))
    assert (series.n_slices, series.n_coils, series.matrix, series.recon_size) == (3, 4, (64, 48), (32, 32))
    assert series.kind == "fastmri" and series.has_kspace and series.has_reference
    for index in range(3):
        slice_ = series.read(index)
        np.testing.assert_array_equal(slice_.kspace.numpy(), kspace[index])
        np.testing.assert_array_equal(slice_.reference.numpy(), reference[index])
        assert slice_.index == index and slice_.acquired_mask is None


def test_single_coil_file_prefers_the_emulated_single_coil_reference(write, noise) -> None:
    kspace = noise(2, 40, 36)
    esc, rss = np.abs(noise(2, 20, 20, seed=1)), np.abs(noise(2, 20, 20, seed=2))
    series = series_of(write(kspace=kspace, reconstruction_esc=esc, reconstruction_rss=rss))
    assert (series.n_slices, series.n_coils, series.matrix, series.recon_size) == (2, 1, (40, 36), (20, 20))
    slice_ = series.read(-1)
    np.testing.assert_array_equal(slice_.kspace.numpy(), kspace[1][None])
    np.testing.assert_array_equal(slice_.reference.numpy(), esc[1])


COMPOUND = np.dtype([("real", "<f4"), ("imag", "<f4")])


@pytest.mark.parametrize("kind", ["complex128", "big-endian", "compound", "chunked"])
def test_other_ways_to_store_complex_numbers(tmp_path, noise, kind) -> None:
    kspace = noise(2, 3, 20, 18)
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        if kind == "complex128":
            file["kspace"] = kspace.astype(np.complex128)
        elif kind == "big-endian":
            file["kspace"] = kspace.astype(">c8")
        elif kind == "compound":
            stored = np.empty(kspace.shape, COMPOUND)
            stored["real"], stored["imag"] = kspace.real, kspace.imag
            file["kspace"] = stored
        else:
            file.create_dataset("kspace", data=kspace, chunks=(1, 1, 20, 18), compression="gzip")
    series = series_of(path)
    for index in range(2):
        np.testing.assert_array_equal(series.read(index).kspace.numpy(), kspace[index])
        assert series.read(index).kspace.is_contiguous()


@pytest.mark.parametrize("shape", [(128, 64), (128, 49), (150, 67), (170, 57), (96, 96), (7, 5), (1, 1)])
def test_any_size_opens(write, noise, shape) -> None:
    series = series_of(write(kspace=noise(2, 3, *shape)))
    assert series.matrix == shape
    assert tuple(series.read(1).kspace.shape) == (3, *shape)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_the_scale_of_the_data_does_not_matter(write, noise, scale) -> None:
    series = series_of(write(kspace=noise(1, 2, 32, 32) * np.float32(scale)))
    slice_ = series.read(0)
    assert slice_.kspace.abs().max() > 0
    expected = rss_image(slice_.kspace.numpy(), (32, 32))
    np.testing.assert_allclose(slice_.reference.numpy(), expected, rtol=1e-4)


# ---- the reference ----------------------------------------------------------------------------------------------


def test_missing_reference_is_computed_from_the_full_kspace(write, noise, header) -> None:
    kspace = noise(2, 4, 64, 48)
    series = series_of(write(kspace=kspace, ismrmrd_header=header()))
    assert series.has_reference and series.recon_size == (32, 32)
    assert any("computed from the full k-space" in note for note in series.notes)
    np.testing.assert_allclose(series.reference[1], rss_image(kspace[1], (32, 32)), rtol=1e-5)


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (np.ones((3, 20, 20), np.float32), "3 slices"),
        (np.ones((2, 20), np.float32), "shape"),
        (np.ones((2, 20, 20), np.complex64), "complex64"),
        (np.ones((2, 40, 20), np.float32), "larger than"),
    ],
)
def test_reference_that_does_not_fit_is_replaced_and_said_so(write, noise, stored, words) -> None:
    kspace = noise(2, 3, 24, 22)
    series = series_of(write(kspace=kspace, reconstruction_rss=stored))
    assert any(words in note and "ignored" in note for note in series.notes)
    np.testing.assert_allclose(series.reference[0], rss_image(kspace[0], (24, 22)), rtol=1e-5)


def test_data_of_one_name_are_told_apart_wherever_they_lie(write, noise, tmp_path) -> None:
    scans = noise(2, 3, 24, 20), noise(2, 3, 24, 20, seed=1)
    first, second = (read_series(write("scan.h5", kspace=kspace)).fingerprint for kspace in scans)
    assert first
    assert first != second
    file = write("other.h5", kspace=scans[1], attributes={"acquisition": "AXT2"})
    assert read_series(file.rename(tmp_path / "moved.h5")).fingerprint == second


def test_real_scan_reference_equals_its_kspace(real_brain) -> None:
    series = series_of(real_brain)
    stored = series.read(0).reference.numpy()
    with h5py.File(real_brain) as file:
        computed = rss_image(file["kspace"][0], series.recon_size)
    assert np.abs(stored - computed).max() < 1e-5 * stored.max()


@pytest.mark.parametrize(
    ("matrix", "wanted", "expected"),
    [((64, 48), (32, 32), (32, 32)), ((64, 20), (32, 32), (20, 20)), ((16, 48), (32, 32), (16, 32))],
)
def test_image_size_follows_the_header_within_what_was_measured(write, noise, header, matrix, wanted, expected) -> None:
    xml = header(recon_x=wanted[0], recon_y=wanted[1])
    series = series_of(write(kspace=noise(1, 2, *matrix), ismrmrd_header=xml))
    assert series.recon_size == expected
    assert series.reference[0].shape == expected


# ---- sampling ---------------------------------------------------------------------------------------------------


def line_pattern(columns):
    pattern = np.zeros(columns, bool)
    pattern[1::4] = True
    pattern[columns // 2 - 3 : columns // 2 + 3] = True
    return pattern


@pytest.mark.parametrize("stored", [True, False], ids=["mask in the file", "no mask in the file"])
def test_prospective_columns(write, noise, header, stored) -> None:
    pattern = line_pattern(48)
    datasets = {"kspace": noise(3, 4, 64, 48) * pattern, "reconstruction_rss": np.ones((3, 32, 32), np.float32)}
    if stored:
        datasets["mask"] = pattern.astype(np.float32)
    series = series_of(write(ismrmrd_header=header(), **datasets))
    np.testing.assert_array_equal(series.acquired_mask, pattern[None])
    assert not series.has_reference and series.reference is None and series.read(0).reference is None
    assert series.recon_size == (32, 32) and series.padding is None
    assert any("undersampled" in note for note in series.notes)
    assert any("not taken as a reference" in note for note in series.notes)


@pytest.mark.parametrize("stored", [True, False], ids=["mask in the file", "no mask in the file"])
def test_prospective_points(write, noise, stored) -> None:
    pattern = np.random.default_rng(3).random((64, 48)) < 0.2
    pattern[28:36, 20:28] = True
    datasets = {"kspace": noise(1, 4, 64, 48) * pattern} | ({"mask": pattern} if stored else {})
    series = series_of(write(**datasets))
    np.testing.assert_array_equal(series.acquired_mask, pattern)
    assert not series.has_reference


def test_skipped_rows_are_found(write, noise) -> None:
    kspace = noise(1, 2, 96, 48)
    kspace[:, :, :40:2] = 0
    series = series_of(write(kspace=kspace))
    assert series.acquired_mask is not None and not series.has_reference
    np.testing.assert_array_equal(series.acquired_mask[:, 0], kspace[0, 0, :, 0] != 0)


@pytest.mark.parametrize("mask", [np.ones(48), np.ones((64, 48), bool), np.ones((1, 1, 48, 1), np.float32)])
def test_mask_of_ones_means_fully_sampled(write, noise, mask) -> None:
    series = series_of(write(kspace=noise(1, 2, 64, 48), mask=mask))
    assert series.acquired_mask is None and series.has_reference


def test_mask_beside_full_kspace_keeps_the_reference(write, noise) -> None:
    pattern = line_pattern(48)
    reference = np.abs(noise(1, 32, 32, seed=1))
    series = series_of(write(kspace=noise(1, 2, 64, 48), mask=pattern, reconstruction_rss=reference))
    np.testing.assert_array_equal(series.acquired_mask, pattern[None])
    np.testing.assert_array_equal(series.reference[0], reference[0])
    assert any("full" in note for note in series.notes)


def test_dead_first_coil_hides_nothing(write, noise) -> None:
    kspace = noise(1, 3, 64, 48) * line_pattern(48)
    kspace[:, 0] = 0
    np.testing.assert_array_equal(series_of(write(kspace=kspace)).acquired_mask, line_pattern(48)[None])


def test_padding_is_found_in_the_data(write, noise) -> None:
    kspace = noise(1, 2, 64, 48)
    kspace[..., :5] = 0
    kspace[..., 40:] = 0
    series = series_of(write(kspace=kspace))
    assert series.padding == (5, 40)
    assert series.acquired_mask is None and series.has_reference


def test_padding_of_the_header_counts_where_the_data_agree(write, noise, header) -> None:
    kspace = noise(1, 2, 64, 48)
    kspace[..., :6] = 0
    kspace[..., 40:] = 0
    xml = header(centre=20, maximum=37)  # columns 4 to 41 were acquired, and the outermost hold nothing
    assert series_of(write("agrees.h5", kspace=kspace, ismrmrd_header=xml)).padding == (4, 42)
    lies = header(centre=14, maximum=20)
    assert series_of(write("lies.h5", kspace=kspace, ismrmrd_header=lies)).padding == (6, 40)
    assert series_of(write("full.h5", kspace=noise(1, 2, 64, 48), ismrmrd_header=xml)).padding is None


def test_mask_that_only_skips_the_padding_is_no_undersampling(write, noise) -> None:
    kspace = noise(1, 2, 64, 48)
    kspace[..., :6] = 0
    mask = np.arange(48) >= 6
    series = series_of(write(kspace=kspace, mask=mask))
    assert series.acquired_mask is None and series.padding == (6, 48) and series.has_reference


def test_skipped_corners_are_no_undersampling(write, noise) -> None:
    y, x = np.linspace(-1, 1, 64)[:, None], np.linspace(-1, 1, 48)[None]
    series = series_of(write(kspace=noise(1, 2, 64, 48) * (y**2 + x**2 <= 1)))
    assert series.acquired_mask is None and series.has_reference


# ---- header and geometry ----------------------------------------------------------------------------------------


def test_header_is_read_without_what_identifies_the_patient(write, noise, header) -> None:
    attributes = {"acquisition": "AXT2", "patient_id": "a1b2", "max": 0.5, "licence": "CC0", "acceleration": 4}
    series = series_of(write(kspace=noise(1, 2, 64, 48), ismrmrd_header=header(), attributes=attributes))
    head = series.header
    assert (head.acquisition, head.protocol, head.sequence_type) == ("AXT2", "AXT2", "TurboSpinEcho")
    assert (head.vendor, head.scanner, head.institution) == ("SIEMENS", "Aera", "NYU")
    assert (head.field_strength_t, head.frequency_hz) == (1.494, 63646353)
    assert (head.repetition_time_ms, head.echo_time_ms, head.inversion_time_ms) == (6000, 120, 100)
    assert (head.flip_angle_deg, head.echo_train_length, head.patient_position) == (150, 9, "HFS")
    assert (head.encoded_matrix, head.recon_matrix) == ((64, 48, 1), (32, 32, 1))
    assert (head.encoded_fov_mm, head.recon_fov_mm) == ((440, 300, 7.5), (220, 200, 5))
    assert (head.patient_id, head.licence, head.source) == ("a1b2", "CC0", None)
    assert head.extra["max"] == "0.5" and head.extra["acceleration"] == "4" and head.extra["user.lRefs"] == "24"
    assert head.extra["acquisitionSystemInformation.coilLabel"] == "HE1, HE2"
    everything = repr(head)
    assert not [private for private in ("Doe", "4711", "12:34", "45_98", "1.3.12") if private in everything]


def test_geometry_has_rows_first_and_is_centred(write, noise, header) -> None:
    xml = header()
    axial = series_of(write(kspace=noise(3, 2, 64, 48), ismrmrd_header=xml, attributes={"acquisition": "AXT2"}))
    geometry = axial.geometry
    assert geometry.pixel_spacing_mm == (220 / 32, 200 / 32)
    assert geometry.slice_thickness_mm == 5 and geometry.is_synthetic and geometry.flip_rows
    assert geometry.orientation == (1, 0, 0, 0, 1, 0)
    centre = np.array(geometry.positions_mm[1]) + 15.5 * np.array([200 / 32, 220 / 32, 0])
    np.testing.assert_allclose(centre, 0, atol=1e-9)
    np.testing.assert_allclose(np.diff(geometry.positions_mm, axis=0), [[0, 0, 5], [0, 0, 5]])
    knee = series_of(write(kspace=noise(1, 2, 64, 48), attributes={"acquisition": "CORPD_FBK"}))
    assert knee.geometry.orientation == (1, 0, 0, 0, 0, -1) and knee.geometry.pixel_spacing_mm == (1, 1)


@pytest.mark.parametrize(
    ("fov", "matrix", "wanted", "shown", "spacing_mm", "words"),
    [
        ((220, 200), (64, 48), (128, 96), (64, 48), (220 / 64, 200 / 48), "more than was measured"),
        ((220, 200), (64, 48), (128, 48), (64, 48), (220 / 64, 200 / 48), "more than was measured"),
        ((220, 200), (64, 48), (32, 24), (64, 48), (220 / 64, 200 / 48), "coarser than were measured"),
        ((440, 200), (64, 40), (32, 32), (32, 40), (220 / 32, 200 / 40), "coarser than were measured"),
        ((440, 200), (64, 20), (32, 32), (20, 20), (220 / 32, 200 / 20), ""),
        ((440, 300), (64, 48), (32, 32), (32, 32), (220 / 32, 200 / 32), ""),
    ],
    ids=["finer", "finer rows", "coarser", "oversampled and coarser", "narrow", "as measured"],
)
def test_a_pixel_that_the_header_interpolates_keeps_its_measured_size(
    write, noise, header, fov, matrix, wanted, shown, spacing_mm, words
) -> None:
    xml = header(encoded_x=matrix[0], encoded_y=matrix[1], recon_x=wanted[0], recon_y=wanted[1])
    xml = xml.replace("<x>440</x><y>300</y>", f"<x>{fov[0]}</x><y>{fov[1]}</y>")
    series = series_of(write(kspace=noise(1, 2, *matrix), ismrmrd_header=xml))
    assert series.recon_size == shown
    assert series.geometry.pixel_spacing_mm == pytest.approx(spacing_mm)
    assert any("asks for an image" in note and words in note for note in series.notes) == bool(words)


def test_a_stored_reference_decides_the_size_and_what_was_measured_the_pixel(write, noise, header) -> None:
    xml = header(recon_x=64, recon_y=32).replace("<x>440</x><y>300</y>", "<x>440</x><y>200</y>")
    stored = np.abs(noise(1, 32, 32, seed=1))
    series = series_of(write(kspace=noise(1, 2, 64, 48), reconstruction_rss=stored, ismrmrd_header=xml))
    assert series.recon_size == (32, 32)
    assert series.geometry.pixel_spacing_mm == pytest.approx((440 / 64, 200 / 48))
    assert not any("asks for an image" in note for note in series.notes)


def test_kspace_of_another_width_than_its_header_has_the_pixels_of_the_image(write, noise, header) -> None:
    series = series_of(write(kspace=noise(1, 2, 64, 40), ismrmrd_header=header(encoded_y=60)))
    assert series.recon_size == (32, 32)
    assert series.geometry.pixel_spacing_mm == (220 / 32, 200 / 32)


def test_a_size_that_no_header_says_is_called_assumed(write, noise, header) -> None:
    def assumed(**more):
        geometry = series_of(write(kspace=noise(3, 2, 64, 48), **more)).geometry
        return geometry.spacing_is_assumed, geometry.thickness_is_assumed

    assert assumed(ismrmrd_header=header()) == (False, False)
    assert assumed() == (True, True)
    assert assumed(ismrmrd_header=header().replace("<z>5</z>", "<z>0</z>")) == (False, True)


def test_only_files_of_the_fastmri_release_are_upside_down(write, noise) -> None:
    def flips(**attributes):
        return series_of(write(kspace=noise(1, 2, 16, 16), attributes=attributes)).geometry.flip_rows

    assert flips(acquisition="AXFLAIR") and flips(acquisition="CORPDFS_FBK")
    assert not flips() and not flips(acquisition="AXGRE")
    assert not flips(acquisition="AXT2", source="another archive")
    assert flips(acquisition="AXT2", source="another archive", flip_rows=True)
    assert not flips(acquisition="AXT2", flip_rows=False)


def test_file_that_says_it_is_derived_says_so_to_the_user(write, noise) -> None:
    series = series_of(write(kspace=noise(1, 2, 16, 16), attributes={"note": "derived: FFT of real images"}))
    assert any("derived: FFT of real images" in note for note in series.notes)


BOMB = '<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><ismrmrdHeader>&b;</ismrmrdHeader>'


@pytest.mark.parametrize(
    "stored",
    [b"<ismrmrdHeader><encoding>", BOMB.encode(), b"\xff\xfe", np.arange(5.0), np.array([b"<a/>", b"<b/>"]), b""],
    ids=["broken", "entities", "not text", "numbers", "two", "empty"],
)
def test_unreadable_header_is_a_note_and_not_the_end(write, noise, stored) -> None:
    series = series_of(write(kspace=noise(1, 2, 16, 16), ismrmrd_header=stored))
    assert any("header cannot be read" in note for note in series.notes)
    assert series.header.vendor is None and series.read(0).kspace.abs().max() > 0


@pytest.mark.parametrize("stored", ["<ismrmrdHeader/>", b"<x><encoding><reconSpace/></encoding></x>"])
def test_header_without_its_nodes_is_no_problem(write, noise, stored) -> None:
    series = series_of(write(kspace=noise(1, 2, 16, 16), ismrmrd_header=stored))
    assert series.recon_size == (16, 16) and not any("header" in note for note in series.notes)


def test_header_in_any_namespace_and_type(write, noise, header) -> None:
    plain = header().replace(' xmlns="http://www.ismrm.org/ISMRMRD"', "")
    for number, stored in enumerate((plain, plain.encode(), np.array([plain.encode()]), np.bytes_(plain.encode()))):
        series = series_of(write(f"file{number}.h5", kspace=noise(1, 2, 64, 48), ismrmrd_header=stored))
        assert series.header.scanner == "Aera"


def test_numbers_without_sense_are_unknown() -> None:
    for text in ("0", "-3", "nan", "inf", "1e400", "abc", "", "9" * 5000):
        xml = f"<h><sequenceParameters><TR>{text}</TR></sequenceParameters></h>"
        assert ismrmrd_header.parse(xml).header.repetition_time_ms is None


# ---- folders ----------------------------------------------------------------------------------------------------


def test_folder_gives_a_series_per_file_and_names_the_bad_ones(write, noise, tmp_path) -> None:
    write("b.h5", kspace=noise(1, 2, 16, 16))
    write("a.h5", kspace=noise(2, 16, 16))
    bad = write("c.h5", something=np.ones(3))
    Path(tmp_path, "README.txt").write_text("hello")
    study = recon.open_study(tmp_path)
    assert [series.path.name for series in study.series] == ["a.h5", "b.h5"]
    assert study.title == tmp_path.name
    assert [(one.path, "kspace" in one.reason) for one in study.declined] == [(bad, True)]


def test_content_counts_and_not_the_name(write, noise, tmp_path) -> None:
    path = write("scan.dat", kspace=noise(1, 2, 16, 16))
    assert series_of(path).n_coils == 2
    behind_user_block = tmp_path / "block.h5"
    with h5py.File(behind_user_block, "w", userblock_size=1024) as file:
        file["kspace"] = noise(1, 2, 16, 16)
    assert series_of(behind_user_block).n_coils == 2


# ---- speed and memory -------------------------------------------------------------------------------------------


def test_opening_reads_almost_nothing(write, noise, monkeypatch) -> None:
    """A volume of any size opens in milliseconds, because next to nothing of it is read."""
    path = write(kspace=noise(8, 8, 256, 128), reconstruction_rss=np.ones((8, 128, 128), np.float32))
    read_bytes = []
    getitem = h5py.Dataset.__getitem__

    def counted(dataset, *arguments, **keywords):
        values = getitem(dataset, *arguments, **keywords)
        read_bytes.append(np.asarray(values).nbytes)
        return values

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    series = series_of(path)
    assert series.has_reference
    assert sum(read_bytes) <= 2 * 16 * 128 * 8


def test_opening_is_quick(write, noise) -> None:
    path = write(kspace=noise(16, 8, 320, 160))
    recon.open_study(path)
    seconds = []
    for _ in range(5):
        started = time.process_time()  # what this costs, not what else the machine is doing
        recon.open_study(path)
        seconds.append(time.process_time() - started)
    assert min(seconds) < 0.05


def test_opening_does_not_load_torch(real_brain) -> None:
    script = f"import sys, recon; recon.open_study({str(real_brain)!r}); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_file_is_closed_between_calls(write, noise) -> None:
    path = write(kspace=noise(2, 2, 16, 16))
    series = series_of(path)
    series.read(0)
    with h5py.File(path, "r+") as file:  # would fail while someone reads
        file["kspace"][1] = 2 * file["kspace"][1]
    series = series_of(path)
    np.testing.assert_allclose(series.read(1).kspace.numpy(), 2 * noise(2, 2, 16, 16)[1])


def test_slice_in_use_is_not_overwritten_by_the_next(write, noise) -> None:
    kspace = noise(3, 2, 16, 16)
    series = series_of(write(kspace=kspace))
    slices = [series.read(index) for index in range(3)]
    for index, slice_ in enumerate(slices):
        np.testing.assert_array_equal(slice_.kspace.numpy(), kspace[index])


# ---- the shared real scans --------------------------------------------------------------------------------------


def test_every_shared_scan_opens(shared_data) -> None:
    study = recon.open_study(shared_data / "kspace")
    assert len(study.series) == 9 and not study.declined
    by_name = {series.stem: series for series in study.series}
    prospective = by_name.pop("real_brain_8ch_us_sigpy")
    assert prospective.acquired_mask.shape == (230, 180) and not prospective.has_reference
    for name, series in by_name.items():
        assert series.has_reference and series.acquired_mask is None and series.padding is None, name
        assert not series.geometry.flip_rows, name
        with h5py.File(series.path) as file:
            kspace = file["kspace"][0].reshape(series.n_coils, *series.matrix)
        image = series.read(0).reference.numpy()
        assert np.abs(image - rss_image(kspace, series.recon_size)).max() < 1e-4 * image.max(), name
    assert by_name["real_phantom_2ch_os"].recon_size == (160, 160)


def test_a_header_in_another_encoding_is_read(write, noise, header):
    declared = '<?xml version="1.0" encoding="iso-8859-1"?>'
    text = declared + header().removeprefix('<?xml version="1.0" encoding="utf-8"?>') + "<!-- Zürich -->"
    assert "Zürich" in text
    series = series_of(write(kspace=noise(1, 2, 64, 48), ismrmrd_header=text.encode("latin-1")))
    same = series_of(write(kspace=noise(1, 2, 64, 48), ismrmrd_header=header()))
    assert series.geometry == same.geometry and series.header == same.header
    assert not any("cannot be read" in note for note in series.notes)
