"""DICOM studies: found, sorted, declined by name, and never the end of the program."""

import hashlib
import os
import random
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.data import data_manager
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

import recon
from recon.errors import FileError, MRIError
from recon.io.dicom import is_dicom, read
from recon.io.dicom.frame import read_header
from recon.simulate import SimulationSpec

PYDICOM_FILES = Path(data_manager.DATA_ROOT) / "test_files"


def reasons(study):
    return " | ".join(entry.reason for entry in study.declined)


# ---- real scans -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "n_slices", "matrix", "spacing_mm", "thickness_mm"),
    [
        ("siemens_t1_fl2d_sag", 35, (256, 256), 4.8, 4.0),
        ("siemens_t1_mprage_sag", 64, (256, 256), 0.9, 0.9),
        ("siemens_enhanced_xa30_t1", 96, (128, 128), 2.0, 2.0),
        ("philips_enhanced_epi", 32, (64, 64), 4.0, 4.0),
    ],
)
def test_real_volumes_open_in_order_of_position(shared_data, only, folder, n_slices, matrix, spacing_mm, thickness_mm):
    series = only(read(shared_data / "dicom" / folder))
    assert (series.n_slices, series.matrix, series.recon_size) == (n_slices, matrix, matrix)
    assert series.geometry.slice_thickness_mm == pytest.approx(thickness_mm, abs=1e-6)
    assert not series.geometry.is_synthetic
    assert not series.geometry.flip_rows
    normal = np.cross(series.geometry.orientation[:3], series.geometry.orientation[3:])
    steps = np.diff(np.array(series.geometry.positions_mm) @ normal)
    assert steps == pytest.approx(spacing_mm, abs=2e-3)
    assert series.path == shared_data / "dicom" / folder
    middle = series.read(n_slices // 2)
    assert tuple(middle.kspace.shape) == (4, *matrix)
    assert float(middle.reference.max()) > 0


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("siemens_enhanced_colour_fa", r"colour image \(RGB\)"),
    ],
)
def test_real_objects_of_other_kinds_are_declined_by_name(shared_data, folder, words):
    with pytest.raises(FileError, match=words):
        read(shared_data / "dicom" / folder)


@pytest.mark.parametrize(
    ("folder", "n_volumes", "n_slices"), [("ge_epi_timeseries", 10, 15), ("siemens_enhanced_xa10_epi", 4, 6)]
)
def test_volumes_of_a_time_series_open_one_by_one(shared_data, folder, n_volumes, n_slices):
    study = read(shared_data / "dicom" / folder)
    assert [series.n_slices for series in study.series] == [n_slices] * n_volumes and not study.declined
    titles = [series.title for series in study.series]
    assert titles == sorted(titles) and titles[2].endswith(f"volume {3:0{len(str(n_volumes))}d} of {n_volumes}")
    # Each image belongs to one volume, and in each the slices are in order.
    frames = [frame for series in study.series for frame in series.source.frames]
    assert len({frame.key for frame in frames}) == n_volumes * n_slices
    for series in study.series:
        assert len(np.unique(np.round(np.diff(series.geometry.positions_mm, axis=0), 2), axis=0)) == 1
        numbers = [frame.instance_number for frame in series.source.frames]
        assert max(numbers) - min(numbers) < n_slices
    assert len({series.path for series in study.series}) == n_volumes


def test_slices_of_a_mosaic_lie_where_nibabel_puts_them(shared_data, only, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it calls its readers experimental when they are imported
        from nibabel.nicom.dicomwrappers import wrapper_from_file

    path = shared_data / "dicom" / "siemens_mosaic_epi" / "0001.dcm"
    series = only(read(path))
    theirs = wrapper_from_file(str(path))
    assert (series.n_slices, series.matrix, series.header.recon_matrix) == (35, (64, 64), (64, 64, 1))
    assert series.header.recon_fov_mm == pytest.approx((208, 208, 3.2), rel=1e-6)
    voxels = theirs.get_data()
    for index in range(35):
        assert np.array_equal(series.source.image(index), voxels[:, :, index])
        assert series.geometry.positions_mm[index] == pytest.approx((theirs.affine @ [0, 0, index, 1])[:3], abs=1e-4)
    assert np.allclose(np.array(series.geometry.orientation[3:]) * 3.25, theirs.affine[:3, 0], atol=1e-4)
    result = recon.run(series, recon.Request(model="zero-filled", mask=recon.MaskSpec("none"), slices=(3, 30)))
    result.save(tmp_path, formats=["dicom"])
    written = [pydicom.dcmread(file) for file in tmp_path.rglob("*.dcm") if file.is_file()]
    assert {(image.Rows, image.Columns) for image in written} == {(64, 64)}
    assert len({tuple(image.ImagePositionPatient) for image in written}) == len(written) == 2


def test_field_map_frames_are_declined_and_magnitude_frames_open(shared_data, only):
    study = read(shared_data / "dicom" / "philips_enhanced_epi" / "0000.dcm")
    assert only(study).n_slices == 32
    assert "32 of its 64 frames are each a field map" in reasons(study)
    # Rescaled by the frame's own slope.
    path = shared_data / "dicom" / "philips_enhanced_epi" / "0000.dcm"
    stored = pydicom.dcmread(path).pixel_array[5]
    assert only(study).source.image(5) == pytest.approx(stored * 1.27985347985347, rel=1e-6)


def test_many_series_of_one_folder_get_paths_of_their_own(shared_data):
    study = read(shared_data / "dicom")
    assert len(study.series) == 19
    assert len({series.path for series in study.series}) == 19
    assert len(study.declined) == 2


# ---- declined ---------------------------------------------------------------------------------------------------


def gradient_phase(dataset):
    block = dataset.private_block(0x0043, "GEMS_PARM_01", create=True)
    block.add_new(0x2F, "SS", 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}, "a phase image"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "PHASE MAP", "P", "FFE"]}, "a phase image"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "R_IR", "R", "IR"]}, "the real part"),
        ({"ImageType": ["DERIVED", "PRIMARY", "FIELD_MAP"]}, "a field map"),
        ({"ComplexImageComponent": "IMAGINARY"}, "the imaginary part"),
        ({"prepare": gradient_phase}, "a phase image"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, "a Siemens mosaic"),
        ({"Modality": "CT"}, "says that it is CT data"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "Modality": "CT"}, r"CT data \(CT Image Storage\)"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1", "Modality": "US"}, "ultrasound data"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.22", "Modality": "SR"}, "Enhanced SR Storage"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.59", "Modality": "KO"}, "Key Object Selection Document"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.11.1", "Modality": "PR"}, "Presentation State"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1", "Modality": "DOC"}, "Encapsulated PDF"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66", "Modality": "MR"}, "Raw Data Storage"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4.2", "Modality": "MR"}, "MR Spectroscopy Storage"),
        ({"SOPClassUID": "1.3.46.670589.11.0.0.12.2", "Modality": "MR"}, "vendor's own kind|Philips"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, r"a colour image \(RGB\)"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "a colour image"),
        ({"PixelData": None}, "holds no pixel data"),
        ({"Rows": None}, "names no image size"),
        ({"PixelData": b"\0" * 100}, "is cut off: 100 of 1536 bytes"),
    ],
)
def test_other_objects_are_declined_by_name_and_the_rest_opens(tmp_path, write_dicom, only, changes, words):
    alone = write_dicom(tmp_path / "other" / "x.dcm", **changes)
    with pytest.raises(FileError, match=words):
        read(alone)
    for number in range(2):
        write_dicom(tmp_path / f"{number}", slice=number, SeriesInstanceUID="1.2.3.4.5.6")
    study = read(tmp_path)
    assert only(study).n_slices == 2
    assert [entry.path for entry in study.declined] == [alone]


def test_many_files_declined_for_one_reason_are_one_entry(tmp_path, write_dicom):
    write_dicom(tmp_path / "good", SeriesInstanceUID="1.2.3.4.5.6")
    for number in range(5):
        write_dicom(tmp_path / f"p{number}", slice=number, ImageType=["ORIGINAL", "PRIMARY", "P"])
    study = read(tmp_path)
    assert len(study.declined) == 1
    assert "(5 files)" in reasons(study)


def test_a_dicomdir_is_named():
    with pytest.raises(FileError, match="DICOMDIR, the table of contents"):
        read(PYDICOM_FILES / "dicomdirtests" / "DICOMDIR")


def test_a_compression_without_decoder_names_it_and_the_remedy(tmp_path, write_dicom, monkeypatch):
    def no_decoder(uid):
        raise NotImplementedError

    monkeypatch.setattr("pydicom.pixels.get_decoder", no_decoder)
    with pytest.raises(FileError, match=r"compressed as JPEG-LS Lossless.*pip install pyjpegls"):
        read(PYDICOM_FILES / "MR_small_jpeg_ls_lossless.dcm")


# ---- pixels -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["MR_small_implicit", "MR_small_bigendian", "MR_small_expb", "MR_small_RLE", "MR_small_padded"],
)
def test_pixels_do_not_depend_on_how_they_are_coded(only, name):
    expected = only(read(PYDICOM_FILES / "MR_small.dcm")).source.image(0)
    assert np.array_equal(only(read(PYDICOM_FILES / f"{name}.dcm")).source.image(0), expected)
    assert np.array_equal(expected, np.maximum(pydicom.dcmread(PYDICOM_FILES / "MR_small.dcm").pixel_array, 0))


def test_deflated_files_open(tmp_path, write_dicom, only):
    path = write_dicom(tmp_path / "deflated", slice=2, TransferSyntaxUID="1.2.840.10008.1.2.1.99")
    assert int(only(read(path)).source.image(0)[0, 0]) == 120


def test_rescale_sign_and_unused_bits(tmp_path, write_dicom, only):
    y, x = np.mgrid[:16, :17]
    ramp = y * 17 + x
    scaled = write_dicom(tmp_path / "a", ramp.astype(np.uint16), RescaleSlope=0.5, RescaleIntercept=-10)
    assert only(read(scaled)).source.image(0) == pytest.approx(np.maximum(ramp * 0.5 - 10, 0))
    signed = write_dicom(tmp_path / "b", (ramp - 50).astype(np.int16))
    assert np.array_equal(only(read(signed)).source.image(0), np.maximum(ramp - 50, 0))
    overlay = write_dicom(tmp_path / "c", (ramp + 0x8000).astype(np.uint16), BitsStored=12, HighBit=11)
    assert np.array_equal(only(read(overlay)).source.image(0), ramp)


@pytest.mark.parametrize(
    ("stored", "changes", "scale"),
    [
        (lambda signal: (4095 - signal).astype(np.uint16), {"BitsStored": 12, "HighBit": 11}, (1, 0)),
        (lambda signal: (4095 - signal + 0x8000).astype(np.uint16), {"BitsStored": 12, "HighBit": 11}, (1, 0)),
        (lambda signal: (65535 - signal).astype(np.uint16), {}, (0.5, -10)),
        (lambda signal: (255 - signal // 2).astype(np.uint8), {}, (2, 0)),
        (lambda signal: (-1 - signal).astype(np.int16), {}, (1, 0)),
        (lambda signal: (-1 - signal).astype(np.int16), {"BitsStored": 12, "HighBit": 11}, (1, 0)),
        (lambda signal: (4095 - signal).astype(np.int16), {"BitsStored": 13, "HighBit": 12}, (1, 0)),
    ],
    ids=["12 bits", "overlay", "rescaled", "8 bits", "signed", "signed 12 bits", "signed without a sign"],
)
def test_inverted_values_are_turned_round_in_the_range_of_their_bits(
    tmp_path, write_dicom, only, stored, changes, scale
):
    y, x = np.mgrid[:16, :17]
    signals = [2 * (y * 8 + x), 100 + y * 8 + 2 * x]  # of other ranges: the offset of slices must not follow them
    slope, intercept = scale
    said = {"PhotometricInterpretation": "MONOCHROME1", "RescaleSlope": slope, "RescaleIntercept": intercept} | changes
    for number, signal in enumerate(signals):
        write_dicom(tmp_path / str(number), stored(signal), slice=number, **said)
    series = only(read(tmp_path))
    for number, signal in enumerate(signals):
        expected = signal // 2 if stored(signal).dtype == np.uint8 else signal
        assert np.array_equal(series.source.image(number), np.maximum(expected * slope + intercept, 0))
    assert any("MONOCHROME1" in note for note in series.notes)


def test_floats_have_no_range_to_be_turned_round_in(tmp_path, write_dicom, only):
    signal = np.arange(16.0 * 17).reshape(16, 17).astype(np.float32)

    def as_floats(dataset):
        del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
        dataset.FloatPixelData = signal.tobytes()

    path = write_dicom(tmp_path / "f", signal, prepare=as_floats, PhotometricInterpretation="MONOCHROME1")
    series = only(read(path))
    assert np.array_equal(series.source.image(0), signal)
    assert not any("MONOCHROME1" in note for note in series.notes)


def enhanced(path, write_dicom, n_frames=4, size=(24, 32), order=None, component=None):
    """An Enhanced MR object whose frames stand in any order."""
    order = order or list(range(n_frames))
    pixels = np.stack([np.full(size, 10 * number + 5, np.uint16) for number in order])

    def item(**values):
        dataset = Dataset()
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
        return dataset

    def add_groups(dataset):
        shared = Dataset()
        shared.PixelMeasuresSequence = Sequence([item(PixelSpacing=[0.5, 0.75], SliceThickness=2)])
        shared.PlaneOrientationSequence = Sequence([item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])])
        shared.MRTimingAndRelatedParametersSequence = Sequence([item(RepetitionTime=4000, FlipAngle=90)])
        shared.MRImagingModifierSequence = Sequence([item(TransmitterFrequency=123.25, PixelBandwidth=200)])
        frames = []
        for number in order:
            frame = Dataset()
            frame.PlanePositionSequence = Sequence([item(ImagePositionPatient=[0, 0, 2.0 * number])])
            frame.MREchoSequence = Sequence([item(EffectiveEchoTime=33.0)])
            frame.PixelValueTransformationSequence = Sequence(
                [item(RescaleSlope=2, RescaleIntercept=number, RescaleType="US")]
            )
            if component is not None:
                frame.MRImageFrameTypeSequence = Sequence(
                    [item(FrameType=["ORIGINAL", "PRIMARY", "M", "NONE"], ComplexImageComponent=component(number))]
                )
            frames.append(frame)
        dataset.SharedFunctionalGroupsSequence = Sequence([shared])
        dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)

    return write_dicom(
        path,
        pixels,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.4.1",
        NumberOfFrames=n_frames,
        prepare=add_groups,
        **dict.fromkeys(
            ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "EchoTime", "ScanningSequence")
        ),
    )


def test_enhanced_frames_are_sorted_and_scaled_each(tmp_path, write_dicom, only):
    series = only(read(enhanced(tmp_path / "e", write_dicom, order=[2, 0, 3, 1])))
    assert [position[2] for position in series.geometry.positions_mm] == [0, 2, 4, 6]
    for number in range(4):
        assert np.unique(series.source.image(number)).tolist() == [2 * (10 * number + 5) + number]
    assert (series.header.echo_time_ms, series.header.repetition_time_ms) == (33.0, 4000.0)
    assert series.header.frequency_hz == pytest.approx(123.25e6)
    assert series.instances == (tmp_path / "e",)
    assert series.geometry.pixel_spacing_mm == (0.5, 0.75)


def test_enhanced_phase_frames_are_declined(tmp_path, write_dicom, only):
    path = enhanced(tmp_path / "e", write_dicom, component=lambda number: "PHASE" if number > 1 else "MAGNITUDE")
    study = read(path)
    assert only(study).n_slices == 2
    assert "2 of its 4 frames are each a phase image" in reasons(study)


def test_one_frame_of_a_large_file_is_read_alone(tmp_path, write_dicom, only):
    series = only(read(enhanced(tmp_path / "e", write_dicom, n_frames=60, size=(256, 256))))
    series.source.image(0)
    tracemalloc.start()
    series.source.image(30)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000  # the file holds 7.9 MB of pixels, a frame 0.13 MB


def test_a_file_that_is_gone_is_named(tmp_path, write_dicom, only):
    series = only(read(write_dicom(tmp_path / "a.dcm")))
    (tmp_path / "a.dcm").unlink()
    with pytest.raises(FileError, match=r"a\.dcm: is not there; bring it back"):
        series.read(0)


def test_a_file_that_was_changed_is_not_read_on(tmp_path, write_dicom, only):
    """Another image of the same name may be another patient's: neither its pixels nor its header are taken."""
    series = only(read(write_dicom(tmp_path / "a.dcm")))
    write_dicom(tmp_path / "a.dcm", slice=1)
    os.utime(tmp_path / "a.dcm", ns=(0, 0))
    for again in (lambda: series.read(0), lambda: read_header(series.source.frames[0])):
        with pytest.raises(FileError, match=r"a\.dcm: was changed since it was opened; open it again"):
            again()


# ---- simulated k-space ------------------------------------------------------------------------------------------


def test_simulation_is_said_repeatable_and_the_users_choice(tmp_path, write_dicom, only):
    folder = write_dicom(tmp_path / "s" / "a").parent
    write_dicom(folder / "b", slice=1)
    spec = SimulationSpec(n_coils=3, noise=0.02, seed=5)
    first, second = only(read(folder, spec)), only(read(folder, spec))
    assert first.is_simulated
    assert not first.has_kspace
    assert first.n_coils == 3
    assert any("simulated from magnitude images (3 coils" in note and "seed 5" in note for note in first.notes)
    one, other = first.read(0), second.read(0)
    assert np.array_equal(one.kspace.numpy(), other.kspace.numpy())
    assert np.array_equal(one.reference.numpy(), other.reference.numpy())
    assert not np.array_equal(
        one.kspace.numpy(), only(read(folder, SimulationSpec(3, noise=0.02))).read(0).kspace.numpy()
    )
    # A slice read alone has the reference of the slice read with its k-space.
    assert np.array_equal(second.source.reference(0), one.reference.numpy())
    assert np.array_equal(np.asarray(second.reference[0]), one.reference.numpy())
    assert only(read(folder)).simulation == SimulationSpec()


def test_reference_is_the_image_that_the_kspace_holds(tmp_path, write_dicom, only):
    from recon.fourier import ifft2c

    series = only(read(write_dicom(tmp_path / "odd", np.arange(25 * 31, dtype=np.uint16).reshape(25, 31))))
    read_slice = series.read(0)
    images = ifft2c(read_slice.kspace).abs()
    assert np.allclose((images**2).sum(0).sqrt(), read_slice.reference, rtol=1e-4, atol=1e-2)
    assert series.matrix == (25, 31)


def test_a_blank_slice_is_air_where_a_level_is_known_and_an_error_elsewhere(tmp_path, write_dicom, only):
    blank = np.zeros((24, 32), np.uint16)
    series = only(read(write_dicom(tmp_path / "a", blank, WindowCenter=500, WindowWidth=1000)))
    air = series.read(0)
    assert float(air.kspace.abs().square().mean().sqrt()) == pytest.approx(2**0.5 * 0.005 * 1000, rel=0.1)
    assert float(air.reference.min()) > 0
    with pytest.raises(FileError, match="blank"):
        only(read(write_dicom(tmp_path / "b", blank))).read(0)


# ---- headers and privacy ----------------------------------------------------------------------------------------


def test_header_says_what_the_scanner_said_and_not_who_was_scanned(tmp_path, write_dicom, only):
    study = read(write_dicom(tmp_path / "x", MagneticFieldStrength=1.5, ImagingFrequency=63.6, FlipAngle=150))
    header = only(study).header
    assert (header.field_strength_t, header.frequency_hz, header.flip_angle_deg) == (1.5, 63.6e6, 150.0)
    assert (header.repetition_time_ms, header.echo_time_ms, header.echo_train_length) == (4000.0, 90.0, 12)
    assert header.recon_matrix == (32, 24, 1)
    assert header.recon_fov_mm == (24.0, 12.0, 3.0)
    everything = repr(study) + repr(only(study)) + repr(header)
    for secret in ("Doe", "Jane", "HOSPITAL", "House", "19700101", "20200229"):
        assert secret not in everything


def test_broken_values_cost_only_themselves(tmp_path, write_dicom, only):
    path = write_dicom(tmp_path / "x", FlipAngle=150, RepetitionTime="4000", EchoTime="90")
    content = path.read_bytes()
    for good, bad in (
        (b"DS\x04\x004000", b"DS\x04\x00four"),
        (b"DS\x02\x0090", b"DS\x02\x00\xff?"),
        (b"IS\x02\x001 ", b"IS\x02\x00x "),
    ):
        assert good in content
        content = content.replace(good, bad)
    path.write_bytes(content)
    series = only(read(path))
    assert series.header.repetition_time_ms is None
    assert series.header.echo_time_ms is None
    assert series.header.flip_angle_deg == 150
    assert float(series.read(0).reference.max()) > 0


# ---- anything else ----------------------------------------------------------------------------------------------


def test_content_decides_what_is_dicom(tmp_path, write_dicom, only):
    path = write_dicom(tmp_path / "holiday.jpg")
    assert is_dicom(path)
    bare = tmp_path / "bare"
    bare.write_bytes(path.read_bytes()[132:])
    assert is_dicom(bare)
    assert only(read(bare)).n_slices == 1
    for name, content in {
        "empty.dcm": b"",
        "text.dcm": b"not an image\n" * 40,
        "noise.dcm": random.Random(2).randbytes(5000),
        "group8.dcm": b"\x08\0\x05\0" + random.Random(3).randbytes(5000),
        "zeros.dcm": bytes(4000),
    }.items():
        (tmp_path / name).write_bytes(content)
        assert not is_dicom(tmp_path / name)
    assert not is_dicom(tmp_path)
    assert not is_dicom(tmp_path / "nowhere")


def test_a_broken_file_does_not_keep_the_others_from_opening(tmp_path, write_dicom, only):
    for number in range(3):
        write_dicom(tmp_path / f"{number}.dcm", slice=number)
    whole = (tmp_path / "1.dcm").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[:-200])
    (tmp_path / "short.dcm").write_bytes(whole[:400])
    (tmp_path / "noise.dcm").write_bytes(whole[:140] + random.Random(4).randbytes(900))
    (tmp_path / "readme.txt").write_text("not DICOM")
    study = read(tmp_path)
    assert only(study).n_slices == 3
    assert {entry.path.name for entry in study.declined} == {"cut.dcm", "short.dcm", "noise.dcm"}


def test_nothing_to_open_is_said(tmp_path):
    (tmp_path / "readme.txt").write_text("not DICOM")
    with pytest.raises(FileError, match="holds no DICOM file"):
        read(tmp_path)
    with pytest.raises(FileError, match="is no DICOM file"):
        read(tmp_path / "readme.txt")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 3200), seed=st.integers(0, 10**6), n_hits=st.integers(0, 12))
def test_mutilated_files_open_or_are_named(tmp_path, write_dicom, cut, seed, n_hits):
    source = tmp_path / "source.dcm"
    if not source.exists():
        enhanced(source, write_dicom, n_frames=2, size=(8, 9))
    content = bytearray(source.read_bytes())
    rng = random.Random(seed)
    for _ in range(n_hits):
        content[rng.randrange(132, len(content))] = rng.randrange(256)
    target = tmp_path / "mutilated" / "x.dcm"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(content[: len(content) - cut] if cut < len(content) else content)
    try:
        for series in read(target).series:
            series.read(0)
    except MRIError as error:
        assert str(target) in str(error)


@pytest.mark.parametrize("length", [3, 9, 200])
def test_a_damaged_group_length_is_named(tmp_path, write_dicom, length):
    # The parser has an exception of its own for it, which is no ValueError.
    path = write_dicom(tmp_path / "x.dcm")
    content = bytearray(path.read_bytes())
    content[138] = length
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"x\.dcm: (is|names)"):
        read(path)


def test_reading_leaves_the_files_alone(tmp_path, write_dicom, only):
    path = write_dicom(tmp_path / "x.dcm")
    before = hashlib.sha256(path.read_bytes()).digest()
    only(read(path)).read(0)
    assert hashlib.sha256(path.read_bytes()).digest() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.dcm"]
