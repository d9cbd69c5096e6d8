"""Raw data that is written in fastMRI's layout reads as it was meant, and is there whole or not at all."""

import dataclasses

import h5py
import numpy as np
import pytest

import recon
from recon.data import Header
from recon.errors import ExportError
from recon.export import fastmri
from recon.io.ismrmrd import header as ismrmrd_header

HEADER = Header(
    acquisition="AXT2", protocol="T2 <fast> & quiet", sequence_type="TurboSpinEcho", vendor="a & b", scanner="one",
    institution="nowhere", field_strength_t=1.5, frequency_hz=63_864_000.0, repetition_time_ms=6000.0,
    echo_time_ms=103.5, inversion_time_ms=120.0, flip_angle_deg=150.0, echo_train_length=16, patient_position="HFS",
    patient_id="somebody", encoded_fov_mm=(220.5, 200.0, 4.0), source="a test", licence="none",
)  # fmt: skip
SHAPE = (2, 3, 24, 20)


def slices():
    rng = np.random.default_rng(3)
    for _ in range(SHAPE[0]):
        kspace = rng.standard_normal((2, *SHAPE[1:])).astype(np.float32)
        yield kspace[0] + 1j * kspace[1], np.abs(kspace[0, 0])


def test_header_that_is_written_is_the_one_that_is_read():
    parsed = ismrmrd_header.parse(fastmri.header_xml(HEADER, SHAPE))
    matrix = {"encoded_matrix": (24, 20, 1), "recon_matrix": (24, 20, 1), "recon_fov_mm": HEADER.encoded_fov_mm}
    attributes = dict.fromkeys(("acquisition", "patient_id", "source", "licence"))
    expected = dataclasses.replace(HEADER, **matrix, **attributes)
    assert dataclasses.replace(parsed.header, extra={}) == expected
    assert parsed.header.extra["acquisitionSystemInformation.receiverChannels"] == "3"
    assert parsed.phase_encode_limits == (10, 19)
    assert ismrmrd_header.padding(parsed, 20) == (0, 20)


def test_what_is_not_known_is_left_out():
    xml = fastmri.header_xml(Header(), SHAPE)
    assert "None" not in xml and "sequenceParameters" not in xml and "measurementInformation" not in xml
    parsed = ismrmrd_header.parse(xml).header
    assert (parsed.vendor, parsed.frequency_hz, parsed.encoded_fov_mm) == (None, None, None)
    assert parsed.encoded_matrix == (24, 20, 1)


def test_file_holds_slices_and_attributes(tmp_path):
    path = fastmri.write(tmp_path / "scan.h5", SHAPE, slices(), HEADER, {"flip_rows": True})
    series = recon.open_study(path).series[0]
    assert (series.n_slices, series.n_coils, series.matrix, series.geometry.flip_rows) == (2, 3, (24, 20), True)
    assert (series.header.acquisition, series.header.licence) == ("AXT2", "none")
    for index, (kspace, reference) in enumerate(slices()):
        np.testing.assert_array_equal(series.source.kspace(index), kspace)
        np.testing.assert_array_equal(series.source.reference(index), reference)
    with h5py.File(path) as file:
        assert file.attrs["max"] == file["reconstruction_rss"][()].max()
        assert file.attrs["norm"] == pytest.approx(np.linalg.norm(file["reconstruction_rss"][()]))
        assert "sampling" in file.attrs


def test_a_slice_that_fails_leaves_no_file(tmp_path):
    def broken():
        yield next(slices())
        raise OSError(28, "No space left on device")

    with pytest.raises(ExportError, match="disk is full"):
        fastmri.write(tmp_path / "scan.h5", SHAPE, broken(), HEADER, {})
    assert list(tmp_path.iterdir()) == []
