"""NIfTI out: the numbers are those of the result, and lie in the patient where the DICOM images lie."""

import dataclasses
import gzip
import struct

import numpy as np
import pytest

import recon
from recon import phantom
from recon.data import Geometry
from recon.errors import ExportError
from recon.export import nifti


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    spec = phantom.PhantomSpec(n_slices=4, n_coils=2, matrix=(48, 32), fov_mm=(240.0, 192.0))
    series = recon.open_study(phantom.write(tmp_path_factory.mktemp("scan") / "head.h5", spec)).series[0]
    return recon.run(series, recon.Request(model="zero-filled"))


def placed(result, **values):
    geometry = dataclasses.replace(result.series.geometry, **values)
    return dataclasses.replace(result, series=dataclasses.replace(result.series, geometry=geometry))


def read(path):
    """Read what this module may write, by the letter of the format."""
    content = gzip.decompress(path.read_bytes())
    assert struct.unpack_from("<i", content, 0) == (348,)
    assert content[344:348] == b"n+1\0"
    shape = struct.unpack_from("<8h", content, 40)
    assert shape[0] == 3
    assert struct.unpack_from("<2h", content, 70) == (16, 32)
    offset = int(struct.unpack_from("<f", content, 108)[0])
    data = np.frombuffer(content, "<f4", offset=offset).reshape(shape[3:0:-1])
    matrix = np.array(struct.unpack_from("<12f", content, 280)).reshape(3, 4)
    return data, matrix, content


def test_numbers_are_those_of_the_result(result, tmp_path):
    data, _, content = read(nifti.write(result, tmp_path / "head.nii.gz"))
    assert result.series.geometry.flip_rows
    np.testing.assert_array_equal(data, result.final[:, ::-1])
    assert b"research use only" in content[148:228]
    straight, _, _ = read(nifti.write(placed(result, flip_rows=False), tmp_path / "straight.nii.gz"))
    np.testing.assert_array_equal(straight, result.final)


def test_corner_lies_where_dicom_says_but_right_and_anterior_are_positive(result, tmp_path):
    geometry = Geometry(
        pixel_spacing_mm=(2.0, 3.0),
        slice_thickness_mm=4.0,
        orientation=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
        positions_mm=tuple((10.0 - 4.5 * index, -20.0, 30.0) for index in range(4)),
        is_synthetic=False,
    )
    series = dataclasses.replace(result.series, geometry=geometry)
    _, matrix, content = read(nifti.write(dataclasses.replace(result, series=series), tmp_path / "head.nii.gz"))
    expected = [[0, 0, 4.5, -10], [-3, 0, 0, 20], [0, -2, 0, 30]]
    np.testing.assert_allclose(matrix, expected, atol=1e-5)
    np.testing.assert_allclose(struct.unpack_from("<3f", content, 80), (3.0, 2.0, 4.5))
    assert struct.unpack_from("<2h", content, 252) == (0, 1)


@pytest.mark.parametrize("flip_rows", [True, False])
def test_slices_without_positions_lie_where_dicom_puts_them(result, tmp_path, flip_rows):
    pydicom = pytest.importorskip("pydicom")
    lost = placed(result, positions_mm=(), is_synthetic=True, flip_rows=flip_rows)
    lost = dataclasses.replace(lost, final=lost.final[:, 2:-2, 1:-1], reference=None)  # a crop moves both alike
    affine = nifti.affine(lost, tmp_path)
    lost.save(tmp_path, ["dicom"], name="head")
    for number, file in enumerate(sorted(tmp_path.rglob("*_0*.dcm"))):
        corner = np.array(pydicom.dcmread(file).ImagePositionPatient, float) * (-1, -1, 1)
        np.testing.assert_allclose((affine @ [0, 0, number, 1])[:3], corner, atol=1e-4)


def test_another_reader_agrees(result, tmp_path):
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.load(nifti.write(result, tmp_path / "head.nii.gz"))
    np.testing.assert_array_equal(image.get_fdata(dtype=np.float32), result.final[:, ::-1].transpose(2, 1, 0))
    np.testing.assert_allclose(image.affine, nifti.affine(result, tmp_path), atol=1e-5)
    np.testing.assert_allclose(image.header.get_zooms(), (6.0, 5.0, 6.0))


def test_slices_of_part_of_a_volume_keep_their_place(result, tmp_path):
    part = dataclasses.replace(result, indices=(2, 3), final=result.final[2:])
    expected = result.series.geometry.positions_mm[2]
    np.testing.assert_allclose(nifti.affine(part, tmp_path)[:3, 3], np.array(expected) * (-1, -1, 1))


def test_same_result_gives_the_same_file(result, tmp_path):
    first, second = (nifti.write(result, tmp_path / name).read_bytes() for name in ("a.nii.gz", "b.nii.gz"))
    assert first == second


def test_slices_with_a_gap_are_refused(result, tmp_path):
    part = dataclasses.replace(result, indices=(0, 1, 3), final=result.final[[0, 1, 3]])
    with pytest.raises(ExportError, match="not evenly spaced"):
        nifti.write(part, tmp_path / "head.nii.gz")
    assert list(tmp_path.iterdir()) == []


def test_nan_is_refused(result, tmp_path):
    final = result.final.copy()
    final[0, 0, 0] = np.nan
    with pytest.raises(ExportError, match="NaN"):
        nifti.write(dataclasses.replace(result, final=final), tmp_path / "head.nii.gz")
    assert list(tmp_path.iterdir()) == []
